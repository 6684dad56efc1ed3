import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.columns import all_dates, did_you_mean, free_text, kind_of, listed, text_key, to_keys, to_numbers

KINDS = [
    ([1, 2], None, "numbers"),
    ([1.5, None], None, "numbers"),
    ([1, None], "Int64", "numbers"),
    ([1.5, None], "Float64", "numbers"),
    ([1, 2.5, None], object, "numbers"),
    ([Decimal("1.5"), None], object, "numbers"),
    ([1, 2], "uint8", "numbers"),
    ([True, False], None, "booleans"),
    ([True, None], "boolean", "booleans"),
    ([True, None], object, "booleans"),
    (["a", None], "str", "text"),
    (["a", None], "string", "text"),
    (["a", None], object, "text"),
    (["a", pd.NaT, pd.NA], object, "text"),
    (["a", "b"], "category", "text"),
    ([1, 2], "category", "numbers"),
    ([pd.Timestamp("2024-01-31")], None, "dates"),
    ([pd.Timestamp("2024-01-31", tz="UTC")], None, "dates"),
    ([pd.Timedelta(days=1)], None, "durations"),
    ([pd.Period("2024-01")], None, "dates"),
    ([datetime.date(2024, 1, 31), None], object, "dates"),
    ([1j], None, "complex numbers"),
    (["a", 1, None], object, "mixed values"),
    ([True, "a"], object, "mixed values"),
    ([[1], [2]], object, "objects"),
    ([{"a": 1}, None], object, "objects"),
    ([b"a"], object, "objects"),
    ([pd.Interval(0, 1), None], None, "intervals"),
    ([pd.Interval(0, 1), None], "category", "intervals"),
    ([None, None], object, "nothing"),
    ([None, None], "str", "nothing"),
    ([None, None], "datetime64[ns]", "nothing"),
    ([None, None], "period[M]", "nothing"),
    ([None, None], "category", "nothing"),
    ([np.nan, np.nan], None, "nothing"),
]


@pytest.mark.parametrize("cells, dtype, kind", KINDS)
def test_kind_looks_at_values_not_at_storage(cells, dtype, kind):
    assert kind_of(pd.Series(cells, dtype=dtype)) == kind


@pytest.mark.parametrize(
    "cells, arrow, kind",
    [
        ([1, None], "int64", "numbers"),
        ([1.5, None], "float64", "numbers"),
        ([Decimal("1.5"), None], "decimal128", "numbers"),
        ([True, None], "bool_", "booleans"),
        (["a", None], "string", "text"),
        (["a", None], "dictionary", "text"),
        ([datetime.datetime(2024, 1, 31), None], "timestamp", "dates"),
        ([datetime.date(2024, 1, 31), None], "date32", "dates"),
        ([datetime.timedelta(1), None], "duration", "durations"),
        ([[1], None], "list_", "objects"),
        ([None, None], "string", "nothing"),
    ],
)
def test_kind_of_arrow_columns(cells, arrow, kind):
    pa = pytest.importorskip("pyarrow")
    arguments = {"decimal128": (5, 2), "timestamp": ("us",), "duration": ("us",), "list_": (pa.int64(),)}
    arguments["dictionary"] = (pa.int32(), pa.string())
    dtype = pd.ArrowDtype(getattr(pa, arrow)(*arguments.get(arrow, ())))
    assert kind_of(pd.Series(cells, dtype=dtype)) == kind


@pytest.mark.parametrize(
    "cells, dtype, kind", [case for case in KINDS if case[2] in ("numbers", "booleans", "nothing")]
)
def test_numbers_of_any_storage(cells, dtype, kind):
    expected = [np.nan if cell is None else float(cell) for cell in cells]
    np.testing.assert_array_equal(to_numbers(pd.Series(cells, dtype=dtype)), expected)


@pytest.mark.parametrize(
    "value, key",
    [(1, "1"), (1.0, "1"), ("1", "1"), (np.int8(1), "1"), (np.float32(1), "1"), (-0.0, "0"), (True, "True")]
    + [
        (np.False_, "False"),
        (0.5, "0.5"),
        (2**60 + 1, str(2**60 + 1)),
        (float("inf"), "inf"),
        (Decimal("2.0"), "2"),
        (pd.Interval(0, 1), "(0, 1]"),
    ],
)
def test_text_key(value, key):
    assert text_key(value) == key


@pytest.mark.parametrize("dtype", ["timedelta64[s]", "timedelta64[ns]", "arrow"])
def test_durations_are_seconds(dtype):
    if dtype == "arrow":
        dtype = pd.ArrowDtype(pytest.importorskip("pyarrow").duration("ms"))
    durations = pd.Series(pd.to_timedelta(["1D", None, "-2s"])).astype(dtype)
    np.testing.assert_array_equal(to_numbers(durations), [86400, np.nan, -2])


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "Float64", "category", "str", object])
def test_keys_do_not_depend_on_storage(dtype):
    codes, keys = to_keys(pd.Series([3, 1, 3]).astype(dtype))
    assert [keys[code] for code in codes] == ["3", "1", "3"]


def test_keys_of_missing_cells_and_of_values_that_hash_alike():
    codes, keys = to_keys(pd.Series([1, True, None, "a", 1.0], dtype=object))
    assert [keys[code] if code >= 0 else None for code in codes] == ["1", "True", None, "a", "1"]


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.booleans(), st.text()))
)
def test_keys_of_objects_are_those_of_their_cells(cells):
    codes, keys = to_keys(pd.Series(cells, dtype=object))
    assert [keys[code] if code >= 0 else None for code in codes] == [None if c is None else text_key(c) for c in cells]


@pytest.mark.parametrize(
    "text, is_date",
    [("2024-01-31", True), ("2024/01/31", True), ("2024-01-31T08:00", True), ("2024-01-31 08:00:01.5+02:00", True)]
    + [("2024-01-31T08:00:00Z", True), ("2024-13-01", False), ("2024-01/31", False), ("20240131", False), ("a", False)]
    + [("2024-01-31-7", False), ("1024-01", False), ("", False)],
)
def test_dates_by_their_look(text, is_date):
    assert all_dates([text]) == is_date
    assert not all_dates([text, "never"])


def test_no_keys_are_no_dates():
    assert not all_dates([])


def test_listed_cuts_long_lists():
    assert listed(["a"]) == "'a'"
    assert listed(list("abcd"), str, most=2) == "a, b and 2 more"


def test_did_you_mean():
    assert did_you_mean("colour", ["color", "size"]) == "; did you mean 'color'?"
    assert did_you_mean("x", ["color"]) == ""


def test_free_text_is_many_words_that_differ():
    texts = pd.Series([f"the room was number {k} and it was fine" for k in range(50)] + [None])
    for dtype in ("str", "string", object):
        assert free_text(texts.astype(dtype)) == texts[0]
    assert free_text(texts.replace(texts[3], texts[2])) == texts[0]
    few = ["I agree with what was said", "I do not agree with what was said"]
    for other in (few * 9, ["John Smith", "Ann Lee"], [f"id{k}" for k in range(9)], [None, None]):
        assert free_text(pd.Series(other, dtype="str")) is None
