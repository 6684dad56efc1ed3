"""Drawings: well-formed SVG, the same bytes each time, no global state, and no warning however odd the findings."""

import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest

from hpsearch.ensemble.calibration import reliability
from hpsearch.report import course, figures, plots
from hpsearch.report.findings import Findings
from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from tests.report.test_course import staged
from tests.report.test_figures import made_up

LONG = "a category with a name that no axis has room for, really none at all"
CHOICES = Choice([LONG, "<script>alert(1)</script>", "$x_1$ --> &amp;", "中文\n字", *range(20)])

ODD: dict[str, Findings] = {
    "one trial": made_up([(-0.5, -0.4, -0.3)]),
    "one epoch": made_up([(-0.5,)], plan=[{"name": "random", "n_trials": 1, "rungs": [{"epochs": 1, "keep": 1}]}]),
    "all equal": made_up([(-0.5,)] * 20),
    "never ran": made_up([(-0.5,), (), ()]),
    "regression": made_up([(-50.0,), (-51.0, -48.0, -47.5), (-54.0,)]),
    "huge": made_up([(-1e30,), (-2e30,), (-3e30,)]),
    "tiny": made_up([(-1e-9,), (-2e-9,), (-3e-9,)]),
    "magnitudes": made_up([(-0.5 - number / 100,) for number in range(40)] + [(-1e6,), (-1e12,)]),
    "one ulp apart": made_up([(-0.1,), (-0.1 - 1e-17,), (-0.1 - 2e-17,)]),
    "mostly diverged": made_up([(-0.5,), *[(math.nan,)] * 40]),
    "no trial has it": made_up([(-0.5,)] * 3, {"a": Choice([1, 2]), "b": Uniform(0, 1, when={"a": 1})}),
    "many": made_up([(-0.5 - number / 1000,) for number in range(500)]),
    "odd names": made_up([(-0.5 - number,) for number in range(40)], {"</svg>": CHOICES, "n": Integer(1, 3)}),
    "narrow range": made_up(space={"x": LogUniform(1.0, 1.01), "n": Integer(5, 6), "w": Integer(8, 4096, log=True)}),
}


ODD["staged"] = staged()
ODD["staged, odd names"] = staged(space={"</svg>": CHOICES, "n": Integer(1, 3), "x": LogUniform(1e-300, 1e300)})


IMPORTANCE = pd.DataFrame({"column": ["a", "</svg>", LONG], "importance": [2.0, 0.0, -0.1], "deviation": 0.2})


def drawings(findings: Findings) -> list[str]:
    """All figures of the findings."""
    costs = figures.rung_costs(findings)
    courses = course.courses(findings)
    return [
        plots.draw_learning_curves(figures.learning_curves(findings), len(costs)),
        plots.draw_best_trial(figures.best_trial(findings)),
        *(plots.draw_panel(panel, len(costs), findings.scoring) for panel in figures.panels(findings)),
        *(plots.draw_range_course(one) for one in courses if isinstance(one, course.RangeCourse)),
        *(plots.draw_choice_course(one) for one in courses if isinstance(one, course.ChoiceCourse)),
        plots.draw_reliability(reliability(findings.selection)),
        plots.draw_importance(figures.importance(IMPORTANCE)),
        plots.draw_bars([cost.label for cost in costs], [cost.n_epochs for cost in costs], "Epochs"),
    ]


@pytest.mark.parametrize("name", ODD)
def test_drawings_are_svg(name: str) -> None:
    for drawing in drawings(ODD[name]):
        element = ElementTree.fromstring(drawing)
        assert element.tag == "svg"
        assert element.get("viewBox")


def test_the_same_bytes_each_time_also_from_threads() -> None:
    expected = drawings(made_up())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: drawings(made_up()), range(4))) == [expected] * 4


def test_settings_of_the_user_neither_matter_nor_change() -> None:
    expected = drawings(made_up())
    settings: dict[str, Any] = {"axes.facecolor": "black", "font.size": 30.0, "svg.fonttype": "path"}
    with matplotlib.rc_context(settings):
        before = {name: matplotlib.rcParams[name] for name in (*settings, *plots.STYLE)}
        assert drawings(made_up()) == expected
        assert {name: matplotlib.rcParams[name] for name in before} == before


def test_pyplot_is_not_needed() -> None:
    script = """
import sys
from tests.report.test_plots import drawings, made_up
drawings(made_up())
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2]).returncode == 0


def test_no_figure_loads_anything_or_names_the_day() -> None:
    for drawing in drawings(made_up()):
        assert "<metadata" not in drawing and "<image" not in drawing and "<style" not in drawing
        assert drawing.count("http") == drawing.count('"http://www.w3.org/1999/xlink"') == 1


def test_labels_of_the_user_are_escaped_cut_and_drawable() -> None:
    text = "".join(drawings(ODD["odd names"]))
    assert "<script" not in text and "&lt;script&gt;" in text
    assert LONG not in text and LONG[: plots.LONGEST_LABEL - 1] + "…" in text
    assert "$x_1$" in text
    assert "□□ □" in text


def test_a_thousand_trials_stay_small() -> None:
    (small,) = (plots.draw_panel(panel, 3, "score") for panel in figures.panels(made_up(space={"n": Uniform(0, 1)})))
    findings = made_up([(-0.5 - number / 1000,) for number in range(1000)], {"n": Uniform(0, 1)})
    (large,) = (plots.draw_panel(panel, 3, "score") for panel in figures.panels(findings))
    assert len(large) < len(small) + 50_000


def test_an_empty_panel_says_so() -> None:
    findings = made_up()
    trials = findings.trials.drop(columns="params_dropout")
    (_, panel) = figures.panels(made_up(trials=trials))
    assert "no trial had it" in plots.draw_panel(panel, 3, "score")


def test_losses_below_the_axis_are_drawn_in_a_lane() -> None:
    findings = made_up([(-0.5, -0.4, -0.3)])
    zero = findings.history.assign(valid_loss=findings.history["valid_loss"].mask(findings.history["epoch"] > 2, 0.0))
    assert "less" in _texts(plots.draw_best_trial(figures.best_trial(replace(findings, history=zero))))
    assert "less" not in _texts(plots.draw_best_trial(figures.best_trial(findings)))


def _texts(drawing: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(drawing).iter() if element.tag.endswith("text")]


def test_rung_colours_go_from_pale_to_dark() -> None:
    assert plots.rung_colours(1) == ["#0b3c6f"]
    sums = [sum(bytes.fromhex(colour[1:])) for colour in plots.rung_colours(5)]
    assert sums == sorted(sums, reverse=True) and len(set(sums)) == 5
