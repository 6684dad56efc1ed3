import os
import pickle
import sys
import time
import warnings
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from hpsearch import search
from hpsearch.data.dataset import prepare
from hpsearch.orchestrator.estimators import EstimatorLearner, EstimatorPredictor, described
from hpsearch.space.distributions import Integer, LogUniform
from hpsearch.space.space import SearchSpace

HORIZON = 9


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads of OpenMP that wait for each other on busy cores take ten times as long as one alone."""
    with threadpool_limits(1):
        yield


def never():
    return False


def table():
    generator = np.random.default_rng(0)
    size = generator.normal(size=150)
    colour = generator.choice(["red", "green", "blue"], 150)
    size[::7] = np.nan
    frame = pd.DataFrame({"size": size, "colour": colour, "age": generator.integers(1, 90, 150)})
    return frame, np.where(np.nan_to_num(size) + (colour == "red") > 0.4, "yes", "no")


DATA = {
    "classes": prepare(*load_iris(return_X_y=True), encoded=False),
    "numbers": prepare(*load_diabetes(return_X_y=True)),
    "table": prepare(*table(), encoded=False),
}
READING = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "age"]),
        ("levels", OneHotEncoder(), ["colour"]),
    ]
)
CASES = {
    "MLPClassifier": (MLPClassifier((8,), batch_size=10), "classes", {"alpha": 0.1, "learning_rate_init": 0.01}),
    "MLPClassifier by SGD": (MLPClassifier((8,), solver="sgd", batch_size=5), "classes", {"learning_rate_init": 0.03}),
    "MLPClassifier by L-BFGS": (MLPClassifier((8,)), "classes", {"solver": "lbfgs"}),
    "MLPClassifier, stopping": (MLPClassifier((8,), learning_rate_init=0.03), "classes", {"early_stopping": True}),
    "MLPRegressor": (
        MLPRegressor(hidden_layer_sizes=(8,), batch_size=10, learning_rate_init=0.03),
        "numbers",
        {"alpha": 0.1},
    ),
    "SGDClassifier": (SGDClassifier(average=True), "classes", {"loss": "log_loss"}),
    "SGDClassifier without probabilities": (SGDClassifier(), "classes", {"alpha": 0.1}),
    "SGDRegressor": (SGDRegressor(), "numbers", {"penalty": "l1"}),
    "LogisticRegression": (LogisticRegression(), "classes", {"C": 10.0}),
    "Pipeline": (
        make_pipeline(READING, LogisticRegression()),
        "table",
        {"logisticregression__C": 3.0, "columntransformer__numbers__simpleimputer__strategy": "median"},
    ),
    "RandomForest": (RandomForestClassifier(9), "classes", {"max_depth": 3}),
    "RandomForest, trees searched": (RandomForestRegressor(), "numbers", {"n_estimators": 7}),
    "GradientBoosting": (GradientBoostingClassifier(n_estimators=9, subsample=0.5), "classes", {"max_depth": 2}),
    "HistGradientBoosting": (
        HistGradientBoostingRegressor(max_iter=9, max_features=0.5),
        "numbers",
        {"learning_rate": 0.2},
    ),
    "Bagging": (
        BaggingClassifier(DecisionTreeClassifier(), 9),
        "classes",
        {"max_features": 0.7, "estimator__max_depth": 2},
    ),
    "SVC": (SVC(), "classes", {"C": 3.0}),
    "KNeighbors": (KNeighborsRegressor(), "numbers", {"n_neighbors": 7}),
}


def learner_of(estimator, data, config=None, **options):
    return EstimatorLearner.of(estimator, DATA[data], SearchSpace.of(config or {}), 3, HORIZON, **options)


def trained(learner, data, config=None, epochs=HORIZON, seed=7):
    return learner.advance(learner.start([config or {}], [seed]), DATA[data], epochs, never)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    estimator, data, config = CASES[request.param]
    learner = learner_of(estimator, data, config)
    return learner, data, config, trained(learner, data, config)


def test_every_estimator_learns(case):
    learner, data, _, fit = case
    dataset, rows = DATA[data], DATA[data].rows
    assert fit.outcomes == (None,) and fit.epochs.tolist() == [HORIZON]
    outputs = learner.predict(fit, dataset, rows.valid, "raw")[0]
    assert outputs.dtype == np.float32 and outputs.shape == (len(rows.valid), dataset.n_outputs)
    guess = dataset.targets[rows.train].mean(axis=0)
    assert (
        np.square(outputs - dataset.targets[rows.valid]).mean() < np.square(guess - dataset.targets[rows.valid]).mean()
    )


def test_epochs_in_two_parts_with_a_file_between_are_those_in_one(case):
    learner, data, config, fit = case
    first = trained(learner, data, config, epochs=3)
    again = learner.load(*learner.save(first))
    assert learner.is_of(again, config, 7) and again.epochs.tolist() == [3]
    assert_array_equal(again.history, first.history)
    whole = learner.advance(again, DATA[data], HORIZON, never)
    for rows in (DATA[data].rows.heldout, DATA[data].rows.train):
        assert_array_equal(
            learner.predict(whole, DATA[data], rows, "raw"), learner.predict(fit, DATA[data], rows, "raw")
        )
    assert_array_equal(first.epochs, [3])


def test_a_predictor_says_the_same_after_saving(case):
    learner, data, _, fit = case
    dataset = DATA[data]
    predictor = learner.predictor(fit, "raw")
    wanted = learner.predict(fit, dataset, np.arange(len(dataset.y)), "raw")[0]
    assert_array_equal(predictor.predict(dataset.inputs), wanted)
    again = EstimatorPredictor.load(*predictor.save())
    assert_array_equal(again.predict(dataset.inputs), wanted)
    assert (again.n_inputs, again.n_outputs) == (dataset.n_inputs, dataset.n_outputs)


def test_what_was_predicted_while_training_is_what_the_estimator_says(case):
    learner, data, _, fit = case
    dataset = DATA[data]
    heldout = dataset.rows.heldout
    loaded = learner.load(*learner.save(fit))
    assert_array_equal(learner.predict(fit, dataset, heldout, "raw"), learner.predict(loaded, dataset, heldout, "ema"))
    with np.errstate(divide="ignore"):
        truth, outputs = dataset.y[dataset.rows.valid], learner.predict(fit, dataset, dataset.rows.valid, "raw")[0]
        if dataset.task == "regression":
            loss = np.square(outputs - dataset.targets[dataset.rows.valid]).mean()
        else:
            exact = outputs.astype(np.float64)
            loss = log_loss(truth, exact / exact.sum(axis=1, keepdims=True), labels=range(dataset.n_outputs))
    assert fit.history[0, -1, 1] == pytest.approx(loss, rel=1e-5)
    assert np.isnan(fit.history[0, :-1]).all() and fit.history.shape == (1, HORIZON, 3)


def test_numbers_are_learned_in_their_own_units_and_predicted_standardised():
    dataset = DATA["numbers"]
    fit = trained(learner_of(Ridge(), "numbers"), "numbers")
    (outputs,) = learner_of(Ridge(), "numbers").predict(fit, dataset, dataset.rows.heldout, "raw")
    train = dataset.rows.train
    wanted = Ridge().fit(dataset.inputs[train], dataset.y[train]).predict(dataset.inputs[dataset.rows.heldout])
    assert_allclose(dataset.target.decode(outputs), wanted, rtol=1e-5)


def test_a_class_that_was_not_seen_gets_no_probability():
    dataset = DATA["classes"]
    seen = clone(DummyClassifier()).fit(dataset.inputs[:50], np.repeat([0, 2], 25))
    assert_array_equal(EstimatorPredictor(seen, dataset.target, 4).predict(dataset.inputs[:2]), [[0.5, 0, 0.5]] * 2)


def test_without_probabilities_the_class_is_certain_and_the_user_is_told():
    learner = learner_of(SVC(), "classes")
    (outputs,) = learner.predict(trained(learner, "classes"), DATA["classes"], DATA["classes"].rows.valid, "raw")
    assert set(outputs.ravel().tolist()) == {0, 1}
    assert learner.warnings == ("SVC gives no probabilities: the class it predicts counts as certain.",)


def test_who_takes_no_weights_is_named():
    weighed = prepare(*load_iris(return_X_y=True), sample_weight=np.ones(150))
    learner = EstimatorLearner.of(Weightless(), weighed, SearchSpace.of({}), 0, 9, trusted=[OF_MINE])
    (sentence,) = learner.warnings
    assert sentence.startswith("Weightless takes no sample_weight")


class Weightless(ClassifierMixin, BaseEstimator):
    """Takes no weights, and always says 0."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X))

    def predict_proba(self, X):
        return np.ones((len(X), 1)) / 1


