"""The library of members: every trial at every rung end, with raw and averaged weights, ready to vote."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.orchestrator.records import RungRecord, TrialResult
from hpsearch.orchestrator.standing import MAX_MEMBERS


@dataclass(frozen=True)
class Member:
    """One set of weights that can vote.

    Attributes:
        result: the trial it comes from, as it was after `result.epochs` epochs.
        weights: "raw" or "ema".
    """

    result: TrialResult
    weights: str

    @property
    def valid_value(self) -> float:
        """Its score on the validation rows."""
        return self.result.values[self.weights]

    @property
    def predictions(self) -> NDArray[np.float32]:
        """(n_heldout, n_outputs), for the dataset's held-out rows."""
        return self.result.predictions[self.weights]


class Library:
    """Collects members from the rung records of a run: of each kind of weights, the best of each of the best trials.

    A trial is represented by its best rung end: what longer training spoiled is not lost. Without `snapshots`, by its
    last one, and trials that got further come first: a forest of a few trees is not what was asked for.
    """

    def __init__(self, snapshots: bool = True) -> None:
        self._snapshots = snapshots
        self._best: dict[str, list[Member]] = {}

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung that did not fail, and let go of members that can no longer vote."""
        sound = [result for result in record.results if result.outcome is None]
        for weights in sound[0].values if sound else ():
            of_trial = {member.result.number: member for member in self._best.get(weights, ())}
            for result in sound:
                own = replace(result, predictions={weights: result.predictions[weights]})
                member, known = Member(own, weights), of_trial.get(result.number)
                if known is None or self._rank(member) < self._rank(known):
                    of_trial[result.number] = member
            ranked = sorted(of_trial.values(), key=lambda member: (*self._rank(member), member.result.number))
            self._best[weights] = ranked[:MAX_MEMBERS]

    def _rank(self, member: Member) -> tuple[float, float]:
        return 0 if self._snapshots else -member.result.budget, -member.valid_value

    def __len__(self) -> int:
        return max((len(members) for members in self._best.values()), default=0)

    def best_first(self, weights: str) -> list[Member]:
        """The members of one kind of weights by validation score, at most `MAX_MEMBERS`; ties to the lower number."""
        return self._best.get(weights, [])


def member_table(ensembles: dict[str, tuple[Sequence[Member], NDArray[np.float64]]]) -> pd.DataFrame:
    """The `members` table of DESIGN.md: one row per ensemble and member, with its share of the vote."""
    rows: list[dict[str, Any]] = [
        {
            "ensemble": name,
            "trial_number": member.result.number,
            "epoch": member.result.epochs,
            "weights": member.weights,
            "seed": member.result.seed,
            "fold": 0,
            "weight": share,
            "valid_value": member.valid_value,
        }
        for name, (members, votes) in ensembles.items()
        for member, share in zip(members, votes, strict=True)
    ]
    columns = ["ensemble", "trial_number", "epoch", "weights", "seed", "fold", "weight", "valid_value"]
    return pd.DataFrame(rows, columns=columns)
