from pathlib import Path

import pytest

from hpsearch.cli.ending import Refused
from hpsearch.cli.study_file import StudyFile, overridden, read_study_file
from hpsearch.record.trials import STUDY_NAME_RULE
from tests.cli.studies import STUDY, make_study, refused


def written(folder: Path, text: str) -> Path:
    (folder / "study.toml").write_text(text)
    return folder


def sentence(folder: Path) -> str:
    """What is said of the study in a folder, without the name of the file that it must begin with."""
    with pytest.raises(Refused) as refused:
        read_study_file(folder)
    file = f"{folder / 'study.toml'}"
    assert refused.value.message.startswith(file)
    return refused.value.message.removeprefix(file).removeprefix(": ")


class TestSoundFiles:
    @pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes", "wine_csv"])
    def test_bundled_studies(self, name: str) -> None:
        folder = Path(__file__).parents[2] / "studies" / name
        file = read_study_file(folder)
        assert file.name == name
        assert (folder / "README.md").is_file()

    def test_defaults(self, tmp_path: Path) -> None:
        file = read_study_file(written(tmp_path, 'name = "a"\n[data]\nsource = "a.csv"\ntarget = "y"\n'))
        assert (file.search.n_trials, file.search.random_state, file.search.n_jobs) == (None, 0, -1)
        assert (file.search.refine, file.search.first, file.search.like, file.search.plan) == ("auto", [], None, [])
        assert file.space == {} and file.title == "a" and file.data.drop == []

    def test_places_lie_beside_the_file(self, tmp_path: Path) -> None:
        for given in (written(tmp_path, STUDY), tmp_path / "study.toml"):
            file = read_study_file(given)
            assert file.path == tmp_path / "study.toml"
            assert file.storage == tmp_path / "out" / "study.db"
            assert file.model == tmp_path / "out" / "model"

    @pytest.mark.parametrize(("written_as", "value"), [("0.2", 0.2), ("30", 30)])
    def test_test_size_is_a_share_or_a_number(self, tmp_path: Path, written_as: str, value: float) -> None:
        file = read_study_file(make_study(tmp_path, ("test_size = 0.2", f"test_size = {written_as}")))
        assert file.data.test_size == value
        assert type(file.data.test_size) is type(value)

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbf" + STUDY.encode())
        assert read_study_file(tmp_path).name == "wine"


UNSOUND = {
    "n_trials = 9": [
        ("n_trails = 9", "[search] n_trails is not known; did you mean n_trials?"),
        ("title = 9", "[search] title is not known here; it belongs in the section [report]"),
        ("n_trials = 0", "[search] n_trials = 0 must be greater than or equal to 1"),
        ("n_trials = '9'", "[search] n_trials = '9' must be a valid integer"),
        ("n_trials = 9.5", "[search] n_trials = 9.5 must be a valid integer"),
        ("n_trials = true", "[search] n_trials = True must be a valid integer"),
        ("timeout = nan", "[search] timeout = nan must be a finite number"),
        ("timeout = -1", "[search] timeout = -1 must be greater than or equal to 0"),
        ("random_state = -1", "[search] random_state = -1 must be greater than or equal to 0"),
        ("backend = 'ray'", "[search] backend = 'ray' must be 'threading', 'loky' or 'sequential'"),
        ("refit = 1", "[search] refit = 1 must be a valid boolean"),
        ("refine = 'on'", "[search] refine = 'on' must be 'off', 'warn' or 'auto'"),
        ("max_members = 0", "[search] max_members = 0 must be greater than or equal to 1"),
        ("max_predict_ms = 0", "[search] max_predict_ms = 0 must be greater than 0"),
        ("scoring = 3", "[search] scoring = 3 must be a valid list"),
        ("scoring = ['r2', 3]", "[search] scoring[1] = 3 must be a valid string"),
        ("first = { dropout = 0.1 }", "[search] first = {'dropout': 0.1} must be a valid list"),
        ("first = [0.1]", "[search] first[0] = 0.1 must be a valid dictionary"),
        ("like = 3", "[search] like = 3 must be a table with the keys file, study_name"),
        ("like = { path = 'a.db' }", "[search] like lacks file"),
        ("like = { file = 'a.db', name = 'a' }", "[search] like name is not known; known are file, study_name"),
        ("plan = 3", "[search] plan = 3 must be a valid list"),
        ("plan = [3]", "[search] plan[0] = 3 must be a table with the keys name, n_trials, rungs"),
        ("plan = [{ name = 'a', n_trials = 3 }]", "[search] plan[0] lacks rungs"),
        (
            "plan = [{ name = 'a', n_trials = 0, rungs = [] }]",
            "[search] plan[0] n_trials = 0 must be greater than or equal to 1",
        ),
        (
            "plan = [{ name = 'a', n_trials = 3, rungs = [{ epoch = 1, keep = 1 }] }]",
            "[search] plan[0] rungs[0] lacks epochs",
        ),
        (
            "plan = [{ name = 'a', n_trials = 3, rungs = [{ epochs = 1, keep = 1, eta = 3 }] }]",
            "[search] plan[0] rungs[0] eta is not known; known are epochs, keep",
        ),
        (
            "plan = [{ name = 'a', n_trials = 3, rungs = [{ epochs = 1, keep = 0 }] }]",
            "[search] plan[0] rungs[0] keep = 0 must be greater than or equal to 1",
        ),
    ],
    "cv = 1": [
        ("cv = 0", "[search] cv = 0 must be greater than or equal to 1"),
        ("cv = 'KFold'", "[search] cv = 'KFold' must be a valid integer"),
    ],
    "n_jobs = 1": [
        ("n_jobs = 0", "[search] n_jobs = 0 must be a number of workers, or -1 for one per core, but not 0")
    ],
    "[search]": [
        ("[serach]", "[serach] is not known; did you mean [search]?"),
        ("[zzz]", "[zzz] is not known; known are name, [data], [space], [search], [report]"),
    ],
    "test_size = 0.2": [
        ("test_size = '1'", "[data] test_size = '1' must be a valid integer or a valid number"),
        ("categorical = ['a', 1]", "[data] categorical[1] = 1 must be a valid string"),
        ("drop = 'a'", "[data] drop = 'a' must be a valid list"),
        ("categorical = 'a'", "[data] categorical = 'a' must be a valid list"),
        ("task = 'classes'", "[data] task = 'classes' must be 'binary', 'multiclass' or 'regression'"),
        ("n_trials = 5", "[data] n_trials is not known here; it belongs in the section [search]"),
    ],
    'target = "cultivar"': [("", "[data] lacks target"), ("target = 3", "[data] target = 3 must be a valid string")],
    "[data]": [("", "it lacks [data]")],
    'name = "wine"': [
        ("", "it lacks name"),
        ("n_trials = 3\nname = 'wine'", "n_trials is not known here; it belongs in the section [search]"),
        ("name = '..'", "name = '..' must be a text of 1 to 60 characters that begins with a letter or a digit"),
        ('name = "a\\n"', f"name = 'a\\n' must be {STUDY_NAME_RULE}"),
        (f"name = '{'é' * 50}'", f"name = '{'é' * 50}' must be {STUDY_NAME_RULE}"),
        ("name = 'wine'\nreport = 3", "report = 3 must be a section, [report]"),
    ],
}


