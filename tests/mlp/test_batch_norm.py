"""Batch normalisation: kernels against naive twins and finite differences, running statistics, fusing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.batch_norm import (
    EPSILON,
    MOMENTUM,
    column_statistics,
    fuse,
    fuse_naive,
    normalise,
    normalise_backward,
    normalise_backward_naive,
    normalise_naive,
    standardise,
)
from hpsearch.mlp.predict import fused, last_layers, last_layers_naive
from hpsearch.mlp.stack import Architecture, Stack

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 30))
SEEDS = st.integers(0, 2**32 - 1)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def columns(seed: int, *shape: int) -> np.ndarray:
    """Columns of unlike means and deviations."""
    return normals(seed, *shape) * np.exp(normals(seed + 1, shape[1])) + 3 * normals(seed + 2, shape[1])


@settings(max_examples=50)
@given(SHAPES, SEEDS, st.sampled_from([MOMENTUM, 0.5, 0.0]))
def test_normalise_equals_its_naive_twin(shape, seed, momentum):
    layer, gain, mean, variance = (
        columns(seed, *shape),
        normals(seed + 3, shape[1]),
        *np.abs(normals(seed + 4, 2, shape[1])),
    )
    wanted, wanted_normed, wanted_inverse, rows_mean, rows_variance = normalise_naive(layer.astype(np.float64), gain)
    unbiased = rows_variance * shape[0] / max(shape[0] - 1, 1)
    # running ← running + momentum · (that of the rows − running), as in PyTorch, whose variance has n − 1 below
    wanted_mean = (1 - momentum) * mean + momentum * rows_mean
    wanted_variance = (1 - momentum) * variance + momentum * unbiased
    normed, inverse = np.empty_like(layer), np.empty(shape[1], np.float32)
    normalise(layer, gain, mean, variance, momentum, normed, inverse)
    for got, expected in [
        (layer, wanted), (normed, wanted_normed), (mean, wanted_mean), (variance, wanted_variance),
    ]:  # fmt: skip
        assert_allclose(got, expected, rtol=1e-3, atol=2e-3)
    assert_allclose(inverse, wanted_inverse, rtol=1e-3)


@settings(max_examples=50)
@given(SHAPES, SEEDS)
def test_the_way_back_equals_its_naive_twin(shape, seed):
    layer, gain, deltas = columns(seed, *shape), normals(seed + 3, shape[1]), normals(seed + 4, *shape)
    _, normed, inverse, *_ = normalise_naive(layer.astype(np.float64), gain)
    wanted, wanted_gradient = normalise_backward_naive(deltas, normed, inverse, gain)
    sums, gradient = deltas.sum(axis=0), np.empty(shape[1], np.float32)
    normalise_backward(deltas, normed.astype(np.float32), inverse.astype(np.float32), gain, sums, gradient)
    scale = float((np.abs(gain) * inverse).max())
    assert_allclose(deltas, wanted, rtol=1e-3, atol=1e-4 * scale)
    assert_allclose(gradient, wanted_gradient, rtol=1e-3, atol=1e-4)


def test_the_way_back_is_the_derivative():
    layer, gain, pull = (array.astype(np.float64) for array in (columns(0, 6, 4), normals(1, 4), normals(2, 6, 4)))

    def objective(layer: np.ndarray, gain: np.ndarray) -> float:
        return float((pull * normalise_naive(layer, gain)[0]).sum())

    _, normed, inverse, *_ = normalise_naive(layer, gain)
    deltas, gain_gradient = normalise_backward_naive(pull, normed, inverse, gain)
    step = 1e-6
    for place in np.ndindex(layer.shape):
        move = np.zeros_like(layer)
        move[place] = step
        difference = objective(layer + move, gain) - objective(layer - move, gain)
        assert difference / (2 * step) == pytest.approx(deltas[place], rel=1e-5, abs=1e-7)
    for j in range(4):
        move = step * np.eye(4)[j]
        difference = objective(layer, gain + move) - objective(layer, gain - move)
        assert difference / (2 * step) == pytest.approx(gain_gradient[j], rel=1e-6)


def test_equal_rows_are_zeros_and_have_no_gradient_of_their_own():
    layer = np.tile(columns(0, 1, 5), (8, 1))
    mean, variance = np.zeros(5, np.float32), np.ones(5, np.float32)
    normed, inverse = np.empty_like(layer), np.empty(5, np.float32)
    normalise(layer, np.ones(5, np.float32), mean, variance, MOMENTUM, normed, inverse)
    assert_allclose(layer, 0, atol=1e-3)
    assert_allclose(variance, 1 - MOMENTUM, atol=1e-6)
    assert_allclose(inverse, 1 / np.sqrt(EPSILON), rtol=1e-3)


@settings(max_examples=40)
@given(SHAPES, SEEDS)
def test_statistics_and_standardising_equal_numpy(shape, seed):
    layer, gain = columns(seed, *shape), normals(seed + 3, shape[1])
    mean, variance = np.empty(shape[1], np.float32), np.empty(shape[1], np.float32)
    column_statistics(layer, mean, variance)
    assert_allclose(mean, layer.mean(axis=0, dtype=np.float64), rtol=1e-4, atol=1e-5)
    expected = layer.var(axis=0, ddof=1, dtype=np.float64) if shape[0] > 1 else np.zeros(shape[1])
    assert_allclose(variance, expected, rtol=1e-3, atol=1e-4)
    wanted = gain * (layer.astype(np.float64) - mean) / np.sqrt(variance + EPSILON)
    standardise(layer, mean, variance, gain)
    assert_allclose(layer, wanted, rtol=1e-3, atol=1e-3)


def stack_of(architecture: Architecture, seed: int) -> Stack:
    """Networks whose gains and running statistics are unlike those they start with."""
    weights = normals(seed, 3, architecture.n_weights) / 3
    stack = Stack(architecture, weights)
    for variance in stack.variances():
        variance[...] = np.exp(2 * variance)
    return stack


ARCHITECTURES = st.builds(
    Architecture,
    layer_sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
    activation=st.sampled_from(list(ACTIVATIONS)),
    pieces=st.integers(2, 3),
    batch_norm=st.just(True),
    residual=st.booleans(),
)


@settings(max_examples=50)
@given(ARCHITECTURES, SEEDS)
def test_fuse_equals_its_naive_twin_and_predicts_the_same(architecture, seed):
    stack = stack_of(architecture, seed)
    by_kernel, naive = (replace(stack, weights=stack.weights.copy()) for _ in range(2))
    for model in by_kernel.weights:
        fuse(architecture.layout, model)
    fuse_naive(naive)
    assert_allclose(by_kernel.weights, naive.weights, rtol=1e-5, atol=1e-6)
    inputs = normals(seed + 1, 9, architecture.layer_sizes[0])
    expected = last_layers_naive(stack, inputs, np.arange(9))
    for same in (stack, by_kernel, naive, fused(stack)):
        assert_allclose(last_layers(same, inputs, np.arange(9)), expected, rtol=2e-3, atol=2e-3)


def test_a_fused_stack_has_no_normalisation_and_is_not_fused_again():
    stack = stack_of(Architecture((4, 6, 6, 2), "prelu", batch_norm=True, residual=True), 0)
    before = stack.weights.copy()
    plain = fused(stack)
    assert plain.architecture == replace(stack.architecture, batch_norm=False)
    assert plain.weights.shape == (3, plain.architecture.n_weights)
    assert fused(plain) is plain
    assert_array_equal(stack.weights, before)


def test_fusing_leaves_other_networks_alone():
    architecture = Architecture((4, 6, 2))
    weights = normals(0, architecture.n_weights)
    before = weights.copy()
    fuse(architecture.layout, weights)
    assert_array_equal(weights, before)
