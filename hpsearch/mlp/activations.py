"""Activation functions of the hidden layers: each a pair of in-place kernels, forward and backward.

The forward kernel adds the bias, applies the activation and drops units (inverted dropout); the backward kernel
multiplies by the derivative of all that, which it reads from the stored outputs alone. Compiled code knows an
activation by its code, and calls it by `activate` and `activate_backward`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_NUMBERS, compiled

Array = NDArray[np.float32]
Noise = NDArray[np.uint8]

FORWARD = f"float32[:, ::1], {READ_NUMBERS}, uint8[::1], int64, float32"
BACKWARD = "float32[:, ::1], float32[:, ::1], float32"
"""Argument types of all kernels of a kind."""


def relu_forward_naive(layer: Array, bias: Array, noise: Noise, threshold: int, scale: float) -> Array:
    """max(layer + bias, 0) · scale where a unit is kept, else 0; the arguments are those of `relu_forward`."""
    kept = noise[: layer.size].reshape(layer.shape) >= threshold
    return np.where(kept, np.maximum((layer + bias) * np.float32(scale), 0), 0).astype(np.float32)


@compiled(f"void({FORWARD})")
def relu_forward(layer: Array, bias: Array, noise: Noise, threshold: int, scale: np.float32) -> None:
    """Bias, ReLU and inverted dropout in one pass; `layer` (n_rows, n_units) is the OUT array, `bias` (n_units,).

    A unit is dropped where its byte of `noise` (≥ n_rows · n_units,) lies below `threshold`, 0 to 255; 0 drops none,
    and `noise` is not read. `scale` = 256 / (256 - threshold). NaN stays NaN (hence `<= 0`), so that divergence shows.
    """
    n_rows, n_units = layer.shape
    zero = np.float32(0)
    if threshold == 0:
        for i in range(n_rows):
            for j in range(n_units):
                z = layer[i, j] + bias[j]
                layer[i, j] = zero if z <= 0 else z
        return
    lowest_kept = np.uint8(threshold)
    for i in range(n_rows):
        row = noise[i * n_units : (i + 1) * n_units]
        for j in range(n_units):
            z = (layer[i, j] + bias[j]) * scale
            layer[i, j] = zero if (z <= 0) | (row[j] < lowest_kept) else z


def relu_backward_naive(deltas: Array, outputs: Array, scale: float) -> Array:
    """deltas · scale where the output is positive, that is: the unit was active and kept."""
    return np.where(outputs > 0, deltas * np.float32(scale), 0).astype(np.float32)


@compiled(f"void({BACKWARD})")
def relu_backward(deltas: Array, outputs: Array, scale: np.float32) -> None:
    """`deltas` (n_rows, n_units), d loss / d outputs, becomes d loss / d (layer + bias): the OUT array."""
    n_rows, n_units = deltas.shape
    for i in range(n_rows):
        for j in range(n_units):
            deltas[i, j] = deltas[i, j] * scale if outputs[i, j] > 0 else np.float32(0)


@dataclass(frozen=True)
class Activation:
    """An activation by name: its code, its two kernels, whose arguments are those of ReLU, and their naive twins."""

    code: int
    forward: Callable[[Array, Array, Noise, int, np.float32], None]
    forward_naive: Callable[[Array, Array, Noise, int, float], Array]
    backward: Callable[[Array, Array, np.float32], None]
    backward_naive: Callable[[Array, Array, float], Array]


RELU = 0
ACTIVATIONS = {"relu": Activation(RELU, relu_forward, relu_forward_naive, relu_backward, relu_backward_naive)}


@compiled(f"void(int64, {FORWARD})")
def activate(code: int, layer: Array, bias: Array, noise: Noise, threshold: int, scale: np.float32) -> None:
    """The forward kernel of the activation with this `code`; see `ACTIVATIONS`."""
    if code == RELU:
        relu_forward(layer, bias, noise, threshold, scale)
    else:
        raise ValueError("no activation has this code")


@compiled(f"void(int64, {BACKWARD})")
def activate_backward(code: int, deltas: Array, outputs: Array, scale: np.float32) -> None:
    """The backward kernel of the activation with this `code`; see `ACTIVATIONS`."""
    if code == RELU:
        relu_backward(deltas, outputs, scale)
    else:
        raise ValueError("no activation has this code")
