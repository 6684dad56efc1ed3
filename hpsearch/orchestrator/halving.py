"""Successive halving: many short trials, fewer longer ones (Jamieson and Talwalkar 2016)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

ETA = 3
"""Each rung trains about this many times as long as the last, and one in this many of its trials goes on."""
N_RUNGS = 3


@dataclass(frozen=True)
class Rung:
    """One level of the budget: its trials have trained `epochs` epochs in all, and the best `keep` of them go on."""

    epochs: int
    keep: int


def rungs(n_trials: int, max_epochs: int) -> tuple[Rung, ...]:
    """Up to three rungs ending at `max_epochs`, each about three times as long as the last.

    The last rung's `keep` counts the trials that complete it. Fewer epochs than nine make fewer rungs.
    """
    budgets = sorted({math.ceil(max_epochs / ETA**level) for level in range(N_RUNGS)})
    levels, alive = [], n_trials
    for number, epochs in enumerate(budgets):
        if number < len(budgets) - 1:
            alive = max(1, alive // ETA)
        levels.append(Rung(epochs, alive))
    return tuple(levels)


def best(values: Mapping[int, float], keep: int) -> list[int]:
    """The trial numbers of the `keep` greatest values, in ascending order; ties go to the lower number, NaN never."""
    valued = [number for number, value in values.items() if not math.isnan(value)]
    return sorted(sorted(valued, key=lambda number: (-values[number], number))[:keep])
