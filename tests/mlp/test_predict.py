import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import initial_stack
from hpsearch.mlp.predict import CHUNK_HEIGHT, last_layers, last_layers_naive, predict


@pytest.fixture(params=ACTIVATIONS)
def stack(request):
    return initial_stack((7, 20, 11, 3), request.param, ["he_normal"] * 4, np.arange(4, dtype=np.uint64))


@pytest.fixture
def inputs():
    return np.random.default_rng(0).standard_normal((700, 7)).astype(np.float32)


@pytest.mark.parametrize("n_rows", [1, 5, CHUNK_HEIGHT, CHUNK_HEIGHT + 1, 700])
def test_predictions_equal_their_naive_twin(stack, inputs, n_rows):
    rows = np.random.default_rng(1).permutation(700)[:n_rows]
    assert_allclose(last_layers(stack, inputs, rows), last_layers_naive(stack, inputs, rows), rtol=1e-4, atol=1e-5)


def test_a_row_is_predicted_alike_in_any_company(stack, inputs):
    everything = last_layers(stack, inputs, np.arange(700))
    for n_rows in (1, 17, 300):
        assert_array_equal(last_layers(stack, inputs, np.arange(n_rows)), everything[:, :n_rows])


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


def test_the_inputs_are_never_written_to(stack, inputs):
    inputs.setflags(write=False)
    assert predict(stack, "softmax_cross_entropy", inputs, np.arange(9)).sum(axis=2) == pytest.approx(1)


def test_loss_link_turns_logits_into_probabilities(stack, inputs):
    logits = last_layers(stack, inputs, np.arange(9)).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert_allclose(predict(stack, "softmax_cross_entropy", inputs, np.arange(9)), expected, rtol=1e-5)
    assert_array_equal(predict(stack, "squared_error", inputs, np.arange(9)), logits.astype(np.float32))
