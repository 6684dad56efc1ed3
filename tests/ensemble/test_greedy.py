import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from hpsearch.ensemble.greedy import MAX_STEPS, greedy_log_loss, greedy_log_loss_naive, greedy_squared_error

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
STEPS = st.integers(1, 12)


def entries(shape):
    """Probabilities of what was true, by members that know some of it, and weights of the entries."""
    n_members, n_entries, seed = shape
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=n_entries)
    return generator.uniform(0.01, 1, (n_members, n_entries)), weights / weights.sum()


def log_loss(votes, probabilities, weights):
    return -np.sum(weights * np.log(votes @ probabilities))


@given(SHAPES, STEPS)
def test_fast_votes_are_those_of_the_naive_twin(shape, max_steps):
    probabilities, weights = entries(shape)
    fast = greedy_log_loss(probabilities, weights, max_steps)
    assert_allclose(fast, greedy_log_loss_naive(probabilities, weights, max_steps))


@given(SHAPES, STEPS)
def test_votes_are_shares_of_steps_and_never_worse_than_the_best_member(shape, max_steps):
    probabilities, weights = entries(shape)
    votes = greedy_log_loss(probabilities, weights, max_steps)
    assert votes.sum() == pytest.approx(1) and (votes >= 0).all()
    n_steps = [steps for steps in range(1, max_steps + 1) if np.allclose(votes * steps, np.round(votes * steps))]
    assert n_steps
    best = min(log_loss(alone, probabilities, weights) for alone in np.eye(len(probabilities)))
    assert log_loss(votes, probabilities, weights) <= best + 1e-12


@given(SHAPES)
def test_more_steps_never_lose(shape):
    probabilities, weights = entries(shape)
    losses = [
        log_loss(greedy_log_loss(probabilities, weights, n), probabilities, weights) for n in (1, 2, 5, MAX_STEPS)
    ]
    assert (np.diff(losses) <= 1e-12).all()


@given(SHAPES, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(shape, random):
    probabilities, weights = entries(shape)
    order = random.sample(range(len(weights)), len(weights))
    once = greedy_log_loss(probabilities, weights)
    again = greedy_log_loss(probabilities[:, order], weights[order])
    assert log_loss(once, probabilities, weights) == pytest.approx(log_loss(again, probabilities, weights), rel=1e-9)


def test_ties_go_to_members_that_are_in_already():
    """Of equal members the first gets all votes: the others would only cost."""
    probabilities = np.tile([0.2, 0.9, 0.5], (4, 1))
    assert greedy_log_loss(probabilities, np.full(3, 1 / 3)).tolist() == [1, 0, 0, 0]
    assert greedy_squared_error(np.ones((4, 4))).tolist() == [1, 0, 0, 0]


def test_entries_without_weight_do_not_count():
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert greedy_log_loss(probabilities, np.array([1.0, 0.0])).tolist() == [1, 0]
    assert greedy_log_loss(probabilities, np.array([0.5, 0.5])).tolist() == [0.5, 0.5]


@settings(deadline=None)
@given(SHAPES, STEPS)
def test_squared_errors_fall_by_the_step_that_gains_most(shape, max_steps):
    n_members, n_entries, seed = shape
    errors = np.random.default_rng(seed).standard_normal((n_members, n_entries))
    weights = np.full(n_entries, 1 / n_entries)
    counts, best, least = np.zeros(n_members), None, np.inf
    for step in range(1, max_steps + 1):
        losses = [np.sum(weights * np.square((counts + one) @ errors / step)) for one in np.eye(n_members)]
        counts[np.argmin(losses)] += 1
        if min(losses) < least - 1e-12:
            best, least = counts / step, min(losses)
    votes = greedy_squared_error((errors * weights) @ errors.T, max_steps)
    assert np.sum(weights * np.square(votes @ errors)) == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert votes.sum() == pytest.approx(1) and best is not None
