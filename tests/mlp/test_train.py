"""Training: bitwise repeatability for every recipe, divergence, what is kept along the way, learning."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from functools import cache
from threading import Barrier

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp import train
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import INITIALISERS
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.predict import last_layers
from hpsearch.mlp.recipe import LBFGS, NOT_WITH_LBFGS, Recipe
from hpsearch.mlp.schedules import SCHEDULES, watch_plateau_naive
from hpsearch.mlp.updates import UPDATES
from tests.problems import PROBLEMS, UPPER, UPPER_NORMAL

RATES = {
    "sgd": 0.1, "momentum": 0.03, "nesterov": 0.03, "adagrad": 0.05, "adadelta": 10.0, "rmsprop": 3e-3, "adam": 1e-2,
    "adamw": 1e-2, "nadam": 1e-2, "amsgrad": 1e-2, "ftrl": 0.2, LBFGS: 1e-3,
}  # fmt: skip
"""A learning rate for each update rule that suits the problems."""


def recipe(loss="softmax_cross_entropy", **choices) -> Recipe:
    return Recipe(**{"hidden_layer_sizes": (16, 12), "batch_size": 32, "loss": loss} | choices)


def start(recipes: list[Recipe], examples: train.Examples, first_seed: int = 1) -> train.Fit:
    n_inputs, n_outputs = examples.inputs.shape[1], examples.targets.shape[1]
    return train.start(recipes, range(first_seed, first_seed + len(recipes)), n_inputs, n_outputs)


def without_validation(examples: train.Examples) -> train.Examples:
    return replace(examples, valid=np.array([], np.int64))


def arrays(fit: train.Fit) -> dict[str, np.ndarray]:
    found = {field.name: getattr(fit, field.name) for field in fields(fit)} | {"weights": fit.stack.weights}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def assert_equal_models(left: train.Fit, right: train.Fit) -> None:
    assert left.recipes == right.recipes
    for name, array in arrays(left).items():
        assert_array_equal(array, arrays(right)[name], err_msg=name)
    # outcomes of a diverged model may hold NaN, which equals nothing: compare what a person reads
    assert str(left.outcomes) == str(right.outcomes)


@pytest.fixture
def cohort():
    recipes = [
        recipe(learning_rate_init=3e-3, dropout=0.2),
        recipe(learning_rate_init=1e-2, weight_decay=0.3),
        recipe(learning_rate_init=1e-3, schedule="cosine"),
        recipe(learning_rate_init=2e-2, dropout=0.5, ema_decay=0.9),
    ]
    return start(recipes, PROBLEMS["sectors"].examples, 5)


# every recipe: the same bits however training is cut, grouped and threaded


def small() -> train.Examples:
    """Sixty rows of six inputs, which may be images of 2 × 3 pixels, and three classes."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((60, 6)).astype(np.float32)
    classes = (inputs @ generator.standard_normal((6, 3)) + generator.standard_normal((60, 3))).argmax(axis=1)
    return train.Examples(
        inputs=inputs,
        targets=np.eye(3, dtype=np.float32)[classes],
        row_weights=generator.uniform(0.5, 1.5, 60).astype(np.float32),
        train=np.arange(45),
        valid=np.arange(45, 60),
        order_seed=2**64 - 1,
    )


EXAMPLES = small()
HORIZON = 7
SHALLOW_REGULARISERS = {
    "dropout": 0.3, "input_dropout": 0.2, "drop_connect": 0.2, "label_smoothing": 0.1, "alpha": 0.1, "max_norm": 0.8,
    "clip_value": 0.01, "clip_norm": 0.1, "prune": 0.3, "initial_bias": 0.1, "ema_decay": 0.5, "weight_decay": 0.3,
    "noise": 0.2, "swap_noise": 0.2, "mixup": 0.3,
}  # fmt: skip
IMAGES = {
    "image_shape": (2, 3), "shift": 1, "flip": True, "crop_pad": 1, "cutout": 1, "brightness": 0.2, "contrast": 0.2,
}  # fmt: skip
KEPT = {"swa_share": 0.5, "n_checkpoints": 2, "checkpoint_every": 2, "patience": 30}
DEPTH = {"residual": True, "stochastic_depth": 0.3}
PLATEAU = {"schedule": "plateau", "plateau_patience": 0, "drop": 0.5}


