import math

from hypothesis import given
from hypothesis import strategies as st

from hpsearch.orchestrator.halving import best, budgets, rungs


def test_rungs_grow_threefold_and_keep_the_best_third():
    levels = [(rung.epochs, rung.keep) for rung in rungs(64, 81)]
    assert levels == [(9, 21), (27, 7), (81, 7)]


def test_few_epochs_make_few_rungs():
    assert [rung.epochs for rung in rungs(64, 1)] == [1]
    assert [rung.epochs for rung in rungs(64, 2)] == [1, 2]
    assert [rung.epochs for rung in rungs(64, 10)] == [2, 4, 10]


def test_shorter_rungs_come_where_they_are_allowed():
    assert budgets(81) == (9, 27, 81) and budgets(81, min_epochs=3) == (3, 9, 27, 81)
    assert budgets(81, min_epochs=1) == budgets(81, min_epochs=3), "four rungs at most"
    assert budgets(81, min_epochs=10) == (27, 81) and budgets(81, min_epochs=81) == (81,)
    assert [rung.keep for rung in rungs(64, 81, min_epochs=3)] == [21, 7, 2, 2]


@given(st.integers(1, 500), st.integers(1, 500), st.none() | st.integers(1, 600))
def test_rungs_always_end_at_max_epochs_with_somebody_left(n_trials, max_epochs, min_epochs):
    levels = rungs(n_trials, max_epochs, min_epochs)
    epochs = [rung.epochs for rung in levels]
    keeps = [rung.keep for rung in levels]
    assert epochs[-1] == max_epochs and epochs == sorted(set(epochs))
    assert all(1 <= keep <= n_trials for keep in keeps) and keeps == sorted(keeps, reverse=True)


@given(st.dictionaries(st.integers(0, 99), st.floats(allow_nan=True), max_size=30), st.integers(1, 10))
def test_the_best_are_no_worse_than_the_rest_and_never_nan(values, keep):
    kept = best(values, keep)
    valued = {number: value for number, value in values.items() if not math.isnan(value)}
    assert len(kept) == min(keep, len(valued)) and set(kept) <= set(valued)
    rest = [value for number, value in valued.items() if number not in kept]
    assert not rest or not kept or min(valued[number] for number in kept) >= max(rest)


def test_ties_go_to_the_lower_number():
    assert best({3: 1.0, 1: 1.0, 2: 1.0}, 2) == [1, 2]
