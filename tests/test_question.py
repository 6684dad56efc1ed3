"""What is asked, checked at the door: what is wrong with it is said before anything is trained."""

import math

import numpy as np
import pytest
from optuna.samplers import TPESampler
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold

from hpsearch import LogUniform, Plan
from hpsearch.orchestrator.estimators import EstimatorLearner
from hpsearch.orchestrator.networks import MLPLearner
from hpsearch.question import problem_of, shortest_rung
from hpsearch.space.distributions import Choice, Uniform

C = {"C": LogUniform(1e-3, 1e3)}


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True, as_frame=True)


def test_networks_are_searched_unless_an_estimator_is_given(wine):
    problem, epochs = problem_of(*wine)
    assert isinstance(problem.learner, MLPLearner) and epochs % 9 == 0
    assert problem.drawing.first[0]["learning_rate_init"] == pytest.approx(3e-3)
    problem, epochs = problem_of(*wine, estimator=LogisticRegression(), space=C)
    assert isinstance(problem.learner, EstimatorLearner) and epochs == 27
    assert problem.drawing.first == ({"C": 1.0},), "the estimator's own parameters are tried first"


def test_folds_are_those_of_the_dataset(wine):
    problem, _ = problem_of(*wine, cv=KFold(4, shuffle=True, random_state=1))
    assert len(problem.dataset.parts) == 4
    assert [part.fold for part in problem.dataset.parts] == [0, 1, 2, 3]


def test_small_tables_get_folds_unless_the_user_says_otherwise(wine):
    X, y = np.arange(4_100.0)[:, None], np.arange(4_100) % 2

    def n_folds(n_rows, **arguments):
        return len(problem_of(X[:n_rows], y[:n_rows], space={"encoding": "robust"}, **arguments)[0].dataset.folds)

    assert [n_folds(n_rows) for n_rows in (99, 100, 3_999, 4_000)] == [0, 5, 5, 0]
    assert n_folds(4_100, test_size=200) == 5 and n_folds(110, test_size=20) == 0, "test rows do not count"
    assert n_folds(200, cv=1) == 0 and n_folds(200, cv=2) == 2
    assert not problem_of(*wine, estimator=LogisticRegression(), space=C)[0].dataset.folds
    rare, common = (problem_of(X[:500], np.arange(500) < n_true)[0].dataset.folds for n_true in (9, 10))
    assert not rare and len(common) == 5, "each half of each fold has a row of each class"
    assert not problem_of(np.random.default_rng(0).random((150, 1_001)), y[:150])[0].dataset.folds


@pytest.mark.parametrize("label", [False, True])
def test_rows_of_a_rare_class_rank_and_choose(label):
    dataset = problem_of(np.arange(500.0)[:, None], (np.arange(500) < 5) == label, cv=5)[0].dataset
    n_ranking, n_choosing = ((dataset.y[rows] == label).sum() for rows in (dataset.rows.valid, dataset.rows.select))
    assert {n_ranking, n_choosing} == {2, 3}


def test_several_scores_are_taken_and_the_first_ranks(wine):
    problem, _ = problem_of(*wine, scoring=["accuracy", "neg_log_loss"])
    assert [scorer.name for scorer in problem.scorers] == ["accuracy", "neg_log_loss"]
    assert problem.scorer.name == "accuracy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": [1]}, "space must be a dict"),
        ({"refine": "maybe"}, "refine must be one of off, warn, auto, but got 'maybe'"),
        ({"sampler": "tpe"}, "sampler must be a function of a seed"),
        ({"sampler": lambda seed: seed}, "sampler must be a function of a seed"),
        ({"sampler": TPESampler}, "sampler must be a function of a seed"),
        ({"error_score": 0.0}, "error_score=0.0 is for an estimator of your own"),
        ({"trial_timeout": 3}, "trial_timeout=3 is for an estimator of your own"),
        ({"estimator": LogisticRegression()}, "space must name one or more of the estimator's parameters"),
        ({"estimator": LogisticRegression, "space": C}, "must be an instance"),
        ({"estimator": Ridge(), "space": {"alpha": LogUniform(1e-3, 1.0)}}, "must be a classifier"),
        ({"estimator": LogisticRegression(), "space": {"c": LogUniform(1e-3, 1.0)}}, "Unknown hyperparameter 'c'"),
        ({"estimator": LogisticRegression(), "space": C, "error_score": "low"}, "error_score must be a number"),
        ({"estimator": LogisticRegression(), "space": C, "trial_timeout": -1}, "trial_timeout must be a number > 0"),
        ({"first": [{"dropout": 2.0}]}, r"first\[0\]\['dropout'\] must be a number"),
        ({"first": [{"hidden_layer_sizes": (3,)}]}, "must be one of"),
        ({"space": {"mixup": Choice([0.0, 0.2]), "update": "lbfgs"}}, "lbfgs"),
        ({"cv": 0}, "cv=0 must be 1, for none, or 2 to 89"),
        ({"groups": np.zeros(178)}, "groups"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(wine, arguments, message):
    with pytest.raises(ValueError, match=message):
        problem_of(*wine, **arguments)


def test_a_score_that_a_fold_does_not_allow_is_refused():
    """The only rows of class 1 are in the first half: later folds have none to rank by."""
    X, y = np.arange(200.0)[:, np.newaxis], (np.arange(200) < 60).astype(int)
    with pytest.raises(ValueError, match="roc_auc.* cannot be computed on the .* rows"):
        problem_of(X, y, cv=KFold(4), scoring="roc_auc")


def test_a_plan_says_how_long_the_longest_are_trained(wine):
    problem, epochs = problem_of(*wine, max_epochs=Plan.of(30, 12).max_epochs)
    assert epochs == 12 and problem.learner.horizon == 12


def test_the_shortest_rung_of_networks_follows_from_their_minibatches(wine):
    few, _ = problem_of(*wine, max_epochs=90)
    assert shortest_rung(few, 90) == 10, "a ninth, for 300 minibatches would take longer"
    many, _ = problem_of(*wine, space={"batch_size": 1}, max_epochs=90, cv=1)
    assert shortest_rung(many, 90) == math.ceil(300 / len(many.dataset.rows.train)) < 4
    estimator, epochs = problem_of(*wine, estimator=LogisticRegression(), space=C)
    assert shortest_rung(estimator, epochs) is None


def test_nan_as_the_score_of_an_error_is_no_wish(wine):
    problem_of(*wine, error_score=math.nan, space={"dropout": Uniform(0.0, 0.1)})


def test_labels_may_be_smoothed_where_labels_are_scored(wine):
    for scoring, is_searched in (("accuracy", True), (None, False), ("neg_log_loss", False)):
        problem, _ = problem_of(*wine, scoring=scoring)
        assert ("label_smoothing" in problem.drawing.space.distributions) == is_searched
    problem, _ = problem_of(*wine, scoring="accuracy", space={"loss": "multiclass_hinge"})
    assert "label_smoothing" not in problem.drawing.space.distributions
