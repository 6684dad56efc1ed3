"""Columns to network inputs: which columns, in which layout, with which statistics.

The *layout* (what is numeric, which levels stand alone, what is dropped) is fixed once, from all rows but the test
rows and without the target; the *statistics* (medians, scales) come from the training rows. An `Encoding` keeps both as
plain values, so nothing of scikit-learn has to be saved.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.categorical import Categorical, encode_categorical, fit_categorical
from hpsearch.data.columns import (
    Column,
    Dropped,
    all_dates,
    did_you_mean,
    free_text,
    kind_of,
    listed,
    mistaken_numbers,
    to_keys,
)
from hpsearch.data.dates import Dates, encode_cycles, fit_dates, name_of_days, to_times, with_days
from hpsearch.data.numeric import Numeric, encode_numeric, fit_numeric, with_bins, with_quantiles
from hpsearch.data.piecewise import Targets, quantile_edges, tree_edges
from hpsearch.data.table import as_frame

Reading: TypeAlias = Literal["number", "dates", "category"]
Record: TypeAlias = Numeric | Categorical | Dates | Dropped

ENCODINGS = ("robust", "quantile", "piecewise", "piecewise_tree")
"""How numeric columns may be encoded: scaled by median and IQR; by rank; and scaled, with bins beside, either by
quantiles or by a decision tree on the column and the target. All else is the same in all of them."""

PER_COLUMN = ("quantiles", "edges")  # what a numeric column may have any number of


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table become inputs: one record per column, in the table's order.

    Inputs are laid out as: values of the numeric columns (days of dates among them), their indicators, their bins;
    cycles of dates; levels of the categorical columns. `name`: one of `ENCODINGS`.
    """

    columns: tuple[Record, ...]
    name: str = ENCODINGS[0]

    @property
    def numeric(self) -> tuple[Numeric, ...]:
        """The numeric columns, and the days of columns of dates."""
        columns = (column.days if isinstance(column, Dates) else column for column in self.columns)
        return tuple(column for column in columns if isinstance(column, Numeric))

    @property
    def dates(self) -> tuple[Dates, ...]:
        """The columns of dates."""
        return tuple(column for column in self.columns if isinstance(column, Dates))

    @property
    def categorical(self) -> tuple[Categorical, ...]:
        """The categorical columns."""
        return tuple(column for column in self.columns if isinstance(column, Categorical))

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns a table must have, in the order an array must have, dropped ones included."""
        return tuple(column.name for column in self.columns)

    @property
    def input_names(self) -> tuple[str, ...]:
        """One name per input: `age`, `age is missing`, `age: bin 1`, `color=red`, `color is rare`, and so on."""
        values = [column.name for column in self.numeric]
        indicators = [f"{column.name} is missing" for column in self.numeric if column.indicator]
        bins = [f"{column.name}: bin {number + 1}" for column in self.numeric for number in range(column.n_bins)]
        levels = [name for column in self.categorical for name in column.input_names]
        cycles = [name for column in self.dates for name in column.cycle_names]
        return (*values, *indicators, *bins, *cycles, *levels)

    @property
    def n_inputs(self) -> int:
        """The width of the encoded table."""
        return len(self.input_names)

    def encode(self, X: object, argument: str = "X") -> NDArray[np.float32]:
        """(n_rows, n_inputs) float32, C-contiguous, of a table with the columns this was fitted on.

        Columns of a DataFrame are found by name, those of an array or list by position.
        Raises ValueError for what `as_frame` refuses, for columns missing, added, or of another type, and for
        infinite numbers; `argument` is what messages call X. Missing cells and levels never seen are welcome.
        """
        frame = self._checked(X, argument)
        inputs = np.zeros((len(frame), self.n_inputs), dtype=np.float32)
        start = sum(1 + column.indicator + column.n_bins for column in self.numeric)
        with_numbers = with_days(frame, [column.name for column in self.dates])
        encode_numeric(with_numbers, self.numeric, inputs[:, :start])
        for dates in self.dates:
            end = start + len(dates.cycle_names)
            encode_cycles(to_times(frame[dates.name]), dates.cycles, inputs[:, start:end])
            start = end
        for column in self.categorical:
            encode_categorical(frame[column.name], column, inputs[:, start : start + column.n_inputs])
            start += column.n_inputs
        return inputs

    def _checked(self, X: object, argument: str) -> pd.DataFrame:
        frame = as_frame(X, argument)
        if isinstance(X, pd.DataFrame):
            check_names(list(frame.columns), self.column_names, argument)
        elif frame.shape[1] != len(self.columns):
            raise ValueError(f"{argument} must have {len(self.columns)} columns, but has {frame.shape[1]}")
        else:
            frame.columns = pd.Index(self.column_names)
        wrong = [sentence for column in self.columns if (sentence := _mistyped(frame[column.name], column))]
        if wrong:
            raise ValueError(f"columns of {argument} must hold what they held when fitted: {listed(wrong, str)}")
        return frame

    def to_tensors(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """Arrays and a dict of plain values, for saving.

        `median`, `scale`: (n_numeric,) float64. But for the name "robust" also `quantiles` and `edges`, those of all
        numeric columns in a row; how many are whose is in the dict.
        """
        tensors = {
            "median": np.array([column.median for column in self.numeric], dtype=np.float64),
            "scale": np.array([column.scale for column in self.numeric], dtype=np.float64),
        }
        document: dict[str, Any] = {"columns": [_to_json(column) for column in self.columns]}
        if self.name == ENCODINGS[0]:
            return tensors, document
        for part in PER_COLUMN:
            lists = [getattr(column, part) for column in self.numeric]
            tensors[part] = np.array([number for its in lists for number in its], dtype=np.float64)
            document[f"n_{part}"] = [len(its) for its in lists]
        return tensors, document | {"name": self.name, "n_bins": [column.n_bins for column in self.numeric]}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[np.float64]], document: dict[str, Any]) -> "Encoding":
        """The Encoding that `to_tensors` took apart, equal to the last bit."""
        statistics: list[dict[str, Any]] = [
            {"median": median, "scale": scale}
            for median, scale in zip(tensors["median"].tolist(), tensors["scale"].tolist(), strict=True)
        ]
        name = document.get("name", ENCODINGS[0])
        if name != ENCODINGS[0]:
            for part in PER_COLUMN:
                numbers = iter(tensors[part].tolist())
                for its, length in zip(statistics, document[f"n_{part}"], strict=True):
                    its[part] = tuple(islice(numbers, length))
            for its, n_bins in zip(statistics, document["n_bins"], strict=True):
                its["n_bins"] = n_bins
        of_numeric = iter(statistics)
        columns: list[Record] = []
        for entry in document["columns"]:
            fields = {key: value for key, value in entry.items() if key != "type"}
            if entry["type"] == "numeric":
                columns.append(Numeric(**fields, **next(of_numeric)))
            elif entry["type"] == "dates":
                days = Numeric(name_of_days(entry["name"]), indicator=entry["indicator"], **next(of_numeric))
                columns.append(Dates(entry["name"], days, tuple(entry["cycles"])))
            elif entry["type"] == "categorical":
                lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
                columns.append(Categorical(**fields | lists))
            else:
                columns.append(Dropped(**fields))
        return cls(tuple(columns), name)


def _to_json(column: Record) -> dict[str, Any]:
    if isinstance(column, Numeric):
        return {"type": "numeric", "name": column.name, "indicator": column.indicator}
    if isinstance(column, Dropped):
        return {"type": "dropped", "name": column.name, "reason": column.reason}
    if isinstance(column, Dates):
        days = column.days
        return {"type": "dates", "name": column.name, "indicator": days.indicator, "cycles": list(column.cycles)}
    fields = {
        "type": "categorical",
        "name": column.name,
        "kind": column.kind,
        "declared": column.declared,
        "levels": list(column.levels),
        "rare": column.rare,
    }
    if not column.rare:
        return fields
    return fields | {"counted": list(column.counted), "counts": list(column.counts), "n_rows": column.n_rows}


def check_names(names: Sequence[str], wanted: Sequence[str], argument: str) -> None:
    """ValueError unless the `names` of a table's columns are those `wanted`, in any order; `argument` is the table."""
    given, known = set(names), set(wanted)
    missing = [name for name in wanted if name not in given]
    added = [name for name in names if name not in known]
    faults = [f"missing are {listed(missing)}"] * bool(missing) + [f"unknown are {listed(added)}"] * bool(added)
    if faults:
        raise ValueError(f"{argument} must have the columns of the table that was fitted: {', '.join(faults)}")