def cases() -> Iterator[tuple[str, dict[str, object]]]:
    """Names and choices of recipes: each choice by itself, and many at once."""
    for update in (*UPDATES, LBFGS):
        yield f"update {update}", {"update": update}
        if update != LBFGS:
            both = {"weight_decay": 0.1, "alpha": 0.1, "l1_ratio": 0.3, "dropout": 0.2} | KEPT
            yield f"update {update} with decay and penalties", {"update": update} | both
    yield "lbfgs keeping", {"update": LBFGS, "alpha": 0.01, "residual": True} | KEPT
    for schedule in SCHEDULES:
        yield f"schedule {schedule}", {"schedule": schedule}
        yield f"schedule {schedule} after a warm-up", {"schedule": schedule, "warm_up": 0.4}
    yield "plateau that drops", {"learning_rate_init": 0.1} | PLATEAU
    for activation in ACTIVATIONS:
        yield f"activation {activation}", {"activation": activation}
        yield (
            f"activation {activation} normalised",
            {"activation": activation, "batch_norm": True, "dropout": 0.2} | DEPTH,
        )
    for initialiser in INITIALISERS:
        yield f"initialiser {initialiser}", {"initialiser": initialiser}
    for loss in LOSSES:
        yield f"loss {loss}", {"loss": loss}
    for name, value in SHALLOW_REGULARISERS.items():
        yield name, {name: value}
    for name, value in KEPT.items():
        yield name, {"n_checkpoints": 1, name: value}
    yield "elastic", {"alpha": 0.1, "l1_ratio": 0.5}
    yield "images", IMAGES
    yield "residual", {"residual": True}
    yield "batch norm", {"batch_norm": True}
    yield "batch norm keeping", {"batch_norm": True} | KEPT
    waves = {"n_frequencies": 3, "frequency_scale": 0.5}
    yield "waves", waves
    yield "waves keeping", waves | KEPT | {"batch_norm": True}
    yield "waves of a linear model", waves | {"hidden_layer_sizes": ()}
    yield "waves with lbfgs", waves | {"update": LBFGS}
    yield "linear", {"hidden_layer_sizes": ()}
    yield "all rows at once", {"batch_size": 100}
    yield (
        "everything",
        SHALLOW_REGULARISERS | IMAGES | KEPT | DEPTH | PLATEAU | waves | {"batch_norm": True, "warm_up": 0.2},
    )
    pieces = {"activation": "maxout", "pieces": 3, "update": "amsgrad", "batch_norm": True}
    yield "everything with maxout", SHALLOW_REGULARISERS | KEPT | DEPTH | pieces


CASES = dict(cases())


@cache
def company(case: str) -> train.Fit:
    """Three models: two of the case's recipe, one of another learning rate between them."""
    sizes = {"hidden_layer_sizes": (7, 7, 5), "batch_size": 16}
    one = Recipe(**sizes | {"learning_rate_init": 1e-2} | CASES[case])
    recipes = [one, replace(one, learning_rate_init=3 * one.learning_rate_init), one]
    return train.start(recipes, [5, 6, 2**64 - 1], 6, 3)


@cache
def trained(case: str) -> train.Fit:
    return train.advance(company(case), EXAMPLES, 6, HORIZON)


def test_the_cases_cover_every_choice():
    choices = {}
    for case in CASES:
        for name, value in asdict(company(case).recipes[0]).items():
            choices.setdefault(name, set()).add(value)
    assert choices["update"] == {*UPDATES, LBFGS}
    assert choices["schedule"] == set(SCHEDULES)
    assert choices["activation"] == set(ACTIVATIONS)
    assert choices["initialiser"] == set(INITIALISERS)
    assert choices["loss"] == set(LOSSES)
    # the numbers of losses, rules and schedules change what is computed, not how it goes on
    numbers = {"momentum", "rho", "beta_1", "beta_2", "ftrl_beta", "epsilon", "huber_delta", "quantile"}
    numbers |= {"milestones", "drop_every", "decay_rate", "decay_power", "cycles"}
    numbers |= {"encoding"}  # a name, to the engine
    assert {name for name, values in choices.items() if len(values) == 1} <= numbers


@pytest.mark.parametrize("case", CASES)
def test_every_recipe_trains(case):
    fit = trained(case)
    assert fit.outcomes == (None,) * 3 and fit.epochs.tolist() == [6] * 3
    assert np.isfinite(fit.history).all()
    for name in ("weights", "average"):
        assert (arrays(fit)[name] != arrays(company(case))[name]).any(axis=1).all()
    # equal recipes with different seeds are different models
    assert (fit.stack.weights[0] != fit.stack.weights[2]).any()


