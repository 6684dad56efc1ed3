"""A stack: the weights of many networks of equal architecture in one buffer, leading axis = model.

The buffer of one model holds, each block layer by layer: the matrices (what is decayed comes first); the biases; with
batch normalisation the gains; frequencies and phases of the inputs' waves, if there are any (`periodic`); the slopes of
the units' negative sides, where the activation has such. This is what is learned, the slopes only by PReLU. Then come
the running means and variances of batch normalisation, so that a copy of the buffer is a whole network, whatever is
averaged or kept.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.kernels import Integers, record

Array = NDArray[np.float32]


@record
class Layout(NamedTuple):
    """An architecture as compiled code sees it. All arrays but `units` have one entry per layer.

    `units` (n_layers + 1,) from inputs, waves included, to outputs; `columns` of the matrices, more than units for
    maxout alone; whether a layer's input `skips` it, to be added to its output. Then the offsets of each layer's blocks
    in a model's buffer, 0 where it has none. A row has `n_inputs`; of them `n_waves` are made, `n_frequencies` of each
    of the first ones, with blocks at `frequency` and `phase`. `activation` is a code; `normalised` is 1 with batch
    normalisation; entries below `n_matrix` belong to matrices, those below `n_learned` are learned.
    """

    units: Integers
    columns: Integers
    skips: Integers
    matrix: Integers
    bias: Integers
    gain: Integers
    slope: Integers
    mean: Integers
    variance: Integers
    n_inputs: int
    n_waves: int
    n_frequencies: int
    frequency: int
    phase: int
    activation: int
    normalised: int
    n_matrix: int
    n_learned: int
    n_weights: int


@dataclass(frozen=True)
class Architecture:
    """How the networks of a stack are built.

    Attributes:
        layer_sizes: units of the inputs, the hidden layers and the outputs.
        activation: of the hidden layers, see `ACTIVATIONS`.
        pieces: linear pieces of a maxout unit, ≥ 2; other activations have one.
        batch_norm: hidden layers are normalised before the bias and the activation (Ioffe and Szegedy 2015).
        residual: a hidden layer as wide as the hidden layer below adds its input to its output (He et al. 2016).
        n_numeric: how many of a row's inputs, the first ones, the first layer also sees as waves.
        n_frequencies: waves of each of them, see `periodic`.

    Raises:
        ValueError: for an activation that is none of `ACTIVATIONS`, or n_numeric beyond 0 … n_inputs.
    """

    layer_sizes: tuple[int, ...]
    activation: str = "relu"
    pieces: int = 2
    batch_norm: bool = False
    residual: bool = False
    n_numeric: int = 0
    n_frequencies: int = 0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but got {self.activation!r}")
        if not 0 <= self.n_numeric <= self.layer_sizes[0]:
            raise ValueError(
                f"n_numeric must be a whole number from 0 to {self.layer_sizes[0]}, the number of inputs, but got "
                f"{self.n_numeric!r}"
            )

    @property
    def n_waves(self) -> int:
        """Waves of all numeric inputs."""
        return self.n_numeric * self.n_frequencies

    @property
    def units(self) -> tuple[int, ...]:
        """What each layer reads, and the outputs: the layer sizes, with the waves among the inputs."""
        return (self.layer_sizes[0] + self.n_waves, *self.layer_sizes[1:])

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns of each layer's matrix: its units, times the pieces of a hidden maxout unit."""
        pieces = self.pieces if self.activation == "maxout" else 1
        return (*(pieces * size for size in self.layer_sizes[1:-1]), self.layer_sizes[-1])

    @property
    def layout(self) -> Layout:
        return _layout(self)

    @property
    def n_weights(self) -> int:
        """Entries of one network's buffer."""
        return self.layout.n_weights


