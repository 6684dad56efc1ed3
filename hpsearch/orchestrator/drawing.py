"""Where configs come from: the user's first ones, then refined ranges, or a sampler of Optuna's."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from hpsearch.orchestrator.sampler import draw_by
from hpsearch.record.tables import decision_table
from hpsearch.space.proposal import Proposal
from hpsearch.space.refine import BOTH, refine
from hpsearch.space.space import Config, SearchSpace

MODES = ("off", "warn", "auto")
"""What `refine` may be: leave the ranges and say nothing, say where the best trials crowd, narrow and widen."""


@dataclass(frozen=True)
class Drawing:
    """What the trials of every stage are drawn from, as a pure function of the trials before.

    Attributes:
        space: as it was asked for.
        seed: the study's.
        first: configs that take the places of the first draws.
        mode: one of `MODES`.
        sampler: seed → a sampler of Optuna's that draws in the place of the refined ranges.
        start: says what the first stage draws from, and why; None for the whole space.
    """

    space: SearchSpace
    seed: int
    first: tuple[Config, ...] = ()
    mode: Literal["off", "warn", "auto"] = "auto"
    sampler: Callable[[int], Any] | None = None
    start: Callable[[], tuple[Proposal, pd.DataFrame]] | None = field(default=None, compare=False)

    def begin(self) -> tuple[Proposal, pd.DataFrame]:
        """What the first stage draws from, and why."""
        return (Proposal.of(self.space), decision_table()) if self.start is None else self.start()

    def draw(self, proposal: Proposal, stage: int, n_trials: int, trials: pd.DataFrame) -> list[Config]:
        """The configs of a stage. `trials`: those of earlier stages, see `refine`."""
        first = list(self.first[:n_trials]) if stage == 0 else []
        if self.sampler is None:
            drawn = proposal.draw(self.seed, stage, n_trials)
        else:
            drawn = draw_by(self.sampler, proposal.space, trials, n_trials, self.seed, stage)
        return first + drawn[len(first) :]

    def decide(self, proposal: Proposal, stage: int, trials: pd.DataFrame) -> tuple[Proposal, pd.DataFrame]:
        """What the next stage is to be drawn from, and the decisions that led there. `trials`: all so far."""
        if self.mode == "off":
            return proposal, decision_table()
        refined, decisions = refine(trials, proposal, stage, self.mode)
        if self.sampler is None:
            return refined, decisions
        # a sampler draws from the whole of the ranges: it is for itself to narrow them
        return Proposal(refined.space, widened=refined.widened), decisions[decisions["side"] != BOTH]

    def judge(self, proposal: Proposal, stage: int, trials: pd.DataFrame) -> pd.DataFrame:
        """What can be said of the ranges before the stage is over."""
        return decision_table() if self.mode == "off" else refine(trials, proposal, stage, "warn")[1]
