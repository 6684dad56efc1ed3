"""Runs as processes of their own, that are ended from outside, watched, and continued."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hpsearch as library
from hpsearch.cli.findings import write_findings
from tests.cli.studies import contents, hpsearch, make_study, refused, start

TIMES = ["datetime_start", "datetime_complete", "duration"]
PATIENCE = 120.0  # seconds, on a busy machine whose kernels are not compiled yet


def checkpoints(study: Path) -> dict[Path, int]:
    """The checkpoints of a study, and when each was written."""
    return {file: file.stat().st_mtime_ns for file in (study / "out" / "study.db.fits" / "wine").glob("*.safetensors")}


def wait_for(happened: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.005)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """A study that would take minutes, and the process that runs it, once a checkpoint is kept."""
    study = make_study(tmp_path / "wine", ("max_epochs = 9", "max_epochs = 60000"))
    process = start("run", study)
    try:
        wait_for(lambda: checkpoints(study), process)
        yield study, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_clean(endless: tuple[Path, "subprocess.Popen[str]"], sent: int, code: int) -> None:
    study, process = endless
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, stderr
    assert stdout.startswith("honest score: ")
    assert stderr.endswith(f"stopped; what was finished is kept, and `hpsearch run {study}` continues it\n")
    assert "Traceback" not in stderr

    kept, first = checkpoints(study), library.load(study / "out" / "model")
    assert len(first.networks) >= 1 and (study / "out" / "report.html").is_file()
    status = hpsearch("status", study).stdout
    assert "not finished, and no run is at it" in status and " unfinished)\n" in status
    assert hpsearch("run", study, "--timeout", 0.5, "--quiet").exit_code == 0
    assert checkpoints(study).items() >= kept.items()


def test_a_stop_when_all_is_done_is_none(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return write_findings(*arguments)

    monkeypatch.setattr("hpsearch.cli.run.write_findings", stopped)
    again = hpsearch("run", finished)
    assert (again.exit_code, "continues it" in again.stderr) == (0, False)
    more = hpsearch("run", finished, "--n-trials", 12, "--timeout", 0)
    assert more.exit_code == 130 and more.stderr.endswith(f"`hpsearch run {finished}` continues it\n")


def test_others_while_it_runs(endless: tuple[Path, "subprocess.Popen[str]"]) -> None:
    study, process = endless
    status = hpsearch("status", study).stdout
    assert f"state: running: process {process.pid} on " in status and "drawn (9 running)" in status
    reported = hpsearch("report", study)
    assert reported.exit_code == 0
    assert "warning: The search is not finished" in reported.stderr
    assert not (study / "out" / "model").exists()
    assert f"process {process.pid} on " in refused("run", study, code=75)
    assert process.poll() is None


def test_a_second_ctrl_c_gives_up(endless: tuple[Path, "subprocess.Popen[str]"]) -> None:
    study, process = endless
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert checkpoints(study)


def test_killed_and_run_again(tmp_path: Path) -> None:
    """The same trials and the same model, to the last bit, as if nothing had happened."""
    longer = ("max_epochs = 9", "max_epochs = 2700")
    whole, killed = make_study(tmp_path / "whole", longer), make_study(tmp_path / "killed", longer)
    process = start("run", killed)
    wait_for(lambda: checkpoints(killed), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = checkpoints(killed)
    assert not (killed / "out" / "trials.csv").exists()

    assert hpsearch("run", whole, "--quiet").exit_code == 0
    again = start("run", killed, "--quiet", "--n-jobs", 2)
    assert again.communicate(timeout=PATIENCE) == ("", "")
    assert again.returncode == 0
    assert checkpoints(killed).items() >= kept.items()
    expected, found = (pd.read_csv(study / "out" / "trials.csv").drop(columns=TIMES) for study in (whole, killed))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert contents(whole / "out" / "model") == contents(killed / "out" / "model")


def test_stopped_before_anything_is_finished(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ("max_epochs = 9", "max_epochs = 6000000"))
    process = start("run", study)
    wait_for(lambda: (study / "out" / "study.db.fits" / "wine" / "lock").exists(), process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, stderr
    assert not (study / "out" / "trials.csv").exists()
    assert "Traceback" not in stderr
