"""Summary, numbers in words, and files: of made-up findings, and of a real search that was small, or ended early."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from hpsearch import Choice, search
from hpsearch.orchestrator.plan import Plan
from hpsearch.record.tables import has_parquet
from hpsearch.report.findings import (
    Findings,
    config_text,
    counted,
    duration,
    fixed,
    number,
    numbers,
    plan_text,
    summary_document,
    summary_table,
    with_deviation,
    write_tables,
)
from hpsearch.space.edges import EDGE, FLAT, INSIDE, NATURAL_BOUND
from tests.report.test_figures import VALUES, candidates, made_up


@pytest.fixture(scope="module")
def found() -> Findings:
    """Of a small search whose choices are of mixed types."""
    X, y = load_breast_cancer(return_X_y=True)
    space = {"hidden_layer_sizes": Choice([8, (8, 8)]), "schedule": Choice(["constant", "cosine"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return search(X, y, space=space, n_trials=6, max_epochs=4, test_size=0.25, cv=1, verbose=0).findings


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0123456, 3, "0.0123"),
        (-50.3184899, 4, "−50.32"),
        (0.1, 3, "0.1"),
        (0.0, 3, "0"),
        (-0.0, 3, "0"),
        (-2.22e-16, 4, "0"),
        (128, 3, "128"),
        (1_234_567.8, 3, "1,234,568"),
        (1e-5, 3, "1e−5"),
        (-2.5e12, 3, "−2.5e12"),
        (0.99999, 3, "1"),
        (math.nan, 3, "–"),
        (-math.inf, 3, "–"),
    ],
)
def test_number(value: float, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_numbers_of_a_column_have_as_many_decimals() -> None:
    assert numbers([-0.08257659, -0.1, -1.5, math.nan]) == ["−0.0826", "−0.1000", "−1.5000", "–"]
    assert numbers([-50.3, -1e9, -48.0]) == ["−50.30", "−1e9", "−48.00"]
    assert numbers([0.0, -0.0]) == ["0", "0"]
    assert numbers([math.nan]) == ["–"]


def test_numbers_that_round_to_zero_are_zero() -> None:
    assert numbers([-0.009889, -0.01033149, -1e-7, -2.22e-16]) == ["−0.009889", "−0.010331", "0", "0"]
    assert numbers([-2.22e-16, -2.22e-16]) == ["0", "0"]
    assert fixed(-0.001, 2) == "0" and fixed(-0.01, 2) == "−0.01"


def test_each_number_of_a_tiny_column_has_its_own_digits() -> None:
    assert numbers([-2.22e-16, -3.1e-9, -5.1879e-5, -0.00046619]) == ["0", "−3.1e−9", "−5.188e−5", "−0.0004662"]


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (-0.0712345, 0.02134, "−0.071 ± 0.021"),
        (-50.3184, 4.123, "−50.3 ± 4.1"),
        (-5031.84, 412.3, "−5,032 ± 412"),
        (0.9712, 0.0, "0.9712"),
        (0.9712, math.nan, "0.9712"),
        (math.nan, 0.1, "–"),
        (-0.0001, 0.021, "0 ± 0.021"),
        (-2.2e-16, 1.1e-16, "0"),
        (-3.2e-9, 1.23e-9, "−3.2e−9 ± 1.2e−9"),
        (-5e30, 1e30, "−5e30 ± 1e30"),
    ],
)
def test_with_deviation(value: float, deviation: float, text: str) -> None:
    assert with_deviation(value, deviation) == text


def test_duration() -> None:
    assert [duration(seconds) for seconds in (0.04, 5.8, 119, 150, 7200, math.nan)] == [
        "0.0 s", "5.8 s", "119.0 s", "2.5 min", "2.0 h", "time unknown",
    ]  # fmt: skip


def test_config_text() -> None:
    config = {"dropout": 0.123456, "hidden_layer_sizes": (64,), "schedule": "cosine"}
    assert config_text(config) == "dropout=0.123, hidden_layer_sizes=[64], schedule=cosine"
    assert config_text({"clip": None, "hidden_layer_sizes": (64, 32)}) == "clip=None, hidden_layer_sizes=[64, 32]"


def _summary(findings: Findings) -> dict[str, str]:
    table = summary_table(findings)
    return dict(zip(table["item"], table["value"], strict=True))


def test_summary_is_a_row_of_text_per_item() -> None:
    table = summary_table(made_up(warnings=("first", "second")))
    values = _summary(made_up(warnings=("first", "second")))
    assert len(table) == 11
    assert values["data"] == "2,000 rows (700 train, 150 valid, 150 select, 1,000 test), 4 columns as 7 inputs"
    assert values["trials"] == "5 (1 complete, 2 cut, 2 failed); 40% diverged"
    assert values["honest score"].startswith("−0.071 ± 0.021 ")
    assert values["test score"] == "−0.075"
    assert values["ensemble"] == "best_model: a single model"
    assert values["warnings"] == "first; second"


def test_failures_of_all_kinds_are_told() -> None:
    findings = made_up()
    trials = findings.trials.replace({"outcome": {"diverged": "unscored"}})
    assert "; 40% failed, 0% diverged" in _summary(replace(findings, trials=trials))["trials"]


def test_trials_of_a_stopped_study_are_unfinished() -> None:
    findings = made_up([(-0.5,)] * 3, states=["RUNNING"] * 3)
    assert _summary(findings)["trials"] == "3 (3 unfinished); 0% diverged"
    assert summary_document(findings)["trial_states"] == {"RUNNING": 3}


def test_one_of_a_thing_is_no_plural() -> None:
    n_rows = {"train": 1, "valid": 0, "select": 0, "test": 0}
    findings = made_up([(-0.5,)], n_rows=n_rows, n_columns=1, n_inputs=1)
    findings = replace(findings, history=findings.history.iloc[:1])
    assert "1 row (" in _summary(findings)["data"] and "1 column as 1 input" in _summary(findings)["data"]
    assert _summary(findings)["cost"].startswith("1 epoch of")
    assert counted(1, "trial") == "1 trial" and counted(0, "trial") == "0 trials" and counted(1200, "x") == "1,200 xs"


def test_summary_without_test_rows_time_or_warnings() -> None:
    n_rows = {"train": 7, "valid": 2, "select": 2, "test": 0}
    table = summary_table(made_up(n_rows=n_rows, seconds=math.nan)).set_index("item")["value"]
    assert table["test score"] == "no test rows were given"
    assert table["cost"].endswith("time unknown")
    assert table["warnings"] == "none"


def test_epochs_saved_by_halving() -> None:
    findings = made_up()
    assert findings.epochs_trained == 18 + 2 + 6 + 1 + 3
    assert findings.epochs_without_halving == 3 * 18 + 1 + 3  # the two that failed save nothing
    assert "48% saved by halving" in summary_table(findings)["value"].str.cat()


def test_trials_that_have_not_ended_save_nothing() -> None:
    findings = made_up([(-0.5,), (-0.4,), ()], states=["RUNNING"] * 3)
    assert findings.epochs_trained == findings.epochs_without_halving == 4
    assert "0% saved by halving" in summary_table(findings)["value"].str.cat()


def test_summary_document_is_strict_json() -> None:
    findings = made_up(seconds=math.nan)
    document = json.loads(json.dumps(summary_document(findings), allow_nan=False))
    assert document["seconds"] is None
    assert document["honest_score"] == -0.0712
    assert document["trial_states"] == {"COMPLETE": 1, "FAIL": 2, "PRUNED": 2}
    assert document["best_config"]["batch_size"] == 32
    assert document["edges"] == []


def test_summary_document_names_the_edges() -> None:
    findings = made_up()
    verdicts = [EDGE, "inside", "inside", NATURAL_BOUND]
    document = summary_document(made_up(decisions=findings.decisions.assign(verdict=verdicts)))
    assert document["edges"] == [
        {"name": "learning_rate_init", "side": "low", "verdict": EDGE},
        {"name": "dropout", "side": "high", "verdict": "edge: natural bound"},
    ]


def test_open_edges_are_those_of_the_last_stage_that_could_be_widened() -> None:
    decisions = made_up().decisions
    first, last = decisions.assign(verdict=EDGE), decisions.assign(stage=1, verdict=[INSIDE, EDGE, FLAT, NATURAL_BOUND])
    assert _summary(made_up())["open edges"] == "none"
    assert _summary(made_up(decisions=pd.concat([first, last])))["open edges"] == "learning_rate_init (high)"


def test_the_best_candidate_is_told_with_its_seeds_and_its_gap() -> None:
    best = _summary(made_up(candidates=candidates([0])))["best trial"]
    assert best.endswith(
        "; value −0.4 when searched (chosen on), −0.450 ± 0.031 over 3 seeds, −0.47 on rows that rank no trial: "
        "a gap of 0.07"
    )
    assert made_up(candidates=candidates([2, 0])).best_trial == 2 and made_up().best_trial is None
    assert summary_document(made_up(candidates=candidates([0])))["gap"] == 0.07


def test_a_plan_in_a_line() -> None:
    assert plan_text(Plan.of(64, 27)) == "4 stages, 64 trials, 528 epochs of training (69% saved by halving)"
    assert plan_text(Plan.random(1, 1)) == "1 stage, 1 trial, 1 epoch of training (0% saved by halving)"


def test_document_of_a_real_search_is_strict_json(found: Findings) -> None:
    document = json.loads(json.dumps(summary_document(found), allow_nan=False))
    assert document["n_trials"] == 6
    assert document["epochs_trained"] == found.trials["epochs"].sum()
    assert math.isfinite(document["test_score"])


def test_write_tables(found: Findings, tmp_path: Path) -> None:
    names = write_tables(found, tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert trials["number"].tolist() == found.trials["number"].tolist()
    assert np.array_equal(trials["value"], found.trials["value"])
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text)["title"] == found.title and text.endswith("}\n")


@pytest.mark.skipif(not has_parquet(), reason="pyarrow is not installed")
def test_choices_of_mixed_types_become_text_in_parquet(found: Findings, tmp_path: Path) -> None:
    write_tables(found, tmp_path)
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    assert set(trials["params_hidden_layer_sizes"]) == {"8", "[8, 8]"}
    assert trials["stage"].dtype == found.trials["stage"].dtype
    assert len(pd.read_parquet(tmp_path / "history.parquet")) == len(found.history)


def test_without_pyarrow_the_history_is_a_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.report.findings.has_parquet", lambda: False)
    names = write_tables(made_up(), tmp_path)
    assert "history.csv" in names and not any(name.endswith(".parquet") for name in names)
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(made_up(VALUES).history)
