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

# Scores are alike over this distance, root mean square per hyperparameter, and as noisy as they differ.
LENGTH_SCALE = 0.3
NOISE = 1.0

# How far a trial that has another choice, or lacks the hyperparameter, is from one that has it.
OTHER_CHOICE = 0.5

# Scores are smoothed over no more than the best of so many.
MOST_SMOOTHED = 256


@dataclass(frozen=True)
class Cloud:
    """Trials, best first.

    numbers: (n_trials,) of the trials.
    positions: name → (n_trials,) unit coordinates in the space, NaN where absent.
    fidelities: (n_trials,) weights in (0, 1], less for those trained for fewer epochs.
    n_valued: trials with a value; they come first.
    choices: names of the hyperparameters of which only equality counts.
    """

    numbers: NDArray[np.int64]
    positions: Mapping[str, Floats]
    fidelities: Floats
    n_valued: int
    choices: frozenset[str] = frozenset()

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
            trials["number"].to_numpy("int64")[order],
            {name: _positions(trials, name, space)[order] for name in space.distributions},
            1 / (1 + np.log(longest / np.maximum(epochs[order], 1.0)) / math.log(RUNG_FACTOR)),
            int(valued.sum()),
            frozenset(name for name, distribution in space.distributions.items() if isinstance(distribution, Choice)),
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
        return Cloud(
            self.numbers[rows], positions, self.fidelities[rows], int((rows < self.n_valued).sum()), self.choices
        )

    def scores(self) -> Floats:
        """(n_trials,) normal scores of the ranks: Φ⁻¹ of 1 − (rank + ½)/n, so that outliers do not matter."""
        return np.asarray(ndtri(1 - (np.arange(len(self)) + 0.5) / len(self)))

    def smoothed(self) -> "Cloud":
        """The best trials with a value, sorted by what their neighbours make credible instead of their own score.

        One lucky point among bad ones falls back. By the posterior mean of a Gaussian process (Rasmussen and Williams
        2006, eq. 2.25), m = z̄ + K (K + N)⁻¹ (z − z̄), over normal scores z: K_ij = exp(−d_ij / LENGTH_SCALE), d_ij² the
        mean square distance over hyperparameters, of which choices are equal or OTHER_CHOICE apart;
        N diagonal, NOISE over the fidelity. The exponential kernel allows for cliffs: a learning rate has one.
        """
        near = self.take(np.arange(min(len(self), MOST_SMOOTHED)))
        distance = np.zeros((len(near), len(near)))
        for name, position in near.positions.items():
            apart = np.abs(position[:, None] - position)
            if name in self.choices:
                apart = np.where(apart > 0, OTHER_CHOICE, 0.0)
            absent = np.isnan(position)
            if absent.any():
                apart = np.where(absent[:, None] ^ absent, OTHER_CHOICE, np.where(absent, 0.0, apart))
            distance += apart**2
        kernel = np.exp(np.sqrt(distance / max(1, len(near.positions))) / -LENGTH_SCALE)
        excess = near.scores() - near.scores().mean() if len(near) else np.empty(0)
        means = kernel @ np.linalg.solve(kernel + np.diag(NOISE / near.fidelities), excess)
        return near.take(np.argsort(-means[: near.n_valued], kind="stable"))


def most_credible(trials: pd.DataFrame, space: SearchSpace) -> list[int]:
    """The numbers of the best trials with a value, sorted by what their neighbours make credible (`smoothed`).

    trials: as for `Cloud.of`. Those that got far in the rungs stand out; at most the best MOST_SMOOTHED are told.
    """
    return [int(number) for number in Cloud.of(trials, space).smoothed().numbers]


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
