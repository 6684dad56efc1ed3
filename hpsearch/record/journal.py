"""The SQLite file that an `optuna.Study` lives in.

Optuna's `JournalStorage` keeps a study as a *journal*: every operation is one JSON row, and opening a study replays
the rows. Here the rows are those of one SQLite table: an append is a transaction, so it is there wholly or not at all,
and no killed writer leaves an unreadable file. See https://sqlite.org/wal.html and https://sqlite.org/howtocorrupt.html.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend

from hpsearch.record.folder import sync_folder, temporary_name, writing_in_words

APPLICATION_ID = int.from_bytes(b"hpsj", "big")
FORMAT_VERSION = 1
SYNCHRONOUS = ("normal", "full")
BUSY_TIMEOUT = 60.0  # seconds; appends take well under a millisecond each

# TEXT and not JSON, because Optuna's rows may hold Infinity and NaN.
SCHEMA = f"""
PRAGMA journal_mode=WAL;
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={FORMAT_VERSION};
CREATE TABLE journal (number INTEGER PRIMARY KEY, log TEXT NOT NULL);
"""


def open_storage(
    storage: str | os.PathLike[str] | BaseStorage | None, *, synchronous: str = "normal", read_only: bool = False
) -> BaseStorage:
    """Opens what trials are kept in, for `optuna.load_study(storage=open_storage("churn.db"), study_name="churn")`.

    `None` is a study in memory; a path is a study file of hpsearch, created where there is none; a string with "://"
    is a database URL and goes to Optuna's `RDBStorage` as it is; an Optuna storage is returned. `synchronous` and
    `read_only` are for study files: see `SqliteJournalBackend`, also for the errors.
    """
    file = study_file(storage)
    if file is not None:
        return JournalStorage(SqliteJournalBackend(file, synchronous=synchronous, read_only=read_only))
    if isinstance(storage, BaseStorage):
        return storage
    return InMemoryStorage() if storage is None else RDBStorage(str(storage))


def study_file(storage: object) -> Path | None:
    """The study file that `storage` names; None for memory, a database URL and an Optuna storage.

    Raises ValueError for anything else.
    """
    if storage is None or isinstance(storage, BaseStorage) or (isinstance(storage, str) and "://" in storage):
        return None
    if isinstance(storage, str | os.PathLike):
        return Path(storage)
    raise ValueError(f"storage must be None, a path, a database URL or an Optuna storage, but got {storage!r}")


def check_storage(storage: object, synchronous: str) -> None:
    """Raise ValueError for what `open_storage` refuses in its arguments, and in a study file that is there.

    Nothing is created, also not beside the file, and nothing is locked.
    """
    file = study_file(storage)
    _check_synchronous(synchronous)
    if file is not None and os.path.exists(file):
        with _guard, _in_words(file.resolve()):
            _refuse_foreign(file.resolve())


class SqliteJournalBackend(BaseJournalBackend):
    """Journal rows of Optuna in a SQLite file with a write-ahead log (WAL), for any number of processes and threads.

    With `synchronous` "normal", what was appended survives any end of the process (also kill -9); after a power
    failure the last rows may be missing. With "full" nothing is missing, for an fsync per append. After a fork, and
    when unpickled, the file is opened again. It must be on a local disk, as always with WAL.

    `read_only` opens an existing file, while others write to it or not. Where the folder is writable, SQLite may leave
    an empty `-wal` and a `-shm` file beside it. Where it is not, the `-wal` of a running or killed writer is still
    read; if there is none, the file is read once, and rows that are appended later are not seen.

    There are no snapshots (`BaseJournalSnapshot`): Optuna's are pickles, and nothing we load may execute code.

    Raises ValueError, with nothing written, if the file is not a study file of ours, is of a newer format or is
    damaged; FileNotFoundError if there is no such file (`read_only`) or folder; PermissionError if file or folder may
    not be written; TimeoutError if another program blocks the file for `BUSY_TIMEOUT` seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: str = "normal", read_only: bool = False) -> None:
        self._connection: sqlite3.Connection | None = None
        _check_synchronous(synchronous)
        self._path = Path(path).resolve()
        self._synchronous = synchronous
        self._read_only = read_only
        with _guard:
            if not read_only and not self._path.exists():
                _create(self._path)
        with self._connected():
            pass  # so that whatever is wrong with the file is said now

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The rows from number `log_number_from` (≥ 0) on, which is all that is read of the file."""
        with self._connected() as connection:
            query = "SELECT log FROM journal WHERE number > ? ORDER BY number"  # SQLite counts rows from 1
            rows = connection.execute(query, (log_number_from,)).fetchall()
            # SQLite reads NULL where a truncated file has no bytes for a row.
            return [json.loads(log or "") for (log,) in rows]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends rows: all of them, or, if this raises or the process is killed, none."""
        if self._read_only:
            raise PermissionError(f"{self._path} was opened for reading only")
        rows = [(json.dumps(log, separators=(",", ":")),) for log in logs]
        with self._connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO journal (log) VALUES (?)", rows)

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        with _guard:
            self._disconnect()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """The connection, for the calling thread alone; errors inside come out in plain words."""
        with _guard, _in_words(self._path):
            if self._connection is None:
                opened = _open_for_reading(self._path) if self._read_only else _open(self._path, self._synchronous)
                self._connection = opened
                _backends.add(self)
            yield self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        self._disconnect()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}


