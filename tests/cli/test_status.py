from pathlib import Path

import pytest

from hpsearch.record.lock import Lock
from tests.cli.studies import contents, hpsearch, refused


def test_not_begun(study: Path) -> None:
    before = contents(study)
    result = hpsearch("status", study)
    assert (result.exit_code, result.stdout) == (0, "study: wine\nstate: not begun\n")
    assert contents(study) == before


def test_finished(finished: Path) -> None:
    before = contents(finished)
    result = hpsearch("status", finished)
    assert result.exit_code == 0
    assert "state: finished\ntrials: 9 of 9 drawn (1 complete, 8 cut)\nbest value so far: −0." in result.stdout
    rungs = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("1/1")]
    assert rungs == [
        ["random", "1/3", "1", "9", "9"], ["random", "2/3", "3", "3", "3"], ["random", "3/3", "9", "1", "1"],
    ]  # fmt: skip
    # SQLite leaves empty files of its own beside a file that was read
    assert {name: data for name, data in contents(finished).items() if "study.db-" not in name} == before


def test_held(finished: Path) -> None:
    with Lock(finished / "out" / "study.db.fits" / "wine" / "lock"):
        assert "state: running: process " in hpsearch("status", finished).stdout
    assert "state: finished" in hpsearch("status", finished).stdout


def test_stopped_before_the_first_rung_ended(study: Path) -> None:
    assert "timeout" in refused("run", study, "--timeout", 0, "--quiet")
    result = hpsearch("status", study)
    assert "not finished, and no run is at it" in result.stdout
    assert "trials: 0 of 9 drawn\n" in result.stdout
    assert "none yet, the first rung has not ended" in result.stdout


@pytest.mark.parametrize("content", [b"", b"no database, but long enough to be looked at" * 20])
def test_a_storage_that_is_not_ours(study: Path, content: bytes) -> None:
    (study / "out").mkdir()
    (study / "out" / "study.db").write_bytes(content)
    for verb in ("status", "report", "run"):
        assert f"{study / 'out' / 'study.db'} is " in refused(verb, study)
    assert contents(study / "out") == {"study.db": content} and len(list((study / "out").iterdir())) == 1
