"""The one loop: draw the configs of a stage, train them in cohorts from rung to rung, keep the best, decide on.

`run` is a generator of records: a `CohortRecord` whenever a cohort comes back, a `RungRecord` when a rung ends, a
`StageRecord` when a stage has been judged. Progress, tables, ensembles and callbacks are its consumers and never call
back into it. Kept checkpoints are loaded instead of trained, and recorded decisions read instead of made, so that
resuming is nothing but running again. This is the only door to joblib.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappush, heappushpop
from typing import Any, Generic

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.mlp.outcome import Outcome, finished, stopped
from hpsearch.orchestrator.cohorts import Cohort, Task, cohorts
from hpsearch.orchestrator.drawing import Drawing
from hpsearch.orchestrator.halving import Rung, best
from hpsearch.orchestrator.learner import F, Learner
from hpsearch.orchestrator.plan import N_SEEDS, Plan
from hpsearch.orchestrator.stop import Stop
from hpsearch.orchestrator.training import FoldResult, Kept, train_cohort
from hpsearch.record.checkpoints import Checkpoints
from hpsearch.record.trials import StudyRecord
from hpsearch.space.cloud import most_credible
from hpsearch.space.proposal import Proposal
from hpsearch.space.space import SearchSpace

MAX_MEMBERS = 32
"""At most so many trials vote in an ensemble."""
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


@dataclass(frozen=True)
class FoldScores:
    """What one fold of a trial scored and took in a rung.

    Attributes:
        scores: by the weights that judge, one of each scorer; NaN if the fold failed.
        fit_seconds, score_seconds: spent on training, as its share of the cohort's time, and on scoring; 0 where it
            was read from a checkpoint.
    """

    scores: tuple[float, ...]
    fit_seconds: float
    score_seconds: float


@dataclass(frozen=True)
class TrialResult:
    """One trial at the end of a rung.

    Attributes:
        number, config, seed: of the trial; `repeats`: the trial whose config it has with another seed, or None.
        begun, budget: epochs at which the rung began for it, and at which the rung ends.
        epochs: trained in all; fewer than `budget` if it ended early. With folds, those of the longest.
        values: by kind of weights, the score on the validation rows, the mean over folds; NaN if it failed in any way.
        folds: how each fold did, see `FoldScores`.
        scores: by name, all scores on the validation rows, by the weights that judge.
        history: (epochs, 3) float64, see `mlp.train.HISTORY_FIELDS`; the mean over folds.
        predictions: by kind of weights, (n_heldout, n_outputs) float32, for the dataset's held-out rows.
        outcome: None while the trial is alive; it fails by diverging, or if it cannot be scored.
    """

    number: int
    config: dict[str, Any]
    seed: int
    repeats: int | None
    begun: int
    budget: int
    epochs: int
    values: dict[str, float]
    folds: tuple[FoldScores, ...]
    scores: dict[str, float]
    history: NDArray[np.float64]
    predictions: dict[str, NDArray[np.float32]]
    outcome: Outcome | None

    @property
    def fold_values(self) -> tuple[float, ...]:
        """The score of each fold that ranks."""
        return tuple(fold.scores[0] for fold in self.folds)

    @property
    def value(self) -> float:
        """What ranks it: the score by the last kind of weights, the averaged ones of a network."""
        return list(self.values.values())[-1]


@dataclass(frozen=True)
class CohortRecord:
    """Trials of a rung that have just come back from a worker."""

    stage: int
    rung: int
    results: tuple[TrialResult, ...]


@dataclass(frozen=True)
class RungRecord:
    """A finished rung: its results in the order of trial numbers, and the numbers of those that go on.

    `results` are of the trials that were trained in it; survivors that stood there already may be among the `kept`
    too. At the last rung of a stage these wait for the next one, or have completed the plan. `complete` is False for
    the rung in which the run was stopped; nobody goes on from it.
    """

    stage: int
    rung: int
    epochs: int
    results: tuple[TrialResult, ...]
    kept: tuple[int, ...]
    complete: bool


@dataclass(frozen=True)
class StageRecord:
    """A finished stage, and what was decided of the ranges by it: the `decisions` table of DESIGN.md."""

    stage: int
    decisions: pd.DataFrame


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


@dataclass(frozen=True)
class Worth:
    """Which values may still matter: among the best `keep` of a rung, or the best `MAX_MEMBERS` of all at its budget.

    Thresholds only rise, so that in whatever order values come, those that will matter did when they came.
    """

    keep: int
    of_rung: list[float]
    of_budget: list[float]

    def add(self, value: float) -> bool:
        """Take up a value, NaN for a failure; may it matter?"""
        if math.isnan(value):
            return False
        goes_on = _is_among_best(value, self.of_rung, self.keep)
        return _is_among_best(value, self.of_budget, MAX_MEMBERS) or goes_on


def _is_among_best(value: float, heap: list[float], n: int) -> bool:
    """Is it among the best n so far, or as good as the worst of them?"""
    if len(heap) < n:
        heappush(heap, value)
    else:
        heappushpop(heap, value)
    return value >= heap[0]


@dataclass(frozen=True)
class Standing:
    """How the trials stand between stages: the `latest` result of each, and of those that wait, or have completed."""

    latest: dict[int, TrialResult] = field(default_factory=dict)
    waiting: dict[int, TrialResult] = field(default_factory=dict)
    completed: dict[int, TrialResult] = field(default_factory=dict)
    voters: dict[int, list[float]] = field(default_factory=dict)
    """By budget, the values of the best `MAX_MEMBERS` trials so far, as a heap."""

    def worth(self, rung: Rung) -> Worth:
        """What values may matter in a rung that begins."""
        return Worth(rung.keep, [], self.voters.setdefault(rung.epochs, []))

    def table(self, plan: Plan) -> pd.DataFrame:
        """What ranges are judged by, see `refine`; trials that only repeat others are left out."""
        judged = [self.latest[number] for number in sorted(self.latest) if self.latest[number].repeats is None]
        table = pd.DataFrame([{f"params_{name}": value for name, value in one.config.items()} for one in judged])
        own = {
            "number": [one.number for one in judged],
            "stage": [plan.stage_of(one.number) for one in judged],
            "value": np.array([one.value if one.outcome is None else np.nan for one in judged], dtype=np.float64),
            "epochs": [one.budget for one in judged],
        }
        return pd.concat([pd.DataFrame(own), table], axis=1)


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
    if stage.is_repeat and (candidates := final_candidates(standing, plan, problem.drawing.space, stage.n_trials)):
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


def final_candidates(standing: Standing, plan: Plan, space: SearchSpace, n_repeats: int) -> list[TrialResult]:
    """The completed trials that are trained again with other seeds, `N_SEEDS` each: the most credible ones.

    The best value may be luck: of the completed trials those come first whose neighbours did well, too.
    """
    order = [number for number in most_credible(standing.table(plan), space) if number in standing.completed]
    return [standing.completed[number] for number in order[: -(-n_repeats // N_SEEDS)]]


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

    due = [_for_fold(problem.learner, task, part) for task in tasks for part in parts]
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
                done.append(_joined(problem, own[number], budget, unfinished.pop(number)))
        if done:
            yield tuple(done)


def _for_fold(learner: Learner[F], task: Task, part: Dataset) -> Task:
    key = part.fold, learner.key(task.config)
    return replace(task, fold=part.fold, key=key, cost=learner.cost(task.config, part))


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


def _joined(problem: Problem[F], task: Task, budget: int, folds: Sequence[FoldResult]) -> TrialResult:
    """A trial, from its folds: means of scores and curves, and the predictions of every row by its own fold."""
    ordered = sorted(folds, key=lambda one: one.fold)
    failed = [one.outcome for one in ordered if one.outcome is not None]
    scores = {weights: np.array([one.scores[weights] for one in ordered]) for weights in ordered[0].scores}
    if failed:
        scores = {weights: np.full_like(values, np.nan) for weights, values in scores.items()}
    judging = list(scores.values())[-1]
    return TrialResult(
        number=task.number,
        config=task.config,
        seed=task.seed,
        repeats=task.repeats,
        begun=task.reached,
        budget=budget,
        epochs=max(one.epochs for one in ordered),
        values={weights: float(values[:, 0].mean()) for weights, values in scores.items()},
        folds=tuple(_fold_scores(one) for one in ordered),
        scores={scorer.name: float(value) for scorer, value in zip(problem.scorers, judging.mean(axis=0), strict=True)},
        history=_mean_history([one.history for one in ordered]),
        predictions={} if failed else _out_of_fold(problem.dataset, ordered),
        outcome=failed[0] if failed else None,
    )


def _fold_scores(result: FoldResult) -> FoldScores:
    return FoldScores(list(result.scores.values())[-1], result.fit_seconds, result.score_seconds)


def _mean_history(histories: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(n_epochs, 3), the mean over the folds that were trained so long; NaN where none tells."""
    if len(histories) == 1:
        return histories[0]
    n_epochs = max(len(history) for history in histories)
    padded = np.full((len(histories), n_epochs, histories[0].shape[1]), np.nan)
    for fold, history in enumerate(histories):
        padded[fold, : len(history)] = history
    n_known = (~np.isnan(padded)).sum(axis=0)
    return np.where(n_known > 0, np.nansum(padded, axis=0) / np.maximum(1, n_known), np.nan)


