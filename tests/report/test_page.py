"""The page: whole, self-contained, well-formed, escaped, the same bytes each time; for odd findings too."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch.report.findings import Findings
from hpsearch.report.page import headline, page, write_page
from hpsearch.space.edges import EDGE, FLAT, INSIDE, UNDECIDED
from hpsearch.space.refine import NARROWED
from tests.report.test_course import staged
from tests.report.test_figures import candidates, made_up, selection
from tests.report.test_plots import ODD

EVIL = "<script>alert('x')</script> & \"co\""
VOID = {"meta", "br", "wbr"}


class Outline(HTMLParser):
    """Collects headings and tables, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data.strip())
        elif self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def evil() -> Findings:
    """Findings in which everything that a user may name is an attack."""
    findings = made_up(title=EVIL, target=EVIL, scoring=EVIL, warnings=(EVIL,))
    diverged = findings.trials["outcome"] == "diverged"
    trials = findings.trials.assign(user_attrs_advice=np.where(diverged, EVIL, None))
    importance = pd.DataFrame({"column": [EVIL], "importance": [0.1], "deviation": [0.1]})
    return replace(
        findings,
        trials=trials,
        decisions=findings.decisions.assign(sentence=EVIL),
        selection=selection(labels=("", EVIL)),
        importance=importance,
    )


def test_sections_come_in_their_order() -> None:
    outline = Outline(page(made_up()))
    assert outline.open == []
    headings = [
        "Made up", "Leaderboard", "Best configs", "The course of the search", "Score against each hyperparameter",
        "Learning curves by rung", "What the search cost", "Members of the chosen ensemble",
        "Are the probabilities right?", "Words",
    ]  # fmt: skip
    assert [heading for heading in outline.headings if heading in headings] == headings
    assert "Final candidates" in Outline(page(made_up(candidates=candidates([0])))).headings


def test_headline_leads_with_the_honest_score() -> None:
    assert headline(made_up()) == (
        "On rows that nothing was chosen on, the best single model scores neg_log_loss <b>−0.071 ± 0.021</b>, and "
        "<b>−0.075</b> on the 1,000 test rows (greater is better). The search ran to the end of its plan: 5 trials, "
        "30 epochs of training, 12.3 s."
    )


def test_headline_of_an_ensemble_and_an_early_end() -> None:
    findings = made_up([(-0.5,), (-0.4,), ()], ended="timeout")
    board = findings.leaderboard.assign(chosen=[False, True])
    assert headline(replace(findings, leaderboard=board)) == (
        "On rows that nothing was chosen on, the ensemble of 3 models scores neg_log_loss <b>−0.080 ± 0.030</b> "
        "(greater is better). The timeout ended the search early: 2 of 3 trials, 4 epochs of training, 12.3 s."
    )


@pytest.mark.parametrize("ended", ["finished", "timeout", "interrupted"])
def test_every_ending_has_a_sentence(ended: str) -> None:
    assert headline(made_up(ended=ended))


def test_warnings_stand_in_a_box_of_their_own() -> None:
    assert '<div class="warnings"><b>2 warnings</b><ul><li>one</li><li>two</li></ul></div>' in page(
        made_up(warnings=("one", "two"))
    )
    assert '<div class="warnings">' not in page(made_up())


