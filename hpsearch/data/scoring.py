"""Scores: scikit-learn's scorers by name, or the user's own, applied to predictions that are already there.

Greater is better: log-loss and errors are negated, as in scikit-learn. Scores of regression are in the target's own
units. The two default scores are also computed here: scikit-learn's checks take a millisecond a call, as long as a
short trial trains.

scikit-learn's scorers ask an estimator, so one is made up that answers with the predictions. Its X is a column of row
numbers, and it looks up the rows it is asked about.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.validation import _check_sample_weight

from hpsearch.data.columns import did_you_mean, listed
from hpsearch.data.dataset import Dataset
from hpsearch.data.target import Labels, Target

DEFAULT_SCORING = {
    "binary": "neg_log_loss",
    "multiclass": "neg_log_loss",
    "regression": "neg_root_mean_squared_error",
}


class GivenClasses(ClassifierMixin, BaseEstimator):
    """A classifier that answers with given probabilities (n_rows, n_classes) of `classes` (n_classes,)."""

    def __init__(self, probabilities: NDArray[np.float64], classes: Labels) -> None:
        self.probabilities = probabilities
        self.classes = classes
        self.classes_ = classes

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return self.probabilities[_asked(X)]

    def predict(self, X: Any) -> Labels:
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log-odds of the second of two classes, (n_rows,); else the probabilities' logarithms, (n_rows, n_classes)."""
        logits = np.log(np.maximum(self.predict_proba(X), SMALLEST))
        return np.asarray(logits[:, 1] - logits[:, 0]) if logits.shape[1] == 2 else logits


