"""Remarks: what a user should know of a run besides its scores, each a list of sentences, empty if all is well."""

import math
from collections.abc import Mapping

import pandas as pd

from hpsearch.report.findings import ENDINGS, number
from hpsearch.space.refine import EDGE

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
