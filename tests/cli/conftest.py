import shutil
from pathlib import Path

import pytest

from tests.cli.studies import hpsearch, make_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study that was not begun."""
    return make_study(tmp_path / "wine")


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(tmp_path_factory.mktemp("studies") / "wine")
    result = hpsearch("run", folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def finished(run_once: Path, tmp_path: Path) -> Path:
    """A study that was run to its end."""
    return Path(shutil.copytree(run_once, tmp_path / "finished"))
