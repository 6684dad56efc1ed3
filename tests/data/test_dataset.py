import re

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.dataset import prepare
from hpsearch.data.encoding import ENCODINGS
from hpsearch.data.splits import rotations
from hpsearch.data.table import SKLEARN_LOADERS, read_source

N_ROWS = 60


def table(n_rows=N_ROWS, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=["width", "height", "depth"])
    return frame.assign(color=rng.choice(["red", "blue"], n_rows), bought=np.where(np.arange(n_rows) % 3, "yes", "no"))


X, Y = table().drop(columns="bought"), table()["bought"]
X_TEST, Y_TEST = table(8, seed=1).drop(columns="bought"), table(8, seed=1)["bought"]


def test_a_dataset_of_classes():
    dataset = prepare(X, Y)
    assert dataset.task == "binary" and dataset.target.name == "bought"
    assert (dataset.n_inputs, dataset.n_outputs) == (5, 2)
    assert dataset.inputs.shape == (N_ROWS, 5) and dataset.inputs.dtype == np.float32
    assert dataset.inputs.flags.c_contiguous and dataset.targets.flags.c_contiguous
    assert dataset.targets.shape == (N_ROWS, 2) and dataset.targets.dtype == np.float32
    assert dataset.y.dtype == np.int64 and dataset.target.classes[dataset.y].tolist() == Y.tolist()
    assert dataset.row_weights.tolist() == [1] * N_ROWS and dataset.row_weights.dtype == np.float32
    assert dataset.sample_weight is None and dataset.warnings == ()
    assert re.fullmatch("[0-9a-f]{64}", dataset.fingerprint)
    assert [len(part) for part in vars(dataset.rows).values()] == [40, 10, 10, 0]
    assert set(rotations(dataset.y[dataset.rows.select])) == {0, 1, 2, 3, 4}


def test_a_dataset_of_numbers():
    y = X["width"] * 100 + 7
    dataset = prepare(X, y.to_numpy())
    assert dataset.task == "regression" and dataset.target.name == "target"
    assert dataset.targets.shape == (N_ROWS, 1) and dataset.y.dtype == np.float64 and dataset.y.tolist() == y.tolist()
    training = dataset.targets[dataset.rows.train]
    assert training.mean() == pytest.approx(0, abs=1e-6) and training.std() == pytest.approx(1, abs=1e-6)
    assert prepare(X, np.arange(N_ROWS) % 2, task="regression").task == "regression"


@pytest.mark.parametrize("name", SKLEARN_LOADERS)
def test_sklearn_tables(name):
    dataset = prepare(read_source(f"sklearn:{name}"), "target", test_size=0.25)
    assert dataset.task == {"diabetes": "regression", "breast_cancer": "binary"}.get(name, "multiclass")
    assert np.isfinite(dataset.inputs).all() and len(dataset.rows.test) == round(0.25 * len(dataset.y))


def test_the_target_by_name():
    by_name, apart = prepare(table(), "bought"), prepare(X, Y)
    assert by_name.fingerprint == apart.fingerprint
    tested = prepare(table(), "bought", X_test=table(8, seed=1), y_test="bought")
    assert tested.fingerprint == prepare(X, Y, X_test=X_TEST, y_test=Y_TEST).fingerprint


def test_given_test_rows_follow_the_others_and_change_nothing_else():
    plain, dataset = prepare(X, Y), prepare(X, Y, X_test=X_TEST, y_test=Y_TEST)
    assert dataset.rows.test.tolist() == list(range(N_ROWS, N_ROWS + 8))
    assert dataset.encoding == plain.encoding
    for part in ("train", "valid", "select"):
        assert getattr(dataset.rows, part).tolist() == getattr(plain.rows, part).tolist()
    np.testing.assert_array_equal(dataset.inputs, np.vstack([plain.inputs, plain.encoding.encode(X_TEST)]))
    assert dataset.target.classes[dataset.y[N_ROWS:]].tolist() == Y_TEST.tolist()
    assert len(dataset.targets) == len(dataset.row_weights) == N_ROWS + 8
    assert dataset.inputs.flags.c_contiguous


