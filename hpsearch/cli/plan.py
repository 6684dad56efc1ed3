"""`hpsearch plan`: what a run would do, and how long it may take."""

from pathlib import Path
from typing import cast

import click

from hpsearch.cli.ending import refusing
from hpsearch.cli.kept import reading
from hpsearch.cli.question import checked_study, given_plan
from hpsearch.cli.show import show_items, show_table, show_warnings
from hpsearch.cli.stages import epochs_done, rung_name, state_of, trials_done
from hpsearch.cli.study_file import STUDY, overridden, read_study_file
from hpsearch.orchestrator.calibration import seconds_of
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Workers
from hpsearch.record.checkpoints import FolderCheckpoints
from hpsearch.report.findings import counted, plan_text, time_text
from hpsearch.study import Study

COLUMNS = ["stage", "rung", "epochs each", "trained", "contenders", "kept", "epochs in all", "done"]


@click.command()
@STUDY
@click.option("--n-trials", type=int, help="The study's total, in the place of that of study.toml.")
@click.option("--n-jobs", type=int, help="Workers the time is estimated for; -1 for one per core.")
def plan(study: Path, n_trials: int | None, n_jobs: int | None) -> None:
    """Say what a run would do, and how long it may take; nothing is written.

    A row per rung: how many trials are trained up to it, how many contend there (with the survivors of earlier stages
    that stand there already), how many of these are kept, and how many have been trained so far. For the time, some of
    the configs that would be drawn first are trained for a moment.

    \b
    Example:
        hpsearch plan studies/digits
        hpsearch plan studies/digits --n-trials 128
    """
    file = overridden(read_study_file(study), n_trials=n_trials, n_jobs=n_jobs)
    asked, workers = checked_study(file), Workers(file.search.n_jobs, file.search.backend)
    with reading(file) as record:
        with refusing(file.path):
            planned = asked.planned(record, file.search.n_trials, given_plan(file))
        state, kept = state_of(record, planned), {}
        if record is not None:
            kept = cast(FolderCheckpoints, record.checkpoints).kept()
    done = epochs_done(kept)
    items = {"study": f"{file.name}, {state}", "plan": plan_text(planned, len(asked.dataset.folds))}
    items |= {"done": f"{done:,} of {counted(planned.n_epochs, 'epoch')}"} if kept else {}
    if state != "finished":
        items["time left" if kept else "time"] = _time(asked, planned, workers.n_workers, 1 - done / planned.n_epochs)
    show_items(items)
    show_table(COLUMNS, _rows(planned, kept))
    show_warnings(asked.warnings)


def _rows(plan: Plan, kept: dict[int, set[int]]) -> list[tuple[object, ...]]:
    done = trials_done(plan, kept)
    return [
        (
            *rung_name(plan, step), step.epochs, f"{step.n_trained:,}", f"{step.n_contenders:,}", f"{step.keep:,}",
            f"{step.n_epochs:,}", f"{done[step.stage, step.epochs]:,}",
        )
        for step in plan.steps()
    ]  # fmt: skip


def _time(asked: Study, plan: Plan, n_workers: int, share: float) -> str:
    """An estimate in words, of this share of the plan's epochs."""
    estimate = seconds_of(asked.problem, plan, n_workers)
    between = time_text(share * estimate.low, share * estimate.high)
    return f"about {between} with {counted(n_workers, 'worker')}, as busy as this machine is now"
