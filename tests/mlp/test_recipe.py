"""Recipes: what a config becomes, what is filled in, and one clear error for each rule."""

import json
from dataclasses import asdict, fields, replace
from typing import get_args, get_origin

import numpy as np
import pytest

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.augmentation import Augmentation
from hpsearch.mlp.recipe import BOUNDS, CHOICES, HYPERPARAMETERS, LBFGS, NOT_WITH_LBFGS, NOT_ZERO, Recipe
from hpsearch.mlp.schedules import SCHEDULES
from hpsearch.mlp.stack import Architecture
from hpsearch.mlp.updates import UPDATES

TYPES = {field.name: field.type for field in fields(Recipe)}
DEFAULTS = asdict(Recipe())
WHOLE = [name for name, kind in TYPES.items() if kind is int]
TRUTHS = [name for name, kind in TYPES.items() if kind is bool]
TUPLES = [name for name, kind in TYPES.items() if get_origin(kind) is tuple]
SUITS = {
    "quantile": {"loss": "quantile"},
    "mixup": {},
    "shift": {"image_shape": (9, 9)},
    "crop_pad": {"image_shape": (9, 9)},
}
SUITS |= {name: {"image_shape": (9, 9)} for name in ("cutout", "brightness", "contrast")}
"""What a choice needs beside it."""


def test_a_config_becomes_a_recipe():
    recipe = Recipe.from_config({"hidden_layer_sizes": [64, 32], "dropout": 0.1}, "squared_error")
    assert recipe.hidden_layer_sizes == (64, 32)
    assert recipe.dropout == 0.1 and recipe.loss == "squared_error"
    assert recipe.architecture(7, 3) == Architecture((7, 64, 32, 3))


def test_the_architecture_is_as_the_recipe_says():
    recipe = Recipe(hidden_layer_sizes=(4,), activation="maxout", pieces=3, batch_norm=True, residual=True)
    assert recipe.architecture(2, 1) == Architecture((2, 4, 1), "maxout", 3, batch_norm=True, residual=True)


def test_the_data_say_which_inputs_wave_and_the_recipe_how_often():
    recipe = Recipe(hidden_layer_sizes=(4,), n_frequencies=8)
    assert recipe.architecture(5, 1, 3) == Architecture((5, 4, 1), n_numeric=3, n_frequencies=8)
    assert recipe.architecture(5, 1).n_waves == 5 * 8
    assert Recipe(hidden_layer_sizes=(4,)).architecture(5, 1, 3) == Architecture((5, 4, 1))


def test_a_config_may_name_a_loss():
    assert Recipe.from_config({"loss": "huber"}, "squared_error").loss == "huber"
    assert Recipe.from_config({}, "squared_error").loss == "squared_error"


def test_one_layer_may_be_given_as_a_number():
    assert Recipe.from_config({"hidden_layer_sizes": 64}, "squared_error").hidden_layer_sizes == (64,)


def test_lists_as_toml_has_them_become_tuples():
    config = {"hidden_layer_sizes": [], "milestones": [0.2, 0.4], "image_shape": [4, 4, 3]}
    recipe = Recipe.from_config(config, "squared_error")
    assert (recipe.hidden_layer_sizes, recipe.milestones, recipe.image_shape) == ((), (0.2, 0.4), (4, 4, 3))
    assert config["milestones"] == [0.2, 0.4]
    hash(recipe)


def test_numpy_numbers_become_plain_ones():
    config = {
        "hidden_layer_sizes": (np.int64(64), np.int32(8)), "batch_size": np.int64(32), "dropout": np.float64(0.25),
        "learning_rate_init": np.float32(0.5), "activation": np.str_("relu"), "batch_norm": np.bool_(True),
        "milestones": (np.float64(0.5),),
    }  # fmt: skip
    plain = {
        "hidden_layer_sizes": (64, 8), "batch_size": 32, "dropout": 0.25, "learning_rate_init": 0.5,
        "activation": "relu", "batch_norm": True, "milestones": (0.5,),
    }  # fmt: skip
    recipe = Recipe.from_config(config, "squared_error")
    assert recipe == Recipe.from_config(plain, "squared_error")
    assert json.loads(json.dumps(asdict(recipe)))["hidden_layer_sizes"] == [64, 8]
    assert Recipe.from_config({"hidden_layer_sizes": np.int64(64)}, "squared_error").hidden_layer_sizes == (64,)
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        Recipe(batch_size=np.bool_(True))


def test_every_recipe_survives_json():
    recipe = Recipe(activation="elu", milestones=(0.1,), image_shape=(2, 2), flip=True)
    assert Recipe.from_config(json.loads(json.dumps(asdict(recipe))), "squared_error") == recipe


