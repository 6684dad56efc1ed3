"""The one loop: draw the configs of a stage, train them in cohorts from rung to rung, keep the best, decide on.

`run` is a generator of records: a `CohortRecord` whenever a cohort comes back, a `RungRecord` when a rung ends, a
`StageRecord` when a stage has been judged. Progress, tables, ensembles and callbacks are its consumers and never call
back into it. Kept checkpoints are loaded instead of trained, and recorded decisions read instead of made, so that
resuming is nothing but running again. This is the only door to joblib.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.mlp.outcome import finished, stopped
from hpsearch.orchestrator.cohorts import Cohort, Task, cohorts
from hpsearch.orchestrator.drawing import Drawing
from hpsearch.orchestrator.halving import best
from hpsearch.orchestrator.learner import F, Learner
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import CohortRecord, RungRecord, StageRecord, TrialResult, joined
from hpsearch.orchestrator.standing import Standing, Worth, final_candidates
from hpsearch.orchestrator.stop import Stop
from hpsearch.orchestrator.training import FoldResult, Kept, train_cohort
from hpsearch.record.checkpoints import Checkpoints
from hpsearch.record.trials import StudyRecord
from hpsearch.space.proposal import Proposal

START = -1
"""The number that stands for what was decided before the first stage."""


@dataclass(frozen=True)
class Problem(Generic[F]):
    """What stays the same through a run.

    Attributes:
        dataset: the data, with its folds.
        drawing: where the configs come from.
        learner: how they are trained.
        scorers: the scores; the first ranks.
        seed: the study's.
    """

    dataset: Dataset
    drawing: Drawing
    learner: Learner[F]
    scorers: tuple[Scorer, ...]
    seed: int

    @property
    def scorer(self) -> Scorer:
        """The one that ranks."""
        return self.scorers[0]


class Workers:
    """joblib's workers, as a context manager: threads, unless `backend` or `joblib.parallel_config` says otherwise.

    `prefer`: "threads", or "processes" for learners that hold the GIL.

    Raises ValueError for a number of workers or a backend that joblib does not take.
    """

    def __init__(self, n_jobs: int | None = None, backend: str | None = None, prefer: str = "threads") -> None:
        if n_jobs is not None and (not isinstance(n_jobs, int | np.integer) or isinstance(n_jobs, bool) or n_jobs == 0):
            raise ValueError(f"n_jobs must be a whole number other than 0 (-1: one per core), or None; got {n_jobs!r}")
        how = {"prefer": prefer} if backend is None else {"backend": backend}
        try:
            self._parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", **how)
        except (ValueError, TypeError) as error:
            raise ValueError(f"backend={backend!r} cannot be used: {error}") from error
        self.n_workers: int = effective_n_jobs(n_jobs)

    def __enter__(self) -> "Workers":
        self._parallel.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._parallel.__exit__(*error)

    def results(self, calls: Iterable[Any], stop: Stop) -> Iterator[Any]:
        """The results of `joblib.delayed` calls as they come; it ends early when Ctrl-C ends the worker processes."""
        answers = self._parallel(calls)
        while True:
            try:
                with stop.waiting():
                    answer = next(answers)
            except StopIteration:
                return
            except KeyboardInterrupt:
                stop.interrupted = True
                answers.close()
                return
            yield answer


def trial_seed(seed: int, number: int) -> int:
    """The seed of a trial's initial weights and dropout, 32 bits: a function of (study seed, trial number)."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def run(problem: Problem[F], plan: Plan, record: StudyRecord, workers: Workers, stop: Stop) -> Iterator[Any]:
    """Carry out the plan: yields a `CohortRecord` per cohort, a `RungRecord` per rung and a `StageRecord` per stage.

    Ends after the record of an incomplete rung when `stop` is requested. If it was requested before the start, nothing
    is trained, and the records tell what is kept; with a record that is only read, that is how to call it.
    """
    standing = Standing()
    proposal, decisions = _decided(record, START, problem.drawing.begin)
    if len(decisions):
        yield StageRecord(START, decisions)
    for number, stage in enumerate(plan.stages):
        if stop.requested() and not record.has(plan.first_trial(number + 1) - 1):
            return
        tasks = _draw(problem, plan, number, proposal, standing, record)
        drawn = [(task.number, task.config, task.seed, task.repeats) for task in tasks]
        record.add(number, drawn, problem.drawing.space)
        for event in _train_stage(problem, plan, number, tasks, standing, record, workers, stop):
            yield event
        if not event.complete:
            yield StageRecord(number, problem.drawing.judge(proposal, number, standing.table(plan)))
            return
        if not stage.is_repeat:
            decide = partial(problem.drawing.decide, proposal, number, standing.table(plan))
            proposal, decisions = _decided(record, number, decide)
            yield StageRecord(number, decisions)


