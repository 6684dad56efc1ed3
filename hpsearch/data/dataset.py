"""The Dataset: everything that training, scoring and saving need to know of the data; and `prepare`, the door to it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.as_given import AsGiven, digest, stacked
from hpsearch.data.class_weight import class_weights
from hpsearch.data.columns import Column, did_you_mean, kind_of, listed, to_numbers
from hpsearch.data.encoding import ENCODINGS, Encoding, aligned, check_encodings, fit_encoding, recoded
from hpsearch.data.folds import fold_rows, united
from hpsearch.data.splits import RowNumbers, Rows, split_rows, split_test, strata
from hpsearch.data.table import as_frame
from hpsearch.data.target import Labels, Target, Task, as_column, as_labels, fit_target, infer_task

FEWEST_OF_CLASS = 3
"""With fewer rows of a class among those that judge, the user is warned."""
N_FOLDS = 5
"""Of small tables, if the user names no number."""
FEWEST_FOLDED, FEWEST_OF_CLASS_FOLDED, MOST_COLUMNS_FOLDED = 100, 10, 1_000
"""Rows, rows of each class, not counting test rows, and columns: of other tables folds are made only if asked for."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A table by one encoding: `inputs` (n_rows, n_inputs), see `Dataset`."""

    encoding: Encoding | AsGiven
    inputs: Any


