import json
import os
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpsearch as library
from hpsearch.data.table import read_table
from hpsearch.record.lock import Lock
from hpsearch.record.tables import has_parquet
from hpsearch.study import Study
from tests.cli.studies import contents, hpsearch, make_study, not_root, refused

TABLES = {"trials.parquet", "history.parquet"} if has_parquet() else {"history.csv"}
WRITTEN = {"study.db", "trials.csv", "decisions.csv", "members.csv", "leaderboard.csv", "candidates.csv"}
WRITTEN |= {"summary.json", "report.html"}
RATE = 'learning_rate_init = { distribution = "log_uniform", low = 1e-3, high = 1e-1 }'


def outputs(study: Path) -> dict[str, bytes]:
    """What a run wrote for its user, without the page, which may say when it was made."""
    files = contents(study / "out")
    return {name: data for name, data in files.items() if not name.startswith(("study.db", "report.html"))}


class TestOutputs:
    def test_all_are_there(self, finished: Path) -> None:
        files = contents(finished / "out")
        assert {name for name in files if "/" not in name} == WRITTEN | TABLES
        assert len(pd.read_csv(finished / "out" / "trials.csv")) == 9
        model = library.load(finished / "out" / "model")
        assert model.predict_proba(read_table(finished / "wine.csv").drop(columns="cultivar")).shape == (178, 3)

    def test_a_second_run_trains_nothing_and_changes_nothing(self, finished: Path) -> None:
        before = outputs(finished)
        result = hpsearch("run", finished)
        assert result.exit_code == 0
        assert result.stdout.startswith("honest score: ")
        assert f"page: {finished / 'out' / 'report.html'}" in result.stdout
        assert outputs(finished) == before

    @pytest.mark.parametrize("limit", ["max_members = 1", "max_predict_ms = 1e-9"])
    def test_an_ensemble_may_cost_no_more_than_the_file_says(self, tmp_path: Path, limit: str) -> None:
        study = make_study(tmp_path / "wine", ("n_trials = 9", f"n_trials = 9\n{limit}"))
        for command in (["run", study, "--quiet"], ["report", study]):
            assert hpsearch(*command).exit_code == 0
            board = pd.read_csv(study / "out" / "leaderboard.csv")
        free = make_study(tmp_path / "free")
        assert hpsearch("run", free, "--quiet").exit_code == 0
        assert board["predict_ms"].max() < pd.read_csv(free / "out" / "leaderboard.csv")["predict_ms"].max()

    def test_quiet(self, finished: Path) -> None:
        assert hpsearch("run", finished, "--quiet").output == ""

    def test_what_killed_runs_left_is_deleted(self, finished: Path) -> None:
        out = finished / "out"
        (out / ".report.html.99999999-1.tmp").write_text("half a page")
        (out / ".model.99999999-1.tmp").mkdir()
        assert hpsearch("run", finished, "--quiet").exit_code == 0
        assert not list(out.glob(".*"))

    def test_more_trials_are_appended(self, finished: Path) -> None:
        before = pd.read_csv(finished / "out" / "trials.csv")
        assert hpsearch("run", finished, "--n-trials", 12, "--quiet").exit_code == 0
        after = pd.read_csv(finished / "out" / "trials.csv")
        pd.testing.assert_frame_equal(after[:9], before, check_dtype=False)
        assert list(after["stage"]) == [0] * 9 + [1] * 3
        assert hpsearch("run", finished, "--quiet").exit_code == 0, "fewer than there are add nothing"
        pd.testing.assert_frame_equal(pd.read_csv(finished / "out" / "trials.csv"), after)

    def test_a_damaged_checkpoint_is_trained_again(self, finished: Path) -> None:
        before = outputs(finished)
        damaged = next((finished / "out" / "study.db.fits" / "wine").glob("*.safetensors"))
        damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            result = hpsearch("run", finished, "--quiet")
        assert result.exit_code == 0
        assert result.stderr.startswith("warning: ") and f"{damaged.name} is damaged" in result.stderr
        assert outputs(finished) == before

    def test_timeout(self, tmp_path: Path) -> None:
        study = make_study(tmp_path / "wine", ("max_epochs = 9", "max_epochs = 90000"))
        assert "the timeout came before" in refused("run", study, "--timeout", 0, "--quiet")
        assert not (study / "out" / "trials.csv").exists()


