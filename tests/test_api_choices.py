"""What `search` offers besides: calibrated probabilities, weights of classes, thresholds; kept, loaded, and honest."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, recall_score

from hpsearch import Choice, SearchClassifier, SearchRegressor, load, search
from hpsearch.ensemble.tempering import tempered

SMALL = {"n_trials": 4, "max_epochs": 20, "n_jobs": 1, "verbose": 0, "space": {"hidden_layer_sizes": (16,)}, "cv": 1}
pytestmark = pytest.mark.filterwarnings("ignore:.*crowd:UserWarning", "ignore:A constant guess:UserWarning")


@pytest.fixture(scope="module")
def imbalanced():
    """One row in twelve is "yes", and one in twenty-five is mislabelled."""
    X, y = make_classification(2000, 6, n_informative=4, weights=[0.92], flip_y=0.04, class_sep=0.7, random_state=0)
    return pd.DataFrame(X).rename(columns=str), np.array(["no", "yes"])[y]


@pytest.fixture(scope="module")
def plain(imbalanced):
    return search(*imbalanced, test_size=0.3, **SMALL)


@pytest.fixture(scope="module")
def calibrated(imbalanced):
    return search(*imbalanced, test_size=0.3, calibrate=True, **SMALL)


def test_a_calibrated_ensemble_stands_beside_the_one_it_is_made_of(plain, calibrated):
    board = calibrated.leaderboard().set_index("ensemble")
    name = plain.ensemble.name
    assert calibrated.ensemble.name == f"{name}_calibrated" and board["chosen"].idxmax() == f"{name}_calibrated"
    assert board.loc[name, "honest_score"] == plain.honest_score
    # of the one that is taken home it is the score of the members trained again
    assert board.loc[name, "test_score"] != calibrated.test_score
    assert calibrated.ensemble.temperature != 1 == plain.ensemble.temperature
    # a temperature of one is among the choices, so but for what so few rows let it err it does no harm
    assert calibrated.honest_score > plain.honest_score - 0.01
    pd.testing.assert_frame_equal(plain.trials.filter(like="value"), calibrated.trials.filter(like="value"))


def test_probabilities_are_scaled_and_labels_are_not(plain, calibrated, imbalanced):
    X, _ = imbalanced
    expected = tempered(plain.ensemble.predict_proba(X), calibrated.ensemble.temperature)
    assert_allclose(calibrated.ensemble.predict_proba(X), expected, rtol=1e-6, atol=1e-9)
    assert_array_equal(calibrated.ensemble.predict(X), plain.ensemble.predict(X))


def test_the_honest_score_is_that_of_the_honest_probabilities(calibrated):
    selection = calibrated.findings.selection
    assert calibrated.honest_score == pytest.approx(-log_loss(selection.labels, selection.predictions))
    expected = brier_score_loss(selection.labels, selection.predictions[:, 1], pos_label="yes")
    assert calibrated.brier_score == pytest.approx(expected)
    assert calibrated.reliability()["n_rows"].sum() == len(selection.y) == calibrated.findings.n_rows["select"]
    assert calibrated.reliability(label="no", n_bins=4)["high"].max() == 1


def test_a_threshold_is_kept(calibrated, imbalanced, tmp_path):
    X, y = imbalanced
    found = calibrated.threshold("f1")
    assert found.value >= found.honest_value and found.label == "yes"
    decided = calibrated.ensemble.with_threshold(found.threshold)
    is_yes = calibrated.ensemble.predict_proba(X)[:, 1] >= found.threshold
    assert_array_equal(decided.predict(X), np.where(is_yes, "yes", "no"))
    assert_array_equal(decided.predict_proba(X), calibrated.ensemble.predict_proba(X))
    decided.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.threshold == found.threshold and loaded.temperature == calibrated.ensemble.temperature
    assert_array_equal(loaded.predict(X), decided.predict(X))
    assert_array_equal(loaded.predict_proba(X), decided.predict_proba(X))


def test_missing_a_yes_may_cost_more(plain, imbalanced):
    X, y = imbalanced
    cheap = plain.threshold({("yes", "no"): 20, ("no", "yes"): 1})
    assert cheap.threshold < 0.3 and cheap.honest_value > cheap.default_value
    predicted = plain.ensemble.with_threshold(cheap.threshold).predict(X)
    assert recall_score(y, predicted, pos_label="yes") > recall_score(y, plain.ensemble.predict(X), pos_label="yes")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, True, "0.5", None])
def test_a_threshold_is_a_probability(plain, threshold):
    with pytest.raises(ValueError, match=r"threshold must be a number in \[0, 1\], but got"):
        plain.ensemble.with_threshold(threshold)


@pytest.mark.parametrize("class_weight", ["balanced", {"yes": 11.0}])
def test_with_weights_more_of_a_rare_class_are_found(plain, imbalanced, class_weight):
    X, y = imbalanced
    result = search(X, y, test_size=0.3, class_weight=class_weight, **SMALL)
    recalls = [recall_score(y, one.ensemble.predict(X), pos_label="yes") for one in (plain, result)]
    assert recalls[1] > recalls[0] + 0.1
    # its scores are of the rows as they are
    selection = result.findings.selection
    assert selection.weights is None
    assert result.honest_score == pytest.approx(-log_loss(selection.labels, selection.predictions))


def test_estimators_get_the_weights_too(imbalanced):
    X, y = imbalanced
    space = {"C": Choice([0.1, 1.0])}
    both = [
        search(X, y, estimator=LogisticRegression(), space=space, class_weight=weight, n_trials=2, verbose=0, n_jobs=1)
        for weight in (None, "balanced")
    ]
    recalls = [recall_score(y, one.ensemble.predict(X), pos_label="yes") for one in both]
    assert recalls[1] > recalls[0] + 0.1


def test_the_faces_take_both(imbalanced):
    X, y = imbalanced
    face = SearchClassifier(**SMALL, class_weight="balanced", calibrate=True).fit(X, y)
    assert face.ensemble_.temperature != 1
    assert recall_score(y, face.predict(X), pos_label="yes") > 0.5
    with pytest.raises(ValueError, match="class_weight='balanced' is for classes, but the task is regression"):
        SearchRegressor(**SMALL, class_weight="balanced").fit(X, X["0"])
    with pytest.raises(ValueError, match="calibrate=True is for probabilities, but the task is regression"):
        SearchRegressor(**SMALL, calibrate=True).fit(X, X["0"])


def test_calibrate_is_yes_or_no(imbalanced):
    with pytest.raises(ValueError, match="calibrate must be True or False, but got 'yes'"):
        search(*imbalanced, calibrate="yes")


def test_numbers_have_neither_threshold_nor_reliability(imbalanced):
    X, _ = imbalanced
    result = search(X, X["0"] + X["1"] ** 2, **SMALL)
    with pytest.raises(ValueError, match="a threshold is for two classes, but the task is regression"):
        result.threshold("f1")
    with pytest.raises(ValueError, match="a threshold is for two classes, but the task is regression"):
        result.ensemble.with_threshold(0.5)
    with pytest.raises(ValueError, match="has no probabilities to look at"):
        result.reliability()


def test_with_class_weights_members_are_not_trained_again_unless_asked(imbalanced):
    """Chosen by scores without the weights, they owe their probabilities to where they happened to stop."""
    assert not any(member["refit"] for member in weighted_members(imbalanced))
    assert any(member["refit"] for member in weighted_members(imbalanced, refit=True))


def weighted_members(data, **arguments):
    return search(*data, class_weight="balanced", **SMALL | arguments).ensemble.about["members"]


def test_calibrated_and_not_the_same_models_are_tested(imbalanced):
    """A temperature changes no ranks: the area under the curve is that of the same models, trained again or not."""
    board = search(*imbalanced, test_size=0.3, calibrate=True, scoring="roc_auc", **SMALL).leaderboard()
    scores = board.set_index("ensemble")["test_score"]
    assert scores.iloc[0] == scores[scores.index[0].removesuffix("_calibrated")]


def test_a_limit_that_cannot_be_kept_is_told(imbalanced):
    with pytest.warns(UserWarning, match="max_predict_ms=1e-09 cannot be kept: the cheapest ensemble takes"):
        search(*imbalanced, max_predict_ms=1e-9, **SMALL)


def test_all_of_it_is_the_same_for_any_number_of_workers(imbalanced):
    X, y = load_breast_cancer(return_X_y=True)
    one, two = (search(X, y, calibrate=True, class_weight="balanced", **SMALL | {"cv": 2, "n_jobs": n}) for n in (1, 2))
    assert one.ensemble.temperature == two.ensemble.temperature
    assert one.threshold("f1") == two.threshold("f1")
    pd.testing.assert_frame_equal(one.reliability(), two.reliability())
    pd.testing.assert_frame_equal(one.importance(1), two.importance(1))
