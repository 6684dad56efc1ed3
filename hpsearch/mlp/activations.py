"""Activation functions of the hidden layers: each a pair of in-place kernels, forward and backward.

The forward kernel adds the bias, applies the activation and drops units (inverted dropout); the backward kernel
multiplies by the derivative of all that. What it needs beyond the outputs, the forward kernel leaves in `kept`: mostly
the derivative, for which it has the exponential at hand. ReLU needs nothing but the outputs.

The naive twin of a pair is two functions of the pre-activations z = layer + bias, value and derivative;
`forward_naive` and `backward_naive` put bias, random slopes and dropout around them. Compiled code knows an
activation by its code, and calls it by `activate` and `activate_backward`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hpsearch.mlp.elementary import (
    cumulative_normal,
    exponential,
    exponential_minus_one,
    hyperbolic_tangent,
    logistic,
)
from hpsearch.mlp.kernels import READ_NUMBERS, compiled

Array = NDArray[np.float32]
Noise = NDArray[np.uint8]
Floats = NDArray[Any]
"""Of the naive twins: any floating-point type, which they keep."""

FORWARD = f"float32[:, ::1], {READ_NUMBERS}, {READ_NUMBERS}, uint8[::1], int64, float32, float32[:, ::1]"
"""Argument types of all forward kernels: layer, bias, slopes, noise, threshold, scale, kept.

    layer (n_rows, n_columns): the pre-activations without bias; OUT: the outputs (n_rows, n_units), from the start of
        its memory. Only in maxout are there fewer units than columns.
    bias (n_columns,): added first.
    slopes (n_units,): what `Activation.default_slope` says of them. Activations without slopes do not read them, but
        maxout takes the number of units from their size.
    noise: bytes. Unit (i, j) is dropped where byte i · n_units + j lies below `threshold`, 0 to 255; 0 drops none,
        and those bytes are not read. RReLU reads n_rows · n_units more.
    scale: 256 / (256 − threshold); what is not dropped is multiplied by it.
    kept (n_rows, n_columns): OUT, for the backward kernel.

NaN stays NaN (hence comparisons like `z <= 0`), so that divergence shows; only dropping hides it.
"""

BACKWARD = (
    f"float32[:, ::1], float32[:, ::1], float32[:, ::1], {READ_NUMBERS}, float32[::1], uint8[::1], int64, float32"
)
"""Argument types of all backward kernels: deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale.

    deltas (n_rows, n_columns): d loss / d outputs (n_rows, n_units), from the start of its memory;
        OUT: d loss / d (layer + bias).
    outputs (n_rows, n_units), kept (n_rows, n_columns): as the forward kernel left them.
    slopes_gradient (n_units,): OUT where slopes are learned, else left alone.
    The others are those of the forward kernel.
