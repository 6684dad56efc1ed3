"""What the page shows, computed from the tables: small frozen records without matplotlib (`plots.py` draws them).

A trial is shown by its *best value*, the best score it had at the end of a rung: that is also how it may vote. Its
*rung* is the last one it trained in, counted over all stages: rungs of equal epochs are one. No axis is stretched by a
few terrible trials: it ends at a *fence*, and the record says how many lie beyond.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.report.findings import Findings, counted, number
from hpsearch.space.distributions import Choice, Distribution, Integer, LogUniform, as_stored
from hpsearch.space.edges import EDGE, NATURAL_BOUND, Side

Floats: TypeAlias = NDArray[np.float64]

CROWDING = {EDGE: "edge at the {} end", NATURAL_BOUND: "natural bound at the {} end"}

# So many curves are drawn at most, and so many points of each: a page stays small and a picture readable.
MOST_CURVES = 150
MOST_POINTS = 60

# An axis reaches this many times as far below the median as the 90 % quantile lies above it.
FENCE = 4.0

# A loss axis covers at most so many powers of ten.
LOSS_DECADES = 5

# Labels of a hyperparameter's axis are at least this far apart, in unit coordinates.
TICK_DISTANCE = 0.22


@dataclass(frozen=True)
class Axis:
    """The part of an axis that is shown, low < high."""

    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The losses of one trial after some of its epochs, thinned; `rung` is the last it trained in."""

    trial_number: int
    rung: int
    epochs: NDArray[np.int64]
    losses: Floats


@dataclass(frozen=True)
class LearningCurves:
    """Validation loss against epochs, over all trials.

    Attributes:
        curves: those to draw, the ones that got furthest last; the best trial is the very last.
        n_trials: how many trials were trained.
        n_failed, n_above: how many of them are never on the axis: those that failed, and the others.
        rung_ends: epochs at which rungs end.
        axis: of the loss, which is logarithmic; None where no loss is finite and positive.
        chance: the loss of a model that knows nothing, NaN if unknown.
    """

    curves: tuple[Curve, ...]
    n_trials: int
    n_failed: int
    n_above: int
    rung_ends: tuple[int, ...]
    axis: Axis | None
    chance: float


@dataclass(frozen=True)
class BestTrial:
    """Training and validation loss of the best trial; its value was best after `best_epoch` epochs."""

    best_epoch: int
    training: Curve
    validation: Curve
    rung_ends: tuple[int, ...]
    axis: Axis | None


@dataclass(frozen=True)
class Shade:
    """The outer part of a range, from `low` to `high` in unit coordinates; `crowded` if the best trials crowd there."""

    low: float
    high: float
    crowded: bool


@dataclass(frozen=True)
class Panel:
    """Best values against one hyperparameter, over the trials that have it.

    Attributes:
        positions, values, rungs: of the trials with a value, (n,): unit coordinate (for a choice, spread within its
            strip), best value, last rung. Worst first, so that the best are drawn on top.
        has_best: is the last of them the best trial of all?
        n_below: how many of them lie below the axis.
        failed: positions of the trials without a value.
        ticks: unit coordinate and label.
        medians: of each choice's values, NaN where it has none; empty for numbers.
        verdict: where the best trials crowd an end of the range, in words; else empty.
    """

    name: str
    is_choice: bool
    positions: Floats
    values: Floats
    rungs: NDArray[np.int64]
    has_best: bool
    failed: Floats
    n_below: int
    axis: Axis | None
    ticks: tuple[tuple[float, str], ...]
    medians: tuple[float, ...]
    shades: tuple[Shade, ...]
    verdict: str


@dataclass(frozen=True)
class RungCost:
    """One rung, over all stages: how many trials trained in it, and for how many epochs in all."""

    label: str
    n_trials: int
    n_epochs: int


