"""`hpsearch status`: how far a study is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from hpsearch.cli.kept import reading
from hpsearch.cli.show import show_items, show_table
from hpsearch.cli.stages import rung_name, trials_done
from hpsearch.cli.study_file import STUDY, read_study_file
from hpsearch.orchestrator.plan import Plan
from hpsearch.record.checkpoints import FolderCheckpoints
from hpsearch.record.lock import holder
from hpsearch.record.trials import IDENTITY, StudyRecord
from hpsearch.report.findings import STATES, number


@click.command()
@STUDY
def status(study: Path) -> None:
    """Say how far a study is, also while it runs.

    Takes no lock and reads no data. A trial counts for a rung as soon as its checkpoint is written; values are known
    when the rung ends. Survivors of a stage count where they go on; a trial that fails never reaches a later rung.

    \b
    Example:
        hpsearch status studies/digits
    """
    file = read_study_file(study)
    with reading(file) as record:
        if record is None:
            show_items({"study": file.name, "state": "not begun"})
            return
        plan, checkpoints = Plan.from_json(record.plan or []), cast(FolderCheckpoints, record.checkpoints)
        show_items(_items(file.name, plan, record, holder(checkpoints.path / "lock")))
        show_table(["stage", "rung", "epochs", "trials done", "of"], _rungs(plan, checkpoints.kept()))


def _items(name: str, plan: Plan, record: StudyRecord, run: str | None) -> dict[str, str]:
    """The study in a few lines; `run` is what the run that holds the lock says of itself."""
    trials = record.study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name for trial in trials)
    unfinished = "not finished, and no run is at it; `hpsearch run` continues it"
    # a trial that was begun is running only as long as a run is
    words = STATES | ({"RUNNING": "running"} if run else {})
    counted = ", ".join(f"{counts[state]:,} {word}" for state, word in words.items() if state in counts)
    return {
        "study": name,
        "state": f"running: {run}" if run else "finished" if record.is_over(plan.n_trials) else unfinished,
        "trials": f"{len(trials):,} of {plan.n_trials:,} drawn" + (f" ({counted})" if counted else ""),
        "best value so far": _best(record),
    }


def _best(record: StudyRecord) -> str:
    trials = record.study.get_trials(deepcopy=False)
    values = {trial.number: max(trial.intermediate_values.values()) for trial in trials if trial.intermediate_values}
    if not values:
        all_failed = trials and all(trial.state.is_finished() for trial in trials)
        return "none, for every trial failed" if all_failed else "none yet, the first rung has not ended"
    best = max(values, key=values.__getitem__)
    scoring = record.study.user_attrs[IDENTITY]["scoring"]
    return f"{number(values[best], 4)}, trial {best} ({scoring} on the validation rows, which it was chosen on)"


def _rungs(plan: Plan, kept: dict[int, set[int]]) -> Iterator[tuple[object, ...]]:
    """One row per rung: how many trials have come to its end, of those that will if none fails."""
    done = trials_done(plan, kept)
    for step in plan.steps():
        yield *rung_name(plan, step), step.epochs, done[step.stage, step.epochs], step.n_trained
