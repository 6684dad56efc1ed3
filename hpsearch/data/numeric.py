"""Numeric columns: median for missing cells, median/IQR scaling, smooth clip to (-3, 3).

A `Numeric` column has one input, and a second one that says "was missing" if cells were missing when it was fitted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer

from hpsearch.data.columns import Dropped, listed, to_numbers

FEWEST_TRAIN_ROWS = 5  # as many as quantiles are taken
CLIP = 3.0
HUGE = 1e300  # numbers beyond count as infinite: the largest float64 is in use as a mark for missing cells
BLOCK = 16  # columns worked on together: few enough that a block of them stays in cache


@dataclass(frozen=True)
class Numeric:
    """A numeric column: input (x - median) / scale, smoothly clipped; 0 where `scale` is 0.

    `scale` is the interquartile range, or half of (max - min) where that is 0. `indicator`: has the second input.
    """

    name: str
    median: float
    scale: float
    indicator: bool


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
        values = _numbers(frame, block)
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


def encode_numeric(frame: pd.DataFrame, columns: Sequence[Numeric], inputs: NDArray[np.float32]) -> None:
    """Write the inputs of `columns`: all values, then all indicators, into `inputs` (n_rows, n_inputs), the OUT array.

    Raises ValueError for infinite numbers, naming columns.
    """
    record = {column.name: column for column in columns}
    start, next_indicator = 0, len(columns)
    for block in _blocks(list(record)):
        values = _numbers(frame, block)
        refuse_infinite(values, block)
        for j, name in enumerate(block):
            if record[name].indicator:
                inputs[:, next_indicator] = np.isnan(values[j])
                next_indicator += 1
        median = np.array([record[name].median for name in block])
        scale = np.array([record[name].scale for name in block])
        squash(values, median[:, None], scale[:, None])
        inputs[:, start : start + len(block)] = values.T
        start += len(block)


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


def _blocks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), BLOCK):
        yield names[start : start + BLOCK]


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """(n_columns, n_rows): a column of the table is a row here, so that it is contiguous."""
    values = np.empty((len(names), len(frame)))
    for row, name in zip(values, names, strict=True):
        row[:] = to_numbers(frame[name])
    return values
