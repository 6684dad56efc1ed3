"""Scores: scikit-learn's scorers by name, applied to predictions that are already there. Greater is better.

Log-loss and errors are negated, as in scikit-learn. Scores of regression are in the target's own units. The two default
scores are also computed here: scikit-learn's checks take a millisecond a call, as long as a short trial trains.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names, log_loss, make_scorer

from hpsearch.data.columns import did_you_mean
from hpsearch.data.dataset import Dataset
from hpsearch.data.target import Target

DEFAULT_SCORING = {
    "binary": "neg_log_loss",
    "multiclass": "neg_log_loss",
    "regression": "neg_root_mean_squared_error",
}


class GivenClasses(ClassifierMixin, BaseEstimator):
    """A classifier that answers with given probabilities (n_rows, n_classes), whatever it is asked about."""

    def __init__(self, probabilities: NDArray[np.float64]) -> None:
        self.probabilities = probabilities
        self.classes_ = np.arange(probabilities.shape[1])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return self.probabilities

    def predict(self, X: Any) -> NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1))


class GivenNumbers(RegressorMixin, BaseEstimator):
    """A regressor that answers with given numbers (n_rows,), whatever it is asked about."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self.numbers = numbers
        self.fitted_ = True

    def predict(self, X: Any) -> NDArray[np.float64]:
        return self.numbers


@dataclass(frozen=True)
class Scorer:
    """A scikit-learn scorer for predictions of one target.

    Class labels are passed as their codes 0, 1, …, in sorted order: the positive class of a binary score is the last.
    """

    name: str
    target: Target
    function: Callable[..., float]

    @property
    def warnings(self) -> list[str]:
        """A sentence if one class is the positive one, and its label does not say so, as 1 and True do."""
        classes = self.target.classes
        if self.target.task != "binary" or self.name not in OF_POSITIVES or classes is None:
            return []
        if classes.dtype.kind == "b" or classes.tolist() in ([0, 1], [-1, 1]):
            return []
        return [
            f"{self.name} looks for {classes.tolist()[1]!r}, the last label in sorted order; give y as 0 and 1 to look "
            f"for {classes.tolist()[0]!r}."
        ]

    @classmethod
    def of(cls, name: str | None, target: Target) -> "Scorer":
        """The scorer with scikit-learn's `name`, by default log-loss for classes, RMSE for regression.

        Raises:
            ValueError: for a name that scikit-learn does not know, or a score that does not fit the task.
        """
        name = DEFAULT_SCORING[target.task] if name is None else name
        if name not in get_scorer_names():
            hint = did_you_mean(name, get_scorer_names())
            raise ValueError(f"scoring must be the name of a scikit-learn scorer, but got {name!r}{hint}")
        if _is_for_numbers(name) != (target.task == "regression"):
            raise ValueError(f"scoring={name!r} does not fit the task {target.task}")
        scorer = cls(name, target, _scorer(name, target))
        if target.task != "regression":
            scorer._try()
        return scorer

    def __call__(
        self, y: NDArray[Any], predictions: NDArray[np.floating], weights: NDArray[np.float64] | None = None
    ) -> float:
        """The score of `predictions` (n_rows, n_outputs) for the true codes or numbers `y` (n_rows,)."""
        given = self._given(predictions)
        if self.name in QUICK:
            return QUICK[self.name](y, given, weights)
        keywords = {} if weights is None else {"sample_weight": weights}
        return float(self.function(given, np.zeros((len(y), 1)), y, **keywords))

    def _given(self, predictions: NDArray[np.floating]) -> GivenClasses | GivenNumbers:
        exact = np.asarray(predictions, dtype=np.float64)
        if self.target.task == "regression":
            return GivenNumbers(np.asarray(self.target.decode(exact), dtype=np.float64))
        return GivenClasses(exact / exact.sum(axis=1, keepdims=True))

    def _try(self) -> None:
        """Score a few made-up rows: a score for two classes fails here on three, and not after the training."""
        n_classes = self.target.n_outputs
        y = np.tile(np.arange(n_classes), 2)
        try:
            self(y, np.eye(n_classes)[y] * 0.5 + 0.5 / n_classes)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"scoring={self.name!r} does not fit {n_classes} classes: {reason}") from error


def quick_neg_log_loss(y: NDArray[np.int64], given: GivenClasses, weights: NDArray[np.float64] | None = None) -> float:
    """scikit-learn's `neg_log_loss`: the mean log-probability of the true class, which is cut at float64's epsilon."""
    of_truth = given.probabilities[np.arange(len(y)), y]
    return float(np.average(np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)), weights=weights))


def quick_neg_root_mean_squared_error(
    y: NDArray[np.float64], given: GivenNumbers, weights: NDArray[np.float64] | None = None
) -> float:
    """scikit-learn's `neg_root_mean_squared_error`."""
    return -float(np.sqrt(np.average(np.square(given.numbers - y), weights=weights)))


OF_POSITIVES = (
    "average_precision", "f1", "jaccard", "neg_negative_likelihood_ratio", "positive_likelihood_ratio", "precision",
    "recall",
)  # fmt: skip
"""Scores of two classes that change when the classes are swapped."""
EPSILON = float(np.finfo(np.float64).eps)
HELD_PARTS = {"valid": "validation", "select": "selection", "test": "test"}
QUICK: dict[str, Callable[[NDArray[Any], Any, NDArray[np.float64] | None], float]] = {
    "neg_log_loss": quick_neg_log_loss,
    "neg_root_mean_squared_error": quick_neg_root_mean_squared_error,
}


def _is_for_numbers(name: str) -> bool:
    return name in ("r2", "explained_variance") or "error" in name or "deviance" in name


def _scorer(name: str, target: Target) -> Callable[..., float]:
    if name == "neg_log_loss":
        # scikit-learn's own refuses rows in which a class is missing
        codes = np.arange(target.n_outputs)
        scorer = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False, labels=codes)
    else:
        scorer = get_scorer(name)
    function: Callable[..., float] = scorer
    return function


def guess_scores(scorer: Scorer, dataset: Dataset) -> dict[str, float]:
    """What a constant guess scores on each part of the rows that are judged by.

    Raises:
        ValueError: if the score is not defined for one of them, naming score, part and reason.
    """
    train, scores = dataset.rows.train, {}
    guess = np.average(dataset.targets[train], axis=0, weights=dataset.row_weights[train])
    for part, words in HELD_PARTS.items():
        rows = getattr(dataset.rows, part)
        if len(rows) == 0:
            continue
        weights = None if dataset.sample_weight is None else dataset.sample_weight[rows]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores[part] = scorer(dataset.y[rows], np.tile(guess, (len(rows), 1)), weights)
            reason = "" if math.isfinite(scores[part]) else "it is not defined for them"
        except (ValueError, TypeError, ArithmeticError) as error:
            reason = str(error).splitlines()[0]
        if reason:
            raise ValueError(f"scoring={scorer.name!r} cannot be computed on the {len(rows)} {words} rows: {reason}")
    return scores


@contextmanager
def quiet_scores() -> Iterator[None]:
    """While this lasts, scores are taken as they come: a first model that finds one class only is no news to anybody.

    Entered by the main thread alone, since filters of warnings are the process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        yield
