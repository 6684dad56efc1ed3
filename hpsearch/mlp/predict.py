"""Prediction with a stack: no noise, and a row's bits depend neither on its place nor on the company it keeps."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS, activate, forward_naive
from hpsearch.mlp.batch_norm import EPSILON, fuse
from hpsearch.mlp.elementary import exponential
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled, inlined
from hpsearch.mlp.layers import gather_rows
from hpsearch.mlp.losses import LOSSES, softmax_naive
from hpsearch.mlp.periodic import block_of, embed, embed_naive
from hpsearch.mlp.stack import Architecture, Layout, Stack
from hpsearch.mlp.tiles import TILE_COLUMNS, TILE_ROWS, pack_panels, panels_size, tiled_product

Array = NDArray[np.float32]

CHUNK_HEIGHT = 64
"""Most rows per chunk: one passes through all layers while it is in the cache."""


def scratch_size(architecture: Architecture, height: int) -> int:
    """Numbers of scratch that `forward` needs for chunks of this height."""
    panels = sum(map(panels_size, architecture.units, architecture.columns))
    tile = TILE_ROWS * TILE_COLUMNS
    return panels + tile + height * (architecture.units[0] + 2 * sum(architecture.columns))


@inlined
def embed_values(layout: Layout, values: Array, weights: Array) -> None:
    """Add a model's waves, if it has any, to the inputs in the first columns of `values` (n_rows, n_units)."""
    if layout.n_waves > 0:
        embed(values, block_of(layout, weights, layout.frequency), block_of(layout, weights, layout.phase))


@compiled(f"int64(Layout, {READ_NUMBERS}, float32[::1])", flags=())
def pack_matrices(layout: Layout, weights: Array, panels: Array) -> int:
    """The panels of all layers one after another in `panels`, the OUT array; returns how many numbers they are."""
    position = 0
    for layer in range(layout.columns.size):
        n_in, n_columns, entry = layout.units[layer], layout.columns[layer], layout.matrix[layer]
        size = panels_size(n_in, n_columns)
        pack_panels(weights[entry : entry + n_in * n_columns], n_in, n_columns, panels[position : position + size])
        position += size
    return position


@compiled(f"void(Layout, {READ_ROWS}, {READ_INDEX}, int64, {READ_NUMBERS}, float32[::1], float32[:, ::1])")
def forward(
    layout: Layout, inputs: Array, rows: NDArray[np.int64], height: int, weights: Array, scratch: Array, out: Array
) -> None:
    """One model's last layer, bias added, for the `rows` of `inputs`; `out` (n_rows, n_outputs) is the OUT array.

    The model's statistics are fused. `rows` are those of `out`, filled up with −1 to whole tiles, see `padded`;
    `scratch` is of `scratch_size`.
    """
    n_layers = layout.columns.size
    no_noise = np.empty(0, np.uint8)
    n_packed = pack_matrices(layout, weights, scratch)
    n_reserved = n_packed + TILE_ROWS * TILE_COLUMNS
    edge = scratch[n_packed:n_reserved].reshape((TILE_ROWS, TILE_COLUMNS))
    for start in range(0, rows.size, height):
        chunk = rows[start : start + height]
        n_rows = chunk.size
        panel, position = 0, n_reserved + n_rows * layout.units[0]
        values = scratch[n_reserved:position].reshape((n_rows, layout.units[0]))
        gather_rows(inputs, chunk, values)
        embed_values(layout, values, weights)
        for layer in range(n_layers):
            n_in, n_columns, n_out = layout.units[layer], layout.columns[layer], layout.units[layer + 1]
            bias, slope = layout.bias[layer], layout.slope[layer]
            following = scratch[position : position + n_rows * n_columns].reshape((n_rows, n_columns))
            size = panels_size(n_in, n_columns)
            tiled_product(values, scratch[panel : panel + size], following, edge)
            panel += size
            if layer < n_layers - 1:
                kept = scratch[position + n_rows * n_columns : position + 2 * n_rows * n_columns]
                activate(
                    layout.activation, following, weights[bias : bias + n_columns], weights[slope : slope + n_out],
                    no_noise, 0, np.float32(1), kept.reshape((n_rows, n_columns)),
                )  # fmt: skip
                outputs = scratch[position : position + n_rows * n_out].reshape((n_rows, n_out))
                position += 2 * n_rows * n_columns
                if layout.skips[layer] == 1:
                    for i in range(n_rows):
                        for j in range(n_out):
                            outputs[i, j] += values[i, j]
                following = outputs
            values = following
        last = layout.bias[n_layers - 1]
        for i in range(min(n_rows, out.shape[0] - start)):
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
    """Row numbers, filled up with −1 to whole tiles."""
    return np.pad(rows, (0, -len(rows) % TILE_ROWS), constant_values=-1)


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
    for weights, model_out in zip(stack.weights, out, strict=True):
        forward(stack.architecture.layout, inputs, chunks, CHUNK_HEIGHT, weights, scratch, model_out)
    return out


def predict(stack: Stack, loss: str, inputs: Array, rows: NDArray[np.int64]) -> Array:
    """Predictions of all models, (n_models, n_rows, n_outputs): class probabilities, or standardised numbers."""
    return LOSSES[loss].link(last_layers(stack, inputs, rows))


@compiled("void(float32[:, ::1], float64, float64[:, ::1])")
def add_softmax(logits: Array, share: float, outputs: NDArray[np.float64]) -> None:
    """outputs += share · `losses.softmax_naive` of the logits, (n_rows, n_outputs); `logits` are overwritten."""
    n_rows, n_outputs = logits.shape
    for i in range(n_rows):
        highest = -np.float32(np.inf)
        for j in range(n_outputs):
            highest = max(highest, logits[i, j])
        for j in range(n_outputs):
            logits[i, j] -= highest
    # a pass of its own: a row is often too short to fill a vector register
    flat = logits.reshape(logits.size)
    for k in range(flat.size):
        flat[k] = exponential(flat[k])
    for i in range(n_rows):
        total = np.float32(0)
        for j in range(n_outputs):
            total += logits[i, j]
        factor = share / np.float64(total)
        for j in range(n_outputs):
            outputs[i, j] += factor * logits[i, j]


def add_votes(stack: Stack, loss: str, inputs: Array, vote: float, outputs: NDArray[np.float64]) -> None:
    """outputs += vote · predictions of the one model of `stack` for all rows of `inputs`, (n_rows, n_outputs)."""
    (last,) = last_layers(stack, inputs, np.arange(len(inputs)))
    if LOSSES[loss].link is softmax_naive:
        add_softmax(last, vote, outputs)
    else:
        outputs += vote * LOSSES[loss].link(last)


def last_layers_naive(stack: Stack, inputs: Any, rows: NDArray[np.int64]) -> Any:
    """`last_layers` in plain NumPy, all rows at once, with the running statistics where they are."""
    return np.stack(
        [_last_layer_naive(Stack(stack.architecture, model[np.newaxis]), inputs[rows]) for model in stack.weights]
    )


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
