"""Drawing: each function turns a record of `figures.py` into an inline SVG. The only door to matplotlib.

The same record gives the same bytes: a fixed salt for the ids, no dates, matplotlib's own defaults whatever the user's
settings are. Text stays text, and takes the font of the page.
"""

import io
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from hpsearch.report.course import ChoiceCourse, RangeCourse
from hpsearch.report.figures import Axis, BestTrial, Curve, Importance, LearningCurves, Panel
from hpsearch.report.findings import counted, fixed, number
from hpsearch.space.edges import EDGE, NATURAL_BOUND

Floats = NDArray[np.float64]

INK, MUTED, FAINT, HAIR = "#1f2933", "#66727f", "#eef1f4", "#d5dbe1"
ACCENT, WASH = "#d1590a", "#fbe3cf"
RUNG_ENDS = "#aab9c8", "#0b3c6f"
RUNGS = LinearSegmentedColormap.from_list("rungs", [RUNG_ENDS[0], "#5a9bd4", RUNG_ENDS[1]])
"""Pale for the trials that were cut first, dark for those that got furthest: it reads in grey and colour-blind too."""

WIDE, NARROW, HEIGHT = 4.7, 3.1, 3.1
"""Inches; at 96 pixels to the inch two wide figures or three narrow ones stand side by side."""

MOST_MARKERS = 300
"""A panel has so many markers at most: eight panels of a thousand would weigh a megabyte."""

LONGEST_LABEL = 22

