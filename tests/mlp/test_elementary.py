"""The elementary functions, inlined into a loop, against NumPy's and SciPy's in float64."""

import numpy as np
import pytest
from scipy import special

from hpsearch.mlp.elementary import (
    cumulative_normal,
    exponential,
    exponential_minus_one,
    hyperbolic_tangent,
    logistic,
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
