"""The target: which task it sets, and its coding as the network's outputs and back.

*Labels* are the values as the user gave them; *codes* are positions in the sorted class labels.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import Column, kind_of, listed

Task = Literal["binary", "multiclass", "regression"]
Labels: TypeAlias = NDArray[Any]

MOST_INFERRED_CLASSES = 20
LABEL_DTYPES = {"numbers": np.float64, "booleans": np.bool_, "text": np.str_}


@dataclass(frozen=True, eq=False)
class Target:
    """What the target is, and its coding.

    `classes`: (n_classes,) sorted labels, int64, float64, bool or text as they were given; None for regression.
    `mean`, `scale`: of a regression target, mean and standard deviation of its training rows; 0 and 1 for classes.
    """

    name: str
    task: Task
    classes: Labels | None
    mean: float = 0.0
    scale: float = 1.0

    @property
    def n_outputs(self) -> int:
        """The network's outputs: one per class (two for a binary task: softmax over both), one for regression."""
        return 1 if self.classes is None else len(self.classes)

    def codes(self, y: object, argument: str = "y") -> NDArray[np.int64] | NDArray[np.float64]:
        """(n_rows,) int64 class codes, or float64 numbers for regression.

        Raises ValueError, naming `argument`, for what `as_labels` refuses and for labels that are not in `classes`.
        """
        labels = as_labels(as_column(y, argument), argument)
        if self.classes is None:
            if labels.dtype.kind not in "if":
                raise ValueError(f"{argument} must hold numbers, like the target {self.name!r}, but holds {labels[:1]}")
            return labels.astype(np.float64)
        codes = _positions(labels, self.classes)
        if (unknown := codes < 0).any():
            strangers = listed(np.unique(labels[unknown]).tolist())
            raise ValueError(
                f"{argument} has labels that the target {self.name!r} did not have when it was learned: {strangers} "
                f"({int(unknown.sum())} rows); known are {listed(self.classes.tolist())}"
            )
        return codes

    def encode_codes(self, codes: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float32]:
        """(n_rows, n_outputs) one-hot rows, or (y - mean) / scale, from what `codes` gave."""
        if self.classes is None:
            return ((codes - self.mean) / self.scale).astype(np.float32)[:, None]
        return np.eye(self.n_outputs, dtype=np.float32)[codes]

    def decode(self, outputs: NDArray[np.floating[Any]]) -> Labels:
        """(n_rows,) labels of the largest output, or numbers in the user's units, from `outputs` (n_rows, n_outputs).

        For classes any outputs that rank alike will do: logits or probabilities.
        """
        if self.classes is None:
            return outputs[:, 0].astype(np.float64) * self.scale + self.mean
        return np.asarray(self.classes[outputs.argmax(axis=1)])

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values; `from_json` gives back an equal Target, the dtype of its labels included."""
        document: dict[str, Any] = {"name": self.name, "task": self.task, "mean": self.mean, "scale": self.scale}
        if self.classes is None:
            return document
        dtype = "str" if self.classes.dtype.kind == "U" else self.classes.dtype.name
        return document | {"classes": self.classes.tolist(), "dtype": dtype}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Target":
        """The Target that `to_json` wrote."""
        classes = np.array(document["classes"], dtype=document["dtype"]) if "classes" in document else None
        return cls(document["name"], document["task"], classes, document["mean"], document["scale"])


def _positions(labels: Labels, classes: Labels) -> NDArray[np.int64]:
    """(n_rows,) positions of `labels` in the sorted `classes`, -1 for a stranger. 1 and 1.0 are equal; "1" is not."""
    kinds = {labels.dtype.kind, classes.dtype.kind}
    if len(kinds) > 1 and kinds != {"i", "f"}:
        return np.full(len(labels), -1)
    positions = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[positions] == labels, positions, -1)


def fit_target(labels: Labels, task: Task, train_rows: NDArray[np.int64], name: str = "target") -> Target:
    """The Target of `labels` (n_rows,): classes from all of them, mean and scale from the training rows alone.

    Raises ValueError if a regression target does not vary on the training rows.
    """
    if task != "regression":
        return Target(name, task, np.unique(labels))
    training = labels[train_rows].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(training.mean()), float(training.std())
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"y cannot be standardised: its standard deviation on the training rows is {scale}")
    return Target(name, task, None, mean, scale)


def as_column(y: object, argument: str = "y") -> Column:
    """y as a Series with rows numbered from 0: from a Series, a 1-D array or list, or a table of one column.

    Raises ValueError for more than one column (multilabel if all cells are 0 or 1, else multi-output), sparse
    matrices, and anything that is not one value per row.
    """
    if y is None or isinstance(y, str | bytes | dict | set):
        raise ValueError(f"{argument}: Expected array-like (array or non-string sequence), got {y!r}")
    if hasattr(y, "toarray"):
        raise ValueError(f"{argument} is a sparse {type(y).__name__}: multilabel targets are not supported")
    if isinstance(y, pd.Series):
        return y.reset_index(drop=True).infer_objects()
    if isinstance(y, pd.Index | pd.api.extensions.ExtensionArray):
        return pd.Series(y).reset_index(drop=True).infer_objects()
    # Lists go in as objects, since NumPy would turn text and numbers into text.
    is_table = isinstance(y, pd.DataFrame | np.ndarray)
    table: Any = y if is_table else np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if table.ndim == 2 and table.shape[1] > 1:
        flags = pd.DataFrame(table).isin([0, 1]).all(axis=None)
        refused = "columns of 0 and 1: multilabel" if flags else "columns: multi-output"
        raise ValueError(f"{argument} has {table.shape[1]} {refused} targets are not supported; give one column")
    if table.ndim not in (1, 2) or (table.ndim == 2 and table.shape[1] == 0):
        raise ValueError(f"{argument} must be 1-D, one value per row, but has shape {table.shape}")
    column = pd.DataFrame(table).iloc[:, 0]
    return column.reset_index(drop=True).infer_objects()


def as_labels(column: Column, argument: str = "y") -> Labels:
    """(n_rows,) labels of a column: int64, float64, bool or text (`U`).

    Raises ValueError for no rows, missing or infinite values, and for dates, complex numbers, labels of mixed types
    and objects.
    """
    if len(column) == 0:
        raise ValueError(f"{argument} is empty: it must have one value per row")
    if missing := np.flatnonzero(column.isna().to_numpy()).tolist():
        raise ValueError(f"{argument} must have no missing values, but {len(missing)} are: rows {listed(missing)}")
    kind = kind_of(column)
    if kind not in LABEL_DTYPES:
        raise ValueError(f"{argument} holds {kind} ({column.dtype}); it must hold numbers, booleans or text")
    if kind == "numbers" and np.asarray(column).dtype.kind in "iu":
        return _as_integers(column, argument)
    try:
        labels: Labels = np.asarray(column).astype(LABEL_DTYPES[kind])
    except OverflowError:
        raise ValueError(f"{argument} holds a whole number that is too large for float64") from None
    if kind == "numbers" and (infinite := np.flatnonzero(~np.isfinite(labels)).tolist()):
        raise ValueError(f"{argument} must be finite, but {len(infinite)} values are not: rows {listed(infinite)}")
    return labels


def _as_integers(column: Column, argument: str) -> NDArray[np.int64]:
    integers = np.asarray(column)
    if integers.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{argument} holds {integers.max()}, and whole numbers must be below 2**63")
    return integers.astype(np.int64)


def infer_task(labels: Labels, *, task: str | None = None, is_category: bool = False) -> Task:
    """The task that `labels` (n_rows,) set; `task` overrides the guess. `is_category`: they came as a pandas category.

    Text, booleans and categories are classes. Whole numbers (also as floats) are classes if there are at most
    20 different ones. Everything else is regression.
    Raises ValueError for an unknown task, one the labels do not allow, one class only, a class with one row where the
    task is a guess, and a constant regression target.
    """
    _check_task_name(task)
    classes, counts = np.unique(labels, return_counts=True)
    if task == "regression" or (task is None and not is_category and _looks_continuous(classes)):
        _check_quantity(classes)
        return "regression"
    _check_classes(classes, counts, task)
    return "binary" if len(classes) == 2 else "multiclass"


def _looks_continuous(values: Labels) -> bool:
    if values.dtype.kind in "bU":
        return False
    return len(values) > MOST_INFERRED_CLASSES or bool(np.any(values != np.floor(values)))


def _check_task_name(task: str | None) -> None:
    if task in ("multilabel", "multioutput", "multi-output"):
        raise ValueError(f"task={task!r} is not supported: give one column of labels or numbers")
    if task is not None and task not in get_args(Task):
        raise ValueError(f"task={task!r} is unknown: it must be None or one of {listed(list(get_args(Task)))}")


def _check_quantity(values: Labels) -> None:
    if values.dtype.kind in "bU":
        held = "text" if values.dtype.kind == "U" else "booleans"
        raise ValueError(f"task='regression' needs numbers, but y holds {held} such as {values.tolist()[0]!r}")
    if len(values) == 1:
        raise ValueError(f"y is constant: all its values are {values.tolist()[0]!r}")


def _check_classes(classes: Labels, counts: NDArray[np.int64], task: str | None) -> None:
    if len(classes) == 1:
        raise ValueError(f"y has one class only, {classes.tolist()[0]!r}; at least two are needed")
    if task == "binary" and len(classes) > 2:
        raise ValueError(f"task='binary' needs two classes, but y has {len(classes)}: {listed(classes.tolist())}")
    if task == "multiclass" and len(classes) == 2:
        raise ValueError(f"task='multiclass' needs three classes or more, but y has two: {listed(classes.tolist())}")
    if task is None and (lonely := classes[counts == 1].tolist()):
        hint = "" if classes.dtype.kind in "bU" else "; if y is a quantity, say task='regression'"
        raise ValueError(f"every class needs at least two rows, but these have one: {listed(lonely)}{hint}")
