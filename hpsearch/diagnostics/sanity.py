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


def loss_at_chance(recipes: Sequence[Recipe], examples: Mapping[str, Examples]) -> pd.DataFrame:
    """Initial validation loss against the loss at chance, one row per encoding and network shape among the recipes.

    A softmax over C classes should start near log C, squared error of a standardised target near its mean square:
    more means that inputs or initial weights are badly scaled. Mean over four seeds, and, with the row weights, over
    validation rows that have any. `examples`: by encoding.

    Returns:
        Columns encoding, hidden_layer_sizes (text), initial_loss, chance_loss, ratio, verdict ("as it should be", "too
        high", "too low"), sentence.
    """
    shapes = {(recipe.encoding, recipe.hidden_layer_sizes): recipe for recipe in recipes}
    encoded = {encoding: _few_rows(examples[encoding]) for encoding, _ in shapes}
    rows = []
    for (encoding, sizes), recipe in sorted(shapes.items()):
        own = encoded[encoding]
        fit = start([recipe] * N_SEEDS, range(N_SEEDS), own.inputs.shape[1], own.targets.shape[1])
        initial = float(validation_loss(fit, own).mean())
        trained, chance = (
            LOSSES[recipe.loss].at_chance(own.targets[part], own.row_weights[part], recipe.loss_parameter)
            for part in (own.train, own.valid)
        )
        rows.append(
            {
                "encoding": encoding,
                "hidden_layer_sizes": str(list(sizes)),
                "initial_loss": initial,
                "chance_loss": chance,
                "ratio": initial / chance,
                "verdict": _verdict((initial - chance) / max(trained, chance)),
            }
        )
    return chance_table(rows)


def _few_rows(examples: Examples) -> Examples:
    """The examples with a thousand of their validation rows that have a weight."""
    weighted = examples.valid[examples.row_weights[examples.valid] > 0]
    return replace(examples, valid=weighted[:MOST_ROWS])


def chance_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """The rows of `loss_at_chance` with their sentences; a learner without weights has none."""
    columns = ["encoding", "hidden_layer_sizes", "initial_loss", "chance_loss", "ratio", "verdict"]
    table = pd.DataFrame(rows, columns=columns)
    table["sentence"] = [
        f"{row.encoding}, {row.hidden_layer_sizes}: untrained loss {row.initial_loss:.3g}, at chance "
        f"{row.chance_loss:.3g}: {row.verdict}."
        for row in table.itertuples()
    ]
    return table


def _verdict(excess: float) -> str:
    if not np.isfinite(excess) or excess > TOLERANCE:
        return "too high"
    return "too low" if excess < -TOLERANCE else "as it should be"