"""


@dataclass(frozen=True)
class Activation:
    """An activation by name.

    Attributes:
        code: by which compiled code knows it.
        forward, backward: kernels with the arguments `FORWARD` and `BACKWARD`.
        value_naive, derivative_naive: functions of (z, slopes), where z is (n_rows, n_columns); the value is
            (n_rows, n_units), its derivative is that of the unit a column belongs to, (n_rows, n_columns).
        default_slope: the slope on the negative side (of ELU, just below 0), or None where there is no choice.
        learns_slopes: each unit's slope is a weight.
        is_random: the slopes are noisy in training.
        kinked: the derivative jumps where z changes sign, or, in maxout, where another piece takes over.
        initialiser: the name of the one that keeps the scale from layer to layer.
    """

    code: int
    forward: Callable[[Array, Array, Array, Noise, int, np.float32, Array], None]
    backward: Callable[[Array, Array, Array, Array, Array, Noise, int, np.float32], None]
    value_naive: Callable[[Floats, Floats], Floats]
    derivative_naive: Callable[[Floats, Floats], Floats]
    default_slope: float | None = None
    learns_slopes: bool = False
    is_random: bool = False
    kinked: bool = False
    initialiser: str = "he_normal"


def forward_naive(
    activation: Activation, layer: Floats, bias: Floats, slopes: Floats, noise: Noise, threshold: int, scale: float
) -> Floats:
    """The outputs of the forward kernel, for the same arguments."""
    z = layer + bias
    outputs = activation.value_naive(z, drawn_slopes_naive(activation, z, slopes, noise))
    return drop_units_naive(outputs, noise, threshold, scale)


def backward_naive(
    activation: Activation, deltas: Floats, layer: Floats, bias: Floats, slopes: Floats, noise: Noise, threshold: int,
    scale: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """The deltas (n_rows, n_columns) of the backward kernel, and the slopes' gradient, 0 where they are not learned.

    `deltas` are (n_rows, n_units), `layer` is what the forward kernel was given; the others are its arguments.
    """
    z = layer + bias
    deltas = drop_units_naive(deltas, noise, threshold, scale)
    derivative = activation.derivative_naive(z, drawn_slopes_naive(activation, z, slopes, noise))
    slopes_gradient = (deltas * np.minimum(z, 0)).sum(axis=0) if activation.learns_slopes else np.zeros_like(slopes)
    return np.tile(deltas, (1, z.shape[1] // deltas.shape[1])) * derivative, slopes_gradient


def drawn_slopes_naive(activation: Activation, z: Floats, slopes: Floats, noise: Noise) -> Floats:
    """The slopes, made noisy (n_rows, n_units) where the activation is random and there is noise; see RReLU."""
    if not activation.is_random or noise.size < 2 * z.size:
        return slopes
    levels = noise[z.size : 2 * z.size].reshape(z.shape).astype(z.dtype)
    return slopes * (RRELU_LOWEST + levels * RRELU_STEP)


def drop_units_naive(values: Floats, noise: Noise, threshold: int, scale: float) -> Floats:
    """values · scale where the byte of noise reaches the threshold, else 0."""
    if threshold == 0:
        return values
    reached = noise[: values.size].reshape(values.shape) >= threshold
    return np.where(reached, values * values.dtype.type(scale), 0)


@compiled("void(float32[::1], uint8[::1], int64, float32)")
def drop_units(values: Array, noise: Noise, threshold: int, scale: np.float32) -> None:
    """Inverted dropout (Srivastava et al. 2014) of `values` (n,), the OUT array; `noise` (≥ n,) if threshold > 0."""
    if threshold == 0:
        return
    lowest_kept = np.uint8(threshold)
    for i in range(values.size):
        values[i] = np.float32(0) if noise[i] < lowest_kept else values[i] * scale


@compiled(f"void({BACKWARD})")
def derivative_backward(
    deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise, threshold: int,
    scale: np.float32,
) -> None:  # fmt: skip
    """The backward kernel of all activations that leave their derivative in `kept`."""
    n_rows, n_units = deltas.shape
    drop_units(deltas.reshape(deltas.size), noise, threshold, scale)
    for i in range(n_rows):
        for j in range(n_units):
            deltas[i, j] *= kept[i, j]


def identity_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z."""
    return z


def identity_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1."""
    return np.ones_like(z)


@compiled(f"void({FORWARD})")
def identity_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """No activation: the layers to either side become one linear map, of bounded rank."""
    n_rows, n_units = layer.shape
    for i in range(n_rows):
        for j in range(n_units):
            layer[i, j] += bias[j]
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


@compiled(f"void({BACKWARD})")
def identity_backward(
    deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise, threshold: int,
    scale: np.float32,
) -> None:  # fmt: skip
    """The derivative is 1; `kept` is not read."""
    drop_units(deltas.reshape(deltas.size), noise, threshold, scale)


def sigmoid_value_naive(z: Floats, slopes: Floats) -> Floats:
    """1 / (1 + e^(−z))."""
    return np.asarray(special.expit(z))


def sigmoid_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """s · (1 − s)."""
    s = special.expit(z)
    return np.asarray(s * (1 - s))


@compiled(f"void({FORWARD})")
def sigmoid_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """The logistic function, in (0, 1): it saturates, and its outputs are not centred."""
    n_rows, n_units = layer.shape
    one = np.float32(1)
    for i in range(n_rows):
        for j in range(n_units):
            s = logistic(layer[i, j] + bias[j])
            layer[i, j] = s
            kept[i, j] = s * (one - s)
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def tanh_value_naive(z: Floats, slopes: Floats) -> Floats:
    """tanh z."""
    return np.tanh(z)


def tanh_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1 − tanh² z."""
    return 1 - np.tanh(z) ** 2


