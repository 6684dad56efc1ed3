"""Plain averages of the best models: how many of them is chosen on selection rows, and so is the kind.

Probabilities are averaged, not logits. Choices are made by log-loss or squared error, whatever the score: they are
smooth where an accuracy is not. A small ensemble easily looks good on few rows, so the largest wins whose loss is
within one standard error of the least (as Breiman et al. 1984 choose trees). The honest score repeats the whole choice
five times on four fifths of the selection rows; what was chosen predicts the remaining fifth, and the predictions of
all five are scored together. (The mean of five scores would do for a log-loss. An R² or an area under a curve is biased
on few rows, and not defined where a class is missing.)
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.data.splits import rotations, strata
from hpsearch.ensemble.members import Library, Member
from hpsearch.orchestrator.run import score_rows

MAX_MEMBERS = 32


@dataclass(frozen=True)
class Kind:
    """A way to make an ensemble: the best `max_members` or fewer, by one kind of weights."""

    weights: str
    max_members: int


KINDS = {
    "best_model": Kind("raw", 1),
    "best_model_ema": Kind("ema", 1),
    "top_models": Kind("raw", MAX_MEMBERS),
    "top_models_ema": Kind("ema", MAX_MEMBERS),
}


@dataclass(frozen=True)
class Average:
    """A chosen ensemble: members that vote equally, and its scores.

    `honest_deviation`: of the scores of the five fifths, NaN where these are not defined. `test_score`: NaN until it is
    known, and without test rows.
    """

    name: str
    members: tuple[Member, ...]
    valid_value: float
    honest_score: float
    honest_deviation: float
    test_score: float = float("nan")

    @property
    def votes(self) -> NDArray[np.float64]:
        return np.full(len(self.members), 1 / len(self.members))


@dataclass(frozen=True)
class Heldout:
    """The held-out rows of a dataset, in the order of the members' predictions."""

    dataset: Dataset
    scorer: Scorer

    @property
    def select(self) -> NDArray[np.int64]:
        """Positions of the selection rows."""
        return len(self.dataset.rows.valid) + np.arange(len(self.dataset.rows.select))

    def score(self, predictions: NDArray[np.floating], positions: NDArray[np.int64]) -> float:
        """The score of predictions (n_positions, n_outputs) for these positions; NaN where it is not defined."""
        return score_rows(self.scorer, self.dataset, self.dataset.rows.heldout[positions], predictions)

    def losses(self, predictions: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-losses or squared errors of several predictions, (n, n_positions, n_outputs) → (n, n_positions).

        They carry the row weights, so that their plain mean is the weighted mean loss.
        """
        rows = self.dataset.rows.heldout[positions]
        targets, row_weights = self.dataset.targets[rows], self.dataset.row_weights[rows].astype(np.float64)
        if self.dataset.task == "regression":
            losses = np.square(predictions - targets).sum(axis=2)
        else:
            # Laplace: errors not seen among n rows still come about once in n + 1, and overconfidence pays for them
            unseen = 1 / (len(rows) + 1)
            expected = (1 - unseen) * targets + unseen / targets.shape[1]
            losses = -(expected * np.log(np.maximum(predictions, 1e-15))).sum(axis=2)
        return np.asarray(losses * (row_weights / (row_weights.mean() or 1.0)))


def running_averages(members: Sequence[Member], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average predictions of the first 1, 2, … members, (n_members, n_positions, n_outputs) float64."""
    predictions = np.stack([member.predictions[positions] for member in members]).astype(np.float64)
    counts = np.arange(1, len(members) + 1)
    return np.asarray(np.cumsum(predictions, axis=0) / counts[:, np.newaxis, np.newaxis])


def average(members: Sequence[Member], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average predictions of all members, (n_positions, n_outputs) float64; needs memory for one of them only."""
    total = np.zeros((len(positions), members[0].predictions.shape[1]))
    for member in members:
        total += member.predictions[positions]
    return total / len(members)


def averages(library: Library, dataset: Dataset, scorer: Scorer, seed: int) -> list[Average]:
    """One ensemble of each kind and, first, the chosen one: the kind with the least loss on the selection rows."""
    heldout = Heldout(dataset, scorer)
    ranked = {name: library.best_first(kind.weights)[: kind.max_members] for name, kind in KINDS.items()}
    names = tuple(KINDS)
    each = [_ensemble((name,), ranked, heldout, seed) for name in names]
    chosen = _ensemble(names, ranked, heldout, seed)
    return [chosen, *(other for other in each if other.name != chosen.name)]


def _ensemble(names: Sequence[str], ranked: dict[str, list[Member]], heldout: Heldout, seed: int) -> Average:
    """The best of the named kinds, chosen on all selection rows, with the honest score of choosing so."""
    name, n_members = _choose(names, ranked, heldout, heldout.select)
    members = tuple(ranked[name][:n_members])
    valid = np.arange(len(heldout.dataset.rows.valid))
    valid_value = heldout.score(average(members, valid), valid)
    return Average(name, members, valid_value, *_honest_score(names, ranked, heldout, seed))


def _choose(
    names: Sequence[str], ranked: dict[str, list[Member]], heldout: Heldout, positions: NDArray[np.int64]
) -> tuple[str, int]:
    """The kind with the least loss at these positions, and how many of its members vote; ties go to the first."""
    best_name, best_n, least = "", 0, np.inf
    for name in names:
        losses = heldout.losses(running_averages(ranked[name], positions), positions)
        n_members = most_members(losses)
        if losses[n_members - 1].mean() < least:
            best_name, best_n, least = name, n_members, losses[n_members - 1].mean()
    return best_name, best_n


def most_members(losses: NDArray[np.float64]) -> int:
    """The largest number of members whose mean loss is within one standard error of the least.

    Args:
        losses: (n_members, n_rows), of the average of the first 1, 2, … members on each row. The standard error is that
            of the paired difference to the best number.
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    standard_errors = excess.std(axis=1) / np.sqrt(excess.shape[1])
    return int(np.flatnonzero(excess.mean(axis=1) <= standard_errors)[-1]) + 1


def _honest_score(
    names: Sequence[str], ranked: dict[str, list[Member]], heldout: Heldout, seed: int
) -> tuple[float, float]:
    """The score of predicting each fifth of the selection rows by what is chosen on the others, and its deviation."""
    dataset, select = heldout.dataset, heldout.select
    parts = rotations(strata(dataset.y[dataset.rows.select], dataset.task), random_state=seed)
    predictions = np.empty((len(select), dataset.n_outputs))
    fifths = [np.flatnonzero(parts == part) for part in range(parts.max() + 1)]
    for fifth in fifths:
        name, n_members = _choose(names, ranked, heldout, np.delete(select, fifth))
        predictions[fifth] = average(ranked[name][:n_members], select[fifth])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        scores = np.array([heldout.score(predictions[fifth], select[fifth]) for fifth in fifths])
    defined = scores[np.isfinite(scores)]
    deviation = float(defined.std()) if len(defined) > 1 else float("nan")
    return heldout.score(predictions, select), deviation


def leaderboard(ensembles: Sequence[Average]) -> pd.DataFrame:
    """Ensembles and best single models, the chosen one first, then by honest score.

    Columns: ensemble, n_members, valid_value (chosen on), honest_score, honest_deviation (between the fifths),
    test_score, chosen.
    """
    chosen, *others = ensembles
    ordered = [chosen, *sorted(others, key=lambda other: -other.honest_score)]
    return pd.DataFrame(
        {
            "ensemble": [one.name for one in ordered],
            "n_members": [len(one.members) for one in ordered],
            "valid_value": [one.valid_value for one in ordered],
            "honest_score": [one.honest_score for one in ordered],
            "honest_deviation": [one.honest_deviation for one in ordered],
            "test_score": [one.test_score for one in ordered],
            "chosen": [one is chosen for one in ordered],
        }
    )
