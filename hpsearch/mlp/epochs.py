"""Epochs of one model in one call of compiled code, with a look at the model at the end of each.

`watch` is what a model remembers between epochs: the lowest watched loss and the epochs since (early stopping), then
the lowest loss, the epochs since and the rate's factor of the schedule `plateau`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import activate
from hpsearch.mlp.augmentation import Strengths
from hpsearch.mlp.averages import ring_slot, swa_step
from hpsearch.mlp.batch_norm import column_statistics, fuse, standardise
from hpsearch.mlp.kernels import (
    READ_NUMBERS,
    NumberRows,
    Numbers,
    ReadIndex,
    ReadNumbers,
    ReadRows,
    borrowed,
    compiled,
    copy_numbers,
    inlined,
    record,
)
from hpsearch.mlp.layers import gather_rows
from hpsearch.mlp.losses import loss_and_gradient
from hpsearch.mlp.predict import CHUNK_HEIGHT, embed_values, forward
from hpsearch.mlp.schedules import watch_plateau
from hpsearch.mlp.stack import Layout
from hpsearch.mlp.steps import Data, Scratch, Settings, State, train_step

Array = NDArray[np.float32]

N_WATCHED = 5
FRESH_WATCH = (np.inf, 0.0, np.inf, 0.0, 1.0)
"""`watch` of an untrained model."""


@record
class Look(NamedTuple):
    """What a look at a model works with.

    `rows`, filled up with −1 to a multiple of the chunk height, `targets` and `row_weights` are those held out; there
    may be none. `calibration` rows give averaged weights their own statistics, in two regions of `layers`. `fused` is
    for a model's weights; `previous` for those before the epoch's last update; `outputs` for the held out rows.
    """

    rows: ReadIndex
    targets: ReadRows
    row_weights: ReadNumbers
    calibration: ReadIndex
    previous: Numbers
    fused: Numbers
    chunk: Numbers
    outputs: NumberRows
    layers: Numbers


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


@compiled("float64(Layout, Settings, Data, float32[::1], Look)")
def mean_loss(layout: Layout, settings: Settings, data: Data, weights: Array, look: Look) -> float:
    """The weighted mean loss of one model on the rows held out, without noise or smoothing; NaN if there are none."""
    if look.outputs.shape[0] == 0:
        return np.nan
    copy_numbers(weights, look.fused)
    fuse(layout, look.fused)
    forward(layout, data.inputs, look.rows, CHUNK_HEIGHT, look.fused, look.chunk, look.outputs)
    weight = 0.0
    for i in range(look.row_weights.size):
        weight += look.row_weights[i]
    # the last layer's bias is in `outputs` already
    no_bias = np.zeros(look.outputs.shape[1], np.float32)
    total = loss_and_gradient(
        settings.loss, look.outputs, no_bias, look.targets, look.row_weights, settings.loss_parameter
    )
    return total / weight


@compiled("void(Layout, Data, float32[::1], Look)")
def estimate_statistics(layout: Layout, data: Data, weights: Array, look: Look) -> None:
    """Give averaged `weights`, the OUT array, means and variances of their own layers on the calibration rows.

    Those of the raw weights would be of another network: averages of weights need a pass of their own (Izmailov et al.
    2018). Layer by layer, all rows at once.
    """
    if layout.normalised == 0:
        return
    height, n_layers = look.calibration.size, layout.columns.size
    region = look.layers.size // 3
    turn = 0
    values = look.layers[: height * layout.units[0]].reshape((height, layout.units[0]))
    gather_rows(data.inputs, look.calibration, values)
    embed_values(layout, values, weights)
    no_noise = np.empty(0, np.uint8)
    for layer in range(n_layers - 1):
        n_in, n_columns, n_out = layout.units[layer], layout.columns[layer], layout.units[layer + 1]
        entry, bias, slope = layout.matrix[layer], layout.bias[layer], layout.slope[layer]
        gain, mean, variance = layout.gain[layer], layout.mean[layer], layout.variance[layer]
        turn = 1 - turn
        products = look.layers[turn * region : turn * region + height * n_columns].reshape((height, n_columns))
        kept = look.layers[2 * region : 2 * region + height * n_columns].reshape((height, n_columns))
        np.dot(values, weights[entry : entry + n_in * n_columns].reshape((n_in, n_columns)), products)
        column_statistics(products, weights[mean : mean + n_columns], weights[variance : variance + n_columns])
        standardise(
            products, weights[mean : mean + n_columns], weights[variance : variance + n_columns],
            weights[gain : gain + n_columns],
        )  # fmt: skip
        activate(
            layout.activation, products, weights[bias : bias + n_columns], weights[slope : slope + n_out], no_noise, 0,
            np.float32(1), kept,
        )  # fmt: skip
        outputs = look.layers[turn * region : turn * region + height * n_out].reshape((height, n_out))
        if layout.skips[layer] == 1:
            for i in range(height):
                for j in range(n_out):
                    outputs[i, j] += values[i, j]
        values = outputs


@inlined
def watch_best(loss: float, watch: NDArray[np.float64], weights: Array, best: Array) -> None:
    """Keep the weights of the lowest loss so far in `best`, and count the epochs since in `watch`."""
    watch[1] += 1
    if loss < watch[0]:
        watch[0], watch[1] = loss, 0
        copy_numbers(weights, best)


@compiled("boolean(float64[::1], float64, boolean)", flags=())
def has_diverged(history: NDArray[np.float64], worst_loss: float, holds_out: bool) -> bool:
    """Did the epoch that left this `history` (3,) end with a loss beyond the worst, or weights that are not finite?

    The validation loss counts only where rows are held out. Comparisons that NaN fails.
    """
    sound = history[0] <= worst_loss and history[2] < np.inf
    return not (sound and (history[1] <= worst_loss or not holds_out))


@inlined
def has_no_patience(settings: Settings, state: State) -> bool:
    """Has the watched loss not fallen for too long?"""
    return settings.patience > 0 and state.watch[1] >= settings.patience


@compiled("void(Layout, Settings, Data, State, Look, int64, float64, float64[::1])", flags=())
def end_epoch(
    layout: Layout, settings: Settings, data: Data, state: State, look: Look, epoch: int, train_loss: float,
    history: NDArray[np.float64],
) -> None:  # fmt: skip
    """Look at a model that has trained `epoch` epochs: `history` (3,), statistics of the averages, what is kept."""
    estimate_statistics(layout, data, state.average, look)
    history[0] = train_loss
    history[1] = mean_loss(layout, settings, data, state.average, look)
    history[2] = update_ratio(look.previous[: layout.n_learned], state.weights[: layout.n_learned])
    watched = train_loss if look.outputs.shape[0] == 0 else history[1]
    if settings.patience > 0:
        watch_best(watched, state.watch, state.average, state.best)
    if settings.plateau_patience >= 0:
        watch_plateau(watched, state.watch[2:], settings.plateau_patience, settings.plateau_drop)
    if 0 <= settings.swa_after < epoch:
        # a horizon that was shortened may begin in the middle of the tail
        n_before = 0 if np.isnan(state.swa[0]) else epoch - settings.swa_after - 1
        swa_step(state.swa, state.weights, n_before)
        estimate_statistics(layout, data, state.swa, look)
    slot = ring_slot(epoch, settings.checkpoint_every, state.ring.shape[0])
    if slot >= 0:
        copy_numbers(state.weights, state.ring[slot])


@compiled(
    "int64(Layout, Settings, Strengths, Data, int64[:, ::1], State, Scratch, Look, int64, int64, int64, int64, int64,"
    " float64[::1], float64[::1], float64[::1], float64[:, ::1])",
    flags=(),
)
def train_steps(
    layout: Layout, settings: Settings, strengths: Strengths, data: Data, orders: NDArray[np.int64], state: State,
    scratch: Scratch, look: Look, first_epoch: int, first_update: int, first_step: int, last_step: int, n_steps: int,
    rates: NDArray[np.float64], ema_steps: NDArray[np.float64], running: NDArray[np.float64],
    history: NDArray[np.float64],
) -> int:  # fmt: skip
    """Steps `first_step` to `last_step` of one model's epochs, `n_steps` to an epoch, with a look at each epoch's end.

    Step s of epoch e trains on orders[e, s·n // n_steps : (s+1)·n // n_steps]; epoch 0 is the model's `first_epoch` and
    step 0 its `first_update`, both counted from 0. `rates` and `ema_steps` hold the learning rate and the step of the
    average for each update. At an epoch's end `history` (n_epochs, 3) gets the mean training loss, the averaged
    weights' loss on the rows held out, and the last update's ratio; `running` (2,) carries the sums of losses and row
    weights from call to call.

    Returns the epoch after which training ended, because a loss exceeded the worst allowed, a weight was not finite or
    patience ran out, else −1. Compiled without fast-math flags: the comparisons must see NaN.
    """
    layout, data, orders, state, scratch, look = (
        borrowed(layout), borrowed(data), borrowed(orders), borrowed(state), borrowed(scratch), borrowed(look)
    )  # fmt: skip
    n_rows = orders.shape[1]
    for step in range(first_step, last_step):
        epoch, within = step // n_steps, step % n_steps
        rows = orders[epoch, within * n_rows // n_steps : (within + 1) * n_rows // n_steps]
        if within == 0:
            running[0], running[1] = 0.0, 0.0
        if within == n_steps - 1:
            copy_numbers(state.weights, look.previous)
        running[0] += train_step(
            layout, settings, strengths, data, rows, state, scratch, rates[step] * state.watch[4], ema_steps[step],
            first_update + step,
        )  # fmt: skip
        for i in range(rows.size):
            running[1] += scratch.row_weights[i]
        if within == n_steps - 1:
            end_epoch(
                layout, settings, data, state, look, first_epoch + epoch + 1, running[0] / running[1], history[epoch]
            )
            bad = has_diverged(history[epoch], settings.worst_loss, look.outputs.shape[0] > 0)
            if bad or has_no_patience(settings, state):
                return epoch
    return -1
