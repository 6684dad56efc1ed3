from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from hpsearch.space.edges import (
    DECISION_COLUMNS,
    DIVERGENCE,
    EDGE,
    FLAT,
    INSIDE,
    NATURAL_BOUND,
    SIGNIFICANCE,
    UNDECIDED,
    Side,
    boundary_check,
)
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of(
    {
        "learning_rate_init": LogUniform(1e-4, 1e-2),
        "dropout": Uniform(0.0, 0.5, natural=(0.0, 1.0)),
        "depth": Integer(1, 4),
        "schedule": Choice(["constant", "cosine"]),
        "warmup": Uniform(0.0, 0.2, when={"schedule": "cosine"}),
    }
)


def trials_of(
    space: SearchSpace, value: Callable[[dict[str, Any], float], float], n: int = 128, seed: int = 0
) -> pd.DataFrame:
    """A trial table of n draws; `value` is given each config and a standard normal number."""
    noise = np.random.default_rng(seed).standard_normal(n)
    configs = [space.draw(seed, 0, number) for number in range(n)]
    columns = {f"params_{name}": [config.get(name, np.nan) for config in configs] for name in space.distributions}
    values = [value(config, float(e)) for config, e in zip(configs, noise, strict=True)]
    return pd.DataFrame({"number": range(n), "value": values, **columns})


def verdicts(decisions: pd.DataFrame) -> dict[Any, Any]:
    return decisions.set_index(["name", "side"])["verdict"].to_dict()


def test_an_optimum_beyond_the_upper_end_is_an_edge() -> None:
    trials = trials_of(SPACE, lambda config, e: np.log10(config["learning_rate_init"]) + 0.1 * e)
    decisions = boundary_check(trials, SPACE, stage=0)
    found = verdicts(decisions)
    assert found.pop(("learning_rate_init", "high")) == EDGE
    assert set(found.values()) <= {INSIDE, FLAT}
    side = decisions.set_index(["name", "side"]).loc[[("learning_rate_init", "high")]]
    assert side["p_value"].item() < 1e-6
    assert side["best_position"].item() > 0.9
    assert side["share_of_best"].item() > 0.4 > 0.2 > side["share_of_drawn"].item()


def test_an_optimum_at_a_natural_bound_is_no_reason_to_widen() -> None:
    trials = trials_of(SPACE, lambda config, e: -config["dropout"] + 0.02 * e)
    found = verdicts(boundary_check(trials, SPACE, stage=0))
    assert found.pop(("dropout", "low")) == NATURAL_BOUND
    assert set(found.values()) <= {INSIDE, FLAT}


def test_the_end_of_a_short_integer_range_is_an_edge() -> None:
    trials = trials_of(SPACE, lambda config, e: config["depth"] + 0.1 * e)
    decisions = boundary_check(trials, SPACE, stage=0)
    found = verdicts(decisions)
    assert found.pop(("depth", "high")) == EDGE
    assert set(found.values()) <= {INSIDE, FLAT}
    sentence = decisions.loc[(decisions["name"] == "depth") & (decisions["side"] == "high"), "sentence"].item()
    assert sentence.startswith("depth: 25 of the best 26 trials lie at the top of [1, 4], ")


def test_an_optimum_in_the_middle_is_inside() -> None:
    trials = trials_of(SPACE, lambda config, e: -((np.log10(config["learning_rate_init"]) + 3) ** 2) + 0.01 * e)
    found = verdicts(boundary_check(trials, SPACE, stage=0))
    assert {found["learning_rate_init", "low"], found["learning_rate_init", "high"]} == {INSIDE}
    assert set(found.values()) <= {INSIDE, FLAT}


def test_a_conditional_hyperparameter_is_judged_among_the_trials_that_have_it() -> None:
    trials = trials_of(SPACE, lambda config, e: config.get("warmup", 0.3) + 0.002 * e)
    decisions = boundary_check(trials, SPACE, stage=0)
    assert verdicts(decisions)["warmup", "high"] == EDGE
    n_having = int(trials["params_warmup"].notna().sum())
    sentence = decisions.loc[(decisions["name"] == "warmup") & (decisions["side"] == "high"), "sentence"].item()
    assert 0 < n_having < len(trials)
    assert f"of all {n_having} do" in sentence


def test_failed_trials_count_as_drawn() -> None:
    trials = trials_of(SPACE, lambda config, e: config["dropout"] + 0.01 * e)
    high = trials["params_dropout"] >= 0.45
    trials.loc[trials.index[high][::2], "value"] = np.nan
    trials.loc[trials.index[high][1], "value"] = np.inf
    side = boundary_check(trials, SPACE, stage=0).set_index(["name", "side"]).loc[[("dropout", "high")]]
    assert side["share_of_drawn"].item() == high.mean()
    best = trials[np.isfinite(trials["value"])].sort_values("value")["params_dropout"].iloc[-1]
    assert side["best_position"].item() == best / 0.5