def way_points(case: str) -> list[int]:
    """L-BFGS forgets at each call: to it, the same calls are the same training."""
    return [6] if CASES[case].get("update") == LBFGS else [1, 3, 6]


@pytest.mark.parametrize("case", CASES)
def test_training_resumes_bit_by_bit(case):
    fit = company(case)
    for epochs in way_points(case):
        fit = train.advance(fit, EXAMPLES, epochs, HORIZON)
    assert_equal_models(fit, trained(case))


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_a_model_do_not_depend_on_its_company(case):
    parts = [train.take(company(case), models) for models in ([2, 1], [0])]
    for epochs in way_points(case):
        parts = [train.advance(part, EXAMPLES, epochs, HORIZON) for part in parts]
    regrouped = train.take(train.concatenate(parts), [2, 1, 0])
    assert_equal_models(regrouped, trained(case))


@pytest.mark.parametrize("case", CASES)
def test_how_the_work_is_cut_changes_no_bit(case, monkeypatch):
    monkeypatch.setattr(train, "PIECE_OPERATIONS", 1)
    monkeypatch.setattr(train, "ORDER_BYTES", 2 * 8 * 45)
    assert_equal_models(train.advance(company(case), EXAMPLES, 6, HORIZON), trained(case))


@pytest.mark.parametrize("case", CASES)
def test_two_threads_compute_the_same_bits(case, monkeypatch):
    monkeypatch.setattr(train, "PIECE_OPERATIONS", 1)
    together = Barrier(2)

    def work() -> train.Fit:
        together.wait()
        return train.advance(company(case), EXAMPLES, 6, HORIZON)

    with ThreadPoolExecutor(2) as pool:
        for result in [pool.submit(work) for _ in range(2)]:
            assert_equal_models(result.result(), trained(case))


@pytest.mark.parametrize("case", CASES)
def test_a_diverging_neighbour_changes_nothing(case):
    fit = company(case)
    weights = fit.stack.weights.copy()
    weights[1] = np.nan
    together = train.advance(replace(fit, stack=replace(fit.stack, weights=weights)), EXAMPLES, 6, HORIZON)
    assert together.outcomes[1].name == "diverged" and together.epochs[1] == 1
    assert_equal_models(train.take(together, [0, 2]), train.take(trained(case), [0, 2]))


def test_advance_leaves_its_argument_and_finished_models_alone():
    fit = company("everything")
    before = {name: array.copy() for name, array in arrays(fit).items()}
    after = train.advance(fit, EXAMPLES, 2, HORIZON)
    for name, array in arrays(fit).items():
        assert_array_equal(array, before[name])
    assert_equal_models(train.advance(after, EXAMPLES, 1, HORIZON), after)
    assert_equal_models(train.advance(after, EXAMPLES, 2, HORIZON), after)


def test_models_of_different_age_share_a_stack(cohort):
    examples = PROBLEMS["sectors"].examples
    older = train.advance(train.take(cohort, [0]), examples, 3, 9)
    mixed = train.concatenate([older, train.take(cohort, [1])])
    assert mixed.epochs.tolist() == [3, 0]
    assert np.isnan(mixed.history[1]).all()
    caught_up = train.advance(mixed, examples, 4, 9)
    assert_equal_models(caught_up, train.advance(train.take(cohort, [0, 1]), examples, 4, 9))


def test_a_seed_has_64_bits():
    """2^64 − 1 and 2^63 are the same number in float32, and nearly in float64."""
    seeds = [0, 2**32, 2**63, 2**64 - 1024, 2**64 - 1]
    fit = train.start([recipe(dropout=0.2)] * 5, seeds, 2, 5)
    assert fit.seeds.dtype == np.uint64 and [int(seed) for seed in fit.seeds] == seeds
    after = train.advance(fit, PROBLEMS["sectors"].examples, 1, 9)
    for stack in (fit.stack, after.stack):
        assert len({weights.tobytes() for weights in stack.weights}) == 5


# learning


