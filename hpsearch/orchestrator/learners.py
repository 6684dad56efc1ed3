"""Learners: the one protocol the loop trains through, and the MLP engine behind it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.mlp import train
from hpsearch.mlp.outcome import Outcome
from hpsearch.mlp.predict import predict
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Stack, training_operations
from hpsearch.space.distributions import Choice, LogUniform, Numeric, Uniform
from hpsearch.space.space import SearchSpace

WEIGHTS = ("raw", "ema")
"""Which weights of a fit predict: the last ones, or their moving average."""

Tensors = dict[str, NDArray[Any]]
Meta = dict[str, Any]


class Fit(Protocol):
    """What the loop sees of models in training; the rest is the learner's own business."""

    @property
    def epochs(self) -> NDArray[np.int64]:
        """Epochs each model has trained, (n_models,)."""

    @property
    def history(self) -> NDArray[np.float64]:
        """(n_models, n_epochs, 3): training loss, validation loss, update ratio after each epoch."""

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        """How each model ended, None while it is alive."""


class Predictor(Protocol):
    """What is left of a model when only its predictions are wanted."""

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities or standardised numbers, (n_rows, n_outputs), for encoded `inputs` (n_rows, n_inputs)."""

    def save(self) -> tuple[Tensors, Meta]:
        """Arrays and a JSON object from which `load` of the same class makes it again."""


F = TypeVar("F", bound=Fit)


class Learner(Protocol[F]):
    """How configs become trained models. `F` is the learner's own type of fit."""

    def key(self, config: Mapping[str, Any]) -> Hashable:
        """Trials with equal keys can share a fit."""

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        """Operations of one epoch."""

    def start(self, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> F:
        """Untrained models, one per config; all configs have the same key."""

    def advance(self, fit: F, dataset: Dataset, epochs: int, should_stop: Callable[[], bool]) -> F:
        """Train each live model until it has `epochs` epochs in all; those unfinished at a stop stay as they were."""

    def predict(self, fit: F, dataset: Dataset, rows: NDArray[np.int64], weights: str) -> NDArray[np.float32]:
        """Predictions of all models for rows of the dataset, (n_models, n_rows, n_outputs)."""

    def take(self, fit: F, models: Sequence[int]) -> F:
        """The fit of some of the models."""

    def concatenate(self, fits: Sequence[F]) -> F:
        """One fit of all models of several with the same key."""

    def save(self, fit: F) -> tuple[Tensors, Meta]:
        """A fit of one model as arrays and a JSON object."""

    def load(self, tensors: Tensors, meta: Meta) -> F:
        """The fit that was saved, bit by bit."""

    def is_of(self, fit: F, config: Mapping[str, Any], seed: int) -> bool:
        """Is this fit of one model what `start` of the config and the seed leads to?"""

    def predictor(self, fit: F, weights: str) -> Predictor:
        """The one model of `fit`, for prediction only."""


@dataclass(frozen=True)
class Network:
    """One trained network, a stack of one, and its loss: the predictor of the MLP engine."""

    stack: Stack
    loss: str

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.stack.layer_sizes

    @property
    def weights(self) -> NDArray[np.float32]:
        """(n_weights,) float32."""
        return np.asarray(self.stack.weights[0])

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        (outputs,) = predict(self.stack, self.loss, inputs, np.arange(len(inputs)))
        return np.asarray(outputs)

    def save(self) -> tuple[Tensors, Meta]:
        meta = {"layer_sizes": list(self.layer_sizes), "activation": self.stack.activation, "loss": self.loss}
        return {"weights": self.weights}, meta

    @classmethod
    def load(cls, tensors: Tensors, meta: Meta) -> "Network":
        stack = Stack(tuple(meta["layer_sizes"]), meta["activation"], tensors["weights"][np.newaxis])
        return cls(stack, meta["loss"])


@dataclass(frozen=True)
class MLPLearner:
    """The MLP engine as a learner of one dataset.

    Args:
        n_inputs, n_outputs: of the encoded dataset.
        loss: by name, from the task.
        order_seed: of the minibatch order.
        horizon: epochs over which the learning-rate schedules run.
    """

    n_inputs: int
    n_outputs: int
    loss: str
    order_seed: int
    horizon: int

    @classmethod
    def of(cls, dataset: Dataset, order_seed: int, horizon: int) -> "MLPLearner":
        loss = "squared_error" if dataset.task == "regression" else "softmax_cross_entropy"
        return cls(dataset.n_inputs, dataset.n_outputs, loss, order_seed, horizon)

    @staticmethod
    def check(config: Mapping[str, Any]) -> None:
        """ValueError for an unknown hyperparameter or a value that breaks its rule."""
        Recipe.from_config(config, Recipe.loss)

    def recipe(self, config: Mapping[str, Any]) -> Recipe:
        """The recipe of a config, checked."""
        return Recipe.from_config(config, self.loss)

    def key(self, config: Mapping[str, Any]) -> Hashable:
        return self.recipe(config).stack_key

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        sizes = self.recipe(config).layer_sizes(self.n_inputs, self.n_outputs)
        return float(training_operations(sizes) * len(dataset.rows.train))

    def start(self, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> train.Fit:
        return train.start([self.recipe(config) for config in configs], seeds, self.n_inputs, self.n_outputs)

    def advance(self, fit: train.Fit, dataset: Dataset, epochs: int, should_stop: Callable[[], bool]) -> train.Fit:
        return train.advance(fit, self.examples(dataset), epochs, self.horizon, should_stop)

    def examples(self, dataset: Dataset) -> train.Examples:
        """The dataset as the engine sees it."""
        rows = dataset.rows
        return train.Examples(
            dataset.inputs, dataset.targets, dataset.row_weights, rows.train, rows.valid, self.order_seed
        )

    def predict(self, fit: train.Fit, dataset: Dataset, rows: NDArray[np.int64], weights: str) -> NDArray[np.float32]:
        stack = fit.average_stack if weights == "ema" else fit.stack
        return predict(stack, self.loss, dataset.inputs, rows)

    def take(self, fit: train.Fit, models: Sequence[int]) -> train.Fit:
        return train.take(fit, models)

    def concatenate(self, fits: Sequence[train.Fit]) -> train.Fit:
        return train.concatenate(fits)

    def save(self, fit: train.Fit) -> tuple[Tensors, Meta]:
        outcome = fit.outcomes[0]
        tensors = {
            "weights": fit.stack.weights[0],
            "first": fit.first[0],
            "second": fit.second[0],
            "average": fit.average[0],
            "history": fit.history[0],
        }
        meta = {
            "recipe": asdict(fit.recipes[0]),
            "seed": int(fit.seeds[0]),
            "layer_sizes": list(fit.stack.layer_sizes),
            "epochs": int(fit.epochs[0]),
            "outcome": None if outcome is None else asdict(outcome),
        }
        return tensors, meta

    def load(self, tensors: Tensors, meta: Meta) -> train.Fit:
        recipe = dict(meta["recipe"], hidden_layer_sizes=tuple(meta["recipe"]["hidden_layer_sizes"]))
        outcome = meta["outcome"]
        return train.Fit(
            recipes=(Recipe(**recipe),),
            seeds=np.array([meta["seed"]], dtype=np.uint64),
            stack=Stack(tuple(meta["layer_sizes"]), recipe["activation"], tensors["weights"][np.newaxis]),
            first=tensors["first"][np.newaxis],
            second=tensors["second"][np.newaxis],
            average=tensors["average"][np.newaxis],
            epochs=np.array([meta["epochs"]], dtype=np.int64),
            history=tensors["history"][np.newaxis],
            outcomes=(None if outcome is None else Outcome(**outcome),),
        )

    def is_of(self, fit: train.Fit, config: Mapping[str, Any], seed: int) -> bool:
        return fit.recipes == (self.recipe(config),) and fit.seeds.tolist() == [seed]

    def predictor(self, fit: train.Fit, weights: str) -> Network:
        return Network(fit.average_stack if weights == "ema" else fit.stack, self.loss)


SIZES: tuple[tuple[float, int, tuple[tuple[int, ...], ...]], ...] = (
    (1_000, 16, ((32,), (64,), (128,), (32, 32), (64, 64))),
    (3_000, 32, ((128,), (256,), (64, 64), (128, 128), (192, 192))),
    (10_000, 64, ((64,), (128,), (256,), (64, 64), (128, 128), (256, 256), (128, 128, 128))),
    (20_000, 128, ((64,), (128,), (256,), (64, 64), (128, 128), (256, 256), (128, 128, 128))),
    (float("inf"), 256, ((64,), (128,), (256,), (64, 64), (128, 128), (256, 256), (128, 128, 128))),
)
"""Below so many training rows: the batch size, and the shapes among which is searched."""


def default_space(n_train: int) -> SearchSpace:
    """What is searched unless the user says otherwise, for so many training rows.

    Learning rate and decay are log-uniform, dropout is uniform, width and depth are chosen among `SIZES`; the batch
    size follows from the number of rows and is not searched.
    """
    _, batch_size, shapes = next(size for size in SIZES if n_train < size[0])
    return SearchSpace.of(
        {
            "learning_rate_init": LogUniform(5e-4, 5e-2, limits=(1e-6, 1.0)),
            "weight_decay": LogUniform(1e-4, 1.0, limits=(1e-8, 100.0)),
            "dropout": Uniform(0.0, 0.5, limits=(0.0, 0.9)),
            "hidden_layer_sizes": Choice(shapes),
            "batch_size": batch_size,
        }
    )


def largest_batch(space: SearchSpace) -> int:
    """The largest batch size the space can give."""
    entry = space.entries.get("batch_size", Recipe.batch_size)
    if isinstance(entry, Choice):
        return max(int(value) for value in entry.values if isinstance(value, int))
    return int(entry.high if isinstance(entry, Numeric) else entry)  # type: ignore[arg-type]
