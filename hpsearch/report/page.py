"""The page: one self-contained HTML file that tells what a search found, for a morning coffee, a phone or a printer.

Nothing is fetched from anywhere, and nothing runs in it. The same findings give the same bytes. Every text that comes
from a user passes through `escape`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.ensemble.average import FAVOURITE
from hpsearch.ensemble.calibration import brier_score, reliability
from hpsearch.ensemble.kinds import CHOSEN_FROM
from hpsearch.orchestrator.plan import Plan
from hpsearch.record.folder import write_file
from hpsearch.report import course, figures, plots, remarks
from hpsearch.report.findings import (
    ENDINGS,
    STATES,
    Findings,
    config_text,
    counted,
    duration,
    in_folds,
    number,
    numbers,
    plan_text,
    summary_table,
    with_deviation,
)
from hpsearch.space.distributions import Choice
from hpsearch.space.edges import DIVERGENCE, EDGE, FLAT, INSIDE, NATURAL_BOUND, UNDECIDED
from hpsearch.space.refine import NARROWED

N_BEST = 10

END_SIGNS = {
    EDGE: ("▶", "the best crowd at this end"),
    NATURAL_BOUND: ("|", "they do, but it is a natural bound"),
    DIVERGENCE: ("✖", "trials fail towards this end"),
}
"""What stands at the end of a range in the course of the search, by verdict."""

# Long lists are cut after so many rows, and the rest is counted.
MOST_ROWS = 10

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --muted: #5c6874; --hair: #dfe4e9; --paper: #fff;
  --mark: #eaf2fb; --warn: #fdf1e6; --accent: #b84c06; }
@media screen and (prefers-color-scheme: dark) {
  .chart svg, .legend i { filter: invert(.92) hue-rotate(180deg) brightness(1.2); }
  :root { --ink: #e3e8ed; --muted: #9aa6b2; --hair: #333c46; --paper: #15191e;
    --mark: #1b2c40; --warn: #33261a; --accent: #f0924c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--hair); }
h3 { font-size: .95rem; margin: 0 0 .25rem; } h3 em { font-style: normal; font-weight: 400; color: var(--accent); }
p { margin: .5rem 0 1rem; max-width: 46rem; }
.lead { font-size: 1.2rem; line-height: 1.5; } .lead b { white-space: nowrap; }
.note, .legend, footer { color: var(--muted); font-size: .9rem; }
.warnings { background: var(--warn); border-left: 4px solid var(--accent); padding: .75rem 1rem; margin: 1.5rem 0; }
.warnings ul { margin: .25rem 0 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: .75rem 0 1.5rem;
  background: linear-gradient(to left, var(--paper) 50%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to left, #8886, transparent) right / .75rem 100% no-repeat; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.4; }
th, td { padding: .38rem .7rem .38rem .4rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--hair); font-variant-numeric: tabular-nums; }
th { color: var(--muted); font-weight: 500; vertical-align: bottom; white-space: normal; overflow-wrap: normal; }
.text { text-align: left; }
td.long { white-space: normal; min-width: 16rem; }
details { margin: .5rem 0 1.5rem; } summary { color: var(--muted); cursor: pointer; }
tr.marked td { background: var(--mark); font-weight: 600; } .summary td:first-child { color: var(--muted); }
.charts { display: grid; gap: 1.75rem 1.5rem; margin: 1rem 0 1.5rem; }
.charts.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
.charts.narrow { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); }
.chart { margin: 0; min-width: 0; break-inside: avoid; } .chart svg { display: block; width: 100%; height: auto; }
.chart svg * { stroke-linejoin: round; } .chart svg text { font-family: inherit !important; }
.legend span { display: inline-block; margin-right: 1.2rem; } .legend i { font-style: normal; margin-right: .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; margin: .5rem 0; }
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 34rem) { main { padding: 1.5rem 1rem 3rem; } h1 { font-size: 1.5rem; } .lead { font-size: 1.1rem; }
  dl, .summary td { display: block; } .summary td:first-child { border: 0; padding-bottom: 0; } }
@media print { body { font-size: 10pt; } main { max-width: none; padding: 0; } h2, h3, p { break-after: avoid; }
  tr { break-inside: avoid; } .scroll { overflow: visible; } td.long { min-width: 8rem; } }
"""


