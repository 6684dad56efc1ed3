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
import threading
import time
import weakref
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
class Call:
    """What a nursery is asked for: a function that takes what is shared and the arguments, and limits."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    limits: Limits


@dataclass(frozen=True)
class Ended:
    """The end of a child that gave no answer. Why: the name of the limit, or a clause that says how it died."""

    reason: str


class Nursery:
    """A helper process that forks a child for each call. It ends when it is closed, or nobody refers to it any more."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-c", START, json.dumps(sys.path), str(theirs.fileno())]
        with theirs:
            # in a session of its own, so that Ctrl-C is only our business
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
        self._end = weakref.finalize(self, _taken_leave_of, self._connection, process)

    @property
    def is_closed(self) -> bool:
        return not self._end.alive

    def close(self) -> None:
        """End the nursery, and the child it may have: both notice that nobody listens any more."""
        self._end()

    def share(self, thing: object) -> None:
        """Send what is the first argument of all calls from now on: children see it without copying."""
        self._send(thing)

    def call(
        self, function: Callable[..., Any], *arguments: Any, limits: Limits, should_stop: Callable[[], bool]
    ) -> Any:
        """What `function(shared, *arguments)` returns in a child process; `Ended` if the child was killed, or died.

        Raises:
            InterruptedError: if it should stop; the nursery is closed then.
            Exception: what the function raises.
            RuntimeError: if there is no nursery any more.
        """
        self._send(Call(function, arguments, limits))
        returned, result = pickle.loads(self._awaited(should_stop))
        if returned:
            return result
        raise result

    def _awaited(self, should_stop: Callable[[], bool]) -> bytes:
        try:
            while not select.select([self._connection], [], [], POLL)[0]:
                if should_stop():
                    raise InterruptedError("stopped while a child process was at work")
            answer = receive(self._connection)
        except BaseException:
            self.close()  # what it may still answer would be taken for the answer to another call
            raise
        if answer is None:
            self.close()
            raise RuntimeError(DEAD)
        return answer

    def _send(self, message: object) -> None:
        try:
            send(self._connection, cloudpickle.dumps(message))
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            raise RuntimeError(DEAD) from None


def _taken_leave_of(connection: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    connection.close()
    process.wait()


_threads = threading.local()


def nursery_of_thread() -> Nursery:
    """The nursery of this thread, which lives as long as the thread does: to start one takes a second or two."""
    if not hasattr(_threads, "nursery") or _threads.nursery.is_closed:
        _threads.nursery = Nursery()
    nursery: Nursery = _threads.nursery
    return nursery


def serve(descriptor: int) -> None:
    """What a nursery does until nobody listens at the other end of the socket."""
    shared: object = None
    with socket.socket(fileno=descriptor) as connection:
        while (message := receive(connection)) is not None:
            thing = pickle.loads(message)
            if isinstance(thing, Call):
                send(connection, _carried_out(connection, shared, thing))
            else:
                shared = thing


def _carried_out(connection: socket.socket, shared: object, call: Call) -> bytes:
    """The answer to a call: pickled (True, result), or (False, exception)."""
    limits = call.limits
    at_first = anonymous_memory(os.getpid()) if limits.memory is not None else 0
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_a_child(connection, reader, writer, lambda: call.function(shared, *call.arguments))
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
        watched: list[Any] = [reader, connection]
        ready, _, _ = select.select(watched, [], [], POLL if ended == ALIVE else 0)
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
