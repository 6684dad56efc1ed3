"""A stack: the weights of many networks of equal shape in one buffer, leading axis = model.

The buffer of one model holds all weight matrices, layer by layer, and then all biases: what is decayed comes first.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Stack:
    """Networks of equal `layer_sizes` (inputs, hidden layers, outputs) and `activation`, see `ACTIVATIONS`.

    Their `weights` are (n_models, n_weights).
    """

    layer_sizes: tuple[int, ...]
    activation: str
    weights: Array

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but got {self.activation!r}")
        if self.weights.ndim != 2 or self.weights.shape[1] != n_weights(self.layer_sizes):
            raise ValueError(
                f"weights must have the shape (n_models, {n_weights(self.layer_sizes)}) for layer_sizes="
                f"{self.layer_sizes}, but got {self.weights.shape}"
            )

    @property
    def n_models(self) -> int:
        return len(self.weights)

    def matrices(self) -> list[Array]:
        """Views of the weight matrices, one (n_models, n_in, n_out) per layer."""
        views, start = [], 0
        for n_in, n_out in pairwise(self.layer_sizes):
            view = self.weights[:, start : start + n_in * n_out]
            views.append(view.reshape(self.n_models, n_in, n_out))
            start += n_in * n_out
        return views

    def biases(self) -> list[Array]:
        """Views of the biases, one (n_models, n_out) per layer."""
        views, start = [], n_matrix_entries(self.layer_sizes)
        for n_out in self.layer_sizes[1:]:
            views.append(self.weights[:, start : start + n_out])
            start += n_out
        return views


def n_matrix_entries(layer_sizes: tuple[int, ...]) -> int:
    """Entries of all weight matrices of one network: the W of DESIGN.md's operation count."""
    return sum(n_in * n_out for n_in, n_out in pairwise(layer_sizes))


def n_weights(layer_sizes: tuple[int, ...]) -> int:
    """Entries of all weight matrices and biases of one network."""
    return n_matrix_entries(layer_sizes) + sum(layer_sizes[1:])


def training_operations(layer_sizes: tuple[int, ...]) -> int:
    """Floating-point operations of a training step per row and model: 6·W − 2·W₁.

    Two per weight and row forward, two for the weights' gradient, two for the inputs' gradient, which the first layer
    (W₁ entries) does not need.
    """
    return 6 * n_matrix_entries(layer_sizes) - 2 * layer_sizes[0] * layer_sizes[1]