def trial_facts(findings: Findings) -> pd.DataFrame:
    """The trials that were trained, the best first: by number, what follows.

    best_value, best_epoch: NaN and 0 for a trial that never came to the end of a rung. epochs, rung, state. is_repeat:
    is it another trial's config with another seed? is_best: is it the best of those that completed the plan, over its
    seeds, or, where none did, the one with the best value? It comes first, and then they come by value.
    """
    history = findings.history
    facts = history.groupby("trial_number").agg(epochs=("epoch", "max"), rung=("rung", "max"))
    valued = history[np.isfinite(history["valid_value"])]
    best = valued.loc[valued.groupby("trial_number")["valid_value"].idxmax()].set_index("trial_number")
    facts["best_value"] = best["valid_value"]
    facts["best_epoch"] = best["epoch"].reindex(facts.index, fill_value=0)
    trials = findings.trials.set_index("number").reindex(facts.index)
    facts["state"] = trials["state"]
    facts["is_repeat"] = trials["user_attrs_repeats"].notna() if "user_attrs_repeats" in trials else False
    facts = facts.rename_axis("trial_number").sort_values(["best_value", "trial_number"], ascending=[False, True])
    facts["is_best"] = facts.index == (facts.index[0] if findings.best_trial is None else findings.best_trial)
    return facts.sort_values("is_best", ascending=False, kind="stable")


def score_axis(values: Floats) -> Axis | None:
    """An axis from the fence to the best value; None without a finite value."""
    finite = values[np.isfinite(values)]
    return _axis(_fence(finite), float(finite.max())) if len(finite) else None


def loss_axis(losses: Floats) -> Axis | None:
    """A logarithmic axis from the least loss, within `LOSS_DECADES`, to the fence; None without a positive loss."""
    shown = np.log10(losses[np.isfinite(losses) & (losses > 0)])
    if len(shown) == 0:
        return None
    high = -_fence(-shown)
    low = max(float(shown.min()), high - LOSS_DECADES)
    return _axis(10.0**low, 10.0**high)


def _fence(values: Floats) -> float:
    """Where an axis may end below: at the least value, unless that lies far off; judged by the upper half alone."""
    median, upper = np.quantile(values, [0.5, 0.9])
    least = float(values.min())
    return max(least, float(median - FENCE * (upper - median))) if upper > median else least


def _axis(low: float, high: float) -> Axis:
    if high - low > 1e-9 * abs(high):
        return Axis(low, high)
    room = 0.1 * abs(high) or 1.0
    return Axis(low - room, high + room)


def learning_curves(findings: Findings) -> LearningCurves:
    """The record of the figure of validation losses; see `LearningCurves`."""
    facts, chance = trial_facts(findings), findings.chance["chance_loss"]
    curves = _curves(findings.history, _thinned_trials(facts), "valid_loss", _rung_ends(findings))
    axis = loss_axis(np.concatenate([curve.losses for curve in curves]))
    lowest = findings.history.groupby("trial_number")["valid_loss"].min()
    unseen = facts["state"][~(lowest <= (axis.high if axis else -math.inf))]
    return LearningCurves(
        curves=curves,
        n_trials=len(facts),
        n_failed=int((unseen == "FAIL").sum()),
        n_above=int((unseen != "FAIL").sum()),
        rung_ends=_rung_ends(findings),
        axis=axis,
        chance=float(chance.iloc[0]) if len(chance) else math.nan,
    )