@compiled(f"void({FORWARD})")
def tanh_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """The hyperbolic tangent, in (−1, 1): a logistic function, centred."""
    n_rows, n_units = layer.shape
    one = np.float32(1)
    for i in range(n_rows):
        for j in range(n_units):
            t = hyperbolic_tangent(layer[i, j] + bias[j])
            layer[i, j] = t
            kept[i, j] = one - t * t
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def relu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """max(z, 0)."""
    return np.maximum(z, 0)


def relu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1 where z > 0, else 0."""
    return np.asarray(z > 0, dtype=z.dtype)


@compiled(f"void({FORWARD})")
def relu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Bias, ReLU (Nair and Hinton 2010) and dropout in one pass; nothing is kept."""
    n_rows, n_units = layer.shape
    zero = np.float32(0)
    if threshold == 0:
        for i in range(n_rows):
            for j in range(n_units):
                z = layer[i, j] + bias[j]
                layer[i, j] = zero if z <= zero else z
        return
    lowest_kept = np.uint8(threshold)
    for i in range(n_rows):
        row = noise[i * n_units : (i + 1) * n_units]
        for j in range(n_units):
            z = (layer[i, j] + bias[j]) * scale
            layer[i, j] = zero if (z <= zero) | (row[j] < lowest_kept) else z


@compiled(f"void({BACKWARD})")
def relu_backward(
    deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise, threshold: int,
    scale: np.float32,
) -> None:  # fmt: skip
    """deltas · scale where the output is positive, that is: the unit was active and not dropped."""
    n_rows, n_units = deltas.shape
    zero = np.float32(0)
    for i in range(n_rows):
        for j in range(n_units):
            deltas[i, j] = deltas[i, j] * scale if outputs[i, j] > zero else zero


def leaky_relu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z where z > 0, else slope · z."""
    return np.where(z > 0, z, slopes * z)


def leaky_relu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1 where z > 0, else the slope."""
    return np.where(z > 0, z.dtype.type(1), slopes)


@compiled(f"void({FORWARD})")
def leaky_relu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Leaky ReLU (Maas et al. 2013): a small slope keeps gradients alive where ReLU's units die."""
    n_rows, n_units = layer.shape
    zero, one = np.float32(0), np.float32(1)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            slope = one if z > zero else slopes[j]
            layer[i, j] = z * slope
            kept[i, j] = slope
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


RRELU_LOWEST = 6 / 11
RRELU_STEP = 10 / 11 / 255
"""From the slope to the lowest one drawn, and from level to level of the 256, as shares of the slope."""


@compiled(f"void({FORWARD})")
def rrelu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Randomised leaky ReLU (Xu et al. 2015): in training each unit of each row has a slope of its own.

    It is uniform in [6/11, 16/11] · slope, whose mean is the slope; 11/48 gives the paper's [1/8, 1/3]. Byte
    n_rows · n_units + i · n_units + j of `noise` draws it. Without so many bytes, in prediction, it is the mean.
    (The paper predicts with 2 / (3 + 8), the inverse of its mean inverse slope, because it divides by what it draws.)
    """
    n_rows, n_units = layer.shape
    if noise.size < 2 * layer.size:
        leaky_relu_forward(layer, bias, slopes, noise, threshold, scale, kept)
        return
    zero, one = np.float32(0), np.float32(1)
    lowest, step = np.float32(RRELU_LOWEST), np.float32(RRELU_STEP)
    for i in range(n_rows):
        levels = noise[layer.size + i * n_units : layer.size + (i + 1) * n_units]
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            slope = one if z > zero else slopes[j] * (lowest + np.float32(levels[j]) * step)
            layer[i, j] = z * slope
            kept[i, j] = slope
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


@compiled(f"void({FORWARD})")
def prelu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Leaky ReLU whose slopes are learned, one per unit (He et al. 2015); z is kept."""
    n_rows, n_units = layer.shape
    zero = np.float32(0)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            layer[i, j] = z if z > zero else z * slopes[j]
            kept[i, j] = z
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


