"""Proposal: what a stage draws its configs from; narrowed and widened by `refine.py`, drawn from by the loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.distributions import Distribution, Value
from hpsearch.space.space import Config, SearchSpace, uniforms


@dataclass(frozen=True)
class Proposal:
    """What a stage draws from: the whole space, or mostly the part of it where the best trials lie.

    space: the whole space, as given or as widened so far.
    boxes: name → (low, high) in unit coordinates of `space`, the part most draws lie in.
    whole: share of draws over the whole space.
    """

    space: SearchSpace
    boxes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    whole: float = 1.0

    @classmethod
    def of(cls, space: SearchSpace) -> Self:
        """Draws over the whole space."""
        return cls(space)

    def draw(self, seed: int, stage: int, n_trials: int) -> list[Config]:
        """The `n_trials` configs of a stage; each parameter is stratified over the stage (a Latin hypercube)."""
        whole = np.arange(n_trials) < round(self.whole * n_trials)
        values = {
            name: self._values(name, distribution, _strata(seed, stage, name, n_trials), whole)
            for name, distribution in self.space.distributions.items()
        }
        return [self.space.present({name: column[n] for name, column in values.items()}) for n in range(n_trials)]

    def _values(
        self, name: str, distribution: Distribution, u: NDArray[np.float64], whole: NDArray[np.bool_]
    ) -> list[Value]:
        low, high = self.boxes.get(name, (0.0, 1.0))
        return [distribution.from_unit(float(x)) for x in np.where(whole, u, low + u * (high - low))]

    def to_json(self) -> dict[str, Any]:
        """JSON values only; `Proposal.from_json(proposal.to_json()) == proposal`."""
        return {
            "space": self.space.to_json(),
            "boxes": {n: list(b) for n, b in self.boxes.items()},
            "whole": self.whole,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The proposal that `to_json` wrote."""
        boxes = {name: (float(low), float(high)) for name, (low, high) in record["boxes"].items()}
        return cls(SearchSpace.from_json(record["space"]), boxes, float(record["whole"]))


def _strata(seed: int, stage: int, name: str, n: int) -> NDArray[np.float64]:
    """(n,) numbers in [0, 1), one in each of the n equal parts, in an order of their own."""
    order, within = uniforms(seed, stage, name, 2 * n).reshape(2, n)
    return (np.argsort(np.argsort(order)) + within) / n
