"""The one loop: what it yields, what it writes, what it reads instead of training."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.dataset import prepare
from hpsearch.data.scoring import Scorer
from hpsearch.orchestrator.drawing import Drawing
from hpsearch.orchestrator.halving import Rung
from hpsearch.orchestrator.networks import MLPLearner
from hpsearch.orchestrator.plan import REPEAT, Plan, Stage
from hpsearch.orchestrator.records import CohortRecord, RungRecord, StageRecord
from hpsearch.orchestrator.run import Problem, Workers, run, train_again, trial_seed
from hpsearch.orchestrator.stop import Stop
from hpsearch.orchestrator.training import score_rows
from hpsearch.record.checkpoints import FolderCheckpoints, MemoryCheckpoints
from hpsearch.record.tables import trial_table
from hpsearch.record.trials import open_record
from hpsearch.space.distributions import Choice, LogUniform
from hpsearch.space.edges import UNDECIDED
from hpsearch.space.proposal import Proposal
from hpsearch.space.space import SearchSpace

PLAN = Plan.random(9, 9)


def problem(space: dict[str, Any] | None = None) -> Problem:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((150, 3))
    dataset = prepare(X, (X[:, 0] * X[:, 1] > 0).astype(int), random_state=5)
    entries = {"hidden_layer_sizes": Choice([(6,), (4, 4)]), "learning_rate_init": LogUniform(1e-3, 1e-1)}
    learner = MLPLearner.of(dataset, order_seed=5, horizon=9)
    drawing = Drawing(SearchSpace.of(entries | (space or {})), 5)
    return Problem(dataset, drawing, learner, (Scorer.of(None, dataset.target),), 5)


@dataclass
class StopAfter:
    """Asks to stop once it has been looked at so many times."""

    looks: int
    interrupted: bool = False

    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    waiting = Stop.waiting
    _was_sent_away = False
    _is_waiting = False


def events(question, plan, storage=None, stop=None, n_jobs=1):
    with open_record(storage, "s") as record, Workers(n_jobs) as workers:
        yielded = list(run(question, plan, record, workers, stop or Stop()))
        return yielded, trial_table(record.study)


def rungs_of(yielded):
    return [event for event in yielded if isinstance(event, RungRecord)]


def test_the_loop_yields_cohorts_and_then_their_rung():
    yielded, trials = events(problem(), PLAN)
    rungs = [event for event in yielded if isinstance(event, RungRecord)]
    assert [(event.rung, event.epochs, len(event.results), len(event.kept)) for event in rungs] == [
        (0, 1, 9, 3), (1, 3, 3, 1), (2, 9, 1, 1),
    ]  # fmt: skip
    came = [0, 0, 0]
    for event in yielded:
        if isinstance(event, CohortRecord):
            came[event.rung] += len(event.results)
    assert came == [9, 3, 1]
    assert trials["state"].value_counts().to_dict() == {"PRUNED": 8, "COMPLETE": 1}


def test_promoted_trials_are_the_best_and_go_on_where_they_were():
    yielded, _ = events(problem(), PLAN)
    first, second, _ = rungs_of(yielded)
    values = {result.number: result.value for result in first.results}
    assert set(first.kept) == set(sorted(values, key=lambda number: -values[number])[:3])
    for result in second.results:
        (before,) = (earlier for earlier in first.results if earlier.number == result.number)
        np.testing.assert_array_equal(result.history[:1], before.history)


def test_what_is_kept_is_not_trained_again(tmp_path):
    first, trials = events(problem(), PLAN, tmp_path / "s.db")
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert len(written) == 9 + 3 + 1
    second, again = events(problem(), PLAN, tmp_path / "s.db")
    assert written == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert trials.equals(again)
    assert [rung.kept for rung in rungs_of(first)] == [rung.kept for rung in rungs_of(second)]


def test_a_stop_leaves_an_incomplete_rung_and_running_trials(tmp_path):
    yielded, trials = events(problem(), PLAN, tmp_path / "s.db", StopAfter(12))
    last = rungs_of(yielded)[-1]
    assert not last.complete and last.kept == ()
    assert isinstance(yielded[-1], StageRecord) and set(yielded[-1].decisions["verdict"]) == {UNDECIDED}
    assert "RUNNING" in set(trials["state"])
    whole, _ = events(problem(), PLAN)
    resumed, trials = events(problem(), PLAN, tmp_path / "s.db")
    for left, right in zip(whole, resumed, strict=False):
        if isinstance(left, RungRecord) and isinstance(right, RungRecord):
            assert [result.value for result in left.results] == [result.value for result in right.results]
    assert "RUNNING" not in set(trials["state"])


def test_a_stop_before_the_start_only_reads(tmp_path):
    assert events(problem(), PLAN, tmp_path / "s.db", Stop(timeout=0))[0] == []
    events(problem(), PLAN, tmp_path / "s.db")
    with open_record(tmp_path / "s.db", "s", read_only=True) as record, Workers(1) as workers:
        yielded = list(run(problem(), PLAN, record, workers, Stop(timeout=0)))
    assert sum(isinstance(event, RungRecord) and event.complete for event in yielded) == 3


def test_when_nobody_is_left_the_later_rungs_are_empty():
    yielded, trials = events(problem({"learning_rate_init": 1e30}), PLAN)
    rungs = [event for event in yielded if isinstance(event, RungRecord)]
    assert [len(event.results) for event in rungs] == [9, 0, 0]
    assert set(trials["state"]) == {"FAIL"} and set(trials["outcome"]) == {"diverged"}


def test_members_are_trained_again_on_all_rows_but_the_test_rows():
    question = problem()
    yielded, _ = events(question, PLAN)
    winner = rungs_of(yielded)[-1].results[0]
    with Workers(1) as workers:
        kept = MemoryCheckpoints()
        fits = train_again(question, [winner], kept, workers, Stop())
        key = winner.number, 9
        assert list(fits) == [key]
        assert fits[key].epochs.tolist() == [9]
        assert train_again(question, [winner], MemoryCheckpoints(), workers, Stop(timeout=0)) is None
        again = train_again(question, [winner], kept, workers, Stop(timeout=0))
        np.testing.assert_array_equal(again[key].average, fits[key].average)


def test_members_of_one_trial_share_its_training():
    """At each of their epochs it is bit by bit as if it had been trained for it alone."""
    question = problem()
    yielded, _ = events(question, PLAN)
    winner = rungs_of(yielded)[-1].results[0]
    short = replace(winner, epochs=3)
    with Workers(1) as workers:
        together = train_again(question, [winner, short, winner], MemoryCheckpoints(), workers, Stop())
        assert set(together) == {(winner.number, 3), (winner.number, 9)}
        for member in (short, winner):
            alone = train_again(question, [member], MemoryCheckpoints(), workers, Stop())
            key = winner.number, member.epochs
            np.testing.assert_array_equal(together[key].average, alone[key].average)
            np.testing.assert_array_equal(together[key].stack.weights, alone[key].stack.weights)


def test_selection_rows_rank_no_trial():
    """Whatever their targets are, the same trials go on, with the same values."""
    question = problem()
    y, targets, select = question.dataset.y.copy(), question.dataset.targets.copy(), question.dataset.rows.select
    y[select], targets[select] = 1 - y[select], 1 - targets[select]
    other = replace(question, dataset=replace(question.dataset, y=y, targets=targets))
    rungs, others = (rungs_of(events(asked, PLAN)[0]) for asked in (question, other))
    for rung, same in zip(rungs, others, strict=True):
        assert rung.kept == same.kept
        assert [result.values for result in rung.results] == [result.values for result in same.results]


def test_what_cannot_be_scored_does_not_go_on():
    """A logarithmic error is not defined below -1, where the raw weights of a model may lead and the average not."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 4))
    y = np.exp(X[:, 0] + 0.3 * generator.standard_normal(200))
    n_failed = 0
    for seed in range(6):
        dataset = prepare(X, y, random_state=seed)
        learner = MLPLearner.of(dataset, order_seed=seed, horizon=9)
        scorer = Scorer.of("neg_root_mean_squared_log_error", dataset.target)
        space = SearchSpace.of({"hidden_layer_sizes": (8,), "learning_rate_init": LogUniform(1e-3, 1e-1)})
        yielded, trials = events(Problem(dataset, Drawing(space, seed), learner, (scorer,), seed), Plan.random(18, 27))
        for rung in rungs_of(yielded):
            failed = {result.number for result in rung.results if result.outcome is not None}
            assert not failed & set(rung.kept)
            assert all(np.isnan(result.value) and not result.predictions for result in rung.results if result.outcome)
            n_failed += len(failed)
        assert (trials["state"] == "FAIL").sum() == (trials["outcome"] == "unscored").sum()
    assert n_failed > 5