@compiled(f"void({BACKWARD})")
def prelu_backward(
    deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise, threshold: int,
    scale: np.float32,
) -> None:  # fmt: skip
    """As of leaky ReLU, and slopes_gradient = Σ over rows of deltas · min(z, 0)."""
    n_rows, n_units = deltas.shape
    zero = np.float32(0)
    drop_units(deltas.reshape(deltas.size), noise, threshold, scale)
    slopes_gradient[:] = zero
    for i in range(n_rows):
        for j in range(n_units):
            delta, z = deltas[i, j], kept[i, j]
            slopes_gradient[j] += zero if z > zero else delta * z
            deltas[i, j] = delta if z > zero else delta * slopes[j]


def elu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z where z > 0, else slope · (e^z − 1)."""
    return np.where(z > 0, z, slopes * np.expm1(np.minimum(z, 0)))


def elu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1 where z > 0, else slope · e^z."""
    return np.where(z > 0, z.dtype.type(1), slopes * np.exp(np.minimum(z, 0)))


@compiled(f"void({FORWARD})")
def elu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Exponential linear unit (Clevert et al. 2016); the slope just below 0 is the paper's α."""
    n_rows, n_units = layer.shape
    zero, one = np.float32(0), np.float32(1)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            below = slopes[j] * exponential_minus_one(z)
            layer[i, j] = z if z > zero else below
            kept[i, j] = one if z > zero else below + slopes[j]
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
"""With these, mean 0 and variance 1 are a fixed point of the layers."""


def selu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """SELU_SCALE times the ELU with slope SELU_ALPHA."""
    return SELU_SCALE * elu_value_naive(z, np.full_like(z, SELU_ALPHA))


def selu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """SELU_SCALE times the derivative of that ELU."""
    return SELU_SCALE * elu_derivative_naive(z, np.full_like(z, SELU_ALPHA))


@compiled(f"void({FORWARD})")
def selu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Self-normalising exponential linear unit (Klambauer et al. 2017).

    Dropout is the common one, to 0: the paper's alpha dropout would keep the variance, too.
    """
    n_rows, n_units = layer.shape
    zero = np.float32(0)
    slope_above, slope = np.float32(SELU_SCALE), np.float32(SELU_SCALE * SELU_ALPHA)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            below = slope * exponential_minus_one(z)
            layer[i, j] = slope_above * z if z > zero else below
            kept[i, j] = slope_above if z > zero else below + slope
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def gelu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z · Φ(z)."""
    return np.asarray(z * special.ndtr(z))


