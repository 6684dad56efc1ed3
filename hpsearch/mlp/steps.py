"""The training step: forward, backward and update of one model on one minibatch, in compiled code.

`Settings` is a model's recipe as compiled code sees it, `State` the arrays that training changes, `Scratch` what a step
overwrites, so that it allocates nothing. The naive twin is in `naive`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import RRELU, activate, activate_backward
from hpsearch.mlp.augmentation import Strengths, augment
from hpsearch.mlp.averages import move_average
from hpsearch.mlp.batch_norm import MOMENTUM, normalise, normalise_backward
from hpsearch.mlp.kernels import (
    READ_INDEX,
    Doubles,
    Integers,
    NumberRows,
    Numbers,
    ReadNumbers,
    ReadRows,
    Seed,
    Words,
    compiled,
    inlined,
    record,
)
from hpsearch.mlp.layers import (
    DROPOUT_STEPS,
    column_sums,
    drop,
    drop_rows,
    gather_rows,
    product,
    product_with_transpose,
    transposed_product,
)
from hpsearch.mlp.losses import loss_and_gradient, smooth_targets
from hpsearch.mlp.noise import CONNECTIONS, DEPTH, INPUTS, fill_noise
from hpsearch.mlp.penalties import clip_norm, clip_values, limit_norms
from hpsearch.mlp.periodic import block_of, embed, embed_backward
from hpsearch.mlp.stack import Layout
from hpsearch.mlp.updates import update_weights

Array = NDArray[np.float32]

NO_UPDATE = -1
"""The code of no update rule."""


@record
class Data(NamedTuple):
    """What is learned from: `inputs` (n_rows, n_inputs), `targets` (n_rows, n_outputs), `row_weights` (n_rows,)."""

    inputs: ReadRows
    targets: ReadRows
    row_weights: ReadNumbers


@record
class Settings(NamedTuple):
    """A recipe's numbers, with codes for names and thresholds (0 to 255) for shares that are dropped; 0 is off.

    `a` and `b` are the update rule's coefficients; after the epoch `swa_after` weights are averaged uniformly (−1:
    never); `plateau_patience` is −1 for other schedules; `augments` is 1 if there are any `Strengths`; a loss above
    `worst_loss` is divergence.
    """

    loss: int
    loss_parameter: float
    label_smoothing: float
    input_threshold: int
    threshold: int
    connection_threshold: int
    depth_threshold: int
    update: int
    a: float
    b: float
    epsilon: float
    weight_decay: float
    l1: float
    l2: float
    max_norm: float
    clip_value: float
    clip_norm: float
    swa_after: int
    checkpoint_every: int
    patience: int
    plateau_patience: int
    plateau_drop: float
    augments: int
    worst_loss: float
    seed: Seed


@record
class State(NamedTuple):
    """One model's arrays; those of options that are off have length 0.

    All are (n_weights,) but `moments` (n_moments, n_weights), `ring` (n_checkpoints, n_weights) and `watch`, see
    `epochs`. `gradient` is no state: a step overwrites it.
    """

    weights: Numbers
    gradient: Numbers
    moments: NumberRows
    average: Numbers
    swa: Numbers
    best: Numbers
    ring: NumberRows
    watch: Doubles


@record
class Scratch(NamedTuple):
    """What a step works with, for minibatches of at most `height` rows.

    `values`, `branches`, `kept` and `normed` hold a region per layer: that of layer l begins at height · starts[l], the
    inputs being layer 0, of which `kept` holds the rows before their waves are added. `words` likewise, at
    word_starts[l], its last region being for rows and connections. `deltas` are three regions of height · `widest`.
    """

    height: int
    widest: int
    starts: Integers
    word_starts: Integers
    targets: Numbers
    row_weights: Numbers
    values: Numbers
    branches: Numbers
    kept: Numbers
    normed: Numbers
    inverse: Numbers
    connected: Numbers
    deltas: Numbers
    norms: Numbers
    spare: Numbers
    products: Numbers
    words: Words


@inlined
def kept_scale(threshold: int) -> np.float32:
    """What makes up for the share that is dropped."""
    return np.float32(DROPOUT_STEPS) / np.float32(DROPOUT_STEPS - threshold)


@inlined
def noise_of(
    scratch: Scratch, seed: np.uint64, n_updates: int, stream: int, region: int, n_bytes: int
) -> NDArray[np.uint8]:
    """So many bytes of a stream of noise, written into a region of `words`."""
    start = scratch.word_starts[region]
    words = scratch.words[start : start + (n_bytes + 7) // 8]
    fill_noise(seed, n_updates, stream, words)
    return words.view(np.uint8)


@inlined
def gather(
    layout: Layout, settings: Settings, strengths: Strengths, data: Data, rows: NDArray[np.int64], scratch: Scratch,
    n_updates: int,
) -> None:  # fmt: skip
    """Copy a minibatch into the scratch: targets smoothed, rows augmented, inputs dropped."""
    height, n_inputs, n_outputs = rows.size, layout.n_inputs, layout.units[layout.units.size - 1]
    targets = scratch.targets[: height * n_outputs].reshape((height, n_outputs))
    store = scratch.kept if layout.n_waves > 0 else scratch.values
    flat = store[: height * n_inputs]
    inputs = flat.reshape((height, n_inputs))
    gather_rows(data.targets, rows, targets)
    gather_rows(data.inputs, rows, inputs)
    for i in range(height):
        scratch.row_weights[i] = data.row_weights[rows[i]]
    if settings.label_smoothing > 0:
        smooth_targets(targets, settings.label_smoothing)
    if settings.augments == 1:
        row_weights = scratch.row_weights[:height]
        augment(inputs, targets, row_weights, data.inputs, rows, strengths, settings.seed, n_updates, scratch.spare)
    if settings.input_threshold > 0:
        noise = noise_of(scratch, settings.seed, n_updates, INPUTS, 0, flat.size)
        drop(flat, noise, settings.input_threshold, flat)


@inlined
def embed_rows(layout: Layout, state: State, scratch: Scratch, height: int) -> None:
    """From the gathered rows to what the first layer reads: rows and waves."""
    n_inputs, n_units = layout.n_inputs, layout.units[0]
    inputs = scratch.kept[: height * n_inputs].reshape((height, n_inputs))
    values = scratch.values[: height * n_units].reshape((height, n_units))
    for i in range(height):
        for j in range(n_inputs):
            values[i, j] = inputs[i, j]
    embed(values, block_of(layout, state.weights, layout.frequency), block_of(layout, state.weights, layout.phase))


@inlined
def embed_rows_backward(layout: Layout, state: State, scratch: Scratch, deltas: Array, matrix: Array) -> None:
    """From `deltas` of the first layer (n_rows, n_columns) and its `matrix` to the gradients of the waves' blocks."""
    height, n_columns = deltas.shape
    n_waves, n_units = layout.n_waves, layout.units[0]
    of_waves = matrix[layout.n_inputs * n_columns : n_units * n_columns].reshape((n_waves, n_columns))
    below = scratch.deltas[: height * n_waves].reshape((height, n_waves))
    product_with_transpose(deltas, of_waves, below, scratch.products)
    embed_backward(
        scratch.values[: height * n_units].reshape((height, n_units)), below,
        block_of(layout, state.weights, layout.frequency), block_of(layout, state.weights, layout.phase),
        block_of(layout, state.gradient, layout.frequency), block_of(layout, state.gradient, layout.phase),
        scratch.spare,
    )  # fmt: skip