OF_MINE = f"{__name__}.Weightless"


def test_seeds_come_from_the_trial_and_reach_every_part():
    learner = learner_of(make_pipeline(READING, BaggingClassifier(DecisionTreeClassifier())), "table")
    one, again, other = (learner.configured({}, seed).get_params() for seed in (1, 1, 2))
    names = [name for name in one if name.endswith("random_state")]
    seeds = [one[name] for name in names]
    assert len(names) == 2 and len(set(seeds)) == 2 and all(0 <= seed < 2**31 for seed in seeds)
    assert seeds == [again[name] for name in names] and not {*seeds} & {other[name] for name in names}


def test_seeds_of_the_user_stand():
    learner = learner_of(RandomForestClassifier(random_state=5), "classes")
    assert learner.configured({}, 1).random_state == 5
    assert learner.configured({"random_state": 6}, 1).random_state == 6


def test_a_fit_is_known_by_its_config_and_seed():
    config = {"hidden_layer_sizes": (4, 4), "alpha": 0.1}
    learner = learner_of(MLPClassifier(), "classes", config)
    fit = learner.load(*learner.save(learner.start([config], [1])))
    assert learner.is_of(fit, dict(reversed(config.items())), 1)
    assert not learner.is_of(fit, config | {"alpha": 0.2}, 1) and not learner.is_of(fit, config, 2)