class GivenNumbers(RegressorMixin, BaseEstimator):
    """A regressor that answers with given numbers (n_rows,)."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self.numbers = numbers
        self.fitted_ = True

    def predict(self, X: Any) -> NDArray[np.float64]:
        return self.numbers[_asked(X)]


Given = GivenClasses | GivenNumbers


def _asked(X: Any) -> NDArray[np.int64]:
    """The rows in a table whose only column is row numbers."""
    return np.asarray(X)[:, 0].astype(np.int64)


@dataclass(frozen=True)
class Scorer:
    """A score for predictions of one target.

    Attributes:
        name: what it is called in tables.
        target: what is predicted.
        scoring: the name of a scikit-learn scorer, or the user's callable.
        function: (estimator, X, y, sample_weight=None) → score. Class labels are passed as their codes 0, 1, …, in
            sorted order: the positive class of a binary score is the last.
    """

    name: str
    target: Target
    scoring: str | Callable[..., Any]
    function: Callable[..., float]

    @property
    def warnings(self) -> list[str]:
        """A sentence if one class is the positive one, and its label does not say so, as 1 and True do."""
        classes = self.target.classes
        if self.target.task != "binary" or self.scoring not in OF_POSITIVES or classes is None:
            return []
        if classes.dtype.kind == "b" or classes.tolist() in ([0, 1], [-1, 1]):
            return []
        return [
            f"{self.name} looks for {classes.tolist()[1]!r}, the last label in sorted order; give y as 0 and 1 to look "
            f"for {classes.tolist()[0]!r}."
        ]

    @classmethod
    def of(cls, scoring: object, target: Target, name: str | None = None) -> "Scorer":
        """The scorer that `scoring` says, by default log-loss for classes, RMSE for regression.

        `scoring`: the name of a scikit-learn scorer, or a callable (estimator, X, y) → number, greater is better, such
        as `make_scorer` gives. A callable sees labels as the user gave them, and sample weights if it has an argument
        `sample_weight`; its X is no table, but a column of row numbers. `name`: what to call it; else a scorer has
        scikit-learn's name, a callable its function's.

        Raises:
            ValueError: for a name that scikit-learn does not know, a score that does not fit the task, and a callable
                that fails on a few made-up rows.
        """
        scoring = DEFAULT_SCORING[target.task] if scoring is None else scoring
        if callable(scoring) and not isinstance(scoring, type):
            scorer = cls(name or _name_of(scoring), target, scoring, Own.of(scoring, target))
            scorer._try()
            return scorer
        if not isinstance(scoring, str) or scoring not in get_scorer_names():
            hint = did_you_mean(scoring, get_scorer_names())
            raise ValueError(
                "scoring must be the name of a scikit-learn scorer, or a callable (estimator, X, y), "
                f"but got {scoring!r}{hint}"
            )
        if _is_for_numbers(scoring) != (target.task == "regression"):
            raise ValueError(f"scoring={scoring!r} does not fit the task {target.task}")
        scorer = cls(name or scoring, target, scoring, QUICK.get(scoring) or get_scorer(scoring))
        if target.task != "regression":
            scorer._try()
        return scorer

    def __call__(
        self, y: NDArray[Any], predictions: NDArray[np.floating], weights: NDArray[np.float64] | None = None
    ) -> float:
        """The score of `predictions` (n_rows, n_outputs) for the true codes or numbers `y` (n_rows,)."""
        keywords = {} if weights is None else {"sample_weight": weights}
        return float(self.function(self._given(predictions), np.arange(len(y))[:, np.newaxis], y, **keywords))

    def _given(self, predictions: NDArray[np.floating]) -> Given:
        exact = np.asarray(predictions, dtype=np.float64)
        if self.target.task == "regression":
            return GivenNumbers(np.asarray(self.target.decode(exact), dtype=np.float64))
        return GivenClasses(exact / exact.sum(axis=1, keepdims=True), np.arange(self.target.n_outputs))

    def _try(self) -> None:
        """Score a few made-up rows: a score for two classes fails here on three, and not after the training."""
        y, predictions = _made_up(self.target)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                score = self(y, predictions)
        except ValueError as error:
            what = self.target.task if self.target.classes is None else f"{self.target.n_outputs} classes"
            raise ValueError(f"scoring={self.name!r} does not fit {what}: {_first_line(error)}") from error
        if not (math.isfinite(score) or isinstance(self.scoring, str)):
            raise ValueError(f"scoring={self.name!r} must give finite numbers, but gave {score} for a few made-up rows")


def scorers_of(scoring: object, target: Target) -> tuple[Scorer, ...]:
    """The scorers that `scoring` says; the first is the one that ranks.

    `scoring`: None, a name or a callable, as for `Scorer.of`; a list or tuple of them; or a dict of what to call a
    score → name or callable.

    Raises:
        ValueError: for what `Scorer.of` refuses, no scores, and two of one name.
    """
    if isinstance(scoring, Mapping):
        if wrong := [name for name in scoring if not (isinstance(name, str) and name)]:
            raise ValueError(f"scoring must be a dict of what to call a score → score, but has the name {wrong[0]!r}")
        scorers = tuple(Scorer.of(one, target, name) for name, one in scoring.items())
    elif isinstance(scoring, list | tuple):
        scorers = tuple(Scorer.of(one, target) for one in scoring)
    else:
        scorers = (Scorer.of(scoring, target),)
    if not scorers:
        raise ValueError(f"scoring={scoring!r} must hold at least one score")
    names = [scorer.name for scorer in scorers]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"scoring must hold scores of different names, but several are called {listed(doubles)}; give a dict of "
            "what to call a score → score"
        )
    return scorers


@dataclass(frozen=True)
class Own:
    """A callable of the user's as a scorer's function: it sees labels, and only fails as a ValueError.

    Attributes:
        function: (estimator, X, y) → number.
        classes: (n_classes,) the labels; None for regression.
        is_weighted: whether it takes `sample_weight`.
    """

    function: Callable[..., Any]
    classes: Labels | None
    is_weighted: bool

    @classmethod
    def of(cls, function: Callable[..., Any], target: Target) -> "Own":
        return cls(function, target.classes, "sample_weight" in signature(_metric_of(function)).parameters)

    def __call__(
        self, given: Any, X: NDArray[np.int64], y: NDArray[Any], sample_weight: NDArray[np.float64] | None = None
    ) -> float:
        keywords = {"sample_weight": sample_weight} if self.is_weighted and sample_weight is not None else {}
        labelled = given if self.classes is None else GivenClasses(given.probabilities, self.classes)
        try:
            score = self.function(labelled, X, y if self.classes is None else self.classes[y], **keywords)
            return float(score)
        except Exception as error:
            # it may raise anything, and to a trial it is all the same: it has no score
            raise ValueError(f"{type(error).__name__}: {_first_line(error)}") from error


def _metric_of(function: Any) -> Callable[..., Any]:
    """What `make_scorer` was given, or the callable itself."""
    metric: Callable[..., Any] = getattr(function, "_score_func", function)
    return metric


def _name_of(function: Any) -> str:
    metric: Any = _metric_of(function)
    while isinstance(metric, partial):
        metric = metric.func
    return str(getattr(metric, "__name__", type(metric).__name__)).strip("<>")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _made_up(target: Target) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A few rows, codes or numbers near the mean, and predictions: most near the truth, a few not."""
    if target.classes is None:
        outputs = 1e-3 * np.linspace(-1.0, 1.0, 6)[:, np.newaxis]
        return target.decode(outputs[[0, 1, 3, 2, 4, 5]]), outputs
    n_classes = target.n_outputs
    y = np.tile(np.arange(n_classes), 4)
    said = np.concatenate([y[: 3 * n_classes], np.roll(y[3 * n_classes :], 1)])
    return y, np.eye(n_classes)[said] * 0.5 + 0.5 / n_classes


