"""Initial weights, as pure functions of a model's seed and the layer's number."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.stack import Architecture, Stack

Array = NDArray[np.float32]

OUTPUT_SCALE = 0.1
"""The last layer starts at a tenth of its size, so that an untrained network's loss is the loss at chance."""

SMALL_DEVIATION = 0.01

WAVES = 2**32
"""The layer in whose place waves draw: none that a network has."""


def small_normal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Normal, deviation 0.01 whatever the width: deep layers' outputs and gradients fade out. The counter-example."""
    return _normal(SMALL_DEVIATION, n_in, n_out, generator)


def glorot_uniform(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Uniform in ±√(6 / (n_in + n_out)): a compromise of forward and backward scale (Glorot and Bengio 2010)."""
    return _uniform(math.sqrt(2 / (n_in + n_out)), n_in, n_out, generator)


def glorot_normal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Normal, deviation √(2 / (n_in + n_out)); as `glorot_uniform`."""
    return _normal(math.sqrt(2 / (n_in + n_out)), n_in, n_out, generator)


def he_uniform(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Uniform in ±√(6 / n_in); as `he_normal`."""
    return _uniform(math.sqrt(2 / n_in), n_in, n_out, generator)


def he_normal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Normal, deviation √(2 / n_in): keeps the scale of ReLU activations from layer to layer (He et al. 2015)."""
    return _normal(math.sqrt(2 / n_in), n_in, n_out, generator)


def lecun_uniform(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Uniform in ±√(3 / n_in); as `lecun_normal`."""
    return _uniform(math.sqrt(1 / n_in), n_in, n_out, generator)


def lecun_normal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Normal, deviation √(1 / n_in): keeps the variance of a linear layer (LeCun et al. 1998), and SELU's."""
    return _normal(math.sqrt(1 / n_in), n_in, n_out, generator)


def orthogonal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """A random rotation, uniform by Haar's measure (Saxe et al. 2014): the shorter of rows and columns is orthonormal.

    The Q of a normal matrix's QR decomposition is one only with the signs of R's diagonal (Mezzadri 2007).
    """
    tall = generator.standard_normal((max(n_in, n_out), min(n_in, n_out)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0, -1, 1)
    return np.ascontiguousarray(q if n_in >= n_out else q.T, dtype=np.float32)


def _normal(deviation: float, n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    return generator.standard_normal((n_in, n_out), dtype=np.float32) * np.float32(deviation)


def _uniform(deviation: float, n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Uniform with this deviation, which is the limit / √3."""
    limit = np.float32(math.sqrt(3) * deviation)
    return (2 * generator.random((n_in, n_out), dtype=np.float32) - 1) * limit


Initialiser = Callable[[int, int, np.random.Generator], Array]

INITIALISERS: dict[str, Initialiser] = {
    "small_normal": small_normal,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
}
"""By name: functions of (n_in, n_out, generator) to a matrix (n_in, n_out)."""


@dataclass(frozen=True)
class Start:
    """How a network starts: initialiser by name, all biases, the slope of its units' negative sides, and the deviation
    of its waves' frequencies."""

    initialiser: str
    bias: float
    slope: float
    frequency_scale: float = 0.0


def initial_stack(architecture: Architecture, starts: Sequence[Start], seeds: NDArray[np.uint64]) -> Stack:
    """Freshly initialised networks, one per entry of `starts` and of `seeds` (n_models,).

    The bits of a model depend on its seed alone: each layer draws from a Philox generator keyed (seed, layer). Each
    piece of a maxout layer is drawn as a layer of its own. Frequencies are normal around 0, phases uniform over the
    turn. Gains and running variances are 1, running means 0.
    """
    stack = Stack(architecture, np.zeros((len(seeds), architecture.n_weights), dtype=np.float32))
    n_layers = len(architecture.columns)
    for layer, (matrices, n_units) in enumerate(zip(stack.matrices(), architecture.units[1:], strict=True)):
        scale = np.float32(OUTPUT_SCALE if layer == n_layers - 1 else 1)
        for matrix, start, seed in zip(matrices, starts, seeds, strict=True):
            generator = np.random.Generator(np.random.Philox(key=np.array([seed, layer], dtype=np.uint64)))
            for column in range(0, matrix.shape[1], n_units):
                piece = INITIALISERS[start.initialiser](len(matrix), n_units, generator)
                matrix[:, column : column + n_units] = piece * scale
    for frequencies, phases in zip(stack.frequencies(), stack.phases(), strict=True):
        for model, (start, seed) in enumerate(zip(starts, seeds, strict=True)):
            generator = np.random.Generator(np.random.Philox(key=np.array([seed, WAVES], dtype=np.uint64)))
            n_numeric, n_frequencies = frequencies[model].shape
            frequencies[model] = _normal(start.frequency_scale, n_numeric, n_frequencies, generator)
            phases[model] = generator.random((n_numeric, n_frequencies), dtype=np.float32) - np.float32(0.5)
    for blocks, values in (
        (stack.biases(), [start.bias for start in starts]),
        (stack.slopes(), [start.slope for start in starts]),
        ((*stack.gains(), *stack.variances()), [1.0] * len(starts)),
    ):
        for block in blocks:
            block[...] = np.array(values, dtype=np.float32)[:, np.newaxis]
    return stack
