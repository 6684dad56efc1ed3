"""The one loop: draw the configs of a stage, train them in cohorts from rung to rung, keep the best.

`run` is a generator of records: a `CohortRecord` whenever a cohort comes back, a `RungRecord` when a rung ends.
Progress, tables, ensembles and callbacks are its consumers and never call back into it. Kept checkpoints are loaded
instead of trained, so that resuming is nothing but running again. This is the only door to joblib.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.mlp.outcome import Outcome, finished, stopped, unscored
from hpsearch.orchestrator.cohorts import Cohort, Task, cohorts
from hpsearch.orchestrator.halving import best
from hpsearch.orchestrator.learners import WEIGHTS, F, Learner
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.stop import Stop
from hpsearch.record.checkpoints import Checkpoints
from hpsearch.record.trials import StudyRecord
from hpsearch.space.space import SearchSpace


@dataclass(frozen=True)
class Problem(Generic[F]):
    """What stays the same through a run: the data, the space, how a config is trained and scored, the study's seed."""

    dataset: Dataset
    space: SearchSpace
    learner: Learner[F]
    scorer: Scorer
    seed: int


@dataclass(frozen=True)
class TrialResult:
    """One trial at the end of a rung.

    Attributes:
        epochs: trained in all; fewer than the rung's if it diverged.
        value: the score of the averaged weights on the validation rows, NaN if it failed in any way.
        values: the same by kind of weights, "raw" and "ema".
        history: (epochs, 3) float64, see `mlp.train.HISTORY_FIELDS`.
        predictions: by kind of weights, (n_heldout, n_outputs) float32, for the dataset's held-out rows.
        outcome: None while the trial is alive; it fails by diverging, or if it cannot be scored.
    """

    number: int
    config: dict[str, Any]
    seed: int
    epochs: int
    values: dict[str, float]
    history: NDArray[np.float64]
    predictions: dict[str, NDArray[np.float32]]
    outcome: Outcome | None

    @property
    def value(self) -> float:
        return self.values["ema"]


@dataclass(frozen=True)
class CohortRecord:
    """Trials of a rung that have just come back from a worker."""

    stage: int
    rung: int
    results: tuple[TrialResult, ...]


@dataclass(frozen=True)
class RungRecord:
    """A finished rung: its results in the order of trial numbers, and the numbers of those that go on.

    At the last rung of a stage, those that go on are those that completed it. `complete` is False for the rung in
    which the run was stopped; nobody goes on from it.
    """

    stage: int
    rung: int
    epochs: int
    results: tuple[TrialResult, ...]
    kept: tuple[int, ...]
    complete: bool


class Workers:
    """joblib's workers, as a context manager: threads, unless `backend` or `joblib.parallel_config` says otherwise.

    Raises ValueError for a number of workers or a backend that joblib does not take.
    """

    def __init__(self, n_jobs: int | None = None, backend: str | None = None) -> None:
        if n_jobs is not None and (not isinstance(n_jobs, int | np.integer) or isinstance(n_jobs, bool) or n_jobs == 0):
            raise ValueError(f"n_jobs must be a whole number other than 0 (-1: one per core), or None; got {n_jobs!r}")
        how = {"prefer": "threads"} if backend is None else {"backend": backend}
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
class Trained(Generic[F]):
    """What a worker sends back for one trial: the fit of this one model, whether it `is_new`, and how it did."""

    fit: F
    is_new: bool
    result: TrialResult