@pytest.mark.parametrize("update", [*UPDATES, LBFGS])
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_learned_with_every_update_rule(name, update):
    problem = PROBLEMS[name]
    choices = recipe(
        problem.loss, hidden_layer_sizes=(32, 32), update=update, learning_rate_init=RATES[update], schedule="cosine",
        activation="tanh" if update == LBFGS else "relu", alpha=1e-3 if update == LBFGS else 0.0, **problem.numbers,
    )  # fmt: skip
    fit = train.advance(start([choices] * 2, problem.examples), problem.examples, 60, horizon=60)
    assert (train.validation_loss(fit, problem.examples) < problem.reachable).all()
    train_loss, valid_loss, update_ratio = np.moveaxis(fit.history, 2, 0)
    assert (train_loss[:, -1] < train_loss[:, 0]).all()
    assert (valid_loss[:, -1] < problem.reachable).all()
    assert (update_ratio < 1).all() and (update_ratio[:, 0] > 0).all()


def test_every_loss_has_a_problem_and_every_rule_a_rate():
    assert {problem.loss for problem in PROBLEMS.values()} == set(LOSSES)
    assert RATES.keys() == {*UPDATES, LBFGS}


@pytest.mark.parametrize("layers", [{}, {"batch_norm": True}, {"residual": True, "stochastic_depth": 0.1}])
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"identity"}))
def test_every_activation_learns(activation, layers):
    problem = PROBLEMS["rings"]
    rate = 3e-2 if activation == "sigmoid" else 1e-2
    choices = recipe(
        problem.loss, hidden_layer_sizes=(16, 16), activation=activation, learning_rate_init=rate, **layers
    )
    fit = train.advance(start([choices], problem.examples), problem.examples, 60, horizon=60)
    assert train.validation_loss(fit, problem.examples) < problem.reachable


def test_without_a_nonlinearity_no_circle_is_learned():
    problem = PROBLEMS["rings"]
    choices = recipe(problem.loss, activation="identity", learning_rate_init=1e-2)
    fit = train.advance(start([choices], problem.examples), problem.examples, 40, horizon=40)
    assert train.validation_loss(fit, problem.examples) > 0.6


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_learns(schedule):
    problem = PROBLEMS["sectors"]
    choices = recipe(problem.loss, hidden_layer_sizes=(32, 32), schedule=schedule, learning_rate_init=2e-2)
    fit = train.advance(start([choices], problem.examples), problem.examples, 60, horizon=60)
    assert train.validation_loss(fit, problem.examples) < problem.reachable


def test_the_quantile_loss_learns_the_quantile():
    problem = PROBLEMS["spread"]
    choices = recipe(problem.loss, learning_rate_init=1e-2, schedule="cosine", **problem.numbers)
    fit = train.advance(start([choices], problem.examples), problem.examples, 60, horizon=60)
    inputs = np.linspace(-0.9, 0.9, 50, dtype=np.float32)[:, np.newaxis]
    answers = last_layers(fit.stack_of("ema"), inputs, np.arange(50))[0]
    assert np.abs(answers - (inputs + UPPER_NORMAL * (0.5 + 0.4 * inputs))).mean() < 0.1
    rows = problem.examples.valid
    below = problem.examples.targets[rows] < last_layers(fit.stack_of("ema"), problem.examples.inputs, rows)[0]
    assert below.mean() == pytest.approx(UPPER, abs=0.05)


def test_robust_losses_take_no_notice_of_outliers():
    """All three learn `product` with outliers; the squared error follows them, half a deviation up."""
    rows, clean = PROBLEMS["product"].examples.valid, PROBLEMS["product"].examples
    bias = {}
    for loss in ("squared_error", "huber", "absolute_error"):
        examples = PROBLEMS["outliers"].examples
        choices = recipe(loss, huber_delta=0.25, learning_rate_init=3e-3)
        fit = train.advance(start([choices], examples), examples, 30, 30)
        bias[loss] = float((last_layers(fit.stack_of("ema"), clean.inputs, rows)[0] - clean.targets[rows]).mean())
    assert bias["squared_error"] > 0.3
    assert abs(bias["huber"]) < 0.15 and abs(bias["absolute_error"]) < 0.15


@pytest.mark.parametrize(
    ("table", "name"), [(ACTIVATIONS, "relu"), (LOSSES, "softmax_cross_entropy"), (UPDATES, "adamw")]
)
def test_what_trains_is_what_the_table_names(table, name, monkeypatch):
    """With a code that no kernel has, the compiled steps fail: nothing is wired past the tables."""
    monkeypatch.setitem(table, name, replace(table[name], code=-2))
    # no other architecture has nine units: layouts are kept, with the code they were made with
    fit = start([recipe(hidden_layer_sizes=(9,))], PROBLEMS["sectors"].examples)
    with pytest.raises(ValueError, match="has this code"):
        train.advance(fit, PROBLEMS["sectors"].examples, 1, 9)
    if table is not UPDATES:
        with pytest.raises(ValueError, match="has this code"):
            train.validation_loss(fit, PROBLEMS["sectors"].examples)


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
    fit = start([recipe("squared_error", batch_size=1000, hidden_layer_sizes=(16,))], examples)
    left, right = train.advance(fit, doubled, 5, 5), train.advance(fit, weighted, 5, 5)
    assert_allclose(left.stack.weights, right.stack.weights, rtol=1e-3, atol=1e-4)