@dataclass(frozen=True, eq=False)
class Dataset:
    """An encoded table, its target, and who may see which rows.

    `inputs`: (n_rows, n_inputs) float32, C-contiguous, within [-3, 3]; or the table itself, see `prepare`.
    `targets`: (n_rows, n_outputs) float32.
    `y`: (n_rows,) int64 class codes, or float64 numbers in the user's units.
    `row_weights`: (n_rows,) float32, mean one over the fitting rows; ones without `sample_weight`.
    `sample_weight`: (n_rows,) float64 as given, or None.
    `class_weight`: (n_classes,) float64, what the rows of a class weigh more in training, or None.
    `warnings`: sentences for the user.
    `fingerprint`: SHA-256 (hexadecimal) over all of this but the warnings: equal data, equal fingerprint.

    `folds`: where there are any, one Dataset per fold, of the same table, target, weights and layout of inputs, with
    the fold's own rows, and inputs by the statistics of its own training rows. The whole then has the folds' valid and
    select rows as its own, and as training rows those that no fold holds out: there may be none.
    `fold`: the number of a fold, from 0 on; 0 for the whole.
    `tables`: the same table by each encoding that was asked for, `inputs` among them; see `encoded_as`.
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
    folds: tuple["Dataset", ...] = ()
    fold: int = 0
    tables: tuple[Encoded, ...] = ()
    class_weight: NDArray[np.float64] | None = None

    @property
    def training_weights(self) -> NDArray[np.float32]:
        """(n_rows,) `row_weights`, but on training rows times their `class_weight`, with the same mean there."""
        if self.class_weight is None:
            return self.row_weights
        train, weights = self.rows.train, self.row_weights.copy()
        raised = weights[train] * self.class_weight[self.y[train].astype(np.int64)]
        weights[train] = raised * (weights[train].mean() / raised.mean())
        return weights

    @property
    def encodings(self) -> tuple[str, ...]:
        """Names of the encodings that the table was prepared in, its own first."""
        own = self.encoding.name
        return (own, *(table.encoding.name for table in self.tables if table.encoding.name != own))

    @property
    def distinct_encodings(self) -> tuple[str, ...]:
        """The encodings, but for those whose inputs are as an earlier one's: without numeric columns all are alike."""
        distinct: dict[str, Any] = {}
        for name in self.encodings:
            inputs = self.encoded_as(name).inputs
            if not any(inputs.shape == other.shape and (inputs == other).all() for other in distinct.values()):
                distinct[name] = inputs
        return tuple(distinct)

    def encoded_as(self, name: str) -> "Dataset":
        """The same rows and folds with the inputs of another encoding, one of `encodings`; itself for its own.

        Raises ValueError for a name that the table was not prepared in.
        """
        if name == self.encoding.name:
            return self
        for table in self.tables:
            if name == table.encoding.name:
                folds = tuple(fold.encoded_as(name) for fold in self.folds)
                return replace(self, inputs=table.inputs, encoding=table.encoding, folds=folds)
        raise ValueError(f"encoding={name!r} must be one that the table was prepared in: {listed(self.encodings)}")

    @property
    def parts(self) -> tuple["Dataset", ...]:
        """What models are trained on: the folds, or this Dataset where there are none."""
        return self.folds or (self,)

    @property
    def fitting_rows(self) -> RowNumbers:
        """The rows that this Dataset's own statistics come from: training rows, or with folds all but test rows."""
        return self.rows.non_test if self.folds else self.rows.train

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
    class_weight: object = None,
    X_test: object = None,
    y_test: object = None,
    test_size: float | int | None = None,
    cv: object = None,
    groups: object = None,
    folds_below: int = 0,
    random_state: int = 0,
    encoded: bool = True,
    encodings: Sequence[str] = ENCODINGS[:1],
) -> Dataset:
    """The Dataset of a table X (DataFrame, 2-D array, list of rows) and its target y (one value per row).

    `y` may be the name of a column of the DataFrame X, and `y_test` of X_test. `categorical`: names of columns that
    are categories whatever they look like; positions too if X is not a DataFrame. `sample_weight`: (n_rows,) ≥ 0.
    `class_weight`: "balanced" or a dict of label → weight > 0, for training rows only.
    Test rows are either given (X_test, y_test: appended after the others, with weight 1) or dealt (`test_size`: a
    share in (0, 0.5], or a number of rows). `random_state`, 0 to 2⁶⁴ - 1, decides which rows play which part.
    With `encoded=False`, `inputs` is the table itself: a DataFrame if X was one, else an array, see `AsGiven.encode`.
    `encodings`: names of `data.encoding.ENCODINGS`; the table is kept in each (see `Dataset.encoded_as`), and `inputs`
    are by the first.

    `cv` makes folds of the other rows: a whole number k ≥ 2 (stratified, every row is held out once), a splitter of
    scikit-learn's kind (row numbers count the rows given to it, which come in table order), or an iterable of pairs of
    row numbers (training, held out). No row may be held out twice. `groups`: (n_rows,) labels; rows of one group are
    kept on one side. Without `cv`, or with 1, there is one split and no folds; but five folds of fewer rows than
    `folds_below`, not counting test rows, if they are at least 100 and 10 of each class, in at most 1,000 columns, and
    `cv` is None. A regression target is standardised once, by all folds' rows, so that predictions of different folds
    are in one unit. Each fold holds a copy of the inputs: k · n_rows · n_inputs · 4 bytes for each encoding.

    Raises ValueError, once and here, for everything that is wrong with the data; the message names the argument.
    """
    _check_random_state(random_state)
    _check_test(X_test, y_test, test_size)
    _check_cv(cv, groups, test_size)
    check_encodings(encodings)
    if not encoded and tuple(encodings) != ENCODINGS[:1]:
        raise ValueError(f"encodings={encodings!r} is given beside encoded=False, which leaves the table as it is")
    frame, column = _table_and_target(X, y)
    labels = as_labels(column)
    known_task = infer_task(labels, task=task, is_category=isinstance(column.dtype, pd.CategoricalDtype))
    test_frame, test_column = (None, None) if X_test is None else _table_and_target(X_test, y_test, "X_test", "y_test")
    n_test = 0 if test_column is None else len(test_column)
    dealing: dict[str, Any] = {"test_size": test_size, "n_appended": n_test, "random_state": random_state}
    together = _groups(groups, X, len(frame))
    rows, folds, said = _deal_rows(frame, labels, known_task, cv, folds_below, together, dealing)
    fitting_rows = rows.non_test if folds else rows.train
    _check_order(X, sample_weight, "X", "sample_weight")
    weights, row_weights = _weights(sample_weight, folds or (rows,), fitting_rows, len(frame), n_test)

    target = fit_target(labels, known_task, fitting_rows, column.name if isinstance(column.name, str) else "target")
    names = _categorical_names(categorical, frame, isinstance(X, pd.DataFrame))
    codes = target.codes(column)
    of_classes = class_weights(class_weight, target, codes, row_weights, fitting_rows)
    noticed: tuple[str, ...] = ()
    own_encodings: list[tuple[Encoding | AsGiven, ...]] = [(AsGiven.of(frame, isinstance(X, pd.DataFrame)),)]
    if encoded:
        parts = [fitting_rows, *(fold.train for fold in folds)]
        own_encodings, noticed = _fit_encodings(frame, rows.non_test, parts, names, encodings, codes)
    warnings = (*noticed, *said, *_scarce(labels, rows, target), *_unlearned(labels, folds, target))
    test_table = test_frame if isinstance(X_test, pd.DataFrame) else X_test
    tables = [tuple(Encoded(one, _encode(one, frame, test_table)) for one in its) for its in own_encodings]
    if n_test:
        codes = np.concatenate([codes, target.codes(test_column, "y_test")])
    targets = target.encode_codes(codes)
    arrays = {"targets": targets, "y": codes, "row_weights": row_weights}
    if weights is not None:
        arrays["sample_weight"] = weights
    if of_classes is not None:
        arrays["class_weight"] = of_classes
    fingerprint = _fingerprint(arrays, rows, folds, target, tables[0])
    encoding, inputs = tables[0][0].encoding, tables[0][0].inputs
    whole = Dataset(
        inputs, targets, codes, row_weights, weights, rows, target, encoding, warnings, fingerprint,
        tables=tables[0], class_weight=of_classes,
    )  # fmt: skip
    tables_of_folds = tables[1:] if encoded else tables * len(folds)
    return replace(
        whole,
        folds=tuple(_fold(whole, number, *its) for number, its in enumerate(zip(folds, tables_of_folds, strict=True))),
    )


