"""Equal rows of a table made one of their total weight, so that a weight is a repetition, in an order that depends on
the rows alone."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.as_given import rows_of
from hpsearch.data.folds import Pair, pairs_of
from hpsearch.data.splits import FEWEST_ROWS, RowNumbers
from hpsearch.data.table import as_frame

TRAINED, HELD = 1, 2


@dataclass(frozen=True, eq=False)
class Examples:
    """A table and what is said of its rows, as it goes to `search`: all (n_rows,), but for the folds `cv`."""

    X: Any
    y: NDArray[Any]
    weights: NDArray[np.float64]
    groups: NDArray[Any] | None
    cv: Any

    @property
    def has_named_folds(self) -> bool:
        """Does `cv` name rows, and not only a number of folds?"""
        is_number = isinstance(self.cv, int | np.integer) and not isinstance(self.cv, bool)
        return not (self.cv is None or is_number)

    @property
    def sample_weight(self) -> NDArray[np.float64] | None:
        """The weights, None where all are 1."""
        return None if (self.weights == 1).all() else self.weights


def distinct(examples: Examples) -> Examples:
    """Each different row once, with the total weight of its equals; those of weight 0 are left out.

    Equal rows have equal cells, targets and groups, and are trained on and held out by the same folds: a splitter is
    asked for these, and `cv` comes back as pairs of row numbers; a number of folds stays what it is.
    """
    frame = as_frame(examples.X)
    pairs = _pairs(examples, frame)
    kept = np.flatnonzero(examples.weights)
    keys = [examples.y] if examples.groups is None else [examples.y, examples.groups]
    table = [frame.iloc[kept], pd.DataFrame({str(place): key[kept] for place, key in enumerate(keys)})]
    roles = np.zeros((len(examples.y), len(pairs or ())), dtype=np.int64)
    for fold, (train, held) in enumerate(pairs or ()):
        roles[train, fold], roles[held, fold] = TRAINED, HELD
    codes = [pd.factorize(_sortable(part[name]), sort=True)[0] for part in table for name in part]
    first, totals = _merged(np.column_stack([*codes, roles[kept]]).astype(np.int64), examples.weights[kept])
    rows = kept[first]
    if pairs is not None:
        pairs = [(np.flatnonzero(role == TRAINED), np.flatnonzero(role == HELD)) for role in roles[rows].T]
    groups = None if examples.groups is None else examples.groups[rows]
    cv = examples.cv if pairs is None else pairs
    return Examples(rows_of(examples.X, rows), examples.y[rows], totals, groups, cv)


def enough(examples: Examples) -> Examples:
    """The examples; a table with too few rows for some to be held out is repeated, with a warning.

    It is left alone, for `search` to refuse, where folds or groups say which rows are held out.
    """
    n_rows = len(examples.y)
    if examples.has_named_folds or examples.groups is not None or n_rows >= FEWEST_ROWS:
        return examples
    times = -(-FEWEST_ROWS // n_rows)
    warnings.warn(
        f"{n_rows} different rows are too few to hold some out: each is taken {times} times. Models are scored on rows "
        "that they were trained on, and their scores say nothing of others.",
        UserWarning,
        stacklevel=4,
    )
    rows = np.tile(np.arange(n_rows), times)
    return Examples(rows_of(examples.X, rows), examples.y[rows], examples.weights[rows] / times, None, examples.cv)


def _pairs(examples: Examples, frame: pd.DataFrame) -> list[Pair] | None:
    """The folds of a splitter or an iterable; None without folds, or for a number of them."""
    if not examples.has_named_folds:
        return None
    pairs, said = pairs_of(examples.cv, frame, examples.y, examples.groups)
    for sentence in said:
        warnings.warn(sentence, UserWarning, stacklevel=4)
    return pairs


def _sortable(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column, cells that are objects as their text: those of different types have no order."""
    return column.map(repr) if column.dtype == object else column


def _merged(keys: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[RowNumbers, NDArray[np.float64]]:
    """The first row of each kind of `keys` (n_rows, n_keys), and the total weight of its kind."""
    order = np.argsort(keys.view(np.dtype((np.void, keys.itemsize * keys.shape[1])))[:, 0], kind="stable")
    changes = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    starts = np.flatnonzero(np.append(True, changes))
    return order[starts], np.add.reduceat(weights[order], starts)