# One lock for all backends of the process: appends are short, and whoever forks must be able to stop them all.
_guard = threading.Lock()
_backends: WeakSet[SqliteJournalBackend] = WeakSet()


def _before_fork() -> None:
    # A child that inherits a connection inherits SQLite's belief to hold file locks that the kernel gave to the parent
    # only. Its appends are then lost without an error, even on a connection of its own. So nothing is open at a fork.
    _guard.acquire()
    for backend in list(_backends):
        backend._disconnect()


os.register_at_fork(before=_before_fork, after_in_parent=_guard.release, after_in_child=_guard.release)


def _check_synchronous(synchronous: str) -> None:
    if synchronous not in SYNCHRONOUS:
        raise ValueError(f"synchronous must be one of {SYNCHRONOUS}, but got {synchronous!r}")


def _create(path: Path) -> None:
    """Creates an empty journal, whole or not at all; another process that does the same at once is welcome."""
    temporary = temporary_name(path)
    with writing_in_words(path), _in_words(path):
        try:
            open(temporary, "wb").close()
            with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
                connection.executescript(SCHEMA)
            # Not a rename: that would replace the file, with rows in it by now, of a process that was quicker.
            os.link(temporary, path)
            sync_folder(path.parent)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)


def _connect(path: Path, query: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{query}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    _refuse_foreign(path)
    connection = _connect(path, "mode=rw")
    try:
        _verify(connection, path)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        # A file that cannot be written is to be refused here, not at the first trial.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_for_reading(path: Path) -> sqlite3.Connection:
    _refuse_foreign(path)
    connection = _connect(path, "mode=ro")
    try:
        _verify(connection, path)
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _copy(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(path: Path) -> sqlite3.Connection:
    """The file as it is, in memory. For where SQLite may not create its files beside it and no writer has."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with closing(_connect(path, "mode=ro&immutable=1")) as connection:
        connection.backup(copy)
    return copy


def _refuse_foreign(path: Path) -> None:
    """ValueError if the file is not ours, found out without locking it or writing anything, also not beside it.

    Through SQLite, since closing a file that was opened past it would drop all its locks of this process.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a study file")
    with closing(_connect(path, "mode=ro&immutable=1")) as connection:
        try:
            _verify(connection, path)
        except sqlite3.DatabaseError as error:
            # The file looks damaged while somebody, perhaps killed since, copies the WAL into it; then who reads both
            # of them decides.
            if _kind(error) != sqlite3.SQLITE_CORRUPT:
                raise


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise ValueError(f"{path} is {_describe(connection, path)}, not a study file of hpsearch; it was left as it is")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} is a study file of format {version}, but this version of hpsearch reads {FORMAT_VERSION}; "
            "it was left as it is"
        )


def _describe(connection: sqlite3.Connection, path: Path) -> str:
    if path.stat().st_size == 0:
        return "an empty file"
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('studies', 'trials', 'version_info')"
    if connection.execute(query).fetchone() == (3,):
        return f"a SQLite database of Optuna (which opens as 'sqlite:///{path}')"
    return "a SQLite database of another program"


def _kind(error: sqlite3.DatabaseError) -> int:
    # The low byte of SQLite's extended codes; errors of the Python module itself have none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Turns SQLite's errors inside into those that `SqliteJournalBackend` promises."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        kind = _kind(error)
        if kind == sqlite3.SQLITE_NOTADB:
            sentence = f"{path} is not a SQLite file, so not a study file of hpsearch; it was left as it is"
            raise ValueError(sentence) from None
        if kind == sqlite3.SQLITE_CANTOPEN and not path.exists():
            raise FileNotFoundError(f"there is no file {path}") from None
        kinds = {
            sqlite3.SQLITE_CORRUPT: ValueError,
            sqlite3.SQLITE_CANTOPEN: PermissionError,
            sqlite3.SQLITE_READONLY: PermissionError,
            sqlite3.SQLITE_BUSY: TimeoutError,
        }
        raise kinds.get(kind, OSError)(f"cannot use {path.name} in the folder {path.parent}: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: a row is not JSON ({error})") from error