# divergence and stopping


@pytest.mark.parametrize("bad", [{"learning_rate_init": 1e30}, {"learning_rate_init": 5.0, "weight_decay": 100.0}])
def test_divergence_is_an_outcome_and_leaves_neighbours_alone(cohort, bad):
    examples = PROBLEMS["sectors"].examples
    wild = start([replace(cohort.recipes[0], **bad)], examples, 9)
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
    fit = start([recipe(learning_rate_init=1e30, batch_size=1000)], examples)
    after = train.advance(fit, examples, 1, 9)
    assert np.isfinite(after.stack.weights).all() and np.isfinite(after.history[0, 0, 0])
    assert after.outcomes[0].name == "diverged"


def test_divergence_is_noticed_without_validation_rows():
    examples = without_validation(PROBLEMS["rings"].examples)
    fit = start([recipe(learning_rate_init=1e30), recipe()], examples)
    after = train.advance(fit, examples, 3, 9)
    assert after.outcomes[0].name == "diverged" and after.outcomes[1] is None
    assert np.isnan(after.history[1, :, 1]).all() and np.isnan(train.validation_loss(after, examples)).all()


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_heavy_tail_is_no_divergence(part):
    """One target of 1e4 deviations: the loss there is far beyond the loss at chance of the other rows."""
    examples = PROBLEMS["product"].examples
    targets = examples.targets.copy()
    targets[getattr(examples, part)[0]] = 1e4
    examples = replace(examples, targets=targets)
    after = train.advance(start([recipe("squared_error")], examples), examples, 3, 9)
    assert after.outcomes == (None,) and after.epochs == 3
    assert after.history[0, -1, 1 if part == "valid" else 0] > 1e5


@pytest.mark.parametrize("kept", [{}, {"batch_norm": True} | KEPT])
def test_a_stop_leaves_models_as_they_were(cohort, kept, monkeypatch):
    monkeypatch.setattr(train, "PIECE_OPERATIONS", 3e5)
    examples = PROBLEMS["sectors"].examples
    cohort = start([replace(one, **kept) for one in cohort.recipes], examples)
    looks = iter([False] * 40)
    stopped = train.advance(cohort, examples, 5, 9, should_stop=lambda: next(looks, True))
    done = [model for model in range(4) if stopped.epochs[model] == 5]
    assert 0 < len(done) < 4
    assert_equal_models(train.advance(stopped, examples, 5, 9), train.advance(cohort, examples, 5, 9))
    for model in set(range(4)) - set(done):
        assert_equal_models(train.take(stopped, [model]), train.take(cohort, [model]))


# what is watched and kept along the way


def coin_tosses() -> train.Examples:
    """Classes that nothing tells: soon every step is one towards the noise of the training rows."""
    examples = PROBLEMS["rings"].examples
    classes = np.random.default_rng(5).integers(0, 2, len(examples.inputs))
    return replace(examples, targets=np.eye(2, dtype=np.float32)[classes])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_early_stopping_keeps_the_best_weights(batch_norm):
    examples = coin_tosses()
    choices = recipe(learning_rate_init=2e-2, ema_decay=0.9, patience=4, batch_norm=batch_norm)
    fit = start([choices], examples)
    after = train.advance(fit, examples, 100, 100)
    losses = after.history[0, :, 1]
    best = int(losses.argmin())
    assert after.epochs[0] == len(losses) == best + 1 + 4 < 100
    assert after.outcomes[0].name == "finished" and after.outcomes[0].epoch == after.epochs[0]
    assert f"{after.epochs[0]} epochs, 4 of them without a better loss" in after.outcomes[0].sentence
    until_best = train.advance(fit, examples, best + 1, 100)
    assert_array_equal(after.best[:, 0], until_best.average)
    rows = examples.valid
    of_best, of_average = (
        last_layers(stack, examples.inputs, rows) for stack in (after.stack_of("best"), until_best.stack_of("ema"))
    )
    assert_array_equal(of_best, of_average)
    assert_equal_models(train.advance(after, examples, 100, 100), after)


