"""The rotation behind every honest score: each fifth of the selection rows is predicted by what was chosen without it.

The predictions of all five fifths are scored together. (The mean of five scores would do for a log-loss. An R² or an
area under a curve is biased on few rows, and not defined where a class is missing.)
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.data.splits import rotations, strata
from hpsearch.orchestrator.training import score_rows


def fifths(dataset: Dataset, seed: int) -> NDArray[np.int64]:
    """(n_select,) the part, 0 to 4, of each selection row; fewer parts where there are fewer rows."""
    return rotations(strata(dataset.y[dataset.rows.select], dataset.task), random_state=seed)


def honest_score(
    predictions: NDArray[np.float64], parts: NDArray[np.int64], dataset: Dataset, scorer: Scorer
) -> tuple[float, float]:
    """The score of `predictions` (n_select, n_outputs), and the deviation between the scores of the `parts`.

    The deviation is NaN where fewer than two of these are defined.
    """
    select = dataset.rows.select
    scores = [
        score_rows(scorer, dataset, select[parts == part], predictions[parts == part])
        for part in range(parts.max() + 1)
    ]
    defined = [score for score in scores if np.isfinite(score)]
    deviation = float(np.std(defined)) if len(defined) > 1 else float("nan")
    return score_rows(scorer, dataset, select, predictions), deviation
