"""What is kept of a study, for verbs that only read: they take no lock, and work while a run is writing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hpsearch.cli.ending import Refused, refusing
from hpsearch.cli.study_file import StudyFile
from hpsearch.record.trials import StudyRecord, open_record, study_names


@contextmanager
def reading(file: StudyFile) -> Iterator[StudyRecord | None]:
    """The record of a study; None if its first run has not got as far as a plan.

    Raises:
        Refused: for a storage that is not ours, cannot be read, or keeps a study of another name.
    """
    with ExitStack() as stack:
        record = None
        with refusing(file.path):
            if file.name in refuse_another_name(file):
                record = stack.enter_context(open_record(file.storage, file.name, read_only=True))
        yield record if record is not None and record.plan is not None else None


def refuse_another_name(file: StudyFile) -> list[str]:
    """The names of the studies that are kept; a folder is one study, and its outputs are not those of another.

    Raises:
        Refused: if a study is kept, but none of this name.
        ValueError, OSError: for a storage that is not ours, or cannot be read.
    """
    names = study_names(file.storage)
    if names and file.name not in names:
        kept = ", ".join(map(repr, names))
        raise Refused(
            f"{file.path}: name = {file.name!r}, but {file.storage} keeps the study {kept}; give it that name again, "
            f"or move {file.out} away to begin another study"
        )
    return names