@inlined
def activate_layer(
    layout: Layout, settings: Settings, state: State, scratch: Scratch, layer: int, products: Array, n_updates: int
) -> None:
    """A hidden layer's normalisation, bias, activation and dropout, in place."""
    height, n_columns = products.shape
    n_units, place = layout.units[layer + 1], scratch.height * scratch.starts[layer + 1]
    if layout.normalised == 1:
        gain, mean, variance = layout.gain[layer], layout.mean[layer], layout.variance[layer]
        normalise(
            products, state.weights[gain : gain + n_columns], state.weights[mean : mean + n_columns],
            state.weights[variance : variance + n_columns], MOMENTUM,
            scratch.normed[place : place + height * n_columns].reshape((height, n_columns)),
            scratch.inverse[scratch.starts[layer + 1] : scratch.starts[layer + 1] + n_columns],
        )  # fmt: skip
    noise = scratch.words[:0].view(np.uint8)
    if layout.activation == RRELU:
        noise = noise_of(scratch, settings.seed, n_updates, layer, layer + 1, 2 * height * n_units)
    elif settings.threshold > 0:
        noise = noise_of(scratch, settings.seed, n_updates, layer, layer + 1, height * n_units)
    bias, slope = layout.bias[layer], layout.slope[layer]
    activate(
        layout.activation, products, state.weights[bias : bias + n_columns], state.weights[slope : slope + n_units],
        noise, settings.threshold, kept_scale(settings.threshold),
        scratch.kept[place : place + height * n_columns].reshape((height, n_columns)),
    )  # fmt: skip


