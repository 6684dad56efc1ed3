import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpsearch as library
from hpsearch.data.table import read_table
from tests.cli.studies import contents, hpsearch, make_study, refused

LABELS = ["Barbera", "Barolo", "Grignolino"]


@pytest.fixture
def new(finished: Path) -> Path:
    """The rows of the table in another order, without the target."""
    table = read_table(finished / "wine.csv").drop(columns="cultivar")
    table.sample(frac=1, random_state=0).to_csv(finished / "new.csv", index=False)
    return finished / "new.csv"


def test_rows_stay_in_order(finished: Path, new: Path) -> None:
    output = finished / "predictions.csv"
    assert hpsearch("predict", finished, new, "--output", output).output == ""
    predictions = pd.read_csv(output)
    assert list(predictions) == ["prediction", *(f"probability_{label}" for label in LABELS)]
    model = library.load(finished / "out" / "model")
    np.testing.assert_array_equal(predictions["prediction"], model.predict(read_table(new)))
    np.testing.assert_array_equal(predictions.iloc[:, 1:], model.predict_proba(read_table(new)))


def test_to_standard_output_from_a_model_folder_with_the_target(finished: Path) -> None:
    model, table = finished / "out" / "model", finished / "wine.csv"
    printed = [
        hpsearch("predict", source, table, *rest).stdout for source in (finished, model) for rest in ([], ["-o-"])
    ]
    assert len(set(printed)) == 1
    predictions = pd.read_csv(io.StringIO(printed[0]))
    assert (predictions["prediction"] == pd.read_csv(table)["cultivar"]).mean() > 0.5


def test_numbers(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ('"cultivar"', '"proline"'))
    table = pd.read_csv(study / "wine.csv").dropna(subset="proline")
    table.to_csv(study / "wine.csv", index=False)
    assert hpsearch("run", study, "--quiet").output == ""
    assert hpsearch("predict", study, study / "wine.csv", "-o", tmp_path / "predictions.csv").exit_code == 0
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert list(predictions) == ["prediction"] and len(predictions) == len(table)


def changed(table: pd.DataFrame, how: str) -> pd.DataFrame:
    if how == "missing":
        return table.drop(columns="hue")
    if how == "added":
        return table.assign(year=1990)
    return table.assign(hue="red")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "missing are 'hue'"),
        ("added", "unknown are 'year'"),
        ("mistyped", "'hue' held numbers, now it holds"),
    ],
)
def test_other_columns(finished: Path, new: Path, how: str, said: str) -> None:
    changed(pd.read_csv(new), how).to_csv(new, index=False)
    sentence = refused("predict", finished, new, "--output", finished / "predictions.csv")
    assert sentence.startswith(f"cannot predict {new}: ") and said in sentence
    assert not (finished / "predictions.csv").exists()


@pytest.mark.parametrize("declared", [False, True])
def test_text_that_looks_like_numbers_is_text(tmp_path: Path, declared: bool) -> None:
    categorical = ('target = "cultivar"', 'target = "cultivar"\ncategorical = ["code"]')
    study = make_study(tmp_path / "wine", *([categorical] if declared else []))
    table = pd.read_csv(study / "wine.csv")
    codes = table["cultivar"].map({"Barolo": "007", "Grignolino": "012", "Barbera": "B40"})
    table.assign(code=codes, yes="x").to_csv(study / "wine.csv", index=False)
    assert hpsearch("run", study, "--quiet").exit_code == 0
    whole = pd.read_csv(io.StringIO(hpsearch("predict", study, study / "wine.csv").stdout))

    digits = codes.isin(["007", "012"])
    table.assign(code=codes, yes="1")[digits].to_csv(study / "new.csv", index=False)
    of_digits = pd.read_csv(io.StringIO(hpsearch("predict", study, study / "new.csv").stdout))
    pd.testing.assert_frame_equal(of_digits, whole[digits].reset_index(drop=True), check_exact=True)


def test_the_input_is_not_overwritten(finished: Path, new: Path) -> None:
    before = new.read_bytes()
    (finished / "link.csv").symlink_to(new)
    for output in (new, finished / "link.csv"):
        assert "it is not overwritten" in refused("predict", finished, new, "--output", output)
    assert new.read_bytes() == before


def test_only_csv_is_written(finished: Path, new: Path) -> None:
    assert "must end in .csv" in refused("predict", finished, new, "--output", finished / "predictions.parquet")


def test_no_table_and_no_folder_for_the_output(finished: Path, new: Path) -> None:
    none = finished / "none.csv"
    assert refused("predict", finished, none) == f"cannot predict: {none}: there is no such file"
    assert "cannot write p.csv in the folder" in refused("predict", finished, new, "-o", finished / "none" / "p.csv")


def test_no_model_yet(study: Path) -> None:
    assert refused("predict", study, study / "wine.csv").endswith(
        f"there is no model yet; `hpsearch run {study}` makes it"
    )


def test_a_changed_byte(finished: Path, new: Path) -> None:
    model = finished / "out" / "model"
    for name, data in contents(model).items():
        (model / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        assert str(model / name) in refused("predict", finished, new, "-o", finished / "predictions.csv")
        (model / name).write_bytes(data)
    assert not (finished / "predictions.csv").exists()


def test_weights_of_rows_may_be_there_or_not(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ('target = "cultivar"', 'target = "cultivar"\nsample_weight = "weight"'))
    table = pd.read_csv(study / "wine.csv")
    table.assign(weight=1.0 + table.index % 3).to_csv(study / "wine.csv", index=False)
    assert hpsearch("run", study, "--quiet").exit_code == 0
    table.to_csv(tmp_path / "without.csv", index=False)
    predictions = [hpsearch("predict", study, file) for file in (study / "wine.csv", tmp_path / "without.csv")]
    assert predictions[0].exit_code == 0 and predictions[0].stdout == predictions[1].stdout


def test_dropped_columns_may_be_there_or_not(tmp_path: Path) -> None:
    study = make_study(tmp_path / "wine", ('target = "cultivar"', 'target = "cultivar"\ndrop = ["day", "ash"]'))
    table = pd.read_csv(study / "wine.csv")
    table.assign(day="2024-01-31").to_csv(study / "wine.csv", index=False)
    assert hpsearch("run", study, "--quiet").exit_code == 0
    table.drop(columns="ash").to_csv(tmp_path / "without.csv", index=False)
    predictions = [hpsearch("predict", study, file) for file in (study / "wine.csv", tmp_path / "without.csv")]
    assert predictions[0].exit_code == 0 and predictions[0].stdout == predictions[1].stdout


def test_a_target_may_be_named_as_an_input(tmp_path: Path) -> None:
    """As where it was computed from a column."""
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((60, 2)), columns=["a", "b"])
    result = library.search(X, X["a"] > 0, n_trials=2, max_epochs=3, verbose=0)
    result.save(tmp_path / "model")
    X.to_csv(tmp_path / "new.csv", index=False)
    done = hpsearch("predict", tmp_path / "model", tmp_path / "new.csv")
    assert pd.read_csv(io.StringIO(done.stdout))["prediction"].tolist() == result.ensemble.predict(X).tolist()
