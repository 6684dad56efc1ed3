"""From one stage to the next: widen where the best trials crowd at an edge, narrow to where they lie.

Pure functions from tables of trials to a Proposal, what the next stage draws from, and to decisions in words.
"""

import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from hpsearch.space.cloud import Cloud, Floats
from hpsearch.space.distributions import Choice, Numeric
from hpsearch.space.edges import (
    EDGE,
    Finding,
    Side,
    decision_table,
    judge,
    range_text,
)
from hpsearch.space.proposal import Focus, Proposal, Strip
from hpsearch.space.space import SearchSpace

Row: TypeAlias = dict[str, object]
Rows: TypeAlias = list[Row]

MODES = ("auto", "warn")

# Verdicts of a hyperparameter as a whole, whose `side` is BOTH.
NARROWED = "narrowed"
FAVOURED = "favoured"
DROPPED = "dropped"
BOTH = "both"

# The cloud: this share of the smoothed trials, but no fewer than that, weighted by rank.
CLOUD_SHARE = 0.15
FEWEST_IN_CLOUD = 5

# With fewer trials that have it, a hyperparameter is not narrowed.
FEWEST_TO_NARROW = 8

# A focus is so much wider than the cloud, for the cloud is better known in its middle than at its rim.
WIDTH_FACTOR = 1.4

# The same where the cloud is an earlier study's.
LIKE_FACTOR = 3.0

# No focus is narrower than this over the square root of the trials it rests on.
WIDTH_FLOOR = 0.5

# A choice is favoured, in words, if its share of draws grows to so many times an even one.
FAVOUR = 1.5

# A choice is dropped if its share of the best third of the trials is so improbably low; corrected for their number.
DROP_SIGNIFICANCE = 0.01


