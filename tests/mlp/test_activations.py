"""Every activation: kernels against naive twins, these against finite differences, and what the papers promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.activations import (
    ACTIVATIONS,
    activate,
    activate_backward,
    backward_naive,
    drop_units,
    drop_units_naive,
    forward_naive,
)
from hpsearch.mlp.initialisers import INITIALISERS

SEEDS = st.integers(0, 2**32 - 1)
NO_NOISE = np.empty(0, np.uint8)
# maxout alone has more columns than units
CASES = [(name, pieces) for name in ACTIVATIONS for pieces in ((2, 3) if name == "maxout" else (1,))]


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def slopes_of(name: str, n_units: int, seed: int = 0) -> np.ndarray:
    """Slopes about the default, all different."""
    return ((ACTIVATIONS[name].default_slope or 0) * (1 + 0.2 * normals(seed, n_units))).astype(np.float32)


def at_front(values: np.ndarray, n_columns: int) -> np.ndarray:
    """An array (n_rows, n_columns) with the values (n_rows, n_units) at the start of its memory, then NaN."""
    array = np.full((len(values), n_columns), np.nan, np.float32)
    array.reshape(-1)[: values.size] = values.reshape(-1)
    return array


def run(forward, backward, layer, bias, deltas, slopes, noise, threshold):
    """What a pair of kernels makes of a layer: outputs, deltas of the pre-activations, gradient of the slopes."""
    layer, (n_rows, n_units), n_columns = layer.copy(), deltas.shape, layer.shape[1]
    kept, slopes_gradient = np.full_like(layer, np.nan), np.full(n_units, np.nan, np.float32)
    scale = np.float32(256 / (256 - threshold))
    forward(layer, bias, slopes, noise, threshold, scale, kept)
    outputs = layer.reshape(-1)[: deltas.size].reshape(n_rows, n_units)
    deltas = at_front(deltas, n_columns)
    backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    return outputs, deltas, slopes_gradient


def test_codes_are_unique_and_initialisers_known():
    assert len({activation.code for activation in ACTIVATIONS.values()}) == len(ACTIVATIONS)
    assert {activation.initialiser for activation in ACTIVATIONS.values()} <= set(INITIALISERS)


@pytest.mark.parametrize("code", [-1, len(ACTIVATIONS)])
def test_an_unknown_code_is_an_error(code):
    layer, numbers = normals(0, 3, 4), np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="no activation"):
        activate(code, layer, numbers, numbers, NO_NOISE, 0, np.float32(1), layer)
    with pytest.raises(ValueError, match="no activation"):
        activate_backward(code, layer, layer, layer, numbers, numbers, NO_NOISE, 0, np.float32(1))


@pytest.mark.parametrize(("name", "pieces"), CASES)
@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 70)), seed=SEEDS, threshold=st.integers(0, 255),
    noises=st.sampled_from([1, 2]), width=st.sampled_from([1, 30]),
)  # fmt: skip
def test_the_kernels_equal_their_naive_twins(name, pieces, shape, seed, threshold, noises, width):
    activation, (n_rows, n_units) = ACTIVATIONS[name], shape
    layer, bias = width * normals(seed, n_rows, pieces * n_units), normals(seed + 1, pieces * n_units)
    deltas, slopes = normals(seed + 2, *shape), slopes_of(name, n_units, seed)
    noise = np.random.default_rng(seed).integers(0, 256, noises * n_rows * n_units).astype(np.uint8)
    scale = 256 / (256 - threshold)
    expected = forward_naive(activation, layer, bias, slopes, noise, threshold, scale)
    expected_deltas, expected_slopes = backward_naive(activation, deltas, layer, bias, slopes, noise, threshold, scale)
    got = run(activation.forward, activation.backward, layer, bias, deltas, slopes, noise, threshold)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=2e-6 * scale)
    np.testing.assert_allclose(got[1], expected_deltas, rtol=1e-5, atol=4e-6 * scale)
    if activation.learns_slopes:
        np.testing.assert_allclose(got[2], expected_slopes, rtol=1e-4, atol=1e-4 * scale * width)
    else:
        assert np.isnan(got[2]).all() and not expected_slopes.any()

    def by_code(*arguments):
        activate(activation.code, *arguments)

    def back_by_code(*arguments):
        activate_backward(activation.code, *arguments)

    for through_code, wanted in zip(
        run(by_code, back_by_code, layer, bias, deltas, slopes, noise, threshold), got, strict=True
    ):
        np.testing.assert_array_equal(through_code, wanted)


@settings(max_examples=25)
@given(n=st.integers(1, 300), seed=SEEDS, threshold=st.integers(0, 255))
def test_dropping_units_equals_its_naive_twin(n, seed, threshold):
    values, noise = normals(seed, n), np.random.default_rng(seed).integers(0, 256, n + 3).astype(np.uint8)
    expected = drop_units_naive(values, noise, threshold, 1.5)
    drop_units(values, noise, threshold, np.float32(1.5))
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(("name", "pieces"), CASES)
@pytest.mark.parametrize("threshold", [0, 50])
def test_nan_passes_through(name, pieces, threshold):
    activation, n_columns = ACTIVATIONS[name], pieces * 20
    bias, slopes, noise = np.zeros(n_columns, np.float32), slopes_of(name, 20), np.full(80, 255, np.uint8)
    for column in range(0, n_columns, 20):
        layer = np.ones((2, n_columns), np.float32)
        layer[:, column : column + 20] = np.nan
        outputs, _, _ = run(
            activation.forward, activation.backward, layer, bias, normals(0, 2, 20), slopes, noise, threshold
        )
        assert np.isnan(outputs).all()
    layer, deltas = np.ones((2, n_columns), np.float32), np.full((2, 20), np.nan, np.float32)
    _, deltas, _ = run(activation.forward, activation.backward, layer, bias, deltas, slopes, noise, threshold)
    assert np.isnan(deltas[:, :20]).all()


@pytest.mark.parametrize(("name", "pieces"), CASES)
def test_the_derivative_is_that_of_the_value(name, pieces):
    activation, step = ACTIVATIONS[name], 1e-6
    z, slopes = 3 * normals(1, 50, pieces * 8).astype(np.float64), slopes_of(name, 8).astype(np.float64)
    derivative = activation.derivative_naive(z, slopes)
    assert derivative.shape == z.shape and derivative.dtype == np.float64
    for piece in range(pieces):
        columns = slice(8 * piece, 8 * (piece + 1))
        above, below = z.copy(), z.copy()
        above[:, columns] += step
        below[:, columns] -= step
        difference = activation.value_naive(above, slopes) - activation.value_naive(below, slopes)
        np.testing.assert_allclose(difference / (2 * step), derivative[:, columns], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "pieces"), CASES)
def test_the_derivative_jumps_where_the_table_says_so(name, pieces):
    activation, slopes = ACTIVATIONS[name], 0.9 * slopes_of(name, 3).astype(np.float64)
    below, above = np.zeros((1, 3 * pieces)), np.zeros((1, 3 * pieces))
    below[:, :3], above[:, :3] = -1e-7, 1e-7
    jump = activation.derivative_naive(above, slopes) - activation.derivative_naive(below, slopes)
    assert (np.abs(jump[:, :3]) > 1e-3).all() == activation.kinked


@pytest.mark.parametrize(("name", "pieces"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threshold", [0, 50])
def test_backward_is_the_gradient_of_forward(name, pieces, dtype, threshold):
    """In float64 with the same noise; and the twins keep the type they are given."""
    activation = ACTIVATIONS[name]
    layer, bias = normals(0, 6, pieces * 5).astype(dtype), normals(1, pieces * 5).astype(dtype)
    deltas, slopes = normals(2, 6, 5).astype(dtype), slopes_of(name, 5).astype(dtype)
    noise = np.random.default_rng(3).integers(0, 256, 60).astype(np.uint8)
    rest = noise, threshold, 256 / (256 - threshold)
    gradient, slopes_gradient = backward_naive(activation, deltas, layer, bias, slopes, *rest)
    outputs = forward_naive(activation, layer, bias, slopes, *rest)
    assert gradient.dtype == slopes_gradient.dtype == outputs.dtype == dtype
    if dtype == np.float32:
        return

    def loss(layer, slopes):
        return (deltas * forward_naive(activation, layer, bias, slopes, *rest)).sum()

    direction, step = normals(4, *layer.shape).astype(dtype), 1e-6
    difference = loss(layer + step * direction, slopes) - loss(layer - step * direction, slopes)
    assert difference / (2 * step) == pytest.approx((gradient * direction).sum(), rel=1e-6)
    if activation.learns_slopes:
        direction = normals(5, 5)
        difference = loss(layer, slopes + step * direction) - loss(layer, slopes - step * direction)
        assert difference / (2 * step) == pytest.approx((slopes_gradient * direction).sum(), rel=1e-6)


def test_rrelu_draws_slopes_in_training_and_takes_their_mean_in_prediction():
    rrelu = ACTIVATIONS["rrelu"]
    layer, kept, bias = np.full((256, 1), -1, np.float32), np.empty((256, 1), np.float32), np.zeros(1, np.float32)
    slopes = np.array([rrelu.default_slope], np.float32)
    noise = np.concatenate([np.zeros(256), np.arange(256)]).astype(np.uint8)
    drawn = layer.copy()
    rrelu.forward(drawn, bias, slopes, noise, 0, np.float32(1), kept)
    assert -drawn.min() == pytest.approx(1 / 3, rel=1e-6) and -drawn.max() == pytest.approx(1 / 8, rel=1e-6)
    assert -drawn.mean() == pytest.approx(rrelu.default_slope, rel=1e-6)
    predicted = layer.copy()
    rrelu.forward(predicted, bias, slopes, noise[:256], 0, np.float32(1), kept)
    np.testing.assert_array_equal(predicted, np.broadcast_to(-slopes, (256, 1)))


def test_selu_keeps_mean_zero_and_variance_one():
    outputs = ACTIVATIONS["selu"].value_naive(np.random.default_rng(0).standard_normal(10**6), np.empty(0))
    assert outputs.mean() == pytest.approx(0, abs=5e-3)
    assert outputs.var() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("name", ["tanh", "elu", "selu", "gelu", "silu", "mish", "leaky_relu", "prelu", "rrelu"])
def test_zero_stays_zero(name):
    """Units without input are silent."""
    layer, zeros = np.zeros((2, 40), np.float32), np.zeros(40, np.float32)
    ACTIVATIONS[name].forward(layer, zeros, slopes_of(name, 40), NO_NOISE, 0, np.float32(1), np.empty_like(layer))
    assert not layer.any()


@pytest.mark.parametrize(("name", "pieces"), CASES)
def test_a_row_s_outputs_do_not_depend_on_its_place(name, pieces):
    activation, bias, slopes = ACTIVATIONS[name], normals(1, pieces * 37), slopes_of(name, 37)
    layer, deltas = normals(0, 9, pieces * 37), normals(2, 9, 37)
    whole = run(activation.forward, activation.backward, layer, bias, deltas, slopes, NO_NOISE, 0)
    for i in range(9):
        one = run(
            activation.forward, activation.backward, layer[i : i + 1], bias, deltas[i : i + 1], slopes, NO_NOISE, 0
        )
        np.testing.assert_array_equal(one[0][0], whole[0][i])
        np.testing.assert_array_equal(one[1][0], whole[1][i])