def _decided(
    record: StudyRecord, stage: int, decide: Callable[[], tuple[Proposal, pd.DataFrame]]
) -> tuple[Proposal, pd.DataFrame]:
    """What the stage after this one draws from, and why: as it is recorded, or decided now."""
    recorded = record.decided(stage)
    if recorded is not None:
        return Proposal.from_json(recorded[0]), recorded[1]
    proposal, decisions = decide()
    if not record.read_only:
        record.decide(stage, proposal.to_json(), decisions)
    return proposal, decisions


def _draw(
    problem: Problem[F], plan: Plan, number: int, proposal: Proposal, standing: Standing, record: StudyRecord
) -> list[Task]:
    """The trials of a stage. What is recorded stands; what is not is drawn."""
    stage, first = plan.stages[number], plan.first_trial(number)
    numbers = range(first, first + stage.n_trials)
    origins: list[int | None] = [None] * stage.n_trials
    if stage.is_repeat and (candidates := final_candidates(standing, plan, proposal.space, stage.n_trials)):
        repeated = [candidates[place % len(candidates)] for place in range(stage.n_trials)]
        origins, configs = [result.number for result in repeated], [result.config for result in repeated]
    elif len(recorded := record.configs(numbers, problem.drawing.space)) == stage.n_trials:
        configs = recorded
    else:
        drawn = problem.drawing.draw(proposal, number, stage.n_trials, standing.table(plan))
        configs = recorded + drawn[len(recorded) :]
    return [
        Task(trial, config, trial_seed(problem.seed, trial), repeats=origin)
        for trial, config, origin in zip(numbers, configs, origins, strict=True)
    ]


def _train_stage(
    problem: Problem[F], plan: Plan, number: int, tasks: list[Task], standing: Standing, record: StudyRecord,
    workers: Workers, stop: Stop,
) -> Iterator[Any]:  # fmt: skip
    """The records of a stage's cohorts and rungs; `standing` is brought up to date."""
    stage, waiting, budgets = plan.stages[number], standing.waiting, plan.budgets
    for place, rung in enumerate(stage.rungs):
        reached = stage.rungs[place - 1].epochs if place else 0
        joining = [] if stage.is_repeat else [n for n in sorted(waiting) if reached < waiting[n].budget <= rung.epochs]
        survivors = {trial: waiting.pop(trial) for trial in joining}
        tasks += [_going_on(one) for one in survivors.values() if one.budget < rung.epochs]
        results: dict[int, TrialResult] = {}
        so_far = [budget for budget in budgets if budget <= rung.epochs]
        for done in _train_rung(problem, tasks, so_far, standing.worth(rung), record.checkpoints, workers, stop):
            results.update({result.number: result for result in done})
            yield CohortRecord(number, place, done)
        complete = len(results) == len(tasks)
        # predictions are for those who vote, and would fill the memory
        standing.latest.update({trial: replace(one, predictions={}) for trial, one in results.items()})
        contenders = {trial: one for trial, one in survivors.items() if one.budget == rung.epochs}
        contenders |= {trial: standing.latest[trial] for trial in results}
        kept = best({trial: one.value for trial, one in contenders.items()}, rung.keep) if complete else []
        is_over = place == len(stage.rungs) - 1
        is_end = is_over and plan.is_last_for(number, rung.epochs)
        if not record.read_only:
            _settle(record, contenders, kept, complete, is_end)
        ordered = tuple(results[trial] for trial in sorted(results))
        yield RungRecord(number, place, rung.epochs, ordered, tuple(kept), complete)
        if not complete:
            return
        if is_over:
            (standing.completed if is_end else waiting).update({trial: contenders[trial] for trial in kept})
        tasks = [_going_on(contenders[trial]) for trial in kept]


def _going_on(result: TrialResult) -> Task:
    return Task(result.number, result.config, result.seed, reached=result.budget, repeats=result.repeats)