def _out_of_fold(dataset: Dataset, folds: Sequence[FoldResult]) -> dict[str, NDArray[np.float32]]:
    """By kind of weights, (n_heldout, n_outputs): each held-out row as it is predicted by the fold that held it out."""
    if not dataset.folds:
        return folds[0].predictions
    place = np.empty(len(dataset.y), dtype=np.int64)
    place[dataset.rows.heldout] = np.arange(len(dataset.rows.heldout))
    joined = {}
    for weights, first in folds[0].predictions.items():
        joined[weights] = np.empty((len(dataset.rows.heldout), first.shape[1]), dtype=np.float32)
        for part, one in zip(dataset.folds, folds, strict=True):
            joined[weights][place[part.rows.heldout]] = one.predictions[weights]
    return joined


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
) -> dict[int, F] | None:
    """Train the members' configs again from their seeds, on all rows but the test rows, for as many epochs.

    Returns trial number → fit, which may have diverged, or None if it was stopped before all were done. What is `kept`
    of an earlier run is not trained again.
    """
    rows = replace(problem.dataset.rows, train=problem.dataset.rows.non_test)
    everything = replace(problem.dataset, rows=rows, folds=())

    def call(member: TrialResult) -> Any:
        task = Task(member.number, member.config, member.seed)
        so_far = _latest_fit(problem.learner, task, [member.epochs], kept)
        arguments = problem.scorers, (task,), [so_far], member.epochs, stop
        return delayed(train_cohort)(problem.learner, everything, *arguments)

    epochs, fits = {member.number: member.epochs for member in members}, {}
    for one in (one for alone in workers.results(map(call, members), stop) for one in alone):
        number = one.result.number
        if one.is_new:
            kept.save(number, epochs[number], *problem.learner.save(one.fit))
        fits[number] = one.fit
    return fits if len(fits) == len(members) else None
