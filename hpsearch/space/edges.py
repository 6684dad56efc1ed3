"""What finished trials say about the ranges of a space: pure functions from a table of trials to a table of decisions.

A *side* is the low or the high end of one hyperparameter's range. Its *verdict* compares the best trials with all
drawn ones: do more of the best lie in the outer tenth of the range, in unit coordinates, than chance would put there?
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, pearsonr

from hpsearch.space.cloud import Cloud, Floats
from hpsearch.space.distributions import Choice, Integer, LogUniform, Numeric
from hpsearch.space.space import SearchSpace

# The best trials: this share of those with a value, but no fewer than that.
BEST_SHARE = 0.2
FEWEST_BEST = 5

# The outer part of a range, in unit coordinates.
OUTER_SHARE = 0.1
OUTER_QUARTER = 0.25

# With fewer trials that have a value, a side is not judged.
FEWEST_TRIALS = 16

# A side is an edge when its p-value, corrected for the number of sides looked at, is below this.
SIGNIFICANCE = 0.05

# Where a parabola over the range explains less of the scores' variance, the hyperparameter does not matter.
FLAT_SHARE = 0.02

# However often a side is widened: so many decades, or halves of the range, at once.
MOST_STEPS = 16.0

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
    def key(self) -> tuple[str, str]:
        """Its name and "low" or "high", as in the table."""
        return self.name, "high" if self.upper else "low"

    @property
    def natural_bound(self) -> float | None:
        """The natural bound on this side, None if there is none."""
        return self.distribution.natural[1 if self.upper else 0]

    @property
    def limit(self) -> float:
        """How far the range may be widened on this side."""
        return self.distribution.limit_range[1 if self.upper else 0]

    @property
    def range_text(self) -> str:
        return range_text(self.distribution)

    @property
    def reach(self) -> float:
        """How far the outer part reaches into the range: a tenth of it, but always to the end value itself.

        In unit coordinates an Integer's end stands half a cell inside.
        """
        return max(OUTER_SHARE, self.distance(self.end))

    def extended(self, distribution: Numeric, times: int) -> Numeric:
        """`distribution` with its end on this side moved outward, as far as the limit.

        times: how many stages in a row it is now widened: by 2**(times - 1) decades where the range is logarithmic,
            else by so many halves of the range, at most by MOST_STEPS of them and at least by 1 where it is of whole
            numbers.
        """
        steps = min(2.0 ** (times - 1), MOST_STEPS)
        if isinstance(distribution, LogUniform) or (isinstance(distribution, Integer) and distribution.log):
            end = self.end * 10**steps if self.upper else self.end / 10**steps
        else:
            reach = steps * (self.distribution.high - self.distribution.low) / 2
            end = self.end + reach if self.upper else self.end - reach
        if isinstance(distribution, Integer):
            end = math.ceil(end) if self.upper else math.floor(end)
        moved: dict[str, Any] = {"high": min(end, self.limit)} if self.upper else {"low": max(end, self.limit)}
        # The limits stay where they were: by default they would move with the range.
        return replace(distribution, **{"limits": distribution.limit_range, **moved})

    def distance(self, value: float) -> float:
        """How far a value lies from the end, in unit coordinates: in [0, 1]."""
        position = self.distribution.to_unit(value)
        return 1 - position if self.upper else position


@dataclass(frozen=True)
class Evidence:
    """What the trials have to show about one side.

    n_valued: trials that have the hyperparameter and a value; n_drawn: with those that failed.
    n_best, best_outer: how many are the best, and how many of these lie in the outer part.
    drawn_outer, failed_outer: how many of all drawn and of the failed do.
    best_position: unit coordinate of the best trial, NaN where none has a value.
    explained: share of the variance of the trials' scores that a parabola over the range explains.
    p_trend: of scores that rise towards the end, over the nearer half of the range; 1 where they do not, or where the
        best trial is not in the outer quarter.
    """

    n_valued: int
    n_drawn: int
    n_best: int
    best_outer: int
    drawn_outer: int
    failed_outer: int
    best_position: float
    explained: float
    p_trend: float

    @property
    def enough(self) -> bool:
        """Whether there are trials enough for a verdict."""
        return self.n_valued >= FEWEST_TRIALS

    @cached_property
    def p_value(self) -> float:
        """P(X >= best_outer), X hypergeometric: of n_drawn trials, drawn_outer of them outer, n_best taken blindly.

        Not corrected for the number of sides looked at.
        """
        return _tail(self.best_outer, self.n_drawn, self.drawn_outer, self.n_best)

    @cached_property
    def p_failures(self) -> float:
        """The same for the failed trials: do more of them lie in the outer part than chance would put there?"""
        return _tail(self.failed_outer, self.n_drawn, self.drawn_outer, self.n_drawn - self.n_valued)


def _tail(found: int, n: int, n_outer: int, n_taken: int) -> float:
    return float(hypergeom.sf(found - 1, n, n_outer, n_taken)) if found else 1.0


@dataclass(frozen=True)
class Finding:
    """A side, its evidence, and what follows from both; n_judged: how many sides are judged beside it."""

    side: Side
    evidence: Evidence
    n_judged: int

    @cached_property
    def p_value(self) -> float:
        """The evidence's, corrected for the number of sides (Bonferroni); NaN where there are too few trials."""
        return min(1.0, self.n_judged * self.evidence.p_value) if self.evidence.enough else math.nan

    @cached_property
    def verdict(self) -> str:
        if not self.evidence.enough:
            return UNDECIDED
        if self.n_judged * self.evidence.p_failures < SIGNIFICANCE:
            return DIVERGENCE
        if self.p_value < SIGNIFICANCE or self.n_judged * self.evidence.p_trend < SIGNIFICANCE:
            return NATURAL_BOUND if self.side.end == self.side.natural_bound else EDGE
        return FLAT if self.evidence.explained < FLAT_SHARE else INSIDE

    def decision(self, stage: int, new: Numeric) -> dict[str, object]:
        """The row of `decisions`; `new` is the range from now on."""
        distribution, found = self.side.distribution, self.evidence
        return {
            "stage": stage,
            "name": self.side.name,
            "side": self.side.key[1],
            "low": distribution.low,
            "high": distribution.high,
            "new_low": new.low,
            "new_high": new.high,
            "verdict": self.verdict,
            "share_of_best": found.best_outer / found.n_best if found.n_best else math.nan,
            "share_of_drawn": found.drawn_outer / found.n_drawn if found.n_drawn else math.nan,
            "p_value": self.p_value,
            "best_position": found.best_position,
            "sentence": f"{self.side.name}: {self._sentence(new)}",
        }

    def _sentence(self, new: Numeric) -> str:
        """What was found and what was done or is to be done about it, for a person."""
        side, found = self.side, self.evidence
        part = "top" if side.upper else "bottom"
        if not found.enough:
            missing = f"{found.n_valued} have a value, {FEWEST_TRIALS} are needed"
            return f"too few trials to judge the {part} of {side.range_text}: {missing}."
        part = f"in the {part} tenth of" if side.reach == OUTER_SHARE else f"at the {part} of"
        drawn = f"{found.drawn_outer} of all {found.n_drawn} do"
        if self.verdict == DIVERGENCE:
            failed = f"{found.failed_outer} of the {found.n_drawn - found.n_valued} failed trials lie {part}"
            p_value = min(1.0, self.n_judged * found.p_failures)
            return f"{failed} {side.range_text}, {drawn} (p = {p_value:.1g}); beyond it training diverges."
        if self.p_value >= SIGNIFICANCE and self.verdict in (EDGE, NATURAL_BOUND):
            nearer = f"the nearer to the {'top' if side.upper else 'bottom'} of {side.range_text}, the better"
            p_value = self.n_judged * found.p_trend
            return f"{nearer}, by the trials of that half (p = {p_value:.1g}); {self._advice(new)}"
        best = f"{found.best_outer} of the best {found.n_best} trials lie {part} {side.range_text}"
        return f"{best}, {drawn} (p = {self.p_value:.1g}); {self._advice(new)}"

    def _advice(self, new: Numeric) -> str:
        side = self.side
        if replace(side, distribution=new).end != side.end:
            return f"widened to {range_text(new)}."
        return {
            INSIDE: "no more than chance would put there.",
            FLAT: "the score hardly depends on it.",
            NATURAL_BOUND: f"{text(side.end)} is a natural bound, so there is nothing to widen.",
            EDGE: "its limits end there: consider wider ones."
            if side.limit == side.end
            else f"consider {'raising its upper' if side.upper else 'lowering its lower'} end.",
        }[self.verdict]


