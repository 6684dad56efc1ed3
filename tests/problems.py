"""Problems with known answers, on which every method is tried."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.train import Examples


@dataclass(frozen=True)
class Problem:
    """Examples to learn, the loss to learn them by, and a validation loss that a sound method goes below."""

    name: str
    examples: Examples
    loss: str
    reachable: float


def _examples(inputs: NDArray[np.float64], targets: NDArray[np.float64], n_train: int) -> Examples:
    return Examples(
        inputs=np.ascontiguousarray(inputs, dtype=np.float32),
        targets=np.ascontiguousarray(targets, dtype=np.float32),
        row_weights=np.ones(len(inputs), dtype=np.float32),
        train=np.arange(n_train),
        valid=np.arange(n_train, len(inputs)),
        order_seed=7,
    )


def rings() -> Problem:
    """Two classes, inside and outside a circle: no linear model does better than chance (log 2 = 0.69)."""
    inputs = np.random.default_rng(0).uniform(-1, 1, (600, 2))
    inside = (np.square(inputs).sum(axis=1) < 2 / np.pi).astype(int)
    return Problem("rings", _examples(inputs, np.eye(2)[inside], 450), "softmax_cross_entropy", 0.25)


def sectors() -> Problem:
    """Five classes by the angle of a point."""
    inputs = np.random.default_rng(1).standard_normal((700, 2))
    angle = np.arctan2(inputs[:, 1], inputs[:, 0])
    sector = np.minimum((angle + np.pi) / (2 * np.pi) * 5, 4).astype(int)
    return Problem("sectors", _examples(inputs, np.eye(5)[sector], 500), "softmax_cross_entropy", 0.35)


def product() -> Problem:
    """The standardised product of two inputs: squared error 1 at chance."""
    inputs = np.random.default_rng(2).uniform(-1, 1, (600, 2))
    target = inputs[:, :1] * inputs[:, 1:]
    return Problem("product", _examples(inputs, target / target.std(), 450), "squared_error", 0.1)


PROBLEMS = {problem.name: problem for problem in (rings(), sectors(), product())}
