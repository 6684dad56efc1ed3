"""Losses: from a network's last layer to the training loss and its gradient, in one in-place kernel each.

A kernel adds the last bias, returns the sum over rows of row weight · loss, and leaves the gradient of the *mean*
loss, the sum / n_rows, in `layer` (n_rows, n_outputs), its OUT array. A row's loss is summed over its outputs.
`targets` (n_rows, n_outputs) are dense: for classes, rows that sum to one (one-hot, smoothed or mixed), for regression
standardised numbers. `parameter` is the loss's own number, where it has one. Compiled code knows a loss by its code,
and calls it by `loss_and_gradient`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.elementary import exponential
from hpsearch.mlp.kernels import READ_NUMBERS, READ_ROWS, compiled

Array = NDArray[np.float32]
Real = NDArray[Any]
"""What the naive twins work with: arrays of any floating-point type, which their gradients keep."""
Naive = Callable[[Real, Real, Real, Real, float], tuple[float, Real]]

ARGUMENTS = f"float32[:, ::1], {READ_NUMBERS}, {READ_ROWS}, {READ_NUMBERS}, float64"
"""Argument types of all kernels: layer, bias, targets, row weights, parameter."""
SIGNATURE = f"float64({ARGUMENTS})"


def softmax_naive(logits: Real) -> Real:
    """exp(logits) / Σ exp(logits) over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def softmax_cross_entropy_naive(
    layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float
) -> tuple[float, Real]:
    """−Σ targets · log softmax(layer + bias), summed over rows with their weights, and its gradient / n_rows."""
    logits = layer + bias
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - (targets * shifted).sum(axis=1)
    return float(row_weights @ losses), (softmax_naive(logits) - targets) * row_weights[:, None] / len(layer)


