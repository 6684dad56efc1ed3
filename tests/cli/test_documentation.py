"""Every verb says what it does, shows an example, and is in the README."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpsearch.cli import VERBS, main
from tests.cli.studies import hpsearch

ROOT = Path(__file__).parents[2]


def command(verb: str) -> click.Command:
    found = main.get_command(click.Context(main), verb)
    assert found is not None
    return found


def refused_verb(name: str) -> str:
    result = hpsearch(name)
    assert result.exit_code == 2
    return result.stderr


def test_every_file_is_a_verb_or_shared() -> None:
    shared = {"__init__", "ending", "findings", "kept", "question", "show", "stages", "study_file"}
    assert {file.stem for file in (ROOT / "hpsearch" / "cli").glob("*.py")} - shared == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str) -> None:
    text = command(verb).help or ""
    assert text.startswith(VERBS[verb])
    assert f"Example: hpsearch {verb} studies/" in " ".join(text.split())
    assert hpsearch(verb, "--help").exit_code == 0
    for parameter in command(verb).params:
        assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None)


@pytest.mark.parametrize("verb", VERBS)
def test_readme(verb: str) -> None:
    assert f"hpsearch {verb}" in (ROOT / "README.md").read_text()


def test_the_study_file_in_the_readme(study: Path) -> None:
    text, further = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (study / "study.toml").write_text(text)
    assert hpsearch("validate", study).exit_code == 0
    # what a file may hold besides, for columns and files that are not here
    search, tables = further.split("[search]")[1].split("[[search.first]]")
    kept = [line for line in search.splitlines() if not line.startswith("like")]
    plain = text.replace('[search]\nn_trials = 64\nscoring = "neg_log_loss"', "[search]" + "\n".join(kept))
    (study / "study.toml").write_text(plain + "\n[[search.first]]" + tables)
    result = hpsearch("validate", study)
    assert result.exit_code == 0, result.output


def test_help_of_the_group_loads_no_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.cli.import_module", lambda name: pytest.fail(f"{name} was loaded"))
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(sentence in " ".join(result.output.split()) for sentence in VERBS.values())


def test_version_and_unknown_verb() -> None:
    assert hpsearch("--version").stdout == f"hpsearch, version {import_module('hpsearch').__version__}\n"
    assert refused_verb("rnu").endswith("Error: there is no command 'rnu'; did you mean 'run'?\n")
    assert refused_verb("zzz").endswith("Error: there is no command 'zzz'\n")
