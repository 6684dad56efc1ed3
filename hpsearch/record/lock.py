"""The *lock* of a study's one writer. POSIX only."""

import fcntl
import os
import re
import socket
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from hpsearch.record.folder import writing_in_words

HOLDER = re.compile(r"process (\d+) on (\S+) since .+")


class Locked(RuntimeError):
    """Somebody else holds the lock; the message names the process."""


class Lock:
    """A context manager that one holder at a time can enter, among all processes and threads of the machine.

    The kernel lets go of it (`flock`) when the holder ends, however it ends. Started programs and forked children do
    not hold it. The file stays: deleting it would let a second holder in.

    Entering raises `Locked` at once, without waiting, if it is held, and an OSError that names the folder if the file
    cannot be written. One object may be used again after it was left, but not entered twice.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._file = -1

    def __enter__(self) -> Self:
        with writing_in_words(self._path):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
        except BlockingIOError:
            holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise Locked(f"{self._path} is held by {holder}") from None
        except BaseException:
            os.close(file)
            raise
        self._file = file
        _held.add(file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file in _held:
            _held.remove(self._file)
            # Closing alone would not do while a program that another thread just started still shares the file.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)


_held: set[int] = set()


def _let_go_in_child() -> None:
    # A forked worker that outlives its killed parent would keep the study locked.
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def holder(lock: Path) -> str | None:
    """What the process that holds a lock says of itself; None if nobody does."""
    try:
        file = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        said = os.read(file, 200).decode(errors="replace").strip()
        if not _may_live(said):
            return None
        # Refused at once if it is held. It is asked for only then, as far as we can tell: we must not be in the way.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return said
    finally:
        os.close(file)


def _may_live(holder: str) -> bool:
    """Whether the process that wrote this into a lock may still be there; on another machine we cannot tell."""
    found = HOLDER.fullmatch(holder)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return found[2] != socket.gethostname()
    except PermissionError:  # it is there, and somebody else's
        return True
    return True
