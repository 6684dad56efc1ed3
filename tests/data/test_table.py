import gzip
import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from hpsearch.data.columns import kind_of
from hpsearch.data.table import SKLEARN_LOADERS, as_frame, read_source, read_table

CSV = "age,city,flag,note\n1,None,True,x\n,NA,,\n3,,False,nan\n"


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.csv.gz"])
def test_only_empty_cells_of_a_csv_are_missing(tmp_path, name):
    table = read_table(written(tmp_path, name, gzip.compress(CSV.encode()) if name.endswith("gz") else CSV))
    assert table["age"].dtype == np.float64 and np.isnan(table["age"][1])
    assert table["city"].isna().tolist() == [False, False, True] and table["city"][0] == "None"
    assert table["flag"].isna().tolist() == [False, True, False]
    assert table["note"][2] == "nan"


def test_numbers_survive_a_csv_to_the_last_bit(tmp_path):
    table = pd.DataFrame({"a": np.random.default_rng(0).normal(size=1000) * 1e-7})
    table.to_csv(tmp_path / "t.csv", index=False)
    assert_frame_equal(read_table(tmp_path / "t.csv"), table, check_exact=True)


def test_columns_of_a_csv_may_be_asked_for_as_text(tmp_path):
    table = read_table(
        written(tmp_path, "t.csv", "code,flag,n\n007,True,1\n,,2\n012,False,3\n"), text=["code", "flag", "no"]
    )
    assert table["code"].tolist()[::2] == ["007", "012"] and table["flag"].tolist()[::2] == ["True", "False"]
    assert table[["code", "flag"]].isna().any(axis=1).tolist() == [False, True, False]
    assert kind_of(table["code"]) == kind_of(table["flag"]) == "text" and table["n"].tolist() == [1, 2, 3]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert list(read_table(written(tmp_path, "t.csv", b"\xef\xbb\xbfa,b\n1,2\n")).columns) == ["a", "b"]


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    table.to_parquet(tmp_path / "t.parquet")
    assert_frame_equal(read_table(tmp_path / "t.parquet"), table)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        read_table(written(tmp_path, "t.parquet", b"PAR1"))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.csv", "", "cannot be read"),
        ("t.csv", "a,b\n", "0 rows"),
        ("t.csv", b"a\n\xff\xfe\xfa\n", "cannot be read.*utf-8"),
        ("t.csv", "a,b\n1,2\n1,2,3\n", "cannot be read"),
        ("t.csv", "a,b\n1,2,3\n1,2,3\n", "more cells than there are names"),
        ("t.csv", "a,b,a\n1,2,3\n", "column names are double: 'a'"),
        ("t.csv", "a,,c\n1,2,3\n", "column 2 has no name"),
        ("t.csv.gz", "a,b\n1,2\n", "cannot be read"),
        # The time of writing stays out of the bytes, so that the test's name is the same in every process.
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "cannot be read"),
        ("t.xlsx", "a", "suffix of a table must be .csv, .csv.gz or .parquet"),
        ("t", "a", "suffix"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    path = written(tmp_path, name, content)
    with pytest.raises(ValueError, match=message) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_damaged_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="cannot be read"):
        read_table(written(tmp_path, "t.parquet", b"PAR1 not really"))


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(FileNotFoundError, match=name):
            read_table(tmp_path / name)


def test_a_relative_source_is_relative_to_its_base(tmp_path, monkeypatch):
    path = written(tmp_path, "t.csv", "a\n1\n")
    monkeypatch.chdir(tmp_path)
    for source, base in [("t.csv", tmp_path), ("t.csv", None), (path, "/nowhere"), (str(path), None)]:
        assert len(read_source(source, base)) == 1


@pytest.mark.parametrize("name", SKLEARN_LOADERS)
def test_sklearn_tables_have_a_target(name):
    table = read_source(f"sklearn:{name}")
    assert table.columns[-1] == "target" and len(table) > 100
    as_frame(table)


def test_sklearn_classes_come_by_name_where_they_have_one():
    assert read_source("sklearn:iris")["target"].tolist()[:1] == ["setosa"]
    assert read_source("sklearn:wine")["target"].nunique() == 3
    assert read_source("sklearn:breast_cancer")["target"].value_counts().to_dict() == {"benign": 357, "malignant": 212}
    assert read_source("sklearn:digits")["target"].dtype.kind == "i"


@pytest.mark.parametrize(
    "name, message", [("linnerud", "multi-output"), ("irsi", "sklearn:iris"), ("", "sklearn:iris")]
)
def test_other_sklearn_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        read_source(f"sklearn:{name}")


@pytest.mark.parametrize("X", [np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]], [(0, 1, 2), np.array([3, 4, 5])]])
def test_arrays_and_lists_get_names(X):
    assert_frame_equal(as_frame(X), pd.DataFrame({"x0": [0, 3], "x1": [1, 4], "x2": [2, 5]}))


@pytest.mark.parametrize("make", [list, lambda rows: np.array(rows, dtype=object), pd.DataFrame])
def test_columns_of_objects_get_types(make):
    X = make([[1, "a", None, True, 1.5], [2, None, 2.5, False, None]])
    if isinstance(X, pd.DataFrame):
        X = X.astype(object).set_axis(list("abcde"), axis=1)
    assert [dtype.kind for dtype in as_frame(X).dtypes] == ["i", "O", "f", "b", "f"]


def test_a_frame_is_renumbered_and_left_alone():
    X = pd.DataFrame({"a": [1, 2]}, index=[7, 7], dtype=object)
    frame = as_frame(X)
    assert frame.index.tolist() == [0, 1] and frame["a"].dtype == np.int64
    assert X.index.tolist() == [7, 7] and X["a"].dtype == object


def test_masked_cells_are_missing():
    frame = as_frame(np.ma.array([[1.0, 2.0]], mask=[[False, True]]))
    assert frame.isna().to_numpy().tolist() == [[False, True]]


class Sparse:
    """Looks like scipy.sparse, which this room does not import."""

    def toarray(self):
        return np.zeros((2, 2))


class Polars:
    def to_pandas(self):
        return pd.DataFrame({"a": [1]})


@pytest.mark.parametrize(
    "X, message",
    [
        (None, "NoneType"),
        ("t.csv", "type str"),
        ({"a": [1]}, "type dict"),
        (3, r"shape \(\)"),
        (np.zeros(3), r"must be 2-D.*Reshape your data"),
        (pd.Series([1, 2]), "must be 2-D"),
        (np.zeros((2, 2, 2)), "must be 2-D"),
        ([[1, 2], [3]], "rows differ in length"),
        ([np.zeros(2), np.zeros(3)], "rows differ in length"),
        (np.zeros((0, 3)), r"0 sample\(s\)"),
        ([], "must be 2-D"),
        (np.zeros((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
        (pd.DataFrame({"a": []}), r"0 sample\(s\)"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "double: 'a'"),
        (pd.DataFrame([[1, 2]]), "must be text.*0, 1"),
        (pd.DataFrame({("a", "b"): [1]}), "must be text"),
        (np.zeros(2, dtype=[("a", float)]), "structured"),
        (Sparse(), "sparse"),
        (Polars(), "to_pandas"),
    ],
)
def test_as_frame_refuses(X, message):
    with pytest.raises(ValueError, match=message):
        as_frame(X)
