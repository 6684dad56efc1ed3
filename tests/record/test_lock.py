"""One holder at a time: among threads and processes, until it ends, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hpsearch.record.lock import Lock, Locked, holder
from tests.record.folders import names, read_only_folder

HOLDER = r"""
import os, sys, time
from hpsearch.record.lock import Lock
with Lock(sys.argv[1]):
    if sys.argv[2] == "fork" and not os.fork():
        os.write(1, f"child {os.getpid()}\n".encode())
        time.sleep(60)
    os.write(1, b"held\n")
    sys.stdin.read()
"""


@contextmanager
def held(path: Path, kind: str = "plain") -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that holds the lock, and the lines it printed; killed at the end, with its children."""
    command = [sys.executable, "-c", HOLDER, str(path), kind]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2 if kind == "fork" else 1)]
        try:
            yield process, lines
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class TestLock:
    def test_a_second_holder_is_told_who_holds_it(self, tmp_path: Path) -> None:
        with Lock(tmp_path / "lock"):
            with pytest.raises(Locked, match=rf"{tmp_path / 'lock'} is held by process {os.getpid()} on .+ since 2"):
                Lock(tmp_path / "lock").__enter__()
        with Lock(tmp_path / "lock"):
            pass
        assert names(tmp_path) == ["lock"]

    def test_one_object_may_be_used_again(self, tmp_path: Path) -> None:
        lock = Lock(tmp_path / "lock")
        for _ in range(2):
            with lock, pytest.raises(Locked):
                lock.__enter__()

    def test_left_by_an_exception(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError), Lock(tmp_path / "lock"):
            raise KeyError
        with Lock(tmp_path / "lock"):
            pass

    def test_another_process_holds_it_until_it_is_killed(self, tmp_path: Path) -> None:
        with held(tmp_path / "lock") as (process, _):
            with pytest.raises(Locked, match=f"process {process.pid} "):
                Lock(tmp_path / "lock").__enter__()
            process.kill()
            process.wait()
            with Lock(tmp_path / "lock"):
                pass

    def test_a_forked_child_does_not_hold_it(self, tmp_path: Path) -> None:
        with held(tmp_path / "lock", "fork") as (process, lines):
            process.kill()
            process.wait()
            child = int(next(line for line in lines if line.startswith("child")).split()[1])
            with Lock(tmp_path / "lock"):
                os.kill(child, 0)

    def test_a_started_program_does_not_hold_it(self, tmp_path: Path) -> None:
        with Lock(tmp_path / "lock"):
            program = subprocess.Popen(["sleep", "60"], close_fds=False)
        with Lock(tmp_path / "lock"):
            pass
        assert program.poll() is None
        program.kill()
        program.wait()

    def test_many_threads_one_holder(self, tmp_path: Path) -> None:
        inside, met, entered = [], [], []

        def work() -> None:
            for _ in range(200):
                try:
                    with Lock(tmp_path / "lock"):
                        inside.append(1)
                        met.append(len(inside))
                        inside.pop()
                        entered.append(1)
                except Locked:
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert entered and set(met) == {1}

    def test_a_folder_that_is_not_writable_is_named(self) -> None:
        with read_only_folder() as folder, pytest.raises(PermissionError, match=f"in the folder {folder}"):
            Lock(folder / "lock").__enter__()


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
