"""The findings of a search: all its tables and facts in one record, from which summary, files and page are made.

How numbers are put into words is here too.
"""

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hpsearch.diagnostics.curves import diverged_share, gap_table
from hpsearch.ensemble.selection import Selection
from hpsearch.orchestrator.plan import Plan
from hpsearch.record.folder import write_file
from hpsearch.record.tables import has_parquet, write_csv, write_parquet
from hpsearch.space.distributions import Choice, Integer, Numeric, as_stored
from hpsearch.space.edges import EDGE
from hpsearch.space.space import SearchSpace

ENDINGS = {
    "finished": "The search ran to the end of its plan",
    "timeout": "The timeout ended the search early",
    "interrupted": "Ctrl-C or SIGTERM ended the search early",
    "unfinished": "The search is not finished",
}
"""How a run may have ended, in words."""

STATES = {"COMPLETE": "complete", "PRUNED": "cut", "FAIL": "failed", "RUNNING": "unfinished"}
"""Optuna's states of a trial, in words."""

SIDES = ("low", "high")
"""Of a range; other decisions concern both, or a choice."""

ZERO = 1e-12
"""A smaller number is told as 0: the log-loss of a model that is always right is a rounding error."""


@dataclass(frozen=True)
class Findings:
    """Everything a report tells. The tables' columns are those of DESIGN.md.

    Attributes:
        title: of the page.
        task: "binary", "multiclass" or "regression"; `target`: the name of the target column.
        n_rows: rows by part: "train", "valid", "select", "test".
        n_columns, n_inputs: raw columns used, and inputs of the networks.
        scoring: name of the score, greater is better.
        space: what was searched.
        plan: the stages as JSON, with their rungs.
        trials, history, members, decisions, leaderboard: tables.
        folds: how each fold of a trial scored, and what it took, see `report.curves`.
        configs: of the trials that have a row in `folds`, by number.
        candidates: the trials that completed the plan, the best first, see `ensemble.candidates`.
        selection: the selection rows, with honest predictions.
        chance: loss at chance against the loss of untrained networks, per shape.
        best_config: of the trial with the best value on the validation rows; `best_value`: that value.
        seconds: of wall time, over all runs of the study; NaN if unknown.
        ended: one of `ENDINGS`; "unfinished" where a study was only read.
        warnings: sentences a user should read.
        importance: of the columns, see `ensemble.importance`; None where it was not asked for.
    """

    title: str
    task: str
    target: str
    n_rows: dict[str, int]
    n_columns: int
    n_inputs: int
    scoring: str
    space: SearchSpace
    plan: list[dict[str, Any]]
    trials: pd.DataFrame
    history: pd.DataFrame
    folds: pd.DataFrame
    configs: dict[int, dict[str, Any]]
    members: pd.DataFrame
    decisions: pd.DataFrame
    candidates: pd.DataFrame
    leaderboard: pd.DataFrame
    selection: Selection
    chance: pd.DataFrame
    best_config: dict[str, Any]
    best_value: float
    seconds: float
    ended: str
    warnings: tuple[str, ...]
    importance: pd.DataFrame | None = None

    @property
    def chosen(self) -> "pd.Series[Any]":
        """The leaderboard's row of the chosen ensemble."""
        return self.leaderboard.loc[self.leaderboard["chosen"]].iloc[0]

    @property
    def best_trial(self) -> int | None:
        """The number of the best trial that completed the plan; None where none did."""
        return int(self.candidates["trial_number"].iloc[0]) if len(self.candidates) else None

    @property
    def n_folds(self) -> int:
        """Folds that every trial was trained in; 1 where there was one split."""
        return int(self.folds["fold"].max()) + 1 if len(self.folds) else 1

    @property
    def searched(self) -> SearchSpace:
        """The space with every range as wide as a stage drew from it."""
        own = self.decisions[self.decisions["side"].isin(SIDES)].groupby("name")
        ends = own.agg(low=("low", "min"), high=("high", "max"))
        ranges = {name: entry for name, entry in self.space.distributions.items() if not isinstance(entry, Choice)}
        return self.space.replace({name: _over(ranges[name], *ends.loc[name]) for name in ranges if name in ends.index})

    @property
    def latest_decisions(self) -> pd.DataFrame:
        """The decisions of the last stage."""
        latest: pd.DataFrame = self.decisions[self.decisions["stage"] == self.decisions["stage"].max()]
        return latest

    @property
    def epochs_trained(self) -> int:
        """Epochs over all trials, those of a rung that was broken off too."""
        return len(self.history)

    @property
    def epochs_without_halving(self) -> int:
        """Epochs if every trial that was cut had been trained as long as the longest of the plan.

        A trial that failed, or has not ended, counts as many as it was trained for.
        """
        longest = max(stage["rungs"][-1]["epochs"] for stage in self.plan)
        sound = self.trials[self.trials["state"].isin(["COMPLETE", "PRUNED"])]
        others = ~self.history["trial_number"].isin(sound["number"])
        return int(len(sound) * longest + others.sum())

    @property
    def gaps(self) -> pd.DataFrame:
        """Training and validation loss at the end of each rung."""
        return gap_table(self.history)