def test_fits_are_loaded_when_a_worker_is_due(tmp_path):
    """When the first cohort of a rung that is read again comes back, most fits are still on the disk."""
    events(problem(), PLAN, tmp_path / "s.db")
    with open_record(tmp_path / "s.db", "s") as record, Workers(1) as workers:
        loaded, load = [], FolderCheckpoints.load
        record.checkpoints = SimpleNamespace(load=lambda *asked: loaded.append(asked) or load(folder, *asked))
        folder = FolderCheckpoints(tmp_path / "s.db.fits" / "s")
        first = next(run(problem(), PLAN, record, workers, Stop()))
    assert len(first.results) <= len(loaded) < 9


def test_what_a_killed_run_left_undecided_is_read_and_not_written(tmp_path):
    """All fits of the first rung are kept, and the run ended before it could say who goes on."""
    with open_record(tmp_path / "s.db", "s") as record, Workers(1) as workers:
        for event in run(problem(), PLAN, record, workers, Stop()):
            if len(list(tmp_path.rglob("*.safetensors"))) == 9:
                assert isinstance(event, CohortRecord)
                break
    with open_record(tmp_path / "s.db", "s", read_only=True) as record, Workers(1) as workers:
        rungs = rungs_of(run(problem(), PLAN, record, workers, Stop(timeout=0)))
        assert [(rung.complete, len(rung.results)) for rung in rungs] == [(True, 9), (False, 0)]
        assert set(trial_table(record.study)["state"]) == {"RUNNING"}