def test_test_rows_as_an_array():
    frame_of_numbers = X.drop(columns="color")
    as_array, as_frame = (
        prepare(frame_of_numbers, Y, X_test=given, y_test=Y_TEST)
        for given in (
            X_TEST.drop(columns="color").to_numpy(),
            X_TEST.drop(columns="color")[["depth", "height", "width"]],
        )
    )
    assert as_array.fingerprint == as_frame.fingerprint


def test_dealt_test_rows_are_unseen_by_layout_and_statistics():
    dataset = prepare(X, Y, test_size=0.2)
    assert len(dataset.rows.test) == 12 and len(dataset.inputs) == N_ROWS
    changed = X.copy()
    changed.loc[dataset.rows.test, "width"] = 1e9
    changed.loc[dataset.rows.test, "color"] = "green"
    again = prepare(changed, Y, test_size=0.2)
    assert again.encoding == dataset.encoding and again.fingerprint != dataset.fingerprint


def test_sample_weights():
    weights = np.random.default_rng(0).uniform(0, 9, N_ROWS)
    dataset = prepare(X, Y, sample_weight=weights, X_test=X_TEST, y_test=Y_TEST)
    assert dataset.sample_weight.dtype == np.float64 and dataset.sample_weight[:N_ROWS].tolist() == weights.tolist()
    assert dataset.sample_weight[N_ROWS:].tolist() == dataset.row_weights[N_ROWS:].tolist() == [1] * 8
    assert dataset.row_weights.dtype == np.float32
    assert dataset.row_weights[dataset.rows.train].mean() == pytest.approx(1)
    ratio = dataset.row_weights[:N_ROWS] / weights
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


@pytest.mark.parametrize("convert", [list, np.float32, lambda w: pd.Series(w, dtype="Int64"), lambda w: w[:, None]])
def test_sample_weights_of_any_type(convert):
    weights = np.arange(N_ROWS)
    assert prepare(X, Y, sample_weight=convert(weights)).sample_weight.tolist() == weights.tolist()


def test_the_same_data_have_the_same_fingerprint():
    first = prepare(X, Y, random_state=3)
    renumbered = X.set_axis(range(7, N_ROWS + 7))
    assert prepare(renumbered, Y.astype("category"), random_state=np.int64(3)).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": 1},
        {"test_size": 6},
        {"y": Y.tolist()},  # the target has no name
        {"sample_weight": np.arange(N_ROWS) + 1},
        {"categorical": ["width"], "X": X.round()},
        {"X": X.rename(columns={"width": "wide"})},
        {"X": X.assign(width=X["width"] + (X.index == 5))},
        {"y": Y.replace("yes", "Yes")},
        {"X_test": X_TEST, "y_test": Y_TEST},
        {"encodings": ["quantile"]},
        {"encodings": ["robust", "quantile"]},
    ],
)
def test_other_data_have_another_fingerprint(change):
    assert prepare(**{"X": X, "y": Y} | change).fingerprint != prepare(X, Y).fingerprint


def test_categories_by_name_and_by_position():
    codes = np.random.default_rng(0).integers(0, 3, (N_ROWS, 2))
    by_position, by_name = (prepare(codes, Y, categorical=given) for given in ([1], ["x1"]))
    assert [column.name for column in by_position.encoding.categorical] == ["x1"]
    assert by_position.fingerprint == by_name.fingerprint
    assert prepare(codes, Y, categorical=np.array([1])).fingerprint == by_name.fingerprint
    assert prepare(codes.tolist(), Y, categorical=()).encoding.categorical == ()


def test_dropped_columns_are_said():
    dataset = prepare(X.assign(one=1), Y)
    assert dataset.warnings == ("Columns without use were dropped: 'one' (constant).",)


def test_a_category_is_a_class_however_many_there_are():
    y = np.arange(N_ROWS) % 30
    assert prepare(X, y).task == "regression"
    assert prepare(X, pd.Series(y, dtype="category")).task == "multiclass"
    assert prepare(X, y, task="multiclass").target.classes.dtype == np.int64


