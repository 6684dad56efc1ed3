"""study.toml: what a study asks for, read and checked key by key, without a look at the data."""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from hpsearch.cli.ending import Refused
from hpsearch.record.trials import STUDY_NAME_RULE, can_name_a_study

STUDY_FILE = "study.toml"
STUDY = click.argument("study", type=click.Path(path_type=Path))


class Section(BaseModel):
    """A table of the file: every key has its type, and unknown ones are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    """[data]: where the table is, and what its columns are; see `search` for what each key means.

    `drop` names columns that are left out as if the table did not have them.
    """

    source: str
    target: str
    drop: list[str] = []
    categorical: list[str] = []
    task: Literal["binary", "multiclass", "regression"] | None = None
    test_size: int | float | None = None
    sample_weight: str | None = None
    class_weight: Literal["balanced"] | None = None
    groups: str | None = None


class RungAsked(Section):
    """A rung of a stage of [[search.plan]]."""

    epochs: int = Field(ge=1)
    keep: int = Field(ge=1)


class StageAsked(Section):
    """[[search.plan]]: one stage; see `Stage` for what each key means."""

    name: str
    n_trials: int = Field(ge=1)
    rungs: list[RungAsked]


class Earlier(Section):
    """The file of an earlier study, relative to the study file, and its name, where the file holds several."""

    file: str
    study_name: str | None = None


class Search(Section):
    """[search]: how the space is searched; see `search` for what each key means.

    What is no text, number or table cannot be given: an estimator, a sampler, a splitter or a score of one's own.
    """

    effort: Literal["quick", "standard", "thorough"] = "standard"
    n_trials: int | None = Field(default=None, ge=1)
    max_epochs: int | None = Field(default=None, ge=1)
    plan: list[StageAsked] = []
    refine: Literal["off", "warn", "auto"] = "auto"
    first: list[dict[str, Any]] = []
    like: Earlier | None = None
    cv: int | None = Field(default=None, ge=1)
    timeout: float | None = Field(default=None, ge=0)
    n_jobs: int = -1
    backend: Literal["threading", "loky", "sequential"] | None = None
    random_state: int = Field(default=0, ge=0, lt=2**64)
    scoring: list[str] | None = None
    refit: bool | None = None
    calibrate: bool = False
    max_members: int | None = Field(default=None, ge=1)
    max_predict_ms: float | None = Field(default=None, gt=0)
    synchronous: Literal["normal", "full"] = "normal"

    @field_validator("n_jobs")
    @classmethod
    def _not_none_at_all(cls, n_jobs: int) -> int:
        if n_jobs == 0:
            raise ValueError("must be a number of workers, or -1 for one per core, but not 0")
        return n_jobs

    @field_validator("scoring", mode="before")
    @classmethod
    def _only_one(cls, scoring: object) -> object:
        return [scoring] if isinstance(scoring, str) else scoring

    @field_validator("like", mode="before")
    @classmethod
    def _only_a_file(cls, like: object) -> object:
        return {"file": like} if isinstance(like, str) else like

    @field_validator("plan")
    @classmethod
    def _has_epochs_of_its_own(cls, plan: list[StageAsked], values: ValidationInfo) -> list[StageAsked]:
        if plan and values.data.get("max_epochs") is not None:
            raise ValueError("must not be given beside max_epochs: its rungs have epochs of their own")
        return plan


class Report(Section):
    """[report]: what is written on the page."""

    title: str | None = None


class Content(Section):
    """A whole study file. The entries of [space] are read by `space.entries_from_json`."""

    name: str
    data: Data
    space: dict[str, Any] = {}
    search: Search = Search()
    report: Report = Report()

    @field_validator("name")
    @classmethod
    def _can_name_a_folder(cls, name: str) -> str:
        if not name[:1].isalnum() or len(name) > 60:
            raise ValueError("must be a text of 1 to 60 characters that begins with a letter or a digit")
        if not can_name_a_study(name):
            raise ValueError(f"must be {STUDY_NAME_RULE}")
        return name


class StudyFile(Content):
    """A study file and the places that follow from where it lies."""

    path: Path

    @property
    def out(self) -> Path:
        """The folder of all that comes of the study."""
        return self.path.parent / "out"

    @property
    def storage(self) -> Path:
        """The file of its trials; its checkpoints and the lock lie beside it."""
        return self.out / "study.db"

    @property
    def model(self) -> Path:
        """The folder of its model."""
        return self.out / "model"

    @property
    def title(self) -> str:
        """What the page is called."""
        return self.report.title or self.name


SECTIONS: dict[str, type[Section]] = {"data": Data, "search": Search, "report": Report}
PARTS: dict[str, type[Section]] = {"plan": StageAsked, "rungs": RungAsked, "like": Earlier}
"""Keys of a section whose values are tables with keys of their own."""
KEYS = {key for section in (*SECTIONS.values(), *PARTS.values()) for key in section.model_fields}


def overridden(file: StudyFile, **given: Any) -> StudyFile:
    """The file with the settings of [search] that were given on the command line; None is not given.

    Raises:
        Refused: for a value that breaks its rule.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        return file.model_copy(update={"search": Search(**(dict(file.search) | settings))})
    except ValidationError as error:
        raise Refused(_sentence(error.errors())) from None


