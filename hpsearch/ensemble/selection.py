"""The selection rows as they are kept for later questions: what is true of them, and what was honestly predicted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.data.splits import generator
from hpsearch.data.target import Labels, Target

MOST_SHOWN = 2_000
"""So many rows are kept with their raw cells."""
SHOWN_STREAM = 2**32 + 1


@dataclass(frozen=True, eq=False)
class Selection:
    """The selection rows. Each is predicted by what was chosen without it, see `ensemble.honesty`.

    Attributes:
        y: (n_select,) class codes, or numbers in the user's units.
        predictions: (n_select, n_outputs) float64, probabilities that sum to one, or standardised numbers.
        parts: (n_select,) the fifth that each row is in.
        weights: (n_select,) float64 as the user gave them, or None.
        scorer: the score of the study.
        shown: (n_shown,) positions of the rows, at most `MOST_SHOWN`, whose cells are in `table`.
        table: (n_shown, n_columns) the raw columns.
        seed: of the study.
    """

    y: NDArray[np.int64] | NDArray[np.float64]
    predictions: NDArray[np.float64]
    parts: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    scorer: Scorer
    shown: NDArray[np.int64]
    table: pd.DataFrame
    seed: int

    @classmethod
    def of(
        cls, dataset: Dataset, frame: pd.DataFrame, predictions: NDArray[np.float64], parts: NDArray[np.int64],
        scorer: Scorer, seed: int,
    ) -> "Selection":  # fmt: skip
        """The selection rows of a dataset; `frame` holds its raw columns, `predictions` and `parts` are of the rows."""
        select = dataset.rows.select
        shown = np.sort(generator(seed, SHOWN_STREAM).permutation(len(select))[:MOST_SHOWN])
        weights = None if dataset.sample_weight is None else dataset.sample_weight[select]
        if dataset.task != "regression":
            predictions = predictions / predictions.sum(axis=1, keepdims=True)
        table = frame.iloc[select[shown]].reset_index(drop=True)
        return cls(dataset.y[select], predictions, parts, weights, scorer, shown, table, seed)

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.scorer.target

    @property
    def labels(self) -> Labels:
        """(n_select,) the true labels or numbers, as the user gave them."""
        return self.y if self.target.classes is None else np.asarray(self.target.classes[self.y])

    @property
    def relative_weights(self) -> NDArray[np.float64]:
        """(n_select,) float64, mean one."""
        return relative(self.weights, len(self.y))


def relative(weights: NDArray[np.float64] | None, n_rows: int) -> NDArray[np.float64]:
    """(n_rows,) the weights over their mean; ones without any."""
    return np.ones(n_rows) if weights is None else weights / weights.mean()
