"""The records of the figures, computed from made-up findings with known answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.scoring import Scorer
from hpsearch.data.target import Target
from hpsearch.ensemble.candidates import COLUMNS
from hpsearch.ensemble.selection import Selection
from hpsearch.record.tables import TrialHistory, history_table
from hpsearch.report import figures
from hpsearch.report.figures import RungCost, Shade
from hpsearch.report.findings import Findings
from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from hpsearch.space.edges import EDGE, NATURAL_BOUND, boundary_check
from hpsearch.space.space import SearchSpace

RUNG_ENDS = (2, 6, 18)
SPACE = {"learning_rate_init": LogUniform(1e-4, 1e-1), "dropout": Uniform(0.0, 0.5), "batch_size": 32}
STATES = {"COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "diverged", "RUNNING": None}
VALUES = [(-0.5, -0.4, -0.6), (-0.9,), (-0.7, -0.3), (math.nan,), (-0.8, math.nan)]


def made_up(
    values: Sequence[Sequence[float]] = VALUES, space: Mapping[str, Any] = SPACE, *, states: Sequence[str] = (),
    **changes: Any,
) -> Findings:  # fmt: skip
    """Findings of trials that had these values at the ends of the rungs they trained in; NaN where one diverged.

    A loss is about the negative of the value; a diverged one is not a number in the last epoch, the first of its rung.
    """
    searched = SearchSpace.of(space)
    plan = [
        {"name": "random", "n_trials": len(values), "rungs": [{"epochs": epochs, "keep": 1} for epochs in RUNG_ENDS]}
    ]
    trials = _trials(values, searched, states)
    history = history_table([_history(number, own) for number, own in enumerate(values) if own])
    valued = history.dropna(subset=["valid_value"])
    best = valued.loc[valued["valid_value"].idxmax()]
    findings = Findings(
        title="Made up",
        task="binary",
        target="label",
        n_rows={"train": 700, "valid": 150, "select": 150, "test": 1000},
        n_columns=4,
        n_inputs=7,
        scoring="neg_log_loss",
        space=searched,
        plan=plan,
        trials=trials,
        history=history,
        folds=pd.DataFrame(),
        configs={},
        members=_members(int(best["trial_number"]), int(best["epoch"]), float(best["valid_value"])),
        decisions=boundary_check(trials, searched, 0),
        candidates=candidates([]),
        leaderboard=_leaderboard(float(best["valid_value"])),
        selection=selection(),
        chance=_chance(),
        best_config=searched.draw(0, 0, int(best["trial_number"])),
        best_value=float(best["valid_value"]),
        seconds=12.345,
        ended="finished",
        warnings=(),
    )
    return replace(findings, **changes)


def selection(n_rows: int = 150, labels: Sequence[str] = ("no", "yes"), seed: int = 0) -> Selection:
    """Selection rows whose classes come true as often as they are predicted to."""
    rng = np.random.default_rng(seed)
    predictions = rng.dirichlet(np.ones(len(labels)), n_rows)
    codes = (rng.random((n_rows, 1)) > predictions.cumsum(axis=1)).sum(axis=1)
    scorer = Scorer.of(None, Target("label", "binary" if len(labels) == 2 else "multiclass", np.array(labels)))
    shown = np.arange(min(n_rows, 20))
    table = pd.DataFrame({"x": predictions[shown, 0]})
    return Selection(codes, predictions, np.arange(n_rows) % 5, None, scorer, shown, table, 0)


def _trials(values: Sequence[Sequence[float]], space: SearchSpace, states: Sequence[str]) -> pd.DataFrame:
    rows = []
    for number, own in enumerate(values):
        failed = any(math.isnan(value) for value in own)
        state = "FAIL" if failed else "COMPLETE" if len(own) == len(RUNG_ENDS) else "PRUNED" if own else "RUNNING"
        state = states[number] if states else state
        config = space.optuna_values(space.draw(0, 0, number))
        rows.append(
            {
                "number": number,
                "value": math.nan if failed or not own else own[-1],
                "state": state,
                **{f"params_{name}": value for name, value in config.items()},
                "user_attrs_advice": "Diverged: try a tenth of it." if failed else None,
                "stage": 0,
                "rung": len(own) - 1,
                "epochs": _epochs(own),
                "seed": number,
                "outcome": STATES[state],
            }
        )
    return pd.DataFrame(rows)


def _epochs(values: Sequence[float]) -> int:
    if not values:
        return 0
    return (0, *RUNG_ENDS)[len(values) - 1] + 1 if math.isnan(values[-1]) else RUNG_ENDS[len(values) - 1]


def _history(number: int, values: Sequence[float]) -> TrialHistory:
    finite = {end: value for end, value in zip(RUNG_ENDS, values, strict=False) if not math.isnan(value)}
    epochs = np.arange(1, _epochs(values) + 1)
    losses = np.abs(np.interp(epochs, list(finite) or [1], list(finite.values()) or [1.0]))
    if math.isnan(values[-1]):
        losses[-1] = math.nan
    return TrialHistory(number, 0, RUNG_ENDS, finite, np.stack([0.5 * losses, losses, 0.001 + 0 * losses], axis=1))


def _members(trial: int, epoch: int, value: float) -> pd.DataFrame:
    member = {"ensemble": "best_model", "trial_number": trial, "epoch": epoch, "weights": "ema", "seed": 1, "fold": 0}
    return pd.DataFrame([member | {"weight": 1.0, "valid_value": value}])


def _leaderboard(value: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ensemble": ["best_model", "top_models"],
            "n_members": [1, 3],
            "valid_value": [value, value - 0.1],
            "honest_score": [-0.0712, -0.08],
            "honest_deviation": [0.0213, 0.03],
            "test_score": [-0.075, math.nan],
            "size_mb": [0.21, 0.63],
            "predict_ms": [2.1, 6.3],
            "chosen": [True, False],
        }
    )


def candidates(trials: Sequence[int]) -> pd.DataFrame:
    """Trials that completed the plan, best first, each with three seeds."""
    row = {"n_seeds": 3, "searched_value": -0.4, "value": -0.45, "deviation": 0.031, "honest_value": -0.47, "gap": 0.07}
    return pd.DataFrame([{"trial_number": number} | row for number in trials], columns=list(COLUMNS)).astype(COLUMNS)


def _chance() -> pd.DataFrame:
    verdicts = ["as it should be", "too high"]
    shapes = {
        "encoding": "robust",
        "hidden_layer_sizes": ["[64]", "[128]"],
        "initial_loss": [0.7, 1.4],
        "chance_loss": [0.693, 0.693],
    }
    return pd.DataFrame(shapes | {"ratio": [1.01, 2.02], "verdict": verdicts, "sentence": verdicts})


def panel(name: str, findings: Findings) -> figures.Panel:
    return next(panel for panel in figures.panels(findings) if panel.name == name)


def test_trials_come_by_their_best_value() -> None:
    facts = figures.trial_facts(made_up())
    assert facts.index.tolist() == [2, 0, 4, 1, 3]
    columns = ["epochs", "rung", "best_value", "best_epoch", "state", "is_repeat", "is_best"]
    assert facts.columns.tolist() == columns
    assert facts.loc[0].tolist() == [18, 2, -0.4, 6, "COMPLETE", False, False]
    assert facts.loc[4].tolist() == [3, 1, -0.8, 2, "FAIL", False, False]
    assert math.isnan(facts.loc[3, "best_value"])
    assert facts.loc[3, "best_epoch"] == 0


def test_ties_go_to_the_lower_number_and_the_earlier_epoch() -> None:
    facts = figures.trial_facts(made_up([(-0.5, -0.2), (-0.2, -0.2, -0.2)]))
    assert facts.index.tolist() == [0, 1]
    assert facts["best_epoch"].tolist() == [6, 2]


def test_the_best_candidate_comes_first() -> None:
    facts = figures.trial_facts(made_up(candidates=candidates([0])))
    assert facts.index.tolist() == [0, 2, 4, 1, 3]
    assert facts.index[facts["is_best"]].tolist() == [0]
    assert figures.best_trial(made_up(candidates=candidates([0]))).training.trial_number == 0


def test_a_trial_that_never_ran_is_in_no_figure() -> None:
    findings = made_up([(-0.5,), (), ()])
    assert figures.trial_facts(findings).index.tolist() == [0]
    assert figures.learning_curves(findings).n_trials == 1
    assert len(panel("dropout", findings).positions) == 1


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.7, 0.8, 0.9], 0.7, 0.9),
        ([-50.0], -55.0, -45.0),
        ([0.0, 0.0], -1.0, 1.0),
        ([0.3, 0.3 + 1e-16, math.nan, -math.inf], 0.27, 0.33),
    ],
)
def test_score_axis(values: list[float], low: float, high: float) -> None:
    axis = figures.score_axis(np.array(values))
    assert axis is not None and (axis.low, axis.high) == pytest.approx((low, high))


def test_score_axis_is_cut_below_only() -> None:
    axis = figures.score_axis(np.array([*np.linspace(-1, 0, 50), -1e6, -1e9]))
    assert axis is not None and -10 < axis.low <= -1 and axis.high == 0
    assert figures.score_axis(np.array([math.nan])) is None


def test_loss_axis_is_cut_on_both_sides() -> None:
    axis = figures.loss_axis(np.array([*np.geomspace(0.1, 1, 50), 1e-12, 1e9, 0.0, math.nan, math.inf]))
    assert axis is not None
    assert 1 <= axis.high < 1e3
    assert axis.low == pytest.approx(axis.high / 10**figures.LOSS_DECADES)
    assert figures.loss_axis(np.array([0.0, math.nan])) is None


def test_learning_curves() -> None:
    record = figures.learning_curves(made_up())
    assert [curve.trial_number for curve in record.curves][-1] == 2
    assert [curve.rung for curve in record.curves] == sorted(curve.rung for curve in record.curves[:-1]) + [1]
    assert record.rung_ends == RUNG_ENDS
    assert record.n_trials == 5
    assert (record.n_failed, record.n_above) == (1, 0)  # trial 3 diverged in the first epoch
    assert record.chance == 0.693
    best = record.curves[-1]
    assert best.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert best.losses[-1] == pytest.approx(0.3)


def test_curves_that_never_come_down_are_counted_by_how_they_ended() -> None:
    values = [(-0.5 - number / 100,) for number in range(40)] + [(-1e9,), (-1e9,), *[(math.nan,)] * 3]
    record = figures.learning_curves(made_up(values))
    assert (record.n_failed, record.n_above) == (3, 2)


def test_curves_are_thinned_but_the_best_and_the_survivors_are_kept() -> None:
    values = [(-0.5 - number / 1000,) for number in range(400)] + [(-0.5, -0.5, -0.4), (-0.5, -0.5, -0.3)]
    record = figures.learning_curves(made_up(values))
    numbers = [curve.trial_number for curve in record.curves]
    assert record.n_trials == 402
    assert len(numbers) == len(set(numbers)) == figures.MOST_CURVES
    assert numbers[-2:] == [400, 401]


def test_long_curves_are_thinned_but_rung_ends_are_kept() -> None:
    history = made_up([(-0.5, -0.4, -0.3)]).history
    long = history.iloc[np.zeros(5000, dtype=int)].reset_index(drop=True).assign(epoch=np.arange(1, 5001), rung=2)
    record = figures.best_trial(made_up([(-0.5, -0.4, -0.3)], history=long.assign(valid_value=-0.3)))
    assert len(record.validation.epochs) <= figures.MOST_POINTS + len(RUNG_ENDS)
    assert {*RUNG_ENDS, 5000} <= set(record.validation.epochs.tolist())


def test_best_trial() -> None:
    record = figures.best_trial(made_up())
    assert record.validation.trial_number == record.training.trial_number == 2
    assert record.best_epoch == 6
    assert record.training.losses == pytest.approx(record.validation.losses / 2)
    assert record.rung_ends == (2, 6)


def test_panel_of_a_number() -> None:
    findings = made_up()
    record = panel("learning_rate_init", findings)
    distribution = findings.space.distributions["learning_rate_init"]
    rates = findings.trials["params_learning_rate_init"]
    assert record.values.tolist() == [-0.9, -0.8, -0.4, -0.3]
    assert record.rungs.tolist() == [0, 1, 2, 1]
    assert record.positions == pytest.approx([distribution.to_unit(rates[number]) for number in (1, 4, 0, 2)])
    assert record.failed == pytest.approx([distribution.to_unit(rates[3])])
    assert record.has_best
    assert record.ticks == (
        (0.0, "0.0001"),
        (pytest.approx(1 / 3), "0.001"),
        (pytest.approx(2 / 3), "0.01"),
        (1.0, "0.1"),
    )
    assert record.shades == (Shade(0.0, 0.1, False), Shade(0.9, 1.0, False))
    assert record.verdict == "" and record.medians == () and not record.is_choice


def test_fixed_hyperparameters_have_no_panel() -> None:
    assert [panel.name for panel in figures.panels(made_up())] == ["learning_rate_init", "dropout"]
    assert figures.panels(made_up(space={"dropout": 0.1})) == ()


def test_panel_of_an_integer_shades_whole_cells() -> None:
    record = panel("depth", made_up(space={"depth": Integer(1, 4)}))
    assert record.shades == (Shade(0.0, 0.125, False), Shade(0.875, 1.0, False))
    assert record.ticks[0] == (0.125, "1") and record.ticks[-1] == (0.875, "4")


def test_panel_of_a_choice() -> None:
    choice = Choice([(64,), (128, 128)])
    findings = made_up([(-0.1 * number,) for number in range(1, 21)], {"hidden_layer_sizes": choice})
    record = panel("hidden_layer_sizes", findings)
    assert record.is_choice
    assert record.ticks == ((0.25, "[64]"), (0.75, "[128, 128]"))
    first = findings.trials["params_hidden_layer_sizes"] == "[64]"
    assert record.medians[0] == pytest.approx(findings.trials.loc[first, "value"].median())
    assert len(set(record.positions.tolist())) == 20
    middles = np.where(record.positions < 0.5, 0.25, 0.75)
    assert record.positions == pytest.approx(middles, abs=0.1501)
    assert record.shades == ()


def test_choices_of_mixed_types_and_none() -> None:
    findings = made_up([(-0.5,)] * 12, {"clip": Choice([None, 1, "auto", 2.5])})
    units = figures.unit_coordinates(findings.trials, "clip", findings.space.distributions["clip"])
    assert set(units) == {0.125, 0.375, 0.625, 0.875}


def test_a_conditional_hyperparameter_is_shown_where_it_is_present() -> None:
    space = {"schedule": Choice(["constant", "cosine"]), "ema_decay": Uniform(0.9, 1.0, when={"schedule": "cosine"})}
    findings = made_up([(-0.5,)] * 10, space)
    n_present = int((findings.trials["params_schedule"] == "cosine").sum())
    assert 0 < n_present < 10
    assert len(panel("ema_decay", findings).positions) == n_present


def test_a_hyperparameter_of_no_trial_has_an_empty_panel() -> None:
    findings = made_up()
    record = panel("dropout", replace(findings, trials=findings.trials.drop(columns="params_dropout")))
    assert len(record.positions) == len(record.failed) == 0
    assert not record.has_best


def test_a_few_terrible_trials_are_counted_and_not_shown() -> None:
    values = [(-0.5 - number / 100,) for number in range(40)] + [(-1e6,), (-1e9,)]
    record = panel("dropout", made_up(values))
    assert record.n_below == 2
    assert record.axis is not None and record.axis.low > -5


def test_verdicts_of_the_last_stage_are_told() -> None:
    findings = made_up()
    decisions = findings.decisions.assign(verdict=[EDGE, "inside", "inside", NATURAL_BOUND])
    earlier = decisions.assign(stage=-1, verdict=EDGE)
    findings = replace(findings, decisions=pd.concat([earlier, decisions], ignore_index=True))
    assert panel("learning_rate_init", findings).verdict == "edge at the low end"
    assert panel("dropout", findings).verdict == "natural bound at the high end"
    assert [shade.crowded for shade in panel("learning_rate_init", findings).shades] == [True, False]


def test_rung_costs() -> None:
    assert figures.rung_costs(made_up()) == (
        RungCost("rung 1: 2 epochs", 5, 9),
        RungCost("rung 2: 6 epochs", 3, 9),
        RungCost("rung 3: 18 epochs", 1, 12),
    )


def test_a_rung_of_one_epoch() -> None:
    assert figures.rung_labels([{"rungs": [{"epochs": 1}]}]) == ["rung 1: 1 epoch"]


def test_rungs_of_equal_epochs_are_one() -> None:
    plan = [{"rungs": [{"epochs": 2}]}, {"rungs": [{"epochs": 2}, {"epochs": 6}]}, {"rungs": [{"epochs": 3}]}]
    assert figures.rung_labels(plan) == ["rung 1: 2 epochs", "rung 2: 3 epochs", "rung 3: 6 epochs"]


def test_panels_reach_as_far_as_a_stage_drew() -> None:
    findings = made_up()
    wider = findings.decisions.assign(stage=1)
    wider.loc[wider["name"] == "learning_rate_init", ["low", "new_high"]] = 1e-5, 1.0
    record = panel("learning_rate_init", replace(findings, decisions=pd.concat([findings.decisions, wider])))
    assert [label for _, label in record.ticks] == ["1e−5", "0.0001", "0.001", "0.01", "0.1"]
    units = figures.unit_coordinates(findings.trials, "learning_rate_init", LogUniform(1e-5, 1e-1))
    assert record.positions == pytest.approx([units[number] for number in (1, 4, 0, 2)])


def test_the_most_important_columns_are_shown_and_the_others_counted() -> None:
    drops = [5.0, 3.0, -1.0]
    record = figures.importance(pd.DataFrame({"column": ["a", "b", 7], "importance": drops, "deviation": np.nan}))
    assert record.columns == ["a", "b", "7"] and record.drops.tolist() == drops and record.n_others == 0
    assert record.deviations.tolist() == [0, 0, 0]
    wide = pd.DataFrame({"column": np.arange(50).astype(str), "importance": np.arange(50.0), "deviation": 0.5})
    record = figures.importance(wide)
    assert len(record.columns) == len(record.drops) == figures.MOST_COLUMNS
    assert record.n_others == 50 - figures.MOST_COLUMNS
