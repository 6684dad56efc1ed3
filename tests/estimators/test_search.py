import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, f1_score, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TimeSeriesSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from hpsearch import Choice, LogUniform, SearchClassifier, SearchRegressor, Uniform

BOTH = (SearchClassifier, SearchRegressor)
SMALL = {"n_trials": 3, "max_epochs": 3, "n_jobs": 1}
VARIANTS = {"no folds": {"cv": 1}, "folds": {"cv": 2}}

# so short a search learns little
pytestmark = pytest.mark.filterwarnings("ignore:A constant guess scores:UserWarning")


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(cancer):
    return SearchClassifier(**SMALL, cv=3, scoring=["accuracy", "neg_log_loss"]).fit(*cancer)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", BOTH)
# the tables of the checks are tiny, and searches say so
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_checks_of_scikit_learn_pass(kind, variant):
    results = check_estimator(kind(n_trials=3, max_epochs=54, n_jobs=1, **VARIANTS[variant]), on_fail="raise")
    assert {result["status"] for result in results} <= {"passed", "skipped"} and len(results) > 50


def test_the_columns_are_those_of_grid_search(cancer, fitted):
    model = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
    grid = GridSearchCV(model, {"sgdclassifier__alpha": [1e-4, 1e-2]}, cv=3)
    for scoring, search in (
        (["accuracy", "neg_log_loss"], fitted),
        ("accuracy", SearchClassifier(**SMALL, cv=3, scoring="accuracy").fit(*cancer)),
    ):
        expected = set(grid.set_params(scoring=scoring, refit=False).fit(*cancer).cv_results_)
        ours = {name for name in search.cv_results_ if not name.startswith("param_")} - {"n_resources"}
        assert ours == {name for name in expected if not name.startswith("param_")}


def test_scores_are_those_of_the_trials(fitted):
    results, trials = pd.DataFrame(fitted.cv_results_), fitted.result_.trials
    splits = results[[f"split{fold}_test_accuracy" for fold in range(3)]]
    np.testing.assert_allclose(results["mean_test_accuracy"], splits.mean(axis=1))
    np.testing.assert_allclose(results["std_test_accuracy"], splits.std(axis=1, ddof=0))
    np.testing.assert_allclose(results["mean_test_accuracy"], trials["value"])
    np.testing.assert_allclose(results["mean_test_neg_log_loss"], trials["value_neg_log_loss"])
    assert results["n_resources"].tolist() == trials["epochs"].tolist()
    assert (results[["mean_fit_time", "mean_score_time"]] > 0).all(axis=None)
    assert (results["rank_test_accuracy"] == results["mean_test_accuracy"].rank(method="min", ascending=False)).all()


def test_the_best_is_that_of_the_result(fitted):
    assert fitted.best_params_ == fitted.result_.best_config == fitted.cv_results_["params"][fitted.best_index_]
    assert fitted.best_score_ == fitted.cv_results_["mean_test_accuracy"][fitted.best_index_]
    assert fitted.n_splits_ == 3 and fitted.multimetric_ and list(fitted.scorer_) == ["accuracy", "neg_log_loss"]


def test_parameters_that_a_trial_has_not_are_masked(cancer):
    space = {"update": Choice(["sgd", "adamw"]), "momentum": Uniform(0.1, 0.9, when={"update": ["sgd"]})}
    results = SearchClassifier(**SMALL | {"n_trials": 8}, space=space).fit(*cancer).cv_results_
    momenta, is_sgd = results["param_momentum"], results["param_update"] == "sgd"
    assert is_sgd.any() and not is_sgd.all() and momenta.dtype == np.float64
    assert (np.ma.getmaskarray(momenta) == ~is_sgd).all()
    assert results["param_hidden_layer_sizes"][0] == results["params"][0]["hidden_layer_sizes"]


@pytest.mark.filterwarnings("ignore:. of . trials failed:UserWarning")
def test_failed_trials_have_no_score_and_are_last(cancer):
    space = {"learning_rate_init": Choice([1e-3, 1e30]), "update": "sgd", "batch_size": 32}
    search = SearchClassifier(space=space, n_trials=6, max_epochs=2, n_jobs=1, refine="off").fit(*cancer)
    results = pd.DataFrame(search.cv_results_)
    failed = results["mean_test_score"].isna()
    assert failed.any() and not failed.all()
    assert (results.loc[failed, "rank_test_score"] == (~failed).sum() + 1).all()
    assert (results.loc[failed, "param_learning_rate_init"] == 1e30).all() and not failed[search.best_index_]


def test_without_a_score_of_its_own_it_has_that_of_its_kind(cancer):
    X, y = load_diabetes(return_X_y=True)
    regressor = SearchRegressor(**SMALL).fit(X, y)
    assert regressor.score(X, y) == r2_score(y, regressor.predict(X))
    classifier = SearchClassifier(**SMALL).fit(*cancer)
    assert classifier.score(*cancer) == accuracy_score(cancer[1], classifier.predict(cancer[0]))
    assert is_classifier(classifier) and is_regressor(regressor)


def test_its_score_is_the_first_of_scoring_and_the_last_label_is_the_positive_one(cancer):
    X, y = cancer[0], np.array(["ill", "well"])[cancer[1]]
    with pytest.warns(UserWarning, match="f1 looks for 'well'"):
        search = SearchClassifier(**SMALL, scoring=["f1", "accuracy"]).fit(X, y)
    assert search.score(X, y) == pytest.approx(f1_score(y, search.predict(X), pos_label="well"))
    X, y = load_diabetes(return_X_y=True)
    weights = np.linspace(0, 1, len(y))
    search = SearchRegressor(**SMALL, scoring="neg_mean_absolute_error").fit(X, y)
    expected = -np.average(np.abs(y - search.predict(X)), weights=weights)
    assert search.score(X, y, weights) == pytest.approx(expected) == search.scorer_(search, X, y, weights)


