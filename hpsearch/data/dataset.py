"""The Dataset: everything that training, scoring and saving need to know of the data; and `prepare`, the door to it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.as_given import AsGiven, digest, stacked
from hpsearch.data.columns import Column, did_you_mean, kind_of, listed, to_numbers
from hpsearch.data.encoding import Encoding, fit_encoding
from hpsearch.data.splits import Rows, split_rows, strata
from hpsearch.data.table import as_frame
from hpsearch.data.target import Labels, Target, Task, as_column, as_labels, fit_target, infer_task

FEWEST_OF_CLASS = 3
"""With fewer rows of a class among those that judge, the user is warned."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """An encoded table, its target, and who may see which rows.

    `inputs`: (n_rows, n_inputs) float32, C-contiguous, within [-3, 3]; or the table itself, see `prepare`.
    `targets`: (n_rows, n_outputs) float32.
    `y`: (n_rows,) int64 class codes, or float64 numbers in the user's units.
    `row_weights`: (n_rows,) float32, mean one over the training rows; ones without `sample_weight`.
    `sample_weight`: (n_rows,) float64 as given, or None. `warnings`: sentences for the user.
    `fingerprint`: SHA-256 (hexadecimal) over all of this but the warnings: equal data, equal fingerprint.
    """

    inputs: Any
    targets: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float64]
    row_weights: NDArray[np.float32]
    sample_weight: NDArray[np.float64] | None
    rows: Rows
    target: Target
    encoding: Encoding | AsGiven
    warnings: tuple[str, ...]
    fingerprint: str

    @property
    def n_inputs(self) -> int:
        """The width of `inputs`."""
        return self.encoding.n_inputs

    @property
    def n_outputs(self) -> int:
        """The width of `targets`: number of classes, or 1 for regression."""
        return self.target.n_outputs

    @property
    def task(self) -> Task:
        """What the target asks for: "binary", "multiclass" or "regression"."""
        return self.target.task


def prepare(
    X: object,
    y: object,
    *,
    task: str | None = None,
    categorical: Iterable[str | int] | None = None,
    sample_weight: object = None,
    X_test: object = None,
    y_test: object = None,
    test_size: float | int | None = None,
    random_state: int = 0,
    encoded: bool = True,
) -> Dataset:
    """The Dataset of a table X (DataFrame, 2-D array, list of rows) and its target y (one value per row).

    `y` may be the name of a column of the DataFrame X, and `y_test` of X_test. `categorical`: names of columns that
    are categories whatever they look like; positions too if X is not a DataFrame. `sample_weight`: (n_rows,) ≥ 0.
    Test rows are either given (X_test, y_test: appended after the others, with weight 1) or dealt (`test_size`: a
    share in (0, 0.5], or a number of rows). `random_state`, 0 to 2⁶⁴ - 1, decides which rows play which part.
    With `encoded=False`, `inputs` is the table itself: a DataFrame if X was one, else an array, see `AsGiven.encode`.

    Raises ValueError, once and here, for everything that is wrong with the data; the message names the argument.
    """
    _check_random_state(random_state)
    _check_test(X_test, y_test, test_size)
    frame, column = _table_and_target(X, y)
    labels = as_labels(column)
    known_task = infer_task(labels, task=task, is_category=isinstance(column.dtype, pd.CategoricalDtype))
    test_frame, test_column = (None, None) if X_test is None else _table_and_target(X_test, y_test, "X_test", "y_test")
    n_test = 0 if test_column is None else len(test_column)
    rows = split_rows(strata(labels, known_task), test_size=test_size, n_appended=n_test, random_state=random_state)
    _check_order(X, sample_weight, "X", "sample_weight")
    weights, row_weights = _weights(sample_weight, rows, len(frame), n_test)

    target = fit_target(labels, known_task, rows.train, column.name if isinstance(column.name, str) else "target")
    names = _categorical_names(categorical, frame, isinstance(X, pd.DataFrame))
    encoding, warnings = (
        fit_encoding(frame, rows.non_test, rows.train, names)
        if encoded
        else (AsGiven.of(frame, isinstance(X, pd.DataFrame)), ())
    )
    warnings = (*warnings, *_scarce(labels, rows, target))
    inputs, codes = encoding.encode(frame), target.codes(column)
    if n_test:
        test_table = test_frame if isinstance(X_test, pd.DataFrame) else X_test
        inputs = stacked(inputs, encoding.encode(test_table, "X_test"))
        codes = np.concatenate([codes, target.codes(test_column, "y_test")])
    targets = target.encode_codes(codes)
    arrays = {"inputs": digest(inputs), "targets": targets, "y": codes, "row_weights": row_weights}
    if weights is not None:
        arrays["sample_weight"] = weights
    fingerprint = _fingerprint(arrays, rows, target, encoding)
    return Dataset(inputs, targets, codes, row_weights, weights, rows, target, encoding, warnings, fingerprint)


def _check_random_state(random_state: object) -> None:
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if not (whole and 0 <= random_state < 2**64):  # type: ignore[operator]
        raise ValueError(f"random_state={random_state!r} must be a whole number from 0 to 2**64 - 1")


def _check_test(X_test: object, y_test: object, test_size: object) -> None:
    if (X_test is None) != (y_test is None):
        given, lacking = ("y_test", "X_test") if X_test is None else ("X_test", "y_test")
        raise ValueError(f"{given} is given without {lacking}: test rows need both")
    if X_test is not None and test_size is not None:
        raise ValueError(f"test_size={test_size!r} is given beside X_test: there can be only one set of test rows")


def _table_and_target(X: object, y: object, X_name: str = "X", y_name: str = "y") -> tuple[pd.DataFrame, Column]:
    """X as a frame and y as a column of equal length; a `y` that is a name is taken out of the frame."""
    frame = as_frame(X, X_name)
    if isinstance(y, str):
        if not isinstance(X, pd.DataFrame) or y not in frame:
            hint = did_you_mean(y, list(frame.columns)) if isinstance(X, pd.DataFrame) else ""
            raise ValueError(f"{y_name}={y!r} must be the name of a column of the DataFrame {X_name}{hint}")
        return as_frame(frame.drop(columns=y), X_name), frame[y]
    column = as_column(y, y_name)
    if len(column) != len(frame):
        raise ValueError(f"{X_name} and {y_name} must have equally many rows, but have {len(frame)} and {len(column)}")
    _check_order(X, y, X_name, y_name)
    return frame, column


def _check_order(X: object, other: object, X_name: str, name: str) -> None:
    """ValueError if `other` has the index of X in another order: its rows were meant to be matched by it."""
    if not isinstance(X, pd.DataFrame) or not isinstance(other, pd.Series | pd.DataFrame) or len(X) != len(other):
        return
    mine, its = X.index, other.index
    if mine.equals(its) or mine.nlevels != its.nlevels or not (mine.is_unique and its.is_unique):
        return
    if len(mine.intersection(its)) == len(mine):
        raise ValueError(
            f"{X_name} and {name} have the same index in another order: rows are matched by position, so give "
            f"{name}.loc[{X_name}.index]"
        )


def _categorical_names(categorical: Iterable[str | int] | None, frame: pd.DataFrame, has_names: bool) -> list[str]:
    """Names of the columns in `categorical`, which may give positions where the table came without names."""
    if categorical is None:
        return []
    if isinstance(categorical, str) or not isinstance(categorical, Iterable):
        raise ValueError(f"categorical={categorical!r} must be a list of column names")
    names = []
    for entry in categorical:
        if isinstance(entry, str):
            names.append(entry)
        elif has_names or isinstance(entry, bool) or not isinstance(entry, int | np.integer):
            raise ValueError(f"categorical has {entry!r}: it must hold names of columns (or, for arrays, positions)")
        elif not 0 <= entry < frame.shape[1]:
            raise ValueError(f"categorical has position {entry}, but the columns of X are 0 to {frame.shape[1] - 1}")
        else:
            names.append(str(frame.columns[entry]))
    return names


def _weights(
    sample_weight: object, rows: Rows, n_given: int, n_test: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float32]]:
    """`Dataset.sample_weight` and `Dataset.row_weights`; the `n_test` appended test rows have weight 1 in both."""
    if sample_weight is None:
        return None, np.ones(n_given + n_test, dtype=np.float32)
    column = as_column(sample_weight, "sample_weight")
    if len(column) != n_given:
        raise ValueError(f"sample_weight must have one weight for each of {n_given} rows, but has {len(column)}")
    if kind_of(column) not in ("numbers", "booleans"):
        raise ValueError(f"sample_weight must hold numbers, but holds {kind_of(column)}")
    weights = to_numbers(column)
    if n_wrong := int((~(np.isfinite(weights) & (weights >= 0))).sum()):
        raise ValueError(f"sample_weight must be finite and at least 0, but {n_wrong} weights are not")
    appended = np.ones(n_test)
    weights = np.concatenate([weights, appended])
    for part in ("train", "valid", "select", "test"):
        its_rows = getattr(rows, part)
        if len(its_rows) and not weights[its_rows].any():
            raise ValueError(
                f"sample_weight must not be 0 on all rows of a part, but is on the {len(its_rows)} {part} rows"
            )
    relative = weights[:n_given] / weights[rows.train].mean()
    return weights, np.concatenate([relative, appended]).astype(np.float32)


def _scarce(labels: Labels, rows: Rows, target: Target) -> list[str]:
    """A sentence if a class has next to no rows among those that judge."""
    few = []
    for label in () if target.classes is None else target.classes.tolist():
        counts = [int((labels[part] == label).sum()) for part in (rows.valid, rows.select)]
        if min(counts) < FEWEST_OF_CLASS:
            few.append(f"{label!r} ({counts[0]} and {counts[1]})")
    if not few:
        return []
    return [
        f"Of the {len(rows.valid)} validation rows, which rank the trials, and the {len(rows.select)} selection rows, "
        f"which give the honest score, few are of {listed(few, str)}: they can say little of so few."
    ]


def _fingerprint(arrays: dict[str, NDArray[Any]], rows: Rows, target: Target, encoding: Encoding | AsGiven) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays, and over labels and columns."""
    tensors, layout = encoding.to_tensors()
    digest = hashlib.sha256(json.dumps([target.to_json(), layout], sort_keys=True).encode())
    for name, array in (arrays | vars(rows) | tensors).items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
