from pathlib import Path

from hpsearch.cli.kept import reading
from hpsearch.cli.study_file import read_study_file
from tests.cli.studies import make_study, refused


def test_another_study_in_the_storage(finished: Path) -> None:
    make_study(finished, ('name = "wine"', 'name = "other"'))
    with reading(read_study_file(finished)) as record:
        assert record is None
    assert "nothing is kept of this study yet" in refused("report", finished)
