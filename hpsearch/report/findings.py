"""The findings of a search: all its tables and facts in one record, from which summary, files and page are made.

How numbers are put into words is here too.
"""

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hpsearch.diagnostics.curves import diverged_share, gap_table
from hpsearch.record.folder import write_file
from hpsearch.record.tables import has_parquet, write_csv, write_parquet
from hpsearch.space.space import SearchSpace

ENDINGS = {
    "finished": "The search ran to the end of its plan",
    "timeout": "The timeout ended the search early",
    "interrupted": "Ctrl-C or SIGTERM ended the search early",
    "unfinished": "The search is not finished",
}
"""How a run may have ended, in words."""


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
        chance: loss at chance against the loss of untrained networks, per shape.
        best_config: of the trial with the best value on the validation rows; `best_value`: that value.
        seconds: of wall time, over all runs of the study; NaN if unknown.
        ended: one of `ENDINGS`; "unfinished" where a study was only read.
        warnings: sentences a user should read.
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
    members: pd.DataFrame
    decisions: pd.DataFrame
    leaderboard: pd.DataFrame
    chance: pd.DataFrame
    best_config: dict[str, Any]
    best_value: float
    seconds: float
    ended: str
    warnings: tuple[str, ...]

    @property
    def chosen(self) -> "pd.Series[Any]":
        """The leaderboard's row of the chosen ensemble."""
        return self.leaderboard.loc[self.leaderboard["chosen"]].iloc[0]

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
        """Epochs if every trial that has ended had been trained to the last rung of its stage."""
        longest = {number: stage["rungs"][-1]["epochs"] for number, stage in enumerate(self.plan)}
        ended = self.trials[self.trials["state"] != "RUNNING"]
        unfinished = ~self.history["trial_number"].isin(ended["number"])
        return int(ended["stage"].map(longest).sum() + unfinished.sum())

    @property
    def gaps(self) -> pd.DataFrame:
        """Training and validation loss at the end of each rung."""
        return gap_table(self.history)


def summary_table(findings: Findings) -> pd.DataFrame:
    """The run in ten rows: columns item, value (text)."""
    chosen, trials, rows = findings.chosen, findings.trials, findings.n_rows
    states = trials["state"].value_counts()
    counted = ", ".join(f"{states[state]} {state.lower()}" for state in states.index)
    saved = 1 - findings.epochs_trained / max(findings.epochs_without_halving, 1)
    items = {
        "task": f"{findings.task}, target {findings.target!r}",
        "data": f"{sum(rows.values()):,} rows ({', '.join(f'{count:,} {part}' for part, count in rows.items())}), "
        f"{findings.n_columns} columns as {findings.n_inputs} inputs",
        "score": f"{findings.scoring} (greater is better)",
        "trials": f"{len(trials):,} ({counted}); {diverged_share(trials):.0%} diverged",
        "cost": f"{findings.epochs_trained:,} epochs of training, {saved:.0%} saved by halving, "
        + duration(findings.seconds),
        "best trial": f"{config_text(findings.best_config)}; value {number(findings.best_value, 4)} (chosen on)",
        "ensemble": f"{chosen['ensemble']}: {chosen['n_members']} of {len(trials)} trials"
        if chosen["n_members"] > 1
        else f"{chosen['ensemble']}: a single model",
        "honest score": f"{with_deviation(chosen['honest_score'], chosen['honest_deviation'])} "
        "(rows that nothing was chosen on; deviation between fifths of them)",
        "test score": number(chosen["test_score"], 4) if rows["test"] else "no test rows were given",
        "warnings": "; ".join(findings.warnings) or "none",
    }
    return pd.DataFrame({"item": list(items), "value": list(items.values())})


def number(value: float, digits: int = 3) -> str:
    """A number for a person: significant digits without trailing zeros, a true minus sign, "–" for a missing one."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        whole = f"{value:,.{_decimals(value, digits)}f}"
        text = whole.rstrip("0").rstrip(".") if "." in whole else whole
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", "−")


def numbers(values: Iterable[float], digits: int = 4) -> list[str]:
    """A column of numbers with as many decimals each, so many that a typical one has `digits` significant digits."""
    values = [float(value) for value in values]
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    decimals = _decimals(statistics.median(sizes), digits) if sizes else 0
    return [
        number(value, digits) if not abs(value) < 1e7 else f"{value:,.{decimals}f}".replace("-", "−")
        for value in values
    ]


def with_deviation(value: float, deviation: float) -> str:
    """A score and its deviation, both to the second digit of the deviation."""
    if not math.isfinite(value) or not math.isfinite(deviation) or deviation <= 0:
        return number(value, 4)
    decimals = _decimals(deviation, 2)
    return f"{value:,.{decimals}f} ± {deviation:,.{decimals}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """A time span in the unit that fits."""
    if not math.isfinite(seconds):
        return "time unknown"
    size, unit = next(((size, unit) for size, unit in ((3600, "h"), (60, "min")) if seconds >= 2 * size), (1, "s"))
    return f"{seconds / size:.1f} {unit}"


def _decimals(value: float, digits: int) -> int:
    """Decimals that give `value` so many significant digits."""
    return 0 if value == 0 else min(max(0, digits - 1 - math.floor(math.log10(abs(value)))), 12)


def config_text(config: dict[str, Any]) -> str:
    """A config in one line, numbers to three digits."""
    shown = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in config.values())
    return ", ".join(f"{name}={value}" for name, value in zip(config, shown, strict=True))


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

    trials.csv, history.csv, decisions.csv, members.csv, leaderboard.csv, and trials.parquet and history.parquet where
    pyarrow is installed (then history is not written as CSV).
    """
    parquet = has_parquet()
    as_csv = {"trials": findings.trials, "decisions": findings.decisions, "members": findings.members}
    as_csv |= {"leaderboard": findings.leaderboard} | ({} if parquet else {"history": findings.history})
    as_parquet = {"trials": findings.trials, "history": findings.history} if parquet else {}
    for name, table in as_csv.items():
        write_csv(table, folder / f"{name}.csv")
    for name, table in as_parquet.items():
        write_parquet(_of_one_type(table), folder / f"{name}.parquet")
    document = json.dumps(summary_document(findings), indent=2)
    write_file(folder / "summary.json", document.encode())
    return [f"{name}.csv" for name in as_csv] + [f"{name}.parquet" for name in as_parquet] + ["summary.json"]


def _of_one_type(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns of mixed types, such as the choices 64 and "[64, 64]", as text: Parquet's have one."""
    untyped = [name for name in table if table[name].dtype == object]
    mixed = [str(name) for name in untyped if table[name].dropna().map(type).nunique() > 1]
    return table.assign(**{name: table[name].map(str, na_action="ignore") for name in mixed})
