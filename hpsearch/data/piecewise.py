"""Piecewise-linear encoding of numeric columns: how far a value reaches into each of the column's bins.

Gorishniy, Rubachev, Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022. The bins
are fixed before training, so that all models of a stack share the inputs.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

Values: TypeAlias = NDArray[np.float64]
Targets: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
EdgesOf: TypeAlias = Callable[[Values, Targets, int], Values]

N_BINS = 32
FEWEST_BINS = 2  # one bin says what the value beside it says
ROWS_PER_BIN = 30
MOST_INPUTS = 1500  # of a whole table: with many columns each has fewer bins
MOST_ROWS = 20_000  # of those that edges are found from
CHANCE = 10  # a split of n rows must explain CHANCE / n of the variance: the best of a column of noise hardly does


def bin_edges(values: Values, targets: Targets, most_bins: int, edges_of: EdgesOf) -> Values:
    """Edges of a column's bins by `edges_of`, from training rows; none where they would make less than two bins.

    `values`: (n_rows,), NaN where a cell is missing. `targets`: (n_rows,) int64 classes or float64 numbers. There is
    one bin per 30 cells at most, and never more than 32 or `most_bins`.
    """
    present = ~np.isnan(values)
    n_bins = min(N_BINS, most_bins, int(present.sum()) // ROWS_PER_BIN)
    edges = edges_of(values[present], targets[present], n_bins) if n_bins >= FEWEST_BINS else np.empty(0)
    return edges if len(edges) > FEWEST_BINS else np.empty(0)


def some_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every k-th row, 20,000 at most: edges need no more."""
    return rows[:: max(-(-len(rows) // MOST_ROWS), 1)]


def quantile_edges(values: Values, targets: Targets, n_bins: int) -> Values:
    """Sorted edges of at most `n_bins` bins: the distinct values if they are few enough, else quantiles of them.

    Quantiles collapse where one value is most of a column: here each counts as 1 / n_bins of the rows at most.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= n_bins + 1:
        return distinct
    reach = np.cumsum(np.minimum(counts, len(values) / n_bins))
    return distinct[np.unique(np.searchsorted(reach, np.linspace(0, reach[-1], n_bins + 1)))]


def tree_edges(values: Values, targets: Targets, n_bins: int) -> Values:
    """Sorted edges of at most `n_bins` bins: minimum, thresholds of a decision tree on this column alone, maximum.

    A threshold lies halfway between two neighbours. The tree sees ranks, so units do not matter.
    """
    distinct, ranks = np.unique(values, return_inverse=True)
    shape: dict[str, Any] = {
        "max_leaf_nodes": n_bins,
        "min_samples_leaf": max(20, len(values) // 256),
        "random_state": 0,
    }
    if targets.dtype.kind == "f":
        targets = targets - targets.mean()
        targets /= np.abs(targets).max() or 1.0
        tree = DecisionTreeRegressor(min_impurity_decrease=CHANCE * targets.var() / len(values), **shape)
    else:
        gini = 1 - np.square(np.bincount(targets) / len(targets)).sum()
        tree = DecisionTreeClassifier(min_impurity_decrease=CHANCE * gini / len(values), **shape)
    fitted = tree.fit(ranks[:, np.newaxis].astype(np.float32), targets).tree_
    below = np.floor(fitted.threshold[fitted.children_left >= 0]).astype(np.int64)
    thresholds = distinct[below] / 2 + distinct[below + 1] / 2
    return np.unique(np.concatenate([distinct[:1], thresholds, distinct[-1:]]))


def encode_bins(values: Values, edges: Values, inputs: NDArray[np.float32]) -> None:
    """Write the bins of `values` (n_rows,) into `inputs` (n_rows, n_bins), the OUT array, which comes in as zeros.

    With edges b_0 to b_T, input t of T ≤ n_bins is clip((x - b_t) / (b_t+1 - b_t), 0, 1), and 0 where x is
    NaN; the inputs from T on stay 0.
    """
    n_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, n_bins - 1)
    with np.errstate(over="ignore"):
        reached = np.clip((values - edges[bins]) / np.diff(edges)[bins], 0, 1)
    used = inputs[:, :n_bins]
    used[:] = np.arange(n_bins) < bins[:, np.newaxis]
    used[np.arange(len(values)), bins] = reached
    used[np.isnan(values)] = 0
