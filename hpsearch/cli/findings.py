"""The findings of a study, written into its folder and shown."""

from collections.abc import Sequence
from pathlib import Path

from hpsearch.cli.ending import say
from hpsearch.cli.show import show_items, show_table, show_warnings
from hpsearch.record.tables import has_parquet, trial_table, write_csv
from hpsearch.record.trials import StudyRecord
from hpsearch.report.findings import Findings, numbers, summary_table, write_tables
from hpsearch.report.page import write_page

PAGE = "report.html"
NO_PARQUET = "note: pyarrow is not installed, so tables are CSV only: pip install pyarrow"

HEADLINE = ("honest score", "test score", "ensemble")
SCORES = ["honest_score", "valid_value", "test_score"]


def write_findings(findings: Findings, folder: Path) -> list[str]:
    """Write tables, summary and page into a folder; the names of the files."""
    names = write_tables(findings, folder)
    write_page(findings, folder / PAGE)
    return [*names, PAGE]


def write_trials(record: StudyRecord, folder: Path) -> Path:
    """Write the table of trials alone, for a study without a model to tell of; the path of the file."""
    path = folder / "trials.csv"
    write_csv(trial_table(record.study), path)
    return path


def show_findings(findings: Findings, folder: Path, names: Sequence[str]) -> None:
    """The summary with the honest score first, the leaderboard, where files lie, warnings, and that pyarrow lacks."""
    summary = summary_table(findings)
    items = dict(zip(summary["item"], summary["value"], strict=True))
    del items["warnings"]
    show_items({name: items.pop(name) for name in HEADLINE} | items)
    board = findings.leaderboard
    columns = [board["ensemble"], board["n_members"], *(numbers(board[score]) for score in SCORES)]
    show_table(["ensemble", "n_members", *SCORES], zip(*columns, strict=True))
    show_items({"page": folder / PAGE, "folder": folder, "files": ", ".join(names)})
    show_warnings(findings.warnings)
    if not has_parquet():
        say(NO_PARQUET, err=True)
