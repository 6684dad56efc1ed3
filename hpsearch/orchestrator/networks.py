"""The MLP engine as a learner, and what of its networks is searched unless the user says otherwise."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.mlp import train
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.outcome import Outcome
from hpsearch.mlp.predict import add_votes, predict
from hpsearch.mlp.recipe import LBFGS, Recipe
from hpsearch.mlp.stack import Architecture, Stack, training_operations
from hpsearch.orchestrator.learner import CHECKPOINT, Meta, Price, Tensors
from hpsearch.space.distributions import Choice, LogUniform, Numeric, Uniform
from hpsearch.space.space import SearchSpace

WEIGHTS = ("raw", "ema")
"""Which weights of a fit predict: the last ones, or their moving average."""

NOMINAL_RATE = 5e10
"""Floating-point operations per second that times of prediction are told by: about 0.4 of one core's sgemm peak."""

SAVED = ("moments", "average", "swa", "best", "ring", "watch", "history")
"""Arrays of a fit that a checkpoint holds besides the weights."""


@dataclass(frozen=True)
class Network:
    """One trained network, a stack of one, and its loss: the predictor of the MLP engine."""

    stack: Stack
    loss: str

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.stack.layer_sizes

    @property
    def n_inputs(self) -> int:
        return self.layer_sizes[0]

    @property
    def n_outputs(self) -> int:
        return self.layer_sizes[-1]

    @property
    def weights(self) -> NDArray[np.float32]:
        """(n_weights,) float32."""
        return np.asarray(self.stack.weights[0])

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n_rows, n_outputs) for `inputs` (n_rows, n_inputs): class probabilities, or standardised numbers."""
        (outputs,) = predict(self.stack, self.loss, inputs, np.arange(len(inputs)))
        return np.asarray(outputs)

    @classmethod
    def mean(cls, networks: Sequence["Network"]) -> "Network":
        """The network whose weights are the means of those of `networks`, which are of one architecture and loss."""
        every = np.stack([network.weights for network in networks])
        weights = every.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return replace(networks[0], stack=replace(networks[0].stack, weights=weights))

    def add_votes(self, inputs: NDArray[np.float32], vote: float, outputs: NDArray[np.float64]) -> None:
        """outputs += vote · what it predicts."""
        add_votes(self.stack, self.loss, inputs, vote, outputs)

    def save(self) -> tuple[Tensors, Meta]:
        meta = {"kind": "network", "architecture": asdict(self.stack.architecture), "loss": self.loss}
        return {"weights": self.weights}, meta

    @classmethod
    def load(cls, tensors: Tensors, meta: Meta) -> "Network":
        return cls(Stack(_architecture(meta["architecture"]), tensors["weights"][np.newaxis]), meta["loss"])


def _architecture(document: Meta) -> Architecture:
    """The architecture whose fields were written as JSON."""
    return Architecture(**document | {"layer_sizes": tuple(document["layer_sizes"])})


NUMBER_LOSSES = tuple(name for name, loss in LOSSES.items() if not loss.of_classes)
CLASS_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.of_classes)
"""What a config may name as its loss, in regression and in classification."""


@dataclass(frozen=True)
class MLPLearner:
    """The MLP engine as a learner of one dataset.

    Args:
        n_inputs: by encoding, the width of the inputs. n_outputs: of the dataset.
        loss: by name, from the task; a config may name another one.
        order_seed: of the minibatch order.
        horizon: epochs over which the learning-rate schedules run.
        n_numeric: how many of the inputs, the first ones, are values of numeric columns; None: all.
    """

    n_inputs: Mapping[str, int]
    n_outputs: int
    loss: str
    order_seed: int
    horizon: int
    n_numeric: int | None = None
    snapshots: ClassVar[bool] = True
    weights: ClassVar[tuple[str, ...]] = WEIGHTS
    prefer: ClassVar[str] = "threads"

    @classmethod
    def of(cls, dataset: Dataset, order_seed: int, horizon: int) -> "MLPLearner":
        loss = "squared_error" if dataset.task == "regression" else "softmax_cross_entropy"
        n_inputs = {name: dataset.encoded_as(name).n_inputs for name in dataset.encodings}
        n_numeric = len(dataset.encoding.numeric)
        return cls(n_inputs, dataset.n_outputs, loss, order_seed, horizon, n_numeric)

    @staticmethod
    def check_recipe(config: Mapping[str, Any]) -> None:
        """ValueError for an unknown hyperparameter or a value that breaks its rule, whatever the dataset."""
        Recipe.from_config(config, Recipe.loss)

    def check(self, config: Mapping[str, Any]) -> None:
        self.recipe(config)

    def recipe(self, config: Mapping[str, Any]) -> Recipe:
        """The recipe of a config, checked; where it names no loss, it gets the task's.

        Raises:
            ValueError: also for a loss of another task, an encoding that the dataset does not have, and images of
                another size than the inputs.
        """
        recipe = Recipe.from_config(config, self.loss)
        if recipe.encoding not in self.n_inputs:
            raise ValueError(f"encoding must be one of {', '.join(self.n_inputs)}, but got {recipe.encoding!r}")
        losses = CLASS_LOSSES if LOSSES[self.loss].of_classes else NUMBER_LOSSES
        if recipe.loss not in losses:
            raise ValueError(f"loss must be one of {', '.join(losses)} for this task, but got {recipe.loss!r}")
        recipe.augmentation.strengths(self.n_inputs[recipe.encoding])
        return recipe

    def key(self, config: Mapping[str, Any]) -> Hashable:
        return self.recipe(config).stack_key

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        architecture = self._architecture(config)
        return float(training_operations(architecture.layer_sizes, architecture.n_waves) * len(dataset.rows.train))

    def _architecture(self, config: Mapping[str, Any]) -> Architecture:
        recipe = self.recipe(config)
        return recipe.architecture(self.n_inputs[recipe.encoding], self.n_outputs, self.n_numeric)

    def price(self, config: Mapping[str, Any]) -> Price:
        """Two operations per entry of the matrices and row, at `NOMINAL_RATE`."""
        architecture = replace(self._architecture(config), batch_norm=False)
        predict_ms = 1e3 * 2 * 1_000 * architecture.layout.n_matrix / NOMINAL_RATE
        return Price(4 * architecture.n_weights / 1e6, predict_ms)

    def kinds(self, fit: train.Fit) -> tuple[str, ...]:
        ring = tuple(f"{CHECKPOINT}{epoch}" for epoch in _ring_epochs(fit) if epoch != fit.epochs[0])
        swa = ("swa",) if fit.swa.shape[1] and np.isfinite(fit.swa).all() else ()
        return (*ring, *swa, *self.weights)

    def start(self, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> train.Fit:
        recipes = [self.recipe(config) for config in configs]
        return train.start(recipes, seeds, self.n_inputs[recipes[0].encoding], self.n_outputs, self.n_numeric)

    def view(self, config: Mapping[str, Any], dataset: Dataset) -> Dataset:
        return dataset.encoded_as(self.recipe(config).encoding)

    def advance(self, fit: train.Fit, dataset: Dataset, epochs: int, should_stop: Callable[[], bool]) -> train.Fit:
        examples = self.examples(dataset.encoded_as(fit.recipes[0].encoding))
        return train.advance(fit, examples, epochs, self.horizon, should_stop)

    def examples(self, dataset: Dataset) -> train.Examples:
        """The dataset as the engine sees it, by its own encoding."""
        rows = dataset.rows
        return train.Examples(
            dataset.inputs,
            dataset.targets,
            dataset.training_weights,
            rows.train,
            rows.valid,
            (self.order_seed + dataset.fold) % 2**64,
        )

    def predict(self, fit: train.Fit, dataset: Dataset, rows: NDArray[np.int64], weights: str) -> NDArray[np.float32]:
        network = self.network(fit, weights)
        return predict(network.stack, network.loss, dataset.encoded_as(fit.recipes[0].encoding).inputs, rows)

    def take(self, fit: train.Fit, models: Sequence[int]) -> train.Fit:
        return train.take(fit, models)

    def concatenate(self, fits: Sequence[train.Fit]) -> train.Fit:
        return train.concatenate(fits)

    def thin(self, fit: train.Fit) -> train.Fit:
        return fit

    def save(self, fit: train.Fit) -> tuple[Tensors, Meta]:
        outcome = fit.outcomes[0]
        tensors = {name: getattr(fit, name)[0] for name in SAVED}
        meta = {
            "recipe": asdict(fit.recipes[0]),
            "seed": int(fit.seeds[0]),
            "architecture": asdict(fit.stack.architecture),
            "epochs": int(fit.epochs[0]),
            "updates": int(fit.updates[0]),
            "outcome": None if outcome is None else asdict(outcome),
        }
        return tensors | {"weights": fit.stack.weights[0]}, meta

    def load(self, tensors: Tensors, meta: Meta) -> train.Fit:
        if "updates" not in meta:
            raise ValueError("the checkpoints are those of an earlier version, and cannot be gone on from: begin anew")
        outcome = meta["outcome"]
        return train.Fit(
            recipes=(Recipe.from_config(meta["recipe"], self.loss),),
            seeds=np.array([meta["seed"]], dtype=np.uint64),
            stack=Stack(_architecture(meta["architecture"]), tensors["weights"][np.newaxis]),
            epochs=np.array([meta["epochs"]], dtype=np.int64),
            updates=np.array([meta["updates"]], dtype=np.int64),
            outcomes=(None if outcome is None else Outcome(**outcome),),
            **{name: tensors[name][np.newaxis] for name in SAVED},
        )

    def is_of(self, fit: train.Fit, config: Mapping[str, Any], seed: int) -> bool:
        return fit.recipes == (self.recipe(config),) and fit.seeds.tolist() == [seed]

    def predictor(self, fit: train.Fit, weights: str) -> Network:
        return self.network(fit, weights)

    def network(self, fit: train.Fit, weights: str) -> Network:
        """The models of `fit` for prediction. With patience, "ema" is the average of the best epoch, not the last."""
        loss = fit.recipes[0].loss
        if weights.startswith(CHECKPOINT):
            epoch = int(weights.removeprefix(CHECKPOINT))
            return Network(fit.checkpoints()[_ring_epochs(fit).index(epoch)], loss)
        kind = "best" if weights == "ema" and fit.recipes[0].patience > 0 else weights
        return Network(fit.stack_of(kind), loss)


def _ring_epochs(fit: train.Fit) -> list[int]:
    """The epochs whose weights the ring of a fit of one model holds, as `Fit.checkpoints` gives them."""
    every, size = fit.recipes[0].checkpoint_every, fit.ring.shape[1]
    taken = int(fit.epochs[0]) // every
    return [every * number for number in range(max(0, taken - size) + 1, taken + 1)]


SIZES: tuple[tuple[float, int, tuple[tuple[int, ...], ...]], ...] = (
    (1_000, 16, ((32,), (64,), (128,), (32, 32), (64, 64))),
    (3_000, 32, ((128,), (256,), (64, 64), (128, 128), (192, 192))),
    (10_000, 64, ((128,), (128, 128), (192, 192), (256, 256), (192, 192, 192))),
    (20_000, 128, ((128, 128), (192, 192), (256, 256), (192, 192, 192))),
    (float("inf"), 256, ((128, 128), (192, 192), (256, 256), (192, 192, 192))),
)
"""Below so many training rows: the batch size, and the shapes among which is searched."""


def default_space(
    n_train: int, update: object = Recipe.update, encodings: Sequence[str] = (Recipe.encoding,), of_labels: bool = False
) -> SearchSpace:
    """What is searched unless the user says otherwise, for so many training rows in these encodings.

    Learning rate and decay are log-uniform, dropout is uniform; the encoding, the activation, width and depth (among
    `SIZES`) are chosen; the batch size follows from the number of rows and is not searched. With `of_labels`, where a
    score of labels ranks, so is whether labels are smoothed. L-BFGS has none of these but encoding and shapes: there
    the penalty is searched.
    """
    _, batch_size, shapes = next(size for size in SIZES if n_train < size[0])
    encoding = {"encoding": Choice(encodings) if len(encodings) > 1 else encodings[0]}
    if update == LBFGS:
        penalty = LogUniform(1e-5, 1e-1, limits=(1e-9, 10.0))
        return SearchSpace.of({"alpha": penalty, "hidden_layer_sizes": Choice(shapes), **encoding})
    return SearchSpace.of(
        {
            "learning_rate_init": LogUniform(5e-4, 2e-2, limits=(1e-6, 1.0)),
            "weight_decay": LogUniform(1e-3, 1.0, limits=(1e-8, 100.0)),
            "dropout": Uniform(0.0, 0.5, limits=(0.0, 0.9)),
            "hidden_layer_sizes": Choice(shapes),
            "activation": Choice(("relu", "silu")),
            **encoding,
            **({"label_smoothing": Choice((0.0, 0.1))} if of_labels else {}),
            "batch_size": batch_size,
        }
    )


CLASSIC: Mapping[str, object] = {
    "activation": "elu",
    "initialiser": "he_normal",
    "batch_norm": True,
    "dropout": Uniform(0.0, 0.5, limits=(0.0, 0.9)),
    "update": "nesterov",
    "schedule": "constant",
    "learning_rate_init": LogUniform(1e-3, 1e-1, limits=(1e-6, 10.0)),
    "alpha": LogUniform(1e-6, 1e-2, limits=(1e-9, 10.0)),
    "weight_decay": 0.0,
    "encoding": "robust",
}
"""The classic recipe of the lecture notes, as entries of a space: He's initial weights, ELU, batch normalisation,
dropout, Nesterov's momentum, no schedule. `search(X, y, space=CLASSIC)`; single entries are replaced with `|`."""


def default_config(space: SearchSpace) -> dict[str, Any]:
    """The config of `space` next to our defaults: what a person would try first.

    A range that does not hold its default gives the nearest value; a Choice that does not, its first; what has no
    default in `Recipe`, the middle.
    """
    defaults = {field.name: field.default for field in fields(Recipe)} | DEFAULTS
    return space.nearest(defaults)


DEFAULTS: dict[str, Any] = {
    "learning_rate_init": 3e-3,
    "weight_decay": 1e-1,
    "dropout": 0.1,
    "encoding": "piecewise",
    "hidden_layer_sizes": (192, 192),
}
"""Where the defaults of a search are other than those of `Recipe`."""


def largest_batch(space: SearchSpace) -> int:
    """The largest batch size the space can give."""
    entry = space.entries.get("batch_size", Recipe.batch_size)
    if isinstance(entry, Choice):
        return max(int(value) for value in entry.values if isinstance(value, int))
    return int(entry.high if isinstance(entry, Numeric) else entry)  # type: ignore[arg-type]
