"""Progress of a search: a bar on a terminal, one quiet line per rung elsewhere."""

import math
import os
import time
from types import TracebackType
from typing import Any, Self

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import CohortRecord, RungRecord, StageRecord
from hpsearch.report.findings import counted, number, plan_text, time_text
from hpsearch.space.edges import EDGE
from hpsearch.space.refine import DROPPED, FAVOURED, NARROWED

MOST_DECISIONS = 4
"""A stage's decisions are told in so many lines, and the rest is counted."""


def decided(decisions: pd.DataFrame) -> list[str]:
    """What a stage decided, in a few lines: where the best trials crowd, what was dropped or favoured, or narrowed."""
    verdicts = decisions["verdict"]
    crowded = decisions[verdicts == EDGE]
    dropped = decisions[verdicts.str.startswith((DROPPED, FAVOURED))]
    narrowed = decisions[verdicts == NARROWED]
    sentences = [*crowded["sentence"], *dropped["sentence"]]
    lines = sentences[:MOST_DECISIONS]
    if len(sentences) > len(lines):
        lines.append(f"… and {counted(len(sentences) - len(lines), 'more decision')}")
    if len(narrowed):
        ranges = zip(narrowed["name"], narrowed["new_low"], narrowed["new_high"], strict=True)
        parts = [f"{name} [{number(low)}, {number(high)}]" for name, low, high in ranges]
        more = f" and {len(parts) - MOST_DECISIONS} more" if len(parts) > MOST_DECISIONS else ""
        lines.append(f"now mostly in: {', '.join(parts[:MOST_DECISIONS])}{more}")
    return lines


class StandardError(Console):
    """Standard error, as long as somebody reads it: a pipe that was closed, as in `2>&1 | head`, ends no search."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # what is still buffered is flushed at the exit, and must not fail there
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class ProgressReport:
    """A consumer of the loop's records that says how far the search is, on standard error.

    Args:
        plan: what is to be done; progress is measured in epochs.
        verbose: 0 for silence.
        seconds: what it may take, said before the start; None if nobody knows.
        n_folds: in which every trial is trained; 0 for none.
    """

    def __init__(self, plan: Plan, verbose: int, seconds: float | None = None, n_folds: int = 0) -> None:
        self._plan, self._n_folds = plan, n_folds
        self._console = StandardError(stderr=True, quiet=verbose == 0, highlight=False)
        self._best = -math.inf
        self._trained: set[int] = set()
        self._started = time.monotonic()
        self._time = "" if seconds is None else f"; about {time_text(seconds)}"
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[trials]}, best {task.fields[best]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=verbose == 0 or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("searching", total=plan.n_epochs, trials=counted(0, "trial"), best="–")

    def __enter__(self) -> Self:
        self._console.print(plan_text(self._plan, self._n_folds) + self._time, soft_wrap=True)
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def update(self, record: CohortRecord | RungRecord | StageRecord) -> None:
        """Take up one record of the loop."""
        if isinstance(record, CohortRecord):
            self._advance(record)
        elif isinstance(record, StageRecord):
            for sentence in decided(self._of_use(record)):
                self._console.print(sentence, soft_wrap=True)
        # of a rung that nobody has reached there is nothing to say
        elif not self._console.is_terminal and (record.results or not record.complete):
            self._say(record)

    def _of_use(self, record: StageRecord) -> pd.DataFrame:
        """The decisions but for where a next stage would narrow to, if there is none that draws."""
        is_last = all(stage.is_repeat for stage in self._plan.stages[record.stage + 1 :])
        return record.decisions[(record.decisions["verdict"] != NARROWED) | (not is_last)]

    def _advance(self, record: CohortRecord) -> None:
        values = [result.value for result in record.results if not math.isnan(result.value)]
        self._best = max([self._best, *values])
        self._trained.update(result.number for result in record.results)
        self._bar.update(
            self._task,
            advance=sum(result.budget - result.begun for result in record.results),
            description=self._where(record),
            trials=counted(len(self._trained), "trial"),
            best=number(self._best, 4),
        )

    def _where(self, record: Any) -> str:
        stage, n_stages = record.stage + 1, len(self._plan.stages)
        n_rungs = len(self._plan.stages[record.stage].rungs)
        name = self._plan.stages[record.stage].name
        prefix = f"stage {stage}/{n_stages} ({name}) " if n_stages > 1 else ""
        return f"{prefix}rung {record.rung + 1}/{n_rungs}"

    def _say(self, record: RungRecord) -> None:
        failed = sum(result.outcome is not None for result in record.results)
        self._console.print(
            f"{self._where(record)}: {counted(len(record.results), 'trial')} at {counted(record.epochs, 'epoch')}"
            + (f" ({failed:,} failed)" if failed else "")
            + ("" if record.complete else ", stopped before all were done")
            + f", best {number(self._best, 4)}, {time.monotonic() - self._started:.1f} s",
            soft_wrap=True,
        )