@pytest.mark.parametrize(("n_valued", "decided"), [(15, False), (16, True)])
def test_few_trials_leave_it_undecided(n_valued: int, decided: bool) -> None:
    space = SearchSpace.of({"dropout": Uniform(0.0, 0.5)})
    trials = trials_of(space, lambda config, e: config["dropout"], n=40)
    trials.loc[n_valued:, "value"] = np.nan
    decisions = boundary_check(trials, space, stage=0)
    assert (UNDECIDED not in set(decisions["verdict"])) == decided
    assert decisions["p_value"].notna().all() == decided
    if not decided:
        assert decisions["sentence"][1] == (
            "dropout: too few trials to judge the top of [0, 0.5]: 15 have a value, 16 are needed."
        )


def test_no_trial_has_it_or_none_has_a_value() -> None:
    trials = trials_of(SPACE, lambda config, e: np.nan).drop(columns="params_warmup")
    decisions = boundary_check(trials, SPACE, stage=0)
    assert set(decisions["verdict"]) == {UNDECIDED}
    assert decisions["best_position"].isna().all()
    assert decisions.loc[decisions["name"] == "warmup", "share_of_drawn"].isna().all()
    empty = boundary_check(trials.iloc[:0], SPACE, stage=0)
    assert set(empty["verdict"]) == {UNDECIDED}


def test_the_table_has_the_columns_of_decisions() -> None:
    decisions = boundary_check(trials_of(SPACE, lambda config, e: e), SPACE, stage=3)
    assert decisions.dtypes.astype(str).to_dict() == DECISION_COLUMNS
    assert decisions["name"].unique().tolist() == ["learning_rate_init", "dropout", "depth", "warmup"]
    assert decisions["side"].tolist() == ["low", "high"] * 4
    assert set(decisions["stage"]) == {3}
    assert decisions["new_low"].equals(decisions["low"].rename("new_low"))
    assert decisions["new_high"].equals(decisions["high"].rename("new_high"))
    nothing = boundary_check(trials_of(SPACE, lambda config, e: e), SearchSpace.of({"schedule": "cosine"}), stage=0)
    assert nothing.dtypes.astype(str).to_dict() == DECISION_COLUMNS
    assert len(nothing) == 0


def test_the_trials_are_left_as_they_were() -> None:
    trials = trials_of(SPACE, lambda config, e: e)
    before = trials.copy(deep=True)
    first, second = boundary_check(trials, SPACE, stage=0), boundary_check(trials, SPACE, stage=0)
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(trials, before)


def planted(n_best_outer: int, low: float, high: float) -> tuple[pd.DataFrame, SearchSpace]:
    """128 trials, thirteen of them in the top tenth, of which so many are among the best twenty-six."""
    space = SearchSpace.of({"rate": LogUniform(low, high)})
    values = np.arange(128, 0, -1)
    outer = np.r_[:n_best_outer, 40 : 53 - n_best_outer]
    units = np.where(np.isin(np.arange(128), outer), 0.95, 0.5)
    rates = [space.distributions["rate"].from_unit(float(u)) for u in units]
    return pd.DataFrame({"number": range(128), "value": values, "params_rate": rates}), space


def test_sentences_are_for_people() -> None:
    trials, space = planted(8, 1e-4, 1e-2)
    low, high = boundary_check(trials, space, stage=0)["sentence"]
    assert high == (
        "rate: 8 of the best 26 trials lie in the top tenth of [0.0001, 0.01], 13 of all 128 do (p = 0.001); "
        "consider raising its upper end."
    )
    assert low == (
        "rate: 0 of the best 26 trials lie in the bottom tenth of [0.0001, 0.01], 0 of all 128 do (p = 1); "
        "no more than chance would put there."
    )
    bounded = space.with_natural_bounds({"rate": (0, 1e-2)})
    assert boundary_check(trials, bounded, stage=0)["sentence"][1].endswith(
        "(p = 0.001); 0.01 is a natural bound, so there is nothing to widen."
    )


def test_the_p_value_is_the_hypergeometric_tail_times_the_sides() -> None:
    trials, space = planted(4, 1e-4, 1e-2)
    rng = np.random.default_rng(0)
    outer = (rng.permuted(np.tile(np.arange(128) < 13, (200_000, 1)), axis=1)[:, :26]).sum(axis=1)
    p_value = boundary_check(trials, space, stage=0)["p_value"][1]
    assert p_value == pytest.approx(2 * np.mean(outer >= 4), rel=0.05)


@pytest.mark.parametrize("n", [16, 128])
def test_false_alarms_are_rare_where_nothing_matters(n: int) -> None:
    repetitions = 200
    alarms = pd.concat(
        [boundary_check(trials_of(SPACE, lambda config, e: e, n, seed), SPACE, 0) for seed in range(repetitions)]
    )
    alarms = alarms.assign(alarm=alarms["verdict"].isin([EDGE, NATURAL_BOUND]))
    per_side = alarms.groupby(["name", "side"])["alarm"].mean()
    assert per_side.max() <= SIGNIFICANCE
    # Bonferroni promises as much for all sides of a study together; two standard errors of grace.
    assert alarms["alarm"].sum() / repetitions <= SIGNIFICANCE + 2 * np.sqrt(SIGNIFICANCE / repetitions)


