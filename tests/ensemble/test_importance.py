"""Explanations: what columns are worth, and scikit-learn's partial dependence on our objects."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance

from hpsearch import SearchClassifier, SearchRegressor, load, search

matplotlib.use("Agg")
SMALL = {"n_trials": 4, "max_epochs": 20, "n_jobs": 1, "verbose": 0, "space": {"hidden_layer_sizes": (16,)}, "cv": 1}
pytestmark = pytest.mark.filterwarnings("ignore:.*crowd:UserWarning", "ignore:A constant guess:UserWarning")


def table(n_rows=600):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "noise": rng.standard_normal(n_rows),
            "size": rng.standard_normal(n_rows),
            "colour": rng.choice(["red", "green", "blue"], n_rows),
        }
    )


X = table()
NUMBERS = 2 * X["size"] + (X["colour"] == "red")
CLASSES = np.where(NUMBERS > 0.3, "yes", "no")
TARGETS = {"classes": CLASSES, "numbers": NUMBERS}


@pytest.fixture(scope="module", params=TARGETS)
def result(request):
    return search(X, TARGETS[request.param], **SMALL)


def test_the_columns_that_matter_come_first(result):
    worth = result.importance()
    assert worth["column"].tolist() == ["size", "colour", "noise"]
    assert worth["importance"].iloc[0] > worth["importance"].iloc[1] > 0.02
    assert abs(worth["importance"].iloc[2]) < 0.1 * worth["importance"].iloc[0]
    assert (worth["deviation"] >= 0).all()
    pd.testing.assert_frame_equal(worth, result.importance())
    assert result.importance(n_repeats=1)["deviation"].isna().all()


def test_the_drop_is_that_of_the_studys_score(result):
    selection = result.findings.selection
    assert selection.table.columns.tolist() == X.columns.tolist()
    rows = result.findings.n_rows["select"]
    assert len(selection.table) == rows and len(selection.y) == rows
    shuffled = selection.table.assign(size=selection.table["size"].to_numpy()[::-1])
    outputs = [result.ensemble._outputs(frame) for frame in (selection.table, shuffled)]
    before, after = (selection.scorer(selection.y, one) for one in outputs)
    drop = result.importance().set_index("column").loc["size", "importance"]
    assert drop == pytest.approx(before - after, rel=0.5)


def test_a_repeat_is_at_least_one(result):
    with pytest.raises(ValueError, match="n_repeats must be a whole number ≥ 1, but got 0"):
        result.importance(0)


def test_the_page_shows_it_where_it_is_given(result, tmp_path):
    assert "What the columns are worth" not in result.report(tmp_path / "a.html").read_text()
    text = result.report(tmp_path / "b.html", importance=result.importance(1)).read_text()
    assert "What the columns are worth" in text and ">colour<" in text


def test_arrays_and_row_weights_and_a_target_among_the_columns():
    weights = np.linspace(0.5, 1.5, len(X))
    array = search(X[["noise", "size"]].to_numpy(), NUMBERS.to_numpy(), sample_weight=weights, **SMALL)
    assert array.importance(2)["column"].tolist() == ["x1", "x0"]
    named = search(X.assign(price=NUMBERS), "price", **SMALL)
    assert sorted(named.importance(1)["column"]) == ["colour", "noise", "size"]


@pytest.fixture(scope="module")
def predictors():
    classifier, regressor = SearchClassifier(**SMALL).fit(X, CLASSES), SearchRegressor(**SMALL).fit(X, NUMBERS)
    return {
        "SearchClassifier": classifier,
        "SearchRegressor": regressor,
        "classes": classifier.ensemble_,
        "numbers": regressor.ensemble_,
    }


@pytest.mark.parametrize("name", ["SearchClassifier", "SearchRegressor", "classes", "numbers"])
def test_scikit_learns_inspection_works(predictors, name, tmp_path):
    predictor = predictors[name]
    size = partial_dependence(predictor, X, ["size"], grid_resolution=10)
    assert size["average"].shape == (1, 10) and (np.diff(size["average"][0]) > -0.02).all()
    assert size["average"][0, -1] - size["average"][0, 0] > 0.5
    colour = partial_dependence(predictor, X, ["colour"], categorical_features=["colour"])
    by_colour = dict(zip(colour["grid_values"][0], colour["average"][0], strict=True))
    assert max(by_colour, key=by_colour.get) == "red"
    shown = PartialDependenceDisplay.from_estimator(
        predictor, X, ["size", "colour", ("noise", "size")], categorical_features=["colour"], grid_resolution=5
    )
    assert shown.axes_.size == 3
    matplotlib.pyplot.close("all")
    worth = permutation_importance(predictor, X, TARGETS["classes" if "lass" in name else "numbers"], n_repeats=2)
    assert worth["importances_mean"].argmax() == 1
    if name in TARGETS:
        predictor.save(tmp_path / "model")
        again = partial_dependence(load(tmp_path / "model"), X, ["size"], grid_resolution=10)
        np.testing.assert_array_equal(again["average"], size["average"])
