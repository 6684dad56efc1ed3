"""Full-batch L-BFGS: its optimum against scikit-learn's, and what it does when it is done, stopped or led astray."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge

from hpsearch.mlp import train
from hpsearch.mlp.recipe import LBFGS, Recipe
from tests.problems import PROBLEMS


def start(examples: train.Examples, **choices) -> train.Fit:
    recipe = Recipe(**{"update": LBFGS, "hidden_layer_sizes": ()} | choices)
    return train.start([recipe], [3], examples.inputs.shape[1], examples.targets.shape[1])


def weighted(examples: train.Examples) -> train.Examples:
    row_weights = np.random.default_rng(3).uniform(0.2, 2, len(examples.inputs))
    row_weights /= row_weights[examples.train].mean()
    return replace(examples, row_weights=row_weights.astype(np.float32))


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_a_linear_model_is_scikit_learns_logistic_regression(c):
    """C · Σ loss + ½Σw² is C · n times our mean loss + alpha/2 · Σw² for alpha = 1 / (C · n)."""
    examples = weighted(PROBLEMS["sectors"].examples)
    rows = examples.train
    classes = examples.targets[rows].argmax(axis=1)
    reference = LogisticRegression(C=c, tol=1e-10, max_iter=1000)
    reference.fit(examples.inputs[rows].astype(np.float64), classes, sample_weight=examples.row_weights[rows])
    fit = train.advance(start(examples, alpha=1 / (c * len(rows))), examples, 100, 100)
    assert_allclose(fit.stack.matrices()[0][0].T, reference.coef_, atol=1e-3)
    intercepts = fit.stack.biases()[0][0]
    assert_allclose(intercepts - intercepts.mean(), reference.intercept_ - reference.intercept_.mean(), atol=1e-3)


def test_a_linear_model_of_numbers_is_ridge_regression():
    """Σ error² + a · Σw² is n times our mean loss + alpha/2 · Σw² for alpha = 2a / n."""
    examples = PROBLEMS["spread"].examples
    rows = examples.train
    reference = Ridge(alpha=50.0).fit(examples.inputs[rows], examples.targets[rows, 0])
    fit = train.advance(start(examples, loss="squared_error", alpha=2 * 50 / len(rows)), examples, 50, 50)
    assert fit.stack.matrices()[0].item() == pytest.approx(reference.coef_.item(), abs=1e-3)
    assert fit.stack.biases()[0].item() == pytest.approx(reference.intercept_, abs=1e-3)


def test_on_small_data_it_descends_further_than_adam():
    examples = PROBLEMS["product"].examples
    loss = {}
    for update in (LBFGS, "adam"):
        fit = start(
            examples, update=update, hidden_layer_sizes=(16,), activation="tanh", loss="squared_error",
            learning_rate_init=1e-2,
        )  # fmt: skip
        loss[update] = train.advance(fit, examples, 200, 200).history[0, -1, 0]
    assert loss[LBFGS] < loss["adam"] / 3


def test_the_training_loss_never_rises_and_is_without_the_penalty():
    examples = weighted(PROBLEMS["rings"].examples)
    fit = train.advance(start(examples, hidden_layer_sizes=(8,), activation="tanh", alpha=1e-4), examples, 40, 40)
    losses = fit.history[0, :, 0]
    assert (np.diff(losses) < 1e-3).all() and losses[-1] < 0.2
    # the loss of the weights that the epoch ended with, on the same rows
    held_out = replace(examples, valid=examples.train)
    assert train.validation_loss(fit, held_out) == pytest.approx(losses[-1], rel=1e-4)
    assert_array_equal(fit.average, fit.stack.weights)


def converging(**choices) -> tuple[train.Fit, train.Examples]:
    """A linear model that converges within a few tens of iterations."""
    return start(PROBLEMS["rings"].examples, alpha=0.1, **choices), PROBLEMS["rings"].examples


def test_once_it_has_converged_epochs_change_nothing():
    fit, examples = converging(swa_share=0.4, n_checkpoints=2)
    after = train.advance(fit, examples, 100, 100)
    assert after.outcomes == (None,) and after.epochs[0] == 100
    moved = np.flatnonzero(after.history[0, :, 2])
    assert 2 < len(moved) < 40 and moved[-1] == len(moved) - 1
    assert_array_equal(after.history[0, len(moved) :, :2], np.tile(after.history[0, len(moved) - 1, :2], (100 - len(moved), 1)))
    # what is kept by epochs is kept all the same
    assert_allclose(after.swa[0, 0], after.stack.weights[0], rtol=1e-6)
    for checkpoint in after.checkpoints():
        assert_array_equal(checkpoint.weights, after.stack.weights)


def test_a_converged_model_runs_out_of_patience():
    fit, examples = converging(patience=3)
    after = train.advance(fit, examples, 100, 100)
    assert after.outcomes[0].name == "finished"
    assert after.epochs[0] == after.outcomes[0].epoch == after.history[0, :, 1].argmin() + 1 + 3
    assert after.history.shape == (1, after.epochs[0], 3)


def test_from_the_optimum_it_goes_nowhere():
    """No iteration is made at all, and yet each epoch has its history."""
    examples = PROBLEMS["rings"].examples
    fit = start(examples, loss="squared_error", alpha=1.0)
    weights = np.zeros_like(fit.stack.weights)
    nothing = replace(examples, targets=np.zeros_like(examples.targets))
    after = train.advance(replace(fit, stack=replace(fit.stack, weights=weights)), nothing, 3, 3)
    assert_array_equal(after.stack.weights, weights)
    assert_array_equal(after.history[0], np.zeros((3, 3)))


def test_the_next_call_goes_on_from_the_weights():
    examples = PROBLEMS["rings"].examples
    fit = start(examples, hidden_layer_sizes=(8,), activation="tanh")
    first = train.advance(fit, examples, 5, 30)
    second = train.advance(first, examples, 30, 30)
    assert second.history.shape == (1, 30, 3)
    assert_array_equal(second.history[0, :5], first.history[0])
    assert second.history[0, 5, 0] < first.history[0, 4, 0]
    assert_array_equal(train.advance(first, examples, 30, 30).stack.weights, second.stack.weights)


@pytest.mark.parametrize("n_looks", [0, 1, 2, 9])
def test_a_stop_leaves_the_model_as_it_was(n_looks):
    examples = PROBLEMS["rings"].examples
    fit = train.advance(start(examples, hidden_layer_sizes=(8,), patience=9, n_checkpoints=1), examples, 2, 9)
    looks = iter([False] * n_looks)
    stopped = train.advance(fit, examples, 9, 9, should_stop=lambda: next(looks, True))
    for name in ("average", "best", "ring", "watch", "epochs", "history"):
        assert_array_equal(getattr(stopped, name), getattr(fit, name))
    assert_array_equal(stopped.stack.weights, fit.stack.weights)
    assert stopped.outcomes == (None,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_weights_that_lead_nowhere_are_a_divergence(bad):
    examples = PROBLEMS["rings"].examples
    fit = start(examples, hidden_layer_sizes=(8,))
    weights = fit.stack.weights.copy()
    weights[0, 0] = bad
    after = train.advance(replace(fit, stack=replace(fit.stack, weights=weights)), examples, 9, 9)
    assert after.outcomes[0].name == "diverged" and after.epochs[0] == len(after.history[0]) <= 9


def test_targets_beyond_the_squares_of_float32_are_a_divergence():
    examples = PROBLEMS["product"].examples
    examples = replace(examples, targets=examples.targets * np.float32(1e25))
    after = train.advance(start(examples, hidden_layer_sizes=(8,), loss="squared_error"), examples, 9, 9)
    assert after.outcomes[0].name == "diverged"
