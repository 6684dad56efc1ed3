"""Waves of the numeric inputs, whose frequencies and phases are learned (Gorishniy, Rubachev and Babenko 2022).

    row ↦ (row, cos 2π(c · x + b) for each of its first n_numeric inputs x and each of their n_frequencies (c, b))

A dense layer can then bend where a column asks for it, without waiting for a hidden unit's kink to move there. The
inputs themselves stay, as in RealMLP (Holzmüller, Grinsztajn and Steinwart 2024). A wave of x and its neighbours lie
side by side: that of frequency k of input j is number j · n_frequencies + k.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.elementary import TURN, cosine_of_turns, sine_of_turns
from hpsearch.mlp.kernels import READ_NUMBERS, READ_ROWS, compiled, inlined
from hpsearch.mlp.stack import Layout

Array = NDArray[np.float32]
Floats = NDArray[Any]


def embed_naive(inputs: Floats, frequencies: Floats, phases: Floats) -> Floats:
    """(n_rows, n_inputs + n_waves): the inputs, then the waves; `frequencies`, `phases` (n_numeric, n_frequencies)."""
    turns = turns_naive(inputs, frequencies, phases)
    waves = np.cos(2 * math.pi * (turns - np.rint(turns)))
    return np.concatenate([inputs, waves.reshape(len(inputs), -1)], axis=1)


def turns_naive(inputs: Floats, frequencies: Floats, phases: Floats) -> Floats:
    """c · x + b, (n_rows, n_numeric, n_frequencies)."""
    return np.asarray(inputs[:, : len(frequencies), np.newaxis] * frequencies + phases)


def embed_backward_naive(inputs: Floats, deltas: Floats, frequencies: Floats, phases: Floats) -> tuple[Floats, Floats]:
    """The gradients of frequencies and phases, from deltas = d loss / d waves (n_rows, n_waves)."""
    turns = turns_naive(inputs, frequencies, phases)
    of_turns = -2 * math.pi * np.sin(2 * math.pi * (turns - np.rint(turns))) * deltas.reshape(turns.shape)
    return (of_turns * inputs[:, : len(frequencies), np.newaxis]).sum(axis=0), of_turns.sum(axis=0)


@inlined
def block_of(layout: Layout, numbers: Array, start: int) -> Array:
    """The frequencies or the phases (n_numeric, n_frequencies) that begin at `start` of a model's buffer."""
    n_waves, n_frequencies = layout.n_waves, layout.n_frequencies
    return numbers[start : start + n_waves].reshape((n_waves // n_frequencies, n_frequencies))


@compiled(f"void({READ_NUMBERS}, {READ_ROWS}, {READ_ROWS}, float32[:, ::1])")
def fill_turns(inputs: Array, frequencies: Array, phases: Array, out: Array) -> None:
    """c · x + b of one row of `inputs` into `out` (n_numeric, n_frequencies)."""
    for j in range(frequencies.shape[0]):
        for k in range(frequencies.shape[1]):
            out[j, k] = frequencies[j, k] * inputs[j] + phases[j, k]


@compiled(f"void(float32[:, ::1], {READ_ROWS}, {READ_ROWS})")
def embed(values: Array, frequencies: Array, phases: Array) -> None:
    """`embed_naive` in place: the first columns of `values` (n_rows, n_inputs + n_waves) are read, the last are OUT."""
    n_waves = frequencies.size
    n_inputs = values.shape[1] - n_waves
    for i in range(values.shape[0]):
        waves = values[i, n_inputs:]
        fill_turns(values[i], frequencies, phases, waves.reshape(frequencies.shape))
        for k in range(n_waves):
            waves[k] = cosine_of_turns(waves[k])


@compiled(
    f"void({READ_ROWS}, float32[:, ::1], {READ_ROWS}, {READ_ROWS}, float32[:, ::1], float32[:, ::1], float32[::1])"
)
def embed_backward(
    values: Array, deltas: Array, frequencies: Array, phases: Array, frequency_gradient: Array, phase_gradient: Array,
    spare: Array,
) -> None:  # fmt: skip
    """`embed_backward_naive` into the two gradients, given the `values` that `embed` was given or left.

    `deltas` (n_rows, n_waves) and `spare` (≥ n_waves,) are overwritten.
    """
    n_numeric, n_frequencies = frequencies.shape
    n_waves = frequencies.size
    turns = spare[:n_waves]
    frequency_gradient[:] = 0
    phase_gradient[:] = 0
    of_phases = phase_gradient.reshape(n_waves)
    for i in range(values.shape[0]):
        row = deltas[i]
        fill_turns(values[i], frequencies, phases, turns.reshape(frequencies.shape))
        for k in range(n_waves):
            row[k] *= -TURN * sine_of_turns(turns[k])
            of_phases[k] += row[k]
        by_input = row.reshape(frequencies.shape)
        for j in range(n_numeric):
            for k in range(n_frequencies):
                frequency_gradient[j, k] += by_input[j, k] * values[i, j]
