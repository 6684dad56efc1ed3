"""`hpsearch validate`: is a study file sound, and what would a run do?"""

from pathlib import Path

import click

from hpsearch.cli.ending import refusing
from hpsearch.cli.kept import reading
from hpsearch.cli.question import checked_study, given_plan
from hpsearch.cli.show import show_items, show_table, show_warnings
from hpsearch.cli.stages import rung_name, state_of
from hpsearch.cli.study_file import STUDY, read_study_file
from hpsearch.data.columns import Dropped, listed
from hpsearch.data.dataset import Dataset
from hpsearch.space.conversion import to_json
from hpsearch.space.space import SearchSpace


@click.command()
@STUDY
def validate(study: Path) -> None:
    """Check a study file against its data; nothing is run or written.

    What was found in the data, the space and the plan is shown. A study that was begun must still be the same.

    \b
    Example:
        hpsearch validate studies/digits
    """
    file = read_study_file(study)
    asked = checked_study(file)
    with reading(file) as record, refusing(file.path):
        plan = asked.planned(record, file.search.n_trials, given_plan(file))
        state = state_of(record, plan)
    found = _found(asked.dataset, file.data.drop)
    show_items(
        {"study": f"{file.name}, {state}", **found, "score": ", ".join(scorer.name for scorer in asked.problem.scorers)}
    )
    show_table(["hyperparameter", "searched in"], _ranges(asked.problem.drawing.space))
    rungs = [(*rung_name(plan, step), step.n_trained, step.epochs) for step in plan.steps()]
    show_table(["stage", "rung", "trials", "epochs"], rungs)
    show_warnings(asked.warnings)


def _found(dataset: Dataset, left_out: list[str]) -> dict[str, str]:
    """What was found in the data; `left_out` are the columns that the study file drops."""
    rows, encoding, target = dataset.rows, dataset.encoding, dataset.target
    parts = {part: len(getattr(rows, part)) for part in ("train", "valid", "select", "test")}
    dropped = [f"{name} (as asked)" for name in dict.fromkeys(left_out)]
    dropped += [f"{column.name} ({column.reason})" for column in encoding.columns if isinstance(column, Dropped)]
    classes = "" if target.classes is None else f", {len(target.classes)} classes: {listed(target.classes.tolist())}"
    return {
        "task": f"{target.task}, target {target.name!r}{classes}",
        "rows": f"{len(dataset.y):,}: "
        + ", ".join(f"{count:,} {part}" for part, count in parts.items() if count or part == "test")
        + (f"; {len(dataset.folds)} folds" if dataset.folds else ""),
        "numeric columns": _counted([column.name for column in encoding.numeric]),
        "categorical columns": _counted([column.name for column in encoding.categorical]),
        "dropped columns": _counted(dropped),
        "inputs": f"{dataset.n_inputs:,}",
    }


def _counted(names: list[str]) -> str:
    return f"{len(names):,}: {listed(names, str)}" if names else "0"


def _ranges(space: SearchSpace) -> list[tuple[str, str]]:
    """One row per hyperparameter, in the words of a study file."""
    rows = []
    for name, entry in space.entries.items():
        record = to_json(entry)
        if isinstance(record, dict):
            settings = [f"{key} = {value}" for key, value in record.items() if key not in ("distribution", "natural")]
            rows.append((name, f"{record['distribution']}: {', '.join(settings)}"))
        else:
            rows.append((name, f"fixed: {record}"))
    return rows
