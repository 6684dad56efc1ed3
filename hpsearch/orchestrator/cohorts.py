"""Cohorts: trials that can share one stack, cut so that the workers are busy to the end.

How trials are grouped changes no bit of any result, only the time it takes.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

PIECES_PER_WORKER = 4
"""Cohorts per worker, rung and fold: enough that none waits long for the last, few enough to cost nothing."""


@dataclass(frozen=True)
class Task:
    """A trial, or one fold of it, to be trained further.

    Attributes:
        number, config, seed: of the trial; `reached`: the epochs it has been trained already.
        key: whose company it can share.
        cost: how long it may take.
        repeats: the number of the trial whose config it has with another seed; None for a config of its own.
        fold: the number of the fold.
    """

    number: int
    config: dict[str, Any]
    seed: int
    key: Hashable = None
    cost: float = 0.0
    reached: int = 0
    repeats: int | None = None
    fold: int = 0


Cohort = tuple[Task, ...]


def cohorts(tasks: Sequence[Task], n_workers: int) -> list[Cohort]:
    """Group tasks by key, cut the groups to a bounded cost, and sort the pieces, the most costly first.

    Folds of the same trials, which cost the same, follow each other: trials are whole as early as can be.
    """
    total = sum(task.cost for task in tasks)
    bound = total / (n_workers * PIECES_PER_WORKER * max(len({task.fold for task in tasks}), 1))
    pieces: list[Cohort] = []
    by_key = sorted(tasks, key=lambda task: (repr(task.key), task.number))
    for _, group in groupby(by_key, key=lambda task: task.key):
        piece: list[Task] = []
        for task in group:
            if piece and sum(member.cost for member in piece) + task.cost > bound:
                pieces.append(tuple(piece))
                piece = []
            piece.append(task)
        pieces.append(tuple(piece))
    return sorted(pieces, key=lambda piece: (-sum(task.cost for task in piece), piece[0].number, piece[0].fold))
