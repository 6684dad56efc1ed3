"""Studies of the wine table, small enough to be run within a test, and the command line as a function."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from hpsearch.cli import main

WINE = Path(__file__).parents[2] / "studies" / "wine_csv" / "wine.csv"
NOBODY = 65534

STUDY = """\
name = "wine"
[data]
source = "wine.csv"
target = "cultivar"
test_size = 0.2
[space]
learning_rate_init = { distribution = "log_uniform", low = 1e-3, high = 1e-1 }
hidden_layer_sizes = { distribution = "choice", values = [[8], [16], [8, 8]] }
[search]
n_trials = 9
max_epochs = 9
cv = 1
n_jobs = 1
"""


def hpsearch(*arguments: object) -> Result:
    """The command line, in this process; what it does not foresee is raised."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def refused(*arguments: object, code: int = 2) -> str:
    """The one sentence of the command line about arguments it must refuse."""
    result = hpsearch(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("Error: ").strip()


def start(*arguments: object) -> "subprocess.Popen[str]":
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "hpsearch", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def make_study(folder: Path, *changes: tuple[str, str]) -> Path:
    """A study in a folder, with some text of its file replaced."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(text)
    shutil.copy(WINE, folder / "wine.csv")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their path in it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextmanager
def not_root() -> Iterator[None]:
    """While this lasts, this process may not write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