class Faulty(ClassifierMixin, BaseEstimator):
    """Does what its parameter says when it is trained, or when it predicts."""

    def __init__(self, fault="none", when="fit", number=0.0):
        self.fault = fault
        self.when = when
        self.number = number

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self._may_fail("fit")
        return self

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)

    def predict_proba(self, X):
        self._may_fail("predict")
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def _may_fail(self, when):
        if when == self.when:
            FAULTS[self.fault](self.number)


def _raise(number):
    raise ArithmeticError("no luck today\nnor tomorrow")


FAULTS = {
    "none": float,
    "error": _raise,
    "sys.exit": lambda number: sys.exit(3),
    "exit": lambda number: os._exit(3),
    "abort": lambda number: os.abort(),
    "sleep": time.sleep,
    "memory": lambda number: [np.ones(int(number) * 10**6, dtype=np.uint8), time.sleep(30)],
    "warning": lambda number: warnings.warn("so few steps", ConvergenceWarning, stacklevel=1),
}


def faulty(data="classes", **options):
    return learner_of(Faulty(), data, trusted=[f"{__name__}.Faulty"], **options)


LIMITS = [{}, {"trial_timeout": 60}]


@pytest.mark.parametrize("limits", LIMITS, ids=["here", "apart"])
@pytest.mark.parametrize("when", ["fit", "predict"])
@pytest.mark.parametrize("fault", ["error", "sys.exit"])
def test_an_error_is_the_end_of_its_trial_alone(limits, when, fault):
    learner = faulty(**limits)
    configs = [{}, {"fault": fault, "when": when}, {}]
    fit = learner.advance(learner.start(configs, [1, 2, 3]), DATA["classes"], 3, never)
    assert [outcome and outcome.name for outcome in fit.outcomes] == [None, "errored", None]
    assert fit.epochs.tolist() == [3, 3, 3] and np.isnan(fit.history[1]).all()
    outcome = fit.outcomes[1]
    assert outcome.failed and outcome.sentence.startswith("Failed on the way to epoch 3 with ")
    assert "_may_fail" in outcome.traceback and "\n" not in outcome.sentence
    failed = learner.take(fit, [1])
    assert learner.load(*learner.save(failed)).outcomes == (outcome,)
    again = learner.advance(fit, DATA["classes"], 9, never)
    assert again.epochs.tolist() == [9, 3, 9] and again.models[1] is fit.models[1]
    with pytest.raises(ValueError, match="cannot predict"):
        learner.predictor(failed, "raw")


@pytest.mark.parametrize("limits", LIMITS, ids=["here", "apart"])
def test_an_error_goes_on_where_it_is_asked_for(limits):
    learner = faulty(error_score="raise", **limits)
    with pytest.raises(ArithmeticError, match="no luck today"):
        learner.advance(learner.start([{"fault": "error"}], [1]), DATA["classes"], 3, never)


KILLED = {
    "sleep": ({"number": 30.0}, "it took more than trial_timeout=0.5 s"),
    "memory": ({"number": 300.0}, "it took more than trial_memory=150.0 MB"),
    "exit": ({}, "its process ended with exit code 3"),
    "abort": ({}, "its process was ended by SIGABRT"),
}