STAGE_HEIGHT, BAR = 0.62, 0.74
"""Of a stage's row, in inches, and what of it the bar fills."""
WHOLE, PART = "#f6f8fa", "#e3e9ef"
"""Of a bar: the whole range, and the part that most draws lie in."""
CELL_HEIGHT = 0.27
N_SHADES = 5
LIGHT_INK = 0.45
"""On a cell of a larger share, text is white."""
GOLDEN = 0.6180339887498949
"""Steps of this length, modulo one, fill a line evenly (a low-discrepancy sequence)."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hpsearch",
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.edgecolor": HAIR,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "text.color": INK,
    "xtick.color": HAIR,
    "ytick.color": HAIR,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "savefig.transparent": True,
}

# Settings of matplotlib are global while a figure is drawn: ours must not meet in two threads.
_drawing = threading.Lock()


@contextmanager
def _house_style() -> Iterator[None]:
    with _drawing, matplotlib.style.context(STYLE, after_reset=True):
        yield


def rung_colours(n_rungs: int) -> list[str]:
    """One colour per rung, from pale to dark; a single rung is dark."""
    return [to_hex(RUNGS(rung / (n_rungs - 1) if n_rungs > 1 else 1.0)) for rung in range(n_rungs)]


@_house_style()
def draw_learning_curves(record: LearningCurves, n_rungs: int) -> str:
    """Validation loss against epoch, one line per trial: pale if cut early, dark if it got far, orange if best."""
    figure, axes = _figure(WIDE)
    colours, curves = rung_colours(n_rungs), [_placed(curve, record.axis) for curve in record.curves]
    for curve in curves[:-1]:
        far = curve.rung == n_rungs - 1
        _line(axes, curve, colours[curve.rung], 1.1 if far else 0.8)
    for curve in curves[-1:]:
        _line(axes, curve, ACCENT, 1.8)
    _epoch_axis(axes, record.rung_ends, record.curves)
    _loss_axis(axes, record.axis, record.curves)
    if record.axis and record.axis.low < record.chance < record.axis.high:
        axes.axhline(record.chance, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.annotate("at chance", (1, record.chance), (-2, 2), ("axes fraction", "data"), textcoords="offset points",
                      ha="right", va="bottom", color=MUTED, fontsize=7.5, zorder=4,
                      bbox={"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.7})  # fmt: skip
    return _svg(figure, "Validation loss against epochs, one line per trial")


@_house_style()
def draw_best_trial(record: BestTrial) -> str:
    """Training and validation loss of the best trial; a dot where its value was best."""
    figure, axes = _figure(WIDE)
    training, validation = (_placed(curve, record.axis) for curve in (record.training, record.validation))
    _line(axes, training, MUTED, 1.4, "training")
    _line(axes, validation, ACCENT, 1.8, "validation")
    best = validation.epochs == record.best_epoch
    axes.plot(validation.epochs[best], validation.losses[best], "o", color=ACCENT, markersize=6, zorder=3,
              markeredgecolor="white", label=f"best after {counted(record.best_epoch, 'epoch')}",
              linestyle="none")  # fmt: skip
    _epoch_axis(axes, record.rung_ends, (training, validation))
    _loss_axis(axes, record.axis, (record.training, record.validation))
    # above the axes, where no curve is
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, labelcolor=MUTED, handlelength=1.4,
                columnspacing=1.4, borderaxespad=0.2)  # fmt: skip
    return _svg(figure, "Training and validation loss of the best trial against epochs")


@_house_style()
def draw_panel(record: Panel, n_rungs: int, score: str, width: float = NARROW) -> str:
    """Best values against one hyperparameter; see `Panel`. Many choices make the figure taller."""
    figure, axes = _figure(width, max(HEIGHT, 1.0 + 0.26 * len(record.ticks)))
    if record.axis is None or len(record.positions) + len(record.failed) == 0:
        _say(axes, "no trial had it" if record.axis else "no trial has a value")
    elif record.is_choice:
        _draw_choices(axes, record, n_rungs, score)
    else:
        _draw_numbers(axes, record, n_rungs, score)
    return _svg(figure, f"Score against {record.name}")


def _draw_numbers(axes: Axes, record: Panel, n_rungs: int, score: str) -> None:
    """Value upwards, the range from left to right between its two edges."""
    for shade in record.shades:
        axes.axvspan(shade.low, shade.high, color=WASH if shade.crowded else FAINT, linewidth=0, zorder=0)
    for edge in (0, 1):
        axes.axvline(edge, color=MUTED, linewidth=0.8)
    scale = _ValueAxis.of(record)
    _dots(axes, record.positions, scale.place(record.values), record, n_rungs)
    _markers(axes, record.failed, np.full(len(record.failed), scale.failed), "x", MUTED)
    axes.axhline(scale.foot, color=HAIR, linewidth=0.8)
    axes.set_ylim(scale.bottom, scale.top)
    axes.set_yticks(scale.ticks, scale.labels)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xticks([tick for tick, _ in record.ticks], [label for _, label in record.ticks])
    axes.grid(axis="x", visible=False)
    axes.set_ylabel(score)


def _draw_choices(axes: Axes, record: Panel, n_rungs: int, score: str) -> None:
    """One strip per choice, value to the right; a bar at the median."""
    scale = _ValueAxis.of(record)
    _dots(axes, scale.place(record.values), record.positions, record, n_rungs)
    _markers(axes, np.full(len(record.failed), scale.failed), record.failed, "x", MUTED)
    reach = 0.36 / len(record.ticks)
    middles = np.array([tick for tick, _ in record.ticks])
    axes.vlines(scale.place(np.array(record.medians)), middles - reach, middles + reach, color=INK, linewidth=1.2)
    axes.axvline(scale.foot, color=HAIR, linewidth=0.8)
    axes.set_xlim(scale.bottom, scale.top)
    axes.set_xticks(scale.ticks[::2], scale.labels[::2])
    axes.set_ylim(1, 0)
    axes.set_yticks(middles, [_drawable(label) for _, label in record.ticks])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(score)


@dataclass(frozen=True)
class _ValueAxis:
    """An axis of values with lanes beyond its low end: for trials `below` it, and for those that `failed`."""

    low: float
    high: float
    has_below: bool
    has_failed: bool

    @classmethod
    def of(cls, record: Panel) -> "_ValueAxis":
        assert record.axis is not None
        return cls(record.axis.low, record.axis.high, record.n_below > 0, len(record.failed) > 0)

    @property
    def below(self) -> float:
        return self.low - 0.09 * (self.high - self.low)

    @property
    def failed(self) -> float:
        return (self.below if self.has_below else self.low) - 0.09 * (self.high - self.low)

    @property
    def bottom(self) -> float:
        lowest = self.failed if self.has_failed else self.below if self.has_below else self.low
        return lowest - 0.06 * (self.high - self.low)

    @property
    def foot(self) -> float:
        """Where the axis ends and the lanes begin; without any, where the drawing ends."""
        return self.low if self.has_below or self.has_failed else self.bottom

    @property
    def top(self) -> float:
        return self.high + 0.05 * (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        room = 1e-6 * (self.high - self.low)
        return [float(tick) for tick in ticks if self.low - room <= tick <= self.high + room]

    @property
    def labels(self) -> list[str]:
        """As many decimals for each tick as their distance has."""
        distance = min(np.diff(self.ticks), default=self.high - self.low)
        decimals = max(0, -math.floor(math.log10(distance) + 1e-6))
        return [fixed(tick, decimals) if abs(tick) < 1e6 else number(tick) for tick in self.ticks]

    def place(self, values: Floats) -> Floats:
        """The values, those beyond the low end in their lane."""
        return np.where(values < self.low, self.below, values)


def _dots(axes: Axes, x: Floats, y: Floats, record: Panel, n_rungs: int) -> None:
    """One dot per trial in the colour of its rung, orange for the best; a triangle where its value is off the axis."""
    assert record.axis is not None
    inside = record.values >= record.axis.low
    for rung, colour in enumerate(rung_colours(n_rungs)):
        shown = inside & (record.rungs == rung)
        if len(record.values) <= MOST_MARKERS:
            _markers(axes, x[shown], y[shown], "o", colour)
        else:
            _specks(axes, x[shown], y[shown], colour)
        below = ~inside & (record.rungs == rung)
        _markers(axes, x[below], y[below], "v", colour)
    if record.has_best:
        _markers(axes, x[-1:], y[-1:], "o", ACCENT)


def _markers(axes: Axes, x: Floats, y: Floats, marker: str, colour: str) -> None:
    # evenly thinned where they would lie on top of each other anyway
    step = 1 + len(x) // MOST_MARKERS
    axes.plot(x[::step], y[::step], marker, color=colour, markersize={"o": 4.8, "v": 5.6, "x": 4.2}[marker],
              markeredgecolor=colour if marker == "x" else "white", markeredgewidth=0.9 if marker == "x" else 0.5,
              zorder=3)  # fmt: skip


def _specks(axes: Axes, x: Floats, y: Floats, colour: str) -> None:
    """Small dots as one path of lines of no length with round ends: a tenth of the bytes of as many markers."""
    path = Path(np.repeat(np.column_stack([x, y]), 2, axis=0), np.tile([Path.MOVETO, Path.LINETO], len(x)))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, edgecolor=colour, facecolor="none", linewidth=3, capstyle="round", zorder=3))


@_house_style()
def draw_range_course(record: RangeCourse, width: float = NARROW) -> str:
    """A bar per stage from top to bottom: the whole range pale, the part most draws lie in darker, a dot per trial.

    Dots are dark if good, orange for the best. An arrow at an end points to where better ones may lie.
    """
    n_stages = len(record.spans)
    figure, axes = _figure(width, 0.55 + STAGE_HEIGHT * n_stages)
    for place, span in enumerate(record.spans):
        for (low, high), colour, edge in ((span.whole, WHOLE, HAIR), (span.part, PART, MUTED)):
            axes.barh(place, high - low, height=BAR, left=low, color=colour, edgecolor=edge, linewidth=0.6, zorder=1)
        for side, verdict in span.verdicts.items():
            _mark_end(axes, span.whole, place, side, verdict)
    offsets = (np.arange(len(record.places)) * GOLDEN % 1 - 0.5) * 0.8 * BAR
    rows = record.places + offsets
    failed = np.isnan(record.ranks)
    _markers(axes, record.positions[failed], rows[failed], "x", MUTED)
    for shade, colour in enumerate(rung_colours(N_SHADES)):
        shown = (record.ranks > shade / N_SHADES) & (record.ranks <= (shade + 1) / N_SHADES)
        _markers(axes, record.positions[shown], rows[shown], "o", colour)
    if record.has_best:
        _markers(axes, record.positions[-1:], rows[-1:], "o", ACCENT)
    _stage_axis(axes, [span.stage for span in record.spans])
    axes.set_xlim(-0.08, 1.08)
    axes.set_xticks([tick for tick, _ in record.ticks], [label for _, label in record.ticks])
    axes.grid(axis="y", visible=False)
    return _svg(figure, f"The range of {record.name} from stage to stage")


def _mark_end(axes: Axes, whole: tuple[float, float], place: int, side: str, verdict: str) -> None:
    """An arrow where better trials may lie beyond, a wall where the range cannot grow, a cross where trials fail."""
    x = whole[0] - 0.035 if side == "low" else whole[1] + 0.035
    marker = ("<" if side == "low" else ">") if verdict == EDGE else "|" if verdict == NATURAL_BOUND else "X"
    axes.plot([x], [place], marker, color=ACCENT, markersize=7, markeredgewidth=1.6 if marker == "|" else 0.5,
              zorder=4, clip_on=False)  # fmt: skip


@_house_style()
def draw_choice_course(record: ChoiceCourse, width: float = NARROW) -> str:
    """A cell per value and stage with its share of the stage's trials, the darker the larger; the best one's in orange.

    A value without a trial in a stage has a dash.
    """
    n_values, n_stages = record.shares.shape
    figure, axes = _figure(width, 0.55 + CELL_HEIGHT * n_values)
    for value, stage in np.ndindex(n_values, n_stages):
        share = record.shares[value, stage]
        shown = 0.0 if math.isnan(share) else float(share)
        axes.barh(value, 0.94, height=0.86, left=stage - 0.47, color=RUNGS(shown) if shown else FAINT, zorder=1)
        axes.text(stage, value, f"{shown:.0%}" if shown else "–", ha="center", va="center", zorder=2,
                  color="white" if shown > LIGHT_INK else INK)  # fmt: skip
    axes.set_yticks(np.arange(n_values), [_drawable(label) for label in record.labels])
    axes.set_xticks(np.arange(n_stages), [_drawable(stage) for stage in record.stages])
    if record.best is not None:
        axes.get_yticklabels()[record.best].set(color=ACCENT, fontweight="bold")
    axes.set_xlim(-0.5, n_stages - 0.5)
    axes.set_ylim(n_values - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return _svg(figure, f"The choices of {record.name} from stage to stage")


def _stage_axis(axes: Axes, stages: Sequence[str]) -> None:
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(stages)), [_drawable(stage) for stage in stages])
    axes.tick_params(axis="y", length=0)


@_house_style()
def draw_importance(record: Importance) -> str:
    """A bar per column, the most important on top, with the deviation between the repeats."""
    figure, axes = _figure(WIDE, 0.6 + CELL_HEIGHT * len(record.columns))
    rows = np.arange(len(record.columns))
    axes.barh(rows, record.drops, color=RUNG_ENDS[1], height=0.62)
    axes.errorbar(record.drops, rows, xerr=record.deviations, fmt="none", ecolor=ACCENT, elinewidth=1.2)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(rows, [_drawable(column) for column in record.columns])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("drop of the score")
    return _svg(figure, "What the score loses when a column is shuffled")


@_house_style()
def draw_reliability(table: pd.DataFrame) -> str:
    """Observed share against predicted probability, a dot per bin with its Wilson interval; see `reliability`."""
    figure, axes = _figure(NARROW)
    predicted, share = table["mean_predicted"].to_numpy(), table["observed_share"].to_numpy()
    # a share of 1 may be a rounding error above its interval's end
    below, above = np.maximum(share - table["wilson_low"], 0), np.maximum(table["wilson_high"] - share, 0)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.errorbar(predicted, share, yerr=np.stack([below, above]), fmt="o", color=RUNG_ENDS[1], ecolor=RUNG_ENDS[0],
                  markersize=4, elinewidth=1.2)  # fmt: skip
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share")
    return _svg(figure, "Observed share against predicted probability")


@_house_style()
def draw_bars(labels: Sequence[str], counts: Sequence[int], what: str) -> str:
    """One bar per rung, in its colour and with its number."""
    figure, axes = _figure(WIDE, 0.3 + 0.34 * len(labels))
    rows = np.arange(len(labels))
    bars = axes.barh(rows, counts, color=rung_colours(len(labels)), height=0.62)
    axes.bar_label(bars, [number(count, 9) for count in counts], padding=4, color=INK)
    axes.set_xlim(0, 1.2 * max([1, *counts]))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(rows, labels)
    axes.xaxis.set_major_locator(NullLocator())
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _svg(figure, f"{what} of each rung")


def _figure(width: float, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _line(axes: Axes, curve: Curve, colour: str, width: float, label: str | None = None) -> None:
    # a single epoch is no line
    marker = "o" if len(curve.epochs) == 1 else None
    axes.plot(curve.epochs, curve.losses, color=colour, linewidth=width, marker=marker, markersize=3, label=label)


def _epoch_axis(axes: Axes, rung_ends: Sequence[int], curves: Sequence[Curve]) -> None:
    """Logarithmic, as rungs are; a line and a label at the end of each rung."""
    last = max([2, *rung_ends, *(int(curve.epochs.max()) for curve in curves if len(curve.epochs))])
    axes.set_xscale("log")
    axes.set_xlim(0.93, last * 1.07)
    ticks: list[int] = []
    for tick in sorted({1, *rung_ends}, reverse=True):
        # of labels that would touch, the earlier one is left out
        if not ticks or np.log(ticks[-1] / tick) > 0.08 * np.log(last):
            ticks.append(tick)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", visible=False)
    for end in rung_ends:
        axes.axvline(end, color=HAIR, linewidth=0.8, zorder=0)
    axes.set_xlabel("epochs")


def _loss_axis(axes: Axes, axis: Axis | None, curves: Sequence[Curve]) -> None:
    """Logarithmic, with a lane "less" under it where losses lie below; a word where there is nothing to show."""
    if axis is None:
        _say(axes, "no loss above zero")
        return
    span = axis.high / axis.low
    locator = LogLocator(subs=(1,) if span > 100 else (1, 2, 5) if span > 10 else (1, 1.5, 2, 3, 5, 7))
    ticks = {tick: number(tick, 4) for tick in locator.tick_values(axis.low, axis.high)}
    ticks = {tick: label for tick, label in ticks.items() if axis.low <= tick <= axis.high}
    bottom = axis.low / span**0.04
    if any(_is_below(curve, axis).any() for curve in curves):
        ticks[_lane(axis)] = "less"
        bottom = _lane(axis) / span**0.04
        axes.axhline(axis.low, color=HAIR, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylim(bottom, axis.high * span**0.04)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("loss")


def _placed(curve: Curve, axis: Axis | None) -> Curve:
    """The curve with its losses below the axis in the lane under it: zero has no place on a logarithmic one."""
    return replace(curve, losses=np.where(_is_below(curve, axis), _lane(axis), curve.losses)) if axis else curve


def _is_below(curve: Curve, axis: Axis) -> NDArray[np.bool_]:
    # the axis ends at a loss only up to rounding
    return curve.losses < axis.low * (1 - 1e-9)


def _lane(axis: Axis) -> float:
    return axis.low / math.pow(axis.high / axis.low, 0.07)


def _say(axes: Axes, sentence: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", color=MUTED)


def _drawable(text: str) -> str:
    """The text on one line, cut to fit, with a box for what matplotlib's font lacks (it would warn)."""
    line = " ".join(text.split())
    cut = line if len(line) <= LONGEST_LABEL else line[: LONGEST_LABEL - 1] + "…"
    return "".join(character if ord(character) in _characters() else "□" for character in cut)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _svg(figure: Figure, label: str) -> str:
    """The figure as an SVG element that fits any width up to its own."""
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    # names of groups would repeat from figure to figure, and a hundredth of a point is enough
    body = re.sub(r'<g id="[^"]*">', "<g>", body)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+|\s*\n", r"\1", path[0]), body)
    width, height = (72 * size for size in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width:{width * 4 / 3:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">{body.strip()}'
    )
