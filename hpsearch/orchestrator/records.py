"""What the loop tells its consumers: trials at the end of a rung, cohorts, rungs and stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.mlp.outcome import Outcome
from hpsearch.orchestrator.cohorts import Task
from hpsearch.orchestrator.training import FoldResult


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
    def ranked_by(self) -> str:
        """The kind of weights that ranks it, the last one: the averaged ones of a network."""
        return list(self.values)[-1]

    @property
    def value(self) -> float:
        """What ranks it: the score by the last kind of weights."""
        return self.values[self.ranked_by]


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


def joined(
    dataset: Dataset, scorers: Sequence[Scorer], task: Task, budget: int, folds: Sequence[FoldResult]
) -> TrialResult:
    """A trial, from its folds: means of scores and curves, and the predictions of every row by its own fold."""
    ordered = sorted(folds, key=lambda one: one.fold)
    failed = [one.outcome for one in ordered if one.outcome is not None]
    # folds that ended at different epochs keep different weights besides
    kinds = [weights for weights in ordered[0].scores if all(weights in one.scores for one in ordered)]
    scores = {weights: np.array([one.scores[weights] for one in ordered]) for weights in kinds}
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
        scores={scorer.name: float(value) for scorer, value in zip(scorers, judging.mean(axis=0), strict=True)},
        history=_mean_history([one.history for one in ordered]),
        predictions={}
        if failed
        else {weights: out_of_fold(dataset, [one.predictions[weights] for one in ordered]) for weights in kinds},
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


def out_of_fold(dataset: Dataset, predictions: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n_heldout, n_outputs): each held-out row as it is predicted by the part of the dataset that held it out.

    predictions: (n_heldout_of_part, n_outputs) of each part.
    """
    if not dataset.folds:
        return predictions[0]
    place = np.empty(len(dataset.y), dtype=np.int64)
    place[dataset.rows.heldout] = np.arange(len(dataset.rows.heldout))
    joined = np.empty((len(dataset.rows.heldout), predictions[0].shape[1]), dtype=np.float32)
    for part, own in zip(dataset.folds, predictions, strict=True):
        joined[place[part.rows.heldout]] = own
    return joined
