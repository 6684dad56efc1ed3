"""A study: one question on one dataset, checked at the door, planned, carried out or read again.

`search` and the command line are thin around it. `carry_out` consumes the records of the one loop and turns them into
an ensemble and the findings.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.data.dataset import Dataset, prepare
from hpsearch.data.scoring import Scorer
from hpsearch.diagnostics.sanity import loss_at_chance
from hpsearch.ensemble.average import Average, averages, leaderboard
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.ensemble.members import Library, Member, member_table
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.recipe import BOUNDS, HYPERPARAMETERS
from hpsearch.mlp.train import Fit, steps_per_epoch
from hpsearch.orchestrator.learners import MLPLearner, default_space, largest_batch
from hpsearch.orchestrator.plan import Plan, default_max_epochs, random_stage
from hpsearch.orchestrator.run import Problem, RungRecord, Workers, run, train_again
from hpsearch.orchestrator.stop import Stop
from hpsearch.record.tables import history_table, trial_table
from hpsearch.record.trials import StudyRecord
from hpsearch.report.curves import Curves
from hpsearch.report.findings import Findings
from hpsearch.report.progress import ProgressReport
from hpsearch.space.distributions import Choice, Distribution
from hpsearch.space.refine import EDGE, boundary_check
from hpsearch.space.space import SearchSpace

Callback = Callable[[RungRecord], object]


class AllTrialsFailed(RuntimeError):
    """No trial gave a model that can predict; the message holds the advice of the first of them."""


@dataclass(frozen=True)
class Study:
    """One question on one dataset, checked.

    Attributes:
        problem: the data, the space, the learner, the score and the seed.
        learner: the problem's, as the MLP engine's own.
        max_epochs: of the longest trials.
        title: of the report.
    """

    problem: Problem[Fit]
    learner: MLPLearner
    max_epochs: int
    title: str

    @classmethod
    def of(
        cls, X: object, y: object, *, title: str, space: Mapping[str, object] | None = None,
        max_epochs: int | None = None, random_state: int = 0, scoring: str | None = None, **data: Any,
    ) -> "Study":  # fmt: skip
        """Check what is asked: the arguments are those of `search`, `data` those of `prepare`.

        Raises:
            ValueError: for the first thing that is wrong, naming argument, value and rule.
        """
        if max_epochs is not None:
            check_whole("max_epochs", max_epochs)
        asked = SearchSpace.of(space or {})
        asked.check_names(HYPERPARAMETERS)
        dataset = prepare(X, y, random_state=random_state, **data)
        n_train = len(dataset.rows.train)
        whole = default_space(n_train).replace(asked.entries).with_natural_bounds(BOUNDS)
        _check_values(whole)
        epochs = max_epochs or default_max_epochs(steps_per_epoch(n_train, largest_batch(whole)))
        learner = MLPLearner.of(dataset, order_seed=random_state, horizon=epochs)
        scorer = Scorer.of(scoring, dataset.target)
        return cls(Problem(dataset, whole, learner, scorer, random_state), learner, epochs, title)

    @property
    def dataset(self) -> Dataset:
        return self.problem.dataset

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same when the study is continued."""
        return {
            "data": self.dataset.fingerprint,
            "space": self.problem.space.to_json(),
            "scoring": self.problem.scorer.name,
            "random_state": self.problem.seed,
            "max_epochs": self.max_epochs,
        }

    def plan(self, record: StudyRecord, n_trials: int) -> Plan:
        """The plan as it was recorded, topped up to `n_trials` and recorded again.

        Raises:
            ValueError: if the record is of another question, or has more trials already.
        """
        record.identify(self.identity)
        plan = self.planned(record, n_trials)
        record.plan = plan.to_json()
        return plan

    def planned(self, record: StudyRecord | None, n_trials: int) -> Plan:
        """As `plan`, but nothing is written; a new plan where nothing is recorded."""
        if record is None or record.plan is None:
            return Plan((random_stage(n_trials, self.max_epochs),))
        # an identity is recorded before a plan, so it is only compared here
        record.identify(self.identity)
        return Plan.from_json(record.plan).topped_up(n_trials)

    def carry_out(
        self, plan: Plan, record: StudyRecord, stop: Stop, *, n_jobs: int | None = -1, backend: str | None = None,
        callbacks: Sequence[Callback] = (), refit: bool = False, verbose: int = 0,
    ) -> tuple[Ensemble, Findings]:  # fmt: skip
        """Run the plan, and make the ensemble and the findings of what was finished.

        With a stop that is requested already, nothing is trained or written: what is kept is read again.

        Raises:
            AllTrialsFailed: if every trial that was trained failed.
            KeyboardInterrupt, TimeoutError: if it was stopped before the first trials were finished.
        """
        began, only_reads, was_over = time.monotonic(), stop.requested(), _is_over(record, plan)
        library, curves = Library(), Curves(plan)
        with stop.on_interrupt(), one_blas_thread(), Workers(n_jobs, backend) as workers:
            chance = self._loss_at_chance(plan)
            with ProgressReport(plan, verbose) as progress:
                for event in run(self.problem, plan, record, workers, stop):
                    progress.update(event)
                    if isinstance(event, RungRecord):
                        library.add(event)
                        curves.add(event)
                        for callback in callbacks:
                            callback(event)
            if len(library) == 0:
                raise _nothing_found(curves.failures(), plan, stop)
            ensembles = averages(library, self.dataset, self.problem.scorer, self.problem.seed)
            fits = self._train_again(ensembles[0], record, workers, stop) if refit else None
        if not only_reads and not was_over:
            record.add_seconds(time.monotonic() - began)
        ended = "interrupted" if stop.interrupted else "unfinished" if only_reads else "timeout"
        if _is_over(record, plan) and (fits is not None or not refit):
            ended = "finished"
        findings = self._findings(plan, record, ensembles, library, curves, chance, ended)
        return self._ensemble(ensembles[0], record, fits), findings

    def _loss_at_chance(self, plan: Plan) -> pd.DataFrame:
        configs = [self.problem.space.draw(self.problem.seed, 0, n) for n in range(plan.stages[0].n_trials)]
        recipes = [self.learner.recipe(config) for config in configs]
        return loss_at_chance(recipes, self.learner.examples(self.dataset))

    def _train_again(
        self, chosen: Average, record: StudyRecord, workers: Workers, stop: Stop
    ) -> dict[tuple[int, int], Fit] | None:
        """The chosen members, trained on all rows but the test rows; None if it was stopped before."""
        members = {(member.result.number, member.result.epochs): member.result for member in chosen.members}
        return train_again(self.problem, list(members.values()), record.refits, workers, stop)

    def _ensemble(self, chosen: Average, record: StudyRecord, fits: Mapping[tuple[int, int], Fit] | None) -> Ensemble:
        networks = []
        for member in chosen.members:
            fit = self._kept_fit(member, record) if fits is None else fits[member.result.number, member.result.epochs]
            networks.append(self.learner.predictor(fit, member.weights))
        return Ensemble(
            name=chosen.name,
            encoding=self.dataset.encoding,
            target=self.dataset.target,
            networks=tuple(networks),
            votes=chosen.votes,
            about=self._about(chosen, refitted=fits is not None),
        )

    def _kept_fit(self, member: Member, record: StudyRecord) -> Fit:
        saved = record.checkpoints.load(member.result.number, member.result.epochs)
        if saved is None:
            raise FileNotFoundError(
                f"the checkpoint of trial {member.result.number} at {member.result.epochs} epochs has disappeared"
            )
        return self.learner.load(*saved)

    def _about(self, chosen: Average, refitted: bool) -> dict[str, Any]:
        scores = {
            "valid_value": chosen.valid_value,
            "honest_score": chosen.honest_score,
            "test_score": chosen.test_score,
        }
        return {
            "scoring": self.problem.scorer.name,
            **{name: score if math.isfinite(score) else None for name, score in scores.items()},
            "random_state": self.problem.seed,
            "refit": refitted,
            "members": [
                {
                    "trial_number": member.result.number,
                    "epoch": member.result.epochs,
                    "weights": member.weights,
                    "seed": member.result.seed,
                    "config": member.result.config,
                }
                for member in chosen.members
            ],
        }

    def _findings(
        self, plan: Plan, record: StudyRecord, ensembles: Sequence[Average], library: Library, curves: Curves,
        chance: pd.DataFrame, ended: str,
    ) -> Findings:  # fmt: skip
        trials = trial_table(record.study)
        decisions = boundary_check(curves.at_their_best(trials), self.problem.space, len(plan.stages) - 1)
        best = library.best_first("ema")[0]
        rows = self.dataset.rows
        return Findings(
            title=self.title,
            task=self.dataset.task,
            target=self.dataset.target.name,
            n_rows={part: len(getattr(rows, part)) for part in ("train", "valid", "select", "test")},
            n_columns=len(self.dataset.encoding.column_names),
            n_inputs=self.dataset.n_inputs,
            scoring=self.problem.scorer.name,
            space=self.problem.space,
            plan=plan.to_json(),
            trials=trials,
            history=history_table(curves.histories()),
            members=member_table({average.name: (average.members, average.votes) for average in ensembles}),
            decisions=decisions,
            leaderboard=leaderboard(ensembles),
            chance=chance,
            best_config=best.result.config,
            best_value=best.valid_value,
            seconds=record.seconds,
            ended=ended,
            warnings=(*self.dataset.warnings, *_warnings(decisions, chance, ended)),
        )


