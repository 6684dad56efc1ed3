"""Temperatures, reliability and Brier score, on probabilities whose truth is known."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import log_loss

from hpsearch.data.scoring import Scorer
from hpsearch.data.target import Target
from hpsearch.ensemble.calibration import COLDEST, HOTTEST, brier_score, fit_temperature, reliability, wilson
from hpsearch.ensemble.tempering import tempered
from tests.report.test_figures import selection

LABELS = ("a", "b", "c")
POSITIVE = arrays(np.float64, (5, 3), elements=st.floats(1e-6, 1.0)).map(lambda a: a / a.sum(axis=1, keepdims=True))


@given(POSITIVE, st.floats(COLDEST, HOTTEST))
def test_tempered_probabilities_are_some_and_rank_as_before(probabilities, temperature):
    scaled = tempered(probabilities, temperature)
    assert_allclose(scaled.sum(axis=1), 1)
    most_likely = np.take_along_axis(scaled, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert_array_equal(most_likely, scaled.max(axis=1))
    logits = np.log(probabilities) / temperature
    assert_allclose(scaled, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-7)


@given(POSITIVE)
def test_a_temperature_of_one_changes_nothing(probabilities):
    assert tempered(probabilities, 1.0) is probabilities


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoilt_probabilities_is_found(truth):
    honest = selection(20_000, LABELS)
    spoilt = tempered(honest.predictions, 1 / truth)
    found = fit_temperature(spoilt, honest.y, np.ones(20_000))
    assert found == pytest.approx(truth, rel=0.05)
    assert log_loss(honest.y, tempered(spoilt, found)) <= log_loss(honest.y, spoilt) + 1e-6


def test_a_row_of_weight_two_is_two_rows():
    some = selection(200, LABELS)
    weights = np.arange(200) % 3
    repeated = np.repeat(np.arange(200), weights)
    # they differ in how many errors may be yet unseen only
    one = fit_temperature(some.predictions, some.y, weights.astype(np.float64))
    other = fit_temperature(some.predictions[repeated], some.y[repeated], np.ones(len(repeated)))
    assert one == pytest.approx(other, rel=1e-2)


def test_few_rows_that_are_all_right_do_not_make_every_probability_sure():
    probabilities = np.tile([0.9, 0.1], (10, 1))
    temperature = fit_temperature(probabilities, np.zeros(10, dtype=np.int64), np.ones(10))
    # one error in eleven, and that for any of the two classes
    assert tempered(probabilities, temperature)[0, 0] == pytest.approx(1 - 1 / 22, abs=1e-3)


def test_certain_and_wrong_predictions_are_bearable():
    probabilities = np.eye(2)[[0, 0, 0, 1]]
    assert COLDEST <= fit_temperature(probabilities, np.array([0, 0, 1, 1]), np.ones(4)) <= HOTTEST * (1 + 1e-6)


def test_honest_probabilities_come_true_as_often_as_they_say():
    for labels, label in ((("no", "yes"), None), (LABELS, None), (LABELS, "b")):
        table = reliability(selection(50_000, labels), label)
        assert table["n_rows"].sum() == 50_000
        assert_allclose(table["mean_predicted"], table["observed_share"], atol=0.03)
        assert (table["wilson_low"] <= table["observed_share"]).all()
        assert (table["wilson_high"] >= table["observed_share"]).all()
        assert ((table["low"] < table["mean_predicted"]) & (table["mean_predicted"] <= table["high"])).all()


def test_the_bins_by_hand():
    base = selection(4)
    honest = replace(base, predictions=np.array([[0.9, 0.1], [0.85, 0.15], [0.8, 0.2], [0.0, 1.0]]),
                     y=np.array([0, 1, 0, 1]))  # fmt: skip
    table = reliability(honest, n_bins=10)
    assert table["low"].tolist() == [0.0, 0.1, 0.9] and table["n_rows"].tolist() == [1, 2, 1]
    assert table["observed_share"].tolist() == [0.0, 0.5, 1.0]
    assert_allclose(table["mean_predicted"], [0.1, 0.175, 1.0])
    weighted = reliability(replace(honest, weights=np.array([1.0, 3.0, 1.0, 0.0])))
    assert_allclose(weighted["observed_share"], [0.0, 0.75])


@given(st.integers(1, 500), st.integers(0, 500))
def test_wilson_is_where_the_share_is_just_not_refuted(n_rows, n_true):
    share = min(n_true, n_rows) / n_rows
    low, high = (float(end[0]) for end in wilson(np.array([share]), np.array([float(n_rows)])))
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    z = norm.ppf(0.975)

    def refuted(p):
        return (share - p) ** 2 - z**2 * p * (1 - p) / n_rows

    if 0 < share < 1:
        assert low == pytest.approx(brentq(refuted, 0, share), abs=1e-9)
        assert high == pytest.approx(brentq(refuted, share, 1), abs=1e-9)


def test_the_brier_score():
    for labels in (("no", "yes"), LABELS):
        honest = replace(selection(300, labels), weights=np.random.default_rng(0).random(300))
        errors = np.square(honest.predictions - np.eye(len(labels))[honest.y]).sum(axis=1)
        expected = np.average(errors, weights=honest.weights) / (2 if len(labels) == 2 else 1)
        assert brier_score(honest) == pytest.approx(expected)


def test_mistakes():
    with pytest.raises(ValueError, match=re.escape("label='d' must be one of the classes 'a', 'b', 'c'")):
        reliability(selection(20, LABELS), "d")
    with pytest.raises(ValueError, match="n_bins must be a whole number ≥ 1, but got 0"):
        reliability(selection(20), n_bins=0)
    numbers = replace(selection(20), scorer=Scorer.of(None, Target("price", "regression", None)))
    for function in (reliability, brier_score):
        with pytest.raises(ValueError, match="the target 'price' is a number, and has no probabilities to look at"):
            function(numbers)
