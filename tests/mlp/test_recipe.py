import json
from dataclasses import asdict

import numpy as np
import pytest

from hpsearch.mlp.recipe import BOUNDS, HYPERPARAMETERS, Recipe


def test_a_config_becomes_a_recipe():
    recipe = Recipe.from_config({"hidden_layer_sizes": [64, 32], "dropout": 0.1}, "squared_error")
    assert recipe.hidden_layer_sizes == (64, 32)
    assert recipe.dropout == 0.1 and recipe.loss == "squared_error"
    assert recipe.layer_sizes(7, 3) == (7, 64, 32, 3)


def test_one_layer_may_be_given_as_a_number():
    assert Recipe.from_config({"hidden_layer_sizes": 64}, "squared_error").hidden_layer_sizes == (64,)


def test_numpy_numbers_become_plain_ones():
    config = {
        "hidden_layer_sizes": (np.int64(64), np.int32(8)), "batch_size": np.int64(32), "dropout": np.float64(0.25),
        "learning_rate_init": np.float32(0.5), "activation": np.str_("relu"),
    }  # fmt: skip
    plain = {
        "hidden_layer_sizes": (64, 8), "batch_size": 32, "dropout": 0.25, "learning_rate_init": 0.5,
        "activation": "relu",
    }  # fmt: skip
    recipe = Recipe.from_config(config, "squared_error")
    assert recipe == Recipe.from_config(plain, "squared_error")
    assert json.loads(json.dumps(asdict(recipe)))["hidden_layer_sizes"] == [64, 8]
    assert Recipe.from_config({"hidden_layer_sizes": np.int64(64)}, "squared_error").hidden_layer_sizes == (64,)
    with pytest.raises(ValueError, match="batch_size must be a number"):
        Recipe(batch_size=np.bool_(True))


def test_every_bound_belongs_to_a_hyperparameter():
    assert set(BOUNDS) <= set(HYPERPARAMETERS)
    assert "loss" not in HYPERPARAMETERS


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"learning_rate": 0.1},
            "unknown hyperparameter 'learning_rate'; did you mean 'learning_rate_init'[?] Known are",
        ),
        ({"xyz": 0.1}, r"unknown hyperparameter 'xyz'\. Known are: hidden_layer_sizes, learning_rate_init"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), but got 1.0"),
        ({"dropout": "0.1"}, "dropout must be a number"),
        ({"learning_rate_init": float("nan")}, "learning_rate_init must be a number"),
        ({"weight_decay": -1}, "weight_decay must be a number ≥ 0"),
        ({"batch_size": 0}, "batch_size must be a number ≥ 1"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"hidden_layer_sizes": (64, 0)}, "hidden_layer_sizes must be a tuple of whole numbers"),
        ({"hidden_layer_sizes": "64"}, "hidden_layer_sizes must be"),
        ({"activation": "tan"}, "activation must be one of relu, but got 'tan'$"),
        ({"activation": "rleu"}, r"activation must be one of relu, but got 'rleu'; did you mean 'relu'\?$"),
        ({"activation": "ReLU"}, r"but got 'ReLU'; did you mean 'relu'\?$"),
        ({"activation": 3}, "activation must be one of relu, but got 3$"),
        ({"schedule": "cosin"}, r"schedule must be one of constant, cosine, but got 'cosin'; did you mean 'cosine'\?$"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, but got 'linear'$"),
    ],
)
def test_a_bad_config_is_one_clear_error(config, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_config(config, "squared_error")
