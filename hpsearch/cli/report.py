"""`hpsearch report`: tables and page, from what is kept."""

from pathlib import Path

import click

from hpsearch.cli.ending import NoModel, Refused, refusing
from hpsearch.cli.findings import show_findings, write_findings, write_trials
from hpsearch.cli.kept import reading
from hpsearch.cli.question import checked_study
from hpsearch.cli.study_file import STUDY, read_study_file
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Workers
from hpsearch.orchestrator.stop import Stop
from hpsearch.study import AllTrialsFailed


@click.command()
@STUDY
def report(study: Path) -> None:
    """Write tables and page again from what is kept; nothing is trained.

    Works while a run is going, and tells of it as far as it is. The model is left as it is.

    \b
    Example:
        hpsearch report studies/digits
    """
    file = read_study_file(study)
    asked = checked_study(file)
    with reading(file) as record:
        if record is None:
            raise Refused(f"{file.path}: nothing is kept of this study yet; `hpsearch run {study}` begins it")
        with refusing(file.path):
            plan = asked.planned(record, Plan.from_json(record.plan or []).n_trials)
        try:
            limits = asked.limits(file.search.max_members, file.search.max_predict_ms)
            _, findings = asked.carry_out(
                plan, record, Stop(timeout=0), Workers(1), refit=file.search.refit, limits=limits
            )
        except AllTrialsFailed as error:
            table = write_trials(record, file.out)
            raise NoModel(f"{file.path}: {error} ({table} has the advice for each)") from error
        except TimeoutError:
            raise Refused(f"{file.path}: no trial has come to the end of its first rung yet") from None
    show_findings(findings, file.out, write_findings(findings, file.out))
