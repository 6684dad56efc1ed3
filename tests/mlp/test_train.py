"""Training: against a naive epoch, bitwise repeatability, independence of company, divergence, learning."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hpsearch.mlp import train
from hpsearch.mlp.layers import dropout_threshold, fill_noise_naive
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Stack, n_weights
from hpsearch.mlp.updates import adamw_naive, ema_step
from tests.problems import PROBLEMS


def recipe(loss="softmax_cross_entropy", **choices) -> Recipe:
    return Recipe(**{"hidden_layer_sizes": (16, 12), "batch_size": 32, "loss": loss} | choices)


def naive_epoch(fit: train.Fit, examples: train.Examples, epoch: int, horizon: int) -> dict[str, np.ndarray]:
    """One model's epoch in plain NumPy: forward, backward, update, minibatch after minibatch."""
    recipe = fit.recipes[0]
    weights, first, second, average = (
        array[0].astype(np.float64) for array in (fit.stack.weights, fit.first, fit.second, fit.average)
    )
    order = train.epoch_order(examples, epoch)
    n_steps = train.steps_per_epoch(len(order), recipe.batch_size)
    threshold = dropout_threshold(recipe.dropout)
    for step in range(n_steps):
        rows = order[step * len(order) // n_steps : (step + 1) * len(order) // n_steps]
        n_updates = epoch * n_steps + step
        stack = Stack(fit.stack.layer_sizes, weights[np.newaxis])
        matrices, biases = [m[0] for m in stack.matrices()], [b[0] for b in stack.biases()]
        values = [examples.inputs[rows].astype(np.float64)]
        masks = []
        for layer, (matrix, bias) in enumerate(zip(matrices[:-1], biases[:-1], strict=True)):
            z = values[-1] @ matrix + bias
            noise = fill_noise_naive(int(fit.seeds[0]), n_updates, layer, -(-z.size // 8)).view(np.uint8)
            kept = noise[: z.size].reshape(z.shape) >= threshold
            masks.append((z > 0) * kept * 256 / (256 - threshold))
            values.append(z * masks[-1])
        last = values[-1] @ matrices[-1]
        targets, row_weights = examples.targets[rows], examples.row_weights[rows]
        _, deltas = LOSSES[recipe.loss].naive(last, biases[-1], targets, row_weights)
        gradient = Stack(fit.stack.layer_sizes, np.zeros((1, weights.size)))
        for layer in reversed(range(len(matrices))):
            gradient.matrices()[layer][0] = values[layer].T @ deltas
            gradient.biases()[layer][0] = deltas.sum(axis=0)
            if layer > 0:
                deltas = (deltas @ matrices[layer].T) * masks[layer - 1]
        n_decayed = weights.size - sum(fit.stack.layer_sizes[1:])
        decay = np.where(np.arange(weights.size) < n_decayed, recipe.weight_decay, 0)
        ema = float(ema_step(recipe.ema_decay, np.array([n_updates]))[0])
        schedule = train.SCHEDULES[recipe.schedule]
        rate = float(schedule(np.array([n_updates / (horizon * n_steps)]), recipe.learning_rate_init)[0])
        weights, first, second, average = adamw_naive(
            weights, gradient.weights[0], first, second, average, rate, decay, recipe.beta_1, recipe.beta_2,
            recipe.epsilon, n_updates + 1, ema,
        )  # fmt: skip
    return {"weights": weights, "first": first, "second": second, "average": average}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("hidden", [(), (9,), (16, 12), (8, 8, 8)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_an_epoch_equals_its_naive_twin(name, hidden, dropout):
    problem = PROBLEMS[name]
    examples = replace(problem.examples, row_weights=np.random.default_rng(3).uniform(0.5, 1.5, 700).astype(np.float32))
    choices = recipe(problem.loss, hidden_layer_sizes=hidden, dropout=dropout, weight_decay=0.1, schedule="cosine")
    fit = train.start([choices], [11], examples.inputs.shape[1], examples.targets.shape[1])
    fit = train.advance(fit, examples, 1, horizon=4)
    expected = naive_epoch(fit, examples, 1, horizon=4)
    trained = train.advance(fit, examples, 2, horizon=4)
    for array, wanted in zip(
        (trained.stack.weights, trained.first, trained.second, trained.average), expected.values(), strict=True
    ):
        np.testing.assert_allclose(array[0], wanted, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("schedule", train.SCHEDULES)
def test_every_problem_is_learned(name, schedule):
    problem = PROBLEMS[name]
    choices = recipe(problem.loss, hidden_layer_sizes=(32, 32), learning_rate_init=1e-2, schedule=schedule)
    fit = train.start([choices] * 3, [0, 1, 2], problem.examples.inputs.shape[1], problem.examples.targets.shape[1])
    trained = train.advance(fit, problem.examples, 60, horizon=60)
    assert (train.validation_loss(trained, problem.examples) < problem.reachable).all()
    train_loss, valid_loss, update_ratio = np.moveaxis(trained.history, 2, 0)
    assert (train_loss[:, -1] < train_loss[:, 0]).all()
    assert (valid_loss[:, -1] < problem.reachable).all()
    assert ((0 < update_ratio) & (update_ratio < 1)).all()


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


def test_a_stop_leaves_models_as_they_were(cohort):
    examples = PROBLEMS["sectors"].examples
    looks = iter([False] * 20)
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
        Stack((2, 3), np.zeros((1, 8), np.float32))
    assert n_weights((2, 3)) == 9