def trial_seed(seed: int, number: int) -> int:
    """The seed of a trial's initial weights and dropout, 32 bits: a function of (study seed, trial number)."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def run(problem: Problem[F], plan: Plan, record: StudyRecord, workers: Workers, stop: Stop) -> Iterator[Any]:
    """Carry out the plan; yields a `CohortRecord` for each cohort and a `RungRecord` for each rung.

    Ends after the record of an incomplete rung when `stop` is requested. If it was requested before the start, nothing
    is trained, and the records tell what is kept; with a record that is only read, that is how to call it.
    """
    for stage_number, stage in enumerate(plan.stages):
        first = plan.first_trial(stage_number)
        tasks = _draw(problem, stage_number, range(first, first + stage.n_trials))
        if stop.requested() and not record.has(first + stage.n_trials - 1):
            return
        record.add(stage_number, [(task.number, task.config, task.seed) for task in tasks], problem.space)
        budgets = [rung.epochs for rung in stage.rungs]
        for rung_number, rung in enumerate(stage.rungs):
            results: dict[int, TrialResult] = {}
            reached = budgets[: rung_number + 1]
            for done in _train_rung(problem, tasks, reached, record.checkpoints, workers, stop):
                results.update({result.number: result for result in done})
                yield CohortRecord(stage_number, rung_number, done)
            complete = len(results) == len(tasks)
            is_last = rung_number == len(stage.rungs) - 1
            kept = best({number: result.value for number, result in results.items()}, rung.keep) if complete else []
            if not record.read_only:
                _settle(record, results, kept, complete, is_last)
            ordered = tuple(results[number] for number in sorted(results))
            yield RungRecord(stage_number, rung_number, rung.epochs, ordered, tuple(kept), complete)
            if not complete:
                return
            tasks = [task for task in tasks if task.number in set(kept)]


def _draw(problem: Problem[F], stage: int, numbers: range) -> list[Task]:
    tasks = []
    for position, number in enumerate(numbers):
        config = problem.space.draw(problem.seed, stage, position)
        cost = problem.learner.cost(config, problem.dataset)
        tasks.append(Task(number, config, trial_seed(problem.seed, number), problem.learner.key(config), cost))
    return tasks


def _train_rung(
    problem: Problem[F], tasks: Sequence[Task], reached: Sequence[int], kept: Checkpoints, workers: Workers, stop: Stop
) -> Iterator[tuple[TrialResult, ...]]:
    """The trials of each cohort as they come back, their fits `kept`; unfinished trials are left out.

    `reached`: the epochs of the stage's rungs up to this one. Fits are loaded when a worker is due, so that only those
    in work are in memory.
    """

    def call(cohort: Cohort) -> Any:
        so_far = [_latest_fit(problem.learner, task, reached, kept) for task in cohort]
        return delayed(train_cohort)(problem, cohort, so_far, reached[-1], stop)

    for trained in workers.results(map(call, cohorts(tasks, workers.n_workers)), stop):
        for one in trained:
            if one.is_new:
                kept.save(one.result.number, reached[-1], *problem.learner.save(one.fit))
        if trained:
            yield tuple(one.result for one in trained)


def _latest_fit(learner: Learner[F], task: Task, reached: Sequence[int], kept: Checkpoints) -> F | None:
    """The trial's fit of the latest rung that is kept; None if none is.

    The number alone does not tell a trial: where a study was lost after a top-up, and begins anew among its old
    checkpoints, other configs have the numbers.
    """
    for epochs in reversed(reached):
        saved = kept.load(task.number, epochs)
        if saved is not None and learner.is_of(fit := learner.load(*saved), task.config, task.seed):
            return fit
    return None


def train_cohort(
    problem: Problem[F], cohort: Cohort, so_far: Sequence[F | None], epochs: int, stop: Stop
) -> list[Trained[F]]:
    """What a worker does: start or go on with the models of a cohort, and score those that got to the end."""
    learner = problem.learner
    fits = [
        learner.start([task.config], [task.seed]) if fit is None else fit
        for task, fit in zip(cohort, so_far, strict=True)
    ]
    before = [int(fit.epochs[0]) for fit in fits]
    fit = learner.advance(learner.concatenate(fits), problem.dataset, epochs, stop.requested)
    trained = []
    for model, task in enumerate(cohort):
        one = learner.take(fit, [model])
        if one.epochs[0] == epochs or one.outcomes[0] is not None:
            trained.append(Trained(one, int(one.epochs[0]) > before[model], _evaluate(problem, task, one)))
    return trained


def _evaluate(problem: Problem[F], task: Task, fit: F) -> TrialResult:
    dataset, scorer = problem.dataset, problem.scorer
    outcome = fit.outcomes[0] if fit.outcomes[0] is None or fit.outcomes[0].failed else None
    predictions, values = {}, dict.fromkeys(WEIGHTS, float("nan"))
    if outcome is None:
        valid = slice(0, len(dataset.rows.valid))
        for weights in WEIGHTS:
            predictions[weights] = problem.learner.predict(fit, dataset, dataset.rows.heldout, weights)[0]
            values[weights] = score_rows(scorer, dataset, dataset.rows.valid, predictions[weights][valid])
        if not np.isfinite(list(values.values())).all():
            outcome = unscored(int(fit.epochs[0]), scorer.name)
            predictions, values = {}, dict.fromkeys(WEIGHTS, float("nan"))
    return TrialResult(
        number=task.number,
        config=task.config,
        seed=task.seed,
        epochs=int(fit.epochs[0]),
        values=values,
        history=fit.history[0],
        predictions=predictions,
        outcome=outcome,
    )


def score_rows(scorer: Scorer, dataset: Dataset, rows: NDArray[np.int64], predictions: NDArray[np.floating]) -> float:
    """The score of `predictions` (n_rows, n_outputs) for these rows of the dataset, NaN where it has none."""
    weights = None if dataset.sample_weight is None else dataset.sample_weight[rows]
    try:
        return scorer(dataset.y[rows], predictions, weights)
    except (ValueError, ArithmeticError):
        return float("nan")


def _settle(
    record: StudyRecord, results: Mapping[int, TrialResult], kept: Sequence[int], complete: bool, is_last: bool
) -> None:
    """Write down what a rung decided: values, and the ends of the trials that do not go on."""
    for number, result in sorted(results.items()):
        if result.outcome is not None:
            record.finish(number, "FAIL", result.epochs, None, result.outcome)
        elif complete and number not in kept:
            record.finish(number, "PRUNED", result.epochs, result.value, stopped(result.epochs))
        elif complete and is_last:
            record.finish(number, "COMPLETE", result.epochs, result.value, finished(result.epochs))
        else:
            record.report(number, result.epochs, result.value)


def train_again(
    problem: Problem[F], members: Sequence[TrialResult], kept: Checkpoints, workers: Workers, stop: Stop
) -> dict[int, F] | None:
    """Train the members' configs again from their seeds, on all rows but the test rows, for as many epochs.

    Returns trial number → fit, which may have diverged, or None if it was stopped before all were done. What is `kept`
    of an earlier run is not trained again.
    """
    dataset = problem.dataset
    everything = replace(problem, dataset=replace(dataset, rows=replace(dataset.rows, train=dataset.rows.non_test)))

    def call(member: TrialResult) -> Any:
        cost = problem.learner.cost(member.config, everything.dataset)
        task = Task(member.number, member.config, member.seed, problem.learner.key(member.config), cost)
        so_far = _latest_fit(problem.learner, task, [member.epochs], kept)
        return delayed(train_cohort)(everything, (task,), [so_far], member.epochs, stop)

    epochs, fits = {member.number: member.epochs for member in members}, {}
    for one in (one for alone in workers.results(map(call, members), stop) for one in alone):
        number = one.result.number
        if one.is_new:
            kept.save(number, epochs[number], *problem.learner.save(one.fit))
        fits[number] = one.fit
    return fits if len(fits) == len(members) else None
