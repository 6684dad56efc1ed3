"""From which probability on a row is of the second of two classes: chosen for a score or for costs.

As scikit-learn's `TunedThresholdClassifierCV`, with these differences: nothing is trained for it, since the selection
rows have predictions that nothing was chosen on; the choice has an honest score, and not only the one it was chosen
for; costs may be given as a table; candidates lie between observed probabilities, and not on an even grid.

A *judge* gives the value of each of some thresholds, greater is better. For costs and the commonest scores it counts
the rows of each (true, predicted) class at all thresholds at once; for others it asks a `Scorer`, one by one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer

from hpsearch.data.columns import listed
from hpsearch.data.scoring import Scorer, quiet_scores
from hpsearch.data.target import Labels, Target
from hpsearch.ensemble.selection import Selection

Floats: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = str | Callable[..., Any] | Mapping[tuple[Any, Any], float]
Judge: TypeAlias = Callable[[Floats, NDArray[np.int64], Floats, Floats], Floats]
"""(probabilities, codes, weights, all (n_rows,); thresholds (n,)) → values (n,)."""

DEFAULT = 0.5
ROUNDING = 1e-12
MOST_CANDIDATES = 100
"""Of scikit-learn's scores, which take milliseconds each."""


@dataclass(frozen=True)
class Threshold:
    """A threshold that was chosen, and what it is worth; all values are greater for better.

    Attributes:
        threshold: a row whose probability of `label` is at least this is of that class.
        label: the second label in sorted order.
        value: the score on the selection rows, for which it was chosen.
        honest_value: the score where each fifth of them is decided by the threshold chosen on the other four.
        default_value: the score of the most likely class.
    """

    threshold: float
    label: Any
    value: float
    honest_value: float
    default_value: float


def chosen_threshold(selection: Selection, metric: Metric) -> Threshold:
    """The threshold of the best score on the selection rows, with the honest score of choosing so.

    Of equally good ones it is the nearest to one half.

    Raises:
        ValueError: for a task that is not binary, a score of probabilities, wrong costs, and a score that is defined
            for no threshold.
    """
    classes = selection.target.classes
    if classes is None or len(classes) != 2:
        raise ValueError(f"a threshold is for two classes, but the task is {selection.target.task}")
    judge, most = _judge(metric, selection.target)
    probabilities = selection.predictions[:, 1]
    codes, weights = selection.y.astype(np.int64), selection.relative_weights

    def best(rows: NDArray[np.bool_]) -> float:
        thresholds = candidates(probabilities[rows], codes[rows], most)
        values = judge(probabilities[rows], codes[rows], weights[rows], thresholds)
        if not np.isfinite(values).any():
            raise ValueError(f"metric={metric!r} is not defined for any threshold on {int(rows.sum())} rows")
        # sums round, and ties should be ties
        good = thresholds[values >= np.nanmax(values) - ROUNDING * np.nanmax(np.abs(values))]
        return float(good[np.abs(good - DEFAULT).argmin()])

    def value(is_second: NDArray[np.bool_]) -> float:
        return float(judge(is_second.astype(np.float64), codes, weights, np.array([DEFAULT]))[0])

    with quiet_scores():
        parts = selection.parts
        rotated = np.array([best(parts != part) for part in range(parts.max() + 1)])[parts]
        threshold = best(np.ones(len(codes), dtype=np.bool_))
        return Threshold(
            threshold=threshold,
            label=classes.tolist()[1],
            value=value(probabilities >= threshold),
            honest_value=value(probabilities >= rotated),
            default_value=value(probabilities > DEFAULT),
        )


