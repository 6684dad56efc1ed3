import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.categorical import MOST_LEVELS, Categorical, encode_categorical, fit_categorical
from hpsearch.data.columns import Dropped


def fit_one(cells, dtype=None, declared=False, train_rows=None):
    rows = np.arange(len(cells))
    column = pd.Series(cells, dtype=dtype)
    return fit_categorical(column, "c", declared, rows, rows if train_rows is None else train_rows)


def encode_one(cells, record, dtype=None):
    inputs = np.zeros((len(cells), record.n_inputs), dtype=np.float32)
    encode_categorical(pd.Series(cells, dtype=dtype), record, inputs)
    return inputs.tolist()


def test_levels_are_sorted_and_missing_is_one_of_them():
    record = fit_one(["b", "a", None] * 5)
    assert record == Categorical("c", "text", False, ("a", "b", None), rare=False)
    assert record.input_names == ["c=a", "c=b", "c is missing"]
    assert encode_one(["a", None, "b", "unseen"], record) == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_rare_levels_share_an_input_with_unseen_ones():
    record = fit_one(["a"] * 5 + ["b"] * 5 + ["c"] * 4 + ["d", None])
    assert record == Categorical(
        "c", "text", False, ("a", "b"), rare=True, counted=("a", "b", "c"), counts=(5, 5, 4), n_rows=16
    )
    assert record.input_names == ["c=a", "c=b", "c is rare", "c: frequency"]
    hot = [row[:3] for row in encode_one(["a", "c", None, "unseen"], record)]
    assert hot == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_frequencies_are_those_of_the_training_rows():
    cells = ["a"] * 9 + ["c"] * 4 + [None] * 3 + ["d"] + ["b"] * 9
    record = fit_one(cells, train_rows=np.arange(17))
    frequency = [row[-1] for row in encode_one(["a", "c", None, "d", "b", "unseen"], record)]
    expected = np.log([9, 4, 3, 1, 1, 1]) / np.log(17)
    np.testing.assert_allclose(frequency, expected, rtol=1e-6)


def test_a_column_without_rare_levels_has_no_frequency():
    assert fit_one(["a", "b"] * 5).counted == () and fit_one(["a", "b"] * 5).n_inputs == 2


def test_frequencies_add_up_over_what_is_one_level():
    record = fit_one(["1", 1, 1.0] * 5 + ["2"] * 5 + ["3"], object, declared=True)
    assert dict(zip(record.counted, record.counts, strict=True)) == {"1": 15, "2": 5}


@pytest.mark.parametrize("n_levels", [MOST_LEVELS - 1, MOST_LEVELS, MOST_LEVELS + 1, MOST_LEVELS + 50])
def test_the_hundred_most_frequent_levels_stand_alone(n_levels):
    cells = [f"level {k:03d}" for k in range(n_levels) for _ in range(5 + k % 7)]
    record = fit_one(cells)
    assert len(record.levels) == min(n_levels, MOST_LEVELS) and record.rare == (n_levels > MOST_LEVELS)
    counts = pd.Series(cells).value_counts()
    others = [counts[level] for level in counts.index if level not in record.levels]
    assert min(counts[level] for level in record.levels) >= max(others, default=0)


def test_a_missing_level_that_was_not_seen_is_all_zeros():
    assert encode_one([None, "a"], fit_one(["a", "b"] * 5)) == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    "cells, reason",
    [
        (["a"] * 9, "constant"),
        ([f"id {k}" for k in range(9)], "no value in 5 rows or more"),
        ([None] * 9, "all missing"),
    ],
)
def test_columns_without_use(cells, reason):
    assert fit_one(cells) == Dropped("c", reason)


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "str", "category", object])
@pytest.mark.parametrize("later", ["int64", "float64", "Int64", "str", "category", object])
def test_levels_are_the_same_in_any_storage(dtype, later):
    record = fit_one(pd.Series([1, 2, 10] * 5).astype(dtype), declared=True)
    assert record.levels == ("1", "10", "2")
    inputs = np.zeros((3, 3), dtype=np.float32)
    encode_categorical(pd.Series([2, 1, 10]).astype(later), record, inputs)
    assert inputs.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [None, "boolean", object])
def test_booleans(dtype):
    record = fit_one([True, False] * 5, dtype)
    assert record == Categorical("c", "booleans", False, ("False", "True"), rare=False)
    assert encode_one([True, None, False], record, object) == [[0, 1], [0, 0], [1, 0]]


def test_a_category_that_is_not_used_is_no_level():
    cells = pd.Categorical(["a", "b"] * 5, categories=["z", "b", "a"])
    assert fit_one(cells).levels == ("a", "b")


def test_text_and_number_of_one_key_are_one_level():
    assert fit_one(["1", 1, 2, "2"] * 3, object, declared=True).levels == ("1", "2")


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=60))
def test_every_seen_row_has_exactly_one_input(cells):
    record = fit_one(cells, "str")
    if isinstance(record, Categorical):
        width = len(record.levels) + record.rare
        assert all(sum(row[:width]) == 1 for row in encode_one(cells, record, "str"))
