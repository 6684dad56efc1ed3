"""What the group does before it loads a verb."""

from pathlib import Path

import pytest

from hpsearch.cli import COMPILING
from hpsearch.mlp import cache
from tests.cli.studies import hpsearch


def said(*arguments: object) -> bool:
    lines = hpsearch(*arguments).stderr.splitlines()
    assert COMPILING not in lines[1:]
    return lines[:1] == [COMPILING]


def test_a_wait_for_the_compiler_is_announced(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    assert not said("validate", study)
    monkeypatch.setattr(cache, "CACHE_FOLDER", folder)
    for verb in ("run", "validate", "report", "predict"):
        assert said(verb, tmp_path / "none", *(["new.csv"] if verb == "predict" else []))
    assert not said("run", tmp_path / "none", "--quiet")
    assert not said("status", study) and not said("rnu") and not said("--help")
    (folder / "kernel.nbi").touch()
    assert not said("validate", study)


def test_it_is_announced_each_time_where_nothing_can_be_kept(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE_FOLDER", None)
    assert said("validate", study)
