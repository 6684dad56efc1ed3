"""A study: one question on one dataset, checked at the door, planned, carried out or read again.

`search` and the command line are thin around it. `carry_out` consumes the records of the one loop and turns them into
an ensemble and the findings.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import guess_scores, quiet_scores
from hpsearch.data.table import as_frame
from hpsearch.diagnostics.sanity import chance_table, loss_at_chance
from hpsearch.ensemble.assembly import Assembly, Refits
from hpsearch.ensemble.average import NO_LIMITS, Average, averages, leaderboard
from hpsearch.ensemble.calibration import calibrated
from hpsearch.ensemble.candidates import Candidates
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.ensemble.honesty import fifths
from hpsearch.ensemble.kinds import Limits, best_run
from hpsearch.ensemble.members import Library, member_table
from hpsearch.ensemble.selection import Selection
from hpsearch.ensemble.soup import soup_of
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.orchestrator.calibration import nominal_seconds
from hpsearch.orchestrator.effort import Effort, effort_of
from hpsearch.orchestrator.estimators import described
from hpsearch.orchestrator.networks import MLPLearner
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import RungRecord, StageRecord
from hpsearch.orchestrator.run import Problem, Workers, run, train_again
from hpsearch.orchestrator.stop import Stop
from hpsearch.question import problem_of, shortest_rung
from hpsearch.record.tables import decision_table, history_table, trial_table
from hpsearch.record.trials import StudyRecord
from hpsearch.record.versions import versions
from hpsearch.report import remarks
from hpsearch.report.curves import Curves
from hpsearch.report.findings import Findings
from hpsearch.report.progress import ProgressReport

Callback = Callable[[RungRecord], object]

_TOO_DEAR = "max_predict_ms={:.3g} cannot be kept: the cheapest ensemble takes {:.3g} ms for 1,000 rows."
_KEPT = "Trained again on all rows, the model of trial {} diverged: it votes as it was before."


class AllTrialsFailed(RuntimeError):
    """No trial gave a model that can predict; the message holds the advice of the first of them."""


class Clock:
    """Adds the time that passes to a record, if `is_running`; what is recorded survives a kill."""

    def __init__(self, record: StudyRecord, is_running: bool) -> None:
        self._record, self._is_running, self._last = record, is_running, time.monotonic()

    def record(self) -> None:
        """Add the time since this was last called, or since the beginning."""
        if self._is_running:
            now = time.monotonic()
            self._record.add_seconds(now - self._last)
            self._last = now


@dataclass(frozen=True)
class Study:
    """One question on one dataset, checked.

    Attributes:
        problem: the data, where configs come from, the learner, the scores and the seed.
        max_epochs: of the longest trials.
        effort: what decides of numbers that nobody gave.
        title: of the report.
        guess_scores: what a constant guess scores, by part of the rows: "valid", "select", "test".
        frame: the raw columns, (n_rows, n_columns).
        calibrate: is the chosen ensemble to get a temperature?
    """

    problem: Problem[Any]
    max_epochs: int
    effort: Effort
    title: str
    guess_scores: dict[str, float]
    frame: pd.DataFrame
    calibrate: bool = False

    @classmethod
    def of(
        cls, X: object, y: object, *, title: str, effort: str = "standard", max_epochs: int | None = None,
        calibrate: bool = False, **asked: Any,
    ) -> "Study":  # fmt: skip
        """Check what is asked: the arguments are those of `problem_of`.

        Raises:
            ValueError: for the first thing that is wrong, naming argument, value and rule.
        """
        if not isinstance(title, str):
            raise ValueError(f"title must be text, but got {title!r}")
        if not isinstance(calibrate, bool):
            raise ValueError(f"calibrate must be True or False, but got {calibrate!r}")
        max_epochs = None if max_epochs is None else whole("max_epochs", max_epochs)
        problem, epochs = problem_of(X, y, effort=effort, max_epochs=max_epochs, **asked)
        if calibrate and problem.dataset.task == "regression":
            raise ValueError("calibrate=True is for probabilities, but the task is regression: there are none")
        frame = as_frame(X)
        frame = frame.drop(columns=y) if isinstance(y, str) else frame
        guesses = guess_scores(problem.scorer, problem.dataset)
        return cls(problem, epochs, effort_of(effort), title, guesses, frame, calibrate)

    @property
    def dataset(self) -> Dataset:
        return self.problem.dataset

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the data and the score before anything is run."""
        scorers = (warning for scorer in self.problem.scorers for warning in scorer.warnings)
        return (*self.dataset.warnings, *getattr(self.problem.learner, "warnings", ()), *scorers)

    @property
    def _error_score(self) -> float:
        """What a failed trial is worth, for estimators whose user says so."""
        given = getattr(self.problem.learner, "error_score", math.nan)
        return math.nan if given == "raise" else float(given)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same when the study is continued."""
        # the first difference is told, so causes come first: the seed deals the rows, and defaults follow the data
        return {
            "random_state": self.problem.seed,
            "cv": max(len(self.dataset.folds), 1),
            "data": self.dataset.fingerprint,
            "scoring": self.problem.scorer.name,
            "max_epochs": self.max_epochs,
            "space": self.problem.drawing.space.to_json(),
            "estimator": described(getattr(self.problem.learner, "estimator", None)),
            "error_score": str(self._error_score),
            "refine": self.problem.drawing.mode,
            "sampler": self.problem.drawing.sampler is not None,
            "first": json.loads(json.dumps(self.problem.drawing.first)),
        }

    def limits(self, max_members: int | None, max_predict_ms: float | None) -> Limits:
        """ValueError for limits that are none, and for a time of estimators, which nobody knows."""
        if max_predict_ms is not None and not isinstance(self.problem.learner, MLPLearner):
            raise ValueError(f"max_predict_ms={max_predict_ms!r} is for our networks only: leave it out")
        return Limits(max_members, max_predict_ms)

    def plan(self, record: StudyRecord, n_trials: int | None, given: Plan | None = None) -> Plan:
        """The plan as it was recorded, or else as `given`, or the default; topped up to `n_trials`, recorded again.

        Raises:
            ValueError: if the record is of another question, or was begun with another plan than the one given.
        """
        record.identify(self.identity)
        if not record.versions:
            record.versions = versions()
        plan = self.planned(record, n_trials, given)
        record.plan = plan.to_json()
        return plan

    def planned(self, record: StudyRecord | None, n_trials: int | None, given: Plan | None = None) -> Plan:
        """As `plan`, but nothing is written."""
        if record is None or record.plan is None:
            # an earlier study that cannot be read is refused before anything is begun
            self.problem.drawing.begin()
            shortest = shortest_rung(self.problem, self.max_epochs)
            plan = given or Plan.of(n_trials or self.effort.n_trials, self.max_epochs, shortest)
            n_first, n_drawn = len(self.problem.drawing.first), plan.stages[0].n_trials
            if n_first > max(2, n_drawn):
                raise ValueError(
                    f"first and our default are {n_first} configs to try, but the first stage has only {n_drawn} trials"
                )
        else:
            # an identity is recorded before a plan, so it is only compared here
            record.identify(self.identity)
            plan = Plan.from_json(record.plan)
            if given is not None and plan.stages[: len(given.stages)] != given.stages:
                raise ValueError(f"the study {record.study.study_name!r} was begun with another plan: {plan}")
        return plan.topped_up(n_trials or plan.n_trials)

    def carry_out(
        self, plan: Plan, record: StudyRecord, stop: Stop, workers: Workers, *, callbacks: Sequence[Callback] = (),
        refit: bool | None = None, limits: Limits = NO_LIMITS, verbose: int = 0,
    ) -> tuple[Ensemble, Findings]:  # fmt: skip
        """Run the plan, and make the ensemble and the findings of what was finished.

        refit: train the members again on all rows; by default networks are that have no folds and no class weights:
            by these, members owe scores of probabilities to where they happened to stop, and refits stop elsewhere.

        With a stop that is requested already, nothing is trained or written: what is kept is read again.

        Raises:
            AllTrialsFailed: if every trial that was trained failed.
            KeyboardInterrupt, TimeoutError: if it was stopped before the first trials were finished.
        """
        if refit is None:
            is_sure = not self.dataset.folds and self.dataset.class_weight is None
            refit = isinstance(self.problem.learner, MLPLearner) and is_sure
        clock = Clock(record, is_running=not record.read_only and not record.is_over(plan.n_trials))
        library, curves, candidates, decisions = (
            Library(self.problem.learner.snapshots),
            Curves(plan),
            Candidates(plan),
            [decision_table()],
        )
        with stop.on_interrupt(), one_blas_thread(), quiet_scores(), workers:
            chance = self._loss_at_chance(plan)
            seconds, n_folds = self._seconds(plan, workers, refit), len(self.dataset.folds)
            with ProgressReport(plan, verbose, seconds, n_folds) as progress:
                for event in run(self.problem, plan, record, workers, stop):
                    progress.update(event)
                    if isinstance(event, StageRecord):
                        decisions.append(event.decisions)
                    elif isinstance(event, RungRecord):
                        for consumer in (library.add, curves.add, candidates.add, *callbacks):
                            consumer(event)
                        clock.record()
            if len(library) == 0:
                raise _nothing_found(curves.failures(), plan, stop)
            assembly = Assembly(self.problem, record.checkpoints)
            ensembles = [assembly.tested(one) for one in self._averages(library, assembly, limits, refit)]
            refits = self._train_again(ensembles[0], record, workers, stop) if refit else {}
            failed = {key for key, fit in (refits or {}).items() if fit.outcomes[0] and fit.outcomes[0].failed}
            finite = {key: fit for key, fit in (refits or {}).items() if key not in failed}
            assembly = assembly.with_refits(finite, ensembles[0])
            if assembly.refits:
                # calibrated, the first two have the same members
                n_same = 1 + self.calibrate
                ensembles[:n_same] = [assembly.tested(one) for one in ensembles[:n_same]]
        clock.record()
        is_whole = not curves.is_broken_off and refits is not None
        ended = "finished" if is_whole and record.is_over(plan.n_trials) else _early_end(record, stop)
        decided = pd.concat(decisions, ignore_index=True)
        findings = self._findings(plan, record, ensembles, library, curves, candidates, decided, chance, ended)
        kept = [_KEPT.format(number) for number in sorted({number for number, _ in failed})]
        if (most := limits.max_predict_ms) is not None and (least := ensembles[0].price.predict_ms) > most:
            kept.append(_TOO_DEAR.format(most, least))
        findings = replace(findings, warnings=(*findings.warnings, *kept))
        return assembly.ensemble(ensembles[0]), findings

    def _seconds(self, plan: Plan, workers: Workers, refit: bool) -> float | None:
        """What the whole plan may take; nobody knows that of estimators."""
        is_known = isinstance(self.problem.learner, MLPLearner)
        return nominal_seconds(self.problem, plan, workers.n_workers, refit) if is_known else None

    def _loss_at_chance(self, plan: Plan) -> pd.DataFrame:
        drawing, learner = self.problem.drawing, self.problem.learner
        if not isinstance(learner, MLPLearner):
            return chance_table([])
        configs = [drawing.space.draw(drawing.seed, 0, n) for n in range(plan.stages[0].n_trials)]
        recipes = [learner.recipe(config) for config in (*drawing.first, *configs)]
        part = self.dataset.parts[0]
        return loss_at_chance(recipes, {name: learner.examples(part.encoded_as(name)) for name in part.encodings})

    def _averages(self, library: Library, assembly: Assembly, limits: Limits, refit: bool) -> list[Average]:
        """The ensembles of the library, of which one may be a soup of the best trial's weights."""
        problem, soup = self.problem, None
        if isinstance(problem.learner, MLPLearner):
            run = best_run(library, problem.learner.weights[-1])
            view = problem.learner.view(run[0].result.config, self.dataset)
            soup = soup_of(run, assembly.of_folds, view, problem.scorer)
        n_models = 1 if refit else len(self.dataset.parts)
        ensembles = averages(
            library, self.dataset, problem.scorer, problem.seed,
            lambda config: problem.learner.price(config).times(n_models), limits, soup,
        )  # fmt: skip
        if self.calibrate:
            ensembles.insert(0, calibrated(ensembles[0], self.dataset, problem.scorer, problem.seed))
        return ensembles

    def _train_again(self, chosen: Average, record: StudyRecord, workers: Workers, stop: Stop) -> Refits | None:
        """The chosen members, trained on all rows but the test rows; None if it was stopped before."""
        members = [member.result for member in chosen.members]
        return train_again(self.problem, members, record.refits, workers, stop)

    def _selection(self, chosen: Average) -> Selection:
        seed = self.problem.seed
        parts = fifths(self.dataset, seed)
        return Selection.of(self.dataset, self.frame, chosen.honest_predictions, parts, self.problem.scorer, seed)

    def _findings(
        self, plan: Plan, record: StudyRecord, ensembles: Sequence[Average], library: Library, curves: Curves,
        candidates: Candidates, decisions: pd.DataFrame, chance: pd.DataFrame, ended: str,
    ) -> Findings:  # fmt: skip
        trials = curves.with_scores(trial_table(record.study), self._error_score)
        final = candidates.best(self.dataset, self.problem.scorer)
        best = library.best_first(self.problem.learner.weights[-1])[0]
        best_config, best_value = best.result.config, best.valid_value
        if len(final):
            best_config, best_value = candidates.config(final["trial_number"][0]), final["value"][0]
        rows = self.dataset.rows
        return Findings(
            title=self.title,
            task=self.dataset.task,
            target=self.dataset.target.name,
            n_rows={part: len(getattr(rows, part)) for part in ("train", "valid", "select", "test")},
            n_columns=len(self.dataset.encoding.column_names),
            n_inputs=self.dataset.n_inputs,
            scoring=self.problem.scorer.name,
            space=self.problem.drawing.space,
            plan=plan.to_json(),
            trials=trials,
            history=history_table(curves.histories()),
            folds=curves.folds(),
            configs=curves.configs(),
            members=member_table({average.name: (average.members, average.votes) for average in ensembles}),
            decisions=decisions,
            candidates=final,
            leaderboard=leaderboard(ensembles),
            selection=self._selection(ensembles[0]),
            chance=chance,
            best_config=best_config,
            best_value=best_value,
            seconds=record.seconds,
            ended=ended,
            warnings=(
                *self.warnings,
                *remarks.edges(decisions),
                *remarks.failures(trials),
                *remarks.untrained(chance),
                *remarks.hopeless(ensembles[0].honest_score, self.guess_scores["select"]),
                *remarks.ending(ended),
                *remarks.versions(record.versions, versions()),
            ),
        )


def whole(name: str, value: object) -> int:
    """The value as an int; ValueError unless it is a whole number ≥ 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, but got {value!r}")
    return int(value)


def _nothing_found(failures: Sequence[str], plan: Plan, stop: Stop) -> BaseException:
    if len(failures) == plan.n_trials:
        return AllTrialsFailed(f"all {len(failures)} trials failed; the first: {failures[0]}")
    if stop.interrupted:
        return KeyboardInterrupt("interrupted before the first trials were finished")
    return TimeoutError("the timeout came before the first trials were finished; give more time or fewer epochs")


def _early_end(record: StudyRecord, stop: Stop) -> str:
    """How a run ended that did not come to the end of its plan, as a key of `ENDINGS`."""
    if stop.interrupted:
        return "interrupted"
    return "unfinished" if record.read_only else "timeout"
