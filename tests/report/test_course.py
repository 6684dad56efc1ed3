"""The course of a search from stage to stage, of made-up findings with known answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.report.course import ChoiceCourse, RangeCourse, courses, drawing_stages
from hpsearch.report.findings import Findings
from hpsearch.space.distributions import Choice, Integer, LogUniform
from hpsearch.space.edges import DECISION_COLUMNS, EDGE, INSIDE
from tests.report.test_figures import candidates, made_up

RATES = LogUniform(1e-4, 1e-2)
SPACE = {"learning_rate_init": RATES, "width": Choice([8, 16, 32])}
N_COARSE, N_FINE = 8, 4
NO_ENDS = (math.nan,) * 4


def decision(stage: int, name: str, side: str, verdict: str, ends: Sequence[float] = NO_ENDS) -> dict[str, Any]:
    """A row of decisions; `ends`: low, high, new_low, new_high."""
    numbers = dict(zip(("low", "high", "new_low", "new_high"), ends, strict=True))
    sentence = f"{name} {side}: {verdict} after {stage}"
    return {"stage": stage, "name": name, "side": side, **numbers, "verdict": verdict, "sentence": sentence}


DECISIONS = [
    decision(0, "learning_rate_init", "low", INSIDE, (1e-4, 1e-2, 1e-4, 1e-2)),
    decision(0, "learning_rate_init", "high", EDGE, (1e-4, 1e-2, 1e-4, 1e-1)),
    decision(0, "learning_rate_init", "both", "narrowed", (1e-4, 1e-2, 1e-3, 1e-1)),
    decision(0, "width", "both", "dropped: 8"),
    decision(1, "learning_rate_init", "low", INSIDE, (1e-4, 1e-1, 1e-4, 1e-1)),
    decision(1, "learning_rate_init", "high", EDGE, (1e-4, 1e-1, 1e-4, 1.0)),
]


def staged(space: Mapping[str, Any] = SPACE, decisions: list[dict[str, Any]] = DECISIONS) -> Findings:
    """Findings of a coarse stage, a fine one, and two trials that repeat the best; trial 3 failed, 11 is the best."""
    values = [(-1 + number / 100,) for number in range(N_COARSE + N_FINE)] + [(-0.1,), (-0.2,)]
    values[3] = (math.nan,)
    names = [("coarse", N_COARSE), ("fine", N_FINE), ("repeat", 2)]
    plan = [{"name": name, "n_trials": n, "rungs": [{"epochs": 2, "keep": 1}]} for name, n in names]
    own = [row for row in decisions if row["name"] in space]
    table = pd.DataFrame(own, columns=list(DECISION_COLUMNS)).astype(DECISION_COLUMNS)
    findings = made_up(values, space, plan=plan, decisions=table, candidates=candidates([11]))
    stages = np.repeat([0, 1, 2], [N_COARSE, N_FINE, 2])
    trials = findings.trials.assign(stage=stages, user_attrs_repeats=[math.nan] * (N_COARSE + N_FINE) + [11.0, 11.0])
    history = findings.history.assign(stage=findings.history["trial_number"].map(dict(enumerate(stages))))
    return replace(findings, trials=trials, history=history)


def of_rates(findings: Findings) -> RangeCourse:
    record = courses(findings)[0]
    assert isinstance(record, RangeCourse) and record.name == "learning_rate_init"
    return record


def test_repeats_draw_nothing() -> None:
    assert drawing_stages(staged()) == [0, 1]
    assert len(of_rates(staged()).positions) == N_COARSE + N_FINE


def test_a_range_that_was_widened_and_narrowed() -> None:
    coarse, fine = of_rates(staged()).spans
    assert (coarse.stage, fine.stage) == ("coarse", "fine")
    assert coarse.whole == coarse.part == pytest.approx((0, 2 / 3))
    assert fine.whole == (0, 1) and fine.part == pytest.approx((1 / 3, 1))
    assert dict(coarse.verdicts) == dict(fine.verdicts) == {"high": EDGE}
    assert [label for _, label in of_rates(staged()).ticks] == ["0.0001", "0.001", "0.01", "0.1"]


def test_trials_stand_in_their_stage_the_best_last() -> None:
    findings = staged()
    record = of_rates(findings)
    rates = findings.trials["params_learning_rate_init"]
    assert record.has_best and record.places[-1] == 1
    assert record.positions[-1] == pytest.approx(LogUniform(1e-4, 1e-1).to_unit(rates[11]))
    assert record.ranks[-1] == 1 and np.isnan(record.ranks).sum() == 1
    assert np.bincount(record.places).tolist() == [N_COARSE, N_FINE]


def test_without_decisions_a_range_stays_as_it_was_asked_for() -> None:
    spans = of_rates(staged(decisions=[])).spans
    assert [(span.whole, span.part, dict(span.verdicts)) for span in spans] == [((0, 1), (0, 1), {})] * 2


def test_an_integer_that_is_not_widened_fills_its_axis() -> None:
    (record,) = courses(staged({"depth": Integer(1, 4)}))
    assert isinstance(record, RangeCourse) and record.spans[0].whole == (0, 1)


def test_choices_by_their_share_of_each_stage() -> None:
    findings = staged()
    record = courses(findings)[1]
    assert isinstance(record, ChoiceCourse)
    assert (record.labels, record.stages) == (("8", "16", "32"), ("coarse", "fine"))
    widths = findings.trials["params_width"]
    assert record.shares[0, 0] == (widths[:N_COARSE] == 8).mean()
    assert record.shares[2, 1] == (widths[N_COARSE : N_COARSE + N_FINE] == 32).mean()
    assert record.shares.sum(axis=0) == pytest.approx([1, 1])
    assert record.best is not None and record.labels[record.best] == str(widths[11])


def test_a_choice_that_no_trial_of_a_stage_has() -> None:
    space = {"schedule": Choice(["constant", "cosine"]), "ends": Choice([0.0, 0.1], when={"schedule": "cosine"})}
    findings = staged(space)
    without = findings.trials["params_ends"].mask(findings.trials["stage"] == 1)
    record = courses(replace(findings, trials=findings.trials.assign(params_ends=without)))[1]
    assert isinstance(record, ChoiceCourse)
    assert np.isnan(record.shares[:, 1]).all() and record.shares[:, 0].sum() == 1


def test_a_single_stage_has_no_course() -> None:
    assert courses(made_up()) == ()
