"""Thresholds: counting equals scikit-learn, and the choice is the best there is."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import confusion_matrix, f1_score, fbeta_score, get_scorer, make_scorer, precision_score

from hpsearch.ensemble.threshold import QUICK, candidates, chosen_threshold, counts, decisions
from tests.report.test_figures import selection

ROWS = st.lists(
    st.tuples(st.floats(0, 1, allow_subnormal=False), st.integers(0, 1), st.floats(0.1, 5)), min_size=2, max_size=30
)


def rare(n_rows=2000, seed=0):
    """Selection rows of which one in ten is "yes", predicted with honest probabilities."""
    rng = np.random.default_rng(seed)
    yes = rng.beta(0.3, 2.7, n_rows)
    return replace(
        selection(n_rows),
        predictions=np.column_stack([1 - yes, yes]),
        y=(rng.random(n_rows) < yes).astype(np.int64),
        parts=rng.integers(0, 5, n_rows),
    )


@given(ROWS, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_counts_are_confusion_matrices(rows, thresholds):
    probabilities, codes, weights = (np.array(column) for column in zip(*rows, strict=True))
    table = counts(probabilities, codes, weights, np.array(thresholds))
    for position, threshold in enumerate(thresholds):
        expected = confusion_matrix(codes, probabilities >= threshold, labels=[0, 1], sample_weight=weights)
        assert_allclose(table[:, :, position], expected, atol=1e-9)


@pytest.mark.parametrize("name", QUICK)
def test_quick_scores_are_those_of_scikit_learn(name):
    rng = np.random.default_rng(0)
    probabilities, codes, weights = rng.random(200), rng.integers(0, 2, 200), rng.random(200)
    metric = get_scorer(name)._score_func
    for threshold in (0.1, 0.5, 0.8):
        ours = QUICK[name](counts(probabilities, codes, weights, np.array([threshold])))[0]
        assert ours == pytest.approx(metric(codes, probabilities >= threshold, sample_weight=weights))


@given(ROWS)
def test_candidates_give_every_decision_there_is(rows):
    probabilities = np.array([row[0] for row in rows])
    thresholds = candidates(probabilities, np.array([row[1] for row in rows]))
    assert (np.diff(thresholds) > 0).all() and 0.5 in thresholds
    given_ = {tuple(probabilities >= threshold) for threshold in thresholds}
    possible = {tuple(probabilities >= threshold) for threshold in np.unique(probabilities) if threshold > 0}
    assert possible <= given_


def test_few_candidates_are_spread_over_both_classes():
    some = rare()
    thresholds = candidates(some.predictions[:, 1], some.y, 100)
    assert len(thresholds) <= 101
    of_yes = some.predictions[some.y == 1, 1]
    between = np.histogram(of_yes, np.concatenate([[0], thresholds, [1]]))[0]
    assert between.max() <= 0.1 * len(of_yes)


def test_the_threshold_of_f1_is_the_best_there_is_and_honest():
    some = rare()
    found = chosen_threshold(some, "f1")
    yes = some.predictions[:, 1]
    assert found.value == pytest.approx(f1_score(some.y, yes >= found.threshold))
    assert found.value == pytest.approx(max(f1_score(some.y, yes >= t) for t in np.linspace(0.01, 0.99, 99)), abs=0.01)
    assert found.value >= found.honest_value > found.default_value + 0.05
    assert found.default_value == pytest.approx(f1_score(some.y, yes > 0.5))
    assert 0.1 < found.threshold < 0.4 and found.label == "yes"


def test_the_honest_value_is_near_to_that_of_new_rows():
    """Chosen on 300 rows, the value flatters; what was chosen without a row does not."""
    flattery, error = [], []
    for seed in range(40):
        found, new = chosen_threshold(rare(300, seed), "f1"), rare(20_000, 1000 + seed)
        truth = f1_score(new.y, new.predictions[:, 1] >= found.threshold)
        flattery.append(found.value - truth)
        error.append(found.honest_value - truth)
    standard_error = np.std(error) / np.sqrt(len(error))
    assert np.mean(flattery) > 0.02
    assert abs(np.mean(error)) < max(3 * standard_error, 0.025)
    assert abs(np.mean(error)) < np.mean(flattery)


def test_costs_give_the_threshold_that_theory_gives():
    """With honest probabilities, "yes" is cheaper from p · cost(yes, no) ≥ (1 − p) · cost(no, yes) on."""
    costs = {("yes", "no"): 4.0, ("no", "yes"): 1.0}
    found = chosen_threshold(rare(50_000), costs)
    assert found.threshold == pytest.approx(0.2, abs=0.03)
    some = rare(50_000)
    is_yes = some.predictions[:, 1] >= found.threshold
    cost = 4.0 * ((some.y == 1) & ~is_yes).mean() + ((some.y == 0) & is_yes).mean()
    assert found.value == pytest.approx(-cost)


def test_scores_of_ones_own_see_labels():
    some = rare(300)
    by_name = chosen_threshold(some, "f1")
    own = make_scorer(fbeta_score, beta=1, pos_label="yes")
    assert chosen_threshold(some, own).value == pytest.approx(by_name.value, abs=0.02)
    recall = make_scorer(precision_score, pos_label="no", zero_division=0)
    assert chosen_threshold(some, recall).threshold < by_name.threshold


def test_row_weights_count():
    some = rare()
    weighted = replace(some, weights=np.where(some.y == 1, 9.0, 1.0))
    assert chosen_threshold(weighted, "accuracy").threshold < 0.2 < chosen_threshold(some, "accuracy").threshold
    for metric in ("accuracy", "jaccard"):
        scaled = replace(weighted, weights=7 * weighted.weights)
        one, other = chosen_threshold(scaled, metric), chosen_threshold(weighted, metric)
        assert one.threshold == other.threshold and one.honest_value == pytest.approx(other.honest_value)


def test_decisions_are_certain():
    assert decisions(np.array([0.2, 0.3, 0.4]), 0.3).tolist() == [[1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("neg_log_loss", "metric='neg_log_loss' is a score of probabilities, which no threshold changes"),
        ("roc_auc", "metric='roc_auc' is a score of probabilities"),
        ("f2", "scoring must be the name of a scikit-learn scorer"),
        ({}, "metric must name the cost of at least one (true label, predicted label), but names none"),
        ({("yes", "maybe"): 1}, "('yes', 'maybe'), which must be (true label, predicted label) of 'no', 'yes'"),
        ({"yes": 1}, "metric has the cost of 'yes'"),
        ({("yes", "no"): np.nan}, "metric[('yes', 'no')] must be a finite number, but got nan"),
    ],
)
def test_mistakes(metric, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        chosen_threshold(selection(), metric)


def test_three_classes_have_no_threshold():
    with pytest.raises(ValueError, match="a threshold is for two classes, but the task is multiclass"):
        chosen_threshold(selection(labels=("a", "b", "c")), "f1_macro")
