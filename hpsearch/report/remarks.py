"""Remarks: what a user should know of a run besides its scores, each a list of sentences, empty if all is well."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

from hpsearch.report.findings import ENDINGS, Findings, number
from hpsearch.space.edges import EDGE

Range: TypeAlias = tuple[float, float]

MOST_FAILURES = 0.25
"""A larger share of failed trials is worth a remark."""


def edges(decisions: pd.DataFrame) -> list[str]:
    """The ranges at whose edges the best trials still crowd, by the decisions of the last stage."""
    latest = decisions[(decisions["stage"] == decisions["stage"].max()) & (decisions["verdict"] == EDGE)]
    widened = (latest["low"] != latest["new_low"]) | (latest["high"] != latest["new_high"])
    return [
        f"{sentence} No stage is left to search there: a larger n_trials adds one." if is_wider else str(sentence)
        for sentence, is_wider in zip(latest["sentence"], widened, strict=True)
    ]


def outlook(findings: Findings) -> list[str]:
    """Where to look next: per side at which the best trials of the last stage crowd, what to do about it."""
    return [
        _next_range(
            str(row["name"]), str(row["side"]), (row["low"], row["high"]), (row["new_low"], row["new_high"]), findings
        )
        for row in findings.latest_decisions.to_dict("records")
        if row["verdict"] == EDGE
    ]


def _next_range(name: str, side: str, searched: Range, widened: Range, findings: Findings) -> str:
    place = 0 if side == "low" else 1
    beyond = f"{name} {'below' if side == 'low' else 'above'} {number(searched[place])}"
    limit = findings.space.distributions[name].limit_range[place]  # type: ignore[union-attr]
    if searched[place] == limit:
        return f"{beyond}, if that makes sense: its range ends at its limit, so give it wider `limits`."
    if widened[place] != searched[place]:
        return (
            f"{beyond}: with a larger n_trials, one more stage draws from {number(widened[0])} to {number(widened[1])}."
        )
    return f"{beyond}: give it a wider range."


def failures(trials: pd.DataFrame) -> list[str]:
    """How many trials failed, if they are many, with the advice of the first."""
    failed = trials[trials["state"] == "FAIL"]
    if len(failed) <= MOST_FAILURES * len(trials):
        return []
    return [f"{len(failed)} of {len(trials)} trials failed; the first: {failed['user_attrs_advice'].iloc[0]}"]


def untrained(chance: pd.DataFrame) -> list[str]:
    """The shapes whose untrained networks do not lose as chance does; `chance` is the table of `loss_at_chance`."""
    return [str(sentence) for sentence in chance.loc[chance["verdict"] != "as it should be", "sentence"]]


def hopeless(honest_score: float, guess: float) -> list[str]:
    """That nothing was learned: a constant `guess` scores as well on the same rows."""
    if honest_score > guess or math.isnan(honest_score) or math.isnan(guess):
        return []
    return [
        f"A constant guess scores {number(guess, 4)} on the selection rows, no worse than the honest score, "
        f"{number(honest_score, 4)}: the columns may say nothing of the target, or too few rows do."
    ]


def ending(ended: str) -> list[str]:
    """How a run ended that did not come to the end of its plan."""
    return [] if ended == "finished" else [ENDINGS[ended]]


def versions(begun: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The packages that are not of the version the study was begun with."""
    return [
        f"The study was begun with {name} {begun[name]} and goes on with {now[name]}: what it would have been with one "
        "of them alone may differ in the last bits."
        for name in now
        if begun.get(name, now[name]) != now[name]
    ]