def _mistyped(column: Column, record: Record) -> str:
    """A sentence if the cells of `column` cannot be read as `record` needs them, else nothing.

    Numeric columns take booleans, and durations in seconds; dates take text that looks like them. Declared categories
    take anything with a text key, except that numbers and booleans do not stand for each other (1 is not "True").
    """
    kind = kind_of(column)
    if isinstance(record, Dropped) or kind == "nothing":
        return ""
    if isinstance(record, Numeric):
        held, fits = "numbers", kind in ("numbers", "booleans", "durations")
    elif isinstance(record, Dates):
        held, fits = "dates", kind == "dates" or (kind == "text" and all_dates(to_keys(column)[1]))
    elif record.declared:
        keyed = kind in ("numbers", "booleans", "text", "intervals", "mixed values")
        held, fits = record.kind, keyed and {kind, record.kind} != {"numbers", "booleans"}
    else:
        held, fits = record.kind, kind == record.kind
    return "" if fits else f"{record.name!r} held {held}, now it holds {kind}{_first_that_is_no_number(column, held)}"


def _first_that_is_no_number(column: Column, held: str) -> str:
    """Where a column of numbers is spoilt, in words; nothing for other columns."""
    if held != "numbers":
        return ""
    cells = column.dropna().astype(object)
    spoilt = cells[[not isinstance(cell, Real) or isinstance(cell, bool | np.bool_) for cell in cells]]
    # one cell that is no number makes text of a whole column of a CSV
    culprits = spoilt[pd.to_numeric(spoilt, errors="coerce").isna()]
    shown = culprits if len(culprits) else spoilt
    return f" (the first: {shown.iloc[0]!r} in row {shown.index[0]})" if len(shown) else ""


