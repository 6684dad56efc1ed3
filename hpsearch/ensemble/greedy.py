"""Greedy selection from a library of members, with replacement (Caruana et al. 2004).

Step by step the member is added after which the average of all that were added loses least; one may be added again,
and so gets more votes. Of all steps the best one is kept. Losses are means over *entries* that weigh one in all: for
classes the probabilities that members give to true classes, for numbers their errors.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_STEPS = 32
TIE = 1e-12
"""Losses so near to each other, relative to the least, are the same but for rounding."""


def greedy_log_loss_naive(probabilities: Floats, weights: Floats, max_steps: int = MAX_STEPS) -> Floats:
    """`greedy_log_loss` as one would write it down."""
    chosen: list[int] = []
    best, least = np.zeros(len(probabilities)), np.inf
    for _ in range(max_steps):
        losses = [
            -np.sum(weights * np.log(probabilities[[*chosen, member]].mean(axis=0)))
            for member in range(len(probabilities))
        ]
        chosen.append(_least(np.array(losses), np.bincount(chosen, minlength=len(probabilities))))
        if losses[chosen[-1]] < least:
            least, best = losses[chosen[-1]], np.bincount(chosen, minlength=len(probabilities)) / len(chosen)
    return best


def greedy_log_loss(probabilities: Floats, weights: Floats, max_steps: int = MAX_STEPS) -> Floats:
    """The votes, (n_members,) in multiples of 1 / steps, that greedy selection gives to lower −Σ w log p.

    Args:
        probabilities: (n_members, n_entries) in (0, 1], of what turned out true.
        weights: (n_entries,) ≥ 0, of the entries; they sum to one.
        max_steps: ≥ 1. Ties go to members that are in already, then to the first.
    """
    counts, total, sums = np.zeros(len(probabilities)), np.zeros(probabilities.shape[1]), np.empty_like(probabilities)
    best, least = counts, np.inf
    for step in range(1, max_steps + 1):
        np.add(probabilities, total, out=sums)
        losses = np.log(step) - np.log(sums, out=sums) @ weights
        member = _least(losses, counts)
        total += probabilities[member]
        counts[member] += 1
        if losses[member] < least:
            best, least = counts / step, losses[member]
    return best


def greedy_squared_error(products: Floats, max_steps: int = MAX_STEPS) -> Floats:
    """The votes, (n_members,) in multiples of 1 / steps, that greedy selection gives to lower votesᵀ products votes.

    Since votes sum to one, that is the weighted mean of the squared error of the average.

    Args:
        products: (n_members, n_members), weighted mean products of the errors of two members.
        max_steps: ≥ 1. Ties go to members that are in already, then to the first.
    """
    counts, crossed, own = np.zeros(len(products)), np.zeros(len(products)), np.diag(products)
    best, least, squared = counts, np.inf, 0.0
    for step in range(1, max_steps + 1):
        losses = (squared + 2 * crossed + own) / step**2
        member = _least(losses, counts)
        squared = losses[member] * step**2
        crossed = crossed + products[member]
        counts[member] += 1
        if losses[member] < least:
            best, least = counts / step, losses[member]
    return best


def _least(losses: Floats, counts: NDArray[np.floating | np.integer]) -> int:
    """The member of the least loss; ties to those that are in already, then to the first."""
    near = np.flatnonzero(losses <= losses.min() + TIE * abs(losses.min()))
    return int(near[np.argmax(counts[near] > 0)])