@inlined
def forward_pass(
    layout: Layout, settings: Settings, state: State, scratch: Scratch, height: int, n_updates: int
) -> float:
    """From the gathered minibatch to the sum of its weighted losses, whose gradient is left in the last region."""
    n_layers, seed, room = layout.columns.size, settings.seed, scratch.height
    if layout.n_waves > 0:
        embed_rows(layout, state, scratch, height)
    for layer in range(n_layers):
        n_in, n_columns, n_out = layout.units[layer], layout.columns[layer], layout.units[layer + 1]
        here, there = room * scratch.starts[layer], room * scratch.starts[layer + 1]
        values = scratch.values[here : here + height * n_in].reshape((height, n_in))
        entry, n_entries = layout.matrix[layer], n_in * n_columns
        matrix = state.weights[entry : entry + n_entries]
        if settings.connection_threshold > 0:
            connected = scratch.connected[entry : entry + n_entries]
            noise = noise_of(scratch, seed, n_updates, CONNECTIONS + layer, n_layers, n_entries)
            drop(matrix, noise, settings.connection_threshold, connected)
            matrix = connected
        store = scratch.branches if layout.skips[layer] == 1 else scratch.values
        following = store[there : there + height * n_columns].reshape((height, n_columns))
        product(values, matrix.reshape((n_in, n_columns)), following, scratch.products)
        if layer == n_layers - 1:
            bias = state.weights[layout.bias[layer] : layout.bias[layer] + n_out]
            targets = scratch.targets[: height * n_out].reshape((height, n_out))
            return loss_and_gradient(
                settings.loss, following, bias, targets, scratch.row_weights[:height], settings.loss_parameter
            )
        activate_layer(layout, settings, state, scratch, layer, following, n_updates)
        if layout.skips[layer] == 1:
            branch = scratch.branches[there : there + height * n_out].reshape((height, n_out))
            outputs = scratch.values[there : there + height * n_out].reshape((height, n_out))
            noise = scratch.words[:0].view(np.uint8)
            if settings.depth_threshold > 0:
                noise = noise_of(scratch, seed, n_updates, DEPTH + layer, n_layers, height)
            drop_rows(branch, noise, settings.depth_threshold, outputs)
            for i in range(height):
                for j in range(n_out):
                    outputs[i, j] += values[i, j]
    return 0.0


@inlined
def activate_layer_backward(
    layout: Layout, settings: Settings, state: State, scratch: Scratch, layer: int, deltas: Array
) -> None:
    """From d loss / d outputs of a hidden layer, at the start of `deltas` (n_rows, n_columns), to d loss / d products.

    Leaves the gradients of the layer's biases, slopes and gains.
    """
    height, n_columns = deltas.shape
    n_units, start = layout.units[layer + 1], scratch.starts[layer + 1]
    place, size = scratch.height * start, height * n_columns
    store = scratch.branches if layout.skips[layer] == 1 else scratch.values
    outputs = store[place : place + height * n_units].reshape((height, n_units))
    bias, slope, gain = layout.bias[layer], layout.slope[layer], layout.gain[layer]
    bias_gradient = state.gradient[bias : bias + n_columns]
    first_word = scratch.word_starts[layer + 1]
    activate_backward(
        layout.activation, deltas, outputs, scratch.kept[place : place + size].reshape((height, n_columns)),
        state.weights[slope : slope + n_units], state.gradient[slope : slope + n_units],
        scratch.words[first_word:].view(np.uint8), settings.threshold, kept_scale(settings.threshold),
    )  # fmt: skip
    column_sums(deltas, bias_gradient)
    if layout.normalised == 1:
        normalise_backward(
            deltas, scratch.normed[place : place + size].reshape((height, n_columns)),
            scratch.inverse[start : start + n_columns], state.weights[gain : gain + n_columns], bias_gradient,
            state.gradient[gain : gain + n_columns],
        )  # fmt: skip


