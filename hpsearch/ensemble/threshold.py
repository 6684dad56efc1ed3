"""From which probability on a row is of the second of two classes: chosen for a score or for costs.

As scikit-learn's `TunedThresholdClassifierCV`, with these differences: nothing is trained for it, since the selection
rows have predictions that nothing was chosen on; the choice has an honest score, and not only the one it was chosen
for; costs may be given as a table; candidates lie between observed probabilities, and not on an even grid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer

from hpsearch.data.columns import listed
from hpsearch.data.scoring import Scorer, quiet_scores
from hpsearch.data.target import Target
from hpsearch.ensemble.selection import Selection

MOST_CANDIDATES = 100
DEFAULT = 0.5

Metric = str | Callable[..., Any] | Mapping[tuple[Any, Any], float]


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


@dataclass(frozen=True)
class Costs:
    """Minus the mean cost of a row, as a score of labels."""

    costs: Mapping[tuple[Any, Any], float]

    @classmethod
    def of(cls, costs: Mapping[Any, Any], target: Target) -> "Costs":
        """The costs, checked: (true label, predicted label) → a finite number; what is not named costs nothing."""
        known = [] if target.classes is None else target.classes.tolist()
        for pair, cost in costs.items():
            if not (isinstance(pair, tuple) and len(pair) == 2 and all(label in known for label in pair)):
                raise ValueError(
                    f"metric has the cost of {pair!r}, which must be (true label, predicted label), of {listed(known)}"
                )
            if isinstance(cost, bool) or not isinstance(cost, Real) or not np.isfinite(float(cost)):
                raise ValueError(f"metric[{pair!r}] must be a finite number, but got {cost!r}")
        if len(costs) == 0:
            raise ValueError("metric must name the cost of at least one (true label, predicted label), but is empty")
        return cls(costs)

    def __call__(
        self, estimator: Any, X: Any, y: NDArray[Any], sample_weight: NDArray[np.float64] | None = None
    ) -> float:
        pairs = zip(y.tolist(), estimator.predict(X).tolist(), strict=True)
        costs = [float(self.costs.get(pair, 0.0)) for pair in pairs]
        return -float(np.average(costs, weights=sample_weight))


def chosen_threshold(selection: Selection, metric: Metric) -> Threshold:
    """The threshold of the best score on the selection rows, with the honest score of choosing so.

    Raises:
        ValueError: for a task that is not binary, a score of probabilities, wrong costs, and a score that is defined
            for no threshold.
    """
    target = selection.target
    if target.classes is None or len(target.classes) != 2:
        raise ValueError(f"a threshold is for two classes, but the task is {target.task}")
    scorer = _scorer(metric, target)
    probabilities = selection.predictions[:, 1] / selection.predictions.sum(axis=1)
    everywhere = np.ones(len(probabilities), dtype=np.bool_)

    def value(threshold: float | NDArray[np.float64], rows: NDArray[np.bool_]) -> float:
        return selection.value(scorer, decisions(probabilities, threshold)[rows], rows)

    def best(rows: NDArray[np.bool_]) -> float:
        thresholds = candidates(probabilities[rows])
        values = np.array([value(threshold, rows) for threshold in thresholds])
        if not np.isfinite(values).any():
            raise ValueError(f"metric={scorer.name!r} is not defined for any threshold on {int(rows.sum())} rows")
        good = thresholds[values >= np.nanmax(values)]
        return float(good[np.abs(good - DEFAULT).argmin()])

    with quiet_scores():
        rotated = np.empty(len(probabilities))
        for part in range(selection.parts.max() + 1):
            rotated[selection.parts == part] = best(selection.parts != part)
        threshold = best(everywhere)
        return Threshold(
            threshold=threshold,
            label=target.classes.tolist()[1],
            value=value(threshold, everywhere),
            honest_value=value(rotated, everywhere),
            default_value=selection.value(scorer, selection.predictions),
        )


def candidates(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sorted thresholds in (0, 1) that decide differently, at most `MOST_CANDIDATES`, spread evenly over the rows.

    They lie halfway between observed probabilities; one half is among them.
    """
    edges = np.unique(np.concatenate([[0.0], probabilities, [1.0]]))
    halfway = (edges[1:] + edges[:-1]) / 2
    n_kept = min(len(halfway), MOST_CANDIDATES - 1)
    kept = halfway[np.arange(n_kept) * len(halfway) // n_kept]
    return np.unique(np.append(kept, DEFAULT))


def decisions(probabilities: NDArray[np.float64], threshold: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_rows, 2) certainties: 1 for the second class where its probability is at least the threshold."""
    is_second = probabilities >= threshold
    return np.column_stack([~is_second, is_second]).astype(np.float64)


def _scorer(metric: Metric, target: Target) -> Scorer:
    if isinstance(metric, Mapping):
        return Scorer.of(Costs.of(metric, target), target, "cost")
    scorer = Scorer.of(metric, target)
    of_sklearn: Any = get_scorer(metric) if isinstance(metric, str) else metric
    if getattr(of_sklearn, "_response_method", "predict") != "predict":
        raise ValueError(f"metric={scorer.name!r} is a score of probabilities, which no threshold changes")
    return scorer
