"""What finished trials say about the ranges of a space: pure functions from a table of trials to a table of decisions.

A *side* is the low or the high end of one hyperparameter's range. Its *verdict* compares the best trials with all
drawn ones: do more of the best lie in the outer tenth of the range, in unit coordinates, than chance would put there?
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from hpsearch.space.distributions import Choice, Numeric
from hpsearch.space.space import SearchSpace

# The best trials: this share of those with a value, but no fewer than that.
BEST_SHARE = 0.1
FEWEST_BEST = 5

# The outer part of a range, in unit coordinates.
OUTER_SHARE = 0.1

# With fewer trials that have a value, a side is not judged.
FEWEST_TRIALS = 16

# A side is an edge when its p-value, corrected for the number of sides looked at, is below this.
SIGNIFICANCE = 0.05

INSIDE = "inside"
EDGE = "edge: widen"
NATURAL_BOUND = "edge: natural bound"
DIVERGENCE = "edge: divergence beyond"
FLAT = "flat"
UNDECIDED = "undecided: too few trials"

DECISION_COLUMNS = {
    "stage": "int64",
    "name": "str",
    "side": "str",
    "low": "float64",
    "high": "float64",
    "new_low": "float64",
    "new_high": "float64",
    "verdict": "str",
    "share_of_best": "float64",
    "share_of_drawn": "float64",
    "p_value": "float64",
    "best_position": "float64",
    "sentence": "str",
}


@dataclass(frozen=True)
class Side:
    """One end of a numeric hyperparameter's range: the low one, or the high one if `upper`."""

    name: str
    distribution: Numeric
    upper: bool

    @property
    def end(self) -> float:
        """The value the range ends with."""
        return self.distribution.high if self.upper else self.distribution.low

    @property
    def natural_bound(self) -> float | None:
        """The natural bound on this side, None if there is none."""
        return self.distribution.natural[1 if self.upper else 0]

    @property
    def reach(self) -> float:
        """How far the outer part reaches into the range: a tenth of it, but always to the end value itself.

        In unit coordinates an Integer's end stands half a cell inside.
        """
        return max(OUTER_SHARE, self.distance(self.end))

    def distance(self, value: float) -> float:
        """How far a value lies from the end, in unit coordinates: in [0, 1]."""
        position = self.distribution.to_unit(value)
        return 1 - position if self.upper else position


@dataclass(frozen=True)
class Evidence:
    """What the trials have to show about one side.

    n_valued: trials that have the hyperparameter and a value; n_drawn: with those that failed.
    n_best, best_outer: how many are the best, and how many of these lie in the outer part.
    drawn_outer: how many of all drawn do.
    best_position: unit coordinate of the best trial, NaN where none has a value.
    """

    n_valued: int
    n_drawn: int
    n_best: int
    best_outer: int
    drawn_outer: int
    best_position: float

    @property
    def enough(self) -> bool:
        """Whether there are trials enough for a verdict."""
        return self.n_valued >= FEWEST_TRIALS

    @property
    def p_value(self) -> float:
        """P(X >= best_outer), X hypergeometric: of n_drawn trials, drawn_outer of them outer, n_best taken blindly.

        Not corrected for the number of sides looked at.
        """
        return float(hypergeom.sf(self.best_outer - 1, self.n_drawn, self.drawn_outer, self.n_best))


