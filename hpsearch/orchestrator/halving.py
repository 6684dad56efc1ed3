"""Successive halving: many short trials, fewer longer ones (Jamieson and Talwalkar 2016)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

ETA = 3
"""Each rung trains about this many times as long as the last, and one in this many of its trials goes on."""
N_RUNGS = 4
"""At most: down to 1/27 of the longest."""


@dataclass(frozen=True)
class Rung:
    """One level of the budget: its trials have trained `epochs` epochs in all, and the best `keep` of them go on."""

    epochs: int
    keep: int


def budgets(max_epochs: int, min_epochs: int | None = None) -> tuple[int, ...]:
    """The epochs of up to four rungs that end at `max_epochs`, each about three times as long as the last.

    min_epochs: of the shortest, by default a ninth of `max_epochs`, which makes three rungs. Fewer epochs make fewer.
    """
    shortest = math.ceil(max_epochs / ETA**2) if min_epochs is None else min_epochs
    levels = {math.ceil(max_epochs / ETA**level) for level in range(N_RUNGS)}
    return (*sorted(epochs for epochs in levels if shortest <= epochs < max_epochs), max_epochs)


def rungs(n_trials: int, max_epochs: int, min_epochs: int | None = None) -> tuple[Rung, ...]:
    """Rungs of `n_trials` that end at `max_epochs`; the last one's `keep` counts the trials that complete it."""
    *shorter, longest = budgets(max_epochs, min_epochs)
    levels, alive = [], n_trials
    for epochs in shorter:
        alive = max(1, alive // ETA)
        levels.append(Rung(epochs, alive))
    return (*levels, Rung(longest, alive))


def best(values: Mapping[int, float], keep: int) -> list[int]:
    """The trial numbers of the `keep` greatest values, in ascending order; ties go to the lower number, NaN never."""
    valued = [number for number, value in values.items() if not math.isnan(value)]
    return sorted(sorted(valued, key=lambda number: (-values[number], number))[:keep])
