"""The training step in plain NumPy, in any floating-point type: what the kernels of `steps` are equated with.

The weights' type decides: in float32 it is their twin, in float64 that whose gradient is checked numerically.
It replays the noise of a step bit by bit. `gradient_naive` also tells on which side of each kink the minibatch lies.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS, backward_naive, forward_naive
from hpsearch.mlp.augmentation import Strengths, augment_naive
from hpsearch.mlp.batch_norm import MOMENTUM, normalise_backward_naive, normalise_naive
from hpsearch.mlp.layers import DROPOUT_STEPS, drop_naive, drop_rows_naive
from hpsearch.mlp.losses import LOSSES, smooth_targets_naive
from hpsearch.mlp.noise import CONNECTIONS, DEPTH, INPUTS, fill_noise_naive
from hpsearch.mlp.penalties import clip_norm_naive, clip_values_naive, limit_norms_naive
from hpsearch.mlp.periodic import embed_backward_naive, embed_naive
from hpsearch.mlp.stack import Stack
from hpsearch.mlp.steps import Data, Settings
from hpsearch.mlp.updates import UPDATES

Noise = NDArray[np.uint8]
Floats = NDArray[Any]


class GradientNaive(NamedTuple):
    """What `gradient_naive` finds.

    `total`: the sum of the minibatch's weighted losses. `gradient` (n_weights,): of total / n_rows, 0 where nothing is
    learned. `weights` (n_weights,): those given, with running means and variances moved. `sides`: booleans that tell on
    which side of each kink of activations and loss the minibatch lies.
    """

    total: float
    gradient: Floats
    weights: Floats
    sides: list[NDArray[np.bool_]]


class PassNaive(NamedTuple):
    """What the way back needs of a hidden layer.

    Its inputs `values` (n_rows, n_in), the `matrix` (n_in, n_columns) that remains of its own with connections dropped,
    the `products` (n_rows, n_columns), after normalisation, whose x̂ is `normed` with `inverse` deviations, and the
    `noise` of its units.
    """

    values: Floats
    matrix: Floats
    products: Floats
    normed: Floats
    inverse: Floats
    noise: Noise


@lru_cache(maxsize=64)
def noise_naive(seed: int, n_updates: int, stream: int, n_bytes: int) -> Noise:
    """So many bytes of a stream of noise. Kept, because a gradient check asks for the same ones thousands of times."""
    noise = fill_noise_naive(seed, n_updates, stream, (n_bytes + 7) // 8).view(np.uint8)
    noise.setflags(write=False)
    return noise


def dropped_naive(
    drop: Callable[[Floats, Noise, int], Floats], values: Floats, threshold: int, settings: Settings, n_updates: int,
    stream: int,
) -> Floats:  # fmt: skip
    """`drop_naive` or `drop_rows_naive` of the values, with the noise of a stream; all of them if `threshold` is 0."""
    if threshold == 0:
        return values
    return drop(values, noise_naive(int(settings.seed), n_updates, stream, values.size), threshold)


def gather_naive(
    settings: Settings, strengths: Strengths, data: Data, rows: NDArray[np.int64], n_updates: int, dtype: np.dtype[Any]
) -> tuple[Floats, Floats, Floats]:
    """`gather`: the minibatch's inputs, targets and row weights."""
    inputs, targets, row_weights = (array[rows].astype(dtype) for array in data)
    if settings.label_smoothing > 0:
        targets = smooth_targets_naive(targets, settings.label_smoothing)
    if settings.augments == 1:
        inputs, targets, row_weights = augment_naive(
            inputs, targets, row_weights, data.inputs, rows, strengths, int(settings.seed), n_updates
        )
    inputs = dropped_naive(drop_naive, inputs, settings.input_threshold, settings, n_updates, INPUTS)
    return inputs, targets, row_weights


def own_slopes_naive(stack: Stack, layer: int) -> Floats:
    """The slopes (n_units,) of a hidden layer, zeros where the activation has none."""
    slopes = stack.slopes()
    return slopes[layer][0] if slopes else np.zeros(stack.layer_sizes[layer + 1], dtype=stack.weights.dtype)


