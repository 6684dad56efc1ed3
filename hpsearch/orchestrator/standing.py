"""How the trials stand: who waits, who has completed the plan, and whose values may still matter."""

import math
from dataclasses import dataclass, field
from heapq import heappush, heappushpop

import numpy as np
import pandas as pd

from hpsearch.orchestrator.halving import Rung
from hpsearch.orchestrator.plan import N_SEEDS, Plan
from hpsearch.orchestrator.records import TrialResult
from hpsearch.space.cloud import most_credible
from hpsearch.space.space import SearchSpace

MAX_MEMBERS = 32
"""At most so many trials vote in an ensemble."""


@dataclass(frozen=True)
class Worth:
    """Which values may still matter: among the best `keep` of a rung, or the best `MAX_MEMBERS` of all at its budget.

    Thresholds only rise, so that in whatever order values come, those that will matter did when they came.
    """

    keep: int
    of_rung: list[float]
    of_budget: list[float]

    def add(self, value: float) -> bool:
        """Take up a value, NaN for a failure; may it matter?"""
        if math.isnan(value):
            return False
        goes_on = _is_among_best(value, self.of_rung, self.keep)
        return _is_among_best(value, self.of_budget, MAX_MEMBERS) or goes_on


def _is_among_best(value: float, heap: list[float], n: int) -> bool:
    """Is it among the best n so far, or as good as the worst of them?"""
    if len(heap) < n:
        heappush(heap, value)
    else:
        heappushpop(heap, value)
    return value >= heap[0]


@dataclass(frozen=True)
class Standing:
    """How the trials stand between stages: the `latest` result of each, and of those that wait, or have completed."""

    latest: dict[int, TrialResult] = field(default_factory=dict)
    waiting: dict[int, TrialResult] = field(default_factory=dict)
    completed: dict[int, TrialResult] = field(default_factory=dict)
    voters: dict[int, list[float]] = field(default_factory=dict)
    """By budget, the values of the best `MAX_MEMBERS` trials so far, as a heap."""

    def worth(self, rung: Rung) -> Worth:
        """What values may matter in a rung that begins."""
        return Worth(rung.keep, [], self.voters.setdefault(rung.epochs, []))

    def table(self, plan: Plan) -> pd.DataFrame:
        """What ranges are judged by, see `refine`; trials that only repeat others are left out."""
        judged = [self.latest[number] for number in sorted(self.latest) if self.latest[number].repeats is None]
        table = pd.DataFrame([{f"params_{name}": value for name, value in one.config.items()} for one in judged])
        own = {
            "number": [one.number for one in judged],
            "stage": [plan.stage_of(one.number) for one in judged],
            "value": np.array([one.value if one.outcome is None else np.nan for one in judged], dtype=np.float64),
            "epochs": [one.budget for one in judged],
        }
        return pd.concat([pd.DataFrame(own), table], axis=1)


def final_candidates(standing: Standing, plan: Plan, space: SearchSpace, n_repeats: int) -> list[TrialResult]:
    """The completed trials that are trained again with other seeds, `N_SEEDS` each: the most credible ones.

    The best value may be luck: of the completed trials those come first whose neighbours did well, too. Those that were
    trained again before come last. `space`: as it is drawn from now.
    """
    again = {result.repeats for result in standing.completed.values()}
    order = [number for number in most_credible(standing.table(plan), space) if number in standing.completed]
    order.sort(key=lambda number: number in again)
    return [standing.completed[number] for number in order[: -(-n_repeats // N_SEEDS)]]
