import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from hpsearch.data.dataset import prepare
from hpsearch.orchestrator.resources import Lesson, nested_order, resource_of, train, weights_keyword
from hpsearch.space.distributions import Choice, Integer, LogUniform
from hpsearch.space.space import SearchSpace

NOTHING = SearchSpace.of({})


@pytest.fixture(scope="module")
def dataset():
    X, y = load_iris(return_X_y=True)
    return prepare(X, y, encoded=False, sample_weight=np.arange(1, 151))


def lesson(dataset, whole=10, horizon=9):
    return Lesson.of(dataset, whole, 3, horizon)


@pytest.mark.parametrize(
    ("estimator", "resource"),
    [
        (MLPClassifier(), "partial_fit"),
        (SGDClassifier(), "partial_fit"),
        (Perceptron(), "partial_fit"),
        (GaussianNB(), "rows"),  # counts every row once per call
        (RandomForestClassifier(), "warm_start"),
        (ExtraTreesClassifier(), "warm_start"),
        (BaggingClassifier(), "warm_start"),
        (GradientBoostingClassifier(), "warm_start"),
        (HistGradientBoostingClassifier(), "warm_start"),
        (LogisticRegression(), "rows"),  # a warm start begins its count again
        (AdaBoostClassifier(), "rows"),
        (SVC(), "rows"),
        (make_pipeline(StandardScaler(), MLPClassifier()), "rows"),
        (MLPClassifier(solver="lbfgs"), "rows"),
        (MLPClassifier(early_stopping=True), "rows"),
        (SGDClassifier(class_weight="balanced"), "rows"),
        (BaggingClassifier(oob_score=True), "rows"),
    ],
    ids=repr,
)
def test_the_resource_that_suits_an_estimator(estimator, resource):
    assert resource_of(estimator, NOTHING) == resource


@pytest.mark.parametrize(
    ("estimator", "space", "resource"),
    [
        (RandomForestClassifier(), {"n_estimators": Integer(10, 100)}, "rows"),
        (RandomForestClassifier(), {"n_estimators": 50}, "rows"),
        (HistGradientBoostingClassifier(), {"max_iter": Integer(10, 100)}, "rows"),
        (MLPClassifier(), {"max_iter": 50}, "rows"),
        (MLPClassifier(), {"solver": Choice(["adam", "sgd"]), "alpha": LogUniform(1e-5, 1.0)}, "partial_fit"),
        (MLPClassifier(), {"solver": Choice(["adam", "lbfgs"])}, "rows"),
        (MLPClassifier(), {"solver": "lbfgs"}, "rows"),
        (MLPClassifier(early_stopping=True), {"early_stopping": False}, "partial_fit"),
    ],
    ids=repr,
)
def test_what_is_searched_keeps_its_meaning(estimator, space, resource):
    assert resource_of(estimator, SearchSpace.of(space)) == resource


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32), share=st.floats(0.01, 1))
def test_the_first_rows_of_the_order_have_each_stratums_share_for_any_number_of_them(sizes, seed, share):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    order = nested_order(strata, seed)
    assert sorted(order.tolist()) == list(range(len(strata)))
    assert_array_equal(order, nested_order(strata, seed))
    n_rows = max(int(share * len(strata)), sum(min(size, 2) for size in sizes))
    counts = np.bincount(strata[order[:n_rows]], minlength=len(sizes))
    assert (counts >= np.minimum(sizes, 2)).all()
    off = np.abs(counts - n_rows * np.array(sizes) / len(strata))
    assert (off <= 2 + 2 * len(sizes)).all()


def test_rows_grow_within_each_other_up_to_the_whole_set(dataset):
    one = lesson(dataset)
    subsets = [set(one.rows(epoch).tolist()) for epoch in range(1, 12)]
    assert all(small <= large for small, large in zip(subsets, subsets[1:], strict=False))
    n_train = len(dataset.rows.train)
    assert [len(subset) for subset in subsets] == [max(20, -(-n_train * min(epoch, 9) // 9)) for epoch in range(1, 12)]
    assert one.rows(9).tolist() == list(range(n_train))


def test_at_the_horizon_an_estimator_is_what_fit_makes_of_it(dataset):
    train_rows = dataset.rows.train
    X, y, weights = dataset.inputs[train_rows], dataset.y[train_rows], dataset.sample_weight[train_rows]
    for estimator, resource in [
        (SVC(C=3), "rows"),
        (RandomForestClassifier(10, random_state=1), "warm_start"),
        (GradientBoostingClassifier(n_estimators=10, random_state=1), "warm_start"),
        (HistGradientBoostingClassifier(max_iter=10, random_state=1), "warm_start"),
    ]:
        trained = estimator
        for done, epochs in ((0, 1), (1, 4), (4, 9)):
            earlier, said = trained, trained.predict(X) if done else None
            trained = train(earlier, resource, lesson(dataset), done, epochs, lambda: False)
            assert np.array_equal(earlier.predict(X), said) if done else not hasattr(earlier, "classes_")
        wanted = type(estimator)(**estimator.get_params()).fit(X, y, sample_weight=weights)
        assert_array_equal(trained.predict(dataset.inputs), wanted.predict(dataset.inputs))


@pytest.mark.parametrize("estimator", [MLPClassifier((4,), random_state=1), SGDClassifier(random_state=1)], ids=repr)
def test_passes_in_two_parts_are_those_in_one(dataset, estimator):
    whole = train(estimator, "partial_fit", lesson(dataset), 0, 6, lambda: False)
    half = train(estimator, "partial_fit", lesson(dataset), 0, 2, lambda: False)
    kept = np.copy(half.coef_ if hasattr(half, "coef_") else half.coefs_[0])
    rest = train(half, "partial_fit", lesson(dataset), 2, 6, lambda: False)
    assert_array_equal(rest.predict(dataset.inputs), whole.predict(dataset.inputs))
    assert_array_equal(kept, half.coef_ if hasattr(half, "coef_") else half.coefs_[0])
    assert whole.t_ > half.t_ and not hasattr(estimator, "t_")


def test_training_stops_between_passes(dataset):
    asked = iter([False, False, True])
    assert train(MLPClassifier((4,)), "partial_fit", lesson(dataset), 0, 9, lambda: next(asked)) is None
    assert next(asked, "all were asked") == "all were asked"


def test_weights_are_told_to_those_that_take_them():
    assert weights_keyword(SGDClassifier(), "partial_fit") == "sample_weight"
    assert weights_keyword(make_pipeline(StandardScaler(), SVC()), "fit") == "svc__sample_weight"
    assert weights_keyword(make_pipeline(make_pipeline(SVC())), "fit") == "pipeline__svc__sample_weight"


def test_weights_count(dataset):
    plain = Lesson.of(prepare(*load_iris(return_X_y=True), encoded=False), 0, 3, 9)
    a, b = (
        train(LogisticRegression(max_iter=999), "rows", one, 0, 9, lambda: False) for one in (plain, lesson(dataset))
    )
    assert not np.allclose(a.coef_, b.coef_)


def test_frames_are_cut_as_arrays_are():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    one = Lesson.of(prepare(frame, y, encoded=False), 0, 3, 9)
    assert isinstance(one.inputs, pd.DataFrame)
    trained = train(SVC(), "rows", one, 0, 1, lambda: False)
    assert trained.feature_names_in_.tolist() == list(frame.columns) and trained.shape_fit_[0] == 20
