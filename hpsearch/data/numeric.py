"""Numeric columns: median for missing cells, median/IQR scaling, smooth clip to (-3, 3).

A `Numeric` column has one input for its value, one that says "was missing" if cells were missing when it was fitted,
and one for each bin if it has bins (piecewise.py). Its value may be told by rank instead (quantile.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer

from hpsearch.data.columns import Dropped, listed, to_numbers
from hpsearch.data.piecewise import MOST_INPUTS, EdgesOf, Targets, bin_edges, encode_bins, some_rows
from hpsearch.data.quantile import quantiles_of, to_normal

FEWEST_TRAIN_ROWS = 5  # as many as quantiles are taken
CLIP = 3.0
HUGE = 1e300  # numbers beyond count as infinite: the largest float64 is in use as a mark for missing cells
BLOCK = 16  # columns worked on together: few enough that a block of them stays in cache

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Numeric:
    """A numeric column: input (x - median) / scale, smoothly clipped; 0 where `scale` is 0.

    `scale` is the interquartile range, or half of (max - min) where that is 0. `indicator`: has an input that says
    "was missing".
    `quantiles`: sorted; where there are any, the value is told by rank. `edges`: of its bins, increasing; `n_bins` is
    the number of their inputs, more than there are bins where another fold has more.
    """

    name: str
    median: float
    scale: float
    indicator: bool
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    n_bins: int = 0


def fit_numeric(
    frame: pd.DataFrame, names: Sequence[str], layout_rows: NDArray[np.int64], train_rows: NDArray[np.int64]
) -> list[Numeric | Dropped]:
    """The records of the columns `names`: existence and indicators from `layout_rows`, statistics from `train_rows`.

    Missing cells count for no statistic. Median and quartiles are those of scikit-learn's RobustScaler; they come
    from its QuantileTransformer, which gives minimum and maximum with them, and does not hide an IQR of 0 as 1.
    Raises ValueError for infinite numbers in `layout_rows`, and for fewer than five training rows.
    """
    if len(train_rows) < FEWEST_TRAIN_ROWS:
        raise ValueError(f"at least {FEWEST_TRAIN_ROWS} training rows are needed, but there are {len(train_rows)}")
    records: list[Numeric | Dropped] = []
    for block in _blocks(names):
        values = numbers_of(frame, block)
        layout, train = values[:, layout_rows], values[:, train_rows]
        refuse_infinite(layout, block)
        missing = np.isnan(layout)
        train[np.isnan(train).all(axis=1)] = 0.0  # seen outside the training rows only: median and scale become 0
        quantiles = QuantileTransformer(n_quantiles=5, subsample=None).fit(train.T).quantiles_
        low, lower, median, upper, high = quantiles
        scale = np.where(upper > lower, upper - lower, (high - low) / 2)
        for j, name in enumerate(block):
            if missing[j].all():
                records.append(Dropped(name, "all missing"))
            elif not missing[j].any() and layout[j].min() == layout[j].max():
                records.append(Dropped(name, "constant"))
            else:
                records.append(Numeric(name, float(median[j]), float(scale[j]), bool(missing[j].any())))
    return records


def with_quantiles(frame: pd.DataFrame, columns: Sequence[Numeric], train_rows: NDArray[np.int64]) -> list[Numeric]:
    """The columns with quantiles of their training rows; one that does not vary there stays 0."""
    ranked: list[Numeric] = []
    for block in _blocks(columns):
        train = numbers_of(frame, [column.name for column in block])[:, train_rows]
        train[np.isnan(train).all(axis=1)] = 0.0
        quantiles = quantiles_of(train).tolist()
        ranked += [replace(column, quantiles=tuple(its)) for column, its in zip(block, quantiles, strict=True)]
    return [ranked[j] if column.scale > 0 else column for j, column in enumerate(columns)]


def with_bins(
    frame: pd.DataFrame,
    columns: Sequence[Numeric],
    train_rows: NDArray[np.int64],
    targets: Targets,
    edges_of: EdgesOf,
    n_other_inputs: int,
) -> list[Numeric]:
    """The columns with bins by `edges_of`, as many as leave the table, with its `n_other_inputs`, within 1,500 inputs.

    `targets`: (n_rows,) int64 classes or float64 numbers.
    """
    rows = some_rows(train_rows)
    most_bins = (MOST_INPUTS - n_other_inputs) // max(len(columns), 1)
    binned = []
    for column in columns:
        edges = bin_edges(to_numbers(frame[column.name])[rows], targets[rows], most_bins, edges_of).tolist()
        binned.append(replace(column, edges=tuple(edges), n_bins=max(len(edges) - 1, 0)))
    return binned


def encode_numeric(frame: pd.DataFrame, columns: Sequence[Numeric], inputs: NDArray[np.float32]) -> None:
    """Write the inputs of `columns`: all values, then all indicators, then all bins, into `inputs`, the OUT array.

    `inputs`: (n_rows, n_inputs), comes in as zeros. Raises ValueError for infinite numbers, naming columns.
    """
    start, next_indicator = 0, len(columns)
    next_bin = len(columns) + sum(column.indicator for column in columns)
    for block in _blocks(columns):
        names = [column.name for column in block]
        values = numbers_of(frame, names)
        refuse_infinite(values, names)
        for column, row in zip(block, values, strict=True):
            if column.indicator:
                inputs[:, next_indicator] = np.isnan(row)
                next_indicator += 1
            if column.edges:
                encode_bins(row, np.array(column.edges), inputs[:, next_bin : next_bin + column.n_bins])
            next_bin += column.n_bins
        inputs[:, start : start + len(block)] = _bounded(values, block).T
        start += len(block)


def _bounded(values: NDArray[np.float64], columns: Sequence[Numeric]) -> NDArray[np.float64]:
    """(n_columns, n_rows) within [-3, 3]: values by rank where a column has quantiles, else squashed."""
    ranked = {
        j: to_normal(values[j], np.array(column.quantiles)) for j, column in enumerate(columns) if column.quantiles
    }
    median = np.array([column.median for column in columns])
    scale = np.array([column.scale for column in columns])
    squash(values, median[:, None], scale[:, None])
    for j, normal in ranked.items():
        values[j] = np.nan_to_num(np.clip(normal, -CLIP, CLIP))
    return values


def squash(values: NDArray[np.float64], median: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
    """z = (values - median) / scale, then z / √(1 + (z/3)²), in place; 0 where values are NaN or scale is 0."""
    values -= median
    with np.errstate(over="ignore"):
        values /= np.where(scale > 0, scale, np.inf)
    values[np.isnan(values)] = 0.0
    np.clip(values, -1e6, 1e6, out=values)  # already 3 in float32, and its square does not overflow
    values /= np.sqrt(1 + np.square(values / CLIP))


def refuse_infinite(values: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise ValueError if `values` (n_columns, n_rows) has infinite numbers, naming columns and how many rows."""
    n_infinite = (np.abs(values) > HUGE).sum(axis=1).tolist()
    found = [f"{name!r} ({n} row{'s' * (n > 1)})" for name, n in zip(names, n_infinite, strict=True) if n]
    if found:
        raise ValueError(f"numbers must be finite (within ±{HUGE:g}), but some are not in columns {listed(found, str)}")


def _blocks(columns: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(columns), BLOCK):
        yield columns[start : start + BLOCK]


def numbers_of(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """(n_columns, n_rows): a column of the table is a row here, so that it is contiguous."""
    values = np.empty((len(names), len(frame)))
    for row, name in zip(values, names, strict=True):
        row[:] = to_numbers(frame[name])
    return values
