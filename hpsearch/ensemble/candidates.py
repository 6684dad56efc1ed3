"""The final candidates: the best completed trials, trained again with other seeds before one of them is called best.

The value a trial was chosen for is partly its luck. Other seeds have had no such choice, and selection rows have ranked
nobody: the distance between what a candidate scored when it was searched and what it scores there is what the search
overestimates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import RungRecord, TrialResult
from hpsearch.orchestrator.training import score_rows

COLUMNS = {
    "trial_number": "int64",
    "n_seeds": "int64",
    "searched_value": "float64",
    "value": "float64",
    "deviation": "float64",
    "honest_value": "float64",
    "gap": "float64",
}


class Candidates:
    """A consumer of rung records that keeps the trials which completed the plan, with their repeats."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._completed: dict[int, TrialResult] = {}
        self._repeats: dict[int, list[TrialResult]] = {}

    def add(self, record: RungRecord) -> None:
        """Take up those that completed the plan in this rung, and the seeds of those that did before."""
        is_over = record.rung == len(self._plan.stages[record.stage].rungs) - 1
        if not (is_over and self._plan.is_last_for(record.stage, record.epochs)):
            return
        for result in record.results:
            if result.repeats is not None:
                self._repeats.setdefault(result.repeats, []).append(result)
            elif result.outcome is None and result.number in record.kept:
                self._completed[result.number] = result

    def best(self, dataset: Dataset, scorer: Scorer) -> pd.DataFrame:
        """One row per completed trial, the best first: those with several seeds, and then by `value`.

        Columns: trial_number; n_seeds it was trained with; searched_value, its own score on the validation rows; value,
        the mean over its seeds, NaN if one of them failed, and their deviation (ddof = 1, NaN for one); honest_value,
        the mean over its seeds of the score on the selection rows, which have ranked nothing; gap = searched_value −
        honest_value.
        """
        rows = []
        for number, searched in self._completed.items():
            seeds = [searched, *self._repeats.get(number, ())]
            values = [result.value for result in seeds]
            honest_value = float(np.mean([_select_value(result, dataset, scorer) for result in seeds]))
            rows.append(
                {
                    "trial_number": number,
                    "n_seeds": len(seeds),
                    "searched_value": searched.value,
                    "value": float(np.mean(values)),
                    "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
                    "honest_value": honest_value,
                    "gap": searched.value - honest_value,
                }
            )
        table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
        table = table.assign(is_repeated=(table["n_seeds"] > 1) & table["value"].notna())
        ordered = table.sort_values(["is_repeated", "value", "trial_number"], ascending=[False, False, True])
        return ordered.drop(columns="is_repeated").reset_index(drop=True)

    def config(self, number: int) -> dict[str, object]:
        """The config of a completed trial."""
        return self._completed[number].config


def _select_value(result: TrialResult, dataset: Dataset, scorer: Scorer) -> float:
    predictions: Sequence[np.ndarray] = list(result.predictions.values())
    if not predictions:
        return float("nan")
    return score_rows(scorer, dataset, dataset.rows.select, predictions[-1][len(dataset.rows.valid) :])
