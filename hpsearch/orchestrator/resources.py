"""What an epoch is to an estimator that is not ours, and how one is trained for so many.

An estimator is given more from rung to rung: of a *resource*. `partial_fit`: an epoch is one pass over the training
rows. `warm_start`: of a horizon of h epochs, epoch e is reached with the share e/h of the estimator's own number of
trees or iterations, added to those that are there. `rows`: epoch e is reached by training from the beginning on the
share e/h of the training rows, small sets within larger ones, and all of them at the horizon.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from hpsearch.data.as_given import rows_of
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import generator, strata
from hpsearch.space.distributions import Choice
from hpsearch.space.space import SearchSpace

DECIDING = ("early_stopping", "class_weight", "oob_score", "solver")
"""Parameters on whose values it hangs whether an estimator can be trained piece by piece."""
FEWEST_ROWS = 20
"""Estimators are not trained on fewer rows, nor on fewer than two of each class, where there are more."""
ORDER_STREAM = 2**32
"""The stream of pseudo-random bits of the rows' order; those of the passes are their numbers."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What estimators are trained on, cut out of a Dataset once for many.

    Attributes:
        inputs: of the training rows: an array, or a DataFrame if the dataset is as it was given.
        y: (n_train,) class codes, or numbers in the user's units.
        weights: (n_train,) as the user gave them, times those of the classes; or None.
        order: (n_train,) positions; the first n of them are what n rows are trained on.
        fewest: rows that are trained on at least.
        classes: (n_classes,) all codes; None for regression.
        whole: trees or iterations at the horizon, for a warm start.
        order_seed: of the passes' orders.
        horizon: epochs, after which an estimator has got all there is to get.
    """

    inputs: Any
    y: NDArray[Any]
    weights: NDArray[np.float64] | None
    order: NDArray[np.int64]
    fewest: int
    classes: NDArray[np.int64] | None
    whole: int
    order_seed: int
    horizon: int

    @classmethod
    def of(cls, dataset: Dataset, whole: int, order_seed: int, horizon: int) -> "Lesson":
        train = dataset.rows.train
        of_stratum = strata(dataset.y[train], dataset.task)
        return cls(
            inputs=rows_of(dataset.inputs, train),
            y=dataset.y[train],
            weights=_training_weights(dataset),
            order=nested_order(of_stratum, order_seed),
            fewest=min(len(train), max(FEWEST_ROWS, 2 * len(np.unique(of_stratum)))),
            classes=None if dataset.task == "regression" else np.arange(dataset.n_outputs),
            whole=whole,
            order_seed=order_seed,
            horizon=horizon,
        )

    def share(self, whole: int, epoch: int) -> int:
        """⌈whole · epoch / horizon⌉, and not more than the whole."""
        return min(whole, -(-whole * epoch // self.horizon))

    def rows(self, epoch: int) -> NDArray[np.int64]:
        """Positions of the rows that are trained on up to an epoch, in their own order."""
        n_rows = max(self.fewest, self.share(len(self.order), epoch))
        return np.sort(self.order[:n_rows])

    def keywords(self, estimator: Any, method: str, rows: NDArray[np.int64] | None = None) -> dict[str, Any]:
        """What `method` of the estimator is to be told of the weights of some rows, or of all."""
        name = None if self.weights is None else weights_keyword(estimator, method)
        if name is None or self.weights is None:
            return {}
        return {name: self.weights if rows is None else self.weights[rows]}


def nested_order(strata: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(n_rows,) positions in such an order that the first n, for every n, have about the whole's share of each stratum.

    Two rows of each stratum come first, so that no class is missing; a function of the strata and the seed.
    """
    shuffled = generator(seed, ORDER_STREAM).permutation(len(strata))
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    _, starts, sizes = np.unique(strata[shuffled], return_index=True, return_counts=True)
    ranks = np.arange(len(strata)) - np.repeat(starts, sizes)
    place = np.where(ranks < 2, -1.0, (ranks + 0.5) / np.repeat(sizes, sizes))
    return np.asarray(shuffled[np.argsort(place, kind="stable")])


def resource_of(estimator: Any, space: SearchSpace) -> str:
    """The resource that suits an estimator and what is searched: a key of `RESOURCES`.

    The number of passes, trees or iterations is the loop's to set: where the space names it, it is left alone, and the
    resource is `rows`. So it is for pipelines, whose earlier steps cannot be trained piece by piece.
    """
    if isinstance(estimator, Pipeline):
        return "rows"
    for resource, suits in (("partial_fit", _has_passes), ("warm_start", _grows)):
        if all(suits(variant, space) for variant in _variants(estimator, space)):
            return resource
    return "rows"