def test_tables() -> None:
    summary, board, best, decisions, gaps, diverged, chance, members, reliability = Outline(page(made_up())).tables
    assert len(summary) == 11
    assert board[1] == ["best_model (chosen)", "1", "−0.071 ± 0.021", "−0.07500", "−0.3000", "0.21", "2.1"]
    assert best[0] == ["trial", "best value", "at epoch", "trained to", "state", "learning_rate_init", "dropout"]
    assert [row[:5] for row in best[1:3]] == [
        ["2", "−0.3000", "6", "6", "cut"],
        ["0", "−0.4000", "6", "18", "complete"],
    ]
    assert [row[2] for row in gaps[1:]] == ["5", "3", "1"]
    assert [row[-1] for row in gaps[1:]] == ["20%", "33%", "0%"]
    assert diverged[1:] == [["3", "Diverged: try a tenth of it."], ["4", "Diverged: try a tenth of it."]]
    assert [row[:2] for row in decisions] == [["after", "verdict"], *[["random", UNDECIDED]] * 4]
    assert [row[1] for row in chance[1:]] == ["[128]", "[64]"]
    assert reliability[0] == ["predicted", "rows", "mean predicted", "observed", "95 % interval"]
    assert sum(int(row[1]) for row in reliability[1:]) == 150
    assert members[1][:5] == ["2", "100.0%", "−0.3000", "6", "ema"]


def test_what_is_marked() -> None:
    text = page(made_up())
    assert re.findall(r'<tr class="marked"><td class="text">(.*?)</td>', text) == ["best_model (chosen)"]
    decisions = made_up().decisions.assign(verdict=[EDGE, INSIDE, INSIDE, INSIDE])
    text = page(made_up(decisions=decisions))
    assert "<h3>learning_rate_init <em>edge at the low end</em></h3>" in text
    assert f'<tr class="marked"><td class="text">random</td><td class="text">{EDGE}</td>' in text


def test_what_was_decided_comes_before_what_was_only_looked_at() -> None:
    text = page(made_up(decisions=made_up().decisions.assign(verdict=[INSIDE, EDGE, FLAT, INSIDE])))
    *_, decided, others, _, _, _, _, _ = Outline(text).tables
    assert [row[1] for row in decided[1:]] == [EDGE]
    assert [row[1] for row in others[1:]] == [INSIDE, FLAT, INSIDE]
    assert "<summary>What else was looked at: 2 inside, 1 flat</summary>" in text
    assert "Nothing was narrowed or widened" in page(made_up()) and "Nothing was narrowed" not in text
    assert "<li>learning_rate_init above 0.1: give it a wider range.</li>" in text


def test_without_decisions_and_stages_there_is_no_course() -> None:
    text = page(made_up(decisions=made_up().decisions.iloc[:0]))
    assert "The course of the search" not in text


def test_candidates() -> None:
    text = page(made_up(candidates=candidates([2, 0])))
    table = Outline(text).tables[2]
    assert table[0] == ["trial", "seeds", "searched value", "over its seeds", "honest value", "gap"]
    assert table[1] == ["2", "3", "−0.4000", "−0.450 ± 0.031", "−0.4700", "0.070"]
    assert "1 more trial completed it." not in text
    assert "1 more trial completed it." in page(made_up(candidates=candidates([2, *[0] * 10])))


def test_where_the_last_stage_would_narrow_to_is_no_decision_yet() -> None:
    findings = staged()
    last = findings.decisions[findings.decisions["verdict"] == NARROWED].assign(stage=1)
    text = page(replace(findings, decisions=pd.concat([findings.decisions, last], ignore_index=True)))
    assert "<summary>What else was looked at: 2 inside, 1 narrowed</summary>" in text


def test_a_course_of_stages_is_drawn() -> None:
    text = page(staged())
    assert "The range of learning_rate_init from stage to stage" in text
    assert "The choices of width from stage to stage" in text
    assert ">the best crowd at this end<" in text and "natural bound<" not in text
    assert '<td class="text">coarse</td><td class="text">narrowed</td>' in text


