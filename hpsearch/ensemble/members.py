"""The library of members: trials × rung ends × kinds of weights × seeds, ready to vote, with bounded memory.

It grows from the rung records while the search runs, and lets go of members that can no longer be chosen.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.orchestrator.learner import CHECKPOINT
from hpsearch.orchestrator.records import RungRecord, TrialResult
from hpsearch.orchestrator.standing import MAX_MEMBERS

MAX_POOL = 200
"""At most so many members of all kinds stand for a choice from the whole library."""
SOUP = "soup"
"""The weights of a member that are the mean of those of its ingredients."""
KINDS_OF_WEIGHTS = ("raw", "ema", "swa")
MOST_BYTES = 2**28
"""Predictions beyond are kept in a temporary file."""


@dataclass(frozen=True)
class Member:
    """One set of weights that can vote.

    Attributes:
        result: the trial it comes from, as it was at the end of a rung.
        weights: of the fit at that time, see `Learner.kinds`.
        ingredients: of a soup, the members of one trial whose weights it is the mean of.
    """

    result: TrialResult
    weights: str
    ingredients: tuple["Member", ...] = ()

    @property
    def valid_value(self) -> float:
        """Its score on the validation rows."""
        return self.result.values[self.weights]

    @property
    def predictions(self) -> NDArray[np.float32]:
        """(n_heldout, n_outputs), for the dataset's held-out rows."""
        return self.result.predictions[self.weights]

    @property
    def epoch(self) -> int:
        """After how many epochs the weights were so."""
        is_checkpoint = self.weights.startswith(CHECKPOINT)
        return int(self.weights.removeprefix(CHECKPOINT)) if is_checkpoint else self.result.epochs

    @property
    def kind(self) -> str:
        """ "raw", "ema", "swa" or "soup"; a checkpoint holds raw weights."""
        return "raw" if self.weights.startswith(CHECKPOINT) else self.weights

    @property
    def key(self) -> tuple[int, int, str]:
        """What tells it from others; ties are broken by it."""
        return self.result.number, self.epoch, self.kind


class Library:
    """Collects members from the rung records of a run: the best of all, and the best of each of the best trials.

    What longer training spoiled is not lost. Without `snapshots`, a trial is represented by its last rung end alone,
    and trials that got further come first: a forest of a few trees is not what was asked for.
    """

    def __init__(self, snapshots: bool = True) -> None:
        self._snapshots = snapshots
        self._ranked: list[Member] = []
        self._shelf: _Shelf | None = None

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung that did not fail, and let go of members that can no longer vote."""
        known = {member.key: member for member in self._ranked}
        for result in (result for result in record.results if result.outcome is None):
            for weights in result.values:
                member = Member(replace(result, predictions={weights: result.predictions[weights]}), weights)
                known.setdefault(member.key, member)
        ranked = sorted(known.values(), key=lambda member: (*self._rank(member), *member.key))
        if not self._snapshots:
            ranked = _of_trials(ranked)
        best = {member.key for kind in KINDS_OF_WEIGHTS for member in _best_of_trials(ranked, kind)}
        most = MAX_POOL if self._snapshots else 0
        voters = [member for place, member in enumerate(ranked) if place < most or member.key in best]
        if voters and self._shelf is None:
            shape = voters[0].predictions.shape
            self._shelf = _Shelf((MAX_POOL + len(KINDS_OF_WEIGHTS) * MAX_MEMBERS, *shape))
        self._ranked = self._shelf.only(voters) if self._shelf is not None else []

    def _rank(self, member: Member) -> tuple[float, float]:
        return 0 if self._snapshots else -member.result.budget, -member.valid_value

    def __len__(self) -> int:
        return len(self._ranked)

    @property
    def members(self) -> list[Member]:
        """All of them by validation score; ties to the lower trial number."""
        return self._ranked

    def best_first(self, kind: str) -> list[Member]:
        """The best member with one kind of weights of each trial, at most `MAX_MEMBERS`, by validation score."""
        return _best_of_trials(self._ranked, kind)


def _of_trials(ranked: Sequence[Member]) -> list[Member]:
    """Of each trial and kind of weights the first."""
    first: dict[tuple[int, str], Member] = {}
    for member in ranked:
        first.setdefault((member.result.number, member.weights), member)
    return list(first.values())


def _best_of_trials(ranked: Sequence[Member], weights: str) -> list[Member]:
    return _of_trials([member for member in ranked if member.weights == weights])[:MAX_MEMBERS]


class _Shelf:
    """Room for the predictions of so many members: in memory or, beyond `MOST_BYTES`, in a temporary file."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        if 4 * np.prod(shape, dtype=np.int64) <= MOST_BYTES:
            self._room = np.empty(shape, dtype=np.float32)
        else:
            with tempfile.TemporaryFile() as file:
                self._room = np.memmap(file, np.float32, "w+", shape=shape)
        self._places: dict[tuple[int, int, str], int] = {}

    def only(self, members: Sequence[Member]) -> list[Member]:
        """The members with their predictions in here, and room again for those of all others."""
        keys = {member.key for member in members}
        self._places = {key: place for key, place in self._places.items() if key in keys}
        free = sorted(set(range(len(self._room))) - set(self._places.values()), reverse=True)
        return [member if member.key in self._places else self._put(member, free.pop()) for member in members]

    def _put(self, member: Member, place: int) -> Member:
        self._places[member.key] = place
        self._room[place] = member.predictions
        return Member(replace(member.result, predictions={member.weights: self._room[place]}), member.weights)


def member_table(ensembles: dict[str, tuple[Sequence[Member], NDArray[np.float64]]]) -> pd.DataFrame:
    """The `members` table of DESIGN.md: one row per ensemble and member, with its share of the vote."""
    rows: list[dict[str, Any]] = [
        {
            "ensemble": name,
            "trial_number": member.result.number,
            "epoch": member.epoch,
            "weights": member.kind,
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
