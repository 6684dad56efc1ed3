"""The training curves of all trials, collected from the rung records of a run."""

from dataclasses import replace

import pandas as pd

from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import RungRecord, TrialResult
from hpsearch.record.tables import TrialHistory


class Curves:
    """A consumer of rung records that keeps each trial's latest curve and its values at rung ends."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stages: dict[int, int] = {}
        self._latest: dict[int, TrialResult] = {}
        self._values: dict[int, dict[int, float]] = {}
        self.is_broken_off = False
        """Was the last rung left before all of its trials were done?"""

    def add(self, record: RungRecord) -> None:
        """Take up all trials of a rung."""
        self.is_broken_off = not record.complete
        for result in record.results:
            self._stages[result.number] = record.stage
            # predictions are for those who vote, and would fill the memory
            self._latest[result.number] = replace(result, predictions={})
            self._values.setdefault(result.number, {})[result.epochs] = result.value

    def at_their_best(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The trial table with each trial's best value at any rung end, as the library of members ranks it."""
        best = {number: max(values.values()) for number, values in self._values.items()}
        return trials.assign(value=trials["number"].map(best).where(trials["state"] != "FAIL"))

    def failures(self) -> list[str]:
        """The advice of the failed trials, in their order."""
        ordered = (self._latest[number] for number in sorted(self._latest))
        return [result.outcome.sentence for result in ordered if result.outcome is not None]

    def histories(self) -> list[TrialHistory]:
        """The curves in the order of trial numbers."""
        return [
            TrialHistory(
                trial_number=number,
                stage=stage,
                rung_epochs=tuple(rung.epochs for rung in self._plan.stages[stage].rungs),
                values=self._values[number],
                curve=self._latest[number].history,
            )
            for number, stage in sorted(self._stages.items())
        ]
