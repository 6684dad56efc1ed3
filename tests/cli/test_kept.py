import os
import socket
from pathlib import Path

import pytest

from hpsearch.cli.kept import epochs_kept, holder, reading
from hpsearch.cli.study_file import read_study_file
from hpsearch.record.folder import Lock
from tests.cli.studies import make_study, refused


class TestHolder:
    def test_nobody(self, tmp_path: Path) -> None:
        assert holder(tmp_path / "lock") is None
        with Lock(tmp_path / "lock"):
            pass
        assert holder(tmp_path / "lock") is None

    def test_somebody(self, tmp_path: Path) -> None:
        with Lock(tmp_path / "lock"):
            said = holder(tmp_path / "lock")
        assert said is not None and said.startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")

    @pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
    def test_one_that_is_dead(self, tmp_path: Path, host: str) -> None:
        (tmp_path / "lock").write_text(f"process {2**22 + 1} on {host} since 2026-01-01T00:00:00+00:00\n")
        assert holder(tmp_path / "lock") is None


def test_epochs_kept(tmp_path: Path) -> None:
    for name in ("trial_00001_epoch_00003", "trial_00001_epoch_00009", "trial_00012_epoch_00003", ".trial_00002"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "lock").touch()
    assert epochs_kept(tmp_path) == {1: {3, 9}, 12: {3}}
    assert epochs_kept(tmp_path / "none") == {}


def test_another_study_in_the_storage(finished: Path) -> None:
    make_study(finished, ('name = "wine"', 'name = "other"'))
    with reading(read_study_file(finished)) as record:
        assert record is None
    assert "nothing is kept of this study yet" in refused("report", finished)
