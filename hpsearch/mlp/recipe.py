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
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.augmentation import BOUNDS as AUGMENTATION_BOUNDS
from hpsearch.mlp.augmentation import Augmentation
from hpsearch.mlp.initialisers import INITIALISERS
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.penalties import elastic
from hpsearch.mlp.schedules import SCHEDULES, rates
from hpsearch.mlp.stack import Architecture
from hpsearch.mlp.updates import UPDATES

LBFGS = "lbfgs"
"""The one update rule that is not a step on a minibatch, see `lbfgs`."""

NOT_WITH_LBFGS = (
    *("dropout", "input_dropout", "drop_connect", "stochastic_depth", "batch_norm", "max_norm", "clip_value"),
    *("clip_norm", "weight_decay", "noise", "swap_noise", "mixup", "shift", "flip", "crop_pad", "cutout"),
    *("brightness", "contrast", "warm_up", "l1_ratio"),
)
SMOOTHED_LOSSES = ("softmax_cross_entropy", "binary_logistic")

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "initialiser": tuple(INITIALISERS),
    "loss": tuple(LOSSES),
    "schedule": tuple(SCHEDULES),
    "update": (*UPDATES, LBFGS),
}

BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "pieces": (2, None),
    "n_frequencies": (0, None),
    "frequency_scale": (0, None),
    "negative_slope": (0, None),
    "initial_bias": (None, None),
    "dropout": (0, 1),
    "input_dropout": (0, 1),
    "drop_connect": (0, 1),
    "stochastic_depth": (0, 1),
    "label_smoothing": (0, 1),
    "huber_delta": (0, None),
    "quantile": (0, 1),
    "batch_size": (1, None),
    "learning_rate_init": (0, None),
    "weight_decay": (0, None),
    "alpha": (0, None),
    "l1_ratio": (0, None),
    "max_norm": (0, None),
    "clip_value": (0, None),
    "clip_norm": (0, None),
    "momentum": (0, 1),
    "rho": (0, 1),
    "beta_1": (0, 1),
    "beta_2": (0, 1),
    "ftrl_beta": (0, None),
    "epsilon": (0, None),
    "warm_up": (0, 1),
    "drop": (0, 1),
    "drop_every": (0, None),
    "decay_rate": (0, None),
    "decay_power": (0, None),
    "cycles": (1, None),
    "plateau_patience": (0, None),
    "ema_decay": (0, 1),
    "swa_share": (0, 1),
    "n_checkpoints": (0, None),
    "checkpoint_every": (1, None),
    "patience": (0, None),
    "prune": (0, 1),
} | AUGMENTATION_BOUNDS
"""Natural bounds of the numbers, (lowest, highest); a lowest that is 0 may be reached, a highest that is 1 may not."""

NOT_ZERO = ("huber_delta", "quantile", "drop_every", "epsilon")
"""Numbers that may come near 0, but not reach it."""