def _over(entry: Numeric, low: float, high: float) -> Numeric:
    """The distribution over these ends, and over its own where they are within."""
    if isinstance(entry, Integer):
        return replace(entry, low=min(entry.low, round(low)), high=max(entry.high, round(high)))
    return replace(entry, low=min(entry.low, low), high=max(entry.high, high))


def summary_table(findings: Findings) -> pd.DataFrame:
    """The run in a few rows: columns item, value (text)."""
    chosen, trials, rows = findings.chosen, findings.trials, findings.n_rows
    saved = 1 - findings.epochs_trained / max(findings.epochs_without_halving, 1)
    items = {
        "task": f"{findings.task}, target {findings.target!r}",
        "data": f"{counted(sum(rows.values()), 'row')} "
        f"({', '.join(f'{count:,} {part}' for part, count in rows.items() if count or part == 'test')}), "
        f"{counted(findings.n_columns, 'column')} as {counted(findings.n_inputs, 'input')}"
        + (f"; {findings.n_folds} folds" if findings.n_folds > 1 else ""),
        "score": f"{findings.scoring} (greater is better)",
        "trials": f"{len(trials):,} ({_states(trials)}); {_failures(trials)}",
        "cost": f"{counted(findings.epochs_trained, 'epoch')} of training{in_folds(findings.n_folds)}, "
        f"{saved:.0%} saved by halving, " + duration(findings.seconds),
        "best trial": f"{config_text(findings.best_config)}; {_best_value(findings)}",
        "open edges": _open_edges(findings.latest_decisions),
        "ensemble": f"{chosen['ensemble']}: {chosen['n_members']} of {counted(len(trials), 'trial')}"
        if chosen["n_members"] > 1
        else f"{chosen['ensemble']}: a single model",
        "honest score": f"{with_deviation(chosen['honest_score'], chosen['honest_deviation'])} "
        "(rows that nothing was chosen on; deviation between fifths of them)",
        "test score": number(chosen["test_score"], 4) if rows["test"] else "no test rows were given",
        "warnings": "; ".join(findings.warnings) or "none",
    }
    return pd.DataFrame({"item": list(items), "value": list(items.values())})


def _states(trials: pd.DataFrame) -> str:
    """How many trials are in each state: "7 complete, 57 cut"."""
    counts = trials["state"].value_counts()
    return ", ".join(f"{counts[state]:,} {word}" for state, word in STATES.items() if state in counts)


def _failures(trials: pd.DataFrame) -> str:
    """The share of trials that diverged; where some failed otherwise, that of all that failed too."""
    diverged, failed = diverged_share(trials), (trials["state"] == "FAIL").mean()
    return f"{failed:.0%} failed, {diverged:.0%} diverged" if failed > diverged else f"{diverged:.0%} diverged"