def test_what_does_not_matter_is_flat() -> None:
    trials = trials_of(SPACE, lambda config, e: -config["dropout"] + 0.02 * e)
    found = verdicts(boundary_check(trials, SPACE, stage=0))
    assert found["learning_rate_init", "low"] == found["learning_rate_init", "high"] == FLAT
    assert found["dropout", "high"] == INSIDE


def test_failures_that_crowd_at_a_side_are_a_cliff() -> None:
    trials = trials_of(
        SPACE, lambda c, e: np.nan if c["learning_rate_init"] > 6e-3 else np.log10(c["learning_rate_init"]) + 0.1 * e
    )
    decisions = boundary_check(trials, SPACE, stage=0)
    assert verdicts(decisions)["learning_rate_init", "high"] == DIVERGENCE
    sentence = decisions["sentence"][1]
    n_failed = int(trials["value"].isna().sum())
    assert f"of the {n_failed} failed trials lie in the top tenth of [0.0001, 0.01], " in sentence
    assert sentence.endswith("; beyond it training diverges.")


def test_an_edge_at_its_limits_says_so() -> None:
    space = SearchSpace.of({"rate": LogUniform(1e-4, 1e-2, limits=(1e-4, 1e-2))})
    trials = trials_of(space, lambda config, e: np.log(config["rate"]))
    decisions = boundary_check(trials, space, stage=0)
    assert decisions["verdict"][1] == EDGE
    assert decisions["sentence"][1].endswith("its limits end there: consider wider ones.")


def test_longer_training_ranks_before_a_higher_score() -> None:
    space = SearchSpace.of({"rate": Uniform(0.0, 1.0)})
    trials = trials_of(space, lambda config, e: config["rate"]).assign(epochs=1)
    survivors = trials["params_rate"] < 0.25
    trials.loc[survivors, "epochs"] = 9
    found = verdicts(boundary_check(trials, space, stage=0))
    assert found[("rate", "high")] == INSIDE


@pytest.mark.parametrize(
    ("distribution", "upper", "times", "expected"),
    [
        (LogUniform(1e-4, 1e-2), True, 1, (1e-4, 1e-1)),
        (LogUniform(1e-4, 1e-2), False, 1, (1e-5, 1e-2)),
        (LogUniform(1e-4, 1e-2), True, 2, (1e-4, 1.0)),
        (LogUniform(1e-4, 1e-2, limits=(1e-4, 2e-2)), True, 1, (1e-4, 2e-2)),
        (Uniform(0.2, 0.4), True, 1, (0.2, 0.5)),
        (Uniform(0.2, 0.4, natural=(0.15, None)), False, 1, (0.15, 0.4)),
        (Integer(2, 3), True, 1, (2, 4)),
        (Integer(2, 3), False, 1, (1, 3)),
        (Integer(16, 64, log=True), True, 1, (16, 640)),
        (Integer(16, 64, log=True), False, 1, (1, 64)),
    ],
)
def test_a_side_extends_by_a_decade_or_half_the_range(
    distribution: Any, upper: bool, times: int, expected: tuple[float, float]
) -> None:
    wider = Side("x", distribution, upper).extended(distribution, times)
    assert (wider.low, wider.high) == pytest.approx(expected)
    assert type(wider.low) is type(distribution.low)
    assert wider.limit_range == distribution.limit_range


def crowding(slope: float, seed: int = 0) -> pd.DataFrame:
    """Trials of a share in [0, 1], most of which were drawn near 1 already, that are the better the nearer to it."""
    rng = np.random.default_rng(seed)
    shares = np.concatenate([rng.random(12), rng.uniform(0.9, 1.0, 36)])
    values = slope * shares + 0.3 * rng.standard_normal(len(shares))
    return pd.DataFrame({"number": range(len(shares)), "params_share": shares, "value": values})


def test_where_draws_crowd_at_an_end_already_a_trend_towards_it_is_an_edge() -> None:
    """That most of the best lie where most were drawn says nothing; that they are the better the nearer does."""
    space = SearchSpace.of({"share": Uniform(0.0, 1.0)})
    decisions = boundary_check(crowding(8.0), space, stage=2)
    high = decisions[decisions["side"] == "high"].iloc[0]
    assert high["verdict"] == EDGE and high["p_value"] > SIGNIFICANCE
    assert high["sentence"].startswith(
        "share: the nearer to the top of [0, 1], the better, by the trials of that half (p"
    )
    found = [verdicts(boundary_check(crowding(0.0, seed), space, stage=2)) for seed in range(40)]
    assert sum(one["share", "high"] == EDGE for one in found) <= 4, "without a trend it is one by chance only"