def test_without_validation_rows_patience_watches_the_training_loss():
    examples = without_validation(PROBLEMS["rings"].examples)
    # a rate of 0 at the end: no better loss any more, but for the order of sums
    choices = recipe(learning_rate_init=1e-2, schedule="linear", patience=3)
    after = train.advance(start([choices], examples), examples, 60, 10)
    losses = after.history[0, :, 0]
    assert after.epochs[0] == losses.argmin() + 1 + 3 < 60
    assert after.outcomes[0].name == "finished"


def test_a_model_without_patience_trains_on_beside_one_that_ended():
    examples = coin_tosses()
    recipes = [recipe(learning_rate_init=2e-2, patience=2), recipe(learning_rate_init=2e-2, patience=50)]
    after = train.advance(start(recipes, examples), examples, 40, 40)
    assert after.epochs[0] < 40 == after.epochs[1]
    assert after.outcomes[0].name == "finished" and after.outcomes[1] is None
    assert np.isnan(after.history[0, after.epochs[0] :]).all()


def test_plateau_lowers_the_rate_as_its_naive_twin_says():
    """A drop to 0 shows: no weight moves any more."""
    examples = coin_tosses()
    choices = recipe(learning_rate_init=2e-2, ema_decay=0.5, schedule="plateau", plateau_patience=2, drop=0.0)
    after = train.advance(start([choices], examples), examples, 40, 40)
    watch, factors = np.array([np.inf, 0, 1]), []
    for loss in after.history[0, :, 1]:
        watch = watch_plateau_naive(loss, watch, 2, 0.0)
        factors.append(watch[2])
    assert_array_equal(after.watch[0, 2:], watch)
    dropped = factors.index(0)
    assert 2 <= dropped < 35
    update_ratio = after.history[0, :, 2]
    assert (update_ratio[: dropped + 1] > 0).all() and (update_ratio[dropped + 1 :] == 0).all()


def test_plateau_watches_the_training_loss_without_validation_rows():
    examples = without_validation(PROBLEMS["rings"].examples)
    choices = recipe(learning_rate_init=0.2, schedule="plateau", plateau_patience=0)
    after = train.advance(start([choices], examples), examples, 15, 15)
    watch = np.array([np.inf, 0, 1])
    for loss in after.history[0, :, 0]:
        watch = watch_plateau_naive(loss, watch, 0, 0.1)
    assert_array_equal(after.watch[0, 2:], watch)
    assert watch[2] < 1


def by_epoch(fit: train.Fit, epochs: int, horizon: int) -> list[train.Fit]:
    """The fit after each epoch."""
    fits = []
    for epoch in range(epochs):
        fit = train.advance(fit, EXAMPLES, epoch + 1, horizon)
        fits.append(fit)
    return fits


def test_swa_is_the_mean_of_the_weights_after_the_last_epochs():
    """A share of 0.4 of 10 epochs: those after epochs 7 to 10, and on beyond the horizon."""
    sizes = {"hidden_layer_sizes": (7,), "batch_size": 16}
    recipes = [Recipe(**sizes, swa_share=0.4), Recipe(**sizes, swa_share=0.75)]
    fits = by_epoch(train.start(recipes, [1, 2], 6, 3), 12, 10)
    for model, first in enumerate((7, 3)):
        for last in (first, 10, 12):
            expected = np.mean([fit.stack.weights[model] for fit in fits[first - 1 : last]], axis=0)
            assert_allclose(fits[last - 1].swa[model, 0], expected, rtol=1e-4, atol=1e-6)
    assert_array_equal(fits[-1].stack_of("swa").weights, fits[-1].swa[:, 0])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_ring_holds_the_last_checkpoints(batch_norm):
    choices = Recipe(hidden_layer_sizes=(7,), batch_size=16, n_checkpoints=3, checkpoint_every=2, batch_norm=batch_norm)
    fits = by_epoch(train.start([choices] * 2, [1, 2], 6, 3), 9, 9)
    for last, epochs in [(1, []), (3, [2]), (7, [2, 4, 6]), (9, [4, 6, 8])]:
        checkpoints = fits[last - 1].checkpoints()
        assert len(checkpoints) == len(epochs)
        for stack, epoch in zip(checkpoints, epochs, strict=True):
            assert_array_equal(stack.weights, fits[epoch - 1].stack_of("raw").weights)
    assert train.start([recipe()], [1], 6, 3).checkpoints() == []


