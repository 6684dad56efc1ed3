import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform, as_stored
from hpsearch.space.edges import DECISION_COLUMNS, EDGE
from hpsearch.space.proposal import WHOLE_SHARE, Proposal
from hpsearch.space.refine import NARROWED, refine, start_like
from hpsearch.space.space import Config, SearchSpace

SPACE = SearchSpace.of(
    {
        "learning_rate_init": LogUniform(1e-5, 1e-1),
        "dropout": Uniform(0.0, 0.5, natural=(0.0, 1.0)),
        "depth": Integer(1, 4),
        "hidden_layer_sizes": Choice([(64,), (128, 128), (256,)]),
        "schedule": Choice(["constant", "cosine"]),
        "warmup": Uniform(0.0, 0.2, natural=(0.0, 1.0), when={"schedule": "cosine"}),
        "batch_size": 32,
    }
)
RATE = SearchSpace.of({"rate": LogUniform(1e-4, 1e-2)})


def near_three_thousandths(config: Config) -> float:
    return -abs(np.log10(config["learning_rate_init"]) + 2.5)


def table(space: SearchSpace, configs: list[Config], value: Callable[[Config], float], stage: int = 0) -> pd.DataFrame:
    columns = {f"params_{name}": [config.get(name) for config in configs] for name in space.distributions}
    values = [value(config) for config in configs]
    return pd.DataFrame({"number": range(len(configs)), "stage": stage, "epochs": 1, "value": values, **columns})


def studied(
    space: SearchSpace, value: Callable[[Config], float], stages: int, n: int = 32, seed: int = 0
) -> tuple[Proposal, pd.DataFrame, pd.DataFrame]:
    """Stages of n draws each, refined after every one: the last proposal, all trials, all decisions."""
    proposal, parts, decided = Proposal.of(space), [], []
    for stage in range(stages):
        parts.append(table(space, proposal.draw(seed, stage, n), value, stage))
        trials = pd.concat(parts, ignore_index=True).assign(number=lambda t: range(len(t)))
        proposal, decisions = refine(trials, proposal, stage)
        decided.append(decisions)
    return proposal, trials, pd.concat(decided, ignore_index=True)


def test_draws_are_a_function_of_proposal_seed_stage_and_number() -> None:
    proposal, _, _ = studied(SPACE, near_three_thousandths, 2)
    for drawing in (Proposal.of(SPACE), proposal):
        assert drawing.draw(0, 2, 16) == Proposal.from_json(drawing.to_json()).draw(0, 2, 16)
        assert drawing.draw(0, 2, 16) != drawing.draw(1, 2, 16)
        assert drawing.draw(0, 2, 16) != drawing.draw(0, 3, 16)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 40), st.integers(1, 40))
def test_any_trials_give_a_proposal_that_survives_json_and_draws_within_its_space(
    seed: int, n: int, drawn: int
) -> None:
    rng = np.random.default_rng(seed)
    value = {"nothing": lambda c: np.nan, "noise": lambda c: rng.normal(), "edge": lambda c: c["depth"] - c["dropout"]}
    for score in value.values():
        trials = table(SPACE, Proposal.of(SPACE).draw(seed, 0, n), score)
        proposal, decisions = refine(trials, Proposal.of(SPACE), 0)
        assert Proposal.from_json(json.loads(json.dumps(proposal.to_json(), allow_nan=False))) == proposal
        assert decisions.dtypes.astype(str).to_dict() == DECISION_COLUMNS
        for config in proposal.draw(seed, 1, drawn):
            for name, value_drawn in config.items():
                if name in proposal.space.distributions:
                    distribution = proposal.space.distributions[name]
                    if isinstance(distribution, Choice):
                        assert value_drawn in distribution.values
                    else:
                        assert distribution.low <= value_drawn <= distribution.high  # type: ignore[operator]


