"""What is kept of a study, for verbs that only read: they take no lock, and work while a run is writing."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hpsearch.cli.ending import refusing
from hpsearch.cli.study_file import StudyFile
from hpsearch.record.journal import open_storage
from hpsearch.record.trials import StudyRecord, open_record

HOLDER = re.compile(r"process (\d+) on (\S+) since .+")
CHECKPOINT = re.compile(r"trial_(\d+)_epoch_(\d+)\.safetensors")


@contextmanager
def reading(file: StudyFile) -> Iterator[StudyRecord | None]:
    """The record of a study; None if its first run has not got as far as a plan.

    Raises:
        Refused: for a storage that is not ours, or cannot be read.
    """
    with ExitStack() as stack:
        record = None
        with refusing(file.path):
            if file.storage.exists():
                storage = open_storage(file.storage, read_only=True)
                if file.name in [study.study_name for study in storage.get_all_studies()]:
                    record = stack.enter_context(open_record(storage, file.name, fits=file.fits, read_only=True))
        yield record if record is not None and record.plan is not None else None


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


def epochs_kept(checkpoints: Path) -> dict[int, set[int]]:
    """The epochs at which each trial has a checkpoint, by trial number."""
    kept: dict[int, set[int]] = {}
    for found in map(CHECKPOINT.fullmatch, os.listdir(checkpoints) if checkpoints.exists() else ()):
        if found is not None:
            kept.setdefault(int(found[1]), set()).add(int(found[2]))
    return kept