@compiled(SIGNATURE)
def softmax_cross_entropy(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """Softmax cross-entropy −Σ t · log softmax(z), for targets whose rows sum to one. It has no parameter.

    The exponentials have a pass of their own over all rows: a row is often too short to fill a vector register.
    """
    n_rows, n_outputs = layer.shape
    total = 0.0
    for i in range(n_rows):
        highest = -np.float32(np.inf)
        for j in range(n_outputs):
            layer[i, j] += bias[j]
            highest = max(highest, layer[i, j])
        matched = np.float32(0)
        for j in range(n_outputs):
            layer[i, j] -= highest
            matched += targets[i, j] * layer[i, j]
        total -= row_weights[i] * matched
    flat = layer.reshape(layer.size)
    for k in range(flat.size):
        flat[k] = exponential(flat[k])
    for i in range(n_rows):
        normaliser = np.float32(0)
        for j in range(n_outputs):
            normaliser += layer[i, j]
        total += row_weights[i] * np.log(normaliser)
        weight = row_weights[i] / np.float32(n_rows)
        inverse = np.float32(1) / normaliser
        for j in range(n_outputs):
            layer[i, j] = (layer[i, j] * inverse - targets[i, j]) * weight
    return total


def log_sigmoid(layer: Real) -> Real:
    """log(1 / (1 + exp(−layer))), without overflow."""
    return np.asarray(np.minimum(layer, 0) - np.log1p(np.exp(-np.abs(layer))))


def binary_logistic_naive(
    layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float
) -> tuple[float, Real]:
    """−Σ targets · log σ(z) + (1 − targets) · log(1 − σ(z)) with z = layer + bias, and its gradient / n_rows."""
    logits = layer + bias
    losses = (-log_sigmoid(-logits) - logits * targets).sum(axis=1)
    gradient = (np.exp(log_sigmoid(logits)) - targets) * row_weights[:, None] / len(layer)
    return float(row_weights @ losses), gradient


@compiled("float32(float32)")
def log_one_plus(x: np.float32) -> np.float32:
    """log(1 + x) for x in [0, 1], without a branch: 2 artanh(s) with s = x / (2 + x) ≤ 1/3.

    The series s + s³/3 + … + s¹³/13 leaves a relative error of 1.4e-8.
    """
    s = x / (np.float32(2) + x)
    square = s * s
    p = square * np.float32(2 / 13) + np.float32(2 / 11)
    p = p * square + np.float32(2 / 9)
    p = p * square + np.float32(2 / 7)
    p = p * square + np.float32(2 / 5)
    p = p * square + np.float32(2 / 3)
    return (p * square + np.float32(2)) * s


@compiled(SIGNATURE)
def binary_logistic(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """The cross-entropy of n_outputs independent logistic outputs, targets in [0, 1]: log(1 + e^z) − z · t.

    It is computed as max(z, 0) − z · t + log(1 + e^(−|z|)), which cannot overflow. It has no parameter.
    """
    n_rows, n_outputs = layer.shape
    zero, one = np.float32(0), np.float32(1)
    total = 0.0
    for i in range(n_rows):
        weight = row_weights[i] / np.float32(n_rows)
        of_row = np.float32(0)
        for j in range(n_outputs):
            z = layer[i, j] + bias[j]
            small = exponential(-np.abs(z))
            of_row += (z if z > zero else zero) - z * targets[i, j] + log_one_plus(small)
            layer[i, j] = ((small if z < zero else one) / (one + small) - targets[i, j]) * weight
        total += row_weights[i] * of_row
    return total


def multiclass_hinge_naive(
    layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float
) -> tuple[float, Real]:
    """Σ_y target_y · Σ_{j≠y} max(0, s_j − s_y + 1) with s = layer + bias, and its gradient / n_rows."""
    scores = layer + bias
    others = ~np.eye(layer.shape[1], dtype=bool)
    margins = np.where(others, scores[:, None, :] - scores[:, :, None] + 1, 0)
    losses = (targets[:, :, None] * np.maximum(margins, 0)).sum(axis=(1, 2))
    pulls = targets[:, :, None] * (margins > 0)
    return float(row_weights @ losses), (pulls.sum(axis=1) - pulls.sum(axis=2)) * row_weights[:, None] / len(layer)


@compiled(SIGNATURE)
def multiclass_hinge(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """The multiclass support vector loss (Weston and Watkins 1999): Σ_y t_y · Σ_{j≠y} max(0, s_j − s_y + 1).

    For n_outputs ≥ 2 scores s; a one-hot row gives the notes' Σ_{j≠y} max(0, s_j − s_y + 1). It has no parameter.
    """
    n_rows, n_outputs = layer.shape
    zero, one = np.float32(0), np.float32(1)
    # the scores of one row must outlive the writing of its gradient
    scores = np.empty(n_outputs, np.float32)
    total = 0.0
    for i in range(n_rows):
        for j in range(n_outputs):
            scores[j] = layer[i, j] + bias[j]
            layer[i, j] = zero
        weight = row_weights[i] / np.float32(n_rows)
        for y in range(n_outputs):
            target = targets[i, y]
            if target == zero:
                continue
            # j = y takes part with margin 1, and is taken out again: no branch in the loop
            of_class, n_active = -one, -one
            pull = target * weight
            for j in range(n_outputs):
                margin = scores[j] - scores[y] + one
                of_class += zero if margin <= zero else margin
                active = one if margin > zero else zero
                n_active += active
                layer[i, j] += active * pull
            layer[i, y] -= (n_active + one) * pull
            total += row_weights[i] * target * of_class
    return total


def multiclass_hinge_sides(answers: Real, targets: Real, parameter: float) -> NDArray[np.bool_]:
    """Whether s_j − s_y + 1 > 0, (n_rows, y, j), for the classes y that have a target; see `Loss.sides`."""
    return np.asarray((answers[:, None, :] - answers[:, :, None] + 1 > 0) & (targets[:, :, None] != 0))


def squared_error_naive(
    layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float
) -> tuple[float, Real]:
    """Σ (layer + bias − targets)², summed over rows with their weights, and its gradient / n_rows."""
    errors = layer + bias - targets
    losses = np.square(errors).sum(axis=1)
    return float(row_weights @ losses), 2 * errors * row_weights[:, None] / len(layer)


@compiled(SIGNATURE)
def squared_error(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """Squared error e², e = z − t, without the factor 1/2 of scikit-learn's MLP: a standardised target then has loss 1
    at chance. It has no parameter."""
    n_rows, n_outputs = layer.shape
    total = 0.0
    for i in range(n_rows):
        weight = np.float32(2) * row_weights[i] / np.float32(n_rows)
        of_row = np.float32(0)
        for j in range(n_outputs):
            error = layer[i, j] + bias[j] - targets[i, j]
            of_row += error * error
            layer[i, j] = error * weight
        total += row_weights[i] * of_row
    return total


def huber_naive(layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float) -> tuple[float, Real]:
    """Σ e² where |e| ≤ δ, else 2δ|e| − δ², with e = layer + bias − targets and δ = parameter; gradient / n_rows."""
    errors = layer + bias - targets
    sizes = np.abs(errors)
    losses = np.where(sizes <= parameter, np.square(errors), 2 * parameter * sizes - parameter**2).sum(axis=1)
    gradient = 2 * np.clip(errors, -parameter, parameter) * row_weights[:, None] / len(layer)
    return float(row_weights @ losses), gradient


@compiled(SIGNATURE)
def huber(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """Huber's loss (1964): e² where |e| ≤ δ = `parameter` > 0, else 2δ|e| − δ².

    Twice the usual form, so that within δ it is our squared error. Both pieces are c · (2e − c), c = e clipped at ±δ.
    """
    n_rows, n_outputs = layer.shape
    delta = np.float32(parameter)
    total = 0.0
    for i in range(n_rows):
        weight = np.float32(2) * row_weights[i] / np.float32(n_rows)
        of_row = np.float32(0)
        for j in range(n_outputs):
            error = layer[i, j] + bias[j] - targets[i, j]
            clipped = delta if error > delta else error
            clipped = -delta if clipped < -delta else clipped
            of_row += clipped * (error + error - clipped)
            layer[i, j] = clipped * weight
        total += row_weights[i] * of_row
    return total


def absolute_error_naive(
    layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float
) -> tuple[float, Real]:
    """Σ |layer + bias − targets|, summed over rows with their weights, and its gradient / n_rows."""
    errors = layer + bias - targets
    losses = np.abs(errors).sum(axis=1)
    return float(row_weights @ losses), np.sign(errors) * row_weights[:, None] / len(layer)


@compiled(SIGNATURE)
def absolute_error(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """Absolute error |z − t|; the gradient of an error of 0 is 0. It has no parameter."""
    n_rows, n_outputs = layer.shape
    zero, one = np.float32(0), np.float32(1)
    total = 0.0
    for i in range(n_rows):
        weight = row_weights[i] / np.float32(n_rows)
        of_row = np.float32(0)
        for j in range(n_outputs):
            error = layer[i, j] + bias[j] - targets[i, j]
            of_row += np.abs(error)
            # what is neither above nor below zero is zero, or NaN
            sign = one if error > zero else error
            layer[i, j] = (-one if error < zero else sign) * weight
        total += row_weights[i] * of_row
    return total


def quantile_naive(layer: Real, bias: Real, targets: Real, row_weights: Real, parameter: float) -> tuple[float, Real]:
    """Σ max(q · e, (q − 1) · e) with e = targets − layer − bias and q = parameter, and its gradient / n_rows."""
    errors = targets - (layer + bias)
    losses = np.maximum(parameter * errors, (parameter - 1) * errors).sum(axis=1)
    slopes = np.where(errors > 0, -parameter, np.where(errors < 0, 1 - parameter, errors))
    return float(row_weights @ losses), slopes * row_weights[:, None] / len(layer)


@compiled(SIGNATURE)
def quantile(layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float) -> float:
    """The pinball loss (Koenker and Bassett 1978) of the quantile q = `parameter` in (0, 1): max(q · e, (q − 1) · e)
    with e = t − z, as in scikit-learn: the median, q = 1/2, has half the absolute error. An error of 0 has gradient 0.
    """
    n_rows, n_outputs = layer.shape
    zero, q = np.float32(0), np.float32(parameter)
    below = np.float32(1) - q
    total = 0.0
    for i in range(n_rows):
        weight = row_weights[i] / np.float32(n_rows)
        of_row = np.float32(0)
        for j in range(n_outputs):
            error = targets[i, j] - (layer[i, j] + bias[j])
            # what is neither above nor below zero is zero, or NaN
            slope = -q if error > zero else error
            slope = below if error < zero else slope
            of_row -= slope * error
            layer[i, j] = slope * weight
        total += row_weights[i] * of_row
    return total


def is_above(answers: Real, targets: Real, parameter: float) -> NDArray[np.bool_]:
    """Whether an answer lies above its target, (n_rows, n_outputs); see `Loss.sides`."""
    return np.asarray(answers > targets)


def smooth_targets_naive(targets: Real, smoothing: float) -> Real:
    """targets · (1 − smoothing) + smoothing / n_classes; a single output stands for two classes."""
    return np.asarray(targets * (1 - smoothing) + smoothing / max(targets.shape[1], 2))


@compiled("void(float32[:, ::1], float64)")
def smooth_targets(targets: Array, smoothing: float) -> None:
    """Label smoothing (Szegedy et al. 2016): `targets` (n_rows, n_outputs) of classes move a share `smoothing`, in
    [0, 1], of the way to the even distribution. The OUT array.

    A single output, of the binary logistic loss, moves towards 1/2.
    """
    kept, added = np.float32(1 - smoothing), np.float32(smoothing / max(targets.shape[1], 2))
    flat = targets.reshape(targets.size)
    for k in range(flat.size):
        flat[k] = flat[k] * kept + added


def identity(layer: Real) -> Real:
    """The layer itself."""
    return layer


def logistic_probabilities(layer: Real) -> Real:
    """σ(layer) of one output, the probability of the second of two classes; of more, σ / Σ σ over the last axis.

    Independent outputs do not sum to one by themselves. By their logarithms, as not all of them may round to 0.
    """
    logs = log_sigmoid(layer)
    return softmax_naive(logs) if layer.shape[-1] > 1 else np.exp(logs)


def softmax_chance(targets: Real, row_weights: Real, parameter: float) -> float:
    """log n_outputs, whatever the row weights: the cross-entropy of a network that finds all classes equally likely."""
    return float(np.log(targets.shape[1]))


def logistic_chance(targets: Real, row_weights: Real, parameter: float) -> float:
    """n_outputs · log 2, whatever the row weights."""
    return float(targets.shape[1] * np.log(2))


def hinge_chance(targets: Real, row_weights: Real, parameter: float) -> float:
    """n_outputs − 1, whatever the row weights: every other class has the margin 1."""
    return float(targets.shape[1] - 1)


def chance_of_numbers(naive: Naive, targets: Real, row_weights: Real, parameter: float) -> float:
    """The weighted mean loss of a network that answers 0, by the `naive` loss in float64."""
    zeros = np.zeros(targets.shape)
    total, _ = naive(zeros, zeros[0], targets.astype(np.float64), row_weights.astype(np.float64), parameter)
    return total / float(row_weights.sum(dtype=np.float64))


@dataclass(frozen=True)
class Loss:
    """A training loss by name.

    Attributes:
        code: what compiled code knows it by.
        kernel, naive: its two forms, of the layer, bias, targets, row weights and parameter.
        link: turns last layers (..., n_outputs) into predictions: probabilities of classes, or numbers. Of hinge scores
            it takes the softmax, which ranks the classes as the scores do, but is not calibrated.
        at_chance: the weighted mean loss of a network that answers 0, from targets, row weights and parameter.
        of_classes: whether the targets are those of classes, and may be smoothed.
        parameter: the recipe's field that holds its own number, if it has one.
        sides: of a loss with kinks: the side of each on which answers (layer + bias) lie, bool, from answers, targets
            and parameter. A centred difference is not to be trusted where they differ between its two evaluations.
    """

    code: int
    kernel: Callable[[Array, Array, Array, Array, float], float]
    naive: Naive
    link: Callable[[Real], Real]
    at_chance: Callable[[Real, Real, float], float]
    of_classes: bool
    parameter: str | None = None
    sides: Callable[[Real, Real, float], NDArray[np.bool_]] | None = None

    @property
    def kinked(self) -> bool:
        """Whether its gradient jumps somewhere."""
        return self.sides is not None


SOFTMAX_CROSS_ENTROPY, SQUARED_ERROR, BINARY_LOGISTIC, MULTICLASS_HINGE, HUBER, ABSOLUTE_ERROR, QUANTILE = range(7)
LOSSES = {
    "softmax_cross_entropy": Loss(
        SOFTMAX_CROSS_ENTROPY, softmax_cross_entropy, softmax_cross_entropy_naive, softmax_naive, softmax_chance, True
    ),
    "binary_logistic": Loss(
        BINARY_LOGISTIC, binary_logistic, binary_logistic_naive, logistic_probabilities, logistic_chance, True
    ),
    "multiclass_hinge": Loss(
        MULTICLASS_HINGE, multiclass_hinge, multiclass_hinge_naive, softmax_naive, hinge_chance, True,
        sides=multiclass_hinge_sides,
    ),
    "squared_error": Loss(
        SQUARED_ERROR, squared_error, squared_error_naive, identity, partial(chance_of_numbers, squared_error_naive),
        False,
    ),
    "huber": Loss(
        HUBER, huber, huber_naive, identity, partial(chance_of_numbers, huber_naive), False, parameter="huber_delta"
    ),
    "absolute_error": Loss(
        ABSOLUTE_ERROR, absolute_error, absolute_error_naive, identity,
        partial(chance_of_numbers, absolute_error_naive), False, sides=is_above,
    ),
    "quantile": Loss(
        QUANTILE, quantile, quantile_naive, identity, partial(chance_of_numbers, quantile_naive), False,
        parameter="quantile", sides=is_above,
    ),
}  # fmt: skip


@compiled(f"float64(int64, {ARGUMENTS})")
def loss_and_gradient(
    code: int, layer: Array, bias: Array, targets: Array, row_weights: Array, parameter: float
) -> float:
    """The kernel of the loss with this `code`; see `LOSSES`."""
    if code == SOFTMAX_CROSS_ENTROPY:
        return softmax_cross_entropy(layer, bias, targets, row_weights, parameter)
    if code == BINARY_LOGISTIC:
        return binary_logistic(layer, bias, targets, row_weights, parameter)
    if code == MULTICLASS_HINGE:
        return multiclass_hinge(layer, bias, targets, row_weights, parameter)
    if code == SQUARED_ERROR:
        return squared_error(layer, bias, targets, row_weights, parameter)
    if code == HUBER:
        return huber(layer, bias, targets, row_weights, parameter)
    if code == ABSOLUTE_ERROR:
        return absolute_error(layer, bias, targets, row_weights, parameter)
    if code == QUANTILE:
        return quantile(layer, bias, targets, row_weights, parameter)
    raise ValueError("no loss has this code")