def test_the_smallest_tables():
    dataset = prepare(X[:12], Y[:12])
    assert [len(part) for part in vars(dataset.rows).values()] == [8, 2, 2, 0]
    with pytest.raises(ValueError, match="at least 12 rows"):
        prepare(X[:11], Y[:11])


def test_every_class_has_a_training_row():
    y = np.repeat(np.arange(N_ROWS // 2), 2)
    dataset = prepare(X, y, task="multiclass", test_size=0.2)
    assert set(dataset.y[dataset.rows.train]) == set(range(N_ROWS // 2))


LARGE = table(400).drop(columns="bought").assign(height=np.arange(400) / 7)
LARGE_Y = np.arange(400) // 40 % 2


@pytest.mark.parametrize("cv", [None, 3])
def test_a_table_in_several_encodings(cv):
    dataset = prepare(LARGE, LARGE_Y, cv=cv, X_test=X_TEST, y_test=[0, 1] * 4, encodings=ENCODINGS)
    plain = prepare(LARGE, LARGE_Y, cv=cv, X_test=X_TEST, y_test=[0, 1] * 4)
    assert plain.encodings == ("robust",) and dataset.encodings == ENCODINGS
    assert dataset.encoded_as("robust") is dataset
    np.testing.assert_array_equal(dataset.inputs, plain.inputs)
    for name in ENCODINGS:
        other = dataset.encoded_as(name)
        assert other.encodings == (name, *(its for its in ENCODINGS if its != name))
        assert other.encoding.name == name and other.inputs.shape == (408, other.n_inputs)
        np.testing.assert_array_equal(other.inputs[400:], other.encoding.encode(X_TEST))
        assert other.rows is dataset.rows and other.targets is dataset.targets
        assert other.fingerprint == dataset.fingerprint != plain.fingerprint
        assert other.encoded_as("robust").inputs is dataset.inputs
        alone = prepare(LARGE, LARGE_Y, cv=cv, X_test=X_TEST, y_test=[0, 1] * 4, encodings=[name])
        for part, its in zip((other, *other.folds), (alone, *alone.folds), strict=True):
            assert part.encoding == its.encoding and part.n_inputs == other.n_inputs
            np.testing.assert_array_equal(part.inputs, its.inputs)
        for number, fold in enumerate(other.folds):
            assert fold.fold == number and fold.rows is dataset.folds[number].rows
            np.testing.assert_array_equal(fold.inputs[:400], fold.encoding.encode(LARGE))


def test_folds_have_bins_of_their_own_and_equally_many_inputs():
    dataset = prepare(LARGE, LARGE_Y, cv=3, encodings=["piecewise_tree"])
    height = [part.encoding.numeric[1] for part in (dataset, *dataset.folds)]
    assert len({column.edges for column in height}) == 4 and len({column.n_bins for column in height}) == 1
    changed = LARGE.assign(height=LARGE["height"].where(~LARGE.index.isin(dataset.folds[0].rows.valid), 1e9))
    again = prepare(changed, LARGE_Y, cv=3, encodings=["piecewise_tree"])
    assert again.folds[0].encoding.numeric[1].edges == height[1].edges
    assert again.encoding.numeric[1].edges != height[0].edges


def test_a_table_as_it_is_has_one_encoding():
    dataset = prepare(X, Y, cv=2, encoded=False)
    (name,) = dataset.encodings
    assert dataset.encoded_as(name) is dataset and [fold.encodings for fold in dataset.folds] == [(name,)] * 2
    with pytest.raises(ValueError, match="encoding='robust' must be one .* prepared in: 'as given'"):
        dataset.encoded_as("robust")


ONES = np.ones(N_ROWS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"X": X[:0], "y": Y[:0]}, r"X has 0 sample\(s\)"),
        ({"y": Y[:-1]}, "X and y must have equally many rows, but have 60 and 59"),
        ({"y": None}, "y: Expected array-like"),
        ({"y": "bougth", "X": table()}, "y='bougth' must be the name of a column.*did you mean 'bought'"),
        ({"y": "x1", "X": X.to_numpy()}, "y='x1' must be the name of a column of the DataFrame X$"),
        ({"y": "bought", "X": table()[["bought"]]}, r"X has 0 feature\(s\)"),
        ({"y": Y.mask(Y.index == 3)}, "y must have no missing values, but 1 are: rows 3"),
        ({"y": ["yes"] * N_ROWS}, "one class only"),
        ({"y": ["yes"] * (N_ROWS - 1) + ["no"]}, "these have one: 'no'"),
        ({"y": ONES / 3}, "y is constant"),
        ({"y": np.where(ONES.cumsum() == 4, np.inf, ONES.cumsum())}, "y must be finite"),
        ({"y": np.ones((N_ROWS, 2))}, "multilabel"),
        ({"task": "ranking"}, "task='ranking' is unknown"),
        ({"X_test": X_TEST}, "X_test is given without y_test"),
        ({"y_test": Y_TEST}, "y_test is given without X_test"),
        ({"X_test": X_TEST, "y_test": Y_TEST, "test_size": 0.2}, "test_size=0.2 is given beside X_test"),
        ({"X_test": X_TEST, "y_test": Y_TEST[:-1]}, "X_test and y_test must have equally many rows, but have 8 and 7"),
        ({"X_test": X_TEST, "y_test": ["maybe"] * 8}, "y_test has labels.*'maybe'"),
        ({"X_test": X_TEST, "y_test": [None] * 8}, "y_test must have no missing values"),
        ({"X_test": X_TEST.drop(columns="width"), "y_test": Y_TEST}, "X_test must have the columns.*'width'"),
        ({"X_test": X_TEST.assign(width="a"), "y_test": Y_TEST}, "columns of X_test must hold.*'width' held numbers"),
        ({"X_test": X_TEST.to_numpy(dtype=object)[:, 1:], "y_test": Y_TEST}, "X_test must have 4 columns, but has 3"),
        ({"test_size": 0.9}, "test_size=0.9"),
        ({"X": X.assign(width=np.inf)}, r"'width' \(60 rows\)"),
        ({"X": X.set_axis(["a", "a", "b", "c"], axis=1)}, "double: 'a'"),
        ({"categorical": ["colour"]}, "'colour', which is not a column of X; did you mean 'color'"),
        ({"categorical": "color"}, "categorical='color' must be a list"),
        ({"categorical": 3}, "categorical=3 must be a list"),
        ({"categorical": [3]}, "categorical has 3: it must hold names"),
        ({"categorical": [True], "X": X.to_numpy(dtype=object)}, "categorical has True"),
        ({"categorical": [4], "X": X.to_numpy(dtype=object)}, "position 4, but the columns of X are 0 to 3"),
        ({"categorical": [-1], "X": X.to_numpy(dtype=object)}, "position -1"),
        ({"sample_weight": ONES[:-1]}, "one weight for each of 60 rows, but has 59"),
        ({"sample_weight": 1.0}, "sample_weight must be 1-D"),
        ({"sample_weight": np.ones((N_ROWS, 2))}, "sample_weight"),
        ({"sample_weight": -ONES}, "at least 0, but 60 weights are not"),
        ({"sample_weight": np.where(ONES.cumsum() == 2, np.nan, ONES)}, "but 1 weights are not"),
        ({"sample_weight": ONES * np.inf}, "finite"),
        ({"sample_weight": 0 * ONES}, "must not be 0 on all rows"),
        ({"sample_weight": ["a"] * N_ROWS}, "sample_weight must hold numbers, but holds text"),
        ({"random_state": -1}, "random_state=-1 must be a whole number"),
        ({"random_state": 2**64}, "random_state="),
        ({"random_state": 0.5}, "random_state=0.5"),
        ({"random_state": True}, "random_state=True"),
        ({"random_state": None}, "random_state=None"),
        ({"encodings": ["robust", "quantil"]}, "encodings has 'quantil', but known are 'robust'.*mean 'quantile'"),
        ({"encodings": "robust"}, "encodings='robust' must be a list"),
        ({"encodings": ["robust", "robust"]}, "each once"),
        ({"encodings": []}, "one name or more"),
        ({"encodings": ["quantile"], "encoded": False}, "beside encoded=False"),
    ],
)
def test_bad_input_is_one_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        prepare(**{"X": X, "y": Y} | change)
