"""What is said on standard error while a search runs."""

import pandas as pd
import pytest

from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import StageRecord
from hpsearch.report.progress import ProgressReport, decided
from hpsearch.space.edges import EDGE
from tests.report.test_course import decision, staged


def test_edges_dropped_choices_and_ranges() -> None:
    assert decided(staged().decisions.query("stage == 0")) == [
        "learning_rate_init high: edge: widen after 0",
        "width both: dropped: 8 after 0",
        "now mostly in: learning_rate_init [0.001, 0.1]",
    ]
    assert decided(staged().decisions.iloc[:1]) == []


def test_long_lists_are_summarised() -> None:
    rows = [decision(0, f"a{place}", "low", EDGE, (0, 1, -1, 1)) for place in range(7)]
    rows += [decision(0, f"a{place}", "both", "narrowed", (0, 1, 0, 0.5)) for place in range(6)]
    *edges, more, ranges = decided(pd.DataFrame(rows))
    assert len(edges) == 4 and more == "… and 3 more decisions"
    assert ranges == "now mostly in: a0 [0, 0.5], a1 [0, 0.5], a2 [0, 0.5], a3 [0, 0.5] and 2 more"


def said(capsys: pytest.CaptureFixture[str], verbose: int) -> list[str]:
    """What is said of a plan and of the decisions of its two stages that draw."""
    decisions = staged().decisions
    with ProgressReport(Plan.from_json(staged().plan), verbose) as progress:
        for stage in (0, 1):
            own = decisions[decisions["stage"] == 0] if stage == 0 else decisions.assign(stage=1)
            progress.update(StageRecord(stage, own))
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_the_plan_and_the_decisions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    plan, *stages = said(capsys, verbose=1)
    assert plan == "3 stages, 14 trials, 28 epochs of training (0% saved by halving)"
    assert stages[:3] == decided(staged().decisions.query("stage == 0"))


def test_no_range_is_told_that_nobody_will_draw_from(capsys: pytest.CaptureFixture[str]) -> None:
    *_, edge, again, dropped = said(capsys, verbose=1)
    assert [line.startswith("now mostly in") for line in (edge, again, dropped)] == [False] * 3


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, verbose=0) == []
