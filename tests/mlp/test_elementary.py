"""The elementary functions, inlined into a loop, against NumPy's and SciPy's in float64."""

import numpy as np
import pytest
from scipy import special

from hpsearch.mlp.elementary import (
    cosine_of_turns,
    cumulative_normal,
    exponential,
    exponential_minus_one,
    hyperbolic_tangent,
    logistic,
    sine_of_turns,
)
from hpsearch.mlp.kernels import compiled


@compiled("float32(float32)")
def normal_share(x):
    return cumulative_normal(x, exponential(np.float32(-0.5) * x * x))


def looped(function):
    """The loop that kernels have: with re-ordered sums, which must not reach into the function."""

    @compiled("void(float32[::1], float32[::1])")
    def loop(numbers, out):
        for i in range(numbers.size):
            out[i] = function(numbers[i])

    def apply(numbers: np.ndarray) -> np.ndarray:
        out = np.empty_like(numbers)
        loop(numbers, out)
        return out

    return apply


# function, reference, range, allowed error in units of the last place
CASES = {
    "exponential": (exponential, np.exp, (-87, 88.7), 2),
    "exponential_minus_one": (exponential_minus_one, np.expm1, (-87, 87), 2),
    "logistic": (logistic, special.expit, (-87, 90), 3),
    "hyperbolic_tangent": (hyperbolic_tangent, np.tanh, (-30, 30), 3),
    "cumulative_normal": (normal_share, special.ndtr, (-5, 8), 16),
}
LOOPS = {name: looped(function) for name, (function, _, _, _) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("zoom", [1, 1e-1, 1e-3, 1e-6])
def test_accuracy(name, zoom):
    _, reference, (lowest, highest), units = CASES[name]
    numbers = np.linspace(lowest * zoom, highest * zoom, 100_003).astype(np.float32)
    expected = reference(numbers.astype(np.float64))
    errors = np.abs(LOOPS[name](numbers) - expected)
    assert (errors <= units * np.spacing(np.abs(expected).astype(np.float32))).all()


@pytest.mark.parametrize("name", CASES)
def test_nan_stays_nan_and_the_ends_are_the_limits(name):
    nan, low, high, far_low, far_high = LOOPS[name](np.array([np.nan, -np.inf, np.inf, -300, 300], np.float32))
    assert np.isnan(nan)
    if name != "exponential_minus_one":
        assert (low, high) == tuple(CASES[name][1](np.array([-np.inf, np.inf])))
        assert (far_low, far_high) == (low, high)
    else:
        assert low == far_low == -1 and high == far_high == pytest.approx(np.expm1(87), rel=1e-6)


def test_exponential_fades_out_through_the_smallest_numbers():
    numbers = np.linspace(-104, -87, 1001).astype(np.float32)
    errors = np.abs(LOOPS["exponential"](numbers) - np.exp(numbers.astype(np.float64)))
    assert errors.max() <= 2 * np.spacing(np.float32(0))


@pytest.mark.parametrize("name", CASES)
def test_a_number_s_result_does_not_depend_on_its_place(name):
    """Vector code handles most of a loop, scalar code its rest: both must give the same bits."""
    numbers = np.random.default_rng(0).normal(0, 3, 133).astype(np.float32)
    whole = LOOPS[name](numbers)
    one_by_one = np.concatenate([LOOPS[name](numbers[i : i + 1]) for i in range(numbers.size)])
    np.testing.assert_array_equal(whole, one_by_one)


TURNS = {
    name: (looped(function), reference)
    for name, function, reference in (("sine", sine_of_turns, np.sin), ("cosine", cosine_of_turns, np.cos))
}


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("reach", [0.5, 3, 1000, 2**22])
def test_waves_are_exact_in_any_turn(name, reach):
    """Leaving whole turns out has no error, so that only the polynomial's is left, however far the angle."""
    loop, reference = TURNS[name]
    turns = np.concatenate([np.linspace(-reach, reach, 100_003), np.arange(-8, 9) / 8]).astype(np.float32)
    whole = turns.astype(np.float64)
    assert np.abs(loop(turns) - reference(2 * np.pi * (whole - np.rint(whole)))).max() < 1.3e-7


def test_the_sine_is_exact_near_its_zeros():
    loop, _ = TURNS["sine"]
    small = np.geomspace(1e-30, 0.25, 10_001).astype(np.float32)
    for turns in (small, -small):
        expected = np.sin(2 * np.pi * turns.astype(np.float64))
        assert (np.abs(loop(turns) - expected) <= 2 * np.spacing(np.abs(expected).astype(np.float32))).all()


@pytest.mark.parametrize("name", TURNS)
def test_waves_of_what_is_no_angle_are_nan_and_of_whole_turns_exact(name):
    loop, _ = TURNS[name]
    assert np.isnan(loop(np.array([np.nan, np.inf, -np.inf], np.float32))).all()
    whole = np.array([0, 1, -7, 2**24, 3e38], np.float32)
    np.testing.assert_allclose(loop(whole), {"sine": 0, "cosine": 1}[name], rtol=0, atol=6e-8)


@pytest.mark.parametrize("name", TURNS)
def test_a_wave_does_not_depend_on_its_place(name):
    loop, _ = TURNS[name]
    turns = np.random.default_rng(0).normal(0, 3, 133).astype(np.float32)
    one_by_one = np.concatenate([loop(turns[i : i + 1]) for i in range(turns.size)])
    np.testing.assert_array_equal(loop(turns), one_by_one)