class TestUnsoundFiles:
    @pytest.mark.parametrize(("old", "new", "said"), [(old, *case) for old, cases in UNSOUND.items() for case in cases])
    def test_first_fault_is_named(self, tmp_path: Path, old: str, new: str, said: str) -> None:
        assert sentence(make_study(tmp_path, (old, new))) == said

    def test_no_toml(self, tmp_path: Path) -> None:
        assert "is not TOML: " in sentence(written(tmp_path, 'name = "a"\nsource\n'))
        assert "line 2" in sentence(tmp_path)

    def test_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "study.toml").write_bytes(b'name = "\xff"')
        assert sentence(tmp_path) == " is not TOML: it is not UTF-8 text (byte 8)"

    def test_no_file(self, tmp_path: Path) -> None:
        assert sentence(tmp_path) == "there is no such file"
        with pytest.raises(Refused, match="is no study: give a folder that holds a study.toml"):
            read_study_file(tmp_path / "wine")


@pytest.mark.parametrize("verb", ["run", "validate", "plan", "status", "report", "predict"])
@pytest.mark.parametrize(
    ("text", "said"), [("name =", "is not TOML: "), ("name = 'a'", "it lacks [data]"), (None, "there is no such file")]
)
def test_every_verb_refuses_in_one_sentence(tmp_path: Path, verb: str, text: str | None, said: str) -> None:
    if text is not None:
        written(tmp_path, text)
    sentence = refused(verb, tmp_path, *(["new.csv"] if verb == "predict" else []))
    assert sentence.startswith(str(tmp_path / "study.toml")) and said in sentence
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.toml"] * (text is not None)


class TestOverridden:
    @pytest.fixture
    def file(self, tmp_path: Path) -> StudyFile:
        return read_study_file(make_study(tmp_path))

    def test_what_is_given_counts(self, file: StudyFile) -> None:
        search = overridden(file, n_trials=3, n_jobs=None).search
        assert (search.n_trials, search.n_jobs, search.max_epochs) == (3, 1, 9)

    @pytest.mark.parametrize("given", [{"n_trials": 0}, {"n_jobs": 0}, {"timeout": float("nan")}])
    def test_rules_hold(self, file: StudyFile, given: dict[str, float]) -> None:
        with pytest.raises(Refused, match=f"{next(iter(given))} = .* must be"):
            overridden(file, **given)
