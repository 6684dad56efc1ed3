"""Averages of a model's weights along its run: moving (EMA), over the tail (SWA), and the ring of checkpoints.

The moving average itself is part of every update (`updates`); here is how far it moves. The tail average takes one
sample at the end of each epoch. Epochs are counted by how many are done.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_NUMBERS, compiled, copy_numbers

Array = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]


def ema_step(decay: float, n_updates: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the moving average moves towards the weights at each update: 1 − min(decay, 1 − (1 + t)^(−2/3)).

    The warm-up (t = `n_updates` before this one, counted from 0) forgets the first steps: a plain average with the
    final decay would still carry the initial weights after thousands of updates.
    """
    return np.asarray(1 - np.minimum(decay, 1 - (1.0 + n_updates) ** (-2 / 3)))


@compiled(f"void(float32[::1], {READ_NUMBERS}, float64)")
def move_average(average: Array, weights: Array, step: float) -> None:
    """average ← average + step · (weights − average), where no update rule does it on the way; `average` is OUT."""
    towards = np.float32(step)
    for i in range(average.size):
        average[i] += towards * (weights[i] - average[i])


def swa_step_naive(average: Floats, weights: Floats, n_before: int) -> Floats:
    """(n_before · average + weights) / (n_before + 1): the mean with one more sample."""
    return (
        np.asarray((n_before * average + weights) / (n_before + 1), average.dtype) if n_before > 0 else weights.copy()
    )


@compiled(f"void(float32[::1], {READ_NUMBERS}, int64)")
def swa_step(average: Array, weights: Array, n_before: int) -> None:
    """The running mean of `n_before` samples takes one more (Izmailov et al. 2018); `average` is the OUT array.

    The first sample replaces whatever is in `average`.
    """
    if n_before <= 0:
        copy_numbers(weights, average)
        return
    share = np.float32(1 / (n_before + 1))
    for i in range(average.size):
        average[i] += share * (weights[i] - average[i])


@compiled("int64(float64, int64, int64)", flags=())
def swa_epochs(swa_start: float, horizon: int, epoch: int) -> int:
    """How many of the first `epoch` epochs are in the tail average: those e = 1, 2, … with e / horizon ≥ swa_start.

    `swa_start` is a share of the horizon, in [0, 1]; 1 averages nothing. The e-th epoch is thus averaged if
    swa_epochs(…, e) > swa_epochs(…, e − 1), and the latter is its `n_before`. Past the horizon averaging goes on.
    """
    if swa_start >= 1:
        return 0
    first = max(1, int(np.ceil(swa_start * horizon)))
    # the product may be rounded up past a whole number, as of 0.1 and 30
    if first > 1 and (first - 1) / horizon >= swa_start:
        first -= 1
    return max(0, epoch - first + 1)


@compiled("int64(int64, int64, int64)")
def ring_slot(epoch: int, every: int, size: int) -> int:
    """Where the checkpoint goes once `epoch` epochs are done: that of k · every in slot (k − 1) mod size, others −1.

    The ring so holds the last `size` of them; without `size` or `every` (0) there are none.
    """
    if epoch <= 0 or every <= 0 or size <= 0 or epoch % every != 0:
        return -1
    return (epoch // every - 1) % size
