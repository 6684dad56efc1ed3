"""Problems with known answers, on which every method is tried."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.train import Examples


@dataclass(frozen=True)
class Problem:
    """Examples to learn, the loss to learn them by, and a validation loss that a sound method goes below.

    `numbers` are the recipe's choices that belong to the loss.
    """

    name: str
    examples: Examples
    loss: str
    reachable: float
    numbers: dict[str, Any] = field(default_factory=dict)


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


def disc() -> Problem:
    """`rings` with one output, for the class inside: log 2 = 0.69 at chance."""
    examples = rings().examples
    one_output = np.ascontiguousarray(examples.targets[:, 1:])
    return Problem("disc", replace(examples, targets=one_output), "binary_logistic", 0.25)


def margins() -> Problem:
    """The five classes of `sectors`, by their margins: hinge loss 4 at chance."""
    return Problem("margins", sectors().examples, "multiclass_hinge", 0.5)


def _with_outliers(examples: Examples) -> Examples:
    """One training target in twenty is 10 deviations off, always upwards: a mean of such targets is off by 0.5."""
    targets = examples.targets.copy()
    targets[examples.train[::20]] += 10
    return replace(examples, targets=targets)


def outliers() -> Problem:
    """`product` with outliers; Huber's loss of a network that follows them all would be beyond 0.2."""
    return Problem("outliers", _with_outliers(product().examples), "huber", 0.15, {"huber_delta": 0.25})


def median() -> Problem:
    """`product` with outliers, of which the median takes no notice: absolute error 0.75 at chance."""
    return Problem("median", _with_outliers(product().examples), "absolute_error", 0.3)


UPPER = 0.8
UPPER_NORMAL = 0.8416212
"""The quantile that `spread` asks for, and the standard normal distribution's."""


def spread() -> Problem:
    """A line with noise that grows along it: the quantile is x + UPPER_NORMAL · (0.5 + 0.4 x).

    Its loss is 0.28 · (0.5 + 0.4 x), 0.14 on average; that of the best constant is beyond 0.2.
    """
    generator = np.random.default_rng(3)
    inputs = generator.uniform(-1, 1, (1600, 1))
    target = inputs + (0.5 + 0.4 * inputs) * generator.standard_normal((1600, 1))
    return Problem("spread", _examples(inputs, target, 1200), "quantile", 0.165, {"quantile": UPPER})


PROBLEMS = {
    problem.name: problem
    for problem in (rings(), sectors(), product(), disc(), margins(), outliers(), median(), spread())
}