def test_everything_of_the_user_is_escaped() -> None:
    text = page(evil())
    outline = Outline(text)
    assert "script" not in outline.tags and outline.open == []
    assert text.count("&lt;script&gt;") >= 8
    assert outline.headings[0] == EVIL


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = page(made_up())
    outline = Outline(text)
    assert not outline.tags & {"script", "link", "img", "iframe", "image", "object", "embed"}
    assert set(re.findall(r"[a-z]+://[^\"' ]+", text)) == {"http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text


@pytest.mark.parametrize("name", ["one epoch", "never ran", "mostly diverged", "magnitudes", "odd names"])
def test_pages_of_odd_findings(name: str) -> None:
    outline = Outline(page(ODD[name]))
    assert outline.open == []
    assert not any("nan" in cell for table in outline.tables for row in table for cell in row)


def test_page_of_fixed_hyperparameters_only() -> None:
    text = page(made_up(space={"dropout": 0.1, "hidden_layer_sizes": (64,)}))
    assert "Nothing was searched" in text
    assert "Fixed in all of them: dropout=0.1, hidden_layer_sizes=[64]." in text


def test_the_leaderboard_says_why_the_chosen_one_was_chosen() -> None:
    assert "has clearly less log-loss on the 150 selection rows" in page(made_up())
    assert "has clearly less squared error on the" in page(made_up(task="regression"))


def test_trials_that_are_not_to_be_seen_are_counted_by_how_they_ended() -> None:
    text = page(made_up([(-0.5 - number / 100,) for number in range(40)] + [(-1e9,), (math.nan,), (math.nan,)]))
    assert "Never on the axis: 2 trials that failed, 1 trial that stayed above it." in text
    assert "Never on the axis" not in page(made_up([(-0.5,), (-0.6,)]))


def test_one_of_a_thing_is_no_plural() -> None:
    n_rows = {"train": 7, "valid": 1, "select": 1, "test": 1}
    text = page(
        made_up([(-0.5,)], n_rows=n_rows, plan=[{"name": "random", "n_trials": 1, "rungs": [{"epochs": 1, "keep": 1}]}])
    )
    assert "The only trial with a value" in text
    assert not re.findall(r"\b1 (?:\w+ )?(?:rows|trials|epochs|models|networks|columns|inputs)\b", text)


def test_without_test_rows_the_leaderboard_has_no_test_score() -> None:
    n_rows = {"train": 7, "valid": 2, "select": 2, "test": 0}
    assert "test score" in Outline(page(made_up())).tables[1][0]
    assert "test score" not in Outline(page(made_up(n_rows=n_rows))).tables[1][0]


def test_long_lists_are_cut_and_counted() -> None:
    text = page(made_up([(-0.5,), *[(math.nan,)] * 40]))
    assert "<h3>40 trials failed</h3>" in text
    assert "… and 30 more." in text


def test_size_stays_reasonable() -> None:
    few = len(page(made_up([(-0.5 - number / 1000,) for number in range(64)])))
    many = len(page(made_up([(-0.5 - number / 1000,) for number in range(1000)])))
    assert few < 150_000
    assert many < 400_000


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    write_page(made_up(), tmp_path / "first.html")
    write_page(made_up(), tmp_path / "second.html")
    first = (tmp_path / "first.html").read_bytes()
    assert first == (tmp_path / "second.html").read_bytes()
    assert first.startswith(b"<!doctype html>") and first.endswith(b"</html>\n")


def test_a_title_that_is_no_valid_text_is_written_all_the_same(tmp_path: Path) -> None:
    write_page(made_up(title="caf\udce9"), tmp_path / "page.html")
    assert "<h1>caf?</h1>" in (tmp_path / "page.html").read_text("utf-8")


def test_whether_probabilities_are_right_is_told_of_classes_only() -> None:
    text = page(made_up())
    assert "that of &#x27;yes&#x27;" in text and "Observed share against predicted probability" in text
    assert "that of the most likely class" in page(made_up(selection=selection(labels=("a", "b", "c"))))
    assert "Are the probabilities right?" not in page(made_up(task="regression"))


def test_the_worth_of_the_columns_is_told_where_it_is_known() -> None:
    table = pd.DataFrame({"column": [f"c{n}" for n in range(21)], "importance": 0.25, "deviation": 0.01})
    text = page(made_up(importance=table))
    assert "What the columns are worth" in Outline(text).headings and "Not shown: 1 column of less" in text
    assert "What the columns are worth" not in page(made_up())