def candidates(probabilities: Floats, codes: NDArray[np.int64], most: int | None = None) -> Floats:
    """Sorted thresholds in (0, 1), halfway between probabilities, each of which decides differently; and one half.

    With `most`, so many of them about, spread evenly over the rows of each class: a rare one has as many as the other.
    """
    edges = np.unique(np.concatenate([[0.0], probabilities, [1.0]]))
    halfway = (edges[1:] + edges[:-1]) / 2
    if most is not None and len(halfway) > most:
        levels = np.linspace(0, 1, most // 2)
        spread = [np.quantile(probabilities[codes == code], levels) for code in np.unique(codes)]
        halfway = halfway[np.minimum(np.searchsorted(halfway, np.concatenate(spread)), len(halfway) - 1)]
    return np.unique(np.append(halfway, DEFAULT))


def decisions(probabilities: Floats, threshold: float) -> Floats:
    """(n_rows, 2) certainties: 1 for the second class where its probability is at least the threshold."""
    is_second = probabilities >= threshold
    return np.column_stack([~is_second, is_second]).astype(np.float64)


def counts(probabilities: Floats, codes: NDArray[np.int64], weights: Floats, thresholds: Floats) -> Floats:
    """(2, 2, n_thresholds) total weight of the rows by true and by predicted class."""
    order = np.argsort(probabilities, kind="stable")
    below = np.searchsorted(probabilities[order], thresholds)
    table = np.empty((2, 2, len(thresholds)))
    for code in (0, 1):
        total = np.concatenate([[0.0], np.cumsum(weights[order] * (codes[order] == code))])
        table[code] = total[below], total[-1] - total[below]
    return table


def _f1(table: Floats) -> Floats:
    return np.asarray(2 * table[1, 1] / (2 * table[1, 1] + table[0, 1] + table[1, 0]))


def _accuracy(table: Floats) -> Floats:
    return np.asarray((table[0, 0] + table[1, 1]) / table.sum(axis=(0, 1)))


def _balanced_accuracy(table: Floats) -> Floats:
    return np.asarray((table[0, 0] / table[0].sum(axis=0) + table[1, 1] / table[1].sum(axis=0)) / 2)


QUICK: dict[str, Callable[[Floats], Floats]] = {
    "f1": _f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}
"""scikit-learn's scores of the same names, of `counts`; NaN where a class is missing that they need."""


def _judge(metric: Metric, target: Target) -> tuple[Judge, int | None]:
    """The judge, and how many candidates it has time for."""
    assert target.classes is not None
    if isinstance(metric, Mapping):
        return partial(_judge_counts, partial(_minus_cost, cost_table(metric, target.classes))), None
    scorer = Scorer.of(metric, target)
    if isinstance(metric, str) and metric in QUICK:
        return partial(_judge_counts, QUICK[metric]), None
    of_sklearn: Any = get_scorer(metric) if isinstance(metric, str) else metric
    if getattr(of_sklearn, "_response_method", "predict") != "predict":
        raise ValueError(f"metric={scorer.name!r} is a score of probabilities, which no threshold changes")
    return partial(_judge_decisions, scorer), MOST_CANDIDATES


def _judge_counts(
    score: Callable[[Floats], Floats], probabilities: Floats, codes: NDArray[np.int64], weights: Floats,
    thresholds: Floats,
) -> Floats:  # fmt: skip
    with np.errstate(invalid="ignore"):
        return score(counts(probabilities, codes, weights, thresholds))


def _judge_decisions(
    scorer: Scorer, probabilities: Floats, codes: NDArray[np.int64], weights: Floats, thresholds: Floats
) -> Floats:
    given = None if (weights == 1).all() else weights
    return np.array([scorer(codes, decisions(probabilities, threshold), given) for threshold in thresholds])


def _minus_cost(costs: Floats, table: Floats) -> Floats:
    return np.asarray(-np.einsum("tp,tpn->n", costs, table) / table.sum(axis=(0, 1)))


def cost_table(costs: Mapping[Any, Any], classes: Labels) -> Floats:
    """(n_classes, n_classes) cost by true and by predicted class; what is not named costs nothing.

    Raises:
        ValueError: unless each key is (true label, predicted label), and each cost a finite number.
    """
    known = classes.tolist()
    table = np.zeros((len(known), len(known)))
    if len(costs) == 0:
        raise ValueError("metric must name the cost of at least one (true label, predicted label), but names none")
    for pair, cost in costs.items():
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(label in known for label in pair)):
            raise ValueError(
                f"metric has the cost of {pair!r}, which must be (true label, predicted label) of {listed(known)}"
            )
        if isinstance(cost, bool) or not isinstance(cost, Real) or not np.isfinite(float(cost)):
            raise ValueError(f"metric[{pair!r}] must be a finite number, but got {cost!r}")
        table[known.index(pair[0]), known.index(pair[1])] = float(cost)
    return table
