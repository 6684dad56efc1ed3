from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hpsearch.orchestrator.cohorts import Task, cohorts

TASKS = st.lists(st.tuples(st.sampled_from(["a", "b", ("c", 1)]), st.floats(1, 100)), max_size=40).map(
    lambda drawn: [Task(number, {}, 0, key, cost) for number, (key, cost) in enumerate(drawn)]
)


@given(TASKS, st.integers(1, 8))
def test_cohorts_hold_every_task_once_in_company_of_its_key(tasks, n_workers):
    pieces = cohorts(tasks, n_workers)
    assert sorted(task.number for piece in pieces for task in piece) == [task.number for task in tasks]
    assert all(len({task.key for task in piece}) == 1 for piece in pieces)


@given(TASKS, st.integers(1, 8), st.integers(2, 5))
def test_folds_of_the_same_trials_follow_each_other(tasks, n_workers, n_folds):
    """So that trials are whole early, and a search that is broken off has something to show."""
    due = [replace(task, key=(fold, task.key), fold=fold) for fold in range(n_folds) for task in tasks]
    pieces = cohorts(due, n_workers)
    together = [pieces[start : start + n_folds] for start in range(0, len(pieces), n_folds)]
    for company in together:
        assert [piece[0].fold for piece in company] == list(range(n_folds))
        assert len({tuple(task.number for task in piece) for piece in company}) == 1


@given(TASKS, st.integers(1, 8))
def test_the_most_costly_cohort_comes_first_and_none_is_much_too_long(tasks, n_workers):
    costs = [sum(task.cost for task in piece) for piece in cohorts(tasks, n_workers)]
    assert costs == sorted(costs, reverse=True)
    bound = sum(task.cost for task in tasks) / n_workers
    assert all(cost <= max(bound, 100) for cost in costs)
