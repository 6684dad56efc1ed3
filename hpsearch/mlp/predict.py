"""Prediction with a stack: no dropout, in row chunks of one fixed height, so that a row's bits never depend on how
many other rows are asked for."""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS, activate
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled, one_blas_thread
from hpsearch.mlp.layers import gather_rows
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.stack import Stack

Array = NDArray[np.float32]

CHUNK_HEIGHT = 64
"""Rows per chunk, also of the last one, which is filled up with zeros."""


@compiled(f"void({READ_ROWS}, {READ_INDEX}, int64[::1], int64, int64, {READ_NUMBERS}, float32[::1], float32[:, ::1])")
def forward(
    inputs: Array, rows: NDArray[np.int64], sizes: NDArray[np.int64], activation: int, height: int, weights: Array,
    scratch: Array, out: Array,
) -> None:  # fmt: skip
    """One model's last layer, bias added, for the `rows` of `inputs`; `out` (n_rows, n_outputs) is the OUT array.

    `rows` (n_chunks · height,) is filled up with −1; `scratch` holds height · Σ sizes entries; `activation` is a code.
    """
    n_layers = sizes.size - 1
    n_entries = 0
    for layer in range(n_layers):
        n_entries += sizes[layer] * sizes[layer + 1]
    no_noise = np.empty(0, np.uint8)
    for start in range(0, rows.size, height):
        chunk = rows[start : start + height]
        position = height * sizes[0]
        values = scratch[:position].reshape((height, sizes[0]))
        gather_rows(inputs, chunk, values)
        entry, bias = 0, n_entries
        for layer in range(n_layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            following = scratch[position : position + height * n_out].reshape((height, n_out))
            np.dot(values, weights[entry : entry + n_in * n_out].reshape((n_in, n_out)), following)
            if layer < n_layers - 1:
                activate(activation, following, weights[bias : bias + n_out], no_noise, 0, np.float32(1))
            position += height * n_out
            entry += n_in * n_out
            bias += n_out
            values = following
        last = weights[bias - sizes[n_layers] : bias]
        for i in range(min(height, out.shape[0] - start)):
            for j in range(out.shape[1]):
                out[start + i, j] = values[i, j] + last[j]


def check_inputs(layer_sizes: tuple[int, ...], inputs: Array) -> None:
    """ValueError for inputs of another width than the first layer's: compiled code would read beyond its arrays."""
    if inputs.ndim != 2 or inputs.shape[1] != layer_sizes[0]:
        raise ValueError(
            f"inputs must have the shape (n_rows, {layer_sizes[0]}) for layer_sizes={layer_sizes}, but got "
            f"{inputs.shape}"
        )


def check_rows(name: str, rows: NDArray[np.int64], n_rows: int) -> None:
    """ValueError unless all `rows`, the argument called `name`, number rows of an array of `n_rows`."""
    if len(rows) and not (0 <= rows.min() and rows.max() < n_rows):
        raise ValueError(f"{name} must hold row numbers from 0 to {n_rows - 1}, but got {rows.min()} to {rows.max()}")


def padded(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers, filled up with −1 to a multiple of the chunk height."""
    return np.pad(rows, (0, -len(rows) % CHUNK_HEIGHT), constant_values=-1)


def last_layers(stack: Stack, inputs: Array, rows: NDArray[np.int64]) -> Array:
    """The last layers (logits, or numbers) of all models, (n_models, n_rows, n_outputs) float32.

    Args:
        inputs: (n_all_rows, n_inputs) float32, C-contiguous, read only.
        rows: (n_rows,) row numbers of `inputs`.

    Raises:
        ValueError: for inputs of another width than the stack's, or rows they do not have.
    """
    check_inputs(stack.layer_sizes, inputs)
    check_rows("rows", rows, len(inputs))
    chunks = padded(rows)
    sizes, activation = np.array(stack.layer_sizes, dtype=np.int64), ACTIVATIONS[stack.activation].code
    scratch = np.empty(CHUNK_HEIGHT * sum(stack.layer_sizes), dtype=np.float32)
    out = np.empty((stack.n_models, len(rows), stack.layer_sizes[-1]), dtype=np.float32)
    with one_blas_thread():
        for weights, model_out in zip(stack.weights, out, strict=True):
            forward(inputs, chunks, sizes, activation, CHUNK_HEIGHT, weights, scratch, model_out)
    return out


def predict(stack: Stack, loss: str, inputs: Array, rows: NDArray[np.int64]) -> Array:
    """Predictions of all models, (n_models, n_rows, n_outputs): class probabilities, or standardised numbers."""
    return LOSSES[loss].link(last_layers(stack, inputs, rows))


def last_layers_naive(stack: Stack, inputs: Array, rows: NDArray[np.int64]) -> Array:
    """`last_layers` in plain NumPy, all rows at once."""
    values = np.broadcast_to(inputs[rows], (stack.n_models, len(rows), inputs.shape[1]))
    layers = list(zip(stack.matrices(), stack.biases(), strict=True))
    for number, (matrices, biases) in enumerate(layers):
        values, biases = values @ matrices, biases[:, None, :]
        if number < len(layers) - 1:
            no_noise = np.zeros(values.size, np.uint8)
            values = ACTIVATIONS[stack.activation].forward_naive(values, biases, no_noise, 0, 1.0)
        else:
            values = values + biases
    return values
