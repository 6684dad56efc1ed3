"""What is wrong with the data of a study is said in one sentence, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hpsearch.cli.question import checked_study
from hpsearch.cli.study_file import read_study_file
from tests.cli.studies import contents, make_study, refused

Change = Callable[[pd.DataFrame], pd.DataFrame]


def test_what_the_file_says_is_passed_on(tmp_path: Path) -> None:
    weighted = ('target = "cultivar"', 'target = "cultivar"\nsample_weight = "ash"\ncategorical = ["magnesium"]')
    folder = make_study(tmp_path / "wine", weighted, ("n_jobs = 1", 'scoring = "accuracy"\nrandom_state = 3'))
    table = pd.read_csv(folder / "wine.csv")
    table.fillna({"ash": 1.0}).to_csv(folder / "wine.csv", index=False)
    study = checked_study(read_study_file(folder))
    assert study.problem.scorer.name == "accuracy" and study.problem.seed == 3
    assert len(study.dataset.rows.test) == 36
    assert study.dataset.sample_weight is not None and "ash" not in study.dataset.encoding.column_names
    assert "magnesium" in [column.name for column in study.dataset.encoding.categorical]
    assert study.problem.drawing.space.distributions.keys() >= {
        "learning_rate_init",
        "hidden_layer_sizes",
        "weight_decay",
    }


def test_what_the_file_says_of_the_search_is_passed_on(tmp_path: Path) -> None:
    asked = (
        'refine = "warn"\ncv = 3\nscoring = ["accuracy", "neg_log_loss"]\n[[search.first]]\nhidden_layer_sizes = [8, 8]'
    )
    grouped = ('target = "cultivar"\ntest_size = 0.2', 'target = "cultivar"\ngroups = "shelf"')
    folder = make_study(tmp_path / "wine", grouped, ("cv = 1\nn_jobs = 1", asked))
    table = pd.read_csv(folder / "wine.csv")
    table.assign(shelf=table.index % 20).to_csv(folder / "wine.csv", index=False)
    study = checked_study(read_study_file(folder))
    assert [scorer.name for scorer in study.problem.scorers] == ["accuracy", "neg_log_loss"]
    assert study.problem.drawing.mode == "warn"
    assert study.problem.drawing.first[0]["hidden_layer_sizes"] == (8, 8)
    assert len(study.dataset.folds) == 3 and "shelf" not in study.dataset.encoding.column_names
    for part in study.dataset.folds:
        assert not set(part.rows.train % 20) & set(part.rows.heldout % 20)


def test_an_earlier_study_lies_relative_to_the_file(finished: Path) -> None:
    for like in ('"../finished/out/study.db"', '{ file = "../finished/out/study.db", study_name = "wine" }'):
        folder = make_study(finished.parent / "again", ("n_jobs = 1", f"like = {like}"))
        assert checked_study(read_study_file(folder)).problem.drawing.start is not None
    make_study(finished.parent / "again", ("n_jobs = 1", 'like = "../finished/out/other.db"'))
    assert "must name one study" in refused("validate", finished.parent / "again")


def test_dropped_columns_are_not_looked_at(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "wine", ('target = "cultivar"', 'target = "cultivar"\ndrop = ["day", "ash", "day"]'))
    table = pd.read_csv(folder / "wine.csv").assign(day="2024-01-31")
    table.to_csv(folder / "wine.csv", index=False)
    study = checked_study(read_study_file(folder))
    assert list(study.dataset.encoding.column_names) == list(table.drop(columns=["cultivar", "day", "ash"]))


FILES = [
    ('source = "wine.csv"', 'source = "wein.csv"', "[data] source = 'wein.csv': ", "wein.csv: there is no such file"),
    ('source = "wine.csv"', 'source = "wine.txt"', "[data] source = 'wine.txt': ", "must be .csv, .csv.gz or .parquet"),
    ('source = "wine.csv"', 'source = "sklearn:whine"', "[data] source = 'sklearn:whine': ", "sklearn:wine"),
    ('"cultivar"', '"cultivr"', "[data] target names 'cultivr'", "did you mean 'cultivar'?"),
    ('"cultivar"', '"cultivar"\ncategorical = ["color"]', "[data] categorical names 'color'", "did you mean 'colour'?"),
    ('"cultivar"', '"cultivar"\nsample_weight = "ach"', "[data] sample_weight names 'ach'", "did you mean 'ash'?"),
    ('"cultivar"', '"cultivar"\ndrop = ["hue", "ach"]', "[data] drop names 'ach'", "did you mean 'ash'?"),
    ('"cultivar"', '"cultivar"\ndrop = ["cultivar"]', "[data] drop names 'cultivar'", "which target names too"),
    (
        '"cultivar"',
        '"cultivar"\ndrop = ["ash"]\nsample_weight = "ash"',
        "drop names 'ash'",
        "which sample_weight names",
    ),
    ('"cultivar"', '"cultivar"\ndrop = ["ash"]\ncategorical = ["ash"]', "drop names 'ash'", "which categorical names"),
    (
        '"cultivar"',
        '"cultivar"\ntask = "regression"',
        "task='regression' needs numbers",
        "(y is its column 'cultivar')",
    ),
    ("0.2", "0.9", "test_size=0.9", "a share must be in (0, 0.5]"),
    ("low = 1e-3", "low = 1.0", "[space]: learning_rate_init: ", "`low < high` must hold"),
    ("low = 1e-3", "low = 0.0", "[space]: learning_rate_init: ", "0 < low"),
    ("low = 1e-3, ", "", "[space]: learning_rate_init: ", "log_uniform needs `low`"),
    ('"log_uniform"', '"loguniform"', "[space]: learning_rate_init: ", "did you mean 'log_uniform'?"),
    ("learning_rate_init", "learning_rate", "Unknown hyperparameter", "did you mean 'learning_rate_init'?"),
    (
        "hidden_layer_sizes =",
        "dropout = [0, 0.1]\nhidden_layer_sizes =",
        "[space]: dropout: A list",
        "use { distribution",
    ),
    ("hidden_layer_sizes =", "dropout = 1.5\nhidden_layer_sizes =", "dropout: ", "but got 1.5"),
    ("[8], [16]", "[8], [0]", "hidden_layer_sizes", "(0,)"),
    ("n_jobs = 1", 'scoring = "neg_logloss"', "scoring", "did you mean 'neg_log_loss'?"),
    ("n_jobs = 1", "first = [{ dropuot = 0.1 }]", "first[0] has 'dropuot'", "did you mean 'dropout'?"),
    ("n_jobs = 1", "first = [{ learning_rate_init = -1 }]", "first[0]['learning_rate_init']", "but got -1"),
    ('"cultivar"', '"cultivar"\ngroups = "ach"', "[data] groups names 'ach'", "did you mean 'ash'?"),
    ('"cultivar"', '"cultivar"\ngroups = "ash"', "groups", "without cv"),
    ("n_jobs = 1", 'scoring = "r2"', "scoring='r2'", "does not fit the task multiclass"),
]


@pytest.mark.parametrize(("old", "new", "place", "rule"), FILES)
def test_files_that_do_not_fit_their_data(tmp_path: Path, old: str, new: str, place: str, rule: str) -> None:
    folder = make_study(tmp_path / "wine", (old, new))
    before = contents(folder)
    for verb in ("validate", "run"):
        sentence = refused(verb, folder)
        assert sentence.startswith(f"{folder / 'study.toml'}: ")
        assert place in sentence and rule in sentence
    assert contents(folder) == before


def infinite(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(ash=[float("inf"), *table["ash"][1:]])


def one_row_of_a_class(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(cultivar=["Merlot", *table["cultivar"][1:]])


TABLES: list[tuple[Change, str]] = [
    (lambda table: table[:0], "must not be empty"),
    (lambda table: table.assign(cultivar="Barolo"), "one class only, 'Barolo'"),
    (one_row_of_a_class, "these have one: 'Merlot'"),
    (infinite, "'ash'"),
    (lambda table: table.assign(cultivar=table["cultivar"].mask(table.index == 3)), "missing"),
    (lambda table: table.rename(columns={"ash": "alcohol"}), "column names are double: 'alcohol'"),
    (lambda table: table.rename(columns={"ash": ""}), "column 3 has no name"),
    (lambda table: table.assign(colour="2024-02-30"), "column 'colour' holds dates as text, but these are none"),
    (lambda table: table.assign(note=[f"this is wine number {k}" for k in table.index]), "'note' holds free text"),
    (lambda table: table[["cultivar"]], "0 feature(s)"),
]


@pytest.mark.parametrize(("change", "rule"), TABLES)
def test_tables_that_cannot_be_used(study: Path, change: Change, rule: str) -> None:
    table = pd.read_csv(study / "wine.csv")
    change(table).to_csv(study / "wine.csv", index=False)
    sentence = refused("run", study)
    assert sentence.startswith(f"{study / 'study.toml'}: ") and rule in sentence
    assert not (study / "out").exists()


def test_cells_that_are_too_many(study: Path) -> None:
    (study / "wine.csv").write_text("a,cultivar\n1,b\n1,2,c\n")
    assert "the table cannot be read" in refused("run", study)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **keywords: object) -> None:
        raise ImportError("no pyarrow")

    folder = make_study(tmp_path / "wine", ("wine.csv", "wine.parquet"))
    (folder / "wine.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", missing)
    assert refused("run", folder).endswith("reading Parquet needs pyarrow: pip install pyarrow")


def test_weights_of_classes_and_calibration_are_passed_on(tmp_path: Path) -> None:
    weighted = ('target = "cultivar"', 'target = "cultivar"\nclass_weight = "balanced"')
    calibrated = ("n_jobs = 1", "n_jobs = 1\ncalibrate = true")
    study = checked_study(read_study_file(make_study(tmp_path / "wine", weighted, calibrated)))
    assert study.calibrate and study.dataset.class_weight is not None
