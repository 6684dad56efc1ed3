"""The training curves of all trials, and their scores by fold, collected from the rung records of a run."""

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import RungRecord, TrialResult
from hpsearch.record.tables import TrialHistory


class Curves:
    """A consumer of rung records that keeps each trial's latest curve and its values at rung ends."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._latest: dict[int, TrialResult] = {}
        self._values: dict[int, dict[int, float]] = {}
        self._seconds: dict[int, Any] = defaultdict(float)
        self.is_broken_off = False
        """Was the last rung left before all of its trials were done?"""

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung."""
        self.is_broken_off = not record.complete
        for result in record.results:
            # predictions are for those who vote, and would fill the memory
            self._latest[result.number] = replace(result, predictions={})
            self._values.setdefault(result.number, {})[result.epochs] = result.value
            self._seconds[result.number] += np.array([(one.fit_seconds, one.score_seconds) for one in result.folds])

    def with_scores(self, trials: pd.DataFrame, error_score: float = math.nan) -> pd.DataFrame:
        """The trial table with what Optuna does not keep of its last rung; failed trials have the value `error_score`.

        `value_std`, the deviation (ddof = 0) of the value between the folds, if there are any, and `value_<name>` of
        every further score.
        """
        columns: dict[str, Any] = {"value": trials["value"].where(trials["state"] != "FAIL", error_score)}
        latest = [self._latest.get(number) for number in trials["number"]]
        if any(result is not None and len(result.fold_values) > 1 for result in latest):
            columns["value_std"] = [math.nan if one is None else float(np.std(one.fold_values)) for one in latest]
        further = next((list(one.scores)[1:] for one in latest if one is not None), [])
        for name in further:
            columns[f"value_{name}"] = [math.nan if one is None else one.scores[name] for one in latest]
        return trials.assign(**columns)

    def folds(self) -> pd.DataFrame:
        """One row per trial and fold; a trial without folds has one row.

        Columns: trial_number, fold, epochs, then by the name of each score `value_<name>`, the fold's own at the
        trial's last rung, NaN where the fold failed; fit_seconds and score_seconds, over all its rungs.
        """
        rows = []
        for number, result in sorted(self._latest.items()):
            for fold, (one, seconds) in enumerate(zip(result.folds, self._seconds[number], strict=True)):
                values = {f"value_{name}": score for name, score in zip(result.scores, one.scores, strict=True)}
                own = {"trial_number": number, "fold": fold, "epochs": result.budget, **values}
                rows.append(own | {"fit_seconds": seconds[0], "score_seconds": seconds[1]})
        return pd.DataFrame(rows)

    def configs(self) -> dict[int, dict[str, Any]]:
        """The configs of the trials, by number."""
        return {number: self._latest[number].config for number in sorted(self._latest)}

    def latest(self) -> dict[int, TrialResult]:
        """The last result of each trial, without its predictions, by number."""
        return self._latest

    def failures(self) -> list[str]:
        """The advice of the failed trials, in their order."""
        ordered = (self._latest[number] for number in sorted(self._latest))
        return [result.outcome.sentence for result in ordered if result.outcome is not None]

    def histories(self) -> list[TrialHistory]:
        """The curves in the order of trial numbers."""
        return [
            TrialHistory(
                trial_number=number,
                stage=self._plan.stage_of(number),
                rung_epochs=self._plan.budgets,
                values=self._values[number],
                curve=self._latest[number].history,
            )
            for number in sorted(self._latest)
        ]