def connected_naive(stack: Stack, settings: Settings, layer: int, n_updates: int) -> Floats:
    """A layer's matrix, with connections dropped."""
    matrix = stack.matrices()[layer][0]
    return dropped_naive(drop_naive, matrix, settings.connection_threshold, settings, n_updates, CONNECTIONS + layer)


def hidden_forward_naive(
    stack: Stack, moved: Stack, settings: Settings, layer: int, values: Floats, n_updates: int
) -> tuple[Floats, PassNaive]:
    """A hidden layer's outputs (n_rows, n_units), and what its way back needs; `moved` gets its running statistics."""
    n_rows, n_units = len(values), stack.layer_sizes[layer + 1]
    architecture = stack.architecture
    matrix = connected_naive(stack, settings, layer, n_updates)
    products = values @ matrix
    normed = inverse = products[:0]
    if architecture.batch_norm:
        products, normed, inverse, mean, variance = normalise_naive(products, stack.gains()[layer][0])
        of_means, of_variances = moved.means()[layer][0], moved.variances()[layer][0]
        of_means += MOMENTUM * (mean - of_means)
        of_variances += MOMENTUM * (variance * n_rows / max(n_rows - 1, 1) - of_variances)
    noise = noise_naive(int(settings.seed), n_updates, layer, 2 * n_rows * n_units)
    outputs = forward_naive(
        ACTIVATIONS[architecture.activation], products, stack.biases()[layer][0], own_slopes_naive(stack, layer), noise,
        settings.threshold, DROPOUT_STEPS / (DROPOUT_STEPS - settings.threshold),
    )  # fmt: skip
    if architecture.layout.skips[layer]:
        outputs = values + dropped_naive(
            drop_rows_naive, outputs, settings.depth_threshold, settings, n_updates, DEPTH + layer
        )
    return outputs, PassNaive(values, matrix, products, normed, inverse, noise)


def sides_naive(stack: Stack, layer: int, products: Floats) -> NDArray[np.bool_]:
    """On which side of its kink each unit is, or, in maxout, whether a piece wins; empty for smooth activations."""
    activation = ACTIVATIONS[stack.architecture.activation]
    z = products + stack.biases()[layer][0]
    if not activation.kinked:
        return np.empty(0, dtype=np.bool_)
    if stack.architecture.activation == "maxout":
        return np.asarray(activation.derivative_naive(z, own_slopes_naive(stack, layer)) > 0)
    return np.asarray(z > 0)


def hidden_backward_naive(
    stack: Stack, found: Stack, settings: Settings, layer: int, deltas: Floats, passed: PassNaive, n_updates: int
) -> Floats:
    """From d loss / d outputs of a hidden layer to d loss / d its inputs; `found` gets the gradients of its weights."""
    architecture = stack.architecture
    of_branch = deltas
    if architecture.layout.skips[layer]:
        of_branch = dropped_naive(drop_rows_naive, deltas, settings.depth_threshold, settings, n_updates, DEPTH + layer)
    below, slopes_gradient = backward_naive(
        ACTIVATIONS[architecture.activation], of_branch, passed.products, stack.biases()[layer][0],
        own_slopes_naive(stack, layer), passed.noise, settings.threshold,
        DROPOUT_STEPS / (DROPOUT_STEPS - settings.threshold),
    )  # fmt: skip
    if found.slopes():
        found.slopes()[layer][0] = slopes_gradient
    found.biases()[layer][0] = below.sum(axis=0)
    if architecture.batch_norm:
        below, found.gains()[layer][0] = normalise_backward_naive(
            below, passed.normed, passed.inverse, stack.gains()[layer][0]
        )
    found.matrices()[layer][0] = dropped_naive(
        drop_naive, passed.values.T @ below, settings.connection_threshold, settings, n_updates, CONNECTIONS + layer
    )
    through = below @ passed.matrix.T
    return np.asarray(deltas + through if architecture.layout.skips[layer] else through)