def gelu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """Φ(z) + z · φ(z)."""
    return np.asarray(special.ndtr(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


@compiled(f"void({FORWARD})")
def gelu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Gaussian error linear unit (Hendrycks and Gimpel 2016), the exact one, with Φ and not a tanh."""
    n_rows, n_units = layer.shape
    minus_half, height = np.float32(-0.5), np.float32(1 / math.sqrt(2 * math.pi))
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            bell = exponential(minus_half * z * z)
            share = cumulative_normal(z, bell)
            layer[i, j] = z * share
            kept[i, j] = share + z * bell * height
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def silu_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z · s(z), with s the logistic function."""
    return np.asarray(z * special.expit(z))


def silu_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """s + z · s · (1 − s)."""
    s = special.expit(z)
    return np.asarray(s + z * s * (1 - s))


@compiled(f"void({FORWARD})")
def silu_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Sigmoid linear unit, also called Swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    n_rows, n_units = layer.shape
    one = np.float32(1)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            s = logistic(z)
            value = z * s
            layer[i, j] = value
            kept[i, j] = s + value * (one - s)
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def mish_value_naive(z: Floats, slopes: Floats) -> Floats:
    """z · tanh(log(1 + e^z))."""
    return np.asarray(z * np.tanh(np.logaddexp(0, z)))


def mish_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """t + z · (1 − t²) · s, with t that tanh and s the logistic function."""
    t = np.tanh(np.logaddexp(0, z))
    return np.asarray(t + z * (1 - t**2) * special.expit(z))


@compiled(f"void({FORWARD})")
def mish_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Mish (Misra 2019): with e = e^z and n = e · (e + 2), the tanh is n / (n + 2), and no logarithm is needed.

    Likewise (1 − t²) · s = 4 e (e + 1) / (n + 2)².
    """
    n_rows, n_units = layer.shape
    one, two, four, limit = np.float32(1), np.float32(2), np.float32(4), np.float32(20)
    for i in range(n_rows):
        for j in range(n_units):
            z = layer[i, j] + bias[j]
            # from 20 on the tanh is 1 in float32, and e⁴ would soon be infinite
            e = exponential(limit if z > limit else z)
            n = e * (e + two)
            inverse = one / (n + two)
            t = n * inverse
            layer[i, j] = z * t
            kept[i, j] = t + z * (four * e * (e + one) * inverse * inverse)
    drop_units(layer.reshape(layer.size), noise, threshold, scale)


def maxout_value_naive(z: Floats, slopes: Floats) -> Floats:
    """The highest of a unit's pieces: column p · n_units + j is piece p of unit j, n_units = slopes.size."""
    return np.asarray(z.reshape(len(z), -1, slopes.size).max(axis=1))


def maxout_derivative_naive(z: Floats, slopes: Floats) -> Floats:
    """1 for the first of the highest pieces, 0 for the others."""
    pieces = z.reshape(len(z), -1, slopes.size)
    winners = pieces.argmax(axis=1)[:, np.newaxis, :]
    return np.asarray(np.arange(pieces.shape[1])[:, np.newaxis] == winners, dtype=z.dtype).reshape(z.shape)


@compiled(f"void({FORWARD})")
def maxout_forward(
    layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """Maxout (Goodfellow et al. 2013); the number of the winning piece is kept, in the first n_units columns.

    Row after row the outputs move to the front of `layer`, where nothing is left to be read.
    """
    n_rows, n_units = layer.shape[0], slopes.size
    flat = layer.reshape(layer.size)
    for i in range(n_rows):
        row, outputs, winners = layer[i], flat[i * n_units : (i + 1) * n_units], kept[i, :n_units]
        for j in range(n_units):
            outputs[j] = row[j] + bias[j]
            winners[j] = np.float32(0)
        for start in range(n_units, layer.shape[1], n_units):
            # slices, because an index like start + j might be negative for all the compiler knows: no vector code
            piece, piece_bias = row[start : start + n_units], bias[start : start + n_units]
            number = np.float32(start // n_units)
            for j in range(n_units):
                z = piece[j] + piece_bias[j]
                wins = (z > outputs[j]) | (z != z)
                outputs[j] = z if wins else outputs[j]
                winners[j] = number if wins else winners[j]
    drop_units(flat[: n_rows * n_units], noise, threshold, scale)


@compiled(f"void({BACKWARD})")
def maxout_backward(
    deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise, threshold: int,
    scale: np.float32,
) -> None:  # fmt: skip
    """The winning piece gets the unit's delta, the others 0. From the last row and piece on, nothing unread is lost."""
    n_rows, n_units = outputs.shape
    flat = deltas.reshape(deltas.size)
    drop_units(flat[: n_rows * n_units], noise, threshold, scale)
    for i in range(n_rows - 1, -1, -1):
        unit_deltas, winners = flat[i * n_units : (i + 1) * n_units], kept[i, :n_units]
        for start in range(deltas.shape[1] - n_units, -1, -n_units):
            piece, number = deltas[i, start : start + n_units], np.float32(start // n_units)
            for j in range(n_units):
                piece[j] = unit_deltas[j] if winners[j] == number else np.float32(0)


IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, RRELU, PRELU, ELU, SELU, GELU, SILU, MISH, MAXOUT = range(13)
ACTIVATIONS = {
    "identity": Activation(
        IDENTITY, identity_forward, identity_backward, identity_value_naive, identity_derivative_naive,
        initialiser="glorot_uniform",
    ),
    "sigmoid": Activation(
        SIGMOID, sigmoid_forward, derivative_backward, sigmoid_value_naive, sigmoid_derivative_naive,
        initialiser="glorot_uniform",
    ),
    "tanh": Activation(
        TANH, tanh_forward, derivative_backward, tanh_value_naive, tanh_derivative_naive, initialiser="glorot_uniform",
    ),
    "relu": Activation(RELU, relu_forward, relu_backward, relu_value_naive, relu_derivative_naive, kinked=True),
    "leaky_relu": Activation(
        LEAKY_RELU, leaky_relu_forward, derivative_backward, leaky_relu_value_naive, leaky_relu_derivative_naive,
        default_slope=0.01, kinked=True,
    ),
    "rrelu": Activation(
        RRELU, rrelu_forward, derivative_backward, leaky_relu_value_naive, leaky_relu_derivative_naive,
        default_slope=11 / 48, is_random=True, kinked=True,
    ),
    "prelu": Activation(
        PRELU, prelu_forward, prelu_backward, leaky_relu_value_naive, leaky_relu_derivative_naive,
        default_slope=0.25, learns_slopes=True, kinked=True,
    ),
    "elu": Activation(
        ELU, elu_forward, derivative_backward, elu_value_naive, elu_derivative_naive, default_slope=1.0, kinked=True,
    ),
    "selu": Activation(
        SELU, selu_forward, derivative_backward, selu_value_naive, selu_derivative_naive,
        kinked=True, initialiser="lecun_normal",
    ),
    "gelu": Activation(GELU, gelu_forward, derivative_backward, gelu_value_naive, gelu_derivative_naive),
    "silu": Activation(SILU, silu_forward, derivative_backward, silu_value_naive, silu_derivative_naive),
    "mish": Activation(MISH, mish_forward, derivative_backward, mish_value_naive, mish_derivative_naive),
    "maxout": Activation(
        MAXOUT, maxout_forward, maxout_backward, maxout_value_naive, maxout_derivative_naive, kinked=True,
    ),
}  # fmt: skip


@compiled(f"void(int64, {FORWARD})")
def activate(
    code: int, layer: Array, bias: Array, slopes: Array, noise: Noise, threshold: int, scale: np.float32, kept: Array
) -> None:
    """The forward kernel of the activation with this `code`; see `ACTIVATIONS`."""
    if code == IDENTITY:
        identity_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == SIGMOID:
        sigmoid_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == TANH:
        tanh_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == RELU:
        relu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == LEAKY_RELU:
        leaky_relu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == RRELU:
        rrelu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == PRELU:
        prelu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == ELU:
        elu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == SELU:
        selu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == GELU:
        gelu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == SILU:
        silu_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == MISH:
        mish_forward(layer, bias, slopes, noise, threshold, scale, kept)
    elif code == MAXOUT:
        maxout_forward(layer, bias, slopes, noise, threshold, scale, kept)
    else:
        raise ValueError("no activation has this code")


@compiled(f"void(int64, {BACKWARD})")
def activate_backward(
    code: int, deltas: Array, outputs: Array, kept: Array, slopes: Array, slopes_gradient: Array, noise: Noise,
    threshold: int, scale: np.float32,
) -> None:  # fmt: skip
    """The backward kernel of the activation with this `code`; see `ACTIVATIONS`."""
    if code == IDENTITY:
        identity_backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    elif code == RELU:
        relu_backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    elif code == PRELU:
        prelu_backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    elif code == MAXOUT:
        maxout_backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    elif SIGMOID <= code <= MISH:
        derivative_backward(deltas, outputs, kept, slopes, slopes_gradient, noise, threshold, scale)
    else:
        raise ValueError("no activation has this code")