def _fold(whole: Dataset, number: int, rows: Rows, tables: tuple[Encoded, ...]) -> Dataset:
    """The whole in a fold's own rows and statistics."""
    encoding, inputs = tables[0].encoding, tables[0].inputs
    return replace(whole, inputs=inputs, encoding=encoding, tables=tables, rows=rows, warnings=(), fold=number)


def _fit_encodings(
    frame: pd.DataFrame,
    layout_rows: RowNumbers,
    parts: Sequence[RowNumbers],
    categorical: Sequence[str],
    names: Sequence[str],
    codes: NDArray[np.int64] | NDArray[np.float64],
) -> tuple[list[tuple[Encoding | AsGiven, ...]], tuple[str, ...]]:
    """For each of the `parts`, training rows, the encodings `names`; and the warnings. Layouts are those of the whole.

    All parts have equally many inputs, so that their models can share a stack.
    """
    fitted = [fit_encoding(frame, layout_rows, rows, categorical) for rows in parts]
    by_name = [
        aligned([recoded(robust, name, frame, rows, codes) for (robust, _), rows in zip(fitted, parts, strict=True)])
        for name in names
    ]
    return list(zip(*by_name, strict=True)), fitted[0][1]


def _deal_rows(
    frame: pd.DataFrame, labels: Labels, task: Task, cv: object, folds_below: int, groups: NDArray[Any] | None,
    dealing: dict[str, Any],
) -> tuple[Rows, tuple[Rows, ...], list[str]]:  # fmt: skip
    """The row sets of the whole and of the folds, and what a splitter warned of; `dealing` as for `split_rows`."""
    by_stratum = strata(labels, task)
    rest, test = split_test(by_stratum, **dealing)
    if cv is None and FEWEST_FOLDED <= len(rest) < folds_below and frame.shape[1] <= MOST_COLUMNS_FOLDED:
        is_rare = task != "regression" and np.bincount(by_stratum[rest]).min() < FEWEST_OF_CLASS_FOLDED
        cv = None if is_rare else N_FOLDS
    if cv is None or _is_one(cv):
        return split_rows(by_stratum, **dealing), (), []
    folds, said = fold_rows(cv, frame, labels, task, groups, rest, test, dealing["random_state"])
    return united(folds, rest), folds, said


