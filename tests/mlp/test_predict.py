"""Prediction: against the naive twin for every architecture, and the same bits for a row in any company."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.predict import CHUNK_HEIGHT, add_votes, last_layers, last_layers_naive, predict
from hpsearch.mlp.stack import Architecture, Stack

LAYERS = [(False, False), (True, False), (False, True), (True, True)]
"""Batch normalisation and residual branches, off and on."""


def networks(architecture: Architecture, n_models: int = 4, seed: int = 0) -> Stack:
    """Networks with biases, slopes, gains and statistics of all kinds."""
    stack = initial_stack(architecture, [Start("he_normal", 0.1, 0.2)] * n_models, np.arange(n_models, dtype=np.uint64))
    generator = np.random.default_rng(seed)
    for block in (*stack.biases(), *stack.means(), *stack.gains(), *stack.slopes()):
        block += generator.normal(0, 0.3, block.shape).astype(np.float32)
    for block in (*stack.frequencies(), *stack.phases()):
        block += generator.normal(0, 0.5, block.shape).astype(np.float32)
    for block in stack.variances():
        block *= generator.uniform(0.5, 2, block.shape).astype(np.float32)
    return stack


@pytest.fixture(params=ACTIVATIONS)
def stack(request):
    return networks(Architecture((7, 20, 20, 11, 3), request.param, pieces=3, batch_norm=True, residual=True))


@pytest.fixture
def inputs():
    return np.random.default_rng(0).standard_normal((700, 7)).astype(np.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("batch_norm", "residual"), LAYERS)
@pytest.mark.parametrize("sizes", [(7, 3), (7, 9, 1), (7, 7, 7, 3), (7, 12, 12, 5, 5, 2)])
def test_predictions_equal_their_naive_twin(activation, batch_norm, residual, sizes, inputs):
    stack = networks(Architecture(sizes, activation, pieces=3, batch_norm=batch_norm, residual=residual))
    rows = np.random.default_rng(1).permutation(700)[:100]
    assert_allclose(last_layers(stack, inputs, rows), last_layers_naive(stack, inputs, rows), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("batch_norm", "residual"), LAYERS)
@pytest.mark.parametrize("n_numeric", [1, 4, 7])
@pytest.mark.parametrize("sizes", [(7, 3), (7, 9, 1), (7, 12, 12, 5, 5, 2)])
def test_predictions_with_waves_equal_their_naive_twin(sizes, n_numeric, batch_norm, residual, inputs):
    architecture = Architecture(sizes, batch_norm=batch_norm, residual=residual, n_numeric=n_numeric, n_frequencies=5)
    stack = networks(architecture)
    rows = np.random.default_rng(1).permutation(700)[:100]
    expected = last_layers_naive(stack, inputs, rows)
    assert_allclose(last_layers(stack, inputs, rows), expected, rtol=1e-3, atol=1e-3)
    assert_array_equal(last_layers(stack, inputs, rows[:17]), last_layers(stack, inputs, rows)[:, :17])
    exact = last_layers_naive(stack, inputs.astype(np.float64), rows)
    assert exact.dtype == np.float64
    assert_allclose(exact, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_maxout_has_as_many_pieces_as_it_is_told(pieces, inputs):
    stack = networks(Architecture((7, 6, 2), "maxout", pieces=pieces))
    rows = np.arange(9)
    units = (inputs[rows] @ stack.matrices()[0] + stack.biases()[0][:, None]).reshape(4, 9, pieces, 6).max(axis=2)
    expected = units @ stack.matrices()[1] + stack.biases()[1][:, None]
    assert_allclose(last_layers(stack, inputs, rows), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=40)
@given(
    n_rows=st.integers(1, 3 * CHUNK_HEIGHT),
    seed=st.integers(0, 2**32 - 1),
    activation=st.sampled_from(list(ACTIVATIONS)),
)
def test_any_number_of_rows_equals_the_naive_twin(n_rows, seed, activation):
    stack = networks(Architecture((5, 8, 8, 3), activation, batch_norm=True, residual=True), seed=seed)
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((200, 5)).astype(np.float32)
    rows = generator.integers(0, 200, n_rows)
    assert_allclose(last_layers(stack, inputs, rows), last_layers_naive(stack, inputs, rows), rtol=1e-3, atol=1e-3)


def test_a_row_is_predicted_alike_in_any_company(stack, inputs):
    everything = last_layers(stack, inputs, np.arange(700))
    for n_rows in (1, 17, CHUNK_HEIGHT, CHUNK_HEIGHT + 1, 300):
        assert_array_equal(last_layers(stack, inputs, np.arange(n_rows)), everything[:, :n_rows])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(7, 3), (5, 12, 12, 5, 2), (64, 128, 128, 10), (100, 33, 1)])
def test_a_row_is_predicted_alike_in_any_place(activation, sizes):
    stack = networks(Architecture(sizes, activation, pieces=3, batch_norm=True, residual=True), n_models=1)
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((200, sizes[0])).astype(np.float32)
    everything = last_layers(stack, inputs, np.arange(200))
    for n_rows in (1, 9, 70, 200):
        rows = generator.permutation(200)[:n_rows]
        assert_array_equal(last_layers(stack, inputs, rows), everything[:, rows])


def test_a_model_predicts_alike_in_any_company(stack, inputs):
    rows = np.arange(100)
    together = last_layers(stack, inputs, rows)
    for model in range(4):
        alone = Stack(stack.architecture, stack.weights[model : model + 1])
        assert_array_equal(last_layers(alone, inputs, rows)[0], together[model])


def test_no_rows_give_no_predictions(stack, inputs):
    assert last_layers(stack, inputs, np.arange(0)).shape == (4, 0, 3)


@pytest.mark.parametrize("shape", [(700, 6), (700, 8), (700,)])
def test_inputs_of_another_width_are_refused(stack, shape):
    inputs = np.zeros(shape, np.float32)
    for use in (last_layers, lambda *arguments: predict(stack, "squared_error", *arguments[1:])):
        with pytest.raises(ValueError, match=r"inputs must have the shape \(n_rows, 7\)"):
            use(stack, inputs, np.arange(9))


@pytest.mark.parametrize("rows", [[0, 700], [-1, 3]])
def test_rows_that_the_inputs_do_not_have_are_refused(stack, inputs, rows):
    with pytest.raises(ValueError, match="rows must hold row numbers from 0 to 699"):
        last_layers(stack, inputs, np.array(rows))


def test_nothing_that_is_given_is_written_to(stack, inputs):
    inputs.setflags(write=False)
    before = stack.weights.copy()
    assert predict(stack, "softmax_cross_entropy", inputs, np.arange(9)).sum(axis=2) == pytest.approx(1)
    assert_array_equal(stack.weights, before)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_link_of_the_loss_turns_last_layers_into_predictions(loss, stack, inputs):
    last = last_layers(stack, inputs, np.arange(9))
    answers = predict(stack, loss, inputs, np.arange(9))
    if LOSSES[loss].of_classes:
        assert answers.sum(axis=2) == pytest.approx(1) and (answers >= 0).all()
        assert_array_equal(answers.argmax(axis=2), last.argmax(axis=2))
    else:
        assert_array_equal(answers, last)


@pytest.mark.parametrize("loss", LOSSES)
def test_votes_are_added_to_what_is_there(loss, stack, inputs):
    one = Stack(stack.architecture, stack.weights[:1])
    outputs = np.full((700, 3), 0.5)
    add_votes(one, loss, inputs, 0.25, outputs)
    assert_allclose(outputs, 0.5 + 0.25 * predict(one, loss, inputs, np.arange(700))[0], rtol=1e-6, atol=1e-6)


def test_softmax_of_logits_are_probabilities(stack, inputs):
    logits = last_layers(stack, inputs, np.arange(9)).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert_allclose(predict(stack, "softmax_cross_entropy", inputs, np.arange(9)), expected, rtol=1e-5)