@dataclass(frozen=True)
class Recipe:
    """How one model is built and trained. NumPy's numbers become Python's, so that a recipe can be written as JSON.

    A share is a number in [0, 1); what is 0 by default is off. Shares that are dropped are multiples of 1/256.

    Attributes:
        encoding: which of the data's encodings are its inputs; to the engine no more than a name, equal in a stack.
        hidden_layer_sizes: units of each hidden layer, ≥ 1; empty for a linear model.
        activation: of the hidden layers, by name.
        negative_slope: leaky ReLU's slope, RReLU's mean slope, PReLU's initial one, ELU's α, ≥ 0; None for the
            activation's own (0.01, 11/48, 0.25, 1). Others have none, and do not read it.
        pieces: of a maxout unit, a whole number ≥ 2. Matrices of hidden layers grow as many times.
        batch_norm: normalise hidden layers. Adds 3 numbers per hidden unit.
        residual: hidden layers as wide as their input add it to their output.
        n_frequencies: waves of each numeric input that the first layer sees besides the input itself, each with a
            frequency and a phase that are learned, see `periodic`; a whole number, 0 for none. Its matrix grows.
        frequency_scale: deviation of the waves' initial frequencies, in turns per unit of the input, ≥ 0.
        initialiser: by name; None for the one that suits the activation.
        initial_bias: all biases at the start.
        dropout, input_dropout: share of hidden units, of inputs, dropped in training.
        drop_connect: share of the entries of all matrices dropped in training. Adds one copy of the matrices.
        stochastic_depth: share of rows for which a residual block is left out in training.
        loss: by name.
        label_smoothing: share of each target that is spread over all classes.
        huber_delta: error from which Huber's loss is linear, in deviations of the target, > 0.
        quantile: which one the quantile loss asks for, in (0, 1).
        batch_size: rows of a minibatch, ≥ 1; an epoch is cut into ⌈rows / batch_size⌉ minibatches of equal size ± 1.
        update: rule by name.
        learning_rate_init: the schedule's initial rate, ≥ 0.
        momentum: of `momentum` and `nesterov`.
        rho: decay of squares in `rmsprop` and `adadelta`.
        beta_1, beta_2: of the Adam family.
        ftrl_beta: of `ftrl`.
        epsilon: added to denominators, > 0: where a gradient is always 0, so is the rest of them.
        weight_decay: decoupled decay of the weight matrices (not of biases), per unit of learning rate, ≥ 0; None for
            the rule's own: 0.01 for `adamw`, else 0.
        alpha, l1_ratio: the penalty alpha · (l1_ratio · Σ|w| + (1 − l1_ratio) / 2 · Σw²) on the weight matrices,
            added to the mean loss; l1_ratio in [0, 1].
        max_norm: largest norm of the weights into a unit. clip_value: largest entry of a gradient. clip_norm: largest
            norm of a model's gradient.
        schedule: of the learning rate, by name, over the horizon. Its numbers, see `schedules`: milestones, drop,
            drop_every, decay_rate, decay_power, cycles; plateau_patience: epochs without progress before `plateau`
            multiplies the rate by `drop`.
        warm_up: share of the horizon in which the rate rises to the schedule's.
        ema_decay: of the moving average of the weights, per update, in [0, 1), after a warm-up.
        swa_share: last share of the horizon over whose epochs weights are averaged uniformly. Adds one copy of the
            weights.
        n_checkpoints, checkpoint_every: how many copies of the weights are kept, one each so many epochs; the oldest
            goes.
        patience: epochs without a better validation loss (of the average; the training loss where no rows are held out)
            after which training ends; the best weights are kept, which adds one copy of the weights.
        prune: share of each matrix's entries, the smallest, that are zero in prediction.
        noise, swap_noise, mixup, image_shape, shift, flip, crop_pad, cutout, brightness, contrast: augmentation of the
            training rows, see `augmentation`.
    """

    encoding: str = "robust"
    hidden_layer_sizes: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    negative_slope: float = None  # type: ignore[assignment]
    pieces: int = 2
    batch_norm: bool = False
    residual: bool = False
    n_frequencies: int = 0
    frequency_scale: float = 0.1
    initialiser: str = None  # type: ignore[assignment]
    initial_bias: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    drop_connect: float = 0.0
    stochastic_depth: float = 0.0
    loss: str = "softmax_cross_entropy"
    label_smoothing: float = 0.0
    huber_delta: float = 1.0
    quantile: float = 0.5
    batch_size: int = 128
    update: str = "adamw"
    learning_rate_init: float = 1e-3
    momentum: float = 0.9
    rho: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    ftrl_beta: float = 1.0
    epsilon: float = 1e-8
    weight_decay: float = None  # type: ignore[assignment]
    alpha: float = 0.0
    l1_ratio: float = 0.0
    max_norm: float = 0.0
    clip_value: float = 0.0
    clip_norm: float = 0.0
    schedule: str = "constant"
    warm_up: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    drop: float = 0.1
    drop_every: float = 0.25
    decay_rate: float = 5.0
    decay_power: float = 1.0
    cycles: int = 4
    plateau_patience: int = 5
    ema_decay: float = 0.998
    swa_share: float = 0.0
    n_checkpoints: int = 0
    checkpoint_every: int = 1
    patience: int = 0
    prune: float = 0.0
    noise: float = 0.0
    swap_noise: float = 0.0
    mixup: float = 0.0
    image_shape: tuple[int, ...] = ()
    shift: int = 0
    flip: bool = False
    crop_pad: int = 0
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "initialiser" and value is None):
                hint = _did_you_mean(value, choices)
                raise ValueError(f"{name} must be one of {', '.join(choices)}, but got {value!r}{hint}")
        self._fill_in()
        for field in fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
            if field.type is float and _is_whole(getattr(self, field.name)):
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        for name, (low, high) in BOUNDS.items():
            _check_bounds(name, low, high, getattr(self, name))
        self._check_combinations()

    def _fill_in(self) -> None:
        """Give what is None the value that suits the activation or the update rule."""
        activation = ACTIVATIONS[self.activation]
        own = {
            "negative_slope": activation.default_slope or 0.0,
            "initialiser": activation.initialiser,
            "weight_decay": 0.0 if self.update == LBFGS else UPDATES[self.update].decay,
        }
        for name, value in own.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _check_combinations(self) -> None:
        sizes = self.hidden_layer_sizes
        if not all(size >= 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be a tuple of whole numbers ≥ 1, but got {sizes!r}")
        if self.l1_ratio > 1:
            raise ValueError(f"l1_ratio must be a number in [0, 1], but got {self.l1_ratio!r}")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise ValueError(f"milestones must be shares of the horizon in (0, 1), but got {self.milestones!r}")
        if self.label_smoothing and self.loss not in SMOOTHED_LOSSES:
            raise ValueError(
                f"label_smoothing must be 0 for loss={self.loss!r}, which has no probabilities of classes, but got "
                f"{self.label_smoothing!r}"
            )
        if self.batch_norm and self.batch_size == 1:
            raise ValueError("batch_size must be ≥ 2 with batch_norm=True, for one row has no variance, but got 1")
        _ = self.augmentation
        if self.update == LBFGS and self.activation == "rrelu":
            raise ValueError("activation must not be 'rrelu' with update='lbfgs', for its slopes are random")
        if self.update == LBFGS:
            for name in NOT_WITH_LBFGS:
                if getattr(self, name):
                    raise ValueError(
                        f"{name} must be {type(getattr(self, name))()!r} with update='lbfgs', which needs the same "
                        f"loss of the same weights each time, but got {getattr(self, name)!r}"
                    )

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
        sizes = sizes.tolist() if isinstance(sizes, np.ndarray) else sizes
        chosen["hidden_layer_sizes"] = sizes if isinstance(sizes, list | tuple) else (sizes,)
        for name, value in chosen.items():
            chosen[name] = tuple(value) if isinstance(value, list) else value
        return cls(**{"loss": loss} | chosen)

    def architecture(self, n_inputs: int, n_outputs: int, n_numeric: int | None = None) -> Architecture:
        """How the network is built, for so many inputs and outputs; the first `n_numeric` inputs (None: all) may wave.

        Raises:
            ValueError: for n_numeric beyond 0 … n_inputs.
        """
        sizes = (n_inputs, *self.hidden_layer_sizes, n_outputs)
        n_waving = (n_inputs if n_numeric is None else n_numeric) if self.n_frequencies else 0
        return Architecture(
            sizes, self.activation, self.pieces, self.batch_norm, self.residual, n_waving, self.n_frequencies
        )

    @property
    def penalties(self) -> tuple[float, float]:
        """The factors of Σ|w| and of Σw²/2, see `penalties.elastic`."""
        return elastic(self.alpha, self.l1_ratio)

    @property
    def coefficients(self) -> tuple[float, float]:
        """The update rule's own two numbers."""
        if self.update == LBFGS:
            return 0.0, 0.0
        a, b = (getattr(self, name) if name else 0.0 for name in UPDATES[self.update].coefficients)
        return a, b

    @property
    def loss_parameter(self) -> float:
        """The loss's own number, 0 if it has none."""
        name = LOSSES[self.loss].parameter
        return float(getattr(self, name)) if name else 0.0

    @property
    def n_moments(self) -> int:
        """Arrays of the size of the weights that the update rule keeps."""
        return 0 if self.update == LBFGS else UPDATES[self.update].n_moments

    @property
    def augmentation(self) -> Augmentation:
        """What is done to the rows of a minibatch."""
        return Augmentation(**{field.name: getattr(self, field.name) for field in fields(Augmentation)})

    def batch_height(self, n_train: int) -> int:
        """Rows of the largest minibatch, of so many training rows."""
        return n_train if self.update == LBFGS else min(self.batch_size, n_train)

    def rates(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """The learning rates of updates, from the share of the horizon done before each."""
        numbers = {name: getattr(self, name) for name in SCHEDULES[self.schedule].numbers}
        return rates(self.schedule, progress, self.learning_rate_init, self.warm_up, numbers)

    @property
    def stack_key(self) -> tuple[Any, ...]:
        """Recipes with equal keys can be trained as one stack."""
        return (
            *(self.encoding, self.hidden_layer_sizes, self.activation, self.pieces, self.batch_norm, self.residual),
            *(self.n_frequencies, self.batch_size, self.update, self.loss),
            *(self.swa_share > 0, self.n_checkpoints, self.patience > 0),
        )


HYPERPARAMETERS = tuple(field.name for field in fields(Recipe))
"""The names a config may hold. Where it names no loss, that follows from the task."""


def _did_you_mean(name: Any, known: Iterable[str]) -> str:
    """`; did you mean 'a'?` with the nearest of the `known` names, or nothing if none is near."""
    near = difflib.get_close_matches(str(name).lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(value: Any) -> Any:
    """The value with NumPy's scalars turned into Python's, also inside a tuple."""
    if isinstance(value, tuple):
        return tuple(_plain(entry) for entry in value)
    return value.item() if isinstance(value, np.generic) else value


def _check_type(name: str, kind: Any, value: Any) -> None:
    """ValueError unless the value is of its field's type: whole number, truth value, tuple of whole numbers, number."""
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, but got {value!r}")
    if kind is int and not _is_whole(value):
        raise ValueError(f"{name} must be a whole number, but got {value!r}")
    entry_types = {tuple[int, ...]: ("whole numbers", _is_whole), tuple[float, ...]: ("numbers", _is_number)}
    if kind in entry_types:
        words, is_entry = entry_types[kind]
        if not isinstance(value, tuple) or not all(is_entry(entry) for entry in value):
            raise ValueError(f"{name} must be a tuple of {words}, but got {value!r}")


def _check_bounds(name: str, low: float | None, high: float | None, value: Any) -> None:
    below = low is not None and _is_number(value) and (value < low or (name in NOT_ZERO and value == 0))
    if not _is_number(value) or below or (high is not None and value >= high):
        raise ValueError(f"{name} must be a number{_interval(name, low, high)}, but got {value!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _interval(name: str, low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    if high is not None:
        return f" in {'(' if name in NOT_ZERO else '['}{low:g}, {high:g})"
    return f" {'>' if name in NOT_ZERO else '≥'} {low:g}"