@cache
def _layout(architecture: Architecture) -> Layout:
    sizes, columns = architecture.units, architecture.columns
    n_layers, n_hidden = len(columns), len(columns) - 1
    activation = ACTIVATIONS[architecture.activation]
    position = 0

    def offsets(widths: list[int]) -> NDArray[np.int64]:
        nonlocal position
        starts = position + np.cumsum([0, *widths])
        position = int(starts[-1])
        return np.pad(starts[:-1], (0, n_layers - len(widths))).astype(np.int64)

    hidden_columns = list(columns[:n_hidden]) if architecture.batch_norm else []
    hidden_units = list(sizes[1:-1]) if activation.default_slope is not None else []
    matrix = offsets([n_in * n_columns for n_in, n_columns in zip(sizes, columns, strict=False)])
    n_matrix = position
    bias, gain = offsets(list(columns)), offsets(hidden_columns)
    (frequency, *_), (phase, *_) = offsets([architecture.n_waves]), offsets([architecture.n_waves])
    n_learned = position
    slope = offsets(hidden_units)
    if activation.learns_slopes:
        n_learned = position
    mean, variance = offsets(hidden_columns), offsets(hidden_columns)
    skips = [architecture.residual and 0 < i < n_hidden and sizes[i] == sizes[i + 1] for i in range(n_layers)]
    return Layout(
        np.array(sizes, dtype=np.int64), np.array(columns, dtype=np.int64), np.array(skips, dtype=np.int64),
        matrix, bias, gain, slope, mean, variance,
        architecture.layer_sizes[0], architecture.n_waves, architecture.n_frequencies, int(frequency), int(phase),
        activation.code, int(architecture.batch_norm), n_matrix, n_learned, position,
    )  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """Networks of equal `architecture`; their `weights` are (n_models, n_weights) float32.

    The methods give views, one array per layer that has such a block.
    """

    architecture: Architecture
    weights: Array

    def __post_init__(self) -> None:
        expected = self.architecture.n_weights
        if self.weights.ndim != 2 or self.weights.shape[1] != expected:
            raise ValueError(
                f"weights must have the shape (n_models, {expected}) for {self.architecture}, but got "
                f"{self.weights.shape}"
            )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.architecture.layer_sizes

    @property
    def n_models(self) -> int:
        return len(self.weights)

    def matrices(self) -> list[Array]:
        """(n_models, n_in, n_columns) per layer."""
        shapes = zip(self.architecture.units, self.architecture.columns, strict=False)
        offsets = self.architecture.layout.matrix
        return [
            self.weights[:, start : start + n_in * n_columns].reshape(self.n_models, n_in, n_columns)
            for start, (n_in, n_columns) in zip(offsets, shapes, strict=True)
        ]

    def biases(self) -> list[Array]:
        """(n_models, n_columns) per layer."""
        return self._blocks(self.architecture.layout.bias, self.architecture.columns)

    def gains(self) -> list[Array]:
        """(n_models, n_columns) per hidden layer that is normalised: γ, by which normalised columns are multiplied."""
        return self._normalised(self.architecture.layout.gain)

    def means(self) -> list[Array]:
        """(n_models, n_columns) per hidden layer that is normalised: running means."""
        return self._normalised(self.architecture.layout.mean)

    def variances(self) -> list[Array]:
        """(n_models, n_columns) per hidden layer that is normalised: running variances."""
        return self._normalised(self.architecture.layout.variance)

    def frequencies(self) -> list[Array]:
        """(n_models, n_numeric, n_frequencies) of the inputs' waves, if there are any."""
        return self._waves(self.architecture.layout.frequency)

    def phases(self) -> list[Array]:
        """(n_models, n_numeric, n_frequencies) of the inputs' waves, in turns, if there are any."""
        return self._waves(self.architecture.layout.phase)

    def slopes(self) -> list[Array]:
        """(n_models, n_units) per hidden layer whose activation has slopes."""
        has_slopes = ACTIVATIONS[self.architecture.activation].default_slope is not None
        return self._blocks(self.architecture.layout.slope, self.layer_sizes[1:-1] if has_slopes else ())

    def _waves(self, start: int) -> list[Array]:
        architecture = self.architecture
        shape = self.n_models, architecture.n_numeric, architecture.n_frequencies
        return [self.weights[:, start : start + architecture.n_waves].reshape(shape)] if architecture.n_waves else []

    def _normalised(self, offsets: NDArray[np.int64]) -> list[Array]:
        return self._blocks(offsets, self.architecture.columns[:-1] if self.architecture.batch_norm else ())

    def _blocks(self, offsets: NDArray[np.int64], widths: tuple[int, ...]) -> list[Array]:
        return [self.weights[:, start : start + width] for start, width in zip(offsets, widths, strict=False)]


def n_matrix_entries(layer_sizes: tuple[int, ...]) -> int:
    """Entries of all weight matrices of one network: the W of DESIGN.md's operation count."""
    return sum(n_in * n_out for n_in, n_out in pairwise(layer_sizes))


def training_operations(layer_sizes: tuple[int, ...], n_waves: int = 0) -> int:
    """Floating-point operations of a training step per row and model: 6·W − 2·W₁.

    Two per weight and row forward, two for the weights' gradient, two for the inputs' gradient, of which the first
    layer (W₁ entries for the inputs themselves) needs that of the waves alone. A maxout unit counts once.
    """
    n_inputs, n_first, *_ = layer_sizes
    return 6 * (n_matrix_entries(layer_sizes) + n_waves * n_first) - 2 * n_inputs * n_first
