import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from hpsearch.ensemble.stack import stack_log_loss, stack_squared_error

SHAPES = st.tuples(st.integers(1, 8), st.integers(5, 40), st.integers(0, 2**32 - 1))
RIDGES = st.floats(1e-6, 10)


def others(votes, seed, n=200):
    """Other points of the simplex: everywhere, and near the votes."""
    generator = np.random.default_rng(seed)
    anywhere = generator.dirichlet(np.ones(len(votes)), n)
    return np.concatenate([anywhere, 0.99 * votes + 0.01 * anywhere, np.full((1, len(votes)), 1 / len(votes))])


@settings(deadline=None)
@given(SHAPES, RIDGES)
def test_no_other_votes_lose_less_log_loss(shape, ridge):
    n_members, n_entries, seed = shape
    generator = np.random.default_rng(seed)
    probabilities = generator.uniform(0.01, 1, (n_members, n_entries))
    weights = generator.dirichlet(np.ones(n_entries))

    def loss(votes):
        return -weights @ np.log(votes @ probabilities) + ridge * np.square(votes - 1 / n_members).sum()

    votes = stack_log_loss(probabilities, weights, ridge)
    assert votes.sum() == pytest.approx(1) and (votes >= 0).all()
    # but for the ridge, the sum of one is exact: it may move the votes a little
    slack = 1e-5 + ridge * np.square(votes - 1 / n_members).sum()
    assert loss(votes) <= min(map(loss, others(votes, seed))) + slack


@settings(deadline=None)
@given(SHAPES, RIDGES)
def test_no_other_votes_lose_less_squared_error(shape, ridge):
    n_members, n_entries, seed = shape
    errors = np.random.default_rng(seed).standard_normal((n_members, n_entries))
    products = errors @ errors.T / n_entries

    def loss(votes):
        return votes @ products @ votes + ridge * np.square(votes - 1 / n_members).sum()

    votes = stack_squared_error(products, ridge)
    assert votes.sum() == pytest.approx(1) and (votes >= 0).all()
    assert loss(votes) <= min(map(loss, others(votes, seed))) + 1e-9


def test_a_great_ridge_gives_equal_votes():
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0.1, 1, (5, 50))
    assert_allclose(stack_log_loss(probabilities, np.full(50, 0.02), 1e4), 0.2, atol=1e-3)
    assert_allclose(stack_squared_error(probabilities @ probabilities.T, 1e8), 0.2, atol=1e-3)


def test_a_member_that_knows_nothing_gets_no_vote():
    generator = np.random.default_rng(0)
    good = 0.6 + 0.3 * generator.random((2, 500))
    bad = np.full((1, 500), 0.1)
    votes = stack_log_loss(np.concatenate([good, bad]), np.full(500, 1 / 500), 1e-4)
    assert votes[2] == pytest.approx(0, abs=1e-6)
