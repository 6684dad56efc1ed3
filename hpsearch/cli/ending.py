"""How a command ends: exit codes, signals, closed pipes, and warnings as plain lines."""

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

import click

from hpsearch.record.lock import Locked


def say(text: str, err: bool = False) -> None:
    """Print a line. If its reader has gone, as in `| head -1`, that is no error, and nobody is told the rest."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        stream = sys.stderr if err else sys.stdout
        # what is still buffered is flushed at the exit, and must not fail there
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Ended(click.ClickException):
    """The command ends with one sentence on standard error, and an exit code."""

    def __init__(self, sentence: str) -> None:
        # messages of other libraries may have several lines
        super().__init__(" ".join(sentence.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        say(f"Error: {self.format_message()}", err=True)


class Refused(Ended):
    """What the user gave is wrong, or cannot be read or written."""

    exit_code = 2


class FailedOn(Ended):
    """The study is done, but has what `--fail-on` names."""

    exit_code = 3


class NoModel(Ended):
    """Every trial failed."""

    exit_code = 4


class HeldByAnother(Ended):
    """Another run is writing the study."""

    exit_code = 75


class Interrupted(Ended):
    """Ctrl-C ended it, which is no error."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        say(self.format_message(), err=True)


class Terminated(Interrupted):
    """SIGTERM ended it."""

    exit_code = 143


@contextmanager
def refusing(what: object) -> Iterator[None]:
    """Turn what is wrong with what a user gave into `Refused`, and say what it is about: the door of every verb."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise Refused(f"{what}: {_words(error)}") from error
    except Locked as error:
        raise HeldByAnother(f"{what}: another run is writing this study: {error}") from error


def _words(error: Exception) -> str:
    """The message of an error, for one of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what ends the commands inside into exit codes; what is not foreseen leaves a traceback and exit code 1.

    Errors of the operating system (a full disk, a folder that is not writable) are the user's wherever they come up;
    errors of value are so only at the door: see `refusing`.
    """
    with _plain_warnings(), _sigterm_as_ctrl_c() as terminated:
        try:
            yield
        except KeyboardInterrupt as error:
            raise (Terminated if terminated else Interrupted)(str(error) or "stopped") from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise Refused(_words(error)) from error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[list[int]]:
    """While this lasts, SIGTERM does what Ctrl-C does at that moment; the list then holds it."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # called and not raised: a shell starts background jobs with SIGINT ignored
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """While this lasts, a warning is one line on standard error, without file and line number."""

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        say(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