def test_draws_crowd_where_the_best_trials_lie_and_some_go_over_the_whole_space() -> None:
    proposal, _, decisions = studied(SPACE, near_three_thousandths, 3)
    rates = np.log10([config["learning_rate_init"] for config in proposal.draw(0, 3, 1000)])
    near = np.abs(rates + 2.5) < 0.5
    assert near.mean() > 0.7  # one in four of a uniform draw
    assert (np.abs(rates + 2.5) > 1.5).mean() == pytest.approx(0.45 * WHOLE_SHARE, abs=0.03)
    last = decisions[(decisions["stage"] == 2) & (decisions["verdict"] == NARROWED)].set_index("name")
    assert last["new_low"]["learning_rate_init"] < 10**-2.5 < last["new_high"]["learning_rate_init"]
    assert last["sentence"]["learning_rate_init"].startswith(
        "learning_rate_init: the best of 96 trials lie around 0.00"
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_the_best_trial_is_never_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    proposal, trials, _ = studied(SPACE, lambda config: rng.normal(), 2, 20, seed)
    best = trials.loc[trials["value"].idxmax()]
    for name, focus in proposal.focus.items():
        if pd.notna(best[f"params_{name}"]):
            low, high = focus.span
            assert low - 1e-9 <= proposal.space.distributions[name].to_unit(best[f"params_{name}"]) <= high + 1e-9
    for name, shares in proposal.shares.items():
        assert sum(shares) == pytest.approx(1)
        assert shares[proposal.space.distributions[name].values.index(best[f"params_{name}"])] > 0  # type: ignore[union-attr]


def test_more_trials_allow_a_narrower_focus() -> None:
    widths = []
    for n in (16, 512):
        trials = table(RATE, Proposal.of(RATE).draw(0, 0, n), lambda config: -abs(np.log10(config["rate"]) + 3))
        widths.append(refine(trials, Proposal.of(RATE), 0)[0].focus["rate"].width)
    assert widths[0] > 1.5 * widths[1]


def test_with_too_few_trials_nothing_is_narrowed() -> None:
    proposal, decisions = refine(
        table(SPACE, Proposal.of(SPACE).draw(0, 0, 7), near_three_thousandths), Proposal.of(SPACE), 0
    )
    assert proposal == Proposal.of(SPACE)
    assert set(decisions["verdict"]) == {"undecided: too few trials"}


def test_one_lucky_point_does_not_move_the_focus() -> None:
    trials = table(RATE, Proposal.of(RATE).draw(0, 0, 128), lambda config: -abs(np.log10(config["rate"]) + 3.5))
    before, _ = refine(trials, Proposal.of(RATE), 0)
    trials.loc[trials["params_rate"].idxmax(), "value"] = 1.0
    after, _ = refine(trials, Proposal.of(RATE), 0)
    assert abs(after.focus["rate"].centre - before.focus["rate"].centre) < 0.05


def test_survivors_of_later_rungs_attract_more_than_higher_early_scores() -> None:
    trials = table(RATE, Proposal.of(RATE).draw(0, 0, 64), lambda config: np.log10(config["rate"]))
    survivors = trials["params_rate"].between(10**-3.6, 10**-3.2)
    trials.loc[survivors, "epochs"] = 9
    proposal, _ = refine(trials, Proposal.of(RATE), 0)
    assert proposal.focus["rate"].centre == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("as_text", [False, True])
def test_clearly_worse_choices_are_drawn_over_the_whole_space_only(as_text: bool) -> None:
    good = {(64,): 0.0, (128, 128): 1.0, (256,): 0.9}
    trials = table(SPACE, Proposal.of(SPACE).draw(0, 0, 96), lambda config: good[config["hidden_layer_sizes"]])  # type: ignore[index]
    trials["value"] += 0.1 * np.random.default_rng(0).standard_normal(96)
    if as_text:
        trials["params_hidden_layer_sizes"] = [as_stored(value) for value in trials["params_hidden_layer_sizes"]]
    proposal, decisions = refine(trials, Proposal.of(SPACE), 0)
    shares = proposal.shares["hidden_layer_sizes"]
    assert shares[0] == 0 and shares[1] > shares[2] > 0
    drawn = [config["hidden_layer_sizes"] for config in proposal.draw(0, 1, 300)]
    assert drawn.count((64,)) / 300 == pytest.approx(WHOLE_SHARE / 3, abs=0.02)
    dropped = decisions[decisions["verdict"].str.startswith("dropped")]
    assert dropped["verdict"].tolist() == ["dropped: (64,)"]
    assert (
        dropped["sentence"].item().startswith("hidden_layer_sizes: (64,) has 0 of the best 32 trials, 32 of all 96; ")
    )


def test_the_choice_of_most_good_trials_is_drawn_more_often() -> None:
    """However often each was drawn before."""
    space = SearchSpace.of({"encoding": Choice(["a", "b", "c", "d"])})
    n_drawn = {"a": 4, "b": 12, "c": 6, "d": 8}
    configs = [{"encoding": value} for value, n in n_drawn.items() for _ in range(n)]
    rng = np.random.default_rng(0)
    trials = table(space, configs, lambda config: (config["encoding"] == "b") + 0.5 * float(rng.standard_normal()))
    proposal, decisions = refine(trials, Proposal.of(space), 0)
    shares = dict(zip("abcd", proposal.shares["encoding"], strict=True))
    assert max(shares, key=lambda value: shares[value]) == "b" and 0.4 < shares["b"] < 0.7
    favoured = decisions[decisions["verdict"].str.startswith("favoured")]
    assert favoured["verdict"].tolist() == ["favoured: 'b'"]
    assert f"now about {shares['b']:.0%} of the draws take it" in favoured["sentence"].item()


def test_conditional_hyperparameters_are_narrowed_among_the_trials_that_have_them() -> None:
    trials = table(SPACE, Proposal.of(SPACE).draw(0, 0, 96), lambda config: -abs(config.get("warmup", 0.2) - 0.05))  # type: ignore[operator]
    proposal, _ = refine(trials, Proposal.of(SPACE), 0)
    assert proposal.focus["warmup"].centre == pytest.approx(0.25, abs=0.1)
    assert all(("warmup" in config) == (config["schedule"] == "cosine") for config in proposal.draw(0, 1, 50))


def test_a_range_grows_where_the_best_trials_crowd_at_its_end_and_further_the_second_time() -> None:
    proposal, _, decisions = studied(RATE, lambda config: np.log10(config["rate"]), 3, 64)
    edges = decisions[decisions["verdict"] == EDGE]
    assert edges["new_high"].tolist() == pytest.approx([1e-1, 10.0, 10.0]), "at its limits it stays, and says so"
    assert edges["high"].tolist() == pytest.approx([1e-2, 1e-1, 10.0])
    sides = decisions[decisions["side"].isin(["low", "high"]) & (decisions["stage"] == edges["stage"].iloc[0])]
    assert sides["new_high"].tolist() == pytest.approx([1e-1, 1e-1])
    assert edges["sentence"].iloc[0].endswith("; widened to [0.0001, 0.1].")
    assert proposal.space.distributions["rate"].high == pytest.approx(10.0)  # the limit: three decades
    assert proposal.space.to_optuna() == RATE.to_optuna()


def test_part_of_the_next_stage_is_drawn_in_what_a_range_gained() -> None:
    trials = table(RATE, Proposal.of(RATE).draw(0, 0, 64), lambda config: np.log10(config["rate"]))
    proposal, _ = refine(trials, Proposal.of(RATE), 0)
    fresh = np.mean([config["rate"] > 1e-2 for config in proposal.draw(0, 1, 64)])
    assert fresh >= 0.2
    assert any(config["rate"] > 5e-2 for config in proposal.draw(0, 1, 64))


def test_a_range_at_its_limits_stays_and_keeps_the_verdict() -> None:
    space = SearchSpace.of({"rate": LogUniform(1e-4, 1e-2, limits=(1e-5, 1e-2))})
    proposal, _, decisions = studied(space, lambda config: np.log10(config["rate"]), 1, 64)
    assert EDGE in set(decisions["verdict"])
    assert proposal.space == space


def test_warn_only_judges() -> None:
    trials = table(RATE, Proposal.of(RATE).draw(0, 0, 64), lambda config: np.log10(config["rate"]))
    before = trials.copy(deep=True)
    proposal = Proposal.of(RATE)
    after, decisions = refine(trials, proposal, 2, "warn")
    assert after is proposal
    assert decisions["verdict"].tolist()[1] == EDGE
    assert decisions["sentence"][1].endswith("consider raising its upper end.")
    pd.testing.assert_frame_equal(trials, before)
    with pytest.raises(ValueError, match="`mode` must be one of auto, warn, but got 'of'"):
        refine(trials, proposal, 2, "of")


def test_an_earlier_study_is_a_start_for_what_both_have() -> None:
    earlier = SearchSpace.of({"learning_rate_init": LogUniform(1e-6, 1e-1), "momentum": Uniform(0.0, 1.0)})
    trials = table(earlier, Proposal.of(earlier).draw(0, 0, 64), near_three_thousandths)
    proposal, decisions = start_like(trials, SPACE)
    narrow, _ = refine(trials, Proposal.of(SPACE), 0)
    assert set(proposal.focus) == {"learning_rate_init"}
    assert proposal.space == SPACE
    assert proposal.focus["learning_rate_init"].width > 1.2 * narrow.focus["learning_rate_init"].width
    assert decisions["stage"].tolist() == [-1]
    assert decisions["sentence"].item().endswith("(from an earlier study)")