def test_rings_that_are_turned_differently_have_no_order():
    choices = Recipe(hidden_layer_sizes=(7,), batch_size=16, n_checkpoints=3)
    fit = train.start([choices, replace(choices, checkpoint_every=2)], [1, 2], 6, 3)
    with pytest.raises(ValueError, match=r"equally often, but got epochs=\[0, 0\] and checkpoint_every=\[1, 2\]"):
        fit.checkpoints()
    older = train.advance(train.take(fit, [0]), EXAMPLES, 2, 9)
    with pytest.raises(ValueError, match=r"trained equally long .* epochs=\[2, 0\]"):
        train.concatenate([older, train.take(fit, [0])]).checkpoints()


def test_only_weights_that_are_kept_can_be_asked_for():
    fit = train.start([recipe()], [1], 6, 3)
    with pytest.raises(ValueError, match="weights must be one of raw, ema for these recipes, but got 'swa'"):
        fit.stack_of("swa")
    fit = train.start([recipe(swa_share=0.1, patience=3)], [1], 6, 3)
    with pytest.raises(ValueError, match="one of raw, ema, swa, best for these recipes, but got 'EMA'"):
        fit.stack_of("EMA")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_each_model_is_pruned_by_its_own_share(batch_norm):
    shares = [0.0, 0.5, 0.9]
    recipes = [recipe(prune=share, n_checkpoints=1, batch_norm=batch_norm) for share in shares]
    fit = train.advance(train.start(recipes, [1, 2, 3], 6, 3), EXAMPLES, 2, 2)
    whole = replace(fit, recipes=tuple(replace(one, prune=0.0) for one in recipes))
    for pruned, full in [(fit.stack_of("ema"), whole.stack_of("ema")), (fit.checkpoints()[0], whole.checkpoints()[0])]:
        kept = pruned.weights != 0
        assert_array_equal(pruned.weights[kept], full.weights[kept])
        for matrices, whole_matrices in zip(pruned.matrices(), full.matrices(), strict=True):
            for matrix, whole_matrix, share in zip(matrices, whole_matrices, shares, strict=True):
                assert (matrix == 0).sum() == int(share * matrix.size)
                dropped = np.abs(whole_matrix[matrix == 0])
                assert dropped.max(initial=0) <= np.abs(whole_matrix[matrix != 0]).min()


# memory


def n_copies(**choices) -> float:
    """What a fit holds, in copies of its weights, but for history and the few numbers per model."""
    fit = train.start([recipe(**choices)], [1], 20, 3)
    big = [
        array for name, array in arrays(fit).items() if name not in ("seeds", "watch", "epochs", "updates", "history")
    ]
    return sum(array.nbytes for array in big) / fit.stack.weights.nbytes


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, 4),
        *(({"update": update}, 2 + UPDATES[update].n_moments) for update in UPDATES),
        ({"update": LBFGS}, 2),
        ({"swa_share": 0.2}, 5),
        ({"patience": 5}, 5),
        ({"n_checkpoints": 3, "checkpoint_every": 2}, 7),
        (SHALLOW_REGULARISERS | DEPTH | PLATEAU, 4),
    ],
)
def test_a_fit_holds_weights_moments_average_and_what_is_asked_for(choices, expected):
    assert n_copies(**choices) == expected


def test_layers_hold_what_they_need():
    plain = recipe().architecture(20, 3).n_weights
    assert plain == 20 * 16 + 16 * 12 + 12 * 3 + 16 + 12 + 3
    assert recipe(batch_norm=True).architecture(20, 3).n_weights == plain + 3 * (16 + 12)
    assert recipe(activation="prelu").architecture(20, 3).n_weights == plain + 16 + 12
    assert recipe(n_frequencies=4).architecture(20, 3, 5).n_weights == plain + 20 * 16 + 2 * 20
    hidden_columns = 20 * 16 + 16 * 12 + 16 + 12
    assert recipe(activation="maxout", pieces=3).architecture(20, 3).n_weights == plain + 2 * hidden_columns


# misuse


def test_stacks_and_fits_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="equal layers"):
        train.start([recipe(), recipe(hidden_layer_sizes=(3,))], [1, 2], 2, 5)
    with pytest.raises(ValueError, match="concatenated"):
        train.concatenate([train.start([recipe()], [1], 2, 5), train.start([recipe(batch_size=9)], [1], 2, 5)])
    with pytest.raises(ValueError, match="concatenated"):
        train.concatenate([train.start([recipe()], [1], 2, 5), train.start([recipe()], [1], 3, 5)])


