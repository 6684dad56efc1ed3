"""What the held-out rows say of members: the losses that ensembles are chosen by, and how unseen errors count.

Votes are chosen by selection rows and by all validation rows: these have ranked the trials, but many members can only
be told apart by many rows. What an ensemble is worth is told by selection rows alone.

Choices are made by log-loss or squared error, whatever the score: they are smooth where an accuracy is not. Laplace's
rule of succession keeps overconfidence from looking good on few rows: errors not seen among n rows still come about
once in n + 1, so that with probability 1 / (n + 1) any class is as likely to be true as the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.ensemble.members import Member

Floats = NDArray[np.float64]
RowNumbers = NDArray[np.int64]

SMALLEST = 1e-15
"""A probability that is smaller counts as this one."""
MOST_ROWS = 2_500
"""Rows that votes for classes are chosen by; of more, validation and selection, a part is taken, evenly spread."""
N_UNSEEN = 64
"""Rows that stand for the errors not seen."""


@dataclass(frozen=True)
class RowLosses:
    """Losses of several predictions on the selection rows: log-losses for classes, squared errors for numbers.

    Attributes:
        of_truth: (n, n_select) float64, with the targets as they are.
        of_any: (n, n_select) float64, with every class as likely as the others; for numbers the same as `of_truth`.
        row_weights: (n_select,) float64.
    """

    of_truth: Floats
    of_any: Floats
    row_weights: Floats

    def on(self, rows: RowNumbers) -> Floats:
        """(n, n_rows), of these positions among the selection rows; the plain mean is the weighted mean loss."""
        unseen = 1 / (len(rows) + 1)
        losses = (1 - unseen) * self.of_truth[:, rows] + unseen * self.of_any[:, rows]
        weights = self.row_weights[rows]
        return np.asarray(losses * (weights / (weights.mean() or 1.0)))


@dataclass(frozen=True)
class Evidence:
    """The members' predictions for the held-out rows of a dataset; `rows` are positions among its selection rows.

    Attributes:
        members: those that may vote.
        entries: (n_members, n_heldout) float64, the probability of the true class, at least `SMALLEST`, or the error;
            of validation rows, then of selection rows.
        targets: (n_select, n_outputs) float64.
        row_weights: (n_heldout,) float64.
        of_classes: is it log-loss, and not squared error?
    """

    members: Sequence[Member]
    entries: Floats
    targets: Floats
    row_weights: Floats
    of_classes: bool

    @classmethod
    def of(cls, members: Sequence[Member], dataset: Dataset) -> "Evidence":
        held = dataset.rows.heldout
        targets = dataset.targets[held].astype(np.float64)
        of_classes = dataset.task != "regression"
        entries = np.empty((len(members), len(held)))
        for own, member in zip(entries, members, strict=True):
            if of_classes:
                np.maximum((targets * member.predictions).sum(axis=1), SMALLEST, out=own)
            else:
                own[:] = (member.predictions - targets)[:, 0]
        weights = dataset.row_weights[held].astype(np.float64)
        return cls(members, entries, targets[len(dataset.rows.valid) :], weights, of_classes)

    @property
    def n_rows(self) -> int:
        return len(self.targets)

    @property
    def row_losses(self) -> Floats:
        """(n_members, n_heldout) the loss of each member on each row; the plain mean is the weighted mean loss."""
        losses = -np.log(self.entries) if self.of_classes else np.square(self.entries)
        return np.asarray(losses * (self.row_weights / (self.row_weights.mean() or 1.0)))

    def probabilities(self, positions: RowNumbers, rows: RowNumbers) -> tuple[Floats, Floats]:
        """Of members: what they gave to what was true on these rows and, last, to any class; and weights of sum one.

        These rows are the validation rows and, of the selection rows, those given.

        Returns (n_members, n_entries) and (n_entries,), as `greedy_log_loss` and `stack_log_loss` take them.
        """
        judging = self._with_validation(rows)
        seen, others, n_classes = _spread(judging, MOST_ROWS), _spread(judging, N_UNSEEN), self.targets.shape[1]
        unseen = 1 / (len(judging) + 1)
        of_any = [self.members[position].predictions[others].ravel() for position in positions]
        return (
            np.hstack([self.entries[np.ix_(positions, seen)], np.maximum(of_any, SMALLEST)]),
            np.append(
                (1 - unseen) * self._shares(seen), unseen * np.repeat(self._shares(others), n_classes) / n_classes
            ),
        )

    def products(self, positions: RowNumbers, rows: RowNumbers) -> Floats:
        """(n_members, n_members), weighted mean products of two members' errors, for `greedy_squared_error`.

        On the validation rows and, of the selection rows, those given.
        """
        judging = self._with_validation(rows)
        errors = self.entries[np.ix_(positions, judging)]
        return np.asarray((errors * self._shares(judging)) @ errors.T)

    @property
    def n_valid(self) -> int:
        return int(self.entries.shape[1]) - self.n_rows

    def _with_validation(self, rows: RowNumbers) -> RowNumbers:
        """Positions among the held-out rows: all validation rows, and these selection rows."""
        return np.concatenate([np.arange(self.n_valid), self.n_valid + rows])

    def _shares(self, held: RowNumbers) -> Floats:
        """The weights of these held-out rows, scaled to a sum of one."""
        weights = self.row_weights[held]
        return weights / weights.sum() if weights.any() else np.full(len(held), 1 / len(held))

    def mixed(self, votes: Floats, rows: RowNumbers) -> Floats:
        """The votes' weighted average of the predictions, (n_rows, n_outputs)."""
        total = np.zeros((len(rows), self.targets.shape[1]))
        for position in np.flatnonzero(votes).tolist():
            total += votes[position] * self.members[position].predictions[-self.n_rows :][rows]
        return total

    def running(self, positions: Iterable[int]) -> RowLosses:
        """The losses of the averages of the first 1, 2, … of these members."""
        total, averages = np.zeros_like(self.targets), []
        for count, position in enumerate(positions, start=1):
            total += self.members[position].predictions[-self.n_rows :]
            averages.append(self.losses(total / count, np.arange(self.n_rows)))
        of_truth, of_any = zip(*averages, strict=True)
        return RowLosses(np.array(of_truth), np.array(of_any), self.row_weights[self.n_valid :])

    def losses(self, predictions: Floats, rows: RowNumbers) -> tuple[Floats, Floats]:
        """(n_rows,) each: with the targets as they are, and with every class as likely as the others."""
        if not self.of_classes:
            squared = np.square(predictions - self.targets[rows]).sum(axis=1)
            return squared, squared
        log_losses = -np.log(np.maximum(predictions, SMALLEST))
        return (self.targets[rows] * log_losses).sum(axis=1), log_losses.mean(axis=1)


def loses_clearly_more(losses: Floats, others: Floats) -> bool:
    """Is the mean of `losses` (n_rows,) greater than that of `others`, by two standard errors of their difference?"""
    excess = losses - others
    return bool(excess.mean() > 2 * excess.std() / np.sqrt(len(excess)))


def _spread(rows: RowNumbers, most: int) -> RowNumbers:
    """The rows, or as many as allowed, evenly spread among them."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
