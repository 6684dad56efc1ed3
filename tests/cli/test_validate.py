from pathlib import Path

import pandas as pd

from tests.cli.studies import contents, hpsearch, make_study, refused


def test_says_what_it_found_and_writes_nothing(study: Path) -> None:
    before = contents(study)
    result = hpsearch("validate", study / "study.toml")
    assert result.exit_code == 0
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines() if ": " in line)
    assert lines["study"] == "wine, not begun"
    assert lines["task"] == "multiclass, target 'cultivar', 3 classes: 'Barbera', 'Barolo', 'Grignolino'"
    assert lines["rows"].startswith("178: ") and lines["rows"].endswith(" 36 test")
    assert lines["categorical columns"] == "2: colour, strong"
    assert "log_uniform: low = 0.001, high = 0.1" in result.stdout
    rungs = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("1/1")]
    assert rungs == [["random", "1/3", "9", "1"], ["random", "2/3", "3", "3"], ["random", "3/3", "1", "9"]]
    assert contents(study) == before


def test_dropped_columns_are_named(study: Path) -> None:
    lines = (study / "wine.csv").read_text().splitlines()
    (study / "wine.csv").write_text("\n".join([f"nothing,{lines[0]}", *(f"1,{line}" for line in lines[1:])]))
    result = hpsearch("validate", study)
    assert "dropped columns: 1: nothing (constant)" in result.stdout
    assert result.stderr == "warning: Columns without use were dropped: 'nothing' (constant).\n"


def test_columns_that_the_file_drops_are_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ('target = "cultivar"', 'target = "cultivar"\ndrop = ["hue", "ash"]'))
    result = hpsearch("validate", study)
    assert "dropped columns: 2: hue (as asked), ash (as asked)\n" in result.stdout and result.stderr == ""


def test_rows_are_counted_in_thousands(study: Path) -> None:
    table = pd.read_csv(study / "wine.csv")
    pd.concat([table] * 10).to_csv(study / "wine.csv", index=False)
    assert "\nrows: 1,780: 1,1" in hpsearch("validate", study).stdout


def test_a_study_that_was_begun(finished: Path) -> None:
    assert hpsearch("validate", finished).stdout.startswith("study: wine, finished\n")
    make_study(finished, ("n_trials = 9", "n_trials = 12"))
    assert hpsearch("validate", finished).stdout.startswith("study: wine, begun, and a run continues it\n")


def test_a_study_that_was_begun_with_another_space(finished: Path) -> None:
    make_study(finished, ("low = 1e-3", "low = 1e-4"))
    assert "was begun with another space" in refused("validate", finished)
