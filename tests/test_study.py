"""A study carried out where `search` cannot show it: what is broken off, and what is only read."""

from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.datasets import load_wine

from hpsearch.orchestrator.run import Workers
from hpsearch.orchestrator.stop import Stop
from hpsearch.record.trials import open_record
from hpsearch.space.distributions import Choice
from hpsearch.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    space = {"hidden_layer_sizes": Choice([(8,), (8, 8)]), "batch_size": 32}
    return Study.of(*load_wine(return_X_y=True), title="wine", space=space, max_epochs=9, cv=1)


class EndedByCtrlC(Workers):
    """Worker processes that are ended while they read a rung: only the first cohort comes back."""

    def results(self, calls: Any, stop: Stop) -> Iterator[Any]:
        yield next(iter(super().results(calls, stop)))
        stop.interrupted = True


def test_a_finished_study_that_is_broken_off_while_it_is_read_is_not_told_as_finished(study, tmp_path):
    with open_record(tmp_path / "s.db", "s") as record:
        plan = study.plan(record, 9)
        _, whole = study.carry_out(plan, record, Stop(), Workers(1))
        _, broken_off = study.carry_out(plan, record, Stop(), EndedByCtrlC(1))
        _, again = study.carry_out(plan, record, Stop(), Workers(1))
    assert (whole.ended, broken_off.ended, again.ended) == ("finished", "interrupted", "finished")
    assert again.leaderboard.equals(whole.leaderboard)


def test_time_is_counted_while_there_is_something_to_do(study, tmp_path):
    with open_record(tmp_path / "s.db", "s") as record:
        plan = study.plan(record, 9)
        study.carry_out(plan, record, Stop(), Workers(1))
        seconds = record.seconds
        study.carry_out(plan, record, Stop(), Workers(1))
        assert record.seconds == seconds > 0


def test_what_is_kept_is_read_without_a_trace(study, tmp_path):
    with open_record(tmp_path / "s.db", "s") as record:
        _, whole = study.carry_out(study.plan(record, 9), record, Stop(), Workers(1))
    before = (tmp_path / "s.db").read_bytes()
    with open_record(tmp_path / "s.db", "s", read_only=True) as record:
        _, read = study.carry_out(study.planned(record, 9), record, Stop(timeout=0), Workers(1))
    assert read.leaderboard.equals(whole.leaderboard) and read.history.equals(whole.history)
    assert (tmp_path / "s.db").read_bytes() == before
