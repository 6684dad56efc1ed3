"""A table left as it is, for estimators that read tables themselves: an encoding that encodes nothing."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import Column, Kind, kind_of, listed
from hpsearch.data.encoding import Encoding, check_names
from hpsearch.data.table import as_frame

KIND = "as given"
CATEGORY = "category"
Table = pd.DataFrame | NDArray[Any]


@dataclass(frozen=True)
class Given:
    """A column as it is: its name, the kind of its values (see `data.columns.kind_of`), and its dtype in words."""

    name: str
    kind: Kind
    dtype: str


@dataclass(frozen=True)
class AsGiven:
    """What the columns of a table are called and hold, in the table's order.

    `is_frame`: was it a DataFrame? If not, tables are given out as arrays, and columns are called x0, x1, ...
    """

    columns: tuple[Given, ...]
    is_frame: bool
    name: ClassVar[str] = KIND

    @classmethod
    def of(cls, frame: pd.DataFrame, is_frame: bool) -> "AsGiven":
        """Of a table from `as_frame`."""
        columns = (frame[name] for name in frame.columns)
        return cls(tuple(Given(str(one.name), kind_of(one), str(one.dtype)) for one in columns), is_frame)

    @property
    def numeric(self) -> tuple[Given, ...]:
        """The columns of numbers."""
        return tuple(column for column in self.columns if column.kind == "numbers")

    @property
    def categorical(self) -> tuple[Given, ...]:
        """The other columns."""
        return tuple(column for column in self.columns if column.kind != "numbers")

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns a table must have, in the order an array must have."""
        return tuple(column.name for column in self.columns)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The same."""
        return self.column_names

    @property
    def n_inputs(self) -> int:
        """The width of the table."""
        return len(self.columns)

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
        wrong = [sentence for column in self.columns if (sentence := _mistyped(frame[column.name], column))]
        if wrong:
            raise ValueError(f"columns of {argument} must hold what they held when fitted: {listed(wrong, str)}")
        if not self.is_frame:
            return self._as_array(frame)
        return frame.astype({column.name: CATEGORY for column in self.columns if column.dtype == CATEGORY})

    def _as_array(self, frame: pd.DataFrame) -> NDArray[Any]:
        if {column.kind for column in self.columns} <= {"numbers", "booleans", "nothing"}:
            return frame.to_numpy(dtype=np.float64, na_value=np.nan)
        return frame.to_numpy(dtype=object)

    def to_tensors(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """No arrays, and a dict of plain values, for saving."""
        return {}, {"kind": KIND, "is_frame": self.is_frame, "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[np.float64]], document: dict[str, Any]) -> "AsGiven":
        """What `to_tensors` took apart."""
        return cls(tuple(Given(**column) for column in document["columns"]), document["is_frame"])


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


def _mistyped(column: Column, given: Given) -> str:
    """A sentence if a column does not hold what it held when it was given, else nothing. Numbers may be booleans."""
    kind = kind_of(column)
    fits = "nothing" in (kind, given.kind) or kind == given.kind or (given.kind, kind) == ("numbers", "booleans")
    return "" if fits else f"{given.name!r} held {given.kind}, now it holds {kind}"