def quick_neg_log_loss(
    given: GivenClasses, X: NDArray[np.int64], y: NDArray[np.int64], sample_weight: NDArray[np.float64] | None = None
) -> float:
    """scikit-learn's `neg_log_loss`: the mean log-probability of the true class, which is cut at float64's epsilon.

    Unlike scikit-learn's, it takes rows in which a class is missing.
    """
    of_truth = given.probabilities[np.arange(len(y)), y]
    return float(np.average(np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)), weights=sample_weight))


def quick_neg_root_mean_squared_error(
    given: GivenNumbers,
    X: NDArray[np.int64],
    y: NDArray[np.float64],
    sample_weight: NDArray[np.float64] | None = None,
) -> float:
    """scikit-learn's `neg_root_mean_squared_error`."""
    return -float(np.sqrt(np.average(np.square(given.numbers - y), weights=sample_weight)))


OF_POSITIVES = (
    "average_precision", "f1", "jaccard", "neg_negative_likelihood_ratio", "positive_likelihood_ratio", "precision",
    "recall",
)  # fmt: skip
"""Scores of two classes that change when the classes are swapped."""
EPSILON = float(np.finfo(np.float64).eps)
SMALLEST = float(np.finfo(np.float64).tiny)
HELD_PARTS = {"valid": "validation", "select": "selection", "test": "test"}
QUICK: dict[str, Callable[..., float]] = {
    "neg_log_loss": quick_neg_log_loss,
    "neg_root_mean_squared_error": quick_neg_root_mean_squared_error,
}


def _is_for_numbers(name: str) -> bool:
    return name in ("r2", "explained_variance") or "error" in name or "deviance" in name


def guess_scores(scorer: Scorer, dataset: Dataset) -> dict[str, float]:
    """What a constant guess, the mean of the fitting rows, scores on each part of the rows that are judged by.

    It is NaN for a score that says nothing of constant predictions, such as a correlation.

    Raises:
        ValueError: if the score is not defined on one of the parts, naming score, part and reason.
    """
    rows = dataset.fitting_rows
    guess = np.average(dataset.targets[rows], axis=0, weights=dataset.row_weights[rows])
    scores = {}
    for part, words in HELD_PARTS.items():
        rows = getattr(dataset.rows, part)
        if len(rows) == 0:
            continue
        scores[part], reason = _score_or_reason(scorer, dataset, rows, np.tile(guess, (len(rows), 1)))
        if reason:
            _, reason = _score_or_reason(scorer, dataset, rows, (dataset.targets[rows] + guess) / 2)
        if reason:
            raise ValueError(f"scoring={scorer.name!r} cannot be computed on the {len(rows)} {words} rows: {reason}")
    return scores


def _score_or_reason(
    scorer: Scorer, dataset: Dataset, rows: NDArray[np.int64], predictions: NDArray[np.floating]
) -> tuple[float, str]:
    """The score and no reason, or NaN and the reason why there is none."""
    weights = None if dataset.sample_weight is None else dataset.sample_weight[rows]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = scorer(dataset.y[rows], predictions, weights)
    except (ValueError, TypeError, ArithmeticError) as error:
        return math.nan, _first_line(error) or type(error).__name__
    return (score, "") if math.isfinite(score) else (math.nan, "it is not defined for them")


@contextmanager
def quiet_scores() -> Iterator[None]:
    """While this lasts, scores are taken as they come: a first model that finds one class only is no news to anybody.

    Entered by the main thread alone, since filters of warnings are the process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        yield


@dataclass(frozen=True)
class AsScorer:
    """A score of ours as scikit-learn calls one. Of two classes, the positive one is the last, whatever its label."""

    scorer: Scorer

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        target = self.scorer.target
        if target.classes is None:
            outputs = ((estimator.predict(X) - target.mean) / target.scale)[:, np.newaxis]
        else:
            outputs = estimator.predict_proba(X)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        return self.scorer(target.codes(y), outputs, weights)
