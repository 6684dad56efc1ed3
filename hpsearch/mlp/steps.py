"""The training step: forward, backward and update of one model, minibatch after minibatch, in compiled code."""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import relu_backward, relu_backward_naive, relu_forward, relu_forward_naive
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled
from hpsearch.mlp.layers import DROPOUT_STEPS, column_sums, fill_noise, fill_noise_naive, gather_rows
from hpsearch.mlp.losses import LOSSES, loss_and_gradient
from hpsearch.mlp.stack import Stack, n_matrix_entries
from hpsearch.mlp.updates import adamw, adamw_naive

Array = NDArray[np.float32]


def step_naive(
    inputs: Array, targets: Array, row_weights: Array, loss: str, stack: Stack, first: Array, second: Array,
    average: Array, rate: float, ema_step: float, weight_decay: float, beta_1: float, beta_2: float, epsilon: float,
    threshold: int, seed: int, n_updates: int,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """One minibatch of `train_steps` in plain NumPy: the new weights, moments and average of the one model of `stack`.

    `inputs`, `targets` and `row_weights` are those of the minibatch alone.
    """
    matrices, biases = [m[0] for m in stack.matrices()], [b[0] for b in stack.biases()]
    scale = DROPOUT_STEPS / (DROPOUT_STEPS - threshold)
    values = [inputs]
    for layer, (matrix, bias) in enumerate(zip(matrices[:-1], biases[:-1], strict=True)):
        product = values[-1] @ matrix
        noise = fill_noise_naive(seed, n_updates, layer, -(-product.size // 8)).view(np.uint8)
        values.append(relu_forward_naive(product, bias, noise, threshold, scale))
    _, deltas = LOSSES[loss].naive(values[-1] @ matrices[-1], biases[-1], targets, row_weights)
    gradient = Stack(stack.layer_sizes, np.empty_like(stack.weights))
    for layer in reversed(range(len(matrices))):
        gradient.matrices()[layer][0] = values[layer].T @ deltas
        gradient.biases()[layer][0] = deltas.sum(axis=0)
        if layer > 0:
            deltas = relu_backward_naive(deltas @ matrices[layer].T, values[layer], scale)
    is_bias = np.arange(stack.weights.shape[1]) >= n_matrix_entries(stack.layer_sizes)
    return adamw_naive(
        stack.weights[0], gradient.weights[0], first, second, average, rate, np.where(is_bias, 0, weight_decay),
        beta_1, beta_2, epsilon, n_updates + 1, ema_step,
    )  # fmt: skip


@compiled(
    f"float64({READ_ROWS}, {READ_ROWS}, {READ_NUMBERS}, {READ_INDEX}, int64, int64, int64, int64[::1], int64,"
    " float32[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float64[::1], float64[::1], float64, float64, float64, float64, int64, uint64, int64,"
    " float32[::1], uint64[::1])"
)
def train_steps(
    inputs: Array, targets: Array, row_weights: Array, order: NDArray[np.int64],
    first_step: int, last_step: int, n_steps: int, sizes: NDArray[np.int64], loss: int,
    weights: Array, gradient: Array, first: Array, second: Array, average: Array,
    rates: NDArray[np.float64], ema_steps: NDArray[np.float64], weight_decay: float, beta_1: float, beta_2: float,
    epsilon: float, threshold: int, seed: np.uint64, n_updates: int, scratch: Array, words: NDArray[np.uint64],
) -> float:  # fmt: skip
    """Steps `first_step` to `last_step` of one model's epoch of `n_steps`; returns the sum of weighted losses.

    Step s trains on order[s·n // n_steps : (s+1)·n // n_steps]. `weights`, `first`, `second`, `average` (n_weights,)
    are the OUT arrays; `gradient`, `scratch` and `words` (noise) are overwritten. `rates` and `ema_steps` (n_steps,)
    hold the learning rate and the step of the average for each update; `n_updates` is the count before the epoch.
    """
    n_layers = sizes.size - 1
    n_outputs = sizes[n_layers]
    n_entries, widest = 0, 0
    for layer in range(n_layers):
        n_entries += sizes[layer] * sizes[layer + 1]
        widest = max(widest, sizes[layer + 1])
    noise = words.view(np.uint8)
    scale = np.float32(DROPOUT_STEPS) / np.float32(DROPOUT_STEPS - threshold)
    total = 0.0
    for step in range(first_step, last_step):
        rows = order[step * order.size // n_steps : (step + 1) * order.size // n_steps]
        height = rows.size

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
                    fill_noise(seed, n_updates + step, layer, words[: (height * n_out + 7) // 8])
                relu_forward(following, weights[bias : bias + n_out], noise, threshold, scale)
            entry += n_in * n_out
            bias += n_out
            values = following
        total += loss_and_gradient(loss, values, weights[bias - n_outputs : bias], batch_targets, batch_weights)

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
                relu_backward(below, values, scale)
                deltas = below

        for low, high, decay in ((0, n_entries, weight_decay), (n_entries, weights.size, 0.0)):
            adamw(
                weights[low:high], gradient[low:high], first[low:high], second[low:high], average[low:high],
                rates[step], decay, beta_1, beta_2, epsilon, n_updates + step + 1, ema_steps[step],
            )  # fmt: skip
    return total
