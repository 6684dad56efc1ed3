"""The recipe of one model: every choice the engine understands, checked once.

`HYPERPARAMETERS` names them all with their natural bounds; a config (a plain dictionary) becomes a recipe with
`Recipe.from_config`.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import INITIALISERS
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.schedules import SCHEDULES
from hpsearch.mlp.updates import UPDATES

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "initialiser": tuple(INITIALISERS),
    "loss": tuple(LOSSES),
    "schedule": tuple(SCHEDULES),
    "update": tuple(UPDATES),
}

BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "batch_size": (1, None),
    "learning_rate_init": (0, None),
    "weight_decay": (0, None),
    "dropout": (0, 1),
    "beta_1": (0, 1),
    "beta_2": (0, 1),
    "epsilon": (0, None),
    "ema_decay": (0, 1),
}
"""Natural bounds of the numbers, (lowest, highest); a lowest that is 0 may be reached, a highest that is 1 may not."""


@dataclass(frozen=True)
class Recipe:
    """How one model is built and trained. NumPy's numbers become Python's, so that a recipe can be written as JSON.

    Attributes:
        hidden_layer_sizes: units of each hidden layer, ≥ 1; empty for a linear model.
        learning_rate_init: the schedule's initial rate, ≥ 0.
        weight_decay: decoupled decay of the weight matrices (not of biases), per unit of learning rate, ≥ 0.
        dropout: share of hidden units dropped in training, in [0, 1), to the nearest 256th.
        batch_size: rows of a minibatch, ≥ 1; an epoch is cut into ⌈rows / batch_size⌉ minibatches of equal size ± 1.
        beta_1, beta_2, epsilon: of AdamW.
        ema_decay: of the moving average of the weights, per update, in [0, 1), after a warm-up.
        activation, initialiser, schedule, update, loss: by name, see `CHOICES`.
    """

    hidden_layer_sizes: tuple[int, ...] = (128, 128)
    learning_rate_init: float = 1e-3
    weight_decay: float = 1e-2
    dropout: float = 0.0
    batch_size: int = 128
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    ema_decay: float = 0.998
    activation: str = "relu"
    initialiser: str = "he_normal"
    schedule: str = "constant"
    update: str = "adamw"
    loss: str = "softmax_cross_entropy"

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                hint = _did_you_mean(value, choices)
                raise ValueError(f"{name} must be one of {', '.join(choices)}, but got {value!r}{hint}")
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not _is_number(value) or (low is not None and value < low) or (high is not None and value >= high):
                raise ValueError(f"{name} must be a number {_interval(low, high)}, but got {value!r}")
        sizes = self.hidden_layer_sizes
        if not isinstance(sizes, tuple) or not all(_is_whole(size) and size >= 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be a tuple of whole numbers ≥ 1, but got {sizes!r}")
        if not _is_whole(self.batch_size):
            raise ValueError(f"batch_size must be a whole number, but got {self.batch_size!r}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], loss: str) -> "Recipe":
        """The recipe of a config: hyperparameters by name; what it does not name keeps its default.

        Raises:
            ValueError: for an unknown hyperparameter, or a value that breaks a rule of the attributes above.
        """
        for name in config:
            if name not in HYPERPARAMETERS:
                hint = _did_you_mean(name, HYPERPARAMETERS) or "."
                raise ValueError(f"unknown hyperparameter {name!r}{hint} Known are: {', '.join(HYPERPARAMETERS)}")
        chosen = dict(config)
        sizes = chosen.get("hidden_layer_sizes", cls.hidden_layer_sizes)
        chosen["hidden_layer_sizes"] = tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,)
        return cls(**chosen, loss=loss)

    def layer_sizes(self, n_inputs: int, n_outputs: int) -> tuple[int, ...]:
        """Units of every layer, from the inputs to the outputs."""
        return (n_inputs, *self.hidden_layer_sizes, n_outputs)

    @property
    def stack_key(self) -> tuple[Any, ...]:
        """Recipes with equal keys can be trained as one stack."""
        return (self.hidden_layer_sizes, self.batch_size, self.activation, self.update, self.loss)


HYPERPARAMETERS = tuple(field.name for field in fields(Recipe) if field.name != "loss")
"""The names a config may hold. The loss is not among them: it follows from the task."""


def _did_you_mean(name: Any, known: Iterable[str]) -> str:
    """`; did you mean 'a'?` with the nearest of the `known` names, or nothing if none is near."""
    near = difflib.get_close_matches(str(name).lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(value: Any) -> Any:
    """The value with NumPy's scalars turned into Python's, also inside a tuple."""
    if isinstance(value, tuple):
        return tuple(_plain(entry) for entry in value)
    return value.item() if isinstance(value, np.generic) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _interval(low: float | None, high: float | None) -> str:
    return f"in [{low:g}, {high:g})" if low is not None and high is not None else f"≥ {low:g}"
