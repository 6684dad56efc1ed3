"""The training step: forward, backward and update of one model, for many epochs in one call of compiled code."""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS, activate, activate_backward
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled
from hpsearch.mlp.layers import DROPOUT_STEPS, column_sums, fill_noise, fill_noise_naive, gather_rows
from hpsearch.mlp.losses import LOSSES, loss_and_gradient
from hpsearch.mlp.predict import CHUNK_HEIGHT, forward
from hpsearch.mlp.stack import Stack, n_matrix_entries
from hpsearch.mlp.updates import UPDATES, update_weights

Array = NDArray[np.float32]


def step_naive(
    inputs: Array, targets: Array, row_weights: Array, loss: str, update: str, stack: Stack,
    first: Array, second: Array, average: Array, rate: float, ema_step: float, weight_decay: float, beta_1: float,
    beta_2: float, epsilon: float, threshold: int, seed: int, n_updates: int,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """`train_step` in plain NumPy: the new weights, moments and average of the one model of `stack`.

    `inputs`, `targets` and `row_weights` are those of the minibatch alone.
    """
    activation = ACTIVATIONS[stack.activation]
    matrices, biases = [m[0] for m in stack.matrices()], [b[0] for b in stack.biases()]
    scale = DROPOUT_STEPS / (DROPOUT_STEPS - threshold)
    values = [inputs]
    for layer, (matrix, bias) in enumerate(zip(matrices[:-1], biases[:-1], strict=True)):
        product = values[-1] @ matrix
        noise = fill_noise_naive(seed, n_updates, layer, -(-product.size // 8)).view(np.uint8)
        values.append(activation.forward_naive(product, bias, noise, threshold, scale))
    _, deltas = LOSSES[loss].naive(values[-1] @ matrices[-1], biases[-1], targets, row_weights)
    gradient = Stack(stack.layer_sizes, stack.activation, np.empty_like(stack.weights))
    for layer in reversed(range(len(matrices))):
        gradient.matrices()[layer][0] = values[layer].T @ deltas
        gradient.biases()[layer][0] = deltas.sum(axis=0)
        if layer > 0:
            deltas = activation.backward_naive(deltas @ matrices[layer].T, values[layer], scale)
    is_bias = np.arange(stack.weights.shape[1]) >= n_matrix_entries(stack.layer_sizes)
    return UPDATES[update].naive(
        stack.weights[0], gradient.weights[0], first, second, average, rate, np.where(is_bias, 0, weight_decay),
        beta_1, beta_2, epsilon, n_updates + 1, ema_step,
    )  # fmt: skip


@compiled(
    f"float64({READ_ROWS}, {READ_ROWS}, {READ_NUMBERS}, {READ_INDEX}, int64[::1], int64, int64, int64,"
    " float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float64, float64, float64, float64, float64, float64, int64, uint64, int64, float32[::1], uint64[::1])"
)
def train_step(
    inputs: Array, targets: Array, row_weights: Array, rows: NDArray[np.int64], sizes: NDArray[np.int64],
    activation: int, loss: int, update: int,
    weights: Array, gradient: Array, first: Array, second: Array, average: Array,
    rate: float, ema_step: float, weight_decay: float, beta_1: float, beta_2: float, epsilon: float,
    threshold: int, seed: np.uint64, n_updates: int, scratch: Array, words: NDArray[np.uint64],
) -> float:  # fmt: skip
    """One minibatch, the `rows` of the data: forward, backward and update; returns the sum of its weighted losses.

    `weights`, `first`, `second`, `average` (n_weights,) are the OUT arrays; `gradient`, `scratch` and `words` (noise)
    are overwritten. `sizes` are the layers'; `activation`, `loss` and `update` are codes; `threshold` is that of
    dropout, and `n_updates` the count of updates before this one.
    """
    n_layers, height = sizes.size - 1, rows.size
    n_outputs = sizes[n_layers]
    n_entries, widest = 0, 0
    for layer in range(n_layers):
        n_entries += sizes[layer] * sizes[layer + 1]
        widest = max(widest, sizes[layer + 1])
    noise = words.view(np.uint8)
    scale = np.float32(DROPOUT_STEPS) / np.float32(DROPOUT_STEPS - threshold)

    # forward: scratch holds targets, row weights, then the values of layer after layer
    batch_targets = scratch[: height * n_outputs].reshape((height, n_outputs))
    gather_rows(targets, rows, batch_targets)
    position = height * n_outputs
    batch_weights = scratch[position : position + height]
    for i in range(height):
        batch_weights[i] = row_weights[rows[i]]
    position += height
    values = scratch[position : position + height * sizes[0]].reshape((height, sizes[0]))
    gather_rows(inputs, rows, values)
    entry, bias = 0, n_entries
    for layer in range(n_layers):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        position += height * n_in
        following = scratch[position : position + height * n_out].reshape((height, n_out))
        np.dot(values, weights[entry : entry + n_in * n_out].reshape((n_in, n_out)), following)
        if layer < n_layers - 1:
            if threshold > 0:
                fill_noise(seed, n_updates, layer, words[: (height * n_out + 7) // 8])
            activate(activation, following, weights[bias : bias + n_out], noise, threshold, scale)
        entry += n_in * n_out
        bias += n_out
        values = following
    total = loss_and_gradient(loss, values, weights[bias - n_outputs : bias], batch_targets, batch_weights)

    # backward: the deltas of two neighbouring layers take turns in the two last parts of scratch
    deltas = values
    spare = position + height * n_outputs
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        entry -= n_in * n_out
        bias -= n_out
        position -= height * n_in
        values = scratch[position : position + height * n_in].reshape((height, n_in))
        column_sums(deltas, gradient[bias : bias + n_out])
        np.dot(values.T, deltas, gradient[entry : entry + n_in * n_out].reshape((n_in, n_out)))
        if layer > 0:
            turn = spare + (layer % 2) * height * widest
            below = scratch[turn : turn + height * n_in].reshape((height, n_in))
            np.dot(deltas, weights[entry : entry + n_in * n_out].reshape((n_in, n_out)).T, below)
            activate_backward(activation, below, values, scale)
            deltas = below

    for low, high, decay in ((0, n_entries, weight_decay), (n_entries, weights.size, 0.0)):
        update_weights(
            update, weights[low:high], gradient[low:high], first[low:high], second[low:high], average[low:high],
            rate, decay, beta_1, beta_2, epsilon, n_updates + 1, ema_step,
        )  # fmt: skip
    return total


def update_ratio_naive(before: Array, after: Array) -> float:
    """‖after − before‖ / ‖before‖, NaN or infinite for weights that are."""
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.linalg.norm(after.astype(np.float64) - before)
        return float(moved / max(float(np.linalg.norm(before.astype(np.float64))), 1e-30))


@compiled(f"float64({READ_NUMBERS}, {READ_NUMBERS})")
def update_ratio(before: Array, after: Array) -> float:
    """`update_ratio_naive` in one pass, summed in float64, where the squares of no float32 overflow."""
    moved, norm = 0.0, 0.0
    for i in range(before.size):
        difference = np.float64(after[i]) - np.float64(before[i])
        moved += difference * difference
        norm += np.float64(before[i]) * np.float64(before[i])
    return float(np.sqrt(moved) / max(np.sqrt(norm), 1e-30))


@compiled(
    f"float64({READ_ROWS}, {READ_INDEX}, int64[::1], int64, int64, {READ_NUMBERS}, {READ_ROWS}, {READ_NUMBERS},"
    " float32[::1], float32[:, ::1])"
)
def mean_loss(
    inputs: Array, rows: NDArray[np.int64], sizes: NDArray[np.int64], activation: int, loss: int, weights: Array,
    targets: Array, row_weights: Array, chunk: Array, outputs: Array,
) -> float:  # fmt: skip
    """The weighted mean loss of one model on some rows, without dropout.

    `rows` is filled up with −1 to a multiple of the chunk height; `targets` and `row_weights` are those of the rows;
    `chunk` and `outputs` (n_rows, n_outputs) are overwritten.
    """
    forward(inputs, rows, sizes, activation, CHUNK_HEIGHT, weights, chunk, outputs)
    weight = 0.0
    for i in range(row_weights.size):
        weight += row_weights[i]
    # the last layer's bias is in `outputs` already
    total = loss_and_gradient(loss, outputs, np.zeros(outputs.shape[1], np.float32), targets, row_weights)
    return total / weight


@compiled(
    f"int64({READ_ROWS}, {READ_ROWS}, {READ_NUMBERS}, int64[:, ::1], int64, int64, int64, int64[::1],"
    " int64, int64, int64, float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float64[::1], float64[::1], float64, float64, float64, float64, int64, uint64, int64,"
    f" {READ_INDEX}, {READ_ROWS}, {READ_NUMBERS}, float64, float64[::1], float64[:, ::1],"
    " float32[::1], float32[::1], float32[:, ::1], uint64[::1])",
    flags=(),
)
def train_steps(
    inputs: Array, targets: Array, row_weights: Array, orders: NDArray[np.int64],
    first_step: int, last_step: int, n_steps: int, sizes: NDArray[np.int64], activation: int, loss: int, update: int,
    weights: Array, gradient: Array, first: Array, second: Array, average: Array, previous: Array,
    rates: NDArray[np.float64], ema_steps: NDArray[np.float64], weight_decay: float, beta_1: float, beta_2: float,
    epsilon: float, threshold: int, seed: np.uint64, n_updates: int,
    valid_rows: NDArray[np.int64], valid_targets: Array, valid_weights: Array, worst_loss: float,
    running: NDArray[np.float64], history: NDArray[np.float64],
    scratch: Array, chunk: Array, outputs: Array, words: NDArray[np.uint64],
) -> int:  # fmt: skip
    """Steps `first_step` to `last_step` of one model's epochs, `n_steps` to an epoch, with a look at each epoch's end.

    Step s of epoch e trains on orders[e, s·n // n_steps : (s+1)·n // n_steps]. `rates` and `ema_steps` hold the
    learning rate and the step of the average for each update, `n_updates` the count before step 0. At an epoch's end
    `history` (n_epochs, 3) gets the mean training loss, the averaged weights' loss on the validation rows, and the
    last update's ratio; `running` (2,) carries the sums of losses and row weights from call to call.

    Returns the epoch in which a loss exceeded `worst_loss` or a weight was not finite, else −1. Compiled without
    fast-math flags: the comparisons must see NaN.
    """
    n_rows = orders.shape[1]
    for step in range(first_step, last_step):
        epoch, within = step // n_steps, step % n_steps
        rows = orders[epoch, within * n_rows // n_steps : (within + 1) * n_rows // n_steps]
        if within == 0:
            running[:] = 0
        if within == n_steps - 1:
            previous[:] = weights
        running[0] += train_step(
            inputs, targets, row_weights, rows, sizes, activation, loss, update,
            weights, gradient, first, second, average,
            rates[step], ema_steps[step], weight_decay, beta_1, beta_2, epsilon, threshold, seed, n_updates + step,
            scratch, words,
        )  # fmt: skip
        for row in rows:
            running[1] += row_weights[row]
        if within == n_steps - 1:
            history[epoch, 0] = running[0] / running[1]
            history[epoch, 1] = mean_loss(
                inputs, valid_rows, sizes, activation, loss, average, valid_targets, valid_weights, chunk, outputs
            )
            history[epoch, 2] = update_ratio(previous, weights)
            train_loss, valid_loss, ratio = history[epoch]
            # comparisons that NaN fails
            if not (train_loss <= worst_loss and valid_loss <= worst_loss and ratio < np.inf):
                return epoch
    return -1