def boundary_check(trials: pd.DataFrame, space: SearchSpace, stage: int) -> pd.DataFrame:
    """Say of every side of every numeric range whether the best trials crowd there; nothing is widened.

    trials: one row per finished trial, with `number`, `value` (greater is better; failed: NaN or infinite) and
        `params_<name>` (NaN where a conditional hyperparameter is absent); where there are `epochs`, trials that got
        further rank before the others.
    space: the space they were drawn from.
    stage: the number of the stage, for the record.

    Returns one row per numeric hyperparameter and side, with the columns of DECISION_COLUMNS:
        verdict: `inside`; `edge: widen`, where the best crowd, or trials of the nearer half are the better the nearer
            they are and the best is in the outer quarter; `edge: natural bound`, the same where no value lies beyond;
            `edge: divergence beyond`, where failed trials crowd; `flat`, where the score hardly depends on the
            hyperparameter; `undecided: too few trials`.
        share_of_best, share_of_drawn: how much of the best and of all drawn trials lies in the outer part; NaN without
            trials.
        p_value: Bonferroni's, min(1, number of sides judged * hypergeometric tail); NaN where undecided.
        new_low, new_high: the range as it is.

    The outer part is the outer tenth in unit coordinates, or for an Integer of few values the value at the end. A
    hyperparameter is judged among the trials that have it.
    """
    return decision_table(
        [finding.decision(stage, finding.side.distribution) for finding in judge(Cloud.of(trials, space), space)]
    )