STAGED = Plan(
    (
        Stage("coarse", 8, (Rung(1, 3),)),
        Stage("middle", 5, (Rung(1, 3), Rung(3, 2))),
        Stage("fine", 4, (Rung(1, 2), Rung(3, 2), Rung(9, 2))),
        Stage(REPEAT, 3, (Rung(9, 3),)),
    )
)


def stage_of(results, number):
    return next(result for result in results if result.number == number)


def test_survivors_wait_and_go_on_where_they_were():
    yielded, trials = events(problem(), STAGED)
    rungs = {(rung.stage, rung.rung): rung for rung in rungs_of(yielded)}
    assert [(at, len(rung.results), len(rung.kept)) for at, rung in rungs.items()] == [
        ((0, 0), 8, 3), ((1, 0), 5, 3), ((1, 1), 3, 2), ((2, 0), 4, 2), ((2, 1), 2, 2), ((2, 2), 2, 2), ((3, 0), 3, 3),
    ]  # fmt: skip
    # who goes on from a rung is the best of those drawn now and of those that waited for it
    values = {result.number: result.value for result in rungs[0, 0].results + rungs[1, 0].results}
    waiting = {number: values[number] for number in rungs[0, 0].kept}
    contenders = waiting | {result.number: result.value for result in rungs[1, 0].results}
    assert set(rungs[1, 0].kept) == set(sorted(contenders, key=lambda number: -contenders[number])[:3])
    for result in rungs[1, 1].results:
        before = next(one for one in rungs[0, 0].results + rungs[1, 0].results if one.number == result.number)
        np.testing.assert_array_equal(result.history[:1], before.history)
        assert result.begun == 1 and result.epochs == 3
    states = trials["state"].value_counts().to_dict()
    assert states == {"COMPLETE": 5, "PRUNED": 15}
    assert (trials["user_attrs_repeats"].notna() == (trials["number"] >= 17)).all()


