"""The SQLite journal under Optuna's own tests, several processes, kill -9, forks, threads, damage and foreign files."""

import math
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import joblib
import matplotlib.pyplot as pyplot
import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.testing.pytest_storages import StorageTestCase

from hpsearch.record.journal import SqliteJournalBackend, open_storage

NOBODY = 65534


def run(script: str, *arguments: object) -> None:
    # Python 3.12 and later warn of a fork beside threads, and NumPy's BLAS has some.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    command = [sys.executable, *warnings, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def make_study(path: Path, n_trials: int) -> optuna.Study:
    study = optuna.create_study(storage=open_storage(path), study_name="s", direction="maximize")
    uniform = optuna.distributions.FloatDistribution(0.0, 1.0)
    for number in range(n_trials):
        x = number * 0.618 % 1
        params, distributions = {"x": x, "y": 1 - x * x}, {"x": uniform, "y": uniform}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=x))
    return study


class TestOptunasOwnSuite(StorageTestCase):
    @pytest.fixture(params=["normal", "full"])
    def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage:
        return open_storage(tmp_path / "study.db", synchronous=request.param)


class TestBackend:
    def test_rows_come_back_from_any_number_on(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        rows = [{"row": number, "text": "é\ud800\n"} for number in range(7)]
        backend.append_logs(rows[:4])
        backend.append_logs([])
        backend.append_logs(rows[4:])
        for start in range(9):
            assert backend.read_logs(start) == rows[start:]
        assert SqliteJournalBackend(tmp_path / "study.db").read_logs(0) == rows

    def test_infinity_and_nan(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        backend.append_logs([{"values": [math.inf, -math.inf, math.nan]}])
        (row,) = backend.read_logs(0)
        assert row["values"][:2] == [math.inf, -math.inf]
        assert math.isnan(row["values"][2])

    def test_an_append_is_all_or_nothing(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        with pytest.raises(TypeError, match="not JSON serializable"):
            backend.append_logs([{"good": 1}, {"bad": object()}])
        assert backend.read_logs(0) == []

    def test_close_opens_again(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        backend.append_logs([{"a": 1}])
        backend.close()
        backend.close()
        assert names(tmp_path) == ["study.db"]
        assert backend.read_logs(0) == [{"a": 1}]

    def test_deleted_under_our_feet(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        backend.close()
        (tmp_path / "study.db").unlink()
        with pytest.raises(FileNotFoundError, match="there is no file .*study.db"):
            backend.append_logs([{"a": 1}])
        assert names(tmp_path) == []

    @pytest.mark.parametrize(("synchronous", "level"), [("normal", 1), ("full", 2)])
    def test_synchronous(self, tmp_path: Path, synchronous: str, level: int) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db", synchronous=synchronous)
        with backend._connected() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_synchronous_is_checked(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"synchronous must be one of \('normal', 'full'\), but got 'off'"):
            SqliteJournalBackend(tmp_path / "study.db", synchronous="off")
        assert names(tmp_path) == []

    @pytest.mark.parametrize("name", ["a b.db", "100%.db", "a?mode=memory", "a#b", "C:\\study.db", "é", ":memory:"])
    def test_odd_paths(self, tmp_path: Path, name: str) -> None:
        SqliteJournalBackend(tmp_path / name).append_logs([{"a": 1}])
        assert names(tmp_path) == [name]
        assert SqliteJournalBackend(str(tmp_path / name), read_only=True).read_logs(0) == [{"a": 1}]

    def test_a_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        backend = SqliteJournalBackend("study.db")
        backend.close()
        monkeypatch.chdir("/")
        backend.append_logs([{"a": 1}])
        assert SqliteJournalBackend(tmp_path / "study.db").read_logs(0) == [{"a": 1}]


class TestManyAtOnce:
    def test_threads(self, tmp_path: Path) -> None:
        backends = [SqliteJournalBackend(tmp_path / "study.db") for _ in range(2)]

        def work(thread: int) -> None:
            for number in range(100):
                backends[thread % 2].append_logs([{"thread": thread, "number": number}])
                assert backends[thread % 2].read_logs(number)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = backends[0].read_logs(0)
        for thread in range(4):
            assert [row["number"] for row in rows if row["thread"] == thread] == list(range(100))

    def test_processes_that_share_a_study(self, tmp_path: Path) -> None:
        script = """
import sys, optuna
from hpsearch.record.journal import open_storage
optuna.logging.disable_default_handler()
study = optuna.create_study(storage=open_storage(sys.argv[1]), study_name="s", load_if_exists=True)
for _ in range(50):
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    print(trial.number)
"""
        command = [sys.executable, "-c", script, str(tmp_path / "study.db")]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        numbers = [int(number) for worker in workers for number in worker.communicate()[0].split()]
        assert [worker.returncode for worker in workers] == [0] * 4
        assert sorted(numbers) == list(range(200))
        study = optuna.load_study(storage=open_storage(tmp_path / "study.db"), study_name="s")
        assert [trial.number for trial in study.trials] == list(range(200))
        assert {trial.state.name for trial in study.trials} == {"COMPLETE"}

    def test_processes_that_create_one_file(self, tmp_path: Path) -> None:
        script = """
import os, sys
from pathlib import Path
from hpsearch.record.journal import SqliteJournalBackend

for round in range(40):
    path = Path(sys.argv[1], f"{round}.db")
    start, go = os.pipe()
    children = []
    for number in range(6):
        if not (child := os.fork()):
            os.close(go)
            os.read(start, 1)
            SqliteJournalBackend(path).append_logs([{"number": number}])
            os._exit(0)
        children.append(child)
    os.close(start)
    os.close(go)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    backend = SqliteJournalBackend(path)
    assert sorted(row["number"] for row in backend.read_logs(0)) == list(range(6))
    backend.close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], list(path.parent.iterdir())
    path.unlink()
"""
        run(script, tmp_path)

    def test_a_fork_loses_nothing(self, tmp_path: Path) -> None:
        # With the parent's connection still open in the child, what the child appends after the parent has closed goes
        # to a deleted file: SQLite in the child believes to hold locks that it does not.
        script = """
import os, sys
from hpsearch.record.journal import SqliteJournalBackend

backend = SqliteJournalBackend(sys.argv[1])
backend.append_logs([{"row": 0}])
done, do = os.pipe(), os.pipe()
if not os.fork():
    backend.append_logs([{"row": 1}])
    os.write(done[1], b"1")
    os.read(do[0], 1)
    backend.append_logs([{"row": 2}])
    os._exit(0)
os.read(done[0], 1)
backend.close()
os.write(do[1], b"1")
assert os.wait()[1] == 0
backend.append_logs([{"row": 3}])
assert [row["row"] for row in backend.read_logs(0)] == [0, 1, 2, 3], backend.read_logs(0)
"""
        run(script, tmp_path / "study.db")

    def test_forks_while_threads_append(self, tmp_path: Path) -> None:
        script = """
import os, sys, threading
from hpsearch.record.journal import SqliteJournalBackend

backend, stop = SqliteJournalBackend(sys.argv[1]), threading.Event()
counts = [0, 0]

def work(thread):
    while not stop.is_set():
        backend.append_logs([{"who": thread}])
        counts[thread] += 1

threads = [threading.Thread(target=work, args=(thread,)) for thread in (0, 1)]
for thread in threads:
    thread.start()
for number in range(30):
    if not (child := os.fork()):
        backend.append_logs([{"who": 2}] * 3)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
rows = [row["who"] for row in backend.read_logs(0)]
assert [rows.count(who) for who in (0, 1, 2)] == [*counts, 90], (counts, len(rows))
"""
        run(script, tmp_path / "study.db")

    def test_pickled_to_processes(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db", synchronous="full")
        copy = pickle.loads(pickle.dumps(backend))
        copy.append_logs([{"row": 0}])
        append = joblib.delayed(backend.append_logs)
        joblib.Parallel(n_jobs=2, backend="loky")(append([{"row": row}]) for row in range(1, 20))
        assert sorted(row["row"] for row in backend.read_logs(0)) == list(range(20))


class TestKilled:
    def test_every_acknowledged_operation_is_there(self, tmp_path: Path) -> None:
        # The child acknowledges each operation in a pipe after Optuna has returned from it, then dies at any moment.
        script = """
import os, random, signal, sys, time
import optuna
from hpsearch.record.journal import open_storage

optuna.logging.disable_default_handler()

def work(path, acknowledge):
    study = optuna.create_study(storage=open_storage(path), study_name="s", load_if_exists=True)
    while True:
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        acknowledge(f"trial {trial.number} {trial.params['x']!r}\\n")
        for step in range(3):
            trial.report(step / 7, step)
            acknowledge(f"report {trial.number} {step}\\n")
        study.tell(trial, trial.params["x"])
        acknowledge(f"value {trial.number}\\n")

def check(path, lines):
    trials = optuna.load_study(storage=open_storage(path), study_name="s").trials
    for kind, number, *rest in map(str.split, lines):
        trial = trials[int(number)]
        if kind == "trial":
            assert repr(trial.params["x"]) == rest[0]
        elif kind == "report":
            assert trial.intermediate_values[int(rest[0])] == int(rest[0]) / 7
        else:
            assert trial.value == trial.params["x"]

random.seed(0)
lines = []
for _ in range(40):
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        work(sys.argv[1], lambda line: os.write(writing, line.encode()))
    os.close(writing)
    with open(reading) as pipe:
        lines.append(pipe.readline())
        time.sleep(random.uniform(0.0, 0.04))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += pipe.readlines()
    check(sys.argv[1], lines)
"""
        run(script, tmp_path / "study.db")

    def test_killed_while_creating(self, tmp_path: Path) -> None:
        script = """
import os, random, signal, sys, time
from pathlib import Path
from hpsearch.record.folder import remove_leftovers
from hpsearch.record.journal import SqliteJournalBackend

random.seed(0)
path = Path(sys.argv[1], "study.db")
for _ in range(80):
    if not (child := os.fork()):
        while True:
            SqliteJournalBackend(path).append_logs([{"row": 1}])
            path.unlink()
    time.sleep(random.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    backend = SqliteJournalBackend(path)
    assert backend.read_logs(0) in ([], [{"row": 1}])
    backend.close()
    for name in ("study.db", "study.db-wal", "study.db-shm"):
        Path(sys.argv[1], name).unlink(missing_ok=True)
remove_leftovers(sys.argv[1])
assert not os.listdir(sys.argv[1]), os.listdir(sys.argv[1])
"""
        run(script, tmp_path)


class TestDamage:
    """What SQLite does with a file that lost its end: an error, or the rows there were before some moment."""

    @pytest.fixture
    def whole(self, tmp_path: Path) -> tuple[bytes, bytes]:
        """A study file and its WAL, as a killed writer leaves them: half of 600 rows in each."""
        backend = SqliteJournalBackend(tmp_path / "whole.db")
        backend.append_logs([{"row": row, "text": "x" * 100} for row in range(300)])
        backend.close()
        for row in range(300, 600):
            backend.append_logs([{"row": row, "text": "x" * 100}])
        return (tmp_path / "whole.db").read_bytes(), (tmp_path / "whole.db-wal").read_bytes()

    def read(self, folder: Path, database: bytes, wal: bytes) -> list[int] | None:
        path = folder / "torn" / "study.db"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        path.write_bytes(database)
        path.with_name("study.db-wal").write_bytes(wal)
        try:
            backend = SqliteJournalBackend(path)
            rows = [row["row"] for row in backend.read_logs(0)]
            backend.append_logs([{"row": -1}])
        except ValueError as error:
            assert "torn" in str(error)
            return None
        assert SqliteJournalBackend(path).read_logs(len(rows)) == [{"row": -1}]
        return rows

    def test_a_torn_wal_loses_its_last_rows_only(self, tmp_path: Path, whole: tuple[bytes, bytes]) -> None:
        database, wal = whole
        assert self.read(tmp_path, database, wal) == list(range(600))
        generator, lengths = random.Random(0), set()
        for _ in range(60):
            rows = self.read(tmp_path, database, wal[: generator.randrange(len(wal))])
            assert rows is not None
            assert rows == list(range(len(rows)))
            lengths.add(len(rows))
        assert 300 <= min(lengths) < max(lengths) < 600

    def test_killed_while_the_wal_is_copied(self, tmp_path: Path, whole: tuple[bytes, bytes]) -> None:
        before, wal = whole
        SqliteJournalBackend(tmp_path / "whole.db").close()
        after = (tmp_path / "whole.db").read_bytes()
        assert len(after) > len(before)
        for copied in range(0, len(after) + 1, 4096):
            assert self.read(tmp_path, after[:copied] + before[copied:], wal) == list(range(600))

    def test_a_truncated_file_is_refused(self, tmp_path: Path, whole: tuple[bytes, bytes]) -> None:
        database, _ = whole
        generator = random.Random(0)
        for size in [0, 1, 50, 100, 4096, *(generator.randrange(len(database)) for _ in range(60))]:
            assert self.read(tmp_path, database[:size], b"") is None

    def test_a_row_that_is_not_json(self, tmp_path: Path) -> None:
        SqliteJournalBackend(tmp_path / "study.db").close()
        with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
            connection.execute("INSERT INTO journal (log) VALUES ('{')")
        with pytest.raises(ValueError, match="study.db is damaged: a row is not JSON"):
            SqliteJournalBackend(tmp_path / "study.db").read_logs(0)


class TestForeignFiles:
    def assert_refused(self, path: Path, message: str) -> None:
        folder = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
        for read_only in (False, True):
            with pytest.raises(ValueError, match=message) as caught:
                SqliteJournalBackend(path, read_only=read_only)
            assert str(path) in str(caught.value)
        assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == folder

    @pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"SQLite format 3\0", b"x" * 5000, b'{"op_code": 0}\n'])
    def test_not_sqlite(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "study.db").write_bytes(content)
        self.assert_refused(tmp_path / "study.db", "is not a SQLite file, so not a study file of hpsearch")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "study.db").touch()
        self.assert_refused(tmp_path / "study.db", "is an empty file, not a study file of hpsearch")

    @pytest.mark.parametrize("journal_mode", ["delete", "wal"])
    def test_sqlite_of_another_program(self, tmp_path: Path, journal_mode: str) -> None:
        with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
            connection.execute(f"PRAGMA journal_mode={journal_mode}")
            connection.execute("CREATE TABLE journal (number INTEGER PRIMARY KEY, log TEXT NOT NULL)")
            self.assert_refused(tmp_path / "study.db", "is a SQLite database of another program")
        self.assert_refused(tmp_path / "study.db", "is a SQLite database of another program")

    def test_sqlite_of_optuna(self, tmp_path: Path) -> None:
        storage = RDBStorage(f"sqlite:///{tmp_path}/study.db")
        storage.engine.dispose()
        self.assert_refused(
            tmp_path / "study.db", f"database of Optuna .which opens as 'sqlite:///{tmp_path}/study.db'"
        )

    def test_newer_format(self, tmp_path: Path) -> None:
        SqliteJournalBackend(tmp_path / "study.db").close()
        with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
            connection.execute("PRAGMA user_version=2")
        self.assert_refused(tmp_path / "study.db", "format 2, but this version of hpsearch reads 1")

    def test_newer_format_still_in_the_wal(self, tmp_path: Path) -> None:
        SqliteJournalBackend(tmp_path / "study.db").close()
        with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
            connection.execute("PRAGMA user_version=2")
            with pytest.raises(ValueError, match="format 2"):
                SqliteJournalBackend(tmp_path / "study.db")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f"{tmp_path} is a folder, not a study file"):
            SqliteJournalBackend(tmp_path)

    def test_a_look_at_a_file_keeps_its_locks(self, tmp_path: Path) -> None:
        # POSIX drops all locks that a process has on a file when it closes any descriptor of it.
        first = SqliteJournalBackend(tmp_path / "study.db")
        first.append_logs([{"row": 0}])
        SqliteJournalBackend(tmp_path / "study.db").close()
        SqliteJournalBackend(tmp_path / "study.db", read_only=True).close()
        script = "import sys, hpsearch.record.journal as journal; journal.SqliteJournalBackend(sys.argv[1])"
        run(script, tmp_path / "study.db")
        assert (tmp_path / "study.db-wal").exists(), "another process took itself for the last one and deleted the WAL"
        first.append_logs([{"row": 1}])
        assert SqliteJournalBackend(tmp_path / "study.db").read_logs(0) == [{"row": 0}, {"row": 1}]


class TestPermissions:
    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder that others than root can reach too."""
        with tempfile.TemporaryDirectory() as name:
            os.chmod(name, 0o755)
            yield Path(name)
            os.chmod(name, 0o755)

    @contextmanager
    def not_root(self) -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(user)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"cannot write study.db in the folder {tmp_path / 'none'}"):
            SqliteJournalBackend(tmp_path / "none" / "study.db")

    def test_missing_file_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path / 'study.db'}"):
            SqliteJournalBackend(tmp_path / "study.db", read_only=True)
        assert names(tmp_path) == []

    def test_folder_that_is_not_writable(self, folder: Path) -> None:
        os.chmod(folder, 0o555)
        with self.not_root(), pytest.raises(PermissionError, match=f"cannot write study.db in the folder {folder}"):
            SqliteJournalBackend(folder / "study.db")
        assert names(folder) == []

    @pytest.mark.parametrize("mode", [0o444, 0o666])
    def test_file_that_is_not_writable(self, folder: Path, mode: int) -> None:
        SqliteJournalBackend(folder / "study.db").close()
        os.chmod(folder / "study.db", mode)
        os.chmod(folder, 0o555)
        with self.not_root(), pytest.raises(PermissionError, match=f"cannot use study.db in the folder {folder}"):
            SqliteJournalBackend(folder / "study.db")

    def test_reading_where_nothing_may_be_written(self, folder: Path) -> None:
        backend = SqliteJournalBackend(folder / "study.db")
        backend.append_logs([{"row": 0}])
        backend.close()
        os.chmod(folder, 0o555)
        with self.not_root():
            reader = SqliteJournalBackend(folder / "study.db", read_only=True)
            assert reader.read_logs(0) == [{"row": 0}]
            with pytest.raises(PermissionError, match="was opened for reading only"):
                reader.append_logs([{"row": 1}])
            assert names(folder) == ["study.db"]

    def test_reading_there_while_a_writer_runs(self, folder: Path) -> None:
        backend = SqliteJournalBackend(folder / "study.db")
        backend.append_logs([{"row": 0}])
        os.chmod(folder, 0o555)
        with self.not_root():
            reader = SqliteJournalBackend(folder / "study.db", read_only=True)
        assert reader.read_logs(0) == [{"row": 0}]
        backend.append_logs([{"row": 1}])
        assert reader.read_logs(1) == [{"row": 1}]

    def test_reading_there_what_a_killed_writer_left(self, folder: Path) -> None:
        script = """
import os, sys
from hpsearch.record.journal import SqliteJournalBackend
backend = SqliteJournalBackend(sys.argv[1])
backend.append_logs([{"row": 0}])
os.kill(os.getpid(), 9)
"""
        subprocess.run([sys.executable, "-c", script, folder / "study.db"])
        assert (folder / "study.db-wal").stat().st_size > 0
        os.chmod(folder, 0o555)
        with self.not_root():
            assert SqliteJournalBackend(folder / "study.db", read_only=True).read_logs(0) == [{"row": 0}]

    def test_reading_while_a_writer_runs(self, tmp_path: Path) -> None:
        backend = SqliteJournalBackend(tmp_path / "study.db")
        reader = SqliteJournalBackend(tmp_path / "study.db", read_only=True)
        for row in range(20):
            backend.append_logs([{"row": row}])
            assert reader.read_logs(row) == [{"row": row}]
        with pytest.raises(PermissionError, match="was opened for reading only"):
            reader.append_logs([{"row": 1}])


class TestOpenStorage:
    def test_none_is_memory(self) -> None:
        assert isinstance(open_storage(None), InMemoryStorage)

    def test_a_storage_is_itself(self) -> None:
        storage = InMemoryStorage()
        assert open_storage(storage) is storage

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_path_is_a_study_file(self, tmp_path: Path, kind: type) -> None:
        assert isinstance(open_storage(kind(tmp_path / "study.db")), JournalStorage)
        assert isinstance(open_storage(kind(tmp_path / "study.db"), read_only=True), JournalStorage)

    def test_a_url_is_optunas(self, tmp_path: Path) -> None:
        storage = open_storage(f"sqlite:///{tmp_path}/study.db")
        assert isinstance(storage, RDBStorage)
        optuna.create_study(storage=storage, study_name="s")
        assert optuna.get_all_study_names(storage) == ["s"]
        assert (tmp_path / "study.db").exists()
        storage.engine.dispose()

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(ValueError, match="storage must be None, a path, a database URL or an Optuna storage"):
            open_storage(5)  # type: ignore[arg-type]

    def test_postgresql(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "runtime").mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
        pgserver = pytest.importorskip("pgserver", reason="pgserver has wheels for Python 3.11 and 3.12 only")
        with tempfile.TemporaryDirectory() as folder:
            server = pgserver.get_server(folder)
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            storage = open_storage(url)
            assert isinstance(storage, RDBStorage)
            study = optuna.create_study(storage=storage, study_name="s")
            study.tell(study.ask(), 1.5)
            again = open_storage(url)
            assert isinstance(again, RDBStorage)
            assert optuna.load_study(storage=again, study_name="s").best_value == 1.5
            storage.engine.dispose()
            again.engine.dispose()
            server.cleanup()


class TestOptunaOnTop:
    def test_a_reopened_study_is_the_same(self, tmp_path: Path) -> None:
        before = make_study(tmp_path / "study.db", 20)
        after = optuna.load_study(storage=open_storage(tmp_path / "study.db"), study_name="s")
        assert after.direction == before.direction
        assert after.trials == before.trials
        frame = after.trials_dataframe()
        assert list(frame["params_x"]) == [trial.params["x"] for trial in before.trials]

    def test_importances_and_pictures(self, tmp_path: Path) -> None:
        make_study(tmp_path / "study.db", 30)
        study = optuna.load_study(storage=open_storage(tmp_path / "study.db", read_only=True), study_name="s")
        assert sorted(optuna.importance.get_param_importances(study)) == ["x", "y"]
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            axes = optuna.visualization.matplotlib.plot_optimization_history(study)
        assert len(axes.collections[0].get_offsets()) == 30
        pyplot.close(axes.figure)