def test_the_order_of_rows_and_the_number_of_workers_do_not_matter(cancer):
    X, y = cancer
    order = np.random.default_rng(0).permutation(len(y))
    one = SearchClassifier(**SMALL, cv=2).fit(X, y)
    other = SearchClassifier(**SMALL | {"n_jobs": 2}, cv=2).fit(X[order], y[order])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_it_lives_in_pipelines_cross_validation_and_other_searches(cancer):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), SearchClassifier(**SMALL))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.85
    grid = GridSearchCV(pipeline, {"searchclassifier__refine": ["off", "auto"]}, cv=2).fit(X, y)
    assert set(grid.best_params_) == {"searchclassifier__refine"}


def test_clones_and_pickles_are_the_same(cancer, fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "result_")
    with pytest.raises(NotFittedError):
        copy.predict(cancer[0])
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(cancer[0]), fitted.predict_proba(cancer[0]))
    assert again.score(*cancer) == fitted.score(*cancer)
    again.set_params(n_trials=1, cv=1).fit(*cancer)
    assert len(again.cv_results_["params"]) == 1 and again.n_splits_ == 1


def test_groups_and_weights_are_routed(cancer):
    X, y = cancer
    groups, weights = np.arange(len(y)) // 7, np.tile([1.0, 2.0], len(y))[: len(y)]
    with config_context(enable_metadata_routing=True):
        search = SearchClassifier(**SMALL, cv=GroupKFold(2)).set_fit_request(groups=True, sample_weight=True)
        search.set_score_request(sample_weight=True)
        params = {"groups": groups, "sample_weight": weights}
        found = cross_validate(search, X, y, cv=GroupKFold(2), params=params, return_estimator=True)
    for one in found["estimator"]:
        assert one.n_splits_ == 2 and len(one.result_.ensemble.encodings) == 2


def test_folds_may_be_of_groups_or_of_time():
    X, y = load_diabetes(return_X_y=True)
    in_time = SearchRegressor(**SMALL, cv=TimeSeriesSplit(3)).fit(X, y)
    n_rows = in_time.result_.findings.n_rows
    assert in_time.n_splits_ == 3 and n_rows["valid"] + n_rows["select"] == 3 * (len(y) // 4)
    torn = [(np.arange(200), np.arange(200, 300))]
    with pytest.raises(ValueError, match="cv must keep groups together"):
        SearchRegressor(**SMALL, cv=torn).fit(X, y, groups=np.zeros(len(y)))


def test_tables_may_hold_text_and_gaps_and_names_are_checked():
    generator = np.random.default_rng(0)
    X = pd.DataFrame({"size": generator.standard_normal(160), "colour": np.tile(["red", "green", "blue", None], 40)})
    X.loc[3, "size"] = np.nan
    y = np.where(X["colour"] == "red", "hot", "cold")
    search = SearchClassifier(**SMALL).fit(X, y)
    assert search.feature_names_in_.tolist() == ["size", "colour"] and search.classes_.tolist() == ["cold", "hot"]
    assert set(search.predict(X)) <= {"cold", "hot"}
    with pytest.raises(ValueError, match="must be in the same order"):
        search.predict(X[["colour", "size"]])
    numbered = SearchClassifier(**SMALL).fit(X.to_numpy(dtype=object).tolist(), y)
    np.testing.assert_array_equal(numbered.predict(X.set_axis([0, 1], axis=1)), search.predict(X))


def test_any_estimator_may_be_searched(cancer):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    space = {"logisticregression__C": LogUniform(1e-3, 1e2)}
    search = SearchClassifier(estimator=model, space=space, n_trials=4, max_epochs=3, cv=2).fit(*cancer)
    assert search.score(*cancer) > 0.9 and set(search.best_params_) == set(space)
    assert not search.__sklearn_tags__().input_tags.allow_nan


def test_what_is_wrong_is_said_in_fit(cancer):
    for wrong, said in (
        ({"n_trials": 0}, "n_trials must be a whole number ≥ 1"),
        ({"refine": "up"}, "refine must be one of"),
        ({"random_state": -1}, "random_state=-1"),
        ({"cv": "three"}, "cv='three' must be"),
    ):
        search = SearchClassifier(**SMALL | wrong)
        with pytest.raises(ValueError, match=said):
            search.fit(*cancer)
    with pytest.raises(ValueError, match="Unknown label type"):
        SearchClassifier(**SMALL).fit(cancer[0], cancer[0][:, 0])


def test_random_states_may_be_numpys(cancer):
    searches = [SearchClassifier(**SMALL, random_state=np.random.RandomState(0)).fit(*cancer) for _ in range(2)]
    np.testing.assert_array_equal(*(search.predict_proba(cancer[0]) for search in searches))


def test_what_a_user_should_know_is_warned_of_once():
    X, y = load_iris(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = SearchClassifier(**SMALL).fit(X[::10], y[::10])
    said = [str(warning.message) for warning in caught]
    assert len(said) == len(set(said)) and said == list(search.result_.findings.warnings) != []


def test_a_class_of_one_row_is_never_held_out(cancer):
    X, y = cancer
    rare = np.where(np.arange(len(y)) == 5, 2, y)
    with pytest.warns(UserWarning, match=r"few are of 2 \(0 and 0\)"):
        search = SearchClassifier(**SMALL, cv=1).fit(X, rare)
    assert search.classes_.tolist() == [0, 1, 2]
