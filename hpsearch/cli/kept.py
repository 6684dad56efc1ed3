"""What is kept of a study, for verbs that only read: they take no lock, and work while a run is writing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hpsearch.cli.ending import refusing
from hpsearch.cli.study_file import StudyFile
from hpsearch.record.journal import open_storage
from hpsearch.record.trials import StudyRecord, open_record


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
