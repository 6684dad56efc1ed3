"""How much worse the ensemble gets when a column says nothing: permutation importance (Breiman 2001)."""

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance

from hpsearch.data.scoring import AsScorer
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.ensemble.selection import Selection


def importance(ensemble: Ensemble, selection: Selection, n_repeats: int = 5) -> pd.DataFrame:
    """What the study's score loses on the selection rows when one raw column is shuffled, by scikit-learn.

    Columns that say the same stand in for each other, and each looks unimportant. At most 2,000 rows are looked at.
    Members that were trained on these rows, after `refit` or as models of other folds, lean on columns more here than
    on new rows.

    Returns:
        One row per column, the most important first: column, importance (mean drop of the score over the repeats) and
        deviation (between them; NaN for one).

    Raises:
        ValueError: unless `n_repeats` is a whole number ≥ 1.
    """
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, int | np.integer) or n_repeats < 1:
        raise ValueError(f"n_repeats must be a whole number ≥ 1, but got {n_repeats!r}")
    weights = None if selection.weights is None else selection.weights[selection.shown]
    drops = permutation_importance(
        ensemble,
        selection.table,
        selection.labels[selection.shown],
        scoring=AsScorer(selection.scorer),
        n_repeats=int(n_repeats),
        random_state=selection.seed % 2**32,
        sample_weight=weights,
    )["importances"]
    deviation = drops.std(axis=1, ddof=1) if n_repeats > 1 else np.full(len(drops), np.nan)
    table = pd.DataFrame({"column": selection.table.columns, "importance": drops.mean(axis=1), "deviation": deviation})
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
