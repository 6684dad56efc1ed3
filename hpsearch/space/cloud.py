"""Cloud: the trials of a study as points in unit coordinates, best first.

A trial that got further in the rungs stands before one that was cut earlier, whatever their values; failed ones are
last. A *position* is a unit coordinate in [0, 1]; it is NaN where a trial does not have the hyperparameter.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from hpsearch.space.distributions import Choice, Integer, LogUniform, Numeric, as_stored, as_value
from hpsearch.space.space import SearchSpace

Floats = NDArray[np.float64]

# With a third of the epochs, a rung lower by halving's usual factor, a trial has half the weight.
RUNG_FACTOR = 3

# Neighbours count by a Gaussian kernel over the root mean square distance per hyperparameter, of this width.
KERNEL_WIDTH = 0.11

# How far a trial that has another choice, or lacks the hyperparameter, is from one that has it.
OTHER_CHOICE = 0.5

# Scores are smoothed over no more than the best of so many.
MOST_SMOOTHED = 256


@dataclass(frozen=True)
class Cloud:
    """Trials, best first.

    positions: name → (n_trials,) unit coordinates in the space, NaN where absent.
    fidelities: (n_trials,) weights in (0, 1], less for those trained for fewer epochs.
    n_valued: trials with a value; they come first.
    """

    positions: Mapping[str, Floats]
    fidelities: Floats
    n_valued: int

    @classmethod
    def of(cls, trials: pd.DataFrame, space: SearchSpace) -> Self:
        """The cloud of a trial table: `number`, `value`, `params_<name>` and, where there is one, `epochs`."""
        value = trials["value"].to_numpy("float64", na_value=math.nan)
        valued = np.isfinite(value)
        epochs = np.ones(len(trials))
        if "epochs" in trials:
            epochs = trials["epochs"].to_numpy("float64", na_value=1.0)
        # lexsort ranks by its last key first.
        keys = (trials["number"].to_numpy(), np.where(valued, -value, 0.0), np.where(valued, -epochs, 0.0), ~valued)
        order = np.lexsort(keys)
        longest = max(1.0, float(epochs.max(initial=1.0)))
        return cls(
            {name: _positions(trials, name, space)[order] for name in space.distributions},
            1 / (1 + np.log(longest / np.maximum(epochs[order], 1.0)) / math.log(RUNG_FACTOR)),
            int(valued.sum()),
        )

    def __len__(self) -> int:
        return len(self.fidelities)

    def having(self, name: str) -> "Cloud":
        """The trials that have the hyperparameter."""
        absent = np.isnan(self.positions[name])
        return self.take(np.flatnonzero(~absent)) if absent.any() else self

    def take(self, rows: NDArray[np.intp]) -> "Cloud":
        """The trials of these rows, in this order; those with a value must come first."""
        positions = {name: position[rows] for name, position in self.positions.items()}
        return Cloud(positions, self.fidelities[rows], int((rows < self.n_valued).sum()))

    def scores(self) -> Floats:
        """(n_trials,) normal scores of the ranks: Φ⁻¹ of 1 − (rank + ½)/n, so that outliers do not matter."""
        return np.asarray(ndtri(1 - (np.arange(len(self)) + 0.5) / len(self)))

    def smoothed(self, choices: frozenset[str]) -> "Cloud":
        """The best trials with a value, sorted by the mean score of their neighbourhood instead of their own.

        One lucky point among bad ones falls back: score_i = Σ_j K_ij f_j z_j / Σ_j K_ij f_j over normal scores z and
        fidelities f, K_ij = exp(−d_ij² / (2 · KERNEL_WIDTH²)), d_ij² the mean square distance over hyperparameters, of
        which those named in `choices` are equal or OTHER_CHOICE apart (Nadaraya 1964, Watson 1964).
        """
        near = self.take(np.arange(min(len(self), MOST_SMOOTHED)))
        kernel = np.zeros((len(near), len(near)))
        for name, position in near.positions.items():
            apart = np.abs(position[:, None] - position)
            if name in choices:
                apart = np.where(apart > 0, OTHER_CHOICE, 0.0)
            absent = np.isnan(position)
            if absent.any():
                apart = np.where(absent[:, None] ^ absent, OTHER_CHOICE, np.where(absent, 0.0, apart))
            kernel += apart**2
        kernel = np.exp(kernel / (-2 * KERNEL_WIDTH**2 * max(1, len(near.positions)))) * near.fidelities
        means = (kernel * near.scores()).sum(axis=1) / kernel.sum(axis=1)
        return near.take(np.argsort(-means[: near.n_valued], kind="stable"))


def to_units(distribution: Numeric, values: Floats) -> Floats:
    """`distribution.to_unit` of every value, NaN for NaN."""
    clipped = np.clip(values, distribution.low, distribution.high)
    if isinstance(distribution, LogUniform):
        low, high = math.log(distribution.low), math.log(distribution.high)
        return np.clip((np.log(clipped) - low) / (high - low), 0.0, 1.0)
    if not isinstance(distribution, Integer):
        return (clipped - distribution.low) / (distribution.high - distribution.low)
    if not distribution.log:
        return (clipped - distribution.low + 0.5) / (distribution.high - distribution.low + 1)
    low, high = math.log(distribution.low - 0.5), math.log(distribution.high + 0.5)
    return ((np.log(clipped - 0.5) + np.log(clipped + 0.5)) / 2 - low) / (high - low)


def _positions(trials: pd.DataFrame, name: str, space: SearchSpace) -> Floats:
    column = f"params_{name}"
    # Optuna's table has no column for what no trial has.
    if column not in trials:
        return np.full(len(trials), math.nan)
    distribution = space.distributions[name]
    if isinstance(distribution, Choice):
        return _choice_positions(trials[column], distribution)
    # Text where a number is expected is another study's: not one of this space.
    return to_units(distribution, pd.to_numeric(trials[column], errors="coerce").to_numpy("float64", na_value=math.nan))


def _choice_positions(column: "pd.Series[Any]", choice: Choice) -> Floats:
    """Values may stand as they are, as tuples, or as the text Optuna stores; one that is no choice (any more) is NaN.

    An empty cell is None where that is a choice and no condition could explain it.
    """
    known = {as_stored(value): choice.to_unit(value) for value in choice.values}
    codes, values = pd.factorize(column.astype(object))
    units = [known.get(as_stored(as_value(value)), math.nan) for value in values]
    empty = math.nan if choice.when else known.get(None, math.nan)
    return np.array([*units, empty], np.float64)[codes]