# what is None is filled in


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_brings_its_slope_and_initialiser(activation):
    recipe = Recipe(activation=activation)
    assert recipe.initialiser == ACTIVATIONS[activation].initialiser
    assert recipe.negative_slope == (ACTIVATIONS[activation].default_slope or 0.0)
    chosen = Recipe(activation=activation, initialiser="orthogonal", negative_slope=0.0)
    assert chosen.initialiser == "orthogonal" and chosen.negative_slope == 0


@pytest.mark.parametrize("update", [*UPDATES, LBFGS])
def test_the_update_rule_brings_its_decay(update):
    assert Recipe(update=update).weight_decay == (0.01 if update == "adamw" else 0)
    assert Recipe(weight_decay=0.0).weight_decay == 0
    if update != LBFGS:
        assert Recipe(update=update, weight_decay=0.3).weight_decay == 0.3


def test_what_was_filled_in_equals_what_was_given():
    assert Recipe(activation="elu", update="sgd") == Recipe(
        activation="elu", update="sgd", negative_slope=1.0, initialiser="he_normal", weight_decay=0.0
    )


# one error for each rule


def test_every_number_is_bounded():
    assert set(BOUNDS) <= set(HYPERPARAMETERS)
    assert set(BOUNDS) == {name for name, kind in TYPES.items() if kind in (int, float)}
    assert set(NOT_ZERO) <= set(BOUNDS) and set(CHOICES) <= set(HYPERPARAMETERS)
    assert {field.name for field in fields(Augmentation)} <= set(HYPERPARAMETERS)


@pytest.mark.parametrize("name", BOUNDS)
def test_numbers_keep_to_their_bounds(name):
    low, high = BOUNDS[name]
    suits, whole = SUITS.get(name, {}), TYPES[name] is int
    step = 1 if whole else 1e-6
    if low is not None:
        lowest = low + step if name in NOT_ZERO else low
        assert getattr(Recipe(**suits, **{name: lowest}), name) == lowest
        for bad in (low - step, *([low] if name in NOT_ZERO else [])):
            with pytest.raises(ValueError, match=f"^{name} must be a number"):
                Recipe(**suits, **{name: bad})
    if high is not None:
        assert getattr(Recipe(**suits, **{name: high - step}), name) == high - step
        with pytest.raises(ValueError, match=f"^{name} must be a number"):
            Recipe(**suits, **{name: type(step)(high)})


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "0.5", True, (0.5,), [0.5], 1j])
def test_numbers_are_finite_numbers(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be a "):
        Recipe(**SUITS.get(name, {}) | {name: bad})


@pytest.mark.parametrize("name", sorted(set(BOUNDS) - {"negative_slope", "weight_decay"}))
def test_only_what_is_filled_in_may_be_none(name):
    with pytest.raises(ValueError, match=f"^{name} must be a "):
        Recipe(**{name: None})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("bad", [2.0, 2.5, np.float64(2)])
def test_whole_numbers_are_whole(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number, but got 2"):
        Recipe(**{name: bad})


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("bad", [0, 1, "yes", None, 0.0])
def test_truth_values_are_truth_values(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be True or False, but got"):
        Recipe(**{name: bad})


@pytest.mark.parametrize("name", TUPLES)
@pytest.mark.parametrize("bad", [3, "3", [3, 3], (3, "3"), (True, True), (None,), (float("nan"),), None])
def test_tuples_are_tuples_of_numbers(name, bad):
    kind = "whole numbers" if int in get_args(TYPES[name]) else "numbers"
    with pytest.raises(ValueError, match=f"^{name} must be a tuple of {kind}, but got"):
        Recipe(**{name: bad})


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_those_of_the_tables(name):
    for bad in ("tan", 3, None, ("relu",), ["relu"]):
        if name == "initialiser" and bad is None:
            continue
        with pytest.raises(ValueError, match=f"^{name} must be one of {', '.join(CHOICES[name])}, but got"):
            Recipe(**{name: bad})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"learning_rate": 0.1},
            "unknown hyperparameter 'learning_rate'; did you mean 'learning_rate_init'[?] Known are",
        ),
        ({"xyz": 0.1}, r"unknown hyperparameter 'xyz'\. Known are: encoding, hidden_layer_sizes, activation"),
        ({3: 0.1}, r"unknown hyperparameter 3\. Known are"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), but got 1.0"),
        ({"quantile": 0}, r"quantile must be a number in \(0, 1\), but got 0"),
        ({"huber_delta": 0.0}, r"huber_delta must be a number > 0, but got 0.0"),
        ({"weight_decay": -1}, "weight_decay must be a number ≥ 0, but got -1"),
        ({"batch_size": 0}, "batch_size must be a number ≥ 1, but got 0"),
        ({"pieces": 1}, "pieces must be a number ≥ 2, but got 1"),
        ({"initial_bias": float("inf")}, "initial_bias must be a number, but got inf"),
        (
            {"hidden_layer_sizes": (64, 0)},
            r"hidden_layer_sizes must be a tuple of whole numbers ≥ 1, but got \(64, 0\)",
        ),
        ({"hidden_layer_sizes": "64"}, r"hidden_layer_sizes must be a tuple of whole numbers, but got \('64',\)"),
        ({"milestones": (0.5, 1.0)}, r"milestones must be shares of the horizon in \(0, 1\), but got \(0.5, 1.0\)"),
        ({"milestones": 0.5}, "milestones must be a tuple of numbers, but got 0.5"),
        ({"l1_ratio": 1.1}, r"l1_ratio must be a number in \[0, 1\], but got 1.1"),
        ({"label_smoothing": 0.1}, "label_smoothing must be 0 for loss='squared_error', which has no probabilities"),
        ({"label_smoothing": 0.1, "loss": "multiclass_hinge"}, "label_smoothing must be 0 for loss='multiclass_hinge'"),
        ({"activation": "rleu"}, r"activation must be one of .*, but got 'rleu'; did you mean 'relu'\?$"),
        ({"activation": "ReLU"}, r"but got 'ReLU'; did you mean 'relu'\?$"),
        ({"schedule": "cosin"}, r"schedule must be one of constant, .*, but got 'cosin'; did you mean 'cosine'\?$"),
        ({"update": "adm"}, r"update must be one of sgd, .*, lbfgs, but got 'adm'; did you mean 'adam'\?$"),
        ({"shift": 1}, "image_shape"),
    ],
)
def test_a_bad_config_is_one_clear_error(config, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_config(config, "squared_error")


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "binary_logistic"])
def test_losses_with_probabilities_may_be_smoothed(loss):
    assert Recipe(loss=loss, label_smoothing=0.1, l1_ratio=1.0).label_smoothing == 0.1


