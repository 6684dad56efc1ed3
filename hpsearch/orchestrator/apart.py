"""Calls in a child process each, with limits of time and memory: what one does to itself happens to nobody else.

A *nursery* is a helper process that has imported what the calls need, and forks a child for each. To fork the process
that trains would be quicker still, and could hang: of its threads only one goes on in the child, and what the others
held (locks of BLAS, OpenMP, numba) stays locked. A nursery has one thread only. To start Python anew for each call
would take a second.
"""

import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

POLL = 0.02
"""Seconds between two looks at time and memory: in these, a child may take some tens of MB more."""
SIZE = 8
"""Bytes of a message's length."""
MB = 10**6
DEAD = "the process from which child processes are forked has died; what it wrote tells why"
ALIVE = (0, 0)
"""What the system answers of a child that has not ended."""
PAGE = os.sysconf("SC_PAGE_SIZE")
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hpsearch.orchestrator.apart import serve; serve(int(sys.argv[2]))"
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Limits:
    """What a call may take.

    Attributes:
        seconds: by the clock; None for no limit.
        memory: MB (10⁶ bytes) that the child and the processes it starts take beyond what it began with; files that are
            mapped into memory do not count. None for no limit; needs /proc.
    """

    seconds: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Ended:
    """The end of a child that gave no answer. Why: the name of the limit, or a clause that says how it died."""

    reason: str


class Nursery:
    """A helper process that forks a child for each call, as a context manager.

    Args:
        shared: the first argument of every call, sent once: children see it without copying.
    """

    def __init__(self, shared: object) -> None:
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-c", START, json.dumps(sys.path), str(theirs.fileno())]
        with theirs:
            # in a session of its own, so that Ctrl-C is only our business
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
        self._send(shared)

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the nursery, and the child it may have: both notice that nobody listens any more."""
        self._connection.close()
        self._process.wait()

    def call(
        self, function: Callable[..., Any], *arguments: Any, limits: Limits, should_stop: Callable[[], bool]
    ) -> Any:
        """What `function(shared, *arguments)` returns in a child process; `Ended` if the child was killed, or died.

        When it should stop, the nursery is closed, and there is no more to be had from it.

        Raises:
            InterruptedError: if it should stop.
            Exception: what the function raises.
            RuntimeError: if there is no nursery any more.
        """
        self._send((function, arguments, limits))
        while not select.select([self._connection], [], [], POLL)[0]:
            if should_stop():
                self.close()
                raise InterruptedError("stopped while a child process was at work")
        answer = receive(self._connection)
        if answer is None:
            raise RuntimeError(DEAD)
        returned, result = pickle.loads(answer)
        if returned:
            return result
        raise result

    def _send(self, message: object) -> None:
        try:
            send(self._connection, cloudpickle.dumps(message))
        except (BrokenPipeError, ConnectionResetError):
            raise RuntimeError(DEAD) from None


def serve(descriptor: int) -> None:
    """What a nursery does until nobody listens at the other end of the socket."""
    with socket.socket(fileno=descriptor) as connection:
        message = receive(connection)
        shared = None if message is None else pickle.loads(message)
        while (message := receive(connection)) is not None:
            send(connection, _carried_out(connection, shared, message))


def _carried_out(connection: socket.socket, shared: object, message: bytes) -> bytes:
    """The answer to a message: pickled (True, result), or (False, exception)."""
    function, arguments, limits = pickle.loads(message)
    at_first = anonymous_memory(os.getpid()) if limits.memory is not None else 0
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_a_child(connection, reader, writer, lambda: function(shared, *arguments))
    os.setpgid(child, child)  # as the child does itself: whoever comes first
    os.close(writer)
    try:
        answer = _watched(child, reader, connection, limits, at_first)
    finally:
        os.close(reader)
        _end(child)
    return answer if isinstance(answer, bytes) else pickle.dumps((True, answer))


def _be_a_child(connection: socket.socket, reader: int, writer: int, work: Callable[[], Any]) -> None:
    """Do the work, write the answer, and end without going back into the nursery's code."""
    try:
        os.setpgid(0, 0)
        connection.close()
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            answer = _answer(work)
            sys.stdout.flush()
            pipe.write(len(answer).to_bytes(SIZE, "little") + answer)
    finally:
        os._exit(0)


def _answer(work: Callable[[], Any]) -> bytes:
    try:
        return bytes(cloudpickle.dumps((True, work())))
    except Exception as error:
        return bytes(cloudpickle.dumps((False, error)))


def _watched(child: int, reader: int, connection: socket.socket, limits: Limits, at_first: int) -> bytes | Ended:
    """What the child writes, whole, or why it ended before that."""
    began, written, ended = time.monotonic(), bytearray(), ALIVE
    while len(written) < SIZE or len(written) < SIZE + int.from_bytes(written[:SIZE], "little"):
        ended = os.waitpid(child, os.WNOHANG) if ended == ALIVE else ended
        ready, _, _ = select.select([reader, connection], [], [], POLL if ended == ALIVE else 0)
        if connection in ready:  # nothing is sent while a call is on: this is the end
            _end(child)
            os._exit(0)
        more = os.read(reader, 1 << 20) if reader in ready else b""
        written += more
        if not more and ended != ALIVE:
            return Ended(_last_words(ended[1]))
        if limits.seconds is not None and time.monotonic() - began > limits.seconds:
            return Ended("seconds")
        if limits.memory is not None and memory_of_family(child) - at_first > limits.memory * MB:
            return Ended("memory")
    return bytes(written[SIZE:])


def _end(child: int) -> None:
    """Kill the child and the processes it has left, and take leave of it."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def _last_words(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its process ended with exit code {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    of_system = ", as the system does when memory runs out" if number == signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(number).name}{of_system}"


def memory_of_family(process: int) -> int:
    """Anonymous memory of a process and all its descendants, in bytes, as /proc tells it; Linux only."""
    return anonymous_memory(process) + sum(memory_of_family(child) for child in _children(process))


def anonymous_memory(process: int) -> int:
    """Resident bytes that no file stands behind; 0 for a process that has ended."""
    try:
        resident, shared = Path(f"/proc/{process}/statm").read_text().split()[1:3]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(resident) - int(shared)) * PAGE


def _children(process: int) -> list[int]:
    try:
        lists = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(number) for number in " ".join(lists).split()]


def send(connection: socket.socket, message: bytes) -> None:
    """A message, with its length before it."""
    connection.sendall(len(message).to_bytes(SIZE, "little"))
    connection.sendall(message)


def receive(connection: socket.socket) -> bytes | None:
    """The next message; None at the end of the connection."""
    header = _exactly(connection, SIZE)
    return None if header is None else _exactly(connection, int.from_bytes(header, "little"))


def _exactly(connection: socket.socket, n_bytes: int) -> bytes | None:
    received = bytearray(n_bytes)
    view, got = memoryview(received), 0
    while got < n_bytes:
        n_new = connection.recv_into(view[got:])
        if n_new == 0:
            return None
        got += n_new
    return bytes(received)
