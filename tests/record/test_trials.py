import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage

from hpsearch.mlp.outcome import diverged, finished, stopped
from hpsearch.record.journal import open_storage
from hpsearch.record.lock import Lock, Locked
from hpsearch.record.tables import TrialHistory, history_table, trial_table
from hpsearch.record.trials import open_record
from hpsearch.space.distributions import Choice, LogUniform
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of({"learning_rate_init": LogUniform(1e-3, 1e-1), "hidden_layer_sizes": Choice([(8,), (8, 8)])})
DRAWN = [(number, SPACE.draw(0, 0, number), 100 + number, None) for number in range(4)]


def fill(record) -> None:
    """Four trials: complete, cut, failed, still running."""
    record.add(0, DRAWN, SPACE)
    for number in range(4):
        if number != 2:
            record.report(number, 3, -1.0 + number / 10)
    record.finish(0, "COMPLETE", 9, -0.5, finished(9))
    record.finish(1, "PRUNED", 3, -0.9, stopped(3))
    record.finish(2, "FAIL", 2, None, diverged(2, np.nan, 0.1))


@pytest.mark.parametrize("storage", [None, "study.db"])
def test_trials_are_kept_as_designed(storage, tmp_path):
    path = storage and tmp_path / storage
    with open_record(path, "s") as record:
        fill(record)
        table = trial_table(record.study)
    assert table["state"].tolist() == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert table["value"].tolist() == pytest.approx([-0.5, -0.9, np.nan, -0.7], nan_ok=True)
    assert table["outcome"].tolist()[:3] == ["finished", "stopped", "diverged"]
    assert table["epochs"].tolist() == [9, 3, 2, 3] and table["rung"].tolist() == [1, 0, 0, 0]
    assert table["seed"].tolist() == [100, 101, 102, 103]
    assert "learning_rate_init" in table["user_attrs_advice"][2]
    assert table["params_hidden_layer_sizes"].isin(["[8]", "[8, 8]"]).all()
    assert table.columns.tolist()[:6] == [
        "number", "value", "state", "datetime_start", "datetime_complete", "duration",
    ]  # fmt: skip
    assert table.columns.tolist()[-5:] == ["stage", "rung", "epochs", "seed", "outcome"]


def test_writing_again_changes_nothing(tmp_path):
    with open_record(tmp_path / "study.db", "s") as record:
        fill(record)
        before = trial_table(record.study)
    with open_record(tmp_path / "study.db", "s") as record:
        fill(record)
        assert trial_table(record.study).equals(before)


def test_distributions_are_recorded_at_their_limits():
    with open_record(None, "s") as record:
        fill(record)
        recorded = record.study.trials[0].distributions["learning_rate_init"]
    assert (recorded.low, recorded.high) == pytest.approx((1e-6, 1e2))


def test_optuna_reads_the_file(tmp_path):
    with open_record(tmp_path / "study.db", "churn") as record:
        fill(record)
    study = optuna.load_study(storage=open_storage(tmp_path / "study.db"), study_name="churn")
    assert study.best_value == -0.5
    assert study.best_trial.number == 0


def test_another_identity_is_refused_by_name(tmp_path):
    with open_record(tmp_path / "study.db", "s") as record:
        record.identify({"data": "abc", "random_state": 0})
    with open_record(tmp_path / "study.db", "s") as record:
        record.identify({"data": "abc", "random_state": 0})
        with pytest.raises(ValueError, match=r"'s' was begun with another random_state \(0, now 1\); continue it"):
            record.identify({"data": "abc", "random_state": 1})
        with pytest.raises(ValueError, match="'s' was begun with other data; continue it"):
            record.identify({"data": "xyz", "random_state": 1})
        with pytest.raises(ValueError, match="another random_state"):
            record.identify({"random_state": 1, "data": "xyz"})


ASKED = {"data": "abc", "space": {"dropout": 0.1}, "random_state": 0}


def keep_a_checkpoint(storage, asked=ASKED, fits=None, refit=False):
    """A study begun, with one checkpoint; what was kept of it before."""
    with open_record(storage, "s", fits) as record:
        record.identify(asked)
        checkpoints = record.refits if refit else record.checkpoints
        before = checkpoints.load(0, 3)
        checkpoints.save(0, 3, {"weights": np.arange(3.0)}, {})
    return before


