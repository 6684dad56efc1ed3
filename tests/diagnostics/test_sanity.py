from dataclasses import replace

import numpy as np
import pytest

from hpsearch.diagnostics.sanity import loss_at_chance
from hpsearch.mlp.recipe import Recipe
from tests.problems import PROBLEMS


@pytest.mark.parametrize("name", PROBLEMS)
def test_untrained_networks_start_at_chance(name):
    problem = PROBLEMS[name]
    recipes = [Recipe(hidden_layer_sizes=sizes, loss=problem.loss) for sizes in [(8,), (64, 64), (8,), (32, 32, 32)]]
    table = loss_at_chance(recipes, {"robust": problem.examples})
    assert len(table) == 3
    assert (table["verdict"] == "as it should be").all()
    if problem.loss == "softmax_cross_entropy":
        assert table["chance_loss"].to_numpy() == pytest.approx(np.log(problem.examples.targets.shape[1]))


def test_row_weights_count_for_both_losses():
    """A row a hundred times as large as the others: nearly nothing with a small weight, nearly all with its own."""
    problem = PROBLEMS["product"]
    targets, row_weights = problem.examples.targets.copy(), problem.examples.row_weights.copy()
    outlier = problem.examples.valid[3]
    targets[outlier] *= 100
    for weight in (1e-6, 1.0, 50.0):
        row_weights[outlier] = weight
        examples = replace(problem.examples, targets=targets, row_weights=row_weights)
        table = loss_at_chance([Recipe(hidden_layer_sizes=(32,), loss=problem.loss)], {"robust": examples})
        assert table["verdict"].tolist() == ["as it should be"]


def test_rows_without_weight_are_not_looked_at():
    """Here they would be all that are looked at, being the first."""
    problem = PROBLEMS["product"]
    examples = replace(problem.examples, valid=np.tile(problem.examples.valid, 10))
    row_weights = examples.row_weights.copy()
    row_weights[examples.valid[:140]] = 0
    examples = replace(examples, row_weights=row_weights, valid=np.sort(examples.valid))
    table = loss_at_chance([Recipe(hidden_layer_sizes=(32,), loss=problem.loss)], {"robust": examples})
    assert table["verdict"].tolist() == ["as it should be"]


def test_badly_scaled_inputs_are_noticed():
    problem = PROBLEMS["sectors"]
    wild = replace(problem.examples, inputs=problem.examples.inputs * 1000)
    table = loss_at_chance([Recipe(hidden_layer_sizes=(32,), loss=problem.loss)], {"robust": wild})
    assert table["verdict"].tolist() == ["too high"]
    assert "[32]" in table["sentence"][0]


def test_small_targets_of_the_validation_rows_are_no_sign_of_bad_scaling():
    """What an untrained network answers to nearly constant rows is noise, and small beside what it has to learn."""
    problem = PROBLEMS["product"]
    targets = problem.examples.targets.copy()
    targets[problem.examples.valid] *= 0.01
    examples = replace(problem.examples, targets=targets)
    table = loss_at_chance([Recipe(hidden_layer_sizes=(32,), loss=problem.loss)], {"robust": examples})
    assert table["ratio"][0] > 1.5 and table["verdict"].tolist() == ["as it should be"]


def test_every_encoding_has_its_own_rows_in_the_table():
    problem = PROBLEMS["product"]
    wide = replace(problem.examples, inputs=np.tile(problem.examples.inputs, (1, 3)))
    recipes = [Recipe(encoding=name, hidden_layer_sizes=(32,), loss=problem.loss) for name in ("robust", "quantile")]
    table = loss_at_chance(recipes, {"robust": problem.examples, "quantile": wide})
    assert table["encoding"].tolist() == ["quantile", "robust"]