@pytest.mark.parametrize("when", ["fit", "predict"])
@pytest.mark.parametrize("fault", KILLED)
def test_what_a_trial_does_to_its_process_is_the_end_of_that_trial_alone(fault, when):
    config, reason = KILLED[fault]
    learner = faulty(trial_memory=150, **({"trial_timeout": 0.5} if fault == "sleep" else {}))
    configs = [{"fault": fault, "when": when} | config, {}]
    fit = learner.advance(learner.start(configs, [1, 2]), DATA["classes"], 3, never)
    killed, none = fit.outcomes
    assert none is None and killed.name == "killed" and killed.failed
    assert killed.sentence == f"Killed on the way to epoch 3: {reason}."


def test_time_counts_over_all_rungs():
    learner = faulty(trial_timeout=1.5)
    config = {"fault": "sleep", "number": 1.0}
    fit = learner.advance(learner.start([config], [1]), DATA["classes"], 3, never)
    assert fit.outcomes == (None,) and 1 < fit.models[0].seconds < 1.5
    fit = learner.advance(learner.load(*learner.save(fit)), DATA["classes"], 9, never)
    assert fit.outcomes[0].name == "killed" and "trial_timeout=1.5 s" in fit.outcomes[0].sentence


def test_a_process_that_is_ended_is_an_error_where_errors_are_to_go_on():
    learner = faulty(trial_timeout=60, error_score="raise")
    with pytest.raises(RuntimeError, match="exit code 3"):
        learner.advance(learner.start([{"fault": "exit"}], [1]), DATA["classes"], 3, never)


def test_apart_all_is_as_here():
    estimator, data, config = CASES["MLPClassifier"]
    here, apart = (learner_of(estimator, data, config, **limits) for limits in LIMITS)
    rows = DATA[data].rows.heldout
    one, other = (learner.predict(trained(learner, data, config), DATA[data], rows, "raw") for learner in (here, apart))
    assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("limits", LIMITS, ids=["here", "apart"])
def test_whoever_is_not_done_at_a_stop_stays_as_it_was(limits):
    learner = faulty(**limits)
    fit = learner.start([{}, {}, {}], [1, 2, 3])
    asked = iter([False] * 3)
    stopped = learner.advance(fit, DATA["classes"], 3, lambda: next(asked, True))
    assert stopped.epochs.tolist().count(3) < 3
    assert [one is other for one, other in zip(stopped.models, fit.models, strict=True)][-1]


def test_a_stop_ends_the_child_that_is_at_work():
    learner = faulty(trial_timeout=60)
    began, fit = time.monotonic(), learner.start([{"fault": "sleep", "number": 60.0}], [1])
    stopped = learner.advance(fit, DATA["classes"], 3, lambda: time.monotonic() > began + 1)
    assert stopped.models == fit.models and time.monotonic() - began < 30


@pytest.mark.parametrize("limits", LIMITS, ids=["here", "apart"])
def test_what_short_training_brings_with_it_is_not_said(limits, capfd):
    learner = learner_of(LogisticRegression(max_iter=1), "classes", **limits)
    assert trained(learner, "classes").outcomes == (None,)
    assert "Warning" not in capfd.readouterr().err


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("limits", LIMITS, ids=["here", "apart"])
def test_learner_and_fits_travel_to_workers(backend, limits):
    estimator, data, config = CASES["RandomForest"]
    learner = learner_of(estimator, data, config, **limits)
    with Parallel(n_jobs=2, backend=backend) as parallel:
        fits = parallel(delayed(trained)(learner, data, config, seed=seed) for seed in (1, 2))
    for seed, fit in enumerate(fits, start=1):
        wanted = trained(learner_of(estimator, data, config), data, config, seed=seed)
        assert_allclose(fit.models[0].predictions, wanted.models[0].predictions, atol=1e-6)
    pickle.loads(pickle.dumps((learner, fits)))


def test_fits_are_taken_apart_and_put_together():
    learner = learner_of(DummyClassifier(), "classes")
    fit = learner.concatenate([learner.start([{}], [1]), learner.start([{}, {}], [2, 3])])
    assert [model.seed for model in learner.take(fit, [2, 0]).models] == [3, 1]
    assert learner.key({}) == learner.key({"strategy": "uniform"}) and learner.cost({}, DATA["classes"]) > 0


def test_a_thin_fit_is_small_and_still_knows_what_it_said():
    learner = learner_of(RandomForestClassifier(), "classes")
    dataset, fit = DATA["classes"], trained(learner_of(RandomForestClassifier(), "classes"), "classes")
    thin = learner.load(*learner.save(learner.thin(fit)))
    rows = dataset.rows
    assert_array_equal(
        learner.predict(thin, dataset, rows.heldout, "raw"), learner.predict(fit, dataset, rows.heldout, "raw")
    )
    assert thin.outcomes == (None,) and learner.is_of(thin, {}, 7)
    with pytest.raises(ValueError, match="without its estimator"):
        learner.predict(thin, dataset, rows.train, "raw")


