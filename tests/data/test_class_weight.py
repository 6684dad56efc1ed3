"""Weights of classes: as scikit-learn's, for training rows only."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight

from hpsearch.data.class_weight import class_weights
from hpsearch.data.dataset import prepare
from hpsearch.data.target import Target

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.standard_normal((300, 3)), columns=["a", "b", "c"])
Y = np.where(np.arange(300) % 10, "common", "rare")


def test_balanced_is_that_of_scikit_learn():
    labels = np.repeat(["a", "b", "c"], [50, 30, 10])
    target = Target("t", "multiclass", np.array(["a", "b", "c"]))
    ours = class_weights("balanced", target, target.codes(pd.Series(labels)), np.ones(90, np.float32), np.arange(90))
    assert_allclose(ours, compute_class_weight("balanced", classes=target.classes, y=labels))


def test_balanced_counts_the_weights_of_the_fitting_rows_alone():
    target, codes = Target("t", "binary", np.array([0, 1])), np.array([0, 0, 1, 1])
    ours = class_weights("balanced", target, codes, np.array([1, 1, 6, 9], np.float32), np.arange(3))
    assert_allclose(ours, [8 / (2 * 2), 8 / (2 * 6)])


def test_training_rows_alone_weigh_by_their_class_and_their_mean_stays():
    dataset, plain = prepare(X, Y, class_weight={"rare": 4}), prepare(X, Y)
    assert_array_equal(dataset.row_weights, plain.row_weights)
    train, weights = dataset.rows.train, dataset.training_weights
    assert weights.dtype == np.float32 and weights[train].mean() == pytest.approx(1, abs=1e-6)
    rare = Y[train] == "rare"
    assert_allclose(weights[train][rare], 4 * weights[train][~rare][0], rtol=1e-6)
    assert (weights[dataset.rows.heldout] == 1).all()
    assert plain.training_weights is plain.row_weights
    assert dataset.fingerprint != plain.fingerprint


def test_each_fold_weighs_its_own_training_rows():
    dataset = prepare(X, Y, class_weight="balanced", cv=3)
    for part in dataset.parts:
        weights, is_rare = part.training_weights, Y == "rare"
        assert (weights[part.rows.heldout] == 1).all()
        train = np.isin(np.arange(len(Y)), part.rows.train)
        assert weights[train & is_rare].sum() == pytest.approx(weights[train & ~is_rare].sum(), rel=0.02)


def test_rows_weigh_by_both():
    given = np.linspace(1, 2, 300)
    dataset = prepare(X, Y, class_weight={"rare": 3}, sample_weight=given)
    train = dataset.rows.train
    expected = given[train] * np.where(Y[train] == "rare", 3, 1)
    assert_allclose(dataset.training_weights[train], expected / expected.mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("balance", "class_weight must be 'balanced' or a dict of label → weight, but got 'balance'"),
        ({"scarce": 2}, "class_weight has the label 'scarce', which must be one of 'common', 'rare'"),
        ({"rare": 0}, "class_weight['rare'] must be a number > 0, but got 0"),
        ({"rare": np.inf}, "class_weight['rare'] must be a number > 0, but got inf"),
        ({"rare": True}, "class_weight['rare'] must be a number > 0, but got True"),
    ],
)
def test_mistakes(class_weight, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        prepare(X, Y, class_weight=class_weight)


def test_numbers_have_no_classes():
    with pytest.raises(ValueError, match="class_weight='balanced' is for classes, but the task is regression"):
        prepare(X, X["a"], class_weight="balanced")