class TestCheckpointsOfAnotherStudy:
    def test_they_are_used_when_only_the_database_was_lost(self, tmp_path):
        assert keep_a_checkpoint(tmp_path / "study.db") is None
        (tmp_path / "study.db").unlink()
        assert keep_a_checkpoint(tmp_path / "study.db") is not None

    @pytest.mark.parametrize("refit", [False, True])
    @pytest.mark.parametrize(
        ("change", "said"),
        [({"data": "xyz"}, "other data"), ({"random_state": 1}, r"another random_state \(0, now 1\)")],
    )
    def test_they_are_refused_after_the_database_was_deleted(self, change, said, refit, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db", refit=refit)
        (tmp_path / "study.db").unlink()
        folder, way_out = tmp_path / "study.db.fits" / "s", r"choose another folder \(fits=\), or delete this one"
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"checkpoints in {folder} are of a study .* {said}; {way_out}"):
                keep_a_checkpoint(tmp_path / "study.db", ASKED | change, refit=refit)
        shutil.rmtree(folder)
        assert keep_a_checkpoint(tmp_path / "study.db", ASKED | change, refit=refit) is None

    @pytest.mark.parametrize("storage", [None, "sqlite:///{}/optuna.db"])
    def test_they_are_refused_in_a_folder_of_ones_own(self, storage, tmp_path):
        keep_a_checkpoint(storage and storage.format(tmp_path), fits=tmp_path / "fits")
        with pytest.raises(ValueError, match="other data"):
            keep_a_checkpoint(None, ASKED | {"data": "xyz"}, tmp_path / "fits")
        assert keep_a_checkpoint(None, fits=tmp_path / "fits") is not None

    @pytest.mark.parametrize("refit", [False, True])
    def test_they_are_refused_where_nothing_says_whose_they_are(self, refit, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db", refit=refit)
        folder = tmp_path / "study.db.fits" / "s"
        (folder / "study.json").unlink()
        with pytest.raises(ValueError, match=f"{folder} holds checkpoints, but no study.json"):
            keep_a_checkpoint(tmp_path / "study.db", refit=refit)

    @pytest.mark.parametrize("damage", ["torn", "changed", "not JSON", "a list"])
    def test_they_are_refused_where_that_is_damaged(self, damage, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db")
        file = tmp_path / "study.db.fits" / "s" / "study.json"
        whole = file.read_text()
        changed = whole.replace('"random_state": 0', '"random_state": 1')
        file.write_text({"torn": whole[:-9], "changed": changed, "not JSON": "\0", "a list": "[]"}[damage])
        with pytest.raises(ValueError, match=f"{file} (is damaged|was changed)"):
            keep_a_checkpoint(tmp_path / "study.db")

    def test_they_are_refused_for_reading_too(self, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db", fits=tmp_path / "one")
        keep_a_checkpoint(None, ASKED | {"data": "xyz"}, fits=tmp_path / "two")
        with open_record(tmp_path / "study.db", "s", tmp_path / "two", read_only=True) as record:
            with pytest.raises(ValueError, match="other data"):
                record.identify(ASKED)

    def test_reading_writes_nothing(self, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db")
        shutil.rmtree(tmp_path / "study.db.fits")
        with open_record(tmp_path / "study.db", "s", read_only=True) as record:
            record.identify(ASKED)
        assert not (tmp_path / "study.db.fits").exists()

    def test_whose_they_are_can_be_read(self, tmp_path):
        keep_a_checkpoint(tmp_path / "study.db")
        assert json.loads((tmp_path / "study.db.fits" / "s" / "study.json").read_text())["identity"] == ASKED


def test_a_study_of_somebody_else_is_refused(tmp_path):
    study = optuna.create_study(storage=open_storage(tmp_path / "study.db"), study_name="s", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with open_record(tmp_path / "study.db", "s") as record, pytest.raises(ValueError, match="not made by hpsearch"):
        record.identify({"data": "abc"})


@pytest.mark.parametrize(
    ("directions", "found"), [(["minimize"], "minimize"), (["maximize", "maximize"], "maximize, maximize")]
)
def test_a_study_whose_values_are_not_to_be_maximised_is_refused(directions, found, tmp_path):
    optuna.create_study(storage=open_storage(tmp_path / "study.db"), study_name="s", directions=directions)
    for read_only in (False, True):
        with pytest.raises(ValueError, match=f"'s' must have the direction maximize, .* but has {found}; choose"):
            with open_record(tmp_path / "study.db", "s", read_only=read_only):
                pass


GOOD_NAMES = ["a", "two words", "a/b", "..a", "é" * 42, "x" * 255, ".hidden", "refit"]
BAD_NAMES = ["", ".", "..", "...", " ", ". .", "x" * 256, "é" * 43, "a\n", "a\0", "\ud800", 3, None, Path("a")]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_studies(name, tmp_path):
    for _ in range(2):
        with open_record(tmp_path / "study.db", name) as record:
            record.identify(ASKED)
    (folder,) = (tmp_path / "study.db.fits").iterdir()
    assert sorted(entry.name for entry in folder.iterdir()) == ["lock", "study.json"]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("storage", [None, "study.db"])
def test_names_that_cannot_name_a_study(name, storage, tmp_path):
    with pytest.raises(ValueError, match="study_name must be printable text .* but got ") as refused:
        with open_record(storage and tmp_path / storage, name, tmp_path / "fits"):
            pass
    assert repr(name) in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_two_studies_live_in_one_file(tmp_path):
    for name in ("one", "two/with a slash"):
        with open_record(tmp_path / "study.db", name) as record:
            fill(record)
            record.checkpoints.save(0, 3, {"weights": np.arange(3.0)}, {})
    assert len(list((tmp_path / "study.db.fits").iterdir())) == 2


def test_only_one_run_writes_a_study(tmp_path):
    path = tmp_path / "study.db"
    code = f"""
from hpsearch.record.trials import open_record
try:
    with open_record({str(path)!r}, "s"): print("opened")
except Exception as error: print(type(error).__name__, error)
"""
    with open_record(path, "s"):
        with pytest.raises(Locked, match=str(os.getpid())), open_record(path, "s"):
            pass
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        assert shown.startswith("Locked") and str(os.getpid()) in shown
        with open_record(path, "s", read_only=True) as record:
            assert record.plan is None
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "opened\n"


def entries(folder):
    """All that is in a folder, with the content and time of files."""
    paths = sorted(folder.rglob("*"))
    return [(path, path.is_file() and path.read_bytes(), path.stat().st_mtime_ns) for path in paths]


def test_other_paths_lead_to_the_same_lock(tmp_path):
    """A folder of one's own for the fits, or a link to the file, does not let a second writer in."""
    (tmp_path / "link.db").symlink_to(tmp_path / "study.db")
    with open_record(tmp_path / "study.db", "s"):
        for file, fits in (("study.db", tmp_path / "fits"), ("link.db", None)):
            with pytest.raises(Locked, match="study.db.fits/s/lock is held by process"):
                open_record(tmp_path / file, "s", fits).__enter__()
    with open_record(tmp_path / "study.db", "s", tmp_path / "fits"), pytest.raises(Locked):
        open_record(tmp_path / "study.db", "s").__enter__()


def test_what_killed_writers_left_is_deleted(tmp_path):
    """Beside the storage file only what was to become it, for the folder is the user's."""
    dead = "99999999-1"
    fits = tmp_path / "study.db.fits" / "s"
    (fits / "refit").mkdir(parents=True)
    left = [fits / f".trial_00001_epoch_00003.safetensors.{dead}.tmp", fits / "refit" / f".trial.{dead}.tmp"]
    left += [tmp_path / f".study.db.{dead}.tmp", tmp_path / f".study.db.{dead}.tmp-journal"]
    others = [tmp_path / f".notes.{dead}.tmp", fits / f".trial.{os.getppid()}-1.tmp"]
    for file in (*left, *others):
        file.write_text("x")
    with open_record(tmp_path / "study.db", "s"):
        assert not any(file.exists() for file in left)
        assert all(file.exists() for file in others)


@pytest.mark.parametrize(("synchronous", "synced"), [("normal", False), ("full", True)])
def test_fits_survive_a_power_failure_only_if_asked_to(synchronous, synced, tmp_path, monkeypatch):
    with open_record(tmp_path / "study.db", "s", synchronous=synchronous) as record:
        for kept in (record.checkpoints, record.refits):
            kept.save(0, 3, {"weights": np.arange(3.0)}, {})  # makes the folder
            calls, fsync = [], os.fsync
            monkeypatch.setattr(os, "fsync", lambda file, calls=calls, fsync=fsync: calls.append(file) or fsync(file))
            kept.save(0, 9, {"weights": np.arange(3.0)}, {})
            monkeypatch.undo()
            assert bool(calls) == synced


def test_whoever_finds_it_locked_changes_nothing(tmp_path):
    for exists in (False, True):
        path = tmp_path / f"{exists}.db"
        (tmp_path / f"{path.name}.fits" / "s").mkdir(parents=True)
        if exists:
            with open_record(path, "other"):
                pass
        with Lock(tmp_path / f"{path.name}.fits" / "s" / "lock"):
            before = entries(tmp_path)
            with pytest.raises(Locked), open_record(path, "s"):
                pass
            assert entries(tmp_path) == before


def foreign_text(path):
    path.write_text("buy milk")


def foreign_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);")


@pytest.mark.parametrize("make", [Path.touch, foreign_text, foreign_database, Path.mkdir])
@pytest.mark.parametrize("fits", [None, "fits"])
def test_a_file_that_is_not_ours_is_left_alone(make, fits, tmp_path):
    make(tmp_path / "study.db")
    before = entries(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path / 'study.db'} is"):
        with open_record(tmp_path / "study.db", "s", fits and tmp_path / fits):
            pass
    assert entries(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"synchronous": "off"}, "synchronous must be one of"),
        ({"fits": 3}, "fits must be None or the path of a folder, but got 3"),
        ({"storage": 3, "fits": "fits"}, "storage must be None, a path"),
        ({"storage": ""}, "is a folder, not a study file"),
    ],
)
def test_wrong_arguments_create_nothing(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said), open_record(**{"storage": "s.db", "study_name": "s"} | arguments):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("storage", "fits"), [("none/study.db", None), ("study.db", "none/fits")])
def test_folders_that_are_not_there_are_not_made_up(storage, fits, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"cannot write .* in the folder {tmp_path / 'none'}: No such file"):
        with open_record(tmp_path / storage, "s", fits and tmp_path / fits):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_fits_should_be(tmp_path):
    (tmp_path / "study.db.fits").touch()
    with pytest.raises(FileExistsError, match="cannot write study.db.fits in the folder"):
        with open_record(tmp_path / "study.db", "s"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["study.db.fits"]


def test_reading_a_study_that_is_not_there(tmp_path):
    with open_record(tmp_path / "study.db", "s"):
        pass
    with pytest.raises(ValueError, match="no study named 'other'; it holds: 's'"):
        with open_record(tmp_path / "study.db", "other", read_only=True):
            pass
    with pytest.raises(FileNotFoundError), open_record(tmp_path / "no.db", "s", read_only=True):
        pass
    assert not (tmp_path / "no.db.fits").exists()


@pytest.mark.parametrize("kind", ["url", "storage"])
def test_a_planned_study_in_a_database_is_continued_with_its_fits_only(kind, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db" if kind == "url" else InMemoryStorage()
    with pytest.warns(UserWarning, match="'s' cannot be continued later, .*; pass fits="):
        with open_record(storage, "s") as record:
            record.identify(ASKED)
            record.plan = [{"n_trials": 4}]
    with pytest.raises(ValueError, match="'s' cannot be continued without .*; pass fits=, the folder that keeps them"):
        with open_record(storage, "s"):
            pass
    with open_record(storage, "s", tmp_path / "fits") as record:
        record.identify(ASKED)
        record.checkpoints.save(0, 3, {"weights": np.arange(3.0)}, {})
    with open_record(storage, "s", tmp_path / "fits") as record:
        assert record.checkpoints.load(0, 3) is not None


def test_seconds_add_up():
    with open_record(None, "s") as record:
        assert np.isnan(record.seconds)
        record.add_seconds(2)
        record.add_seconds(3)
        assert record.seconds == 5


def test_history_has_a_row_per_epoch():
    curve = np.array([[1.0, 1.2, 0.01], [0.5, 0.9, 0.02], [0.3, 0.8, 0.03]])
    table = history_table([TrialHistory(7, 1, (1, 3), {1: -1.2, 3: -0.8}, curve)])
    assert table["rung"].tolist() == [0, 1, 1] and table["epoch"].tolist() == [1, 2, 3]
    assert table["gap"].tolist() == pytest.approx([0.2, 0.4, 0.5])
    assert table["valid_value"].tolist() == pytest.approx([-1.2, np.nan, -0.8], nan_ok=True)
    assert history_table([]).columns.tolist() == table.columns.tolist()
