"""Waves of the inputs: kernels against their naive twins, gradients against differences, and what they are for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp import train
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.periodic import embed, embed_backward, embed_backward_naive, embed_naive
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Architecture

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(1, 20), st.integers(0, 5))
"""Rows, numeric inputs, waves of each, other inputs."""


def made(shape: tuple[int, int, int, int], seed: int, dtype: type = np.float32) -> list[np.ndarray]:
    """Inputs, frequencies, phases, and deltas of the waves."""
    n_rows, n_numeric, n_frequencies, n_others = shape
    generator = np.random.default_rng(seed)
    sizes = (n_rows, n_numeric + n_others), (n_numeric, n_frequencies), (n_numeric, n_frequencies)
    return [generator.standard_normal(size).astype(dtype) for size in (*sizes, (n_rows, n_numeric * n_frequencies))]


def embedded(inputs: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> np.ndarray:
    values = np.full((len(inputs), inputs.shape[1] + frequencies.size), np.nan, np.float32)
    values[:, : inputs.shape[1]] = inputs
    embed(values, frequencies, phases)
    return values


def test_a_wave_is_the_cosine_of_its_turns():
    inputs = np.array([[0.5, 9.0], [1.0, 9.0]])
    waves = embed_naive(inputs, np.array([[1.0, 0.25]]), np.array([[0.0, 0.125]]))
    assert_array_equal(waves[:, :2], inputs)
    assert_allclose(waves[:, 2:], [[-1, np.cos(np.pi / 2)], [1, np.cos(3 * np.pi / 4)]], atol=1e-12)


@settings(max_examples=40)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_waves_equal_their_naive_twin(shape, seed):
    inputs, frequencies, phases, _ = made(shape, seed)
    values = embedded(inputs, frequencies, phases)
    assert_array_equal(values[:, : inputs.shape[1]], inputs)
    assert_allclose(values, embed_naive(inputs, frequencies, phases), rtol=0, atol=1e-5)


@settings(max_examples=40)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_gradients_equal_their_naive_twin(shape, seed):
    inputs, frequencies, phases, deltas = made(shape, seed)
    expected = embed_backward_naive(inputs, deltas, frequencies, phases)
    found = np.full_like(frequencies, np.nan), np.full_like(phases, np.nan)
    embed_backward(
        embedded(inputs, frequencies, phases), deltas, frequencies, phases, *found, np.empty(deltas.size, np.float32)
    )
    for gradient, twin in zip(found, expected, strict=True):
        assert_allclose(gradient, twin, rtol=1e-4, atol=1e-4)


@settings(max_examples=20)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_the_naive_gradient_is_the_derivative(shape, seed):
    inputs, frequencies, phases, deltas = made(shape, seed, np.float64)
    n_inputs, step = inputs.shape[1], 1e-6

    def objective(frequencies: np.ndarray, phases: np.ndarray) -> float:
        return float((embed_naive(inputs, frequencies, phases)[:, n_inputs:] * deltas).sum())

    found = embed_backward_naive(inputs, deltas, frequencies, phases)
    place = (0, -1)
    for gradient, moved in zip(found, (frequencies, phases), strict=True):
        before = moved[place]
        moved[place] = before + step
        above = objective(frequencies, phases)
        moved[place] = before - step
        difference = (above - objective(frequencies, phases)) / (2 * step)
        moved[place] = before
        assert gradient[place] == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_frequencies_start_normal_and_phases_uniform_by_the_models_own_seed():
    architecture = Architecture((30, 4, 2), n_numeric=20, n_frequencies=500)
    starts = [Start("he_normal", 0.0, 0.0, 0.3), Start("he_normal", 0.0, 0.0, 2.0)]
    stack = initial_stack(architecture, starts, np.array([7, 8], np.uint64))
    (frequencies,), (phases,) = stack.frequencies(), stack.phases()
    assert_allclose(frequencies.std(axis=(1, 2)), [0.3, 2.0], rtol=0.05)
    assert abs(frequencies[1].mean()) < 5 * 2 / 100
    assert phases.min() >= -0.5 and phases.max() <= 0.5
    assert_allclose(phases.std(axis=(1, 2)), 1 / np.sqrt(12), rtol=0.05)
    alone = initial_stack(architecture, starts[1:], np.array([8], np.uint64))
    assert_array_equal(alone.weights[0], stack.weights[1])


def test_without_waves_no_bit_of_a_start_is_another():
    """Frequencies draw for themselves: the other layers' draws do not move."""
    plain = initial_stack(Architecture((3, 4, 2)), [Start("he_normal", 0.1, 0.0)], np.array([7], np.uint64))
    waving = Architecture((3, 4, 2), n_numeric=2, n_frequencies=5)
    stack = initial_stack(waving, [Start("he_normal", 0.1, 0.0, 1.0)], np.array([7], np.uint64))
    assert [matrix.shape for matrix in stack.matrices()] == [(1, 13, 4), (1, 4, 2)]
    assert_array_equal(stack.matrices()[1], plain.matrices()[1])
    assert stack.architecture.n_weights == plain.architecture.n_weights + 10 * 4 + 2 * 10


@pytest.mark.parametrize("n_numeric", [-1, 4])
def test_numeric_inputs_are_among_the_inputs(n_numeric):
    with pytest.raises(ValueError, match=f"n_numeric must be a whole number from 0 to 3, .*, but got {n_numeric}"):
        train.start([Recipe(n_frequencies=2)], [1], 3, 2, n_numeric)


def test_all_inputs_are_numeric_unless_told_otherwise():
    assert train.start([Recipe(n_frequencies=2)], [1], 3, 2).stack.architecture.n_waves == 6
    assert train.start([Recipe(n_frequencies=2)], [1], 3, 2, 1).stack.architecture.n_waves == 2
    assert train.start([Recipe(n_frequencies=2)], [1], 3, 2, 0).stack.architecture.n_waves == 0
    assert (
        train.start([Recipe()], [1], 3, 2).stack.architecture
        == train.start([Recipe()], [1], 3, 2, 1).stack.architecture
    )


def wavy() -> train.Examples:
    """A target that turns five times over the range of its first input; the second has nothing to do with it."""
    generator = np.random.default_rng(0)
    inputs = generator.uniform(-2, 2, (900, 2)).astype(np.float32)
    targets = np.sin(2 * np.pi * 1.25 * inputs[:, :1])
    weights = np.ones(900, np.float32)
    return train.Examples(inputs, targets.astype(np.float32), weights, np.arange(600), np.arange(600, 900), 1)


def loss_after_training(examples: train.Examples, n_frequencies: int) -> float:
    recipe = Recipe(
        hidden_layer_sizes=(32,), loss="squared_error", learning_rate_init=1e-2, n_frequencies=n_frequencies,
        frequency_scale=1.0,
    )  # fmt: skip
    fit = train.advance(train.start([recipe], [1], 2, 1), examples, 20, 20)
    return float(train.validation_loss(fit, examples)[0])


def test_waves_learn_in_no_time_what_a_plain_network_does_not():
    examples = wavy()
    assert loss_after_training(examples, 16) < 0.05
    assert loss_after_training(examples, 0) > 0.25
