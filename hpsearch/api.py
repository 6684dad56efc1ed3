"""`search`: from a table and a target to a tuned ensemble and the tables that tell how it came about."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hpsearch.ensemble.ensemble import Ensemble
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
        """The hyperparameters of the trial with the best value on the validation rows."""
        return self.findings.best_config

    @property
    def best_value(self) -> float:
        """Its score on the validation rows, at the best of its rung ends (`trials` has the last).

        It was chosen for it: read `honest_score` instead.
        """
        return self.findings.best_value

    @property
    def honest_score(self) -> float:
        """The score of the whole choice of an ensemble on rows that nothing was chosen on."""
        return float(self.findings.chosen["honest_score"])

    @property
    def test_score(self) -> float:
        """The ensemble's score on the test rows; NaN without any."""
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
    def decisions(self) -> pd.DataFrame:
        """One row per stage, numeric hyperparameter and side of its range: do the best trials crowd there?"""
        return self.findings.decisions

    def leaderboard(self) -> pd.DataFrame:
        """Ensembles and best single models by validation, honest and test score, the chosen one first."""
        return self.findings.leaderboard.copy()

    def summary(self) -> pd.DataFrame:
        """The run in ten rows."""
        return summary_table(self.findings)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page and return its path."""
        write_page(self.findings, Path(path))
        return Path(path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ensemble as a model folder, to be read by `hpsearch.load`."""
        self.ensemble.save(path)


def search(
    X: object,
    y: object,
    *,
    space: Mapping[str, object] | None = None,
    n_trials: int = 64,
    max_epochs: int | None = None,
    timeout: float | None = None,
    n_jobs: int | None = -1,
    backend: str | None = None,
    random_state: int = 0,
    scoring: str | None = None,
    task: str | None = None,
    categorical: Sequence[str | int] | None = None,
    sample_weight: object = None,
    X_test: object = None,
    y_test: object = None,
    test_size: float | int | None = None,
    refit: bool = False,
    storage: Storage = None,
    study_name: str = "search",
    fits: str | os.PathLike[str] | None = None,
    synchronous: str = "normal",
    callbacks: Sequence[Callback] = (),
    title: str | None = None,
    verbose: int = 1,
) -> Result:
    """Search the hyperparameters of MLPs for a table by random search with successive halving, and build an ensemble.

    Args:
        X: DataFrame or array, (n_rows, n_columns). Text, booleans and pandas categories become one-hot inputs.
        y: class labels of any kind, or numbers, (n_rows,); or the name of a column of X.
        space: name → distribution, or a plain value that fixes it; replaces entries of the default space by name.
            Distributions of Optuna and `scipy.stats` are understood.
        n_trials: the study's total, ≥ 1. A later call with more appends a stage of the missing ones; one with fewer
            changes nothing.
        max_epochs: of the longest trials, ≥ 1; by default enough for about 3,000 minibatches. A third and a ninth of
            it are the first rungs.
        timeout: seconds; what is finished by then is used. Bit-identity across `n_jobs` does not hold with it.
        n_jobs, backend: joblib's; threads by default, since training releases the GIL. None: see
            `joblib.parallel_config`.
        random_state: seed of everything, 0 to 2⁶⁴ − 1.
        scoring: scikit-learn's name of a score; log-loss or RMSE by default, negated.
        task: "binary", "multiclass" or "regression", where it is not to be inferred.
        categorical: columns that are categories though they look like numbers.
        sample_weight: (n_rows,) ≥ 0, for training and scores.
        X_test, y_test: rows for nothing but a last score; or `test_size`, a share or a number of rows to take from X.
        refit: train the chosen members again on all rows but the test rows. The scores shown are of the models before.
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
    study = Study.of(
        X, y, title=title or study_name, space=space, max_epochs=max_epochs, random_state=random_state,
        scoring=scoring, task=task, categorical=categorical, sample_weight=sample_weight, X_test=X_test, y_test=y_test,
        test_size=test_size,
    )  # fmt: skip
    if not isinstance(refit, bool) or not isinstance(verbose, int):
        raise ValueError(f"refit must be True or False and verbose a whole number, but got {refit!r} and {verbose!r}")
    n_trials, stop, workers = whole("n_trials", n_trials), Stop(timeout), Workers(n_jobs, backend)
    if not (isinstance(callbacks, Sequence) and all(callable(callback) for callback in callbacks)):
        raise ValueError(f"callbacks must be a list of functions of a RungRecord, but got {callbacks!r}")
    with open_record(storage, study_name, fits, synchronous=synchronous) as record:
        plan = study.plan(record, n_trials)
        ensemble, findings = study.carry_out(
            plan, record, stop, workers, callbacks=callbacks, refit=refit, verbose=verbose
        )
    for sentence in findings.warnings:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return Result(ensemble, findings)
