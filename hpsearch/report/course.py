"""The course of a search: how each range and each choice went from stage to stage, as records that `plots.py` draws."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.report.figures import Floats, ticks, trial_facts, unit_coordinates
from hpsearch.report.findings import SIDES, Findings
from hpsearch.space.distributions import Choice, Numeric, as_stored
from hpsearch.space.edges import DIVERGENCE, EDGE, NATURAL_BOUND
from hpsearch.space.refine import NARROWED

MARKED = (EDGE, NATURAL_BOUND, DIVERGENCE)
"""Verdicts that are marked at the end of a range."""

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Span:
    """What a stage drew from, in unit coordinates: the `whole` range, and the `part` of it where most draws lie.

    `verdicts`: by side, what its decisions said of the end, if that is one of `MARKED`.
    """

    stage: str
    whole: Range
    part: Range
    verdicts: Mapping[str, str]


@dataclass(frozen=True)
class RangeCourse:
    """The range of a numeric hyperparameter from stage to stage, over the widest it became.

    Attributes:
        spans: one per stage that drew trials.
        places, positions, ranks: of the trials, (n,): which of the spans, unit coordinate, and rank of the best value
            among all, 1 for the best, NaN for a trial without a value. The best come last.
        has_best: is the last of them the best trial of all?
        ticks: unit coordinate and label.
    """

    name: str
    spans: tuple[Span, ...]
    places: NDArray[np.int64]
    positions: Floats
    ranks: Floats
    has_best: bool
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class ChoiceCourse:
    """The choices of a hyperparameter from stage to stage.

    Attributes:
        labels: of the values, (n_values,).
        stages: names of those that drew trials, (n_stages,).
        shares: of a stage's trials that have the value, (n_values, n_stages); NaN where none has the hyperparameter.
        best: the place of the best trial's value, None where it has none.
    """

    name: str
    labels: tuple[str, ...]
    stages: tuple[str, ...]
    shares: Floats
    best: int | None


def courses(findings: Findings) -> tuple[RangeCourse | ChoiceCourse, ...]:
    """One record per searched hyperparameter, in the order of the space; none where a single stage drew all trials."""
    drawn, space = _drawn(findings), findings.searched
    if drawn["place"].nunique() < 2:
        return ()
    return tuple(
        _choice_course(name, entry, findings, drawn)
        if isinstance(entry, Choice)
        else _range_course(name, entry, findings, drawn)
        for name, entry in space.distributions.items()
    )


def drawing_stages(findings: Findings) -> list[int]:
    """The numbers of the stages that drew configs of their own, and did not repeat those of others."""
    trials = findings.trials
    own = trials["user_attrs_repeats"].isna() if "user_attrs_repeats" in trials else slice(None)
    return sorted({int(stage) for stage in trials.loc[own, "stage"]})


def _drawn(findings: Findings) -> pd.DataFrame:
    """By trial number, the worst first: `place` of its stage among those that drew, `rank` of its best value."""
    places = {stage: place for place, stage in enumerate(drawing_stages(findings))}
    facts = trial_facts(findings).iloc[::-1]
    facts = facts[~facts["is_repeat"]]
    ranks = facts["best_value"].rank(pct=True)
    stages = findings.trials.set_index("number")["stage"].reindex(facts.index)
    return pd.DataFrame({"place": stages.map(places), "rank": ranks, "is_best": facts["is_best"]})


def _range_course(name: str, widest: Numeric, findings: Findings, drawn: pd.DataFrame) -> RangeCourse:
    units = unit_coordinates(findings.trials, name, widest).reindex(drawn.index).dropna()
    having = drawn.loc[units.index]
    return RangeCourse(
        name=name,
        spans=_spans(name, widest, findings),
        places=having["place"].to_numpy("int64"),
        positions=np.asarray(units, dtype=np.float64),
        ranks=having["rank"].to_numpy("float64"),
        has_best=bool(len(having)) and bool(having["is_best"].iloc[-1]),
        ticks=ticks(widest),
    )


def _spans(name: str, widest: Numeric, findings: Findings) -> tuple[Span, ...]:
    entry, decisions = findings.space.distributions[name], findings.decisions
    assert not isinstance(entry, Choice)
    own, spans = decisions[decisions["name"] == name], []
    whole: Range = (entry.low, entry.high)
    for stage in drawing_stages(findings):
        judged = own[(own["stage"] == stage) & own["side"].isin(SIDES)]
        whole = (judged["low"].min(), judged["high"].max()) if len(judged) else whole
        earlier = own[own["stage"] < stage]
        before = earlier[earlier["stage"] == earlier["stage"].max()]
        narrowed = before[before["verdict"] == NARROWED]
        part = (narrowed["new_low"].iloc[-1], narrowed["new_high"].iloc[-1]) if len(narrowed) else whole
        marked = judged[judged["verdict"].isin(MARKED)]
        verdicts = dict(zip(marked["side"], marked["verdict"], strict=True))
        spans.append(Span(findings.plan[stage]["name"], _units(widest, whole), _units(widest, part), verdicts))
    return tuple(spans)


def _units(widest: Numeric, ends: Range) -> Range:
    # an Integer's end stands half a cell inside
    low, high = (widest.to_unit(end) for end in ends)
    return (0.0 if ends[0] <= widest.low else low), (1.0 if ends[1] >= widest.high else high)


def _choice_course(name: str, choice: Choice, findings: Findings, drawn: pd.DataFrame) -> ChoiceCourse:
    units = unit_coordinates(findings.trials, name, choice).reindex(drawn.index).dropna()
    values = (units * len(choice.values)).astype("int64")
    places = drawn.loc[units.index, "place"].astype("int64")
    stages = drawing_stages(findings)
    counts = np.zeros((len(choice.values), len(stages)))
    for cell, count in Counter(zip(values, places, strict=True)).items():
        counts[cell] = count
    totals = counts.sum(axis=0)
    best = values[drawn.loc[units.index, "is_best"]]
    return ChoiceCourse(
        name=name,
        labels=tuple(str(as_stored(value)) for value in choice.values),
        stages=tuple(findings.plan[stage]["name"] for stage in stages),
        shares=np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0),
        best=int(best.iloc[0]) if len(best) else None,
    )
