from pathlib import Path

import pandas as pd

from tests.cli.studies import contents, hpsearch, make_study, refused

PLAN = """
[[search.plan]]
name = "wide"
n_trials = 6
rungs = [{ epochs = 2, keep = 3 }]
[[search.plan]]
name = "long"
n_trials = 3
rungs = [{ epochs = 2, keep = 4 }, { epochs = 5, keep = 1 }]
"""


def with_plan(folder: Path) -> Path:
    """A study whose file gives the plan itself: two stages, the second of which takes up the survivors of the first."""
    study = make_study(folder, ("n_trials = 9\nmax_epochs = 9\n", ""))
    (study / "study.toml").write_text((study / "study.toml").read_text() + PLAN)
    return study


def items(output: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)


def rows(output: str) -> list[list[str]]:
    """The cells of the table, but for the first, the stage's number and name."""
    return [line.split()[1:] for line in output.splitlines() if line[:1].isdigit()]


def test_of_a_study_that_was_not_begun(study: Path) -> None:
    before = contents(study)
    result = hpsearch("plan", study)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "study: wine, not begun\nplan: 1 stage, 9 trials, 21 epochs of training (74% saved by halving)\ntime: about "
    )
    assert items(result.stdout)["time"].endswith(" s with 1 worker, as busy as this machine is now")
    assert rows(result.stdout) == [
        ["random", "1/3", "1", "9", "9", "3", "9", "0"],
        ["random", "2/3", "3", "3", "3", "1", "6", "0"],
        ["random", "3/3", "9", "1", "1", "1", "6", "0"],
    ]
    assert contents(study) == before


def test_small_tables_have_folds(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ("cv = 1\n", ""))
    assert "\nplan: 1 stage, 9 trials, 21 epochs of training in each of 5 folds (" in hpsearch("plan", study).stdout
    assert items(hpsearch("validate", study).stdout)["rows"] == "178: 71 valid, 71 select, 36 test; 5 folds"


def test_what_is_done(finished: Path) -> None:
    found = hpsearch("plan", finished).stdout
    assert items(found)["done"] == "21 of 21 epochs" and "time" not in items(found)
    assert [row[-1] for row in rows(found)] == ["9", "3", "1"]
    more = hpsearch("plan", finished, "--n-trials", 12).stdout
    assert items(more)["study"] == "wine, begun, and a run continues it"
    assert items(more)["done"] == "21 of 32 epochs" and items(more)["time left"].startswith("about 1 s ")
    assert [row[0] for row in rows(more)] == ["random"] * 3 + ["fine"] * 3


def test_a_plan_of_the_file_is_carried_out_with_its_survivors(tmp_path: Path) -> None:
    study = with_plan(tmp_path / "wine")
    planned = hpsearch("plan", study).stdout
    assert rows(planned) == [
        ["wide", "1/1", "2", "6", "6", "3", "12", "0"],
        ["long", "1/2", "2", "3", "6", "4", "6", "0"],
        ["long", "2/2", "5", "4", "4", "1", "12", "0"],
    ]
    assert hpsearch("run", study, "--quiet").exit_code == 0
    assert [row[-1] for row in rows(hpsearch("plan", study).stdout)] == ["6", "3", "4"]
    status = [line.split()[1:] for line in hpsearch("status", study).stdout.splitlines() if line.startswith("2/2")]
    assert status == [["long", "1/2", "2", "3", "3"], ["long", "2/2", "5", "4", "4"]]
    assert pd.read_csv(study / "out" / "trials.csv")["epochs"].max() == 5


def test_failed_trials_are_not_waited_for(tmp_path: Path) -> None:
    rate = 'learning_rate_init = { distribution = "log_uniform", low = 1e-3, high = 1e-1 }'
    failing = (rate, 'learning_rate_init = { distribution = "choice", values = [0.01, 1e20] }')
    study = make_study(tmp_path / "wine", failing)
    assert hpsearch("run", study, "--quiet").exit_code == 0
    found = hpsearch("plan", study).stdout
    assert items(found)["study"] == "wine, finished"
    assert [row[-1] for row in rows(found)] == ["9", "3", "1"]


def test_a_plan_that_cannot_be(tmp_path: Path) -> None:
    study = with_plan(tmp_path / "wine")
    file = study / "study.toml"
    text = file.read_text()
    file.write_text(text.replace("{ epochs = 5,", "{ epochs = 1,"))
    assert "[search] plan: rungs must have rising epochs and keep one or more" in refused("plan", study)
    file.write_text(text.replace("[search]\n", "[search]\nmax_epochs = 5\n"))
    assert "must not be given beside max_epochs: its rungs have epochs of their own" in refused("plan", study)


def test_another_plan_than_it_was_begun_with(tmp_path: Path) -> None:
    study = with_plan(tmp_path / "wine")
    assert hpsearch("run", study, "--quiet").exit_code == 0
    file = study / "study.toml"
    file.write_text(file.read_text().replace("keep = 3", "keep = 2"))
    assert "was begun with another plan" in refused("run", study)
