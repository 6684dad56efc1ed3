"""Losses: from a network's last layer to the training loss and its gradient, in one in-place kernel each.

A kernel adds the last bias, returns the sum over rows of row weight · loss, and leaves the gradient of the *mean*
loss in the layer. Targets are dense: one-hot rows for classes, standardised numbers for regression.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_NUMBERS, READ_ROWS, compiled

Array = NDArray[np.float32]

SIGNATURE = f"float64(float32[:, ::1], {READ_NUMBERS}, {READ_ROWS}, {READ_NUMBERS})"


def softmax_naive(logits: Array) -> Array:
    """exp(logits) / Σ exp(logits) over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), dtype=logits.dtype)


def softmax_cross_entropy_naive(layer: Array, bias: Array, targets: Array, row_weights: Array) -> tuple[float, Array]:
    """−Σ targets · log softmax(layer + bias), summed over rows with their weights, and its gradient / n_rows."""
    logits = layer + bias
    probabilities = softmax_naive(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - (targets * shifted).sum(axis=1)
    return float(row_weights @ losses), (probabilities - targets) * row_weights[:, None] / np.float32(len(layer))


@compiled(SIGNATURE)
def softmax_cross_entropy(layer: Array, bias: Array, targets: Array, row_weights: Array) -> float:
    """Softmax cross-entropy; `layer`, `targets` (n_rows, n_outputs), targets sum to one. `layer` is the OUT array."""
    n_rows, n_outputs = layer.shape
    total = 0.0
    for i in range(n_rows):
        highest = -np.float32(np.inf)
        for j in range(n_outputs):
            layer[i, j] += bias[j]
            highest = max(highest, layer[i, j])
        normaliser, matched = np.float32(0), np.float32(0)
        for j in range(n_outputs):
            shifted = layer[i, j] - highest
            matched += targets[i, j] * shifted
            layer[i, j] = np.exp(shifted)
            normaliser += layer[i, j]
        total += row_weights[i] * (np.log(normaliser) - matched)
        weight = row_weights[i] / np.float32(n_rows)
        inverse = np.float32(1) / normaliser
        for j in range(n_outputs):
            layer[i, j] = (layer[i, j] * inverse - targets[i, j]) * weight
    return total


def squared_error_naive(layer: Array, bias: Array, targets: Array, row_weights: Array) -> tuple[float, Array]:
    """Σ (layer + bias − targets)², summed over rows with their weights, and its gradient / n_rows."""
    errors = layer + bias - targets
    losses = np.square(errors).sum(axis=1)
    return float(row_weights @ losses), 2 * errors * row_weights[:, None] / np.float32(len(layer))


@compiled(SIGNATURE)
def squared_error(layer: Array, bias: Array, targets: Array, row_weights: Array) -> float:
    """Squared error; `layer`, `targets` (n_rows, n_outputs). `layer` is the OUT array.

    Without the factor 1/2 of scikit-learn's MLP: a standardised target then has loss 1 at chance.
    """
    n_rows, n_outputs = layer.shape
    total = 0.0
    for i in range(n_rows):
        weight = np.float32(2) * row_weights[i] / np.float32(n_rows)
        for j in range(n_outputs):
            error = layer[i, j] + bias[j] - targets[i, j]
            total += row_weights[i] * error * error
            layer[i, j] = error * weight
    return total


def identity(layer: Array) -> Array:
    """The layer itself."""
    return layer


def chance_of_classes(targets: Array, row_weights: Array) -> float:
    """log n_outputs, whatever the row weights: the cross-entropy of a network that finds all classes equally likely."""
    return float(np.log(targets.shape[1]))


def chance_of_numbers(targets: Array, row_weights: Array) -> float:
    """The weighted mean square of the targets: the loss of a network that answers 0."""
    return float(np.average(np.square(targets, dtype=np.float64).sum(axis=1), weights=row_weights))


@dataclass(frozen=True)
class Loss:
    """A training loss by name.

    `kernel` and `naive` are its two forms; `link` turns the last layer into predictions (probabilities, numbers);
    `at_chance` gives the mean loss of an untrained network, from the targets (n_rows, n_outputs) and the row weights.
    """

    code: int
    kernel: Callable[[Array, Array, Array, Array], float]
    naive: Callable[[Array, Array, Array, Array], tuple[float, Array]]
    link: Callable[[Array], Array]
    at_chance: Callable[[Array, Array], float]


SOFTMAX_CROSS_ENTROPY, SQUARED_ERROR = 0, 1
LOSSES = {
    "softmax_cross_entropy": Loss(
        SOFTMAX_CROSS_ENTROPY, softmax_cross_entropy, softmax_cross_entropy_naive, softmax_naive, chance_of_classes
    ),
    "squared_error": Loss(SQUARED_ERROR, squared_error, squared_error_naive, identity, chance_of_numbers),
}


@compiled(f"float64(int64, float32[:, ::1], {READ_NUMBERS}, {READ_ROWS}, {READ_NUMBERS})")
def loss_and_gradient(code: int, layer: Array, bias: Array, targets: Array, row_weights: Array) -> float:
    """The kernel of the loss with this `code`; see `LOSSES`."""
    if code == SOFTMAX_CROSS_ENTROPY:
        return softmax_cross_entropy(layer, bias, targets, row_weights)
    if code == SQUARED_ERROR:
        return squared_error(layer, bias, targets, row_weights)
    raise ValueError("no loss has this code")
