"""Intervals by honest errors: the finite-sample quantile, and coverage on rows that are new."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import hpsearch
from hpsearch.ensemble.conformal import Residuals

SMALL = {"n_trials": 4, "max_epochs": 20, "n_jobs": 1, "verbose": 0, "space": {"hidden_layer_sizes": (16,)}, "cv": 1}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_the_radius_is_the_quantile_of_the_theorem(errors, coverage):
    residuals = Residuals.of(np.array(errors), np.zeros(len(errors)))
    n_rows = len(errors)
    place = int(np.ceil((n_rows + 1) * coverage * (1 - 1e-12)))
    if place <= n_rows:
        assert residuals.radius(coverage) == sorted(errors)[place - 1]
    else:
        with pytest.raises(ValueError, match="selection rows or more"):
            residuals.radius(coverage)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 4)), min_size=40, max_size=60))
def test_a_row_of_weight_two_is_two_rows_of_half_the_mean(rows):
    errors, weights = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    if weights.sum() < 20:
        return
    residuals = Residuals.of(errors, np.zeros(len(errors)), weights)
    radius = residuals.radius(0.5)
    share = weights[errors <= radius].sum() / weights.sum()
    assert share >= 0.5 and weights[errors < radius].sum() / weights.sum() < 0.5 * (1 + 2 / (weights > 0).sum())
    assert_allclose(Residuals.of(errors, np.zeros(len(errors)), 3 * weights).radius(0.5), radius)


def test_coverage_of_exchangeable_rows_is_what_is_promised():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(2000):
        errors = rng.exponential(size=21)
        covered.append(errors[20] <= Residuals.of(errors[:20], np.zeros(20)).radius(0.8))
    # ⌈21 · 0.8⌉ / 21
    assert np.mean(covered) == pytest.approx(17 / 21, abs=0.03)


def test_mistakes():
    residuals = Residuals.of(np.arange(30.0), np.zeros(30))
    for coverage in (0, 1, 90, "most", True):
        with pytest.raises(ValueError, match=re.escape(f"coverage must be in (0, 1), but got {coverage!r}")):
            residuals.radius(coverage)
    message = "coverage=0.99 needs 99 selection rows or more, but there are 30: at most 0.967 can be promised"
    with pytest.raises(ValueError, match=re.escape(message)):
        residuals.radius(0.99)
    assert residuals.radius(0.967) == 29


@pytest.mark.parametrize("cv", [1, 3])
def test_new_rows_are_covered_about_as_often_as_promised(cv, tmp_path):
    """On real data; over five splits, for one split of 110 test rows may be off by a tenth."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    shares = []
    for seed in range(5):
        X_train, X_new, y_train, y_new = train_test_split(X, 1000 * y, test_size=0.25, random_state=seed)
        ensemble = hpsearch.search(X_train, y_train, random_state=seed, **SMALL | {"cv": cv}).ensemble
        low, high = ensemble.predict_interval(X_new, coverage=0.8).T
        shares.append(((low <= y_new) & (y_new <= high)).mean())
    assert 0.72 <= np.mean(shares) <= 0.88
    ensemble.save(tmp_path / "model")
    loaded = hpsearch.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_interval(X_new, 0.8), np.column_stack([low, high]))
    with pytest.raises(ValueError, match="selection rows or more"):
        loaded.predict_interval(X_new, 0.9999)


def test_classes_have_no_intervals():
    X, y = load_diabetes(return_X_y=True)
    ensemble = hpsearch.search(X, y > 140, **SMALL).ensemble
    assert not hasattr(ensemble, "predict_interval")
