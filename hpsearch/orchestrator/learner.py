"""The one protocol that the loop trains through: what a learner, its fits and its predictors can do."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.mlp.outcome import Outcome

Tensors = dict[str, NDArray[Any]]
Meta = dict[str, Any]

CHECKPOINT = "checkpoint_"
"""Begins the name of raw weights that were kept after so many epochs: "checkpoint_7"."""


@dataclass(frozen=True)
class Price:
    """What one model costs its user.

    Attributes:
        size_mb: on disk, MB (10⁶ bytes).
        predict_ms: of 1,000 rows on one core, in milliseconds, counted and not measured: the same on every machine.
    """

    size_mb: float
    predict_ms: float

    def times(self, n_models: int) -> "Price":
        """That of so many models."""
        return Price(n_models * self.size_mb, n_models * self.predict_ms)


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

    @property
    def n_inputs(self) -> int:
        """Columns of the inputs."""

    @property
    def n_outputs(self) -> int:
        """Columns of the predictions."""

    def predict(self, inputs: Any) -> NDArray[np.float32]:
        """Class probabilities or standardised numbers, (n_rows, n_outputs), for encoded `inputs` (n_rows, n_inputs)."""

    def add_votes(self, inputs: Any, vote: float, outputs: NDArray[np.float64]) -> None:
        """outputs += vote · what it predicts, with `outputs` (n_rows, n_outputs) the OUT array."""

    def save(self) -> tuple[Tensors, Meta]:
        """Arrays and a JSON object, whose `kind` tells the class that can `load` it again."""


F = TypeVar("F", bound=Fit)


class Learner(Protocol[F]):
    """How configs become trained models. `F` is the learner's own type of fit.

    `snapshots`: may a model vote as it was at a shorter rung? `weights`: the kinds of weights every fit predicts with;
    the last one ranks trials. `prefer`: "threads", or "processes" for what holds the GIL.
    """

    @property
    def snapshots(self) -> bool: ...

    @property
    def weights(self) -> tuple[str, ...]: ...

    @property
    def prefer(self) -> str: ...

    def check(self, config: Mapping[str, Any]) -> None:
        """ValueError, naming it, for a config that cannot be trained."""

    def key(self, config: Mapping[str, Any]) -> Hashable:
        """Trials with equal keys can share a fit."""

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        """Operations of one epoch."""

    def view(self, config: Mapping[str, Any], dataset: Dataset) -> Dataset:
        """The dataset by the encoding that models of this config are trained on."""

    def price(self, config: Mapping[str, Any]) -> Price:
        """What a model of the config costs its user; NaN where that cannot be told beforehand."""

    def kinds(self, fit: F) -> tuple[str, ...]:
        """All kinds of weights that the one model of `fit` predicts with: what it keeps besides, and `weights`."""

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

    def thin(self, fit: F) -> F:
        """The fit of models that will neither go on nor vote, without what is large or slow to save."""

    def save(self, fit: F) -> tuple[Tensors, Meta]:
        """A fit of one model as arrays and a JSON object."""

    def load(self, tensors: Tensors, meta: Meta) -> F:
        """The fit that was saved, bit by bit."""

    def is_of(self, fit: F, config: Mapping[str, Any], seed: int) -> bool:
        """Is this fit of one model what `start` of the config and the seed leads to?"""

    def predictor(self, fit: F, weights: str) -> Predictor:
        """The one model of `fit`, for prediction only."""
