import json
import shutil
from pathlib import Path

import pandas as pd

from tests.cli.studies import contents, hpsearch, refused


def test_gives_what_run_gave(finished: Path) -> None:
    before = contents(finished / "out")
    for name in before:
        if "/" not in name and name != "study.db":
            (finished / "out" / name).unlink()
    result = hpsearch("report", finished)
    assert result.exit_code == 0 and result.stdout.startswith("honest score: ")
    # the page may say when it was made
    after = {name: data for name, data in contents(finished / "out").items() if "study.db-" not in name}
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name] and name != "report.html"] == []


def test_of_members_that_were_not_trained_again(study: Path) -> None:
    file = study / "study.toml"
    file.write_text(file.read_text().replace("[search]", "[search]\nrefit = false"))
    assert hpsearch("run", study).exit_code == 0
    before = (study / "out" / "summary.json").read_text()
    assert hpsearch("report", study).exit_code == 0
    assert (study / "out" / "summary.json").read_text() == before


def test_of_what_is_left(finished: Path) -> None:
    for kept in (finished / "out" / "study.db.fits" / "wine").glob("*_epoch_00009.safetensors"):
        kept.unlink()
    result = hpsearch("report", finished)
    assert result.exit_code == 0
    assert json.loads((finished / "out" / "summary.json").read_text())["n_trials"] == 9
    assert pd.read_csv(finished / "out" / "members.csv")["epoch"].max() == 3


def test_nothing_kept(study: Path) -> None:
    sentence = refused("report", study)
    assert sentence.endswith(f"nothing is kept of this study yet; `hpsearch run {study}` begins it")
    assert not (study / "out").exists()


def test_nothing_finished(finished: Path) -> None:
    shutil.rmtree(finished / "out" / "study.db.fits")
    assert "no trial has come to the end of its first rung yet" in refused("report", finished)


def test_of_other_data(finished: Path) -> None:
    table = (finished / "wine.csv").read_text()
    (finished / "wine.csv").write_text(table.replace("13.2,", "13.3,"))
    assert "was begun with other data" in refused("report", finished)