@inlined
def backward_pass(
    layout: Layout, settings: Settings, state: State, scratch: Scratch, height: int, n_updates: int
) -> None:
    """From the gradient of the last layer, as `forward_pass` left it, to `state.gradient`.

    The deltas of two neighbouring layers take turns in two regions; the third is for those of a residual branch.
    """
    n_layers, seed = layout.columns.size, settings.seed
    region = scratch.height * scratch.widest
    last = scratch.height * scratch.starts[n_layers]
    above = scratch.values[last : last + height * layout.units[n_layers]]
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_columns, n_out = layout.units[layer], layout.columns[layer], layout.units[layer + 1]
        entry, n_entries = layout.matrix[layer], n_in * n_columns
        wide = above
        if layer == n_layers - 1:
            deltas = above.reshape((height, n_columns))
            column_sums(deltas, state.gradient[layout.bias[layer] : layout.bias[layer] + n_columns])
        else:
            if layout.skips[layer] == 1:
                wide = scratch.deltas[2 * region : 2 * region + height * n_columns]
                branch_deltas = wide[: height * n_out].reshape((height, n_out))
                noise = scratch.words[:0].view(np.uint8)
                if settings.depth_threshold > 0:
                    noise = noise_of(scratch, seed, n_updates, DEPTH + layer, n_layers, height)
                drop_rows(
                    above[: height * n_out].reshape((height, n_out)), noise, settings.depth_threshold, branch_deltas
                )
            deltas = wide[: height * n_columns].reshape((height, n_columns))
            activate_layer_backward(layout, settings, state, scratch, layer, deltas)
        here = scratch.height * scratch.starts[layer]
        values = scratch.values[here : here + height * n_in].reshape((height, n_in))
        gradient = state.gradient[entry : entry + n_entries]
        transposed_product(values, deltas, gradient.reshape((n_in, n_columns)), scratch.products)
        matrix = state.weights[entry : entry + n_entries]
        if settings.connection_threshold > 0:
            noise = noise_of(scratch, seed, n_updates, CONNECTIONS + layer, n_layers, n_entries)
            drop(gradient, noise, settings.connection_threshold, gradient)
            matrix = scratch.connected[entry : entry + n_entries]
        if layer > 0:
            below_width = layout.columns[layer - 1]
            turn = (layer % 2) * region
            below = scratch.deltas[turn : turn + height * below_width]
            inputs_deltas = below[: height * n_in].reshape((height, n_in))
            product_with_transpose(deltas, matrix.reshape((n_in, n_columns)), inputs_deltas, scratch.products)
            if layout.skips[layer] == 1:
                for i in range(height * n_in):
                    below[i] += above[i]
            above = below
        elif layout.n_waves > 0:
            embed_rows_backward(layout, state, scratch, deltas, matrix)


@inlined
def update_pass(
    layout: Layout, settings: Settings, state: State, scratch: Scratch, rate: float, ema_step: float, n_updates: int
) -> None:
    """Clip the gradient, update the weights, limit their norms, move the average. `n_updates` counts from 1.

    Only matrices are decayed and penalised.
    """
    if settings.clip_value > 0:
        clip_values(state.gradient[: layout.n_learned], settings.clip_value)
    if settings.clip_norm > 0:
        clip_norm(state.gradient[: layout.n_learned], settings.clip_norm)
    step = 0.0 if settings.max_norm > 0 else ema_step
    update_weights(
        settings.update, state.weights, state.gradient, state.moments, state.average, 0, layout.n_matrix, rate,
        settings.weight_decay, settings.l1, settings.l2, settings.a, settings.b, settings.epsilon, n_updates, step,
    )  # fmt: skip
    update_weights(
        settings.update, state.weights, state.gradient, state.moments, state.average, layout.n_matrix,
        layout.n_learned, rate, 0.0, 0.0, 0.0, settings.a, settings.b, settings.epsilon, n_updates, step,
    )  # fmt: skip
    if settings.max_norm > 0:
        for layer in range(layout.columns.size):
            n_in, n_columns, entry = layout.units[layer], layout.columns[layer], layout.matrix[layer]
            matrix = state.weights[entry : entry + n_in * n_columns].reshape((n_in, n_columns))
            limit_norms(matrix, settings.max_norm, scratch.norms[:n_columns])
        move_average(state.average[: layout.n_learned], state.weights[: layout.n_learned], ema_step)


@compiled(f"float64(Layout, Settings, Strengths, Data, {READ_INDEX}, State, Scratch, float64, float64, int64)")
def train_step(
    layout: Layout, settings: Settings, strengths: Strengths, data: Data, rows: NDArray[np.int64], state: State,
    scratch: Scratch, rate: float, ema_step: float, n_updates: int,
) -> float:  # fmt: skip
    """One minibatch, the `rows` of the data, after `n_updates` updates; returns the sum of its weighted losses.

    Without an update rule (`NO_UPDATE`) it leaves the gradient in the state, and the weights alone.
    """
    gather(layout, settings, strengths, data, rows, scratch, n_updates)
    total = forward_pass(layout, settings, state, scratch, rows.size, n_updates)
    backward_pass(layout, settings, state, scratch, rows.size, n_updates)
    if settings.update != NO_UPDATE:
        update_pass(layout, settings, state, scratch, rate, ema_step, n_updates + 1)
    return total
