import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from hpsearch.data.as_given import AsGiven, encoding_from_tensors
from hpsearch.data.dataset import prepare
from hpsearch.data.encoding import Encoding
from hpsearch.data.table import as_frame


def frame():
    return pd.DataFrame(
        {
            "size": [1.5, np.nan] * 20,
            "count": np.arange(40),
            "colour": ["red", None] * 20,
            "grade": pd.Categorical(["b", "a"] * 20, categories=["b", "a", "c"]),
            "is_new": [True, False] * 20,
            "day": pd.date_range("2024-01-01", periods=40),
        }
    )


Y = np.array([0, 1] * 20)


def test_a_frame_stays_what_it_is():
    dataset = prepare(frame(), Y, encoded=False)
    pd.testing.assert_frame_equal(dataset.inputs, frame())
    assert dataset.n_inputs == 6 and dataset.encoding.input_names == tuple(frame().columns)
    assert [column.name for column in dataset.encoding.numeric] == ["size", "count"]
    assert [column.kind for column in dataset.encoding.categorical] == ["text", "text", "booleans", "dates"]


def test_an_array_of_numbers_stays_one():
    X = np.arange(80).reshape(40, 2)
    given = prepare(X, Y, encoded=False).inputs
    assert given.dtype == np.float64
    assert_array_equal(given, X)
    holes = np.where(X % 7 == 0, np.nan, X)
    assert_array_equal(prepare(holes, Y, encoded=False).inputs, holes)


def test_an_array_with_text_stays_one_of_objects():
    X = [[1, "a"], [2, "b"]] * 20
    given = prepare(X, Y, encoded=False).inputs
    assert given.dtype == object and given.tolist() == X


@pytest.mark.parametrize(
    "X", [frame(), np.arange(80.0).reshape(40, 2), [[1, "a"], [2, "b"]] * 20], ids=["frame", "numbers", "objects"]
)
def test_test_rows_follow(X):
    dataset = prepare(X, Y, X_test=X[:3], y_test=Y[:3], encoded=False)
    assert len(dataset.inputs) == 43 and type(dataset.inputs) is type(prepare(X, Y, encoded=False).inputs)
    assert dataset.rows.test.tolist() == [40, 41, 42]
    again = dataset.encoding.encode(X[:3])
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(dataset.inputs[40:]).reset_index(drop=True))


def test_equal_tables_have_equal_fingerprints_and_others_have_not():
    tables = [frame(), frame(), frame().assign(count=0), frame().rename(columns={"count": "number"})]
    prints = [prepare(X, Y, encoded=False).fingerprint for X in tables]
    assert prints[0] == prints[1] and len({*prints, prepare(frame().drop(columns="day"), Y).fingerprint}) == 4
    objects = [[[1, "a"], [2, "b"]] * 20, [[1, "a"], [2, "c"]] * 20]
    first, second = (prepare(X, Y, encoded=False).fingerprint for X in objects)
    assert first == prepare(objects[0], Y, encoded=False).fingerprint != second


def test_columns_are_found_by_name_and_categories_are_made():
    encoding = prepare(frame(), Y, encoded=False).encoding
    mixed = frame().astype({"grade": "str"})[list(frame().columns[::-1])]
    found = encoding.encode(mixed[:3])
    assert list(found.columns) == list(frame().columns) and found["grade"].dtype == "category"


FAULTS = {
    "missing": (frame().drop(columns="size"), "missing are 'size'"),
    "added": (frame().assign(more=1), "unknown are 'more'"),
    "of another kind": (
        frame().assign(size="x", colour=1),
        "'size' held numbers, now it holds text, 'colour' held text",
    ),
    "too few": (np.ones((3, 2)), "must have 6 columns, but has 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_tables_are_refused_in_words(fault):
    table, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        prepare(frame(), Y, encoded=False).encoding.encode(table, "X_new")


def test_what_was_numbers_may_be_booleans_or_missing():
    encoding = AsGiven.of(frame(), True)
    found = encoding.encode(frame().assign(size=True, count=np.nan))
    assert found["size"].all() and found["count"].isna().all()


@pytest.mark.parametrize("encoded", [True, False])
def test_an_encoding_of_either_sort_comes_back(encoded):
    encoding = prepare(frame().drop(columns="day"), Y, encoded=encoded).encoding
    tensors, document = encoding.to_tensors()
    again = encoding_from_tensors(tensors, json.loads(json.dumps(document)))
    assert again == encoding and isinstance(again, Encoding if encoded else AsGiven)
    assert again != replace(encoding, columns=())


def test_a_table_given_as_rows_is_read_by_position():
    encoding = AsGiven.of(as_frame([[1, "a"]]), False)
    assert encoding.encode([[2, "b"]]).tolist() == [[2, "b"]]
