"""Categorical columns: one input per level, 1 where the row has it.

Levels are compared as text keys (columns.py); a missing cell is a level too, written None. Rare levels share one
input, and a level that was never seen goes there, or nowhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder

from hpsearch.data.columns import Column, Dropped, Kind, kind_of, to_keys

FEWEST_ROWS_PER_LEVEL = 5
MOST_LEVELS = 100


@dataclass(frozen=True)
class Categorical:
    """A categorical column: one input per entry of `levels`, and a last one for all others if `rare`.

    `kind`: what the cells were. `declared`: the user said it is categorical, so cells of another type are welcome.
    """

    name: str
    kind: Kind
    declared: bool
    levels: tuple[str | None, ...]
    rare: bool

    @property
    def n_inputs(self) -> int:
        """Inputs of this column."""
        return len(self.levels) + self.rare

    @property
    def input_names(self) -> list[str]:
        """One name per input: `color=red`, `color is missing`, `color is rare`."""
        names = [f"{self.name} is missing" if key is None else f"{self.name}={key}" for key in self.levels]
        return [*names, f"{self.name} is rare"] if self.rare else names


def fit_categorical(column: Column, name: str, declared: bool) -> Categorical | Dropped:
    """The record of a column, from its non-test rows.

    Levels seen in fewer than five rows, and those beyond the hundred most frequent, are rare. A column of one level,
    and one whose levels are all rare, is dropped.
    """
    codes, keys = to_keys(column)
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
    return Categorical(name, kind_of(column), declared, standing, bool(rare))


def encode_categorical(column: Column, record: Categorical, inputs: NDArray[np.float32]) -> None:
    """Set the ones of a column in `inputs` (n_rows, record.n_inputs), the OUT array, which comes in as zeros."""
    codes, keys = to_keys(column)
    position = {level: i for i, level in enumerate(record.levels)}
    otherwise = len(record.levels) if record.rare else -1
    input_of_code = np.array([position.get(key, otherwise) for key in [*keys, None]])
    hot = input_of_code[codes]
    rows = np.flatnonzero(hot >= 0)
    inputs[rows, hot[rows]] = 1.0
