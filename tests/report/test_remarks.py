"""Remarks on a search: where to look next when it is over."""

from dataclasses import replace

import pandas as pd

from hpsearch.report.remarks import outlook
from hpsearch.space.distributions import Uniform
from hpsearch.space.edges import EDGE, NATURAL_BOUND
from tests.report.test_course import decision, staged


def test_beyond_an_edge_that_the_next_stage_would_cross() -> None:
    assert outlook(staged()) == [
        "learning_rate_init above 0.1: with a larger n_trials, one more stage draws from 0.0001 to 1."
    ]


def test_beyond_an_edge_that_was_only_warned_of() -> None:
    edge = decision(1, "learning_rate_init", "low", EDGE, (1e-4, 1e-2, 1e-4, 1e-2))
    assert outlook(staged(decisions=[edge])) == ["learning_rate_init below 0.0001: give it a wider range."]


def test_at_a_limit() -> None:
    space = {"dropout": Uniform(0.1, 0.5, limits=(0.1, 0.5))}
    edge = decision(1, "dropout", "high", EDGE, (0.1, 0.5, 0.1, 0.5))
    findings = replace(staged(space), decisions=pd.DataFrame([edge]))
    (sentence,) = outlook(findings)
    assert sentence.startswith("dropout above 0.5, if that makes sense: its range ends at its limit")


def test_nothing_beyond_a_natural_bound() -> None:
    edge = decision(1, "learning_rate_init", "low", NATURAL_BOUND, (1e-4, 1e-2, 1e-4, 1e-2))
    assert outlook(staged(decisions=[edge])) == []
