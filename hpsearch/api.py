"""`search`: from a table and a target to a tuned ensemble and the tables that tell how it came about."""

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hpsearch.ensemble.calibration import brier_score, reliability
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.ensemble.importance import importance
from hpsearch.ensemble.threshold import Metric, Threshold, chosen_threshold
from hpsearch.orchestrator.knowledge import Like
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Workers
from hpsearch.orchestrator.stop import Stop
from hpsearch.record.trials import Storage, open_record
from hpsearch.report.findings import Findings, summary_table
from hpsearch.report.page import write_page
from hpsearch.study import Callback, Study, whole


@dataclass(frozen=True, repr=False)
class Result:
    """What a search found.

    Attributes:
        ensemble: predicts from raw columns; see `Ensemble`.
        findings: all tables and facts, from which the rest is taken.
    """

    ensemble: Ensemble
    findings: Findings

    def __repr__(self) -> str:
        return f"<Result: honest score {self.honest_score:.5g} ({self.findings.scoring}), {self.ensemble!r}>"

    @property
    def best_config(self) -> dict[str, Any]:
        """The hyperparameters of the best trial: by the mean over its seeds, of those that completed the plan."""
        return self.findings.best_config

    @property
    def best_value(self) -> float:
        """Its score on the validation rows, the mean over its seeds. It was chosen for it: read `honest_score`."""
        return self.findings.best_value

    @property
    def honest_score(self) -> float:
        """The score of the whole choice of an ensemble on rows that nothing was chosen on."""
        return float(self.findings.chosen["honest_score"])

    @property
    def test_score(self) -> float:
        """The score on the test rows of `ensemble`, its members trained again or not; NaN without test rows."""
        return float(self.findings.chosen["test_score"])

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: Optuna's columns, then `stage rung epochs seed outcome`; `value` is the last one."""
        return self.findings.trials

    @property
    def history(self) -> pd.DataFrame:
        """One row per trial and epoch: the learning curves."""
        return self.findings.history

    @property
    def members(self) -> pd.DataFrame:
        """One row per ensemble and member."""
        return self.findings.members

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per trial that completed the plan, the best first: what it scored with other seeds and rows."""
        return self.findings.candidates

    @property
    def decisions(self) -> pd.DataFrame:
        """What each stage said of the ranges, and what was decided: narrowed, widened, dropped; with a sentence."""
        return self.findings.decisions

    def leaderboard(self) -> pd.DataFrame:
        """Ensembles and best single models by validation, honest and test score, the chosen one first."""
        return self.findings.leaderboard.copy()

    def summary(self) -> pd.DataFrame:
        """The run in ten rows."""
        return summary_table(self.findings)

    @property
    def brier_score(self) -> float:
        """Mean squared error of the honest probabilities, less is better; see `ensemble.calibration`."""
        return brier_score(self.findings.selection)

    def reliability(self, label: object = None, n_bins: int = 10) -> pd.DataFrame:
        """How often what was predicted with a probability came true: one row per bin of probabilities.

        By the honest predictions of the selection rows, so before members were trained again; of the probability of
        `label`, by default the last of two classes, or the most likely of several. The columns are those of
        `ensemble.calibration.reliability`.
        """
        return reliability(self.findings.selection, label, n_bins)

    def threshold(self, metric: Metric) -> Threshold:
        """From which probability on to predict the second of two classes, and what that is worth, honestly.

        Args:
            metric: a score of labels as for `scoring`, such as "f1" or a callable; or costs, {(true label, predicted
                label): cost}, of which the mean is made least.

        Returns:
            The threshold, chosen on the honest predictions of the selection rows, with the value it was chosen for and
            an honest one. `result.ensemble.with_threshold(it.threshold)` predicts by it.

        Raises:
            ValueError: where there are not two classes, and for a metric that does not fit.
        """
        return chosen_threshold(self.findings.selection, metric)

    def importance(self, n_repeats: int = 5) -> pd.DataFrame:
        """What `scoring` loses when a column is shuffled: column, importance, deviation; the most important first.

        On at most 2,000 selection rows, each column `n_repeats` times, by `ensemble`: members that were trained again
        have seen these rows. See `ensemble.importance`.
        """
        return importance(self.ensemble, self.findings.selection, n_repeats)

    def report(self, path: str | os.PathLike[str], importance: pd.DataFrame | None = None) -> Path:
        """Write one self-contained HTML page, with the table of `importance()` if it is given; returns its path."""
        write_page(replace(self.findings, importance=importance), Path(path))
        return Path(path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ensemble as a model folder, to be read by `hpsearch.load`."""
        self.ensemble.save(path)