REFUSED_BY_LBFGS = {
    "dropout": 0.1, "input_dropout": 0.1, "drop_connect": 0.1, "stochastic_depth": 0.1, "batch_norm": True,
    "max_norm": 1.0, "clip_value": 1.0, "clip_norm": 1.0, "weight_decay": 0.1, "noise": 0.1, "swap_noise": 0.1,
    "mixup": 0.1, "shift": 1, "flip": True, "crop_pad": 1, "cutout": 1, "brightness": 0.1, "contrast": 0.1,
    "warm_up": 0.1, "l1_ratio": 0.5,
}  # fmt: skip


def test_what_lbfgs_refuses_is_tested():
    assert set(REFUSED_BY_LBFGS) == set(NOT_WITH_LBFGS)


@pytest.mark.parametrize("name", REFUSED_BY_LBFGS)
def test_lbfgs_refuses_what_would_change_its_loss_or_its_steps(name):
    value = REFUSED_BY_LBFGS[name]
    off = "False" if value is True else "0" if isinstance(value, int) else "0.0"
    with pytest.raises(ValueError, match=f"^{name} must be {off} with update='lbfgs', .* but got {value!r}$"):
        Recipe(update=LBFGS, image_shape=(4, 4), **{name: value})
    assert getattr(Recipe(image_shape=(4, 4), **{name: value}), name) == value


def test_lbfgs_refuses_random_slopes():
    with pytest.raises(ValueError, match="activation must not be 'rrelu' with update='lbfgs'"):
        Recipe(update=LBFGS, activation="rrelu")


# what the engine reads


def test_penalties_are_shares_of_alpha():
    assert Recipe(alpha=0.4, l1_ratio=0.25).penalties == pytest.approx((0.1, 0.3))
    assert Recipe().penalties == (0, 0)


def test_the_rules_own_numbers():
    numbers = {"momentum": 0.1, "rho": 0.2, "beta_1": 0.3, "beta_2": 0.4, "ftrl_beta": 0.5}
    expected = {
        "sgd": (0, 0), "momentum": (0.1, 0), "nesterov": (0.1, 0), "adagrad": (0, 0), "adadelta": (0, 0.2),
        "rmsprop": (0, 0.2), "adam": (0.3, 0.4), "adamw": (0.3, 0.4), "nadam": (0.3, 0.4), "amsgrad": (0.3, 0.4),
        "ftrl": (0.5, 0), LBFGS: (0, 0),
    }  # fmt: skip
    assert {update: Recipe(update=update, **numbers).coefficients for update in (*UPDATES, LBFGS)} == expected


