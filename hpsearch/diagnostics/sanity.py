"""Checks before the first epoch: does an untrained network know nothing?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.train import Examples, start, validation_loss

N_SEEDS = 4
MOST_ROWS = 1_000
TOLERANCE = 0.25
"""How far the initial loss may be off the loss at chance, as a share of it; or of the training rows', if that is more:
standardised targets whose validation rows happen to lie near zero are no sign of bad scaling."""


def loss_at_chance(recipes: Sequence[Recipe], examples: Examples) -> pd.DataFrame:
    """Initial validation loss against the loss at chance, one row per network shape among the recipes.

    A softmax over C classes should start near log C, squared error of a standardised target near its mean square:
    more means that inputs or initial weights are badly scaled. Mean over four seeds, and, with the row weights, over
    validation rows that have any.

    Returns:
        Columns hidden_layer_sizes (text), initial_loss, chance_loss, ratio, verdict ("as it should be", "too high",
        "too low"), sentence.
    """
    weighted = examples.valid[examples.row_weights[examples.valid] > 0]
    examples = replace(examples, valid=weighted[:MOST_ROWS])
    shapes = {recipe.hidden_layer_sizes: recipe for recipe in recipes}
    n_inputs, n_outputs = examples.inputs.shape[1], examples.targets.shape[1]
    rows = []
    for sizes, recipe in sorted(shapes.items()):
        fit = start([recipe] * N_SEEDS, range(N_SEEDS), n_inputs, n_outputs)
        initial = float(validation_loss(fit, examples).mean())
        trained, chance = (
            LOSSES[recipe.loss].at_chance(examples.targets[part], examples.row_weights[part], recipe.loss_parameter)
            for part in (examples.train, examples.valid)
        )
        rows.append(
            {
                "hidden_layer_sizes": str(list(sizes)),
                "initial_loss": initial,
                "chance_loss": chance,
                "ratio": initial / chance,
                "verdict": _verdict((initial - chance) / max(trained, chance)),
            }
        )
    return chance_table(rows)


def chance_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """The rows of `loss_at_chance` with their sentences; a learner without weights has none."""
    table = pd.DataFrame(rows, columns=["hidden_layer_sizes", "initial_loss", "chance_loss", "ratio", "verdict"])
    table["sentence"] = [
        f"{row.hidden_layer_sizes}: untrained loss {row.initial_loss:.3g}, at chance {row.chance_loss:.3g}: "
        f"{row.verdict}."
        for row in table.itertuples()
    ]
    return table


def _verdict(excess: float) -> str:
    if not np.isfinite(excess) or excess > TOLERANCE:
        return "too high"
    return "too low" if excess < -TOLERANCE else "as it should be"