def fit_encoding(
    frame: pd.DataFrame,
    layout_rows: NDArray[np.int64],
    train_rows: NDArray[np.int64],
    categorical: Sequence[str] = (),
    name: str = ENCODINGS[0],
    target: Targets | None = None,
) -> tuple[Encoding, tuple[str, ...]]:
    """The Encoding of a table from `as_frame`, and warnings: one sentence if columns had to be dropped.

    `layout_rows`: all rows but the test rows; `train_rows`: those of them that statistics are computed from.
    `categorical`: names of columns to be read as categories; text, booleans and pandas categories always are.
    `name`: one of `ENCODINGS`. `target`: (n_rows,) int64 classes or float64 numbers, for those with bins.
    Raises ValueError for names that do not exist, for columns of complex numbers, free text, mixed values and numbers
    as text with mistakes in them (unless declared categorical) and objects, for dates declared categorical, for
    infinite numbers, and if no column is left.
    """
    _check_categorical(categorical, list(frame.columns))
    readings = {its: _reading(frame[its], layout_rows, its in categorical) for its in frame.columns}
    _check_days(readings)
    records: dict[str, Record] = {}
    for its, (reading, declared) in readings.items():
        if reading == "dates":
            records[its] = fit_dates(frame[its], layout_rows, train_rows)
        elif reading == "category":
            records[its] = fit_categorical(frame[its], its, declared, layout_rows, train_rows)
    numeric = [its for its in readings if its not in records]
    records |= {record.name: record for record in fit_numeric(frame, numeric, layout_rows, train_rows)}
    columns = tuple(records[its] for its in readings)
    dropped = [f"{column.name!r} ({column.reason})" for column in columns if isinstance(column, Dropped)]
    if len(dropped) == len(columns):
        raise ValueError(f"X has no column of use: {listed(dropped, str)}")
    encoding = recoded(Encoding(columns), name, frame, train_rows, target)
    return encoding, (f"Columns without use were dropped: {listed(dropped, str)}.",) if dropped else ()


def recoded(
    robust: Encoding, name: str, frame: pd.DataFrame, train_rows: NDArray[np.int64], target: Targets | None = None
) -> Encoding:
    """The encoding `name` with the same columns, levels and statistics as `robust`; arguments as for `fit_encoding`."""
    if name == "robust":
        return robust
    frame = with_days(frame, [column.name for column in robust.dates])
    if name == "quantile":
        numeric = with_quantiles(frame, robust.numeric, train_rows)
    else:
        edges_of = {"piecewise": quantile_edges, "piecewise_tree": tree_edges}[name]
        if target is None:
            raise ValueError(f"the encoding {name!r} needs the target")
        numeric = with_bins(frame, robust.numeric, train_rows, target, edges_of, robust.n_inputs)
    return replace(robust, columns=_with_numeric(robust.columns, numeric), name=name)