def _thinned_trials(facts: pd.DataFrame) -> list[int]:
    """At most `MOST_CURVES` trials, those that got furthest last and the best very last; others are thinned evenly."""
    others = facts.iloc[1:].sort_values("rung", ascending=False, kind="stable").index.to_numpy()
    n_survivors = min(int((facts["rung"] == facts["rung"].max()).sum()), MOST_CURVES // 2)
    survivors, others = others[:n_survivors], others[n_survivors:]
    n_thinned = min(len(others), MOST_CURVES - 1 - n_survivors)
    thinned = others[np.linspace(0, len(others) - 1, n_thinned).round().astype(int)]
    return [*thinned[::-1].tolist(), *survivors[::-1].tolist(), *facts.index[:1].tolist()]


def _curves(history: pd.DataFrame, trials: Sequence[int], column: str, kept: Sequence[int]) -> tuple[Curve, ...]:
    """The finite losses of these trials, thinned to about `MOST_POINTS` epochs and the `kept` ones."""
    epochs = {*np.geomspace(1, history["epoch"].max(), MOST_POINTS).round().astype(int), *kept}
    shown = history[history["trial_number"].isin(trials) & history["epoch"].isin(epochs)]
    parts = dict(tuple(shown.groupby("trial_number")))
    return tuple(_curve(trial, parts[trial], column) for trial in trials)


def _curve(trial: int, part: pd.DataFrame, column: str) -> Curve:
    finite = part[np.isfinite(part[column])]
    return Curve(trial, int(part["rung"].max()), finite["epoch"].to_numpy(), finite[column].to_numpy("float64"))


def _rung_ends(findings: Findings) -> tuple[int, ...]:
    return tuple(sorted({int(rung["epochs"]) for stage in findings.plan for rung in stage["rungs"]}))


def best_trial(findings: Findings) -> BestTrial:
    """The record of the figure of the best trial; see `BestTrial`."""
    best, ends = trial_facts(findings).reset_index().iloc[0], _rung_ends(findings)
    trials, kept = [int(best["trial_number"])], [*ends, int(best["epochs"])]
    (training,) = _curves(findings.history, trials, "train_loss", kept)
    (validation,) = _curves(findings.history, trials, "valid_loss", kept)
    return BestTrial(
        best_epoch=int(best["best_epoch"]),
        training=training,
        validation=validation,
        rung_ends=tuple(end for end in ends if end <= best["epochs"]),
        axis=loss_axis(np.concatenate([training.losses, validation.losses])),
    )


def panels(findings: Findings) -> tuple[Panel, ...]:
    """One record per searched hyperparameter, in the order of the space; all have the same axis of values."""
    facts = trial_facts(findings)
    axis = score_axis(facts["best_value"].to_numpy("float64"))
    return tuple(
        _panel(name, distribution, findings, facts, axis)
        for name, distribution in findings.searched.distributions.items()
    )


def _panel(name: str, distribution: Distribution, findings: Findings, facts: pd.DataFrame, axis: Axis | None) -> Panel:
    # worst first, for the best to be drawn on top
    units = unit_coordinates(findings.trials, name, distribution).reindex(facts.index[::-1]).dropna()
    having = facts.loc[units.index]
    valued = having["best_value"].notna().to_numpy()
    values = having["best_value"].to_numpy("float64")[valued]
    positions = np.asarray(units, dtype=np.float64)
    crowded = _crowded_sides(findings.latest_decisions, name)
    shades, medians = _shades(name, distribution, crowded), _medians(distribution, positions[valued], values)
    if isinstance(distribution, Choice):
        positions = _spread(positions, len(distribution.values))
    return Panel(
        name=name,
        is_choice=isinstance(distribution, Choice),
        positions=positions[valued],
        values=values,
        rungs=having["rung"].to_numpy("int64")[valued],
        has_best=bool(valued.any()) and units.index[-1] == facts.index[0],
        failed=positions[~valued],
        n_below=int((values < axis.low).sum()) if axis else 0,
        axis=axis,
        ticks=ticks(distribution),
        medians=medians,
        shades=shades,
        verdict=", ".join(CROWDING[verdict].format(side) for side, verdict in sorted(crowded.items())),
    )


def unit_coordinates(trials: pd.DataFrame, name: str, distribution: Distribution) -> "pd.Series[float]":
    """Trial number → unit coordinate of the hyperparameter, NaN for a trial without it."""
    missing = pd.Series(math.nan, index=trials.index)
    column = trials.get(f"params_{name}", missing).set_axis(trials["number"])
    if not isinstance(distribution, Choice):
        return column.map(distribution.to_unit, na_action="ignore").astype("float64")
    units = column.map({as_stored(value): distribution.to_unit(value) for value in distribution.values})
    if None in distribution.values and not distribution.when:
        # a table cannot tell the choice None from what is missing; without a condition nothing is
        units = units.fillna(distribution.to_unit(None))
    return units.astype("float64")


def _spread(positions: Floats, n_strips: int) -> Floats:
    """Positions moved within the strips of a choice, by a low-discrepancy sequence, so that points do not hide."""
    golden = 0.6180339887498949
    offsets = (np.arange(len(positions)) * golden) % 1.0 - 0.5
    return np.asarray(positions + 0.6 * offsets / n_strips)


def _medians(distribution: Distribution, positions: Floats, values: Floats) -> tuple[float, ...]:
    if not isinstance(distribution, Choice):
        return ()
    strips = (values[positions == distribution.to_unit(value)] for value in distribution.values)
    return tuple(float(np.median(strip)) if len(strip) else math.nan for strip in strips)


def _shades(name: str, distribution: Distribution, crowded: Collection[str]) -> tuple[Shade, ...]:
    if isinstance(distribution, Choice):
        return ()
    low, high = (Side(name, distribution, upper).reach for upper in (False, True))
    return Shade(0.0, low, "low" in crowded), Shade(1.0 - high, 1.0, "high" in crowded)


def ticks(distribution: Distribution) -> tuple[tuple[float, str], ...]:
    """Labels of the choices; or of both ends of a range and, where there is room, powers of ten or the middle."""
    if isinstance(distribution, Choice):
        return tuple((distribution.to_unit(value), str(as_stored(value))) for value in distribution.values)
    low, high = distribution.low, distribution.high
    between = [distribution.from_unit(0.5)]
    if isinstance(distribution, LogUniform) or (isinstance(distribution, Integer) and distribution.log):
        between = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    ticks = {distribution.to_unit(end): number(end) for end in (low, high)}
    for value in between:
        unit = distribution.to_unit(value)
        if all(abs(unit - taken) >= TICK_DISTANCE for taken in ticks):
            ticks[unit] = number(value)
    return tuple(sorted(ticks.items()))


def _crowded_sides(decisions: pd.DataFrame, name: str) -> dict[str, str]:
    """Side → verdict, "low" and "high" where the hyperparameter has an edge."""
    rows = decisions[(decisions["name"] == name) & decisions["verdict"].isin([EDGE, NATURAL_BOUND])]
    return dict(zip(rows["side"], rows["verdict"], strict=True))


def rung_labels(plan: Sequence[dict[str, Any]]) -> list[str]:
    """What the budgets of all stages are called, rising: "rung 1: 12 epochs"."""
    ends = sorted({int(rung["epochs"]) for stage in plan for rung in stage["rungs"]})
    return [f"rung {place + 1}: {counted(epochs, 'epoch')}" for place, epochs in enumerate(ends)]


def rung_costs(findings: Findings) -> tuple[RungCost, ...]:
    """What each rung cost."""
    rungs = findings.history.groupby("rung")["trial_number"]
    n_trials, n_epochs = rungs.nunique(), rungs.size()
    return tuple(
        RungCost(label, int(n_trials.get(rung, 0)), int(n_epochs.get(rung, 0)))
        for rung, label in enumerate(rung_labels(findings.plan))
    )


MOST_COLUMNS = 20


@dataclass(frozen=True)
class Importance:
    """The most important columns, at most `MOST_COLUMNS`, and what the score loses when each is shuffled.

    Attributes:
        columns: names, the most important first.
        drops, deviations: (n_columns,); a deviation that is not known is 0.
        n_others: how many columns are not among them.
    """

    columns: list[str]
    drops: Floats
    deviations: Floats
    n_others: int


def importance(table: pd.DataFrame) -> Importance:
    """Of the table of `ensemble.importance`."""
    first = table.head(MOST_COLUMNS)
    deviations = first["deviation"].fillna(0.0).to_numpy(dtype=np.float64)
    columns = [str(column) for column in first["column"]]
    return Importance(columns, first["importance"].to_numpy(), deviations, len(table) - len(first))
