"""The layout of a model's buffer, and the views of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.stack import Architecture, Stack, n_matrix_entries, training_operations

ARCHITECTURES = st.builds(
    Architecture,
    layer_sizes=st.lists(st.integers(1, 6), min_size=2, max_size=6).map(tuple),
    activation=st.sampled_from(list(ACTIVATIONS)),
    pieces=st.integers(2, 4),
    batch_norm=st.booleans(),
    residual=st.booleans(),
    n_numeric=st.integers(0, 1),
    n_frequencies=st.integers(0, 3),
)
BLOCKS = ("matrices", "biases", "gains", "frequencies", "phases", "slopes", "means", "variances")


def numbered(architecture: Architecture, n_models: int = 2) -> Stack:
    """Weights that say where in the buffer they are."""
    whole = np.arange(n_models * architecture.n_weights, dtype=np.float32)
    return Stack(architecture, whole.reshape(n_models, -1))


@settings(max_examples=50)
@given(ARCHITECTURES)
def test_blocks_cover_the_buffer_and_do_not_overlap(architecture):
    stack = numbered(architecture)
    parts = [block.reshape(2, -1) for name in BLOCKS for block in getattr(stack, name)()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), stack.weights)


@settings(max_examples=50)
@given(ARCHITECTURES)
def test_matrices_come_first_then_what_is_learned(architecture):
    stack, layout = numbered(architecture, 1), architecture.layout
    learned = [
        "matrices",
        "biases",
        "gains",
        "frequencies",
        "phases",
        *(["slopes"] if architecture.activation == "prelu" else []),
    ]
    sizes = {name: sum(block.size for block in getattr(stack, name)()) for name in BLOCKS}
    assert layout.n_matrix == sizes["matrices"]
    assert layout.n_learned == sum(sizes[name] for name in learned)
    assert layout.n_weights == architecture.n_weights == sum(sizes.values())


@settings(max_examples=50)
@given(ARCHITECTURES)
def test_blocks_have_the_shapes_of_their_layers(architecture):
    stack, sizes = numbered(architecture, 3), architecture.units
    assert sizes == (architecture.layer_sizes[0] + architecture.n_waves, *architecture.layer_sizes[1:])
    pieces = architecture.pieces if architecture.activation == "maxout" else 1
    columns = [pieces * size for size in sizes[1:-1]] + [sizes[-1]]
    assert [matrix.shape for matrix in stack.matrices()] == [(3, *shape) for shape in zip(sizes, columns, strict=False)]
    assert [bias.shape for bias in stack.biases()] == [(3, width) for width in columns]
    waves = [(3, architecture.n_numeric, architecture.n_frequencies)] * (architecture.n_waves > 0)
    assert [block.shape for block in stack.frequencies()] == [block.shape for block in stack.phases()] == waves
    normalised = [(3, width) for width in columns[:-1]] if architecture.batch_norm else []
    for name in ("gains", "means", "variances"):
        assert [block.shape for block in getattr(stack, name)()] == normalised
    has_slopes = architecture.activation in ("leaky_relu", "rrelu", "prelu", "elu")
    assert [block.shape for block in stack.slopes()] == ([(3, size) for size in sizes[1:-1]] if has_slopes else [])


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - {"frequencies", "phases"}))
def test_views_write_through(name):
    architecture = Architecture((2, 3, 3, 2), "prelu", batch_norm=True)
    stack = Stack(architecture, np.zeros((2, architecture.n_weights), np.float32))
    block = getattr(stack, name)()[1]
    block[1] = 7
    assert (stack.weights[1] == 7).sum() == block[1].size and (stack.weights[0] == 0).all()


def test_views_of_waves_write_through():
    architecture = Architecture((4, 3, 2), n_numeric=2, n_frequencies=3)
    stack = Stack(architecture, np.zeros((2, architecture.n_weights), np.float32))
    (frequencies,), (phases,) = stack.frequencies(), stack.phases()
    frequencies[1], phases[1] = 7, 8
    assert [(stack.weights == number).sum(axis=1).tolist() for number in (7, 8)] == [[0, 6], [0, 6]]


def test_a_hidden_layer_as_wide_as_the_one_below_is_skipped():
    """Not the first, whose input is the data, nor the last."""
    layout = Architecture((4, 4, 4, 3, 3, 3), residual=True).layout
    assert layout.skips.tolist() == [0, 1, 0, 1, 0]
    assert Architecture((4, 4, 4, 4)).layout.skips.tolist() == [0, 0, 0]


def test_weights_of_another_shape_are_refused():
    architecture = Architecture((2, 3))
    assert architecture.n_weights == 9
    for shape in [(1, 8), (1, 10), (9,), (1, 9, 1)]:
        with pytest.raises(ValueError, match=r"weights must have the shape \(n_models, 9\)"):
            Stack(architecture, np.zeros(shape, np.float32))


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of identity, sigmoid, .*, but got 'tan'"):
        Architecture((2, 3), "tan")


def test_operations_of_a_step():
    assert n_matrix_entries((5, 7, 3)) == 5 * 7 + 7 * 3
    assert training_operations((5, 7, 3)) == 6 * (5 * 7 + 7 * 3) - 2 * 5 * 7
    assert training_operations((5, 3)) == 4 * 5 * 3
    assert training_operations((5, 7, 3), 8) == 6 * (13 * 7 + 7 * 3) - 2 * 5 * 7