REFUSED = {
    "a class": (SVC, "estimator must be an instance, but got a class: give SVC\\(\\)"),
    "something else": ("SVC", "estimator must have get_params, set_params, fit, predict"),
    "a transformer": (StandardScaler(), "estimator must have predict"),
    "a regressor": (Ridge(), "estimator must be a classifier, since the task is multiclass, but got Ridge"),
    "an unknown type": (Faulty(), "Faulty holds objects of type .*Faulty: .*`trusted`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_searched_is_refused_at_the_door(name):
    estimator, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        learner_of(estimator, "classes")


def test_a_classifier_is_refused_for_numbers():
    with pytest.raises(ValueError, match="estimator must be a regressor, since the task is regression"):
        learner_of(SVC(), "numbers")


def test_a_name_that_is_no_parameter_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Unknown hyperparameter .*svc__c.*svc__C"):
        learner_of(make_pipeline(StandardScaler(), SVC()), "classes", {"svc__c": LogUniform(1, 10)})


def test_values_that_do_not_go_together_are_refused():
    learner = learner_of(make_pipeline(StandardScaler(), SVC()), "classes")
    learner.check({"svc__C": 3.0})
    with pytest.raises(ValueError, match="estimator does not take {'standardscaler': 'passthrough', .*: "):
        learner.check({"standardscaler": "passthrough", "standardscaler__with_mean": False})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("error_score", "nan"),
        ("error_score", True),
        ("trial_timeout", 0),
        ("trial_timeout", "1"),
        ("trial_memory", -1),
        ("trial_memory", nan),
    ],
)
def test_an_option_out_of_range_is_refused(option, value):
    with pytest.raises(ValueError, match=f"{option} must be a number"):
        learner_of(SVC(), "classes", **{option: value})


class Secretive(Faulty):
    """Holds something of a type that nobody has reviewed, once it is trained."""

    def fit(self, X, y):
        self.secret_ = Weightless()
        return super().fit(X, y)


def test_what_comes_with_training_and_cannot_be_read_again_is_refused_when_it_is_saved():
    learner = learner_of(Secretive(), "classes", trusted=[f"{__name__}.Secretive"])
    fit = trained(learner, "classes")
    with pytest.raises(ValueError, match="Secretive holds objects of type .*Weightless"):
        learner.save(fit)


def test_error_scores_are_kept():
    assert isnan(faulty().error_score) and faulty(error_score=-3).error_score == -3.0


def test_with_folds_the_history_tells_only_what_is_known():
    """Estimators have no training loss, and a validation loss only where a rung ended."""
    X, y = load_iris(return_X_y=True)
    space = {"max_depth": Integer(1, 4)}
    asked = {"estimator": DecisionTreeClassifier(), "space": space, "n_trials": 3, "max_epochs": 3, "verbose": 0}
    history = search(X, y, cv=3, **asked).history
    assert history["train_loss"].isna().all() and history["update_ratio"].isna().all()
    ends = history.groupby(["trial_number", "rung"])["epoch"].transform("max")
    assert (history["valid_loss"].notna() == (history["epoch"] == ends)).all()


def test_estimators_are_told_apart_by_every_parameter_of_every_part():
    """scikit-learn cuts a `repr` of 700 characters or more, or of a list of 30."""

    def long(max_iter):
        return make_pipeline(*(StandardScaler() for _ in range(60)), LogisticRegression(max_iter=max_iter))

    assert repr(long(5)) == repr(long(7)) and described(long(5)) != described(long(7))
    assert described(long(5)) == described(clone(long(5)))
    assert described(DummyClassifier(constant=np.zeros(2))) != described(DummyClassifier(constant=np.ones(2)))


def test_a_study_is_not_continued_with_an_estimator_that_only_looks_the_same(tmp_path):
    X, y = load_iris(return_X_y=True)

    def begin(max_iter):
        long = make_pipeline(*(StandardScaler() for _ in range(60)), LogisticRegression(max_iter=max_iter))
        space = {"logisticregression__C": LogUniform(0.1, 10)}
        search(X, y, estimator=long, space=space, n_trials=2, max_epochs=1, storage=tmp_path / "s.db", verbose=0)

    begin(500)
    begin(500)
    with pytest.raises(ValueError, match="begun with another estimator"):
        begin(600)
