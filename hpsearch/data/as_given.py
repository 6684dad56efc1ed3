"""A table left as it is, for estimators that read tables themselves: an encoding that encodes nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import kind_of, listed
from hpsearch.data.encoding import Encoding, check_names
from hpsearch.data.table import as_frame

KIND = "as given"
CATEGORY = "category"
Table = pd.DataFrame | NDArray[Any]


@dataclass(frozen=True)
class AsGiven:
    """What the columns of a table were called and held: one entry per column in each tuple, in the table's order.

    Attributes:
        column_names: text; x0, x1, … for an array.
        kinds: of their values, see `data.columns.kind_of`.
        dtypes: as pandas writes them.
        is_frame: was it a DataFrame? If not, tables are given out as arrays.
    """

    column_names: tuple[str, ...]
    kinds: tuple[str, ...]
    dtypes: tuple[str, ...]
    is_frame: bool

    @classmethod
    def of(cls, frame: pd.DataFrame, is_frame: bool) -> "AsGiven":
        """Of a table from `as_frame`."""
        columns = [frame[name] for name in frame.columns]
        kinds = tuple(kind_of(column) for column in columns)
        return cls(tuple(frame.columns), kinds, tuple(str(column.dtype) for column in columns), is_frame)

    @property
    def input_names(self) -> tuple[str, ...]:
        return self.column_names

    @property
    def n_inputs(self) -> int:
        return len(self.column_names)

    def encode(self, X: object, argument: str = "X") -> Table:
        """The table itself, checked, with its columns in order and rows numbered from 0.

        A DataFrame if the first one was, with categories where it had them; else an array (n_rows, n_columns), float64
        if it held numbers only, of objects if not. Missing cells stay missing.
        Raises ValueError for what `as_frame` refuses, and for columns missing, added, or of another kind.
        """
        frame = as_frame(X, argument)
        if isinstance(X, pd.DataFrame):
            check_names(list(frame.columns), self.column_names, argument)
            frame = frame[list(self.column_names)]
        elif frame.shape[1] != self.n_inputs:
            raise ValueError(f"{argument} must have {self.n_inputs} columns, but has {frame.shape[1]}")
        else:
            frame.columns = pd.Index(self.column_names)
        wrong = [
            f"{name!r} held {held}, now it holds {kind}"
            for name, held in zip(self.column_names, self.kinds, strict=True)
            if not _fits(kind := kind_of(frame[name]), held)
        ]
        if wrong:
            raise ValueError(f"columns of {argument} must hold what they held when fitted: {listed(wrong, str)}")
        if not self.is_frame:
            return self._as_array(frame)
        kept = zip(self.column_names, self.dtypes, strict=True)
        return frame.astype({name: CATEGORY for name, dtype in kept if dtype == CATEGORY and frame[name].dtype != dtype})

    def _as_array(self, frame: pd.DataFrame) -> NDArray[Any]:
        if {*self.kinds} <= {"numbers", "booleans", "nothing"}:
            return frame.to_numpy(dtype=np.float64, na_value=np.nan)
        return frame.to_numpy(dtype=object)

    def to_tensors(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """No arrays, and a dict of plain values, for saving."""
        names = ("column_names", "kinds", "dtypes")
        return {}, {"kind": KIND, "is_frame": self.is_frame} | {name: list(getattr(self, name)) for name in names}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[np.float64]], document: dict[str, Any]) -> "AsGiven":
        """What `to_tensors` took apart."""
        names = ("column_names", "kinds", "dtypes")
        return cls(is_frame=document["is_frame"], **{name: tuple(document[name]) for name in names})


def encoding_from_tensors(tensors: dict[str, NDArray[np.float64]], document: dict[str, Any]) -> Encoding | AsGiven:
    """The encoding, of either sort, that `to_tensors` took apart."""
    sort = AsGiven if document.get("kind") == KIND else Encoding
    return sort.from_tensors(tensors, document)


def rows_of(table: Any, rows: NDArray[np.int64]) -> Any:
    """Some rows of a table, an array or a DataFrame, which keep their numbers."""
    return table.iloc[rows] if isinstance(table, pd.DataFrame) else table[rows]


def stacked(above: Table, below: Table) -> Table:
    """Two tables with the same columns as one."""
    if isinstance(above, pd.DataFrame):
        return pd.concat([above, pd.DataFrame(below)], ignore_index=True)
    return np.concatenate([above, np.asarray(below)])


def digest(table: Table) -> NDArray[Any]:
    """An array of numbers that stands for the table in its fingerprint: for one of objects, a hash of each row."""
    if isinstance(table, np.ndarray) and table.dtype != object:
        return table
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(table), index=False))


def _fits(kind: str, held: str) -> bool:
    numbers = ("numbers", "booleans")
    return "nothing" in (kind, held) or kind == held or (held == "numbers" and kind in numbers)