def _open_edges(decisions: pd.DataFrame) -> str:
    """The sides on which better trials may lie beyond the range: "learning_rate_init (high)"."""
    beyond = decisions[decisions["verdict"] == EDGE]
    return ", ".join(f"{name} ({side})" for name, side in zip(beyond["name"], beyond["side"], strict=True)) or "none"


def plan_text(plan: Plan, n_folds: int = 0) -> str:
    """A plan in a line: "4 stages, 64 trials, 492 epochs of training in each of 5 folds (63% saved by halving)"."""
    without = plan.n_trials * plan.max_epochs
    return (
        f"{counted(len(plan.stages), 'stage')}, {counted(plan.n_trials, 'trial')}, "
        f"{counted(plan.n_epochs, 'epoch')} of training{in_folds(n_folds)} "
        f"({1 - plan.n_epochs / without:.0%} saved by halving)"
    )


def in_folds(n_folds: int) -> str:
    """ " in each of 5 folds", or nothing where there are none."""
    return f" in each of {n_folds} folds" if n_folds > 1 else ""


UNITS = ((3600, "hours"), (60, "minutes"), (1, "s"))


def time_text(*seconds: float) -> str:
    """Times to one significant digit in one unit, that of the longest: "20 s", "2 to 3 minutes"."""
    size, unit = next(((size, unit) for size, unit in UNITS if max(seconds) >= 2 * size), UNITS[-1])
    counts = dict.fromkeys(f"{max(1, float(f'{each / size:.1g}')):g}" for each in seconds)
    return f"{' to '.join(counts)} {unit}"


def counted(count: int, noun: str) -> str:
    """A count and what it counts, which ends in s unless it is one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float, digits: int = 3) -> str:
    """A number for a person: significant digits without trailing zeros, a true minus sign, "–" for a missing one.

    Less than `ZERO` is 0.
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) < ZERO:
        return "0"
    if _is_plain(value):
        whole = f"{value:,.{_decimals(value, digits)}f}"
        text = whole.rstrip("0").rstrip(".") if "." in whole else whole
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", "−")


def numbers(values: Iterable[float], digits: int = 4) -> list[str]:
    """A column of numbers with as many decimals each, so many that a typical one has `digits` significant digits.

    Where a typical one is tiny, or a number huge, each has its own digits.
    """
    values = [float(value) for value in values]
    sizes = [abs(value) for value in values if math.isfinite(value) and abs(value) >= ZERO]
    typical = statistics.median(sizes) if sizes else 1.0
    decimals = _decimals(typical, digits)
    return [
        fixed(value, decimals) if typical >= 1e-4 and abs(value) < 1e7 else number(value, digits) for value in values
    ]


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals and a true minus sign; "0" if nothing is left of it."""
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else "0"


def _best_value(findings: Findings) -> str:
    """What the best trial scores: when it was searched, with other seeds, and on rows that rank no trial."""
    if len(findings.candidates) == 0:
        return f"value {number(findings.best_value, 4)} (chosen on)"
    best = findings.candidates.iloc[0]
    said = f"value {number(best['searched_value'], 4)} when searched (chosen on)"
    if best["n_seeds"] > 1:
        said += f", {with_deviation(best['value'], best['deviation'])} over {int(best['n_seeds'])} seeds"
    return said + f", {number(best['honest_value'], 4)} on rows that rank no trial: a gap of {number(best['gap'], 2)}"


def with_deviation(value: float, deviation: float) -> str:
    """A score and its deviation, both to the second digit of the deviation."""
    if not math.isfinite(value) or not math.isfinite(deviation) or deviation < ZERO:
        return number(value, 4)
    if not _is_plain(deviation) or abs(value) >= 1e7:
        return f"{number(value, 4)} ± {number(deviation, 2)}"
    decimals = _decimals(deviation, 2)
    return f"{fixed(value, decimals)} ± {fixed(deviation, decimals)}"


def duration(seconds: float) -> str:
    """A time span in the unit that fits."""
    if not math.isfinite(seconds):
        return "time unknown"
    size, unit = next(((size, unit) for size, unit in ((3600, "h"), (60, "min")) if seconds >= 2 * size), (1, "s"))
    return f"{seconds / size:.1f} {unit}"


def _is_plain(value: float) -> bool:
    """Is a number of this size read without a power of ten?"""
    return 1e-4 <= abs(value) < 1e7


def _decimals(value: float, digits: int) -> int:
    """Decimals that give `value`, which is not 0, so many significant digits."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def config_text(config: dict[str, Any]) -> str:
    """A config in one line, numbers to three digits, and lists as everywhere else: [64, 64]."""
    return ", ".join(f"{name}={_value_text(value)}" for name, value in config.items())


