"""From one stage to the next: narrow to where the best trials lie, widen where they crowd at an edge."""

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from hpsearch.space.distributions import Choice
from hpsearch.space.edges import (
    DECISION_COLUMNS,
    DIVERGENCE,
    EDGE,
    FLAT,
    INSIDE,
    NATURAL_BOUND,
    SIGNIFICANCE,
    UNDECIDED,
    Side,
    boundary_check,
)
from hpsearch.space.proposal import Proposal
from hpsearch.space.space import SearchSpace

__all__ = [
    "DECISION_COLUMNS",
    "DIVERGENCE",
    "EDGE",
    "FLAT",
    "INSIDE",
    "NATURAL_BOUND",
    "SIGNIFICANCE",
    "UNDECIDED",
    "Mode",
    "Proposal",
    "Side",
    "boundary_check",
    "refine",
    "start_like",
]

Mode: TypeAlias = Literal["auto", "warn"]


def refine(trials: pd.DataFrame, proposal: Proposal, stage: int, mode: Mode = "auto") -> tuple[Proposal, pd.DataFrame]:
    """What the next stage draws from, and the decisions of this one (columns of DECISION_COLUMNS)."""
    decisions = boundary_check(trials, proposal.space, stage)
    if mode == "warn":
        return proposal, decisions
    best = trials[np.isfinite(trials["value"].astype("float64"))]
    best = best.sort_values([c for c in ("epochs", "value") if c in best], ascending=False).head(5)
    boxes = {}
    for name, distribution in proposal.space.distributions.items():
        column = f"params_{name}"
        if isinstance(distribution, Choice) or column not in best or best[column].notna().sum() < 3:
            continue
        centre = float(np.median([distribution.to_unit(value) for value in best[column].dropna()]))
        width = max(0.2, 0.75 ** (stage + 1))
        boxes[name] = (max(0.0, centre - width / 2), min(1.0, centre + width / 2))
    return Proposal(proposal.space, boxes, 0.2 if boxes else 1.0), decisions


def start_like(trials: pd.DataFrame, space: SearchSpace) -> tuple[Proposal, pd.DataFrame]:
    """Start from the best cloud of an earlier study: the decisions (stage -1) say so."""
    proposal, decisions = refine(trials, Proposal.of(space), stage=-1)
    return proposal, decisions.iloc[:0]
