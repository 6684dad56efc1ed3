"""Categorical columns: one input per level, 1 where the row has it; and how frequent the level is, if some are rare.

Levels are compared as text keys (columns.py); a missing cell is a level too, written None. Rare levels share one
input, and a level that was never seen goes there, or nowhere.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder

from hpsearch.data.columns import Column, Dropped, Kind, kind_of, to_keys

FEWEST_ROWS_PER_LEVEL = 5
MOST_LEVELS = 100


@dataclass(frozen=True)
class Categorical:
    """A categorical column: one input per entry of `levels`, and if `rare` one for all others and one for frequency.

    `kind`: what the cells were. `declared`: the user said it is categorical, so cells of another type are welcome.
    The frequency of a level, rare or not, is log(n) / log(n_rows), if it is in n of the n_rows training rows; 0 if that
    is one or none. `counted`, `counts`: the levels in two or more, and n.
    """

    name: str
    kind: Kind
    declared: bool
    levels: tuple[str | None, ...]
    rare: bool
    counted: tuple[str | None, ...] = ()
    counts: tuple[int, ...] = ()
    n_rows: int = 0

    @property
    def n_inputs(self) -> int:
        """Inputs of this column."""
        return len(self.levels) + 2 * self.rare

    @property
    def input_names(self) -> list[str]:
        """One name per input: `color=red`, `color is missing`, `color is rare`, `color: frequency`."""
        names = [f"{self.name} is missing" if key is None else f"{self.name}={key}" for key in self.levels]
        return [*names, f"{self.name} is rare", f"{self.name}: frequency"] if self.rare else names


def fit_categorical(
    column: Column, name: str, declared: bool, layout_rows: NDArray[np.int64], train_rows: NDArray[np.int64]
) -> Categorical | Dropped:
    """The record of a column: levels from its non-test rows, `layout_rows`, counts of them from its `train_rows`.

    Levels seen in fewer than five rows, and those beyond the hundred most frequent, are rare. A column of one level,
    and one whose levels are all rare, is dropped.
    """
    layout = column.iloc[layout_rows]
    codes, keys = to_keys(layout)
    known = sorted(set(keys))
    position = {key: i for i, key in enumerate(known)}
    levels: list[str | None] = [*known, None]
    level_of_code = np.array([*(position[key] for key in keys), len(known)])  # code -1, missing, reads the last
    encoder = OneHotEncoder(
        min_frequency=FEWEST_ROWS_PER_LEVEL, max_categories=MOST_LEVELS + 1, handle_unknown="infrequent_if_exist"
    ).fit(level_of_code[codes][:, None])
    seen = encoder.categories_[0].tolist()
    rare = set() if encoder.infrequent_categories_[0] is None else set(encoder.infrequent_categories_[0].tolist())
    standing = tuple(levels[i] for i in seen if i not in rare)
    if len(seen) == 1:
        return Dropped(name, "constant" if known else "all missing")
    if not standing:
        return Dropped(name, f"no value in {FEWEST_ROWS_PER_LEVEL} rows or more")
    record = Categorical(name, kind_of(layout), declared, standing, bool(rare))
    return _with_frequencies(record, column.iloc[train_rows]) if rare else record


def _with_frequencies(record: Categorical, training: Column) -> Categorical:
    codes, keys = to_keys(training)
    levels = [*keys, None]
    counts: dict[str | None, int] = {}
    for key, count in zip(levels, np.bincount(codes % len(levels), minlength=len(levels)).tolist(), strict=True):
        counts[key] = counts.get(key, 0) + count  # code -1, missing, counts as the last
    several = {key: count for key, count in counts.items() if count > 1}
    return replace(record, counted=tuple(several), counts=tuple(several.values()), n_rows=len(training))


def encode_categorical(column: Column, record: Categorical, inputs: NDArray[np.float32]) -> None:
    """Write a column into `inputs` (n_rows, record.n_inputs), the OUT array, which comes in as zeros."""
    codes, keys = to_keys(column)
    position = {level: i for i, level in enumerate(record.levels)}
    otherwise = len(record.levels) if record.rare else -1
    input_of_code = np.array([position.get(key, otherwise) for key in [*keys, None]])
    hot = input_of_code[codes]
    rows = np.flatnonzero(hot >= 0)
    inputs[rows, hot[rows]] = 1.0
    if record.rare:
        count = dict(zip(record.counted, record.counts, strict=True))
        count_of_code = np.array([count.get(key, 1) for key in [*keys, None]])
        inputs[:, -1] = (np.log(count_of_code) / np.log(record.n_rows))[codes]
