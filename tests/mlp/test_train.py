"""Training: against a naive epoch, bitwise repeatability, independence of company, divergence, learning."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hpsearch.mlp import train
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.layers import dropout_threshold
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Stack, n_weights
from hpsearch.mlp.steps import step_naive
from hpsearch.mlp.updates import UPDATES, ema_step
from tests.problems import PROBLEMS


def recipe(loss="softmax_cross_entropy", **choices) -> Recipe:
    return Recipe(**{"hidden_layer_sizes": (16, 12), "batch_size": 32, "loss": loss} | choices)


def naive_epoch(fit: train.Fit, examples: train.Examples, epoch: int, horizon: int) -> tuple[np.ndarray, ...]:
    """One model's epoch in plain NumPy: its weights, moments and average after it."""
    recipe = fit.recipes[0]
    state = fit.stack.weights[0], fit.first[0], fit.second[0], fit.average[0]
    order = train.epoch_order(examples, epoch)
    n_steps = train.steps_per_epoch(len(order), recipe.batch_size)
    updates = epoch * n_steps + np.arange(n_steps)
    rates = train.SCHEDULES[recipe.schedule](updates / (horizon * n_steps), recipe.learning_rate_init)
    averaging = ema_step(recipe.ema_decay, updates)
    for step, n_updates in enumerate(updates):
        rows = order[step * len(order) // n_steps : (step + 1) * len(order) // n_steps]
        state = step_naive(
            examples.inputs[rows], examples.targets[rows], examples.row_weights[rows], recipe.loss,
            recipe.update, replace(fit.stack, weights=state[0][np.newaxis]), *state[1:], rates[step],
            averaging[step], recipe.weight_decay, recipe.beta_1, recipe.beta_2, recipe.epsilon,
            dropout_threshold(recipe.dropout), int(fit.seeds[0]), int(n_updates),
        )  # fmt: skip
    return state


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("hidden", [(), (9,), (16, 12), (8, 8, 8)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("update", UPDATES)
def test_an_epoch_equals_its_naive_twin(name, hidden, dropout, activation, update):
    problem = PROBLEMS[name]
    row_weights = np.random.default_rng(3).uniform(0.5, 1.5, len(problem.examples.inputs)).astype(np.float32)
    examples = replace(problem.examples, row_weights=row_weights)
    choices = recipe(
        problem.loss, hidden_layer_sizes=hidden, dropout=dropout, weight_decay=0.1, schedule="cosine",
        activation=activation, update=update,
    )  # fmt: skip
    fit = train.start([choices], [11], examples.inputs.shape[1], examples.targets.shape[1])
    fit = train.advance(fit, examples, 1, horizon=4)
    expected = naive_epoch(fit, examples, 1, horizon=4)
    trained = train.advance(fit, examples, 2, horizon=4)
    for array, wanted in zip(
        (trained.stack.weights, trained.first, trained.second, trained.average), expected, strict=True
    ):
        np.testing.assert_allclose(array[0], wanted, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("schedule", train.SCHEDULES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("update", UPDATES)
def test_every_problem_is_learned(name, schedule, activation, update):
    problem = PROBLEMS[name]
    choices = recipe(
        problem.loss, hidden_layer_sizes=(32, 32), learning_rate_init=1e-2, schedule=schedule, activation=activation,
        update=update,
    )  # fmt: skip
    fit = train.start([choices] * 3, [0, 1, 2], problem.examples.inputs.shape[1], problem.examples.targets.shape[1])
    trained = train.advance(fit, problem.examples, 60, horizon=60)
    assert (train.validation_loss(trained, problem.examples) < problem.reachable).all()
    train_loss, valid_loss, update_ratio = np.moveaxis(trained.history, 2, 0)
    assert (train_loss[:, -1] < train_loss[:, 0]).all()
    assert (valid_loss[:, -1] < problem.reachable).all()
    assert ((0 < update_ratio) & (update_ratio < 1)).all()


def test_every_loss_has_a_problem():
    assert {problem.loss for problem in PROBLEMS.values()} == set(LOSSES)


@pytest.mark.parametrize(
    ("table", "name"), [(ACTIVATIONS, "relu"), (LOSSES, "softmax_cross_entropy"), (UPDATES, "adamw")]
)
def test_what_trains_is_what_the_table_names(table, name, monkeypatch):
    """With a code that no kernel has, the compiled steps fail: nothing is wired past the tables."""
    monkeypatch.setitem(table, name, replace(table[name], code=-1))
    fit = train.start([recipe()], [1], 2, 5)
    with pytest.raises(ValueError, match="has this code"):
        train.advance(fit, PROBLEMS["sectors"].examples, 1, 9)
    if table is not UPDATES:
        with pytest.raises(ValueError, match="has this code"):
            train.validation_loss(fit, PROBLEMS["sectors"].examples)


def assert_equal_models(left: train.Fit, right: train.Fit) -> None:
    for name in ("first", "second", "average", "epochs", "history", "seeds"):
        assert_array_equal(getattr(left, name), getattr(right, name))
    assert_array_equal(left.stack.weights, right.stack.weights)
    assert left.recipes == right.recipes and left.outcomes == right.outcomes


@pytest.fixture
def cohort():
    recipes = [
        recipe(learning_rate_init=3e-3, dropout=0.2),
        recipe(learning_rate_init=1e-2, weight_decay=0.3),
        recipe(learning_rate_init=1e-3, schedule="cosine"),
        recipe(learning_rate_init=2e-2, dropout=0.5, ema_decay=0.9),
    ]
    return train.start(recipes, [5, 6, 7, 8], 2, 5)


def test_a_model_does_not_depend_on_its_company(cohort):
    examples = PROBLEMS["sectors"].examples
    together = train.advance(cohort, examples, 4, 9)
    for model in range(cohort.n_models):
        alone = train.advance(train.take(cohort, [model]), examples, 4, 9)
        assert_equal_models(alone, train.take(together, [model]))


def test_training_resumes_bit_by_bit_whatever_the_grouping(cohort):
    examples = PROBLEMS["sectors"].examples
    at_once = train.advance(cohort, examples, 5, 9)
    half_way = train.advance(cohort, examples, 2, 9)
    parts = [train.advance(train.take(half_way, models), examples, 5, 9) for models in ([3, 1], [0, 2])]
    regrouped = train.take(train.concatenate(parts), [2, 1, 3, 0])
    assert_equal_models(regrouped, at_once)


def test_advance_leaves_its_argument_and_finished_models_alone(cohort):
    examples = PROBLEMS["sectors"].examples
    before = cohort.stack.weights.copy()
    trained = train.advance(cohort, examples, 2, 9)
    assert_array_equal(cohort.stack.weights, before)
    assert_equal_models(train.advance(trained, examples, 1, 9), trained)


def test_models_of_different_age_share_a_stack(cohort):
    examples = PROBLEMS["sectors"].examples
    older = train.advance(train.take(cohort, [0]), examples, 3, 9)
    mixed = train.concatenate([older, train.take(cohort, [1])])
    assert mixed.epochs.tolist() == [3, 0]
    assert np.isnan(mixed.history[1]).all()
    caught_up = train.advance(mixed, examples, 4, 9)
    assert_equal_models(caught_up, train.advance(train.take(cohort, [0, 1]), examples, 4, 9))


@pytest.mark.parametrize("bad", [{"learning_rate_init": 1e30}, {"learning_rate_init": 5.0, "weight_decay": 100.0}])
def test_divergence_is_an_outcome_and_leaves_neighbours_alone(cohort, bad):
    examples = PROBLEMS["sectors"].examples
    wild = train.start([replace(cohort.recipes[0], **bad)], [9], 2, 5)
    together = train.advance(train.concatenate([cohort, wild]), examples, 6, 9)
    assert [outcome is None for outcome in together.outcomes] == [True] * 4 + [False]
    outcome = together.outcomes[4]
    assert outcome.name == "diverged" and "learning_rate_init" in outcome.sentence
    assert together.epochs[4] == outcome.epoch <= 6
    assert_equal_models(train.take(together, [0, 1, 2, 3]), train.advance(cohort, examples, 6, 9))
    assert_equal_models(train.advance(together, examples, 6, 9), together)


def test_one_huge_step_is_noticed_on_the_validation_rows():
    """With one minibatch per epoch the training loss is that before the step: only the validation loss shows it."""
    examples = PROBLEMS["rings"].examples
    fit = train.start([recipe(learning_rate_init=1e30, batch_size=1000)], [1], 2, 2)
    trained = train.advance(fit, examples, 1, 9)
    assert np.isfinite(trained.stack.weights).all() and np.isfinite(trained.history[0, 0, 0])
    assert trained.outcomes[0].name == "diverged"


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_heavy_tail_is_no_divergence(part):
    """One target of 1e4 deviations: the loss there is far beyond the loss at chance of the other rows."""
    examples = PROBLEMS["product"].examples
    targets = examples.targets.copy()
    targets[getattr(examples, part)[0]] = 1e4
    examples = replace(examples, targets=targets)
    trained = train.advance(train.start([recipe("squared_error")], [1], 2, 1), examples, 3, 9)
    assert trained.outcomes == (None,) and trained.epochs == 3
    assert trained.history[0, -1, 1 if part == "valid" else 0] > 1e5


def test_a_stop_leaves_models_as_they_were(cohort, monkeypatch):
    monkeypatch.setattr(train, "PIECE_OPERATIONS", 3e5)
    examples = PROBLEMS["sectors"].examples
    looks = iter([False] * 40)
    stopped = train.advance(cohort, examples, 5, 9, should_stop=lambda: next(looks, True))
    done = [model for model in range(4) if stopped.epochs[model] == 5]
    assert 0 < len(done) < 4
    assert_equal_models(train.advance(stopped, examples, 5, 9), train.advance(cohort, examples, 5, 9))
    for model in set(range(4)) - set(done):
        assert_equal_models(train.take(stopped, [model]), train.take(cohort, [model]))


def test_rows_are_all_used_in_minibatches_of_equal_size():
    examples = PROBLEMS["rings"].examples
    order = train.epoch_order(examples, 3)
    assert sorted(order) == sorted(examples.train)
    assert train.steps_per_epoch(450, 32) == 15
    assert train.steps_per_epoch(10, 32) == 1
    assert not np.array_equal(order, train.epoch_order(examples, 4))


def test_row_weights_count_as_repeated_rows():
    """Doubling a row's weight equals having it twice, with one full-size minibatch per epoch."""
    examples = PROBLEMS["product"].examples
    doubled = replace(examples, train=np.concatenate([np.arange(450), np.arange(100)]))
    weights = np.where(np.arange(600) < 100, 2, 1).astype(np.float32)
    # the gradient is a mean over rows: scale the weights to the same total per row
    weighted = replace(examples, row_weights=weights * np.float32(450 / 550))
    choices = recipe("squared_error", batch_size=1000, hidden_layer_sizes=(16,))
    fit = train.start([choices], [1], 2, 1)
    left, right = train.advance(fit, doubled, 5, 5), train.advance(fit, weighted, 5, 5)
    np.testing.assert_allclose(left.stack.weights, right.stack.weights, rtol=1e-3, atol=1e-4)


def test_stacks_and_fits_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="equal layers"):
        train.start([recipe(), recipe(hidden_layer_sizes=(3,))], [1, 2], 2, 5)
    with pytest.raises(ValueError, match="concatenated"):
        train.concatenate([train.start([recipe()], [1], 2, 5), train.start([recipe(batch_size=9)], [1], 2, 5)])
    with pytest.raises(ValueError, match="weights must have the shape"):
        Stack((2, 3), "relu", np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match="activation must be one of relu, but got 'tan'"):
        Stack((2, 3), "tan", np.zeros((1, 9), np.float32))
    assert n_weights((2, 3)) == 9


@pytest.mark.parametrize("use", [lambda fit, examples: train.advance(fit, examples, 1, 9), train.validation_loss])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": np.zeros((700, 3), np.float32)}, r"inputs must have the shape \(n_rows, 2\) .* got \(700, 3\)"),
        ({"inputs": np.zeros((700, 1), np.float32)}, r"inputs must have the shape \(n_rows, 2\) .* got \(700, 1\)"),
        ({"inputs": np.zeros((699, 2), np.float32)}, r"targets must have the shape \(699, 5\) .* got \(700, 5\)"),
        ({"targets": np.zeros((700, 4), np.float32)}, r"targets must have the shape \(700, 5\) .* got \(700, 4\)"),
        ({"row_weights": np.ones(9, np.float32)}, r"row_weights must have the shape \(700,\) .* got \(9,\)"),
        ({"row_weights": np.zeros(700, np.float32)}, "row_weights must not be 0 on all train rows"),
        ({"valid": np.array([], np.int64)}, "row_weights must not be 0 on all valid rows, but are on all 0"),
        ({"train": np.array([3, 700])}, "train must hold row numbers from 0 to 699, but got 3 to 700"),
        ({"valid": np.array([3, -1])}, "valid must hold row numbers from 0 to 699, but got -1 to 3"),
    ],
)
def test_examples_that_do_not_fit_are_refused(use, changed, message):
    examples = replace(PROBLEMS["sectors"].examples, **changed)
    with pytest.raises(ValueError, match=message):
        use(train.start([recipe()], [1], 2, 5), examples)


def test_moments_of_another_size_are_refused():
    fit = train.start([recipe()], [1], 2, 5)
    with pytest.raises(ValueError, match="second must have the shape of the weights"):
        replace(fit, second=fit.second[:, :-1])


def test_how_the_work_is_cut_changes_no_bit(cohort, monkeypatch):
    examples = PROBLEMS["sectors"].examples
    whole = train.advance(cohort, examples, 5, 9)
    monkeypatch.setattr(train, "PIECE_OPERATIONS", 1)
    assert_equal_models(train.advance(cohort, examples, 5, 9), whole)
    monkeypatch.setattr(train, "ORDER_BYTES", 2 * 8 * 500)
    assert_equal_models(train.advance(cohort, examples, 5, 9), whole)