def refine(trials: pd.DataFrame, proposal: Proposal, stage: int, mode: str = "auto") -> tuple[Proposal, pd.DataFrame]:
    """What the next stage draws from, and the decisions of this one.

    trials: all trials so far that have finished or been cut, one row each: `number`, `value` (greater is better, NaN
        if it failed), `epochs` of the last value, `params_<name>` (NaN where absent; tuples as they are or as the text
        Optuna stores).
    proposal: what this stage was drawn from.
    stage: its number, for the record.
    mode: "auto" narrows and widens; "warn" only judges, and the proposal comes back as it was.

    Edges come first (`boundary_check`): a range with `edge: widen` grows on that side by a decade (log) or half of
    itself, twice as much when it grew there the stage before, up to the limits of its distribution. Then every
    hyperparameter is narrowed to the cloud of the best trials; choices are drawn the more often the more of their
    trials are among the best third, and those that are clearly worse are dropped. All leave a share of draws to the
    whole space.

    The decisions have DECISION_COLUMNS: a row per numeric hyperparameter and side, and below them a row with side
    "both" for each that was narrowed (new_low, new_high: where 95 in 100 of its focused draws lie) or had a choice
    favoured or dropped.

    Raises ValueError for another mode.
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {', '.join(MODES)}, but got {mode!r}.")
    cloud = Cloud.of(trials, proposal.space)
    findings = judge(cloud, proposal.space)
    if mode == "warn":
        return proposal, decision_table([finding.decision(stage, finding.side.distribution) for finding in findings])
    wider, ranges = _widened(proposal, findings)
    rows = [finding.decision(stage, ranges.get(finding.side.name, finding.side.distribution)) for finding in findings]
    if wider.fresh:
        cloud = Cloud.of(trials, wider.space)
    narrower, narrowed = _narrowed(wider, cloud, stage, WIDTH_FACTOR)
    return narrower, decision_table(rows + narrowed)


def start_like(trials: pd.DataFrame, space: SearchSpace) -> tuple[Proposal, pd.DataFrame]:
    """Where the best trials of an earlier study lie, about twice as wide as `refine` would have it, to start from.

    trials: the earlier study's, as for `refine`; what only one of the two studies has is left alone, and so is a choice
        that this space does not have.

    The decisions (stage -1, side "both") say so.
    """
    narrower, rows = _narrowed(Proposal.of(space), Cloud.of(trials, space), -1, LIKE_FACTOR)
    return narrower, decision_table([row | {"sentence": f"{row['sentence']} (from an earlier study)"} for row in rows])


def _widened(proposal: Proposal, findings: list[Finding]) -> tuple[Proposal, dict[str, Numeric]]:
    """A proposal, not focused yet, over wider ranges where there is an edge; and these ranges by name."""
    sides = [f.side for f in findings if f.verdict == EDGE and f.side.end != f.side.limit]
    times = {side.key: proposal.widened.get(side.key, 0) + 1 for side in sides}
    ranges: dict[str, Numeric] = {}
    for side in sides:
        ranges[side.name] = side.extended(ranges.get(side.name, side.distribution), times[side.key])
    space = SearchSpace({**proposal.space.distributions, **ranges}, proposal.space.fixed)
    return Proposal(space, fresh=tuple(_strip(side, ranges[side.name]) for side in sides), widened=times), ranges


def _strip(side: Side, wider: Numeric) -> Strip:
    """What the range gained on this side."""
    end = wider.to_unit(side.end)
    return Strip(side.name, end, 1.0) if side.upper else Strip(side.name, 0.0, end)


def _narrowed(proposal: Proposal, cloud: Cloud, stage: int, factor: float) -> tuple[Proposal, Rows]:
    """The proposal with a focus on the best trials of the cloud, and the rows of `decisions` that say so."""
    distributions = proposal.space.distributions
    smoothed = cloud.smoothed()
    focus: dict[str, Focus] = {}
    shares: dict[str, tuple[float, ...]] = {}
    rows: Rows = []
    for name, distribution in distributions.items():
        having = cloud.having(name)
        if having.n_valued < FEWEST_TO_NARROW:
            continue
        if not isinstance(distribution, Choice):
            focus[name] = _focus(having, smoothed.having(name).positions[name], name, factor)
            if focus[name].span != (0.0, 1.0):
                rows.append(_narrowing(stage, name, distribution, focus[name], having))
        elif len(distribution.values) > 1:
            shares[name], its_rows = _shares(stage, name, distribution, having)
            rows += its_rows
    return replace(proposal, focus=focus, shares=shares), rows


def _focus(having: Cloud, smoothed: Floats, name: str, factor: float) -> Focus:
    """Rank-weighted mean and spread of the best positions: the smoothed ones, best first, of those that have it."""
    best = smoothed[: max(FEWEST_IN_CLOUD, round(CLOUD_SHARE * len(smoothed)))]
    weights = np.log(len(best) + 0.5) - np.log(np.arange(1, len(best) + 1))
    centre = float(np.average(best, weights=weights))
    spread = math.sqrt(np.average((best - centre) ** 2, weights=weights))
    # The best trial stays within two widths.
    to_best = abs(float(having.positions[name][0]) - centre) / 2
    return Focus(centre, max(factor * spread, WIDTH_FLOOR / math.sqrt(having.n_valued), to_best))


def _shares(stage: int, name: str, choice: Choice, having: Cloud) -> tuple[tuple[float, ...], Rows]:
    """How often each value is drawn from now on, and the rows of `decisions` that say so.

    In proportion to the share of its trials that are among the best third, with three trials added to each value, of
    which one is: a value of few trials is neither favoured nor given up soon. Dropped is one that is too rare among the
    best by the hypergeometric tail, corrected for the number of choices; never that of the best trial.
    """
    positions, n_best = having.positions[name], having.n_valued // 3
    taken = positions == np.array([choice.to_unit(value) for value in choice.values])[:, np.newaxis]
    found, n_taken, n = taken[:, :n_best].sum(axis=1), taken.sum(axis=1), len(having)
    improbable = hypergeom.cdf(found, n, n_taken, n_best) * len(choice.values) < DROP_SIGNIFICANCE
    dropped = improbable & ~taken[:, 0]
    rates = np.where(dropped, 0.0, (found + 1) / (n_taken + 3))
    shares = rates / rates.sum()
    rows = []
    for value, share, *figures in zip(choice.values, shares, dropped, found, n_taken, strict=True):
        is_dropped, n_found, n_its = figures
        verdict = DROPPED if is_dropped else FAVOURED if share * len(shares) >= FAVOUR else None
        if verdict is not None:
            consequence = (
                f"now about {share:.0%} of the draws take it" if share else "it is drawn only where the whole space is"
            )
            rows.append(
                {
                    "stage": stage, "name": name, "side": BOTH, "verdict": f"{verdict}: {value!r}",
                    "share_of_best": n_found / n_best, "share_of_drawn": n_its / n,
                    "sentence": f"{name}: {value!r} has {n_found} of the best {n_best} trials, {n_its} of all {n}; "
                    f"{consequence}.",
                }
            )  # fmt: skip
    return tuple(shares.tolist()), rows


def _narrowing(stage: int, name: str, distribution: Numeric, focus: Focus, having: Cloud) -> Row:
    low, centre, high = (distribution.from_unit(u) for u in (focus.span[0], focus.centre, focus.span[1]))
    sentence = (
        f"{name}: the best of {having.n_valued} trials lie around {_short(centre)}; most draws now come from "
        f"[{_short(low)}, {_short(high)}] of {range_text(distribution)}."
    )
    return {
        "stage": stage, "name": name, "side": BOTH, "low": distribution.low, "high": distribution.high,
        "new_low": low, "new_high": high, "verdict": NARROWED,
        "best_position": float(having.positions[name][0]), "sentence": sentence,
    }  # fmt: skip


def _short(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.3g}"
