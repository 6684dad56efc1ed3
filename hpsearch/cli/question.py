"""The question of a study file: its table read and its space understood, checked against each other."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from hpsearch.cli.ending import Refused, refusing
from hpsearch.cli.study_file import Data, StudyFile
from hpsearch.data.columns import did_you_mean
from hpsearch.data.table import read_source
from hpsearch.orchestrator.knowledge import Like
from hpsearch.orchestrator.plan import Plan
from hpsearch.space.space import entries_from_json
from hpsearch.study import Study


def checked_study(file: StudyFile) -> Study:
    """The study that a file asks for; reads its table, and writes nothing.

    Raises:
        Refused: for the first thing that is wrong.
    """
    with refusing(f"{file.path}: [space]"):
        space = entries_from_json(file.space)
    with refusing(f"{file.path}: [data] source = {file.data.source!r}"):
        table = read_source(file.data.source, base=file.path.parent)
    _check_columns(file, table)
    table = table.drop(columns=file.data.drop)
    weights = None if file.data.sample_weight is None else table.pop(file.data.sample_weight)
    groups = None if file.data.groups is None else table.pop(file.data.groups)
    search, given = file.search, given_plan(file)
    with refusing(file.path), _named_as_in_file(file.data):
        return Study.of(
            table, file.data.target, title=file.title, effort=search.effort, space=space,
            max_epochs=search.max_epochs if given is None else given.max_epochs,
            random_state=search.random_state, scoring=search.scoring, refine=search.refine, first=search.first,
            like=_earlier(file), task=file.data.task, categorical=file.data.categorical, sample_weight=weights,
            class_weight=file.data.class_weight, test_size=file.data.test_size, cv=search.cv, groups=groups,
            calibrate=search.calibrate,
        )  # fmt: skip


def given_plan(file: StudyFile) -> Plan | None:
    """The plan that a study file gives; None if it leaves that to us.

    Raises:
        Refused: for rungs whose epochs do not rise.
    """
    if not file.search.plan:
        return None
    with refusing(f"{file.path}: [search] plan"):
        return Plan.from_json([stage.model_dump() for stage in file.search.plan])


def _earlier(file: StudyFile) -> Like:
    """The earlier study to start from; its file lies relative to the study file."""
    like = file.search.like
    if like is None:
        return None
    path = file.path.parent / like.file
    return path if like.study_name is None else (path, like.study_name)


def _check_columns(file: StudyFile, table: pd.DataFrame) -> None:
    """Every column that is named must be there, and none that is dropped may be asked for."""
    names, data = list(table.columns), file.data
    asked = [("target", data.target), ("sample_weight", data.sample_weight), ("groups", data.groups)]
    asked += [("categorical", name) for name in data.categorical]
    for key, name in [*asked, *(("drop", name) for name in data.drop)]:
        if name is not None and name not in names:
            hint = did_you_mean(name, names)
            raise Refused(f"{file.path}: [data] {key} names {name!r}, which is no column of {data.source}{hint}")
    for key, name in asked:
        if name in data.drop:
            raise Refused(f"{file.path}: [data] drop names {name!r}, which {key} names too: it cannot be both")


@contextmanager
def _named_as_in_file(data: Data) -> Iterator[None]:
    """Where an error of the library speaks of X or y, add what that is in the study file."""
    meanings = {"X": f"X is the table {data.source}", "y": f"y is its column {data.target!r}"}
    try:
        yield
    except ValueError as error:
        told = [meaning for name, meaning in meanings.items() if re.search(rf"\b{name}\b", str(error))]
        raise ValueError(f"{error} ({', '.join(told)})" if told else str(error)) from error
