"""What the group does before it loads a verb."""

from pathlib import Path

import pytest

from hpsearch.cli import COMPILING
from hpsearch.mlp import kernels
from tests.cli.studies import hpsearch


def said(*arguments: object) -> bool:
    lines = hpsearch(*arguments).stderr.splitlines()
    assert COMPILING not in lines[1:]
    return lines[:1] == [COMPILING]


def test_a_wait_for_the_compiler_is_announced(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    assert not said("validate", study)
    monkeypatch.setattr(kernels, "CACHE_FOLDER", cache)
    for verb in ("run", "validate", "report", "predict"):
        assert said(verb, tmp_path / "none", *(["new.csv"] if verb == "predict" else []))
    assert not said("run", tmp_path / "none", "--quiet")
    assert not said("status", study) and not said("rnu") and not said("--help")
    (cache / "kernel.nbi").touch()
    assert not said("validate", study)


def test_nothing_is_announced_where_nothing_is_cached(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "CACHE_FOLDER", None)
    assert not said("validate", study)
