"""A wish to end early: a deadline, or Ctrl-C. Work in progress is left, work that is finished is kept."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from types import FrameType
from typing import Any


class Stop:
    """Asked by workers between pieces of training, and by the loop between cohorts.

    Args:
        timeout: seconds from now, by the monotonic clock, ≥ 0; None for no deadline. ValueError for anything else.
    """

    def __init__(self, timeout: float | None = None) -> None:
        if not (timeout is None or _is_span(timeout)):
            raise ValueError(f"timeout must be a number of seconds ≥ 0, or None, but got {timeout!r}")
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.interrupted = False
        self._is_waiting = False
        self._was_sent_away = False

    def requested(self) -> bool:
        return self.interrupted or self.timed_out()

    def timed_out(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def __getstate__(self) -> dict[str, Any]:
        # Only worker processes get us pickled; their copy keeps to the deadline, but cannot hear of Ctrl-C.
        self._was_sent_away = True
        return {"deadline": self.deadline, "interrupted": False, "_is_waiting": False, "_was_sent_away": True}

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """While this lasts, the first Ctrl-C only asks to stop, and a second one raises KeyboardInterrupt.

        Training threads notice within a fraction of a second, and nothing is torn in the middle of a write. Outside
        the main thread, where Python allows no handlers, Ctrl-C keeps its meaning.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            again, self.interrupted = self.interrupted, True
            if again or (self._is_waiting and self._was_sent_away):
                raise KeyboardInterrupt

        before: Any = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """KeyboardInterrupt as soon as Ctrl-C is, or was, pressed, if the workers are processes: they must be ended."""
        self._is_waiting = True
        try:
            if self.interrupted and self._was_sent_away:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_waiting = False


def _is_span(seconds: object) -> bool:
    return not isinstance(seconds, bool) and isinstance(seconds, Real) and float(seconds) >= 0
