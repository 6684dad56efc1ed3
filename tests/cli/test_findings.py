"""What is said when the tables of a study are written; what is in them is for tests/report."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.cli.findings import NO_PARQUET
from tests.cli.studies import hpsearch

WITHOUT_PYARROW = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "pyarrow" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from hpsearch.cli import main
main()
"""


def without_pyarrow(*arguments: object) -> str:
    """What the command line says on standard error where pyarrow is not installed."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT_PYARROW, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_tables_are_csv_only_without_pyarrow_and_it_is_said_once(finished: Path) -> None:
    out = finished / "out"
    for file in (*out.glob("*.parquet"), *out.glob("*.csv")):
        file.unlink()
    for verb in ("report", "run"):
        assert without_pyarrow(verb, finished).splitlines().count(NO_PARQUET) == 1
    assert (out / "history.csv").is_file() and list(out.glob("*.parquet")) == []
    assert without_pyarrow("run", finished, "--quiet") == ""


def test_nothing_is_said_with_pyarrow(finished: Path) -> None:
    pytest.importorskip("pyarrow")
    assert "pyarrow" not in hpsearch("report", finished).output
    assert (finished / "out" / "trials.parquet").is_file()
