import pytest

from hpsearch.mlp.recipe import BOUNDS, HYPERPARAMETERS, Recipe


def test_a_config_becomes_a_recipe():
    recipe = Recipe.from_config({"hidden_layer_sizes": [64, 32], "dropout": 0.1}, "squared_error")
    assert recipe.hidden_layer_sizes == (64, 32)
    assert recipe.dropout == 0.1 and recipe.loss == "squared_error"
    assert recipe.layer_sizes(7, 3) == (7, 64, 32, 3)


def test_one_layer_may_be_given_as_a_number():
    assert Recipe.from_config({"hidden_layer_sizes": 64}, "squared_error").hidden_layer_sizes == (64,)


def test_every_bound_belongs_to_a_hyperparameter():
    assert set(BOUNDS) <= set(HYPERPARAMETERS)
    assert "loss" not in HYPERPARAMETERS


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learning_rate": 0.1}, "unknown hyperparameter 'learning_rate'; did you mean 'learning_rate_init'"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), but got 1.0"),
        ({"dropout": "0.1"}, "dropout must be a number"),
        ({"learning_rate_init": float("nan")}, "learning_rate_init must be a number"),
        ({"weight_decay": -1}, "weight_decay must be a number ≥ 0"),
        ({"batch_size": 0}, "batch_size must be a number ≥ 1"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"hidden_layer_sizes": (64, 0)}, "hidden_layer_sizes must be a tuple of whole numbers"),
        ({"hidden_layer_sizes": "64"}, "hidden_layer_sizes must be"),
        ({"activation": "tan"}, "activation must be one of relu"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine"),
    ],
)
def test_a_bad_config_is_one_clear_error(config, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_config(config, "squared_error")
