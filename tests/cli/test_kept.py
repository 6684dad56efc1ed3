from pathlib import Path

import pytest

from hpsearch.cli.kept import reading
from hpsearch.cli.study_file import read_study_file
from hpsearch.record.journal import open_storage
from tests.cli.studies import contents, hpsearch, make_study, refused


@pytest.mark.parametrize("verb", ["run", "validate", "plan", "status", "report"])
def test_a_study_that_was_given_another_name(finished: Path, verb: str) -> None:
    make_study(finished, ('name = "wine"', 'name = "other"'))
    before = {name: data for name, data in contents(finished).items() if "study.db-" not in name}
    sentence = refused(verb, finished)
    assert f"name = 'other', but {finished / 'out' / 'study.db'} keeps the study 'wine'; give it that name" in sentence
    assert {name: data for name, data in contents(finished).items() if "study.db-" not in name} == before
    (finished / "out").rename(finished / "earlier")
    assert hpsearch("run", finished, "--quiet").exit_code == 0


def test_killed_before_anything_was_recorded(study: Path) -> None:
    (study / "out").mkdir()
    open_storage(study / "out" / "study.db")
    with reading(read_study_file(study)) as record:
        assert record is None
    assert "nothing is kept of this study yet" in refused("report", study)
    assert hpsearch("run", study, "--quiet").exit_code == 0