def search(
    X: object,
    y: object,
    *,
    effort: Literal["quick", "standard", "thorough"] = "standard",
    space: Mapping[str, object] | None = None,
    n_trials: int | None = None,
    max_epochs: int | None = None,
    plan: Plan | None = None,
    refine: Literal["off", "warn", "auto"] = "auto",
    first: Sequence[Mapping[str, object]] = (),
    like: Like = None,
    sampler: Callable[[int], Any] | None = None,
    estimator: object = None,
    error_score: float | str = math.nan,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    trusted: Sequence[str] = (),
    timeout: float | None = None,
    n_jobs: int | None = -1,
    backend: str | None = None,
    random_state: int = 0,
    scoring: object = None,
    cv: object = None,
    groups: object = None,
    task: str | None = None,
    categorical: Sequence[str | int] | None = None,
    sample_weight: object = None,
    class_weight: object = None,
    X_test: object = None,
    y_test: object = None,
    test_size: float | int | None = None,
    refit: bool | None = None,
    calibrate: bool = False,
    max_members: int | None = None,
    max_predict_ms: float | None = None,
    storage: Storage = None,
    study_name: str = "search",
    fits: str | os.PathLike[str] | None = None,
    synchronous: str = "normal",
    callbacks: Sequence[Callback] = (),
    title: str | None = None,
    verbose: int = 1,
) -> Result:
    """Search the hyperparameters of MLPs for a table, coarse to fine, and build an ensemble.

    Stage by stage, configs are drawn, trained shortly, and the best of them longer; between stages the ranges are
    narrowed to where the best trials lie, and widened where these crowd at an edge. The table `decisions` says why.

    Args:
        X: DataFrame or array, (n_rows, n_columns). Text, booleans and pandas categories become one-hot inputs.
        y: class labels of any kind, or numbers, (n_rows,); or the name of a column of X.
        space: name → distribution, or a plain value that fixes it; replaces entries of the default space by name.
            Distributions of Optuna and `scipy.stats` are understood.
        effort: how much to train: "quick", "standard" or "thorough", about 8 s, 25 s and 10 min for 20,000 rows of 20
            columns on two cores, growing with the rows. It stands for `n_trials` and `max_epochs` that are not given.
        n_trials: the study's total, ≥ 1; 24, 64 or 640 by effort. A later call with more appends a fine stage of the
            missing ones; one with fewer changes nothing.
        max_epochs: of the longest trials, ≥ 1; by default enough for 1,200, 3,600 or 24,000 minibatches, by effort. The
            first rungs are a third and a ninth of it, and a 27th where that makes 300 minibatches.
        plan: the stages, in the place of `n_trials` and `max_epochs`; see `Plan.of` for the default.
        refine: "auto" narrows and widens the ranges between stages, "warn" only says where the best trials crowd, and
            "off" says nothing.
        first: configs to try first, each name → value, such as the one in use; what they do not name is as in our
            default config, which always is among the first.
        like: the file of an earlier study, or (file, study_name): the first stage draws around its best trials.
        sampler: seed → a sampler of Optuna's, which then draws the configs of each stage, as in
            `lambda seed: optuna.samplers.TPESampler(seed=seed)`. Out of the promise of bit-identity.
        estimator: any classifier or regressor of scikit-learn's kind, or a Pipeline, to be searched instead of our
            networks; `space` then names its parameters. See `orchestrator.estimators`.
        error_score: with an `estimator` that raises: NaN fails the trial, a number is its value, "raise" raises.
        trial_timeout, trial_memory: seconds, and MB, that a trial of an `estimator` may take in each rung; it is
            ended, and fails, beyond them.
        trusted: names of types, "package.module.Class", that an `estimator` may hold besides the reviewed ones.
        timeout: seconds; what is finished by then is used. Bit-identity across `n_jobs` does not hold with it.
        n_jobs, backend: joblib's; threads by default, since training releases the GIL. None: see
            `joblib.parallel_config`.
        random_state: seed of everything, 0 to 2⁶⁴ − 1.
        scoring: scikit-learn's name of a score, or a callable of (estimator, X, y); a list or dict of several, of which
            the first ranks. Log-loss or RMSE by default, negated.
        cv: folds that every config is trained on, ranked by the mean: a number, a splitter of scikit-learn's, or pairs
            of row numbers. Half of each fold's held-out rows rank, half choose the ensemble. 1 is one split and no
            folds. By default our networks have five folds on tables of 100 to 3,999 rows, not counting test rows, ten
            or more of each class, and up to 1,000 columns.
        groups: (n_rows,) labels of rows that must not be torn apart by `cv`.
        task: "binary", "multiclass" or "regression", where it is not to be inferred.
        categorical: columns that are categories though they look like numbers.
        sample_weight: (n_rows,) ≥ 0, for training and scores.
        class_weight: a dict of label → weight > 0 (1 if not named), or "balanced" for weights inversely proportional to
            the rows of the classes. For the training loss only: scores, and all choices made by them, are as without.
            Probabilities are then of classes so weighted; to move decisions only, see `Result.threshold`.
        X_test, y_test: rows for nothing but a last score; or `test_size`, a share or a number of rows to take from X.
        refit: train the chosen members again on all rows but the test rows; by default so for our networks without
            folds and `class_weight`, which gain by it more than by anything else. One that then does clearly worse on
            rows it has seen than before it had seen them stays as it was. The scores shown are of the models before,
            but for the chosen row's `test_score`, which is that of the ensemble returned.
        calibrate: scale the chosen ensemble's probabilities by a temperature, fitted on the selection rows; its honest
            score stands first in `leaderboard()`, above that without. See `ensemble.calibration`.
        max_members: of the ensemble, ≥ 1, 10 by default; with folds each is a model per fold, unless `refit`.
        max_predict_ms: milliseconds, > 0, that the ensemble may take for 1,000 rows on one core: `predict_ms` of the
            leaderboard, which is counted and not measured. Our networks only.
        storage: None for memory; a file that keeps the trials, with a folder `<file>.fits` of checkpoints and lock
            beside it; a database URL; an Optuna storage. A study that is there is continued.
        study_name: its name in the storage.
        fits: another folder for the checkpoints; needed with a database URL for a study that can be resumed, and for
            the lock that keeps a second writer away.
        synchronous: "normal" survives kill -9, "full" a power failure too.
        callbacks: called with each `RungRecord`; an exception of theirs ends the search.
        title: of the report.
        verbose: 0 for silence.

    Returns:
        The result; also after Ctrl-C or `timeout`, of what was finished by then. What a user should know besides comes
        as UserWarnings at the end: where these are made errors, `storage` keeps what was found.

    Raises:
        ValueError: for bad data or arguments, before anything is trained or written.
        Locked: when another run is writing the same study.
        AllTrialsFailed: when no trial gave a usable model.
        KeyboardInterrupt, TimeoutError: when Ctrl-C or `timeout` came before the first trials were finished.
    """
    if not isinstance(plan, Plan | None):
        raise ValueError(f"plan must be a Plan, but got {plan!r}")
    if plan is not None and max_epochs is not None:
        raise ValueError(f"max_epochs={max_epochs!r} is given beside a plan, which has its own")
    study = Study.of(
        X, y, title=title or study_name, effort=effort, space=space,
        max_epochs=max_epochs if plan is None else plan.max_epochs,
        estimator=estimator, error_score=error_score, trial_timeout=trial_timeout, trial_memory=trial_memory,
        trusted=trusted, random_state=random_state, scoring=scoring, refine=refine, first=first, like=like,
        sampler=sampler, calibrate=calibrate, class_weight=class_weight,
        task=task, categorical=categorical, sample_weight=sample_weight, X_test=X_test, y_test=y_test,
        test_size=test_size, cv=cv, groups=groups,
    )  # fmt: skip
    if not isinstance(refit, bool | None) or not isinstance(verbose, int):
        raise ValueError(f"refit must be True or False and verbose a whole number, but got {refit!r} and {verbose!r}")
    n_trials = None if n_trials is None else whole("n_trials", n_trials)
    limits = study.limits(max_members, max_predict_ms)
    stop, workers = Stop(timeout), Workers(n_jobs, backend, study.problem.learner.prefer)
    if not (isinstance(callbacks, Sequence) and all(callable(callback) for callback in callbacks)):
        raise ValueError(f"callbacks must be a list of functions of a RungRecord, but got {callbacks!r}")
    with open_record(storage, study_name, fits, synchronous=synchronous) as record:
        ensemble, findings = study.carry_out(
            study.plan(record, n_trials, plan), record, stop, workers, callbacks=callbacks, refit=refit,
            limits=limits, verbose=verbose,
        )  # fmt: skip
    for sentence in findings.warnings:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return Result(ensemble, findings)