def _value_text(value: Any) -> str:
    if isinstance(value, tuple):
        return str(as_stored(value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def summary_document(findings: Findings) -> dict[str, Any]:
    """The summary as a JSON object, for programs; scores that are missing are null."""
    chosen, trials = findings.chosen, findings.trials
    states = trials["state"].value_counts()
    edges = findings.latest_decisions[findings.latest_decisions["verdict"].str.startswith("edge")]
    return {
        "title": findings.title,
        "ended": findings.ended,
        "task": findings.task,
        "target": findings.target,
        "n_rows": findings.n_rows,
        "n_columns": findings.n_columns,
        "n_inputs": findings.n_inputs,
        "scoring": findings.scoring,
        "n_trials": len(trials),
        "trial_states": {str(state): int(states[state]) for state in sorted(states.index)},
        "diverged_share": diverged_share(trials),
        "epochs_trained": findings.epochs_trained,
        "epochs_without_halving": findings.epochs_without_halving,
        "seconds": _number(findings.seconds),
        "best_config": findings.best_config,
        "best_value": _number(findings.best_value),
        "gap": _number(findings.candidates["gap"][0]) if len(findings.candidates) else None,
        "ensemble": str(chosen["ensemble"]),
        "n_members": int(chosen["n_members"]),
        "honest_score": _number(chosen["honest_score"]),
        "honest_deviation": _number(chosen["honest_deviation"]),
        "test_score": _number(chosen["test_score"]),
        "edges": [{"name": row.name_, "side": row.side, "verdict": row.verdict} for row in _named(edges)],
        "warnings": list(findings.warnings),
    }


def _named(decisions: pd.DataFrame) -> Any:
    # a column called `name` would be hidden by the tuple's own attribute
    return decisions.rename(columns={"name": "name_"}).itertuples()


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def write_tables(findings: Findings, folder: Path) -> list[str]:
    """Write the tables and `summary.json` into a folder; the names of the files.

    trials.csv, history.csv, decisions.csv, members.csv, leaderboard.csv, candidates.csv, and trials.parquet and
    history.parquet where pyarrow is installed (then history is not written as CSV).
    """
    parquet = has_parquet()
    as_csv = {"trials": findings.trials, "decisions": findings.decisions, "members": findings.members}
    as_csv |= {"leaderboard": findings.leaderboard, "candidates": findings.candidates}
    as_csv |= {} if parquet else {"history": findings.history}
    as_parquet = {"trials": findings.trials, "history": findings.history} if parquet else {}
    for name, table in as_csv.items():
        write_csv(table, folder / f"{name}.csv")
    for name, table in as_parquet.items():
        write_parquet(_of_one_type(table), folder / f"{name}.parquet")
    document = json.dumps(summary_document(findings), indent=2) + "\n"
    write_file(folder / "summary.json", document.encode())
    return [f"{name}.csv" for name in as_csv] + [f"{name}.parquet" for name in as_parquet] + ["summary.json"]


def _of_one_type(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns of mixed types, such as the choices 64 and "[64, 64]", as text: Parquet's have one."""
    untyped = [name for name in table if table[name].dtype == object]
    mixed = [str(name) for name in untyped if table[name].dropna().map(type).nunique() > 1]
    return table.assign(**{name: table[name].map(str, na_action="ignore") for name in mixed})
