"""Update rules: one pass over a model's weights, its gradient and moments, and the moving average of its weights.

Compiled code knows an update rule by its code, and calls it by `update_weights`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled

Array = NDArray[np.float32]

ARGUMENTS = (
    "float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float64, float64, float64, float64, float64, int64, float64"
)
"""Argument types of all kernels."""


def ema_step(decay: float, n_updates: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the moving average moves towards the weights at each update: 1 − min(decay, 1 − (1 + t)^(−2/3)).

    The warm-up (t = `n_updates` before this one, counted from 0) forgets the first steps: a plain average with the
    final decay would still carry the initial weights after thousands of updates.
    """
    return np.asarray(1 - np.minimum(decay, 1 - (1.0 + n_updates) ** (-2 / 3)))


def adamw_naive(
    weights: Array, gradient: Array, first: Array, second: Array, average: Array,
    learning_rate: float, weight_decay: float | Array, beta_1: float, beta_2: float, epsilon: float,
    n_updates: int, step: float,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The new weights, first and second moments and average; arguments as of `adamw`, the decay also by weight."""
    first = beta_1 * first + (1 - beta_1) * gradient
    second = beta_2 * second + (1 - beta_2) * gradient**2
    corrected = first / (1 - beta_1**n_updates) / (np.sqrt(second / (1 - beta_2**n_updates)) + epsilon)
    weights = weights - learning_rate * (corrected + weight_decay * weights)
    return weights, first, second, average + step * (weights - average)


@compiled(f"void({ARGUMENTS})")
def adamw(
    weights: Array, gradient: Array, first: Array, second: Array, average: Array,
    learning_rate: float, weight_decay: float, beta_1: float, beta_2: float, epsilon: float,
    n_updates: int, step: float,
) -> None:  # fmt: skip
    """Adam with decoupled decay (Loshchilov and Hutter 2019), then the moving average; all arrays (n_weights,).

        m ← β₁m + (1−β₁)g    v ← β₂v + (1−β₂)g²    t = `n_updates`, from 1
        w ← w − lr · (m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε) + weight_decay · w)
        average ← average + step · (w − average)

    As in PyTorch, the decay is scaled by the learning rate; scikit-learn's `alpha` is a penalty, another thing.
    """
    one = np.float32(1)
    b1, b2 = np.float32(beta_1), np.float32(beta_2)
    rate = np.float32(learning_rate / (1 - beta_1**n_updates))
    correction = np.float32(1 / np.sqrt(1 - beta_2**n_updates))
    shrink = np.float32(1 - learning_rate * weight_decay)
    eps, towards = np.float32(epsilon), np.float32(step)
    for i in range(weights.size):
        m = b1 * first[i] + (one - b1) * gradient[i]
        v = b2 * second[i] + (one - b2) * gradient[i] * gradient[i]
        w = shrink * weights[i] - rate * m / (np.sqrt(v) * correction + eps)
        first[i], second[i], weights[i] = m, v, w
        average[i] += towards * (w - average[i])


@dataclass(frozen=True)
class Update:
    """An update rule by name: its code, its kernel, whose arguments are those of AdamW, and the naive twin."""

    code: int
    kernel: Callable[..., None]
    naive: Callable[..., tuple[Array, Array, Array, Array]]


ADAMW = 0
UPDATES = {"adamw": Update(ADAMW, adamw, adamw_naive)}


@compiled(f"void(int64, {ARGUMENTS})")
def update_weights(
    code: int, weights: Array, gradient: Array, first: Array, second: Array, average: Array,
    learning_rate: float, weight_decay: float, beta_1: float, beta_2: float, epsilon: float,
    n_updates: int, step: float,
) -> None:  # fmt: skip
    """The kernel of the update rule with this `code`; see `UPDATES`."""
    if code == ADAMW:
        adamw(
            weights, gradient, first, second, average, learning_rate, weight_decay, beta_1, beta_2, epsilon,
            n_updates, step,
        )  # fmt: skip
    else:
        raise ValueError("no update rule has this code")
