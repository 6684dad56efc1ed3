import datetime
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpsearch.data.target import Target, as_column, as_labels, fit_target, infer_task


def labels_of(y):
    return as_labels(as_column(y))


def target_of(y, task=None, name="target"):
    labels = labels_of(y)
    return fit_target(labels, infer_task(labels, task=task), np.arange(len(labels)), name)


LABELS = {
    "int": (np.array([5, -3, 5, -3]), np.int64),
    "list of int": ([1, 0, 1, 0], np.int64),
    "uint8": (np.array([1, 0, 1, 0], dtype=np.uint8), np.int64),
    "Int64": (pd.Series([1, 0, 1, 0], dtype="Int64"), np.int64),
    "objects that are int": (pd.Series([1, 0, 1, 0], dtype=object), np.int64),
    "category of int": (pd.Series([1, 0, 1, 0], dtype="category"), np.int64),
    "float": (np.array([0.5, 2.0, 0.5, 2.0]), np.float64),
    "float32": (np.array([0.1, 2.0, 0.1, 2.0], dtype=np.float32), np.float64),
    "Float64": (pd.Series([0.5, 2.0, 0.5, 2.0], dtype="Float64"), np.float64),
    "decimal": ([Decimal("1.5"), Decimal(2)] * 2, np.float64),
    "bool": (np.array([True, False, True, False]), np.bool_),
    "boolean": (pd.Series([True, False, True, False], dtype="boolean"), np.bool_),
    "text": (["yes", "no", "yes", "no"], np.str_),
    "U": (np.array(["yes", "no", "yes", "no"]), np.str_),
    "str": (pd.Series(["yes", "no", "yes", "no"]), np.str_),
    "string": (pd.Series(["yes", "no", "yes", "no"], dtype="string"), np.str_),
    "category": (pd.Categorical(["yes", "no", "yes", "no"], categories=["yes", "no", "maybe"]), np.str_),
    "Index": (pd.Index(["yes", "no", "yes", "no"]), np.str_),
    "column": (np.array([[1], [0], [1], [0]]), np.int64),
    "frame": (pd.DataFrame({"y": ["yes", "no", "yes", "no"]}), np.str_),
}


