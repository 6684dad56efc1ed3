import errno
import os
import signal
import warnings
from pathlib import Path

import click
import pytest

from hpsearch.cli.ending import Ended, HeldByAnother, Refused, exit_codes, refusing
from hpsearch.record.lock import Locked
from tests.cli.studies import start


def ended(error: BaseException) -> Ended:
    with pytest.raises(Ended) as caught, exit_codes():
        raise error
    return caught.value


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class TestExitCodes:
    def test_ctrl_c(self) -> None:
        assert ended(KeyboardInterrupt()).exit_code == 130
        assert ended(KeyboardInterrupt("half-way")).message == "half-way"

    def test_operating_system(self) -> None:
        full = ended(OSError(errno.ENOSPC, "No space left on device", "out/study.db"))
        assert (full.exit_code, full.message) == (2, "out/study.db: No space left on device")

    @pytest.mark.parametrize("error", [ValueError("ours"), BrokenPipeError(errno.EPIPE, "gone"), Refused("no")])
    def test_the_rest_is_left_alone(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught, exit_codes():
            raise error
        assert caught.value is error

    @pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
    def test_sigterm(self, ctrl_c: signal.Handlers) -> None:
        before = signal.signal(signal.SIGINT, ctrl_c)
        try:
            with pytest.raises(Ended) as caught, exit_codes():
                terminate()
        finally:
            signal.signal(signal.SIGINT, before)
        assert caught.value.exit_code == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    def test_sigterm_does_what_ctrl_c_does(self) -> None:
        heard = []
        before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
        try:
            with exit_codes():
                terminate()
        finally:
            signal.signal(signal.SIGINT, before)
        assert heard == [signal.SIGINT]

    def test_warnings_are_plain_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        with exit_codes():
            warnings.simplefilter("always")
            warnings.warn("a file is damaged", RuntimeWarning, stacklevel=1)
        assert capsys.readouterr().err == "warning: a file is damaged\n"


def ended_unread(*arguments: object, both: bool = False) -> int:
    """The exit code of the command line when nobody reads its standard output, or neither that nor standard error."""
    process = start(*arguments)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.close() if both else process.stderr.read()
    code = process.wait()
    process.stderr.close()
    assert "Traceback" not in (said or "") and "Exception" not in (said or "")
    return code


class TestClosedPipes:
    @pytest.mark.parametrize("verb", ["run", "report", "status", "validate"])
    def test_are_no_error(self, finished: Path, verb: str) -> None:
        assert ended_unread(verb, finished) == 0

    def test_of_a_terminal_with_tables(self, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert ended_unread("report", finished) == 0

    def test_end_no_run(self, study: Path) -> None:
        assert ended_unread("predict", study, study / "wine.csv", both=True) == 2
        assert ended_unread("run", study, both=True) == 0
        assert (study / "out" / "report.html").is_file()
        assert ended_unread("predict", study, study / "wine.csv") == 0


class TestRefusing:
    @pytest.mark.parametrize("error", [ValueError("not\n so"), ImportError("not so"), OSError("not so")])
    def test_one_sentence(self, error: Exception) -> None:
        with pytest.raises(Refused) as caught, refusing("study.toml"):
            raise error
        assert (caught.value.exit_code, caught.value.message) == (2, "study.toml: not so")

    def test_locked(self) -> None:
        with pytest.raises(HeldByAnother, match="another run is writing this study: by process 7") as caught:
            with refusing("study.toml"):
                raise Locked("by process 7")
        assert isinstance(caught.value, click.ClickException) and caught.value.exit_code == 75