def _train_rung(
    problem: Problem[F], tasks: Sequence[Task], budgets: Sequence[int], worth: Worth, kept: Checkpoints,
    workers: Workers, stop: Stop,
) -> Iterator[tuple[TrialResult, ...]]:  # fmt: skip
    """The trials of each cohort as they come back, their fits `kept`; unfinished trials are left out.

    `budgets`: all of the plan up to this rung's. Fits are loaded when a worker is due, so that only those in work are
    in memory. Of those that by their `worth` will neither go on nor vote only a thin fit is kept.
    """
    parts, budget = problem.dataset.parts, budgets[-1]
    own = {task.number: task for task in tasks}
    unfinished: dict[int, list[FoldResult]] = {task.number: [] for task in tasks}

    def call(cohort: Cohort) -> Any:
        so_far = [_latest_fit(problem.learner, task, budgets, kept) for task in cohort]
        return delayed(train_cohort)(
            problem.learner, parts[cohort[0].fold], problem.scorers, cohort, so_far, budget, stop
        )

    costs = {task.number: problem.learner.cost(task.config, parts[0]) for task in tasks}
    due = [_for_fold(problem.learner, task, part, costs[task.number]) for task in tasks for part in parts]
    for trained in workers.results(map(call, cohorts(due, workers.n_workers)), stop):
        done = []
        for one in trained:
            number = one.result.number
            # of one fold alone it cannot be said what the trial is worth
            is_worth_it = len(parts) > 1 or worth.add(one.result.value)
            if one.is_new:
                fit = one.fit if is_worth_it else problem.learner.thin(one.fit)
                kept.save(number, budget, *problem.learner.save(fit), fold=one.result.fold)
            unfinished[number].append(one.result)
            if len(unfinished[number]) == len(parts):
                done.append(joined(problem.dataset, problem.scorers, own[number], budget, unfinished.pop(number)))
        if done:
            yield tuple(done)


def _for_fold(learner: Learner[F], task: Task, part: Dataset, cost: float) -> Task:
    return replace(task, fold=part.fold, key=(part.fold, learner.key(task.config)), cost=cost)


def _latest_fit(learner: Learner[F], task: Task, budgets: Sequence[int], kept: Checkpoints) -> Kept[F] | None:
    """The fit of the latest budget that is kept; None if none is.

    The number alone does not tell a trial: where a study was lost after a top-up, and begins anew among its old
    checkpoints, other configs have the numbers.
    """
    for budget in reversed(budgets):
        saved = kept.load(task.number, budget, task.fold)
        if saved is not None and learner.is_of(fit := learner.load(*saved), task.config, task.seed):
            return Kept(fit, budget)
    return None


def _settle(
    record: StudyRecord, contenders: Mapping[int, TrialResult], kept: Sequence[int], complete: bool, is_end: bool
) -> None:
    """Write down what a rung decided: values, and the ends of the trials that do not go on."""
    for number, result in sorted(contenders.items()):
        if result.outcome is not None:
            record.finish(number, "FAIL", result.epochs, None, result.outcome)
        elif complete and number not in kept:
            record.finish(number, "PRUNED", result.budget, result.value, stopped(result.epochs))
        elif complete and is_end:
            record.finish(number, "COMPLETE", result.budget, result.value, finished(result.epochs))
        else:
            record.report(number, result.budget, result.value)


def train_again(
    problem: Problem[F], members: Sequence[TrialResult], kept: Checkpoints, workers: Workers, stop: Stop
) -> dict[tuple[int, int], F] | None:
    """Train the members' configs again from their seeds, on all rows but the test rows, for as many epochs.

    Members of one trial share what they can: its fit goes on from one of their epochs to the next. Returns trial number
    and epochs → fit, which may have diverged, or None if it was stopped before all were done. What is `kept` of an
    earlier run is not trained again.
    """
    rows = replace(problem.dataset.rows, train=problem.dataset.rows.non_test)
    everything = replace(problem.dataset, rows=rows, folds=())

    trials = {member.number: member for member in members}
    milestones = {number: sorted({one.epochs for one in members if one.number == number}) for number in trials}
    fits: dict[tuple[int, int], F] = {}
    for place in range(max(map(len, milestones.values()))):
        due = {number: epochs[: place + 1] for number, epochs in milestones.items() if place < len(epochs)}
        calls = (_call_again(problem.learner, everything, problem.scorers, trials[n], due[n], kept, stop) for n in due)
        for one in (one for alone in workers.results(calls, stop) for one in alone):
            key = one.result.number, due[one.result.number][-1]
            if one.is_new:
                kept.save(*key, *problem.learner.save(one.fit))
            fits[key] = one.fit
    return fits if len(fits) == sum(map(len, milestones.values())) else None


def _call_again(
    learner: Learner[F], everything: Dataset, scorers: Sequence[Scorer], trial: TrialResult, epochs: list[int],
    kept: Checkpoints, stop: Stop,
) -> Any:  # fmt: skip
    """To train it to the last of these epochs, from the latest that is kept."""
    task = Task(trial.number, trial.config, trial.seed)
    so_far = _latest_fit(learner, task, epochs, kept)
    return delayed(train_cohort)(learner, everything, scorers, (task,), [so_far], epochs[-1], stop)
