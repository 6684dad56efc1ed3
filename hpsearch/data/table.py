"""Tables in: from a file, from scikit-learn's bundled data, or from what a caller holds in memory.

Whatever comes in, a table here is a DataFrame with unique text column names and rows numbered from 0.
"""

import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from hpsearch.data.columns import listed

SKLEARN_PREFIX = "sklearn:"
SKLEARN_LOADERS: dict[str, Callable[..., Any]] = {
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}
# What a damaged file can raise: pandas' and pyarrow's own errors are ValueErrors, gzip's are the other three.
UNREADABLE = (ValueError, OSError, EOFError, zlib.error)


def read_source(source: str | Path, base: str | Path | None = None) -> pd.DataFrame:
    """The table that `source` names: a path (a relative one is relative to `base`), or "sklearn:" and a name.

    scikit-learn's tables come with a last column `target`: class names where there are any, else numbers.
    Raises ValueError for a name that is not in `SKLEARN_LOADERS`, and what `read_table` raises.
    """
    name = str(source)
    if name.startswith(SKLEARN_PREFIX):
        return _sklearn_table(name.removeprefix(SKLEARN_PREFIX))
    path = Path(source).expanduser()
    return read_table(path if base is None else Path(base) / path)


def _sklearn_table(name: str) -> pd.DataFrame:
    if name == "linnerud":
        raise ValueError(f"source '{SKLEARN_PREFIX}linnerud' has three targets: multi-output is not supported")
    if name not in SKLEARN_LOADERS:
        names = listed([f"{SKLEARN_PREFIX}{known}" for known in SKLEARN_LOADERS], str)
        raise ValueError(f"source '{SKLEARN_PREFIX}{name}' is not one of scikit-learn's tables here: {names}")
    bunch = SKLEARN_LOADERS[name](as_frame=True)
    frame: pd.DataFrame = bunch.frame.copy()
    class_names = np.asarray(bunch.get("target_names", []))
    if class_names.dtype.kind == "U":
        frame["target"] = class_names[frame["target"].to_numpy()]
    return frame


def read_table(path: str | Path, text: Collection[str] = ()) -> pd.DataFrame:
    """The table in a file, by its suffix: .csv (UTF-8, comma, first row names), .csv.gz or .parquet.

    In a CSV only empty cells are missing: "NA" and "None" are text like any other. A column there holds numbers or
    booleans if all its cells look like them, unless it is named in `text`: "007" then stays what it is. Names that are
    not in the file are ignored.
    Raises FileNotFoundError, ImportError for Parquet without pyarrow, and ValueError for an unknown suffix, a file
    that cannot be read, one without rows, and names that are empty or double.
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith((".csv", ".csv.gz", ".parquet")):
        raise ValueError(f"{path}: the suffix of a table must be .csv, .csv.gz or .parquet")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        table = pd.read_parquet(path, engine="pyarrow") if name.endswith(".parquet") else _read_csv(path, text)
    except ImportError as error:
        raise ImportError(f"{path}: reading Parquet needs pyarrow: pip install pyarrow") from error
    except UNREADABLE as error:
        raise ValueError(f"{path}: the table cannot be read: {error}") from error
    if table.empty:
        raise ValueError(f"{path}: the table has {len(table)} rows and {table.shape[1]} columns; it must not be empty")
    return table


def _read_csv(path: Path, text: Collection[str]) -> pd.DataFrame:
    compression: Any = "gzip" if path.name.lower().endswith(".gz") else None
    # pandas renames double names ("a", "a.1") and makes up missing ones without a word, so the first row is read apart.
    head = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, compression=compression)
    names = pd.Index(head.iloc[0])
    if (names == "").any():
        raise ValueError(f"column {int(np.argmax(names == '')) + 1} has no name in the first row")
    if names.has_duplicates:
        raise ValueError(f"column names are double: {listed(list(names[names.duplicated()].unique()))}")
    types = {name: str for name in names if name in text}
    table = pd.read_csv(
        path, dtype=types, keep_default_na=False, na_values=[""], low_memory=False, compression=compression
    )
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more cells than there are names in the first row")
    return table


def as_frame(X: object, argument: str = "X") -> pd.DataFrame:
    """X as a DataFrame of typed columns with rows numbered from 0; columns of an array are called x0, x1, ...

    Takes a DataFrame, a 2-D array or a list of rows. Columns of objects become numbers or text where all cells are.
    Raises ValueError for anything else (sparse matrices, 1-D and 3-D arrays, Series), for no rows or no columns, and
    for column names that are double or not text; `argument` is what messages call X.
    """
    frame = (
        X.reset_index(drop=True) if isinstance(X, pd.DataFrame) else _frame_of_array(_as_array(X, argument), argument)
    )
    if len(frame) == 0:
        raise ValueError(f"{argument} has 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if frame.shape[1] == 0:
        raise ValueError(f"{argument} has 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if others := [name for name in frame.columns if not isinstance(name, str)]:
        raise ValueError(
            f"column names of {argument} must be text, but these are not: {listed(others)}; give "
            f"{argument}.rename(columns=str), or {argument}.to_numpy() if they are only numbered"
        )
    if frame.columns.has_duplicates:
        doubles = list(frame.columns[frame.columns.duplicated()].unique())
        raise ValueError(f"column names of {argument} must be unique, but these are double: {listed(doubles)}")
    return frame.infer_objects()


def _as_array(X: object, argument: str) -> NDArray[Any]:
    if X is None or isinstance(X, str | bytes | dict | set):
        raise ValueError(
            f"{argument} must be a DataFrame, a 2-D array or a list of rows, but is of type {type(X).__name__}"
        )
    if hasattr(X, "toarray"):
        raise ValueError(
            f"{argument} is a sparse {type(X).__name__}: sparse tables are not supported; give X.toarray()"
        )
    if hasattr(X, "to_pandas"):
        raise ValueError(f"{argument} is a {type(X).__module__}.{type(X).__name__}: give X.to_pandas()")
    if isinstance(X, np.ndarray):
        return X
    # Lists go in as objects, since NumPy would turn a row of text and numbers into text.
    return np.asarray(X, dtype=object if isinstance(X, list | tuple) else None)


def _frame_of_array(array: NDArray[Any], argument: str) -> pd.DataFrame:
    if array.dtype.names is not None:
        raise ValueError(f"{argument} is a structured array: give pandas.DataFrame(X)")
    if array.ndim != 2:
        advice = "Reshape your data with X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it is one row"
        if (
            array.dtype == object
            and array.ndim == 1
            and len(array) > 0
            and isinstance(array[0], list | tuple | np.ndarray)
        ):
            advice = "its rows differ in length"
        raise ValueError(f"{argument} must be 2-D (rows, columns), but has shape {array.shape}: {advice}")
    return pd.DataFrame(array, columns=[f"x{position}" for position in range(array.shape[1])])
