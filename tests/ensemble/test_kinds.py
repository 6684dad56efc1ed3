from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.ensemble.kinds import FEWEST_POOLED, MOST_VOTERS, Limits, most_pooled, seeds_of_one_config
from hpsearch.ensemble.members import Member
from tests.ensemble.test_members import made_up

COUNTS = st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any)


def votes_of(counts):
    return np.array(counts) / sum(counts)


@given(COUNTS, st.integers(1, 6))
def test_as_many_vote_as_may_and_they_are_those_with_most_votes(counts, max_members):
    votes = votes_of(counts)
    kept = Limits(max_members).within(votes, np.full(len(votes), np.nan))
    assert kept.sum() == pytest.approx(1)
    assert np.count_nonzero(kept) == min(max_members, np.count_nonzero(votes))
    assert votes[kept > 0].min() >= votes[kept == 0].max(initial=0)


@given(COUNTS, st.floats(0.5, 20))
def test_they_take_no_longer_than_they_may_but_for_one(counts, max_predict_ms):
    votes = votes_of(counts)
    predict_ms = 1.0 + np.arange(len(votes)) % 3
    kept = Limits(max_predict_ms=max_predict_ms).within(votes, predict_ms)
    assert kept.sum() == pytest.approx(1)
    assert np.count_nonzero(kept) == 1 or predict_ms[kept > 0].sum() <= max_predict_ms


@given(COUNTS)
def test_ten_vote_at_most_where_nothing_is_said(counts):
    votes = votes_of(counts)
    np.testing.assert_allclose(Limits(max_members=len(votes)).within(votes, np.ones(len(votes))), votes)
    assert np.count_nonzero(Limits().within(votes, np.ones(len(votes)))) == min(np.count_nonzero(votes), MOST_VOTERS)


def test_the_cheapest_may_vote_where_all_are_too_dear():
    predict_ms = np.array([3.0, 1.0, 2.0, 1.0])
    assert Limits(max_predict_ms=2.0).affordable(predict_ms).tolist() == [False, True, True, True]
    assert Limits(max_predict_ms=0.5).affordable(predict_ms).tolist() == [False, True, False, True]
    assert Limits().affordable(np.full(2, np.nan)).all()


@pytest.mark.parametrize(
    "limits, sentence",
    [
        ({"max_members": 0}, "max_members must be a whole number ≥ 1, or None, but got 0"),
        ({"max_members": True}, "max_members must be a whole number ≥ 1, or None, but got True"),
        ({"max_members": 2.5}, "max_members must be a whole number ≥ 1, or None, but got 2.5"),
        ({"max_predict_ms": 0}, "max_predict_ms must be a number > 0, or None, but got 0"),
        ({"max_predict_ms": float("nan")}, "max_predict_ms must be a number > 0, or None, but got nan"),
        ({"max_predict_ms": "1"}, "max_predict_ms must be a number > 0, or None, but got '1'"),
    ],
)
def test_limits_that_are_none_are_refused(limits, sentence):
    with pytest.raises(ValueError, match="^" + sentence.replace("(", r"\(") + "$"):
        Limits(**limits)


def test_few_rows_tell_few_members_apart():
    assert [most_pooled(n_rows) for n_rows in (1, 16, 100, 10_000)] == [FEWEST_POOLED, 8, 20, 200]


def test_the_seeds_of_the_best_config_are_those_with_the_best_mean():
    """A single trial is no config with several seeds, however good; and one lucky seed does not make the best."""
    results = [
        made_up(0, {"ema": 0.99}),
        made_up(1, {"ema": 0.98}), made_up(5, {"ema": 0.5}, repeats=1),
        made_up(2, {"ema": 0.8}), made_up(6, {"ema": 0.9}, repeats=2), made_up(7, {"ema": 0.85}, repeats=2),
    ]  # fmt: skip
    found = seeds_of_one_config([Member(result, "ema") for result in results])
    assert [member.result.number for member in found] == [2, 6, 7]
    assert seeds_of_one_config([Member(replace(results[0]), "ema")]) == []
