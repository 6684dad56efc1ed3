"""The findings of a study, written into its folder and shown."""

from collections.abc import Sequence
from pathlib import Path

import click

from hpsearch.cli.show import show_items, show_table, show_warnings
from hpsearch.record.tables import has_parquet
from hpsearch.report.findings import Findings, summary_table, write_tables
from hpsearch.report.page import write_page

PAGE = "report.html"
NO_PARQUET = 'note: pyarrow is not installed, so tables are CSV only: pip install "hpsearch[parquet]"'

HEADLINE = ("honest score", "test score", "ensemble")
LEADERBOARD = ["ensemble", "n_members", "honest_score", "valid_value", "test_score"]


def write_findings(findings: Findings, folder: Path) -> list[str]:
    """Write tables, summary and page into a folder; the names of the files."""
    names = write_tables(findings, folder)
    write_page(findings, folder / PAGE)
    return [*names, PAGE]


def show_findings(findings: Findings, folder: Path, names: Sequence[str]) -> None:
    """The summary with the honest score first, the leaderboard, where files lie, warnings, and that pyarrow lacks."""
    summary = summary_table(findings)
    items = dict(zip(summary["item"], summary["value"], strict=True))
    del items["warnings"]
    show_items({name: items.pop(name) for name in HEADLINE} | items)
    rows = findings.leaderboard[LEADERBOARD].itertuples(index=False)
    show_table(LEADERBOARD, ([f"{cell:.5g}" if isinstance(cell, float) else cell for cell in row] for row in rows))
    show_items({"page": folder / PAGE, "folder": folder, "files": ", ".join(names)})
    show_warnings(findings.warnings)
    if not has_parquet():
        click.echo(NO_PARQUET, err=True)
