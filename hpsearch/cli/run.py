"""`hpsearch run`: a study carried out, or continued."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from hpsearch.cli.ending import FailedOn, NoModel, refusing
from hpsearch.cli.findings import show_findings, write_findings, write_trials
from hpsearch.cli.kept import refuse_another_name
from hpsearch.cli.question import checked_study, given_plan
from hpsearch.cli.study_file import STUDY, StudyFile, overridden, read_study_file
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Workers
from hpsearch.orchestrator.stop import Stop
from hpsearch.record.folder import refuse_foreign, remove_leftovers, writing_in_words
from hpsearch.record.trials import StudyRecord, open_record
from hpsearch.report.findings import Findings
from hpsearch.space.edges import EDGE
from hpsearch.study import AllTrialsFailed, Study


def _edges(findings: Findings) -> str:
    names = findings.latest_decisions.loc[findings.latest_decisions["verdict"] == EDGE, "name"]
    return f"the best trials crowd at an edge of {', '.join(names.unique())}" if len(names) else ""


def _failures(findings: Findings) -> str:
    n_failed = int((findings.trials["state"] == "FAIL").sum())
    return f"{n_failed} of {len(findings.trials)} trials failed" if n_failed else ""


FAIL_ON: dict[str, Callable[[Findings], str]] = {"edge": _edges, "failures": _failures}
"""What `--fail-on` may name: each says in a sentence what there is of it, or nothing."""


def _names(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in FAIL_ON:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(FAIL_ON)}")
    return names


@click.command()
@STUDY
@click.option(
    "--n-trials",
    type=int,
    help="The study's total; with more than before, the missing ones are drawn; with fewer, none.",
)
@click.option("--n-jobs", type=int, help="Workers; -1 for one per core.")
@click.option("--timeout", type=float, metavar="SECONDS", help="What is finished by then is used.")
@click.option("--fail-on", callback=_names, default="", metavar="edge,failures", help="Exit with 3 if there are any.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def run(
    study: Path, n_trials: int | None, n_jobs: int | None, timeout: float | None, fail_on: list[str], quiet: bool
) -> None:
    """Carry out a study, or continue it.

    What is kept of it is not trained again. Tables, page and model are written to its folder out/, also after Ctrl-C
    or SIGTERM, from what was finished by then; a second Ctrl-C gives that up. The options override study.toml.

    \b
    Example:
        hpsearch run studies/digits
        hpsearch run studies/digits --n-trials 128 --fail-on=edge,failures
    """
    file = overridden(read_study_file(study), n_trials=n_trials, n_jobs=n_jobs, timeout=timeout)
    asked = checked_study(file)
    search = file.search
    limits = asked.limits(search.max_members, search.max_predict_ms)
    stop, workers = Stop(search.timeout), Workers(search.n_jobs, search.backend)
    with _writing(file, asked) as (record, plan), stop.on_interrupt():
        try:
            ensemble, findings = asked.carry_out(
                plan, record, stop, workers, refit=search.refit, limits=limits, verbose=0 if quiet else 1
            )
        except AllTrialsFailed as error:
            table = write_trials(record, file.out)
            raise NoModel(f"{file.path}: {error} ({table} has the advice for each)") from error
        ensemble.save(file.model)
        names = [file.model.name, *write_findings(findings, file.out)]
    if not quiet:
        show_findings(findings, file.out, names)
    if stop.interrupted and findings.ended != "finished":
        raise KeyboardInterrupt(f"stopped; what was finished is kept, and `hpsearch run {study}` continues it")
    found = [sentence for name in fail_on if (sentence := FAIL_ON[name](findings))]
    if found:
        raise FailedOn(f"--fail-on: {'; '.join(found)}")


@contextmanager
def _writing(file: StudyFile, asked: Study) -> Iterator[tuple[StudyRecord, Plan]]:
    """The record of the study and its plan, begun or continued, with the lock held.

    Raises:
        Refused: if it cannot be written, is of another name or question, or another run holds the lock.
    """
    with ExitStack() as stack:
        with refusing(file.path):
            with writing_in_words(file.out):
                file.out.mkdir(exist_ok=True)
            refuse_foreign(file.model)
            refuse_another_name(file)
            record = stack.enter_context(open_record(file.storage, file.name, synchronous=file.search.synchronous))
            remove_leftovers(file.out)
            plan = asked.plan(record, file.search.n_trials, given_plan(file))
        yield record, plan