def study_path(study: Path) -> Path:
    """The path of a study's file, given that or its folder.

    Raises:
        Refused: if there is none.
    """
    path = study / STUDY_FILE if study.is_dir() else study
    if path.name != STUDY_FILE:
        raise Refused(f"{study} is no study: give a folder that holds a {STUDY_FILE}, or the path of that file")
    if not path.is_file():
        raise Refused(f"{path}: there is no such file")
    return path


def read_study_file(study: Path) -> StudyFile:
    """Read and check the file of a study, given its path or its folder.

    Raises:
        Refused: for the first thing that is wrong, naming file, key, value and rule.
    """
    path = study_path(study)
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not TOML: it is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{path} is not TOML: {error}") from None
    try:
        return StudyFile(**dict(Content.model_validate(content)), path=path)
    except ValidationError as error:
        raise Refused(f"{path}: {_sentence(error.errors())}") from None


def _sentence(errors: list[ErrorDetails]) -> str:
    """The first thing that is wrong, in words."""
    first = errors[0]
    (top, *rest), value = first["loc"], first["input"]
    if first["type"] in ("extra_forbidden", "missing") and len(rest) > 1:
        return _of_a_part(first)
    if first["type"] == "extra_forbidden":
        return _unknown(str(top), str(rest[0])) if rest else _unknown("", str(top), isinstance(value, dict))
    if first["type"] == "missing":
        return f"[{top}] lacks {rest[0]}" if rest else f"it lacks {_named(str(top))}"
    if first["type"] in ("model_type", "dict_type") and not rest:
        return f"{top} = {value!r} must be a section, [{top}]"
    where = _place(first["loc"])
    if first["type"] == "model_type":
        return f"{where} = {value!r} must be a table with the keys {', '.join(_part(rest).model_fields)}"
    # a value that may be of several types has one error for each
    messages = [error["msg"] for error in errors if error["loc"][:2] == first["loc"][:2]]
    rules = [message.removeprefix("Value error, must be ").removeprefix("Input should be ") for message in messages]
    return f"{where} = {value!r} must be {' or '.join(rules)}"


def _place(loc: tuple[int | str, ...]) -> str:
    """Where in the file something is: "[search] plan[0] rungs[1] epochs"."""
    top, *rest = loc
    # of a value that may be of several types, the type stands in the place as well
    shown = [part for part in rest if isinstance(part, int) or part in KEYS]
    parts = [f"[{part}]" if isinstance(part, int) else f" {part}" for part in shown]
    return (f"[{top}]" if rest else str(top)) + "".join(parts)


def _part(loc: Sequence[int | str]) -> type[Section]:
    """What the table at a place inside a section is made of."""
    return next(PARTS[part] for part in reversed(loc) if isinstance(part, str) and part in PARTS)


def _of_a_part(error: ErrorDetails) -> str:
    """What to say of a key that a table inside a section lacks, or has and should not."""
    *place, key = error["loc"]
    if error["type"] == "missing":
        return f"{_place(tuple(place))} lacks {key}"
    known = _part(place).model_fields
    nearest = get_close_matches(str(key), known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"{_place(tuple(place))} {key} is not known; {hint}"


def _unknown(section: str, key: str, is_section: bool = False) -> str:
    """What to say of a key that is not known, with the nearest right name or the section it belongs to."""
    known = list((SECTIONS[section] if section else Content).model_fields)
    where = f"[{section}] {key}" if section else f"[{key}]" if is_section else key
    nearest = get_close_matches(key, known, n=1)
    home = [name for name, model in SECTIONS.items() if key in model.model_fields]
    if nearest:
        return f"{where} is not known; did you mean {_named(nearest[0])}?"
    if home:
        return f"{where} is not known here; it belongs in the section [{home[0]}]"
    return f"{where} is not known; known are {', '.join(_named(name) for name in known)}"


def _named(key: str) -> str:
    return f"[{key}]" if key in SECTIONS or key == "space" else key