def check_whole(name: str, value: object) -> None:
    """ValueError unless `value` is a whole number ≥ 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, but got {value!r}")


def _check_values(space: SearchSpace) -> None:
    """ValueError if an end of a range, a choice or a fixed value is not one the engine takes."""
    for name, entry in space.entries.items():
        if isinstance(entry, Choice):
            values: tuple[Any, ...] = tuple(entry.values)
        else:
            values = (entry.low, entry.high) if isinstance(entry, Distribution) else (entry,)
        for value in values:
            MLPLearner.check({name: value})


def _nothing_found(failures: Sequence[str], plan: Plan, stop: Stop) -> BaseException:
    if len(failures) == plan.n_trials:
        return AllTrialsFailed(f"all {len(failures)} trials failed; the first: {failures[0]}")
    if stop.interrupted:
        return KeyboardInterrupt("interrupted before the first trials were finished")
    return TimeoutError("the timeout came before the first trials were finished; give more time or fewer epochs")


def _is_over(record: StudyRecord, plan: Plan) -> bool:
    """Have all trials of the plan come to their end?"""
    trials = record.study.get_trials(deepcopy=False)
    return len(trials) == plan.n_trials and all(trial.state.is_finished() for trial in trials)


def _warnings(decisions: pd.DataFrame, chance: pd.DataFrame, ended: str) -> list[str]:
    edges = decisions.loc[decisions["verdict"] == EDGE, "sentence"]
    unhealthy = chance.loc[chance["verdict"] != "as it should be", "sentence"]
    stopped = {
        "timeout": "The timeout ended the search early",
        "interrupted": "Ctrl-C or SIGTERM ended the search early",
        "unfinished": "The search is not finished: this is what is kept of it so far",
    }
    return [*edges, *unhealthy, *([stopped[ended]] if ended in stopped else [])]