def decision_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of decisions as a table with DECISION_COLUMNS."""
    columns: dict[str, list[Any]] = {name: [row.get(name, math.nan) for row in rows] for name in DECISION_COLUMNS}
    # Column by column: `astype` on a whole table takes five times as long.
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtype) for name, dtype in DECISION_COLUMNS.items()})


def judge(cloud: Cloud, space: SearchSpace) -> list[Finding]:
    """Every side of every numeric range, in the order of the space, the low side first."""
    sides = [
        Side(name, distribution, upper)
        for name, distribution in space.distributions.items()
        if not isinstance(distribution, Choice)
        for upper in (False, True)
    ]
    having = {side.name: cloud.having(side.name) for side in sides}
    explained = {name: _explained(trials.positions[name], trials.scores()) for name, trials in having.items()}
    evidence = [_gather(having[side.name], side, explained[side.name]) for side in sides]
    n_judged = sum(found.enough for found in evidence)
    return [Finding(side, found, n_judged) for side, found in zip(sides, evidence, strict=True)]


def _gather(having: Cloud, side: Side, explained: float) -> Evidence:
    positions = having.positions[side.name]
    n_best = min(having.n_valued, max(FEWEST_BEST, round(BEST_SHARE * having.n_valued)))
    outer = (1 - positions if side.upper else positions) <= side.reach
    return Evidence(
        n_valued=having.n_valued,
        n_drawn=len(having),
        n_best=n_best,
        best_outer=int(outer[:n_best].sum()),
        drawn_outer=int(outer.sum()),
        failed_outer=int(outer[having.n_valued :].sum()),
        best_position=float(positions[0]) if having.n_valued else math.nan,
        explained=explained,
        p_trend=_trend(1 - positions if side.upper else positions, having.scores(), having.n_valued),
    )


def _trend(distances: Floats, scores: Floats, n_valued: int) -> float:
    """P(correlation of scores with nearness to the end >= found), by Student's t, over the nearer half of the range.

    Where draws crowd at an end because the best are there, that the best are there says little; that they are the
    better the nearer says it still.
    """
    near = distances[:n_valued] <= 0.5
    if near.sum() < FEWEST_TRIALS or distances[0] > OUTER_QUARTER:
        return 1.0
    x, y = distances[:n_valued][near], scores[:n_valued][near]
    if x.std() == 0 or y.std() == 0:
        return 1.0
    return float(pearsonr(-x, y, alternative="greater").pvalue)


def _explained(positions: Floats, scores: Floats) -> float:
    """R² of a least-squares parabola, adjusted for its two coefficients; 1 where there are too few trials to say."""
    if len(scores) < FEWEST_TRIALS:
        return 1.0
    parabola = np.vander(positions - 0.5, 3)
    residuals = scores - parabola @ np.linalg.lstsq(parabola.T @ parabola, parabola.T @ scores)[0]
    return float(1 - (residuals.var() / (len(scores) - 3)) / (scores.var() / (len(scores) - 1)))


def range_text(distribution: Numeric) -> str:
    """[low, high] for a sentence."""
    return f"[{text(distribution.low)}, {text(distribution.high)}]"


def text(number: float) -> str:
    """A number for a sentence."""
    return str(number) if isinstance(number, int) else f"{number:g}"