class TestFailing:
    def test_failures(self, tmp_path: Path) -> None:
        rates = (RATE, 'learning_rate_init = { distribution = "choice", values = [0.01, 1e20] }')
        study = make_study(tmp_path / "wine", rates)
        result = hpsearch("run", study, "--fail-on=edge,failures")
        assert result.exit_code == 3
        n_failed = int((pd.read_csv(study / "out" / "trials.csv")["state"] == "FAIL").sum())
        assert 0 < n_failed < 9
        assert result.stderr.endswith(f"Error: --fail-on: {n_failed} of 9 trials failed\n")
        assert hpsearch("run", study, "--fail-on=edge").exit_code == 0

    def test_edge(self, tmp_path: Path) -> None:
        rate = 'learning_rate_init = { distribution = "log_uniform", low = 1e-9, high = 1e-2 }'
        rates = (RATE, f'{rate}\nencoding = "robust"\nactivation = "relu"')
        study = make_study(
            tmp_path / "wine", rates, ("n_trials = 9", "n_trials = 60"), ("[[8], [16], [8, 8]]", "[[16]]")
        )
        sentence = refused("run", study, "--fail-on", "edge", "--quiet", code=3)
        assert sentence == "--fail-on: the best trials crowd at an edge of learning_rate_init"
        assert (study / "out" / "model").is_dir()

    def test_every_trial(self, tmp_path: Path) -> None:
        study = make_study(tmp_path / "wine", (RATE, "learning_rate_init = 1e20"))
        table = study / "out" / "trials.csv"
        for command in (["run", study, "--quiet"], ["report", study]):
            table.unlink(missing_ok=True)
            sentence = refused(*command, code=4)
            assert "all 9 trials failed" in sentence and sentence.endswith(f" ({table} has the advice for each)")
            advice = pd.read_csv(table)["user_attrs_advice"]
            assert len(advice) == 9 and all("learning_rate_init=1e+20 is likely too high" in one for one in advice)
        assert "best value so far: none, for every trial failed\n" in hpsearch("status", study).stdout

    def test_nothing_is_said_of_rungs_that_nobody_reached(self, tmp_path: Path) -> None:
        study = make_study(tmp_path / "wine", (RATE, "learning_rate_init = 1e20"), ("n_trials = 9", "n_trials = 1"))
        plan, rung, error = hpsearch("run", study).stderr.splitlines()
        assert plan == "1 stage, 1 trial, 9 epochs of training (0% saved by halving); about 1 s"
        assert rung.startswith("rung 1/3: 1 trial at 1 epoch (1 failed), best –, ") and error.startswith("Error: ")

    def test_unknown_reason(self, study: Path) -> None:
        result = hpsearch("run", study, "--fail-on=edges")
        assert result.exit_code == 2 and "'edges' is not one of edge, failures" in result.stderr

    def test_an_error_of_ours_is_not_the_users(self, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: object, **keywords: object) -> None:
            raise ValueError("a shape is wrong")

        monkeypatch.setattr(Study, "carry_out", fail)
        with pytest.raises(ValueError, match="a shape is wrong"):
            hpsearch("run", study)


class TestRefused:
    def test_settings(self, study: Path) -> None:
        assert refused("run", study, "--n-jobs", 0).startswith("n_jobs = 0 must be")
        assert refused("run", study, "--n-trials", 0).startswith("n_trials = 0 must be")
        assert refused("run", study, "--timeout", -1).startswith("timeout = -1.0 must be")
        assert refused("run", study, "--timeout", "nan").startswith("timeout = nan must be")
        assert not (study / "out").exists()

    def test_another_run_holds_it(self, finished: Path) -> None:
        before = contents(finished / "out" / "model")
        with Lock(finished / "out" / "study.db.fits" / "wine" / "lock"):
            sentence = refused("run", finished, code=75)
        assert f"another run is writing this study: {finished}" in sentence and f"process {os.getpid()} on" in sentence
        assert contents(finished / "out" / "model") == before

    def test_other_data(self, finished: Path) -> None:
        before = outputs(finished)
        table = (finished / "wine.csv").read_text()
        (finished / "wine.csv").write_text(table.replace("13.2,", "13.3,"))
        assert "the study 'wine' was begun with other data" in refused("run", finished)
        assert outputs(finished) == before

    def test_checkpoints_of_other_data(self, finished: Path) -> None:
        before = outputs(finished)
        (finished / "out" / "study.db").unlink()
        table = (finished / "wine.csv").read_text()
        (finished / "wine.csv").write_text(table.replace("13.2,", "13.3,"))
        folder = finished / "out" / "study.db.fits" / "wine"
        assert f"the checkpoints in {folder} are of a study that was begun with other data" in refused("run", finished)
        (finished / "wine.csv").write_text(table)
        assert hpsearch("run", finished, "--quiet").exit_code == 0
        assert outputs(finished)["model/model.json"] == before["model/model.json"]

    def test_out_is_a_file(self, study: Path) -> None:
        (study / "out").touch()
        assert f"cannot write out in the folder {study}: File exists" in refused("run", study)

    def test_out_is_not_writable(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            study = make_study(Path(name))
            (study / "out").mkdir()
            os.chmod(study, 0o755)
            for folder, said in (
                (study / "out", "cannot write study.db.fits in"),
                (study, "cannot write out in the folder"),
            ):
                os.chmod(folder, 0o555)
                with not_root():
                    assert said in refused("run", study)
                if folder.name == "out":
                    assert contents(folder) == {}
                    folder.rmdir()

    def test_a_model_folder_that_holds_something_else(self, finished: Path) -> None:
        (finished / "out" / "model" / "notes.txt").write_text("mine")
        before = outputs(finished)
        assert "model also holds notes.txt" in refused("run", finished, "--quiet")
        assert outputs(finished) == before


def test_summary_says_what_was_said(finished: Path) -> None:
    result = hpsearch("run", finished)
    summary = json.loads((finished / "out" / "summary.json").read_text())
    board = next(line.split() for line in result.stdout.splitlines() if line.startswith("ensemble  "))
    first = result.stdout.splitlines()[[line.split() for line in result.stdout.splitlines()].index(board) + 1].split()
    assert first[0] == summary["ensemble"]
    shown = float(first[board.index("honest_score")].replace("−", "-"))
    np.testing.assert_allclose(shown, summary["honest_score"], rtol=1e-3)


def test_scores_that_are_missing(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ("test_size = 0.2", ""))
    result = hpsearch("run", study)
    lines = result.stdout.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("ensemble  "))
    assert [line.split()[-1] for line in lines[first : first + 3]] == ["test_score", "–", "–"]
    shown = [line for line in result.output.splitlines() if str(study) not in line]
    assert not re.search(r"\bnan\b|-\d", "\n".join(shown))
