"""One column of a table: the kind of its values, and its reading as numbers or as text keys.

A *kind* is ours, not a dtype: pandas has a dozen ways to hold whole numbers, and a text column read from a file with
empty cells may be `str`, `string`, `object` or Arrow. A *key* is the text by which levels of a category are compared.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal[
    "numbers",
    "booleans",
    "text",
    "intervals",
    "dates",
    "durations",
    "complex numbers",
    "mixed values",
    "objects",
    "nothing",
]
Column: TypeAlias = "pd.Series[Any]"

KIND_OF_DTYPE: dict[str, Kind] = {
    "i": "numbers",
    "u": "numbers",
    "f": "numbers",
    "b": "booleans",
    "U": "text",
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
}
# What pandas' `infer_dtype` says of cells that are objects.
KIND_OF_CELLS: dict[str, Kind] = {
    "string": "text",
    "boolean": "booleans",
    "integer": "numbers",
    "floating": "numbers",
    "mixed-integer-float": "numbers",
    "decimal": "numbers",
    "interval": "intervals",
    "complex": "complex numbers",
    "datetime": "dates",
    "datetime64": "dates",
    "date": "dates",
    "time": "dates",
    "timedelta": "durations",
    "timedelta64": "durations",
    "period": "dates",
}
DATE = re.compile(
    r"\d{4}([-/])(0[1-9]|1[0-2])\1(0[1-9]|[12]\d|3[01])"
    r"([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?)?"
)
WORDS_OF_TEXT = 5  # per cell, on average: names and addresses are shorter
DIFFERENT = 0.9  # of the cells of free text at least
NUMBERS = 0.9  # of the cells of a column of numbers with mistakes in it, at least
FEWEST_NUMBERS = 20  # different ones in it: fewer may well be names, as of grades


@dataclass(frozen=True)
class Dropped:
    """A column that yields no input, and the reason in a word or two."""

    name: str
    reason: str


def kind_of(column: Column) -> Kind:
    """The kind of a column's values; of a pandas category, the kind of its categories.

    `nothing`: every cell is missing. `dates`: times and periods too. `mixed values`: two or more of text, numbers and
    booleans. `objects`: lists, dicts, bytes, anything else.
    """
    if bool(column.isna().all()):
        return "nothing"
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return kind_of(pd.Series(dtype.categories))
    if isinstance(dtype, pd.StringDtype):
        return "text"
    if isinstance(dtype, pd.PeriodDtype):
        return "dates"
    if dtype.kind in KIND_OF_DTYPE:
        return KIND_OF_DTYPE[dtype.kind]
    cells = column.dropna().astype(object)
    return KIND_OF_CELLS.get(pd.api.types.infer_dtype(cells)) or _kind_of_objects(cells)


def _kind_of_objects(cells: Column) -> Kind:
    plain = all(isinstance(cell, str | bool | int | float | np.bool_ | np.number) for cell in cells)
    return "mixed values" if plain else "objects"


def to_numbers(column: Column) -> NDArray[np.float64]:
    """(n_rows,) float64 of a column of numbers, booleans (False 0, True 1), durations (seconds) or nothing.

    Missing cells are NaN.
    """
    if bool(column.isna().all()):  # whatever its type is: NaT would read as -2⁶³
        return np.full(len(column), np.nan)
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except OverflowError:
        raise ValueError(f"{column.name!r} holds a whole number that is too large for float64") from None


def to_keys(column: Column) -> tuple[NDArray[np.int64], list[str]]:
    """Each row's text key: `codes` (n_rows,), positions in `keys`, -1 where the cell is missing.

    The key of a whole number is its decimal form, whatever type holds it, so that 1, 1.0 and "1" are one level; of a
    boolean "True" or "False"; of any other number its `repr`; of an interval "(0, 1]". `keys` may name a key twice
    ("1" and 1 in one column).
    """
    if column.dtype == object:  # hashing would merge 1 and True before they are told apart
        column = column.map(text_key, na_action="ignore")
    codes, values = pd.factorize(column)
    return codes.astype(np.int64), [text_key(value) for value in values.tolist()]


def text_key(value: object) -> str:
    """The key of one cell that is not missing; see `to_keys`."""
    if isinstance(value, str | pd.Interval):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    number = float(value)  # type: ignore[arg-type]
    return str(int(number)) if number.is_integer() else repr(number)


def all_dates(keys: list[str]) -> bool:
    """Whether every key looks like an ISO date, with or without a time ("2024-01-31", "2024/01/31 08:00")."""
    return bool(keys) and all(DATE.fullmatch(key.strip()) for key in keys)


def free_text(column: Column) -> str | None:
    """The first cell of a column of text if that is free text: sentences, nearly all different. Else None."""
    cells = column.dropna()
    n_words = cells.str.count(r"\S+").mean()
    return str(cells.iloc[0]) if n_words >= WORDS_OF_TEXT and cells.nunique() >= DIFFERENT * len(cells) else None


def mistaken_numbers(column: Column) -> list[str]:
    """The different cells of a column of text that are no numbers, if nearly all are: "1o3", "?". Else none."""
    cells = column.dropna()
    numbers = pd.to_numeric(cells, errors="coerce")
    is_number = numbers.notna()
    is_meant = is_number.mean() >= NUMBERS and numbers.nunique() >= FEWEST_NUMBERS
    return cells[~is_number].astype(str).unique().tolist() if is_meant else []


def listed(names: Sequence[object], say: Callable[[object], str] = repr, most: int = 10) -> str:
    """`'a', 'b' and 3 more`: the first `most` names as `say` puts them."""
    rest = len(names) - most
    shown = ", ".join(say(name) for name in names[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown


def did_you_mean(name: object, names: Sequence[str]) -> str:
    """`; did you mean 'a'?` with the nearest of `names`, or nothing if none is near."""
    near = get_close_matches(str(name), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