def test_images_of_another_size_than_the_inputs_are_refused():
    with pytest.raises(ValueError, match=r"image_shape"):
        train.start([recipe(), recipe(image_shape=(2, 2), shift=1)], [1, 2], 6, 3)
    train.start([recipe(), recipe(image_shape=(2, 3), shift=1)], [1, 2], 6, 3)


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
        (
            {"row_weights": (np.arange(700) < 500).astype(np.float32)},
            "row_weights must not be 0 on all valid rows, but are on all 200",
        ),
        ({"train": np.array([], np.int64)}, "row_weights must not be 0 on all train rows, but are on all 0"),
        ({"train": np.array([3, 700])}, "train must hold row numbers from 0 to 699, but got 3 to 700"),
        ({"valid": np.array([3, -1])}, "valid must hold row numbers from 0 to 699, but got -1 to 3"),
    ],
)
def test_examples_that_do_not_fit_are_refused(use, changed, message):
    examples = replace(PROBLEMS["sectors"].examples, **changed)
    with pytest.raises(ValueError, match=message):
        use(train.start([recipe()], [1], 2, 5), examples)


@pytest.mark.parametrize("name", ["moments", "average", "swa", "best", "ring", "watch"])
def test_arrays_of_another_size_are_refused(name):
    fit = train.start([recipe(swa_share=0.1, patience=1, n_checkpoints=1)], [1], 2, 5)
    with pytest.raises(ValueError, match=f"{name} must have the shape"):
        replace(fit, **{name: getattr(fit, name)[..., :-1]})


def test_every_choice_that_lbfgs_refuses_would_change_its_loss():
    assert set(NOT_WITH_LBFGS) <= {field.name for field in fields(Recipe)}


@pytest.mark.parametrize(
    ("loss", "name", "numbers"), [("huber", "huber_delta", (1e-3, 10.0)), ("quantile", "quantile", (0.01, 0.5))]
)
def test_what_counts_as_divergence_does_not_depend_on_company(loss, name, numbers):
    """Models of one stack may differ in their loss's own number, and so in their loss at chance."""
    examples = PROBLEMS["outliers"].examples
    recipes = [
        recipe(loss, update="sgd", learning_rate_init=rate, **{name: number})
        for number, rate in zip(numbers, (3e3, 1e-3), strict=True)
    ]
    n_inputs, n_outputs = examples.inputs.shape[1], examples.targets.shape[1]
    fit = train.start(recipes[::-1], [1, 1], n_inputs, n_outputs)
    together = train.advance(fit, examples, 5, 5)
    alone = train.advance(train.take(fit, [1]), examples, 5, 5)
    assert alone.outcomes == (together.outcomes[1],)
    assert_array_equal(alone.epochs, together.epochs[1:])


def test_updates_are_counted_through_epochs_of_any_length():
    """Noise, bias correction and the average's warm-up go by updates done, whatever rows they were done on."""
    examples = PROBLEMS["sectors"].examples
    fit = train.advance(train.start([recipe()], [1], 2, 5), examples, 3, 9)
    n_steps = train.steps_per_epoch(len(examples.train), 32)
    assert fit.updates.tolist() == [3 * n_steps]
    further = train.advance(fit, replace(examples, train=examples.train[:3]), 4, 9)
    assert further.updates.tolist() == [3 * n_steps + 1]
    step = train.ema_step(0.998, fit.updates)[0]
    moved = fit.average + np.float32(step) * (further.stack.weights - fit.average)
    assert_allclose(further.average, moved, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["inputs", "targets", "row_weights"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_examples_that_are_not_finite_are_refused(name, bad):
    examples = PROBLEMS["sectors"].examples
    array = getattr(examples, name).copy()
    array.flat[7] = bad
    with pytest.raises(ValueError, match=f"{name} must hold finite numbers"):
        train.advance(train.start([recipe()], [1], 2, 5), replace(examples, **{name: array}), 1, 9)


def test_negative_row_weights_are_refused():
    examples = PROBLEMS["sectors"].examples
    weights = examples.row_weights.copy()
    weights[3] = -1
    with pytest.raises(ValueError, match="row_weights must be ≥ 0, but got -1"):
        train.advance(train.start([recipe()], [1], 2, 5), replace(examples, row_weights=weights), 1, 9)
