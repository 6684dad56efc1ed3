"""The training curves of all trials, collected from the rung records of a run."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import RungRecord, TrialResult
from hpsearch.record.tables import TrialHistory


class Curves:
    """A consumer of rung records that keeps each trial's latest curve and its values at rung ends."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._latest: dict[int, TrialResult] = {}
        self._values: dict[int, dict[int, float]] = {}
        self.is_broken_off = False
        """Was the last rung left before all of its trials were done?"""

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung."""
        self.is_broken_off = not record.complete
        for result in record.results:
            # predictions are for those who vote, and would fill the memory
            self._latest[result.number] = replace(result, predictions={})
            self._values.setdefault(result.number, {})[result.epochs] = result.value

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