@pytest.mark.parametrize("y, dtype", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were_given(y, dtype):
    task = "regression" if dtype == np.float64 else None
    labels = labels_of(y)
    assert labels.dtype.type is dtype and labels.shape == (4,)
    target = target_of(y, task="binary")
    assert target.task == "binary" and target.n_outputs == 2
    assert target.classes.tolist() == sorted(set(labels.tolist()))
    again = Target.from_json(json.loads(json.dumps(target.to_json())))
    for known in (target, again):
        assert known.classes.dtype == target.classes.dtype
        decoded = known.decode(known.encode_codes(known.codes(y)))
        assert decoded.dtype.type is dtype and decoded.tolist() == labels.tolist()
    assert infer_task(labels, task=task) == task if task else infer_task(labels) == "binary"


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool_", "string"])
def test_arrow_targets(dtype):
    pa = pytest.importorskip("pyarrow")
    cells = {"int64": [1, 0], "float64": [0.5, 2.0], "bool_": [True, False], "string": ["b", "a"]}[dtype] * 2
    assert labels_of(pd.Series(cells, dtype=pd.ArrowDtype(getattr(pa, dtype)()))).tolist() == cells


@pytest.mark.parametrize(
    "y, task",
    [
        ([0, 1] * 5, "binary"),
        ([0.0, 1.0] * 5, "binary"),
        ([1, 2, 3] * 5, "multiclass"),
        (list(range(20)) * 2, "multiclass"),
        ([float(k) for k in range(20)] * 2, "multiclass"),
        (list(range(21)) * 2, "regression"),
        ([float(k) for k in range(21)] * 2, "regression"),
        ([0.5, 1.0, 2.0] * 5, "regression"),
        (["a", "b"] * 5, "binary"),
        ([str(k) for k in range(30)] * 2, "multiclass"),
        ([True, False] * 5, "binary"),
    ],
)
def test_task_is_inferred(y, task):
    assert infer_task(labels_of(y)) == task


def test_task_can_be_overridden():
    assert infer_task(np.array([0, 1] * 5), task="regression") == "regression"
    assert infer_task(np.arange(30).repeat(2), task="multiclass") == "multiclass"
    assert infer_task(np.array([0.5, 1.5] * 5), task="binary") == "binary"
    assert infer_task(np.arange(30).repeat(2), is_category=True) == "multiclass"
    assert infer_task(np.arange(30).repeat(2), is_category=True, task="regression") == "regression"


@pytest.mark.parametrize(
    "y, task, message",
    [
        ([0, 1, 2] * 3, "binary", "needs two classes, but y has 3: 0, 1, 2"),
        ([0, 1] * 3, "multiclass", "needs three classes"),
        (["a", "b"] * 3, "regression", "needs numbers, but y holds text such as 'a'"),
        ([True, False] * 3, "regression", "holds booleans"),
        ([0, 1] * 3, "classification", "must be None or one of 'binary', 'multiclass', 'regression'"),
        ([0, 1] * 3, "multilabel", "not supported"),
        ([0, 1] * 3, "multioutput", "not supported"),
        (["a"] * 9, None, "one class only, 'a'"),
        ([1] * 9, None, "one class only, 1"),
        ([0.5] * 9, None, "constant: all its values are 0.5"),
        ([3] * 9, "regression", "constant"),
        (["a", "a", "b"], None, "these have one: 'b'$"),
        ([1, 1, 2], None, "these have one: 2; if y is a quantity, say task='regression'"),
    ],
)
def test_tasks_that_the_labels_do_not_allow(y, task, message):
    with pytest.raises(ValueError, match=message):
        infer_task(labels_of(y), task=task)


class Sparse:
    def toarray(self):
        return np.zeros((2, 2))


@pytest.mark.parametrize(
    "y, message",
    [
        (None, "Expected array-like"),
        ("income", "Expected array-like"),
        (3, r"shape \(\)"),
        (np.zeros((3, 2)), "2 columns of 0 and 1: multilabel"),
        ([[0, 1], [1, 1]], "multilabel"),
        (pd.DataFrame({"a": [0.5, 1], "b": [0, 1]}), "2 columns: multi-output"),
        (np.zeros((3, 1, 1)), "must be 1-D"),
        (pd.DataFrame(index=[0, 1]), "must be 1-D"),
        (Sparse(), "sparse"),
        ([], "empty"),
        ([1.0, None, 2.0, np.nan], "no missing values, but 2 are: rows 1, 3"),
        (["a", None], "but 1 are: rows 1"),
        (pd.Series([1, None], dtype="Int64"), "missing"),
        (pd.Series([1, None], dtype="category"), "missing"),
        ([1.0, np.inf, -np.inf], "2 values are not: rows 1, 2"),
        (np.ma.array([1, 2, 3], mask=[False, True, False]), "missing values, but 1"),
        (pd.Series([pd.Interval(0, 1)] * 3), "intervals"),
        (["a", 1], "mixed values"),
        ([True, 2], "mixed values"),
        ([[1], [2, 3]], "objects"),
        ([b"a", b"b"], "objects"),
        ([1j, 2j], "complex"),
        ([datetime.date(2024, 1, 1)] * 3, "dates"),
        (np.array(["2024-01-01"], dtype="datetime64[D]"), "dates"),
        (np.array([2**63], dtype=np.uint64), r"below 2\*\*63"),
    ],
)
def test_targets_that_are_refused(y, message):
    with pytest.raises(ValueError, match=message) as error:
        as_labels(as_column(y, "y_test"), "y_test")
    assert str(error.value).startswith("y_test")


def test_rows_of_a_series_count_by_position():
    assert as_column(pd.Series([1, 2], index=[9, 9])).index.tolist() == [0, 1]


def test_classes_are_one_hot():
    target = target_of(["b", "a", "c", "a", "b", "c"])
    encoded = target.encode_codes(target.codes(["c", "a"]))
    assert encoded.dtype == np.float32 and encoded.flags.c_contiguous
    assert encoded.tolist() == [[0, 0, 1], [1, 0, 0]]
    codes = target.codes(["c", "a"])
    assert codes.dtype == np.int64 and codes.tolist() == [2, 0]
    assert target.decode(np.array([[0.1, 0.2, 0.7], [3.0, -1.0, 2.0]])).tolist() == ["c", "a"]
    assert (target.mean, target.scale) == (0, 1)


def test_regression_is_standardised_on_training_rows():
    y = np.array([1.0, 2.0, 3.0, 100.0] * 10)
    train = np.flatnonzero(y < 100)
    target = fit_target(y, "regression", train, "price")
    assert target.name == "price" and target.classes is None and target.n_outputs == 1
    assert target.mean == y[train].mean() and target.scale == y[train].std()
    encoded = target.encode_codes(target.codes(y))
    assert encoded.shape == (40, 1) and encoded.dtype == np.float32
    assert encoded[train].mean() == pytest.approx(0, abs=1e-6) and encoded[train].std() == pytest.approx(1)
    assert target.codes([1, 2]).dtype == np.float64
    again = Target.from_json(json.loads(json.dumps(target.to_json())))
    assert (again.mean, again.scale, again.classes) == (target.mean, target.scale, None)


@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(-1e12, 1e12)))
def test_regression_comes_back_in_the_users_units(y):
    if y.std() == 0:
        return
    target = fit_target(y, "regression", np.arange(len(y)))
    back = target.decode(target.encode_codes(target.codes(y)))
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, y, rtol=0, atol=1e-6 * (target.scale + abs(target.mean)) + 1e-6 * np.abs(y).max())


@pytest.mark.parametrize("y", [[1e200, -1e200, 3.0], [1.0, 1.0, 2.0]])
def test_a_target_without_a_usable_spread_is_refused(y):
    with pytest.raises(ValueError, match="cannot be standardised"):
        fit_target(np.array(y), "regression", np.arange(2))


@pytest.mark.parametrize(
    "y, others, strangers",
    [
        (["a", "b"] * 2, ["c", "a", "c"], "'c' .2 rows.; known are 'a', 'b'"),
        ([1, 2] * 2, [1, 3], "3"),
        ([1, 2] * 2, ["1", "2"], "'1', '2'"),
        ([1, 2] * 2, [1.5, 2], "1.5"),
        (["1", "2"] * 2, [1, 2], "1, 2"),
        ([True, False] * 2, [1, 0], "0, 1"),
        ([0, 1] * 2, [True, False], "False, True"),
    ],
)
def test_labels_never_seen_are_named(y, others, strangers):
    with pytest.raises(ValueError, match=f"y_test has labels.*: {strangers}"):
        target_of(y).codes(others, "y_test")


def test_whole_numbers_are_the_same_label_as_integers_and_floats():
    assert target_of([1, 2, 1, 2]).codes([2.0, 1.0]).tolist() == [1, 0]
    assert target_of([1.0, 2.0, 1.0, 2.0]).codes([2, 1]).tolist() == [1, 0]


def test_numbers_are_needed_to_score_a_regression():
    with pytest.raises(ValueError, match="y_test must hold numbers"):
        target_of([0.5, 1.5, 2.5]).codes(["a"], "y_test")
