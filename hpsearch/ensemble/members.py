"""The library of members: every trial at every rung end, with raw and averaged weights, ready to vote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.orchestrator.run import RungRecord, TrialResult


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
    """Collects members from the rung records of a run."""

    def __init__(self) -> None:
        self._results: list[TrialResult] = []

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung that did not fail."""
        self._results.extend(result for result in record.results if result.outcome is None)

    def __len__(self) -> int:
        return len(self._results)

    def best_first(self, weights: str) -> list[Member]:
        """The best member of each trial for one kind of weights, by validation score; ties to the lower number.

        A trial is represented by its best rung end: what longer training spoiled is not lost.
        """
        best: dict[int, Member] = {}
        for result in self._results:
            member = Member(result, weights)
            if result.number not in best or member.valid_value > best[result.number].valid_value:
                best[result.number] = member
        return sorted(best.values(), key=lambda member: (-member.valid_value, member.result.number))


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