def write_page(findings: Findings, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_file(path, page(findings).encode("utf-8", "replace"))


def page(findings: Findings) -> str:
    """The page as HTML."""
    sections = (
        _opening, _leaderboard, _candidates, _best_configs, _course, _hyperparameters, _learning, _cost, _members,
        _reliability, _importance, _words,
    )  # fmt: skip
    title = escape(findings.title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        + "\n".join(section(findings) for section in sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def headline(findings: Findings) -> str:
    """What was found, in plain English and as HTML: the honest score first, then how the run ended."""
    chosen, n_test = findings.chosen, findings.n_rows["test"]
    n_trials, n_trained = len(findings.trials), findings.history["trial_number"].nunique()
    model = f"the ensemble of {chosen['n_members']} models" if chosen["n_members"] > 1 else "the best single model"
    honest = with_deviation(chosen["honest_score"], chosen["honest_deviation"])
    test = f", and <b>{number(chosen['test_score'], 4)}</b> on the {counted(n_test, 'test row')}"
    return (
        f"On rows that nothing was chosen on, {model} scores {escape(findings.scoring)} <b>{honest}</b>"
        f"{test if math.isfinite(chosen['test_score']) else ''} (greater is better). {ENDINGS[findings.ended]}: "
        f"{f'{n_trained:,} of ' if n_trained < n_trials else ''}{counted(n_trials, 'trial')}, "
        f"{counted(findings.epochs_trained, 'epoch')} of training{in_folds(findings.n_folds)}, "
        f"{duration(findings.seconds)}."
    )


def _opening(findings: Findings) -> str:
    warnings = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings.warnings)
    heading = f"<b>{counted(len(findings.warnings), 'warning')}</b>"
    box = f'<div class="warnings">{heading}<ul>{warnings}</ul></div>\n' if warnings else ""
    summary = summary_table(findings)
    values = summary["value"].mask(summary["item"] == "warnings", "see the box above" if warnings else "none")
    rows = (
        f'<tr><td class="text">{escape(item)}</td><td class="text long">{escape(value)}</td></tr>'
        for item, value in zip(summary["item"], values, strict=True)
    )
    table = f'<table class="summary"><tbody>{"".join(rows)}</tbody></table>'
    return f'<p class="lead">{headline(findings)}</p>\n{box}{table}'


def _leaderboard(findings: Findings) -> str:
    board = findings.leaderboard
    honest = zip(board["honest_score"], board["honest_deviation"], strict=True)
    columns = {
        "ensemble": [f"{name}{' (chosen)' * chosen}" for name, chosen in board[["ensemble", "chosen"]].to_numpy()],
        "models": [number(count) for count in board["n_members"]],
        "honest score": [with_deviation(score, deviation) for score, deviation in honest],
        "test score": numbers(board["test_score"]),
        "value chosen on": numbers(board["valid_value"]),
        "size, MB": numbers(board["size_mb"], 2),
        "ms for 1,000 rows": numbers(board["predict_ms"], 2),
    }
    sentence = (
        "The honest score is that of predicting each fifth of the selection rows by what is chosen on the other four, "
        "± the deviation between the fifths (not a standard error). In the chosen row the kind of ensemble is part of "
        "that choice, in the others only which models vote. The value chosen on is the score on the validation rows, "
        "which flatters, for they also ranked the trials. Times are counted, not measured, and of one core. Where the "
        "members of the chosen ensemble were trained again on all rows, these scores are of the models before."
    )
    if findings.n_rows["test"]:
        sentence += " The test rows were used for nothing else; there the chosen row is scored as it is taken home."
    else:
        del columns["test score"]
    loss = "squared error" if findings.task == "regression" else "log-loss"
    rivals = [name for name in CHOSEN_FROM if name != FAVOURITE]
    reason = (
        f"Chosen is {FAVOURITE}, unless one of {', '.join(rivals)} has clearly less {loss} on the "
        f"{counted(findings.n_rows['select'], 'selection row')}, by more than two standard errors of the difference, "
        "whatever the score; errors not yet seen are reckoned in. The other kinds are there to be compared. So another "
        "row may look better by the score: such a difference is mostly noise."
    )
    marked = np.flatnonzero(board["chosen"]).tolist()
    table = _table(columns, text=["ensemble"], marked=marked)
    return f"<h2>Leaderboard</h2>\n<p>{sentence}</p>\n<p>{reason}</p>\n{table}"


def _candidates(findings: Findings) -> str:
    candidates = findings.candidates.head(N_BEST)
    if candidates.empty:
        return ""
    over_seeds = zip(candidates["value"], candidates["deviation"], strict=True)
    columns = {
        "trial": [str(trial) for trial in candidates["trial_number"]],
        "seeds": [str(count) for count in candidates["n_seeds"]],
        "searched value": numbers(candidates["searched_value"]),
        "over its seeds": [with_deviation(value, deviation) for value, deviation in over_seeds],
        "honest value": numbers(candidates["honest_value"]),
        "gap": numbers(candidates["gap"], 2),
    }
    note = (
        "The trials that completed the plan. The best of them were trained again with other seeds, for the value a "
        "trial was chosen for is partly its luck: first is the one with the best mean over its seeds (± their "
        "deviation). The honest value is the mean over the seeds of the score on the selection rows, which rank no "
        "trial. The gap, searched − honest value, is by how much the search flatters this config (or, below zero, that "
        "the selection rows are the easier ones). Candidates that differ by less than the deviation are as good as "
        "each other."
    )
    more = len(findings.candidates) - len(candidates)
    note += f" {counted(more, 'more trial')} completed it." if more else ""
    return f"<h2>Final candidates</h2>\n<p>{note}</p>\n{_table(columns, marked=[0])}"


def _course(findings: Findings) -> str:
    records = course.courses(findings)
    layout, width = _layout(len(records))
    charts = "".join(_chart(record.name, _drawn_course(record, width)) for record in records)
    pictures = (
        "<p>Stage by stage, configs are drawn from where the best trials of the earlier stages lie. A bar is the range "
        "of a stage, its dark part the one most draws lie in; a dot is a trial, dark if its best value is among the "
        "best. Choices are shown by their share of each stage's trials.</p>\n"
        f'{_signs(_course_signs(records))}<div class="charts {layout}">{charts}</div>\n'
        if charts
        else ""
    )
    outlook = "".join(f"<li>{escape(sentence)}</li>" for sentence in remarks.outlook(findings))
    where_next = f"<h3>Where to look next</h3>\n<ul>{outlook}</ul>\n" if outlook else ""
    if not pictures and findings.decisions.empty:
        return ""
    return f"<h2>The course of the search</h2>\n{pictures}{where_next}{_decisions(findings)}"


def _course_signs(records: Sequence[course.RangeCourse | course.ChoiceCourse]) -> list[tuple[str, str, str]]:
    """The signs of the course's legend: those that are drawn."""
    ranges = [record for record in records if isinstance(record, course.RangeCourse)]
    verdicts = {verdict for record in ranges for span in record.spans for verdict in span.verdicts.values()}
    has_failed = any(np.isnan(record.ranks).any() for record in ranges)
    return [
        ("●", plots.RUNG_ENDS[0], "among the worst"),
        ("●", plots.RUNG_ENDS[1], "among the best"),
        ("●", plots.ACCENT, "best trial"),
        *[("×", plots.MUTED, "without a value")] * has_failed,
        *((sign, plots.ACCENT, meaning) for verdict, (sign, meaning) in END_SIGNS.items() if verdict in verdicts),
    ]


def _drawn_course(record: course.RangeCourse | course.ChoiceCourse, width: float) -> str:
    if isinstance(record, course.RangeCourse):
        return plots.draw_range_course(record, width)
    return plots.draw_choice_course(record, width)


def _layout(n_charts: int) -> tuple[str, float]:
    """How charts are laid out, and their width: four look better two by two than as three and one."""
    return ("wide", plots.WIDE) if n_charts in (1, 2, 4) else ("narrow", plots.NARROW)


def _decisions(findings: Findings) -> str:
    """What was decided, as a table, and all else that was looked at, folded up."""
    decisions = findings.decisions
    # where the last stage would narrow to is of no use to anybody yet
    is_idle = (decisions["verdict"] == NARROWED) & (
        decisions["stage"] >= max(course.drawing_stages(findings), default=0)
    )
    changes = ~(decisions["verdict"].isin([INSIDE, FLAT, UNDECIDED]) | is_idle)
    decided, others = decisions[changes], decisions[~changes]
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in others["verdict"].value_counts().items())
    all_else = (
        f"<details><summary>What else was looked at: {kinds}</summary>\n{_sentences(findings, others)}</details>\n"
    )
    nothing = '<p class="note">Nothing was narrowed or widened, and no edge is crowded.</p>\n'
    heading = "<h3>What was decided</h3>\n" if len(decisions) else ""
    table = _sentences(findings, decided) if len(decided) else nothing if len(decisions) else ""
    return f"{heading}{table}{all_else if len(others) else ''}"


def _sentences(findings: Findings, decisions: pd.DataFrame) -> str:
    stages = [findings.plan[stage]["name"] if stage >= 0 else "before" for stage in decisions["stage"]]
    columns = {"after": stages, "verdict": decisions["verdict"].tolist(), "sentence": decisions["sentence"].tolist()}
    marked = np.flatnonzero(decisions["verdict"].isin(course.MARKED)).tolist()
    return _table(columns, text=["after", "verdict"], long=["sentence"], marked=marked, most=len(decisions))


def _best_configs(findings: Findings) -> str:
    facts = figures.trial_facts(findings)
    n_valued = int((facts["best_value"].notna() & ~facts["is_repeat"]).sum())
    best = facts[~facts["is_repeat"]].head(min(N_BEST, n_valued))
    columns = {
        "trial": [str(trial) for trial in best.index],
        "best value": numbers(best["best_value"]),
        "at epoch": [f"{epoch:,}" for epoch in best["best_epoch"]],
        "trained to": [f"{epochs:,}" for epochs in best["epochs"]],
        "state": [STATES[state] for state in best["state"]],
        **_config_columns(findings, best.index.tolist()),
    }
    fixed = escape(config_text(dict(findings.space.fixed)))
    note = f"{_best_of(len(best), n_valued)} with a value, by the best value at the end of a rung."
    note += " First is the best candidate." if findings.best_trial is not None else ""
    note += f" Fixed in all of them: {fixed}." if fixed else ""
    return f"<h2>Best configs</h2>\n<p>{note}</p>\n{_table(columns, text=['state', *_choices(findings)])}"


def _best_of(n_best: int, n_trials: int) -> str:
    return f"The {n_best} best of {counted(n_trials, 'trial')}" if n_trials > 1 else "The only trial"


def _learning(findings: Findings) -> str:
    curves, best = figures.learning_curves(findings), figures.best_trial(findings)
    notes = []
    if len(curves.curves) < curves.n_trials:
        notes.append(f"{len(curves.curves)} of {curves.n_trials:,} curves are drawn.")
    unseen = [f"{counted(curves.n_failed, 'trial')} that failed"] if curves.n_failed else []
    unseen += [f"{counted(curves.n_above, 'trial')} that stayed above it"] if curves.n_above else []
    if unseen:
        notes.append(f"Never on the axis: {', '.join(unseen)}.")
    n_rungs = len(figures.rung_labels(findings.plan))
    charts = _chart("Validation loss of all trials", plots.draw_learning_curves(curves, n_rungs))
    charts += _chart(f"The best trial, number {best.training.trial_number}", plots.draw_best_trial(best))
    return (
        "<h2>Learning curves by rung</h2>\n"
        "<p>A line ends where its trial was cut; vertical lines are the ends of rungs. Training loss is measured with "
        f"dropout on, validation loss with averaged weights. {' '.join(notes)}</p>\n"
        f'{_legend(findings, {"━": (plots.ACCENT, "best trial")})}<div class="charts wide">{charts}</div>\n'
        f"{_gap_table(findings)}{_failures(findings)}"
    )


def _gap_table(findings: Findings) -> str:
    gaps, trials = findings.gaps, findings.trials
    rungs = pd.MultiIndex.from_frame(gaps[["stage", "rung"]])
    n_trained = findings.history.groupby(["stage", "rung"])["trial_number"].nunique().reindex(rungs)
    last = findings.history.groupby("trial_number")[["stage", "rung"]].last()
    failed = last[last.index.isin(trials.loc[trials["state"] == "FAIL", "number"])].groupby(["stage", "rung"]).size()
    columns = {
        "drawn in": [findings.plan[stage]["name"] for stage in gaps["stage"]],
        "rung": [str(rung + 1) for rung in gaps["rung"]],
        "epochs": [f"{epochs:,}" for epochs in gaps["epochs"]],
        "trials": [f"{count:,}" for count in n_trained],
        "training loss": numbers(gaps["train_loss"], 3),
        "validation loss": numbers(gaps["valid_loss"], 3),
        "gap": numbers(gaps["gap"], 3),
        "overfitting": [f"{share:.0%}" for share in gaps["overfitting"]],
        "failed": [f"{share:.0%}" for share in failed.reindex(rungs, fill_value=0) / n_trained],
    }
    if len(findings.plan) == 1:
        del columns["drawn in"]
    return (
        '<p class="note">Medians over the trials at the end of each rung. Overfitting: the share whose validation loss '
        f"has risen by a tenth above its lowest.</p>\n{_table(columns, text=['drawn in'], most=len(gaps))}"
    )


def _failures(findings: Findings) -> str:
    failed = findings.trials[findings.trials["state"] == "FAIL"]
    if failed.empty:
        return ""
    advice = failed.get("user_attrs_advice", pd.Series("", index=failed.index)).fillna("")
    columns = {"trial": [str(trial) for trial in failed["number"]], "what happened": advice.tolist()}
    return f"<h3>{counted(len(failed), 'trial')} failed</h3>\n{_table(columns, long=['what happened'])}"


def _hyperparameters(findings: Findings) -> str:
    panels = figures.panels(findings)
    heading = "<h2>Score against each hyperparameter</h2>\n"
    if not panels:
        return f"{heading}<p>Nothing was searched: every hyperparameter was fixed.</p>"
    n_rungs = len(figures.rung_labels(findings.plan))
    layout, width = _layout(len(panels))
    charts = "".join(
        _chart(panel.name, plots.draw_panel(panel, n_rungs, findings.scoring, width), panel.verdict) for panel in panels
    )
    n_below, n_failed = (max(counts) for counts in zip(*((p.n_below, len(p.failed)) for p in panels), strict=True))
    marks = {"●": (plots.ACCENT, "best trial")}
    marks |= {"▼": (plots.MUTED, f"below the axis ({n_below:,})")} if n_below else {}
    marks |= {"×": (plots.MUTED, f"without a value ({n_failed:,})")} if n_failed else {}
    return (
        f"{heading}<p>Each dot is a trial at its best value; higher (or further right) is better. Lines mark the ends "
        "of a range, shades its outer tenths: orange where the best trials crowd, so that better ones may lie beyond. "
        f'Bars are medians.</p>\n{_legend(findings, marks)}<div class="charts {layout}">{charts}</div>\n'
    )


def _cost(findings: Findings) -> str:
    trained, without = findings.epochs_trained, findings.epochs_without_halving
    sentence = (
        f"{counted(trained, 'epoch')} of training{in_folds(findings.n_folds)}, {duration(findings.seconds)}. "
        "If every trial that was cut had been trained to the last rung, it would be "
        f"{without:,}: halving saved {1 - trained / max(without, 1):.0%}."
    )
    plan = plan_text(Plan.from_json(findings.plan), findings.n_folds)
    rungs = figures.rung_costs(findings)
    labels = [rung.label for rung in rungs]
    charts = _chart("Trials in each rung", plots.draw_bars(labels, [rung.n_trials for rung in rungs], "Trials"))
    charts += _chart("Epochs over all trials", plots.draw_bars(labels, [rung.n_epochs for rung in rungs], "Epochs"))
    # what is not as it should be comes first: the list may be cut
    chance = findings.chance.sort_values("verdict", key=lambda verdicts: verdicts == "as it should be", kind="stable")
    columns = {
        "encoding": chance["encoding"].tolist(),
        "hidden layers": chance["hidden_layer_sizes"].tolist(),
        "untrained loss": numbers(chance["initial_loss"], 3),
        "loss at chance": numbers(chance["chance_loss"], 3),
        "ratio": numbers(chance["ratio"], 3),
        "verdict": chance["verdict"].tolist(),
    }
    return (
        f'<h2>What the search cost</h2>\n<p>{sentence} The plan: {plan}.</p>\n<div class="charts wide">{charts}</div>\n'
        '<p class="note">Before the first epoch a network should know nothing: its loss should be that of chance.</p>\n'
        f"{_table(columns, text=['encoding', 'hidden layers', 'verdict'])}"
    )


def _members(findings: Findings) -> str:
    chosen = str(findings.chosen["ensemble"])
    members = findings.members[findings.members["ensemble"] == chosen]
    columns = {
        "trial": [str(trial) for trial in members["trial_number"]],
        "share of the vote": [f"{share:.1%}" for share in members["weight"]],
        "value": numbers(members["valid_value"]),
        "at epoch": [f"{epoch:,}" for epoch in members["epoch"]],
        "weights": members["weights"].tolist(),
        **_config_columns(findings, members["trial_number"].tolist()),
    }
    return (
        f"<h2>Members of the chosen ensemble</h2>\n<p>{escape(chosen)}: {counted(len(members), 'model')}.</p>\n"
        f"{_table(columns, text=['weights', *_choices(findings)], most=len(members))}"
    )


def _reliability(findings: Findings) -> str:
    if findings.task == "regression":
        return ""
    classes = findings.selection.target.classes
    assert classes is not None
    which = f"of {classes.tolist()[1]!r}" if len(classes) == 2 else "of the most likely class"
    table = reliability(findings.selection)
    intervals = zip(table["wilson_low"], table["wilson_high"], strict=True)
    columns = {
        "predicted": [f"{low:.0%} to {high:.0%}" for low, high in zip(table["low"], table["high"], strict=True)],
        "rows": [f"{count:,}" for count in table["n_rows"]],
        "mean predicted": [f"{share:.1%}" for share in table["mean_predicted"]],
        "observed": [f"{share:.1%}" for share in table["observed_share"]],
        "95 % interval": [f"{low:.1%} to {high:.1%}" for low, high in intervals],
    }
    sentence = (
        f"How often it came true, on the {counted(findings.n_rows['select'], 'selection row')}, what was predicted "
        f"with a probability: that {which}, by what was chosen without the row, before members were trained again. "
        "Probabilities are what they say where the dots lie on the line; the intervals are Wilson's. The Brier "
        f"score is {number(brier_score(findings.selection), 4)} (less is better)."
    )
    chart = _chart("Observed share against predicted probability", plots.draw_reliability(table))
    return (
        f"<h2>Are the probabilities right?</h2>\n<p>{escape(sentence)}</p>\n"
        f'<div class="charts narrow">{chart}</div>\n{_table(columns, text=["predicted"])}'
    )


def _importance(findings: Findings) -> str:
    if findings.importance is None:
        return ""
    record = figures.importance(findings.importance)
    others = f" Not shown: {counted(record.n_others, 'column')} of less importance." if record.n_others else ""
    sentence = (
        f"What {findings.scoring} loses when the cells of a column are shuffled among the selection rows, ± the "
        "deviation between the repeats. Columns that say the same stand in for each other, and each looks unimportant."
        f"{others}"
    )
    chart = _chart("Importance of the columns", plots.draw_importance(record))
    return f'<h2>What the columns are worth</h2>\n<p>{escape(sentence)}</p>\n<div class="charts wide">{chart}</div>'


def _words(findings: Findings) -> str:
    rows = findings.n_rows
    meanings = {
        "value": f"{findings.scoring} on the {counted(rows['valid'], 'validation row')}, with averaged weights; "
        "greater is better. It ranks the trials, so the best value is too good to be true.",
        "honest score": f"from the {counted(rows['select'], 'selection row')}, which rank no trial: each fifth is "
        "predicted by the ensemble chosen on the other four, and all predictions are scored together.",
        "test score": f"from {counted(rows['test'], 'row')} used for nothing else.",
        "rung": "a number of epochs after which only the best trials go on; the others are cut.",
        "stage": "trials that are drawn together; the best of earlier stages go on beside them.",
        "gap": "validation loss − training loss.",
        "weights": "raw: as the last step left them; ema: their moving average over the steps.",
        "edge": "a range's end where more of the best trials lie, in its outer tenth, than chance would put there.",
    }
    if not rows["test"]:
        del meanings["test score"]
    listed = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in meanings.items())
    return f"<footer><h2>Words</h2><dl>{listed}</dl></footer>"