def test_the_losses_own_numbers():
    numbers = {"huber_delta": 0.3, "quantile": 0.7}
    assert Recipe(loss="huber", **numbers).loss_parameter == 0.3
    assert Recipe(loss="quantile", **numbers).loss_parameter == 0.7
    assert Recipe(loss="squared_error", **numbers).loss_parameter == 0


def test_moments_are_those_of_the_rule():
    expected = {"sgd": 0, "momentum": 1, "adamw": 2, "amsgrad": 3, LBFGS: 0}
    assert {update: Recipe(update=update).n_moments for update in expected} == expected


def test_the_largest_minibatch():
    assert Recipe(batch_size=32).batch_height(100) == 32
    assert Recipe(batch_size=32).batch_height(10) == 10
    assert Recipe(batch_size=32, update=LBFGS).batch_height(100) == 100


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_are_the_schedules_with_the_recipes_numbers(schedule):
    numbers = {
        "milestones": (0.3,), "drop": 0.5, "drop_every": 0.4, "decay_rate": 3.0, "decay_power": 2.0, "cycles": 2,
    }  # fmt: skip
    progress = np.linspace(0, 1, 11)
    own = {name: numbers[name] for name in SCHEDULES[schedule].numbers}
    recipe = Recipe(schedule=schedule, learning_rate_init=0.2, **numbers)
    np.testing.assert_allclose(recipe.rates(progress), SCHEDULES[schedule].function(progress, 0.2, **own))
    warm = replace(recipe, warm_up=0.5).rates(progress)
    np.testing.assert_allclose(warm[:5], 0.2 * (0.01 + 0.99 * progress[:5] / 0.5))


CHANGES = {
    "hidden_layer_sizes": (5,), "activation": "tanh", "pieces": 3, "batch_norm": True, "residual": True,
    "n_frequencies": 8, "encoding": "quantile",
    "loss": "huber", "batch_size": 7, "update": "sgd", "swa_share": 0.1, "n_checkpoints": 2, "patience": 3,
}  # fmt: skip
"""Choices that models of one stack must share, and another value for each."""


@pytest.mark.parametrize("name", CHANGES)
def test_models_of_one_stack_share_layers_and_what_is_kept(name):
    assert Recipe().stack_key != Recipe(**{name: CHANGES[name]}).stack_key
    hash(Recipe().stack_key)


def test_models_of_one_stack_may_differ_in_all_else():
    other = Recipe(
        negative_slope=0.3, frequency_scale=0.3, initialiser="orthogonal", initial_bias=0.1, dropout=0.1,
        input_dropout=0.1, drop_connect=0.1, stochastic_depth=0.1, label_smoothing=0.1, huber_delta=2.0, quantile=0.3,
        learning_rate_init=0.1, momentum=0.1, rho=0.1, beta_1=0.1, beta_2=0.1, ftrl_beta=0.1, epsilon=0.1,
        weight_decay=0.1, alpha=0.1, l1_ratio=0.1, max_norm=0.1, clip_value=0.1, clip_norm=0.1, schedule="cosine",
        warm_up=0.1, milestones=(0.1,), drop=0.2, drop_every=0.1, decay_rate=0.1, decay_power=0.1, cycles=2,
        plateau_patience=1, ema_decay=0.1, checkpoint_every=2, prune=0.1, noise=0.1, swap_noise=0.1, mixup=0.1,
        image_shape=(9, 9), shift=1, flip=True, crop_pad=1, cutout=1, brightness=0.1, contrast=0.1,
    )  # fmt: skip
    assert other.stack_key == Recipe().stack_key
    same = {name for name, value in asdict(other).items() if value == DEFAULTS[name]}
    assert same == set(CHANGES)
    share, more = Recipe(swa_share=0.1, patience=3), Recipe(swa_share=0.5, patience=9)
    assert share.stack_key == more.stack_key


@pytest.mark.parametrize("name", [name for name in BOUNDS if TYPES[name] is float])
def test_whole_numbers_become_floats(name):
    """Compiled code takes no integer where a float belongs."""
    low, high = BOUNDS[name]
    value = 0 if high == 1 and name not in NOT_ZERO else 1 if high != 1 else None
    if value is not None:
        assert type(getattr(Recipe(**SUITS.get(name, {}) | {name: value}), name)) is float


def test_one_row_has_no_variance():
    with pytest.raises(ValueError, match="batch_size must be ≥ 2 with batch_norm=True"):
        Recipe(batch_norm=True, batch_size=1)
    assert Recipe.from_config({"hidden_layer_sizes": np.array([8, 4])}, "huber").hidden_layer_sizes == (8, 4)