def boundary_check(trials: pd.DataFrame, space: SearchSpace, stage: int) -> pd.DataFrame:
    """Say of every side of every numeric range whether the best trials crowd there.

    trials: one row per finished trial, with `number`, `value` (greater is better; failed: NaN or infinite) and
        `params_<name>` (NaN where a conditional hyperparameter is absent).
    space: the space they were drawn from.
    stage: the number of the stage, for the record.

    Returns one row per numeric hyperparameter and side, with the columns of DECISION_COLUMNS:
        verdict: `inside`; `edge`; `edge: natural bound`; `undecided: too few trials`.
        share_of_best, share_of_drawn: how much of the best and of all drawn trials lies in the outer part; NaN without
            trials.
        p_value: Bonferroni's, min(1, number of sides judged * hypergeometric tail); NaN where undecided.
        new_low, new_high: the range as it is, for nothing is widened yet.

    The outer part is the outer tenth in unit coordinates, or for an Integer of few values the value at the end. A
    hyperparameter is judged among the trials that have it.
    """
    ranked = _ranked(trials)
    sides = [
        Side(name, distribution, upper)
        for name, distribution in space.distributions.items()
        if not isinstance(distribution, Choice)
        for upper in (False, True)
    ]
    evidence = [_gather(ranked, side) for side in sides]
    n_judged = sum(found.enough for found in evidence)
    rows = [{"stage": stage} | _decide(side, found, n_judged) for side, found in zip(sides, evidence, strict=True)]
    return pd.DataFrame(rows, columns=list(DECISION_COLUMNS)).astype(DECISION_COLUMNS)


def _ranked(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials, best first, failed ones (value NaN) last, ties by number."""
    value = trials["value"].astype("float64")
    ranked = trials.assign(value=value.where(np.isfinite(value)))
    return ranked.sort_values(["value", "number"], ascending=[False, True])


def _gather(ranked: pd.DataFrame, side: Side) -> Evidence:
    column = f"params_{side.name}"
    # Optuna's table has no column for what no trial has.
    having = ranked[ranked[column].notna()] if column in ranked else ranked.iloc[:0].assign(**{column: []})
    n_valued = int(having["value"].notna().sum())
    n_best = min(n_valued, max(FEWEST_BEST, round(BEST_SHARE * n_valued)))
    outer = [side.distance(value) <= side.reach for value in having[column]]
    return Evidence(
        n_valued=n_valued,
        n_drawn=len(having),
        n_best=n_best,
        best_outer=sum(outer[:n_best]),
        drawn_outer=sum(outer),
        best_position=side.distribution.to_unit(having[column].iloc[0]) if n_valued else math.nan,
    )


def _decide(side: Side, found: Evidence, n_judged: int) -> dict[str, object]:
    """The row of `decisions` for one side, but for its stage."""
    low, high = side.distribution.low, side.distribution.high
    p_value = min(1.0, n_judged * found.p_value) if found.enough else math.nan
    verdict = _verdict(side, found, p_value)
    return {
        "name": side.name,
        "side": "high" if side.upper else "low",
        "low": low,
        "high": high,
        "new_low": low,
        "new_high": high,
        "verdict": verdict,
        "share_of_best": found.best_outer / found.n_best if found.n_best else math.nan,
        "share_of_drawn": found.drawn_outer / found.n_drawn if found.n_drawn else math.nan,
        "p_value": p_value,
        "best_position": found.best_position,
        "sentence": f"{side.name}: {_sentence(side, found, p_value, verdict)}",
    }


def _verdict(side: Side, found: Evidence, p_value: float) -> str:
    if not found.enough:
        return UNDECIDED
    if p_value >= SIGNIFICANCE:
        return INSIDE
    return NATURAL_BOUND if side.end == side.natural_bound else EDGE


def _sentence(side: Side, found: Evidence, p_value: float, verdict: str) -> str:
    """What was found and what to do about it, for a person."""
    top = "top" if side.upper else "bottom"
    whole = f"[{_text(side.distribution.low)}, {_text(side.distribution.high)}]"
    if verdict == UNDECIDED:
        missing = f"{found.n_valued} have a value, {FEWEST_TRIALS} are needed"
        return f"too few trials to judge the {top} of {whole}: {missing}."
    part = f"in the {top} tenth of" if side.reach == OUTER_SHARE else f"at the {top} of"
    figures = (
        f"{found.best_outer} of the best {found.n_best} trials lie {part} {whole}, "
        f"{found.drawn_outer} of all {found.n_drawn} do (p = {p_value:.1g})"
    )
    advice = {
        INSIDE: "they do not crowd there.",
        EDGE: f"consider {'raising its upper' if side.upper else 'lowering its lower'} end.",
        NATURAL_BOUND: f"{_text(side.end)} is a natural bound, so there is nothing to widen.",
    }
    return f"{figures}; {advice[verdict]}"


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
