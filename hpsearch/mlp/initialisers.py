"""Initial weights, as pure functions of a model's seed and the layer's number."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.stack import Stack, n_weights

Array = NDArray[np.float32]

OUTPUT_SCALE = 0.1
"""The last layer starts at a tenth of its size, so that an untrained network's loss is the loss at chance."""


def he_normal(n_in: int, n_out: int, generator: np.random.Generator) -> Array:
    """Normal, deviation √(2 / n_in): keeps the scale of ReLU activations from layer to layer (He et al. 2015)."""
    return generator.standard_normal((n_in, n_out), dtype=np.float32) * np.float32(np.sqrt(2 / n_in))


INITIALISERS: dict[str, Callable[[int, int, np.random.Generator], Array]] = {"he_normal": he_normal}


def initial_stack(
    layer_sizes: tuple[int, ...], activation: str, initialisers: list[str], seeds: NDArray[np.uint64]
) -> Stack:
    """Freshly initialised networks, one per name in `initialisers` and entry of `seeds` (n_models,); biases are zero.

    The bits of a model depend on its seed alone: each layer draws from a Philox generator keyed (seed, layer).
    """
    stack = Stack(layer_sizes, activation, np.zeros((len(seeds), n_weights(layer_sizes)), dtype=np.float32))
    n_layers = len(layer_sizes) - 1
    for layer, ((n_in, n_out), matrices) in enumerate(zip(pairwise(layer_sizes), stack.matrices(), strict=True)):
        scale = np.float32(OUTPUT_SCALE if layer == n_layers - 1 else 1)
        for matrix, name, seed in zip(matrices, initialisers, seeds, strict=True):
            generator = np.random.Generator(np.random.Philox(key=[int(seed), layer]))
            matrix[...] = INITIALISERS[name](n_in, n_out, generator) * scale
    return stack
