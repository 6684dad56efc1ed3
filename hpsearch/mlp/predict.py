"""Prediction with a stack: no noise, in row chunks of one fixed height, so that a row's bits never depend on how
many other rows are asked for."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS, activate, forward_naive
from hpsearch.mlp.batch_norm import EPSILON, fuse
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled, inlined, one_blas_thread
from hpsearch.mlp.layers import gather_rows
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.periodic import block_of, embed, embed_naive
from hpsearch.mlp.stack import Architecture, Layout, Stack

Array = NDArray[np.float32]

CHUNK_HEIGHT = 64
"""Rows per chunk, also of the last one, which is filled up with zeros."""
EXACT_HEIGHT = 4096
"""Rows that are predicted at a time in float64, to bound the memory."""


def scratch_size(architecture: Architecture, height: int) -> int:
    """Numbers of scratch that `forward` needs for chunks of this height."""
    return height * (architecture.units[0] + 2 * sum(architecture.columns))


@inlined
def embed_values(layout: Layout, values: Array, weights: Array) -> None:
    """Add a model's waves, if it has any, to the inputs in the first columns of `values` (n_rows, n_units)."""
    if layout.n_waves > 0:
        embed(values, block_of(layout, weights, layout.frequency), block_of(layout, weights, layout.phase))


@compiled(f"void(Layout, {READ_ROWS}, {READ_INDEX}, int64, {READ_NUMBERS}, float32[::1], float32[:, ::1])")
def forward(
    layout: Layout, inputs: Array, rows: NDArray[np.int64], height: int, weights: Array, scratch: Array, out: Array
) -> None:
    """One model's last layer, bias added, for the `rows` of `inputs`; `out` (n_rows, n_outputs) is the OUT array.

    The model's statistics are fused. `rows` (n_chunks · height,) is filled up with −1; `scratch` is of `scratch_size`.
    """
    n_layers = layout.columns.size
    no_noise = np.empty(0, np.uint8)
    for start in range(0, rows.size, height):
        chunk = rows[start : start + height]
        position = height * layout.units[0]
        values = scratch[:position].reshape((height, layout.units[0]))
        gather_rows(inputs, chunk, values)
        embed_values(layout, values, weights)
        for layer in range(n_layers):
            n_in, n_columns, n_out = layout.units[layer], layout.columns[layer], layout.units[layer + 1]
            entry, bias, slope = layout.matrix[layer], layout.bias[layer], layout.slope[layer]
            following = scratch[position : position + height * n_columns].reshape((height, n_columns))
            np.dot(values, weights[entry : entry + n_in * n_columns].reshape((n_in, n_columns)), following)
            if layer < n_layers - 1:
                kept = scratch[position + height * n_columns : position + 2 * height * n_columns]
                activate(
                    layout.activation, following, weights[bias : bias + n_columns], weights[slope : slope + n_out],
                    no_noise, 0, np.float32(1), kept.reshape((height, n_columns)),
                )  # fmt: skip
                outputs = scratch[position : position + height * n_out].reshape((height, n_out))
                position += 2 * height * n_columns
                if layout.skips[layer] == 1:
                    for i in range(height):
                        for j in range(n_out):
                            outputs[i, j] += values[i, j]
                following = outputs
            values = following
        last = layout.bias[n_layers - 1]
        for i in range(min(height, out.shape[0] - start)):
            for j in range(out.shape[1]):
                out[start + i, j] = values[i, j] + weights[last + j]


def fused(stack: Stack) -> Stack:
    """The stack without batch normalisation that predicts the same; the stack itself if it has none."""
    plain = replace(stack.architecture, batch_norm=False)
    if plain == stack.architecture:
        return stack
    weights = stack.weights.copy()
    for model in weights:
        fuse(stack.architecture.layout, model)
    whole, result = (
        Stack(stack.architecture, weights),
        Stack(plain, np.empty((len(weights), plain.n_weights), np.float32)),
    )
    for block in ("matrices", "biases", "frequencies", "phases", "slopes"):
        for target, source in zip(getattr(result, block)(), getattr(whole, block)(), strict=True):
            target[...] = source
    return result


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
    stack = fused(stack)
    chunks = padded(rows)
    scratch = np.empty(scratch_size(stack.architecture, CHUNK_HEIGHT), dtype=np.float32)
    out = np.empty((stack.n_models, len(rows), stack.layer_sizes[-1]), dtype=np.float32)
    with one_blas_thread():
        for weights, model_out in zip(stack.weights, out, strict=True):
            forward(stack.architecture.layout, inputs, chunks, CHUNK_HEIGHT, weights, scratch, model_out)
    return out


def predict(stack: Stack, loss: str, inputs: Array, rows: NDArray[np.int64]) -> Array:
    """Predictions of all models, (n_models, n_rows, n_outputs): class probabilities, or standardised numbers."""
    return LOSSES[loss].link(last_layers(stack, inputs, rows))


def last_layers_naive(stack: Stack, inputs: Any, rows: NDArray[np.int64]) -> Any:
    """`last_layers` in plain NumPy, all rows at once, with the running statistics where they are."""
    return np.stack(
        [_last_layer_naive(Stack(stack.architecture, model[np.newaxis]), inputs[rows]) for model in stack.weights]
    )


def last_layers_exact(stack: Stack, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last layers of all models for all rows of `inputs`, (n_models, n_rows, n_outputs) float64.

    In float32 the seventh digit of a row's answer depends on its position: BLAS sums it up in another order.
    """
    chunks = np.split(np.arange(len(inputs)), range(EXACT_HEIGHT, len(inputs), EXACT_HEIGHT))
    with one_blas_thread():
        return np.concatenate([last_layers_naive(stack, inputs, rows) for rows in chunks], axis=1)


def _last_layer_naive(stack: Stack, values: Any) -> Any:
    activation, no_noise = ACTIVATIONS[stack.architecture.activation], np.empty(0, np.uint8)
    matrices, biases, slopes = (
        [block[0] for block in blocks()] for blocks in (stack.matrices, stack.biases, stack.slopes)
    )
    gains, means, variances = (
        [block[0] for block in blocks()] for blocks in (stack.gains, stack.means, stack.variances)
    )
    for frequencies, phases in zip(stack.frequencies(), stack.phases(), strict=True):
        values = embed_naive(values, frequencies[0], phases[0])
    for layer, skips in enumerate(stack.architecture.layout.skips[:-1]):
        products = values @ matrices[layer]
        if gains:
            products = gains[layer] * (products - means[layer]) / np.sqrt(variances[layer] + EPSILON)
        own_slopes = slopes[layer] if slopes else np.zeros(stack.layer_sizes[layer + 1])
        outputs = forward_naive(activation, products, biases[layer], own_slopes, no_noise, 0, 1.0)
        values = values + outputs if skips else outputs
    return np.asarray(values @ matrices[-1] + biases[-1])
