"""How one estimator is trained to the end of a rung and judged; what of it goes wrong is its Outcome.

This is what child processes import, so nothing of the engine is needed here.
"""

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from hpsearch.data.target import Target
from hpsearch.mlp.outcome import Outcome, errored
from hpsearch.orchestrator.resources import Lesson, train

SMALLEST = float(np.finfo(np.float64).eps)
QUIET = (
    (ConvergenceWarning, ""),
    (UserWarning, "Warm-start fitting without increasing"),
    (UserWarning, "class_weight presets"),
    (UserWarning, r"n_quantiles \("),
)
"""What estimators say of training that is short, or on few rows: here it is meant so."""


@dataclass(frozen=True, eq=False)
class Model:
    """One estimator in training.

    Attributes:
        config: as text, by which it is known again.
        estimator: with the config's parameters and its seeds; fitted after the first epochs; None once it has failed.
        losses: (epochs,) float64 validation loss after each epoch, known where a rung ended and NaN elsewhere.
        predictions: (n_heldout, n_outputs) float32 for the dataset's held-out rows; None where there are none yet.
        seconds: it was trained for, where there is a limit to them.
    """

    config: str
    seed: int
    estimator: Any
    losses: NDArray[np.float64]
    outcome: Outcome | None = None
    predictions: NDArray[np.float32] | None = None
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        return len(self.losses)

    def after(self, epochs: int, loss: float = math.nan) -> NDArray[np.float64]:
        """`losses` after so many epochs."""
        losses = np.full(epochs, np.nan)
        losses[: self.epochs] = self.losses
        losses[-1:] = loss
        return losses


@dataclass(frozen=True, eq=False)
class Classroom:
    """What a model needs to be trained and judged; it goes to the child processes once.

    Attributes:
        heldout: inputs of the held-out rows, the validation rows first.
        targets, weights: of the validation rows, (n_valid, n_outputs) and (n_valid,) float32.
    """

    lesson: Lesson
    resource: str
    target: Target
    heldout: Any
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    raises: bool

    def loss(self, predictions: NDArray[np.float32]) -> float:
        """Log-loss, or squared error of the standardised numbers, on the validation rows."""
        expected = predictions[: len(self.targets)].astype(np.float64)
        if self.lesson.classes is None:
            losses = np.square(expected - self.targets).sum(axis=1)
        else:
            losses = -(self.targets * np.log(np.clip(expected, SMALLEST, 1))).sum(axis=1)
        return float(np.average(losses, weights=self.weights))


def outputs(estimator: Any, target: Target, inputs: Any) -> NDArray[np.float32]:
    """What a fitted estimator says of `inputs`, (n_rows, n_outputs): class probabilities, or standardised numbers.

    A classifier without `predict_proba` gives its class the probability 1; classes that it has not seen get 0.
    """
    if target.task == "regression":
        numbers = np.asarray(estimator.predict(inputs), dtype=np.float64).reshape(len(inputs))
        return target.encode_codes(numbers)
    if not hasattr(estimator, "predict_proba"):
        return target.encode_codes(np.asarray(estimator.predict(inputs)).astype(np.int64))
    probabilities = np.zeros((len(inputs), target.n_outputs), dtype=np.float32)
    probabilities[:, np.asarray(estimator.classes_).astype(np.int64)] = estimator.predict_proba(inputs)
    return probabilities


def never() -> bool:
    return False


def taught(classroom: Classroom, model: Model, epochs: int, should_stop: Callable[[], bool] = never) -> Model:
    """The model trained until it has so many epochs, with its predictions; an error is its outcome.

    It stays as it was if it should stop before that.
    """
    try:
        with np.errstate(all="ignore"):
            estimator = train(model.estimator, classroom.resource, classroom.lesson, model.epochs, epochs, should_stop)
            if estimator is None:
                return model
            predictions = outputs(estimator, classroom.target, classroom.heldout)
            losses = model.after(epochs, classroom.loss(predictions))
    except (Exception, SystemExit) as error:
        if classroom.raises:
            raise
        return failed(model, epochs, errored(epochs, error))
    return replace(model, estimator=estimator, losses=losses, predictions=predictions)


def taught_apart(classroom: Classroom, model: Model, epochs: int) -> Model:
    """As `taught`, in a process that has nothing else to do; the model's `seconds` count how long it took."""
    began = time.monotonic()
    with quiet_estimators():
        trained = taught(classroom, model, epochs)
    return replace(trained, seconds=model.seconds + time.monotonic() - began)


def failed(model: Model, epochs: int, outcome: Outcome) -> Model:
    """The model, ended on the way to `epochs`; nothing of it can be used any more."""
    return replace(model, estimator=None, losses=model.after(epochs), outcome=outcome, predictions=None)


@contextmanager
def quiet_estimators() -> Iterator[None]:
    """While this lasts, `QUIET` warnings are not shown. Does nothing outside the main thread.

    Filters of warnings are the process's: where threads train, whoever starts them enters this in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        for category, message in QUIET:
            warnings.filterwarnings("ignore", message, category)
        yield
