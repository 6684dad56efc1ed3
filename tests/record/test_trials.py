import os
import subprocess
import sys

import numpy as np
import optuna
import pytest

from hpsearch.mlp.outcome import diverged, finished, stopped
from hpsearch.record.journal import open_storage
from hpsearch.record.lock import Locked
from hpsearch.record.tables import TrialHistory, history_table, trial_table
from hpsearch.record.trials import open_record
from hpsearch.space.distributions import Choice, LogUniform
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of({"learning_rate_init": LogUniform(1e-3, 1e-1), "hidden_layer_sizes": Choice([(8,), (8, 8)])})
DRAWN = [(number, SPACE.draw(0, 0, number), 100 + number) for number in range(4)]


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
        with pytest.raises(ValueError, match="another data \\('abc', now 'xyz'\\)"):
            record.identify({"data": "xyz", "random_state": 0})


def test_a_study_of_somebody_else_is_refused(tmp_path):
    study = optuna.create_study(storage=open_storage(tmp_path / "study.db"), study_name="s", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with open_record(tmp_path / "study.db", "s") as record, pytest.raises(ValueError, match="not made by hpsearch"):
        record.identify({"data": "abc"})


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


def test_reading_a_study_that_is_not_there(tmp_path):
    with open_record(tmp_path / "study.db", "s"):
        pass
    with pytest.raises(ValueError, match="no study named 'other'; it holds: 's'"):
        with open_record(tmp_path / "study.db", "other", read_only=True):
            pass
    with pytest.raises(FileNotFoundError), open_record(tmp_path / "no.db", "s", read_only=True):
        pass


def test_a_database_without_a_folder_keeps_its_fits_in_memory(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    with open_record(url, "s") as record:
        fill(record)
        record.checkpoints.save(0, 3, {"weights": np.arange(3.0)}, {})
    with open_record(url, "s") as record:
        assert record.has(3) and not record.has(4)
        assert record.checkpoints.load(0, 3) is None
    with open_record(url, "s", tmp_path / "fits") as record:
        record.checkpoints.save(0, 3, {"weights": np.arange(3.0)}, {})
    with open_record(url, "s", tmp_path / "fits") as record:
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