def _variants(estimator: Any, space: SearchSpace) -> list[Any]:
    """The estimator with each combination of the deciding parameters that the space can give."""
    found = {name: space.entries[name] for name in DECIDING if name in space.entries}
    values = [tuple(entry.values) if isinstance(entry, Choice) else (entry,) for entry in found.values()]
    return [clone(estimator).set_params(**dict(zip(found, chosen, strict=True))) for chosen in product(*values)]


def _has_passes(estimator: Any, space: SearchSpace) -> bool:
    # Without max_iter, partial_fit is for tables that come in parts: naive Bayes would count every row once per pass.
    known = estimator.get_params(deep=False)
    refused = known.get("early_stopping", False) or known.get("class_weight") == "balanced"
    return hasattr(estimator, "partial_fit") and "max_iter" in known and "max_iter" not in space.entries and not refused


def _grows(estimator: Any, space: SearchSpace) -> bool:
    known = estimator.get_params(deep=False)
    name = growing(estimator)
    return name is not None and name not in space.entries and "warm_start" in known and not known.get("oob_score")


def growing(estimator: Any) -> str | None:
    """The parameter whose growth a warm start answers with as many more trees or iterations; None if there is none.

    Elsewhere `max_iter` is not such a one: there a warm start begins its count again.
    """
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return "max_iter"
    return "n_estimators" if "n_estimators" in estimator.get_params(deep=False) else None


def one_pass(estimator: Any, lesson: Lesson, epoch: int) -> Any:
    """`partial_fit` on all training rows, in an order that is a function of (order seed, epoch)."""
    order = generator(lesson.order_seed, epoch).permutation(len(lesson.y))
    classes = {} if lesson.classes is None else {"classes": lesson.classes}
    weights = lesson.keywords(estimator, "partial_fit", order)
    return estimator.partial_fit(rows_of(lesson.inputs, order), lesson.y[order], **classes, **weights)


def more_of_it(estimator: Any, lesson: Lesson, epoch: int) -> Any:
    """`fit` with a warm start and a larger number of trees or iterations, on all training rows."""
    estimator.set_params(**{"warm_start": True, str(growing(estimator)): lesson.share(lesson.whole, epoch)})
    return estimator.fit(lesson.inputs, lesson.y, **lesson.keywords(estimator, "fit"))


def share_of_rows(estimator: Any, lesson: Lesson, epoch: int) -> Any:
    """`fit` on the share of the rows."""
    rows = lesson.rows(epoch)
    return estimator.fit(rows_of(lesson.inputs, rows), lesson.y[rows], **lesson.keywords(estimator, "fit", rows))


RESOURCES: dict[str, Callable[[Any, Lesson, int], Any]] = {
    "partial_fit": one_pass,
    "warm_start": more_of_it,
    "rows": share_of_rows,
}
"""By the resource's name, what takes an estimator to an epoch; a pass must come right after the one before."""


def train(
    estimator: Any, resource: str, lesson: Lesson, done: int, epochs: int, should_stop: Callable[[], bool]
) -> Any:
    """The estimator, which has `done` epochs, trained up to `epochs`; the one that is given stays as it was.

    None if it should stop before it is there: between passes, or before a fit.
    """
    trained = clone(estimator) if resource == "rows" and done else copy.deepcopy(estimator)
    for epoch in range(done + 1, epochs + 1) if resource == "partial_fit" else (epochs,):
        if should_stop():
            return None
        trained = RESOURCES[resource](trained, lesson, epoch)
    return trained


def weights_keyword(estimator: Any, method: str) -> str | None:
    """What `method`, "fit" or "partial_fit", calls the weights of rows; None if it takes none."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weights_keyword(last, method)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if "sample_weight" in signature(getattr(estimator, method)).parameters else None


def _training_weights(dataset: Dataset) -> NDArray[np.float64] | None:
    """(n_train,) what the user gave, times the weights of the classes; None without either."""
    train, given, of_class = dataset.rows.train, dataset.sample_weight, dataset.class_weight
    weights = None if given is None else given[train]
    if of_class is None:
        return weights
    of_rows = of_class[dataset.y[train].astype(np.int64)]
    return of_rows if weights is None else weights * of_rows
