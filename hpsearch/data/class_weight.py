"""What the rows of a class weigh in training, as a user says it."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import listed
from hpsearch.data.splits import RowNumbers
from hpsearch.data.target import Target


def class_weights(
    class_weight: object, target: Target, codes: NDArray[Any], row_weights: NDArray[np.float32], rows: RowNumbers
) -> NDArray[np.float64] | None:
    """(n_classes,) float64, what a row of each class weighs more than its row weight; None for no difference.

    Args:
        class_weight: None; a dict of label → weight > 0, 1 for labels that are not named; or "balanced", which gives
            class k n / (n_classes · n_k), as scikit-learn does, where n_k is the total weight of its fitting rows.
        target: whose classes they are.
        codes: (n_rows,) the class of each row. row_weights: (n_rows,).
        rows: the fitting rows. A class without any weighs 1 / n_classes.

    Raises:
        ValueError: for regression, unknown labels, and weights that are not > 0.
    """
    if class_weight is None:
        return None
    if target.classes is None:
        raise ValueError(f"class_weight={class_weight!r} is for classes, but the task is regression")
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes[rows], row_weights[rows], minlength=target.n_outputs)
        return np.asarray(totals.sum() / (target.n_outputs * np.where(totals > 0, totals, totals.sum())))
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight must be 'balanced' or a dict of label → weight, but got {class_weight!r}")
    known = target.classes.tolist()
    weights = np.ones(target.n_outputs)
    for label, weight in class_weight.items():
        if label not in known:
            raise ValueError(f"class_weight has the label {label!r}, which must be one of {listed(known)}")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 < float(weight) < np.inf:
            raise ValueError(f"class_weight[{label!r}] must be a number > 0, but got {weight!r}")
        weights[known.index(label)] = float(weight)
    return weights