def _legend(findings: Findings, marks: Mapping[str, tuple[str, str]]) -> str:
    """What the colours of the rungs mean, and other `marks`: sign → (colour, meaning)."""
    labels = figures.rung_labels(findings.plan)
    colours = plots.rung_colours(len(labels))
    signs = [("●", colour, f"ended in {label}") for colour, label in zip(colours, labels, strict=True)]
    return _signs([*signs, *((sign, colour, meaning) for sign, (colour, meaning) in marks.items())])


def _signs(signs: Sequence[tuple[str, str, str]]) -> str:
    """A legend of signs, each with its colour and its meaning."""
    spans = (f'<span><i style="color:{colour}">{sign}</i>{escape(meaning)}</span>' for sign, colour, meaning in signs)
    return f'<p class="legend">{"".join(spans)}</p>\n'


def _chart(title: str, svg: str, remark: str = "") -> str:
    tail = f" <em>{escape(remark)}</em>" if remark else ""
    return f'<figure class="chart"><h3>{escape(title)}{tail}</h3>{svg}</figure>'


def _table(
    columns: Mapping[str, Sequence[str]], text: Collection[str] = (), long: Collection[str] = (),
    marked: Collection[int] = (), most: int = MOST_ROWS,
) -> str:  # fmt: skip
    """A table as HTML: heading → cells; numbers stand right, `text` left, and only `long` text may wrap."""
    kinds = [' class="text long"' if name in long else ' class="text"' if name in text else "" for name in columns]

    def row(tag: str, cells: Sequence[str], mark: str = "") -> str:
        inside = (f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, map(escape, cells), strict=True))
        return f"<tr{mark}>{''.join(inside)}</tr>"

    rows = list(zip(*columns.values(), strict=True))
    if not rows:
        return ""
    marks = (' class="marked"' if position in marked else "" for position in range(most))
    body = "\n".join(row("td", cells, mark) for cells, mark in zip(rows, marks, strict=False))
    more = f'<p class="note">… and {len(rows) - most:,} more.</p>' if len(rows) > most else ""
    head = row("th", list(columns)).replace("_", "_<wbr>")
    return f'<div class="scroll"><table><thead>{head}</thead>\n<tbody>{body}</tbody></table>{more}</div>\n'


def _config_columns(findings: Findings, numbered: Sequence[int]) -> dict[str, list[str]]:
    """The searched hyperparameters of these trials: name → cells."""
    names = list(findings.space.distributions)
    trials = findings.trials.set_index("number").reindex(columns=[f"params_{name}" for name in names])
    return {name: [_cell(value) for value in trials[f"params_{name}"].loc[list(numbered)].tolist()] for name in names}


def _choices(findings: Findings) -> list[str]:
    """The searched hyperparameters that are no ranges."""
    return [name for name, entry in findings.space.distributions.items() if isinstance(entry, Choice)]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