def test_a_survivor_between_two_budgets_is_trained_up_to_the_next_one():
    plan = Plan((Stage("coarse", 4, (Rung(2, 2),)), Stage("fine", 3, (Rung(3, 2),))))
    yielded, trials = events(problem(), plan)
    first, second = rungs_of(yielded)
    assert {result.number for result in second.results} == {*first.kept, 4, 5, 6}
    assert [result.begun for result in second.results] == [2, 2, 0, 0, 0]
    assert trials["state"].value_counts().to_dict() == {"PRUNED": 5, "COMPLETE": 2}


def test_the_best_completed_configs_are_trained_again_with_other_seeds():
    yielded, _ = events(problem(), STAGED)
    *_, fine, repeat = rungs_of(yielded)
    ranked = sorted(fine.results, key=lambda result: -result.value)
    origins = [result.repeats for result in repeat.results]
    assert origins == [ranked[0].number, ranked[1].number, ranked[0].number]
    for result in repeat.results:
        assert result.config == stage_of(fine.results, result.repeats).config
        assert result.seed == trial_seed(5, result.number)


def test_a_stage_draws_from_what_the_one_before_decided_and_what_is_recorded_stands(tmp_path):
    yielded, _ = events(problem(), STAGED, tmp_path / "s.db")
    decisions = {event.stage: event.decisions for event in yielded if isinstance(event, StageRecord)}
    assert list(decisions) == [0, 1, 2], "repeats decide nothing"
    again, _ = events(problem(), STAGED, tmp_path / "s.db")
    for event in again:
        if isinstance(event, StageRecord):
            pd.testing.assert_frame_equal(event.decisions, decisions[event.stage])
    with open_record(tmp_path / "s.db", "s") as record:
        proposal, _ = record.decided(1)
        drawn = Proposal.from_json(proposal).draw(5, 2, 4)
        assert record.configs(range(13, 17), problem().drawing.space) == drawn


def test_ranges_that_are_to_stay_stay():
    question = problem()
    off = replace(question, drawing=replace(question.drawing, mode="off"))
    yielded, _ = events(off, STAGED)
    assert all(event.decisions.empty for event in yielded if isinstance(event, StageRecord))
    drawn = {result.number: result.config for rung in rungs_of(yielded) for result in rung.results}
    expected = Proposal.of(question.drawing.space).draw(5, 2, 4)
    assert [drawn[number] for number in range(13, 17)] == expected


def test_the_first_configs_come_first():
    question = problem()
    mine = {"hidden_layer_sizes": (4, 4), "learning_rate_init": 0.05}
    yielded, _ = events(replace(question, drawing=replace(question.drawing, first=(mine,))), PLAN)
    whole, _ = events(question, PLAN)
    first, expected = (rungs_of(each)[0].results for each in (yielded, whole))
    assert first[0].config == mine
    assert [result.config for result in first[1:]] == [result.config for result in expected[1:]]


def test_with_folds_a_trial_is_trained_on_each_and_ranked_by_the_mean(tmp_path):
    question = problem()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((150, 3))
    dataset = prepare(X, (X[:, 0] * X[:, 1] > 0).astype(int), random_state=5, cv=3)
    folded = replace(question, dataset=dataset)
    yielded, _ = events(folded, PLAN, tmp_path / "s.db", n_jobs=2)
    first = rungs_of(yielded)[0]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3 * (9 + 3 + 1)
    for result in first.results:
        assert len(result.fold_values) == 3 and result.value == pytest.approx(np.mean(result.fold_values))
        for part, value in zip(dataset.folds, result.fold_values, strict=True):
            rows = np.searchsorted(dataset.rows.valid, part.rows.valid)
            own = result.predictions["ema"][rows]
            assert score_rows(question.scorer, dataset, part.rows.valid, own) == pytest.approx(value)
    again, _ = events(folded, PLAN, tmp_path / "s.db")
    for one, other in zip(rungs_of(yielded), rungs_of(again), strict=True):
        assert [result.values for result in one.results] == [result.values for result in other.results]


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_trial_seeds_are_functions_of_study_and_number(seed):
    seeds = [trial_seed(seed, number) for number in range(100)]
    assert len(set(seeds)) == 100 and seeds == [trial_seed(seed, number) for number in range(100)]
    assert all(0 <= drawn < 2**32 for drawn in seeds)