def gradient_naive(
    stack: Stack, settings: Settings, strengths: Strengths, data: Data, rows: NDArray[np.int64], n_updates: int
) -> GradientNaive:
    """What `gather`, `forward_pass` and `backward_pass` compute, for a stack of one model and with the same noise.

    The dtype of the stack's weights decides; in float64 this is the twin that the gradient check trusts.
    """
    moved, found = (Stack(stack.architecture, array) for array in (stack.weights.copy(), np.zeros_like(stack.weights)))
    values, targets, row_weights = gather_naive(settings, strengths, data, rows, n_updates, stack.weights.dtype)
    inputs, waves = values, [(c[0], b[0]) for c, b in zip(stack.frequencies(), stack.phases(), strict=True)]
    for frequencies, phases in waves:
        values = embed_naive(inputs, frequencies, phases)
    last = len(stack.layer_sizes) - 2
    passes: list[PassNaive] = []
    for layer in range(last):
        values, passed = hidden_forward_naive(stack, moved, settings, layer, values, n_updates)
        passes.append(passed)
    matrix, bias = connected_naive(stack, settings, last, n_updates), stack.biases()[last][0]
    loss = next(loss for loss in LOSSES.values() if loss.code == settings.loss)
    products = values @ matrix
    total, deltas = loss.naive(products, bias, targets, row_weights, settings.loss_parameter)
    sides = [sides_naive(stack, layer, passed.products) for layer, passed in enumerate(passes)]
    if loss.sides is not None:
        sides.append(loss.sides(products + bias, targets, settings.loss_parameter))
    found.biases()[last][0] = deltas.sum(axis=0)
    found.matrices()[last][0] = dropped_naive(
        drop_naive, values.T @ deltas, settings.connection_threshold, settings, n_updates, CONNECTIONS + last
    )
    deltas = deltas @ matrix.T
    for layer in range(last - 1, -1, -1):
        deltas = hidden_backward_naive(stack, found, settings, layer, deltas, passes[layer], n_updates)
    for frequencies, phases in waves:
        found.frequencies()[0][0], found.phases()[0][0] = embed_backward_naive(
            inputs, deltas[:, inputs.shape[1] :], frequencies, phases
        )
    return GradientNaive(total, found.weights[0], moved.weights[0], sides)


def step_naive(
    stack: Stack, settings: Settings, strengths: Strengths, data: Data, rows: NDArray[np.int64], moments: Floats,
    average: Floats, rate: float, ema_step: float, n_updates: int,
) -> tuple[float, Floats, Floats, Floats]:  # fmt: skip
    """`train_step` for a stack of one model: the total loss, new weights, moments and average.

    `moments` (n_moments, n_weights) and `average` (n_weights,) are those of a `State`.
    """
    n_matrix, n_learned = stack.architecture.layout.n_matrix, stack.architecture.layout.n_learned
    found = gradient_naive(stack, settings, strengths, data, rows, n_updates)
    gradient, moments, average = found.gradient[:n_learned], moments.copy(), average.copy()
    if settings.clip_value > 0:
        gradient = clip_values_naive(gradient, settings.clip_value)
    if settings.clip_norm > 0:
        gradient = clip_norm_naive(gradient, settings.clip_norm)
    in_matrix = np.arange(n_learned) < n_matrix
    decay, l1, l2 = (strength * in_matrix for strength in (settings.weight_decay, settings.l1, settings.l2))
    update = next(update for update in UPDATES.values() if update.code == settings.update)
    after = Stack(stack.architecture, found.weights[np.newaxis])
    weights = after.weights[0]
    weights[:n_learned], moments[:, :n_learned], _ = update.naive(
        weights[:n_learned], gradient, moments[:, :n_learned], average[:n_learned], rate, decay, l1, l2, settings.a,
        settings.b, settings.epsilon, n_updates + 1, ema_step,
    )  # fmt: skip
    if settings.max_norm > 0:
        for matrix in after.matrices():
            matrix[0] = limit_norms_naive(matrix[0], settings.max_norm)
    average[:n_learned] += ema_step * (weights[:n_learned] - average[:n_learned])
    return found.total, weights, moments, average
