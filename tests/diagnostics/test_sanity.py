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
    table = loss_at_chance(recipes, problem.examples)
    assert len(table) == 3
    assert (table["verdict"] == "as it should be").all()
    if problem.loss == "softmax_cross_entropy":
        assert table["chance_loss"].to_numpy() == pytest.approx(np.log(problem.examples.targets.shape[1]))


def test_badly_scaled_inputs_are_noticed():
    problem = PROBLEMS["sectors"]
    wild = replace(problem.examples, inputs=problem.examples.inputs * 1000)
    table = loss_at_chance([Recipe(hidden_layer_sizes=(32,), loss=problem.loss)], wild)
    assert table["verdict"].tolist() == ["too high"]
    assert "[32]" in table["sentence"][0]
