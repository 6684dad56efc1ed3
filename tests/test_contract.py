"""The contract of bit-identity: any number of workers, any backend, any cohorts, and across kill and resume."""

import os
import signal
import subprocess
import sys
import time
import warnings
from itertools import groupby
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from hpsearch import Choice, LogUniform, search
from hpsearch.orchestrator import run as loop

TIMES = ["datetime_start", "datetime_complete", "duration"]

SPACE = {
    "hidden_layer_sizes": Choice([(16,), (24, 8), (8, 8, 8)]),
    "learning_rate_init": LogUniform(1e-3, 1e3),  # the upper end diverges
    "batch_size": 32,
    "swa_share": 0.4,
    "n_checkpoints": 2,
}
FIRST = [{"hidden_layer_sizes": (16,), "learning_rate_init": 0.02}]


def table():
    """Three classes, numbers with holes and a category."""
    generator = np.random.default_rng(0)
    X = pd.DataFrame(generator.standard_normal((400, 5)), columns=list("abcde"))
    X["colour"] = generator.choice(["red", "green", "blue"], 400)
    y = np.digitize(X["a"] + X["b"] * X["c"], [-0.5, 0.5])
    X.loc[::9, "d"] = np.nan
    return X, y


def run(storage=None, **arguments):
    settings = (
        {"n_trials": 30, "max_epochs": 9, "space": SPACE, "first": FIRST, "cv": 1}
        | {"n_jobs": 2, "verbose": 0}
        | arguments
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*trials failed|the study .* cannot be continued later", UserWarning)
        return search(*table(), storage=storage, **settings)


def contents(result, folder: Path) -> tuple[list[pd.DataFrame], dict[str, bytes]]:
    """What must be equal: the tables, that of trials without times, and the bytes of the model's files."""
    result.save(folder)
    tables = [result.trials.drop(columns=TIMES), result.history, result.decisions, result.candidates, result.members]
    tables.append(result.leaderboard())
    return tables, {file.name: file.read_bytes() for file in folder.iterdir()}


def assert_same(left, right) -> None:
    for one, other in zip(left[0], right[0], strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert left[1] == right[1]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    result = run(n_jobs=1)
    shapes = result.trials["params_hidden_layer_sizes"]
    assert shapes.nunique() == 3, "three shapes"
    assert 0 < (result.trials["outcome"] == "diverged").sum() < 26, "some models diverge"
    assert result.trials["stage"].nunique() == 4 and result.decisions["stage"].nunique() == 3
    assert result.decisions.duplicated(["stage", "name", "side"]).sum() == 0
    assert not result.decisions["verdict"].str.startswith(("inside", "undecided")).all(), "something was decided"
    survivors = shapes[result.trials["rung"] > 0]
    assert survivors.value_counts().max() > 1, "survivors of a shape are regrouped"
    return contents(result, tmp_path_factory.mktemp("expected") / "model")


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_the_number_of_workers_changes_no_bit(n_jobs, expected, tmp_path):
    assert_same(contents(run(n_jobs=n_jobs), tmp_path / "model"), expected)


@pytest.mark.parametrize("size", [1, 16])
def test_the_size_of_cohorts_changes_no_bit(size, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "cohorts", lambda tasks, n_workers: cut(tasks, size))
    assert_same(contents(run(), tmp_path / "model"), expected)


def cut(tasks, size):
    """Cohorts of so many trials, whatever they cost."""
    by_key = groupby(sorted(tasks, key=lambda task: (repr(task.key), task.number)), key=lambda task: task.key)
    groups = [list(group) for _, group in by_key]
    return [tuple(group[n : n + size]) for group in groups for n in range(0, len(group), size)]


@pytest.mark.parametrize("how", ["backend", "parallel_config"])
def test_worker_processes_change_no_bit(how, expected, tmp_path):
    if how == "backend":
        result = run(backend="loky")
    else:
        with joblib.parallel_config(backend="loky", n_jobs=2):
            result = run(n_jobs=None)
    assert_same(contents(result, tmp_path / "model"), expected)


@pytest.mark.parametrize("storage", ["study.db", "sqlite:///{}/optuna.db"])
def test_the_storage_changes_no_bit(storage, expected, tmp_path):
    place = storage.format(tmp_path) if "://" in storage else tmp_path / storage
    assert_same(contents(run(place), tmp_path / "model"), expected)


def test_a_finished_study_is_read_again_bit_by_bit(expected, tmp_path):
    for turn in ("first", "second"):
        assert_same(contents(run(tmp_path / "study.db"), tmp_path / turn), expected)


def test_folds_and_all_change_no_bit(tmp_path):
    """Folds, several scores and other seeds, by one worker, by two that are killed, and in processes."""
    asked = {"cv": 3, "scoring": ["neg_log_loss", "accuracy"], "n_trials": 24, "refine": "auto"}
    alone = contents(run(n_jobs=1, **asked), tmp_path / "alone")
    run_and_kill(tmp_path / "study.db", 50, n_jobs=2, **asked)
    assert_same(contents(run(tmp_path / "study.db", n_jobs=2, **asked), tmp_path / "killed"), alone)
    assert_same(contents(run(backend="loky", **asked), tmp_path / "processes"), alone)


def test_a_topped_up_study_is_the_same_in_one_session_or_two(tmp_path):
    results = []
    for name in ("one", "two"):
        run(tmp_path / f"{name}.db", n_trials=9, n_jobs=1 if name == "one" else 2)
        result = run(tmp_path / f"{name}.db", n_trials=18, n_jobs=2 if name == "one" else 1)
        results.append(contents(result, tmp_path / name))
    assert_same(*results)


@pytest.mark.parametrize("damage", ["deleted", "torn", "flipped"])
def test_a_damaged_checkpoint_is_trained_again_bit_by_bit(damage, expected, tmp_path):
    run(tmp_path / "study.db")
    files = sorted((tmp_path / "study.db.fits").rglob("*.safetensors"))
    for file in files[::3]:
        whole = file.read_bytes()
        if damage == "deleted":
            file.unlink()
        else:
            file.write_bytes(whole[:-7] if damage == "torn" else whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    if damage == "deleted":
        result = run(tmp_path / "study.db")
    else:
        with pytest.warns(RuntimeWarning, match="is damaged"):
            result = run(tmp_path / "study.db")
    assert_same(contents(result, tmp_path / "model"), expected)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from hpsearch.record.checkpoints import FolderCheckpoints
from tests import test_contract

saved, save = [], FolderCheckpoints.save

def save_and_die(*arguments, **fold):
    save(*arguments, **fold)
    saved.append(arguments)
    if len(saved) == {n_checkpoints}:
        os.kill(os.getpid(), signal.SIGKILL)

FolderCheckpoints.save = save_and_die
test_contract.run({storage!r}, **{arguments!r})
"""


def run_and_kill(storage: Path, n_checkpoints: int, **arguments: object) -> None:
    """A run that ends with kill -9 as soon as it has written so many checkpoints."""
    root = str(Path(__file__).parent.parent)
    code = KILLED.format(tests=root, storage=str(storage), n_checkpoints=n_checkpoints, arguments=arguments)
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root)
    assert process.returncode == -signal.SIGKILL


N_CHECKPOINTS = 37
MOMENTS = sorted(np.random.default_rng(4).choice(np.arange(1, N_CHECKPOINTS), 5, replace=False).tolist())


@pytest.mark.parametrize("n_checkpoints", [*MOMENTS, N_CHECKPOINTS])
def test_a_killed_study_goes_on_bit_by_bit(n_checkpoints, expected, tmp_path):
    """kill -9 when so many checkpoints are written: at five random moments, and at the very end."""
    run_and_kill(tmp_path / "study.db", n_checkpoints, n_jobs=1 + n_checkpoints % 4)
    assert_same(contents(run(tmp_path / "study.db"), tmp_path / "model"), expected)


def test_a_study_killed_again_and_again_goes_on_bit_by_bit(expected, tmp_path):
    for _ in range(4):
        run_and_kill(tmp_path / "study.db", 9)
    assert_same(contents(run(tmp_path / "study.db"), tmp_path / "model"), expected)


def test_a_study_killed_while_it_is_topped_up_goes_on_bit_by_bit(tmp_path):
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    for storage in (whole, killed):
        run(storage, n_trials=9)
    run_and_kill(killed, 5, n_trials=18)
    assert_same(*(contents(run(storage, n_trials=18), tmp_path / storage.stem) for storage in (whole, killed)))


def test_a_study_killed_while_members_are_trained_again_goes_on_bit_by_bit(tmp_path):
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    run(killed, refit=False)
    run_and_kill(killed, 1)
    assert_same(*(contents(run(storage), tmp_path / storage.stem) for storage in (whole, killed)))


def test_a_study_that_lost_its_database_after_a_top_up_begins_anew_bit_by_bit(expected, tmp_path):
    """The numbers of the second stage's trials now belong to others: their checkpoints must not be taken for theirs."""
    for n_trials in (9, 18):
        run(tmp_path / "study.db", n_trials=n_trials)
    for file in tmp_path.glob("study.db*"):
        if file.is_file():
            file.unlink()
    assert_same(contents(run(tmp_path / "study.db"), tmp_path / "model"), expected)


INTERRUPTED = """
import sys, time, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from hpsearch import search
X, y = load_digits(return_X_y=True)
print("begin", flush=True)
result = search(X, y, n_trials=60, max_epochs=600, cv=1, n_jobs=2, backend={backend!r}, storage={storage!r}, verbose=0,
                callbacks=[lambda record: None])
print(result.findings.ended, len(result.history), flush=True)
"""


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_ctrl_c_ends_cleanly_and_keeps_what_is_finished(backend, tmp_path):
    code = INTERRUPTED.format(backend=backend, storage=str(tmp_path / "study.db"))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    folder = tmp_path / "study.db.fits"
    while process.poll() is None and len(list(folder.rglob("*.safetensors"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    ended, n_epochs = out.split()[1:]
    assert ended == "interrupted" and int(n_epochs) > 0
