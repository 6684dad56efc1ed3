"""What a worker does: train the models of a cohort further, and score them.

Worker processes import this module, and not the loop's: estimators are trained without the engine of networks.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.mlp.outcome import Outcome, unscored
from hpsearch.orchestrator.cohorts import Cohort, Task
from hpsearch.orchestrator.learner import F, Learner
from hpsearch.orchestrator.stop import Stop


@dataclass(frozen=True)
class Kept(Generic[F]):
    """The fit of one model, and at which budget it was kept."""

    fit: F
    budget: int


@dataclass(frozen=True)
class FoldResult:
    """One fold of a trial at the end of a rung: as `TrialResult`, but for `scores`, which are by kind of weights."""

    number: int
    fold: int
    epochs: int
    scores: dict[str, tuple[float, ...]]
    history: NDArray[np.float64]
    predictions: dict[str, NDArray[np.float32]]
    outcome: Outcome | None
    fit_seconds: float
    score_seconds: float

    @property
    def value(self) -> float:
        """What ranks it: the first score by the last kind of weights, NaN if it failed."""
        return float("nan") if self.outcome is not None else list(self.scores.values())[-1][0]


@dataclass(frozen=True)
class Trained(Generic[F]):
    """What a worker sends back for one fold of a trial: the fit of this one model, whether it `is_new`, how it did."""

    fit: F
    is_new: bool
    result: FoldResult


def train_cohort(
    learner: Learner[F], part: Dataset, scorers: Sequence[Scorer], cohort: Cohort, so_far: Sequence[Kept[F] | None],
    budget: int, stop: Stop,
) -> list[Trained[F]]:  # fmt: skip
    """What a worker does: start or go on with the models of a cohort, and score those that got to the end."""
    began = time.monotonic()
    fits = [
        learner.start([task.config], [task.seed]) if kept is None else kept.fit
        for task, kept in zip(cohort, so_far, strict=True)
    ]
    fit = learner.advance(learner.concatenate(fits), part, budget, stop.requested)
    each = (time.monotonic() - began) / len(cohort)
    trained = []
    for model, (task, kept) in enumerate(zip(cohort, so_far, strict=True)):
        one = learner.take(fit, [model])
        if one.epochs[0] == budget or one.outcomes[0] is not None:
            is_new = kept is None or kept.budget < budget
            began = time.monotonic()
            result = _evaluate(learner, part, scorers, task, one)
            if is_new:
                result = replace(result, fit_seconds=each, score_seconds=time.monotonic() - began)
            trained.append(Trained(one, is_new, result))
    return trained


def _evaluate(learner: Learner[F], part: Dataset, scorers: Sequence[Scorer], task: Task, fit: F) -> FoldResult:
    outcome = fit.outcomes[0] if fit.outcomes[0] is None or fit.outcomes[0].failed else None
    nothing = dict.fromkeys(learner.weights, (float("nan"),) * len(scorers))
    predictions, scores = {}, {} if outcome is None else nothing
    if outcome is None:
        valid = slice(0, len(part.rows.valid))
        for weights in learner.kinds(fit):
            predictions[weights] = learner.predict(fit, part, part.rows.heldout, weights)[0]
            scores[weights] = tuple(
                score_rows(scorer, part, part.rows.valid, predictions[weights][valid]) for scorer in scorers
            )
        if not np.isfinite([values[0] for values in scores.values()]).all():
            outcome = unscored(int(fit.epochs[0]), scorers[0].name)
            predictions, scores = {}, nothing
    epochs = int(fit.epochs[0])
    return FoldResult(task.number, task.fold, epochs, scores, fit.history[0], predictions, outcome, 0.0, 0.0)


def score_rows(scorer: Scorer, dataset: Dataset, rows: NDArray[np.int64], predictions: NDArray[np.floating]) -> float:
    """The score of `predictions` (n_rows, n_outputs) for these rows of the dataset, NaN where it has none."""
    weights = None if dataset.sample_weight is None else dataset.sample_weight[rows]
    try:
        return scorer(dataset.y[rows], predictions, weights)
    except (ValueError, ArithmeticError):
        return float("nan")
