"""Proposal: what a stage draws its configs from.

Each config plays one of three *roles*: *whole*, drawn over the whole space; *fresh*, with one hyperparameter from a
part its range was just widened by; and *focused*, drawn where the best trials lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hpsearch.space.cloud import Floats
from hpsearch.space.space import Config, SearchSpace, uniforms

# Shares of a stage's draws, once there is a focus or something fresh.
WHOLE_SHARE = 0.1
FRESH_SHARE = 0.25


@dataclass(frozen=True)
class Focus:
    """Where draws of one numeric hyperparameter crowd: a normal distribution in unit coordinates, folded at 0 and 1.

    centre: in [0, 1]; width: its standard deviation, > 0.
    """

    centre: float
    width: float

    def positions(self, u: Floats) -> Floats:
        """Uniform numbers in (0, 1) as positions in [0, 1]."""
        folded = np.abs(self.centre + self.width * ndtri(u)) % 2
        return np.asarray(np.minimum(folded, 2 - folded))

    @property
    def span(self) -> tuple[float, float]:
        """Two widths to either side of the centre, where 95 in 100 draws lie."""
        return max(0.0, self.centre - 2 * self.width), min(1.0, self.centre + 2 * self.width)


@dataclass(frozen=True)
class Strip:
    """A fresh part of a range: [low, high] in unit coordinates of the widened space."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Proposal:
    """What a stage draws from.

    space: the whole space, as given or as widened so far.
    focus: numeric hyperparameter → where the best trials lie; the others are drawn over the whole range.
    shares: Choice → how often each of its values is drawn, summing to one; those of share 0, which are clearly worse,
        only in *whole* configs.
    fresh: the parts added to ranges by the last stage.
    widened: (name, side) → how many stages in a row that side has been widened, the last one among them.
    """

    space: SearchSpace
    focus: Mapping[str, Focus] = field(default_factory=dict)
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    fresh: tuple[Strip, ...] = ()
    widened: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, space: SearchSpace) -> Self:
        """Draws over the whole space."""
        return cls(space)

    def draw(self, seed: int, stage: int, n_trials: int) -> list[Config]:
        """The configs of a stage; config n is a function of the proposal, seed, stage, n_trials and n.

        Every hyperparameter is stratified over the stage (a Latin hypercube; McKay, Beckman and Conover 1979).
        seed, stage: in [0, 2**64); the bits are those of the Philox stream of `SearchSpace.draw` that starts with
        number n_trials.
        """
        whole = _evenly(n_trials, WHOLE_SHARE)
        units = {name: _strata(seed, stage, name, n_trials) for name in self.space.distributions}
        for name in self.focus.keys() | self.shares.keys():
            units[name] = np.where(whole, units[name], self._focused(name, units[name]))
        if self.fresh:
            for i, n in enumerate(np.flatnonzero(_evenly(n_trials, FRESH_SHARE) & ~whole)):
                strip = self.fresh[i % len(self.fresh)]
                units[strip.name][n] = strip.low + units[strip.name][n] * (strip.high - strip.low)
        values = {
            name: [distribution.from_unit(u) for u in units[name].tolist()]
            for name, distribution in self.space.distributions.items()
        }
        return [self.space.present({name: column[n] for name, column in values.items()}) for n in range(n_trials)]

    def _focused(self, name: str, u: Floats) -> Floats:
        """Uniform numbers as unit coordinates in the focus, or in the cells of choices by their shares."""
        if name in self.focus:
            return self.focus[name].positions(u)
        shares = np.array(self.shares[name])
        # the last that has a share takes what rounding leaves
        drawn = np.minimum(np.searchsorted(np.cumsum(shares), u, side="right"), np.flatnonzero(shares)[-1])
        return np.asarray((drawn + 0.5) / len(shares))

    def to_json(self) -> dict[str, Any]:
        """JSON values only; `Proposal.from_json(proposal.to_json()) == proposal`."""
        return {
            "space": self.space.to_json(),
            "focus": {name: [focus.centre, focus.width] for name, focus in self.focus.items()},
            "shares": {name: list(shares) for name, shares in self.shares.items()},
            "fresh": [[strip.name, strip.low, strip.high] for strip in self.fresh],
            "widened": [[name, side, times] for (name, side), times in self.widened.items()],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The proposal that `to_json` wrote; ValueError for one of a version without `shares`."""
        if "shares" not in record:
            raise ValueError("the decisions are those of an earlier version, and cannot be gone on from: begin anew")
        return cls(
            SearchSpace.from_json(record["space"]),
            {name: Focus(*focus) for name, focus in record["focus"].items()},
            {name: tuple(shares) for name, shares in record["shares"].items()},
            tuple(Strip(*strip) for strip in record["fresh"]),
            {(name, side): times for name, side, times in record["widened"]},
        )


def _strata(seed: int, stage: int, name: str, n: int) -> Floats:
    """(n,) numbers in (0, 1), one in each of the n equal parts, in an order of their own."""
    order, within = uniforms(seed, stage, name, 2 * n, n).reshape(2, n)
    return np.asarray((np.argsort(np.argsort(order, kind="stable")) + np.maximum(within, 2.0**-53)) / n)


def _evenly(n: int, share: float) -> NDArray[np.bool_]:
    """(n,) that share of them True, evenly spread."""
    steps = np.floor(np.arange(n + 1) * share + 0.5)
    return np.asarray(np.diff(steps) > 0)
