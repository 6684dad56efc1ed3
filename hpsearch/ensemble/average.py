"""Plain averages of the best models: how many of them is chosen on selection rows, and so is the kind.

Probabilities are averaged, not logits. Choices are made by log-loss or squared error, whatever the score: they are
smooth where an accuracy is not. A small ensemble easily looks good on few rows, so the largest wins whose loss is
within one standard error of the least (as Breiman et al. 1984 choose trees). The honest score repeats the whole choice
five times on four fifths of the selection rows, see `ensemble.honesty`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.honesty import fifths, honest_score
from hpsearch.ensemble.members import Library, Member
from hpsearch.orchestrator.standing import MAX_MEMBERS
from hpsearch.orchestrator.training import score_rows


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

    `honest_deviation`: of the scores of the five fifths, NaN where these are not defined. `honest_predictions`:
    (n_select, n_outputs) float64, each selection row by what was chosen without it. `test_score`: NaN until it is
    known, and without test rows. `temperature`: see `ensemble.calibration`.
    """

    name: str
    members: tuple[Member, ...]
    valid_value: float
    honest_score: float
    honest_deviation: float
    honest_predictions: NDArray[np.float64]
    test_score: float = float("nan")
    temperature: float = 1.0

    @property
    def votes(self) -> NDArray[np.float64]:
        return np.full(len(self.members), 1 / len(self.members))


@dataclass(frozen=True)
class RowLosses:
    """Losses of several predictions on the selection rows: log-losses for classes, squared errors for numbers.

    Attributes:
        of_truth: (n, n_select) float64, with the targets as they are.
        of_any: (n, n_select) float64, with every class as likely as the others; for numbers the same as `of_truth`.
        row_weights: (n_select,) float64.
    """

    of_truth: NDArray[np.float64]
    of_any: NDArray[np.float64]
    row_weights: NDArray[np.float64]

    def on(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, n_rows), of these positions among the selection rows; the plain mean is the weighted mean loss.

        Laplace: errors not seen among n rows still come about once in n + 1, and overconfidence pays for them.
        """
        unseen = 1 / (len(rows) + 1)
        losses = (1 - unseen) * self.of_truth[:, rows] + unseen * self.of_any[:, rows]
        weights = self.row_weights[rows]
        return np.asarray(losses * (weights / (weights.mean() or 1.0)))


@dataclass(frozen=True)
class Candidates:
    """Members of one kind, best first, and the losses of the averages of the first 1, 2, … of them."""

    members: list[Member]
    losses: RowLosses


def candidates(members: list[Member], dataset: Dataset) -> Candidates:
    """The members with the losses of their running averages; needs memory for the predictions of one of them only."""
    rows, n_valid = dataset.rows.select, len(dataset.rows.valid)
    targets = dataset.targets[rows].astype(np.float64)
    total = np.zeros_like(targets)
    of_truth, of_any = np.empty((2, len(members), len(rows)))
    for position, member in enumerate(members):
        total += member.predictions[n_valid:]
        average = total / (position + 1)
        if dataset.task == "regression":
            of_truth[position] = of_any[position] = np.square(average - targets).sum(axis=1)
        else:
            log_losses = -np.log(np.maximum(average, 1e-15))
            of_truth[position] = (targets * log_losses).sum(axis=1)
            of_any[position] = log_losses.mean(axis=1)
    return Candidates(members, RowLosses(of_truth, of_any, dataset.row_weights[rows].astype(np.float64)))


def average(members: Sequence[Member], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average predictions of all members for positions among the held-out rows, (n_positions, n_outputs) float64."""
    total = np.zeros((len(positions), members[0].predictions.shape[1]))
    for member in members:
        total += member.predictions[positions]
    return total / len(members)


def averages(library: Library, dataset: Dataset, scorer: Scorer, seed: int) -> list[Average]:
    """One ensemble of each kind and, first, the chosen one: the kind with the least loss on the selection rows."""
    kinds = {
        name: candidates(library.best_first(kind.weights)[: kind.max_members], dataset)
        for name, kind in KINDS.items()
        if library.best_first(kind.weights)
    }
    each = [_ensemble({name: kind}, dataset, scorer, seed) for name, kind in kinds.items()]
    chosen = _ensemble(kinds, dataset, scorer, seed)
    return [chosen, *(other for other in each if other.name != chosen.name)]


def _ensemble(kinds: Mapping[str, Candidates], dataset: Dataset, scorer: Scorer, seed: int) -> Average:
    """The best of the kinds, chosen on all selection rows, with the honest score of choosing so."""
    name, n_members = _choose(kinds, np.arange(len(dataset.rows.select)))
    members = tuple(kinds[name].members[:n_members])
    valid_predictions = average(members, np.arange(len(dataset.rows.valid)))
    valid_value = score_rows(scorer, dataset, dataset.rows.valid, valid_predictions)
    predictions, parts = _honest_predictions(kinds, dataset, seed)
    return Average(name, members, valid_value, *honest_score(predictions, parts, dataset, scorer), predictions)


def _choose(kinds: Mapping[str, Candidates], rows: NDArray[np.int64]) -> tuple[str, int]:
    """The kind with the least loss on these selection rows, and how many of its members vote; ties go to the first."""
    best_name, best_n, least = "", 0, np.inf
    for name, kind in kinds.items():
        losses = kind.losses.on(rows)
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


def _honest_predictions(
    kinds: Mapping[str, Candidates], dataset: Dataset, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The predictions of each fifth of the selection rows by what is chosen on the others, and which fifth is whose."""
    select, n_valid = dataset.rows.select, len(dataset.rows.valid)
    parts = fifths(dataset, seed)
    predictions = np.empty((len(select), dataset.n_outputs))
    for part in range(parts.max() + 1):
        name, n_members = _choose(kinds, np.flatnonzero(parts != part))
        fifth = np.flatnonzero(parts == part)
        predictions[fifth] = average(kinds[name].members[:n_members], n_valid + fifth)
    return predictions, parts


def leaderboard(ensembles: Sequence[Average]) -> pd.DataFrame:
    """Ensembles and best single models, the chosen one first, then by honest score.

    Columns: ensemble, n_members, valid_value (chosen on), honest_score, honest_deviation (between the fifths),
    test_score, chosen.
    """
    chosen, *others = ensembles
    # a score that is not defined comes last
    ordered = [chosen, *sorted(others, key=lambda other: (np.isnan(other.honest_score), -other.honest_score))]
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