def aligned(encodings: Sequence[Encoding]) -> list[Encoding]:
    """Encodings of one name and layout, of a table and its folds, with equally many inputs.

    A column has the most bins it has in any of them; where it has fewer, the inputs of the others are 0.
    """
    widths = [max(column.n_bins for column in its) for its in zip(*(one.numeric for one in encodings), strict=True)]
    wide = []
    for encoding in encodings:
        numeric = [replace(column, n_bins=width) for column, width in zip(encoding.numeric, widths, strict=True)]
        wide.append(replace(encoding, columns=_with_numeric(encoding.columns, numeric)))
    return wide


def _with_numeric(columns: Sequence[Record], numeric: Sequence[Numeric]) -> tuple[Record, ...]:
    """The columns with the `numeric` ones, in order, in place of theirs, days of dates among them."""
    others = iter(numeric)
    return tuple(_with_next(column, others) for column in columns)


def _with_next(column: Record, numeric: Iterator[Numeric]) -> Record:
    if isinstance(column, Dates):
        return replace(column, days=next(numeric))
    return next(numeric) if isinstance(column, Numeric) else column


def check_encodings(encodings: object) -> None:
    """ValueError unless `encodings` is one or more different names of `ENCODINGS`."""
    if isinstance(encodings, str) or not isinstance(encodings, Sequence):
        raise ValueError(f"encodings={encodings!r} must be a list of names: {listed(ENCODINGS)}")
    if unknown := [name for name in encodings if name not in ENCODINGS]:
        hint = did_you_mean(unknown[0], ENCODINGS)
        raise ValueError(f"encodings has {listed(unknown)}, but known are {listed(ENCODINGS)}{hint}")
    if not encodings or len(set(encodings)) < len(encodings):
        raise ValueError(f"encodings={encodings!r} must have one name or more, each once")


def _check_categorical(categorical: Sequence[str], names: Sequence[str]) -> None:
    for name in categorical:
        if name not in names:
            raise ValueError(f"categorical names {name!r}, which is not a column of X{did_you_mean(name, names)}")


def _check_days(readings: Mapping[str, tuple[Reading, bool]]) -> None:
    """ValueError if a column is called what the days of a column of dates are called."""
    for name, (reading, _) in readings.items():
        if reading == "dates" and (taken := name_of_days(name)) in readings:
            raise ValueError(f"column {taken!r} must have another name: so the days of the dates {name!r} are called")


def _reading(column: Column, layout_rows: NDArray[np.int64], declared: bool) -> tuple[Reading, bool]:
    """How a column is read, and whether the user said that it is categorical, which pandas categories say too.

    Raises ValueError for a column that cannot be encoded, saying what to do with it.
    """
    name, kind, layout = column.name, kind_of(column), column.iloc[layout_rows]
    declared = declared or isinstance(column.dtype, pd.CategoricalDtype)
    if kind == "complex numbers":
        raise ValueError(f"column {name!r} holds complex numbers. Complex data not supported: give two columns")
    if kind == "mixed values" and not declared:
        raise ValueError(f"column {name!r} holds mixed values: make them one type, or declare it categorical")
    if kind == "objects":
        raise ValueError(f"column {name!r} holds Python objects ({column.dtype}): give numbers, booleans or text")
    if kind in ("dates", "durations") and declared:
        raise ValueError(f"column {name!r} is declared categorical, but holds {kind}: give text")
    if kind == "nothing":
        return "number", declared
    if kind == "dates" or (kind == "text" and not declared and all_dates(to_keys(layout)[1])):
        return "dates", declared
    if kind == "text" and not declared and (first := free_text(layout)):
        raise ValueError(
            f"column {name!r} holds free text (the first: {first[:60]!r}), which is not read: derive numbers or "
            "categories from it, or drop it"
        )
    if kind == "text" and not declared and (mistaken := mistaken_numbers(layout)):
        raise ValueError(
            f"column {name!r} holds numbers as text, but for {listed(mistaken, most=3)}: correct these, leave them "
            "empty, or declare the column categorical"
        )
    return ("category" if declared or kind in ("text", "booleans", "intervals") else "number"), declared