def _encode(encoding: Encoding | AsGiven, frame: pd.DataFrame, test_table: object) -> Any:
    """`Dataset.inputs`: the table's rows, then those of a test table, if there is one."""
    inputs = encoding.encode(frame)
    return inputs if test_table is None else stacked(inputs, encoding.encode(test_table, "X_test"))


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


def _check_cv(cv: object, groups: object, test_size: object) -> None:
    if groups is not None and (cv is None or _is_one(cv)):
        raise ValueError("groups is given without cv, or with 1: they say which rows a fold keeps together")
    if test_size is None:
        return
    if groups is not None:
        raise ValueError(f"test_size={test_size!r} is given beside groups, which it would cut: give X_test and y_test")
    if isinstance(cv, Iterable) and not hasattr(cv, "split"):
        raise ValueError(
            f"test_size={test_size!r} is given beside row numbers as cv, which it would shift: give X_test and y_test"
        )


def _is_one(cv: object) -> bool:
    return isinstance(cv, int | np.integer) and not isinstance(cv, bool) and cv == 1


def _groups(groups: object, X: object, n_rows: int) -> NDArray[Any] | None:
    """(n_rows,) the group of each row, checked."""
    if groups is None:
        return None
    column = as_column(groups, "groups")
    if len(column) != n_rows:
        raise ValueError(f"groups must have one label for each of {n_rows} rows, but has {len(column)}")
    if missing := np.flatnonzero(column.isna().to_numpy()).tolist():
        raise ValueError(f"groups must have no missing values, but {len(missing)} are: rows {listed(missing)}")
    _check_order(X, groups, "X", "groups")
    return column.to_numpy()


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
    sample_weight: object, parts: Sequence[Rows], fitting_rows: RowNumbers, n_given: int, n_test: int
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
    for fold, rows in enumerate(parts):
        of_fold = f" of fold {fold}" if len(parts) > 1 else ""
        for part in ("train", "valid", "select", "test"):
            its_rows = getattr(rows, part)
            if len(its_rows) and not weights[its_rows].any():
                raise ValueError(
                    f"sample_weight must not be 0 on all rows of a part, but is on the {len(its_rows)} {part} rows"
                    f"{of_fold}"
                )
    relative = weights[:n_given] / weights[fitting_rows].mean()
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


def _unlearned(labels: Labels, folds: Sequence[Rows], target: Target) -> list[str]:
    """A sentence for each fold that has no row of some class to learn it from."""
    sentences = []
    for fold, rows in enumerate(folds):
        unknown = [] if target.classes is None else np.setdiff1d(target.classes, labels[rows.train]).tolist()
        if unknown:
            sentences.append(f"Fold {fold} has no training rows of {listed(unknown)}: its models cannot know of them.")
    return sentences


def _fingerprint(
    arrays: dict[str, NDArray[Any]],
    rows: Rows,
    folds: Sequence[Rows],
    target: Target,
    tables: Sequence[Encoded],
) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays, and over labels and columns."""
    fitted = [table.encoding.to_tensors() for table in tables]
    summary = hashlib.sha256(json.dumps([target.to_json(), *(its for _, its in fitted)], sort_keys=True).encode())
    of_folds = {f"fold {fold} {part}": its for fold, rows in enumerate(folds) for part, its in vars(rows).items()}
    for table, (tensors, _) in zip(tables, fitted, strict=True):
        for name, array in ({"inputs": digest(table.inputs)} | arrays | vars(rows) | tensors | of_folds).items():
            summary.update(f"{name} {array.dtype.str} {array.shape}".encode())
            summary.update(np.ascontiguousarray(array).data)
    return summary.hexdigest()
