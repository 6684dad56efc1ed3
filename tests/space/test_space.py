import json
import pickle
from collections import Counter
from typing import Any

import optuna
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from hpsearch.space.space import SearchSpace, entries_from_json

SPACE = SearchSpace.of(
    {
        "learning_rate_init": LogUniform(1e-4, 1e-1),
        "dropout": Uniform(0.0, 0.5),
        "depth": Integer(1, 4),
        "width": Integer(16, 1024, log=True),
        "hidden_layer_sizes": Choice([(128,), (128, 128)]),
        "schedule": Choice(["constant", "cosine", None]),
        "warmup": Uniform(0.0, 0.2, when={"schedule": "cosine"}),
        "warmup_power": Uniform(1.0, 2.0, when={"schedule": ["constant", "cosine"]}),
        "batch_size": 32,
    }
)

words = st.integers(0, 2**64 - 1)


def test_of_takes_what_users_write() -> None:
    space = SearchSpace.of(
        {
            "dropout": scipy.stats.uniform(0, 0.5),
            "depth": optuna.distributions.IntDistribution(1, 4),
            "hidden_layer_sizes": [128, 128],
            "schedule": None,
        }
    )
    assert space.distributions == {"dropout": Uniform(0.0, 0.5), "depth": Integer(1, 4)}
    assert space.fixed == {"hidden_layer_sizes": (128, 128), "schedule": None}
    assert pickle.loads(pickle.dumps(space)) == space


def test_draws_are_frozen() -> None:
    """Every study that is resumed or topped up relies on these; logarithms may differ in the last bit by libm."""
    assert SPACE.draw(seed=0, stage=0, number=0) == {
        "learning_rate_init": pytest.approx(0.0027244711528311536, rel=1e-14),
        "dropout": 0.18039323355521147,
        "depth": 3,
        "width": 249,
        "hidden_layer_sizes": (128, 128),
        "schedule": None,
        "batch_size": 32,
    }
    assert SPACE.draw(seed=7, stage=2, number=99) == {
        "learning_rate_init": pytest.approx(0.007733911957829761, rel=1e-14),
        "dropout": 0.14732719997896992,
        "depth": 1,
        "width": 43,
        "hidden_layer_sizes": (128, 128),
        "schedule": "constant",
        "warmup_power": 1.346903936350007,
        "batch_size": 32,
    }


@given(words, words, words)
def test_a_draw_is_a_function_of_seed_stage_and_number(seed: int, stage: int, number: int) -> None:
    assert SPACE.draw(seed, stage, number) == SPACE.draw(seed, stage, number)


def test_seed_stage_and_number_all_matter() -> None:
    drawn = [SPACE.draw(*where)["dropout"] for where in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]]
    assert len(set(drawn)) == 5


@given(words, st.permutations(list(SPACE.entries)))
def test_order_of_the_entries_does_not_matter(number: int, names: list[str]) -> None:
    shuffled = SearchSpace.of({name: SPACE.entries[name] for name in names})
    assert shuffled.draw(3, 0, number) == SPACE.draw(3, 0, number)


def test_another_entry_leaves_the_draws_as_they_were() -> None:
    changed = SPACE.replace({"depth": Integer(1, 9), "momentum": Uniform(0, 1), "width": 64})
    for number in range(20):
        before, after = SPACE.draw(0, 0, number), changed.draw(0, 0, number)
        assert {name: after[name] for name in before if name not in ("depth", "width")} == {
            name: value for name, value in before.items() if name not in ("depth", "width")
        }


@pytest.mark.parametrize("name", ["learning_rate_init", "dropout"])
def test_draws_are_uniform_in_unit_coordinates(name: str) -> None:
    units = [SPACE.to_unit(SPACE.draw(0, 0, number))[name] for number in range(2000)]
    assert scipy.stats.kstest(units, "uniform").pvalue > 0.01


def test_draws_of_two_names_and_two_numbers_are_independent() -> None:
    units = [SPACE.to_unit(SPACE.draw(0, 0, number)) for number in range(2000)]
    rate, dropout = [u["learning_rate_init"] for u in units], [u["dropout"] for u in units]
    assert scipy.stats.spearmanr(rate, dropout).pvalue > 0.01
    assert scipy.stats.spearmanr(rate[1:], rate[:-1]).pvalue > 0.01


@pytest.mark.parametrize("name", ["depth", "schedule", "hidden_layer_sizes"])
def test_values_are_drawn_equally_often(name: str) -> None:
    counts = Counter(SPACE.draw(0, 0, number)[name] for number in range(2000))
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01
    assert len(counts) == {"depth": 4, "schedule": 3, "hidden_layer_sizes": 2}[name]


@given(words)
def test_conditional_hyperparameters_are_there_when_their_condition_holds(number: int) -> None:
    config = SPACE.draw(0, 0, number)
    assert ("warmup" in config) == (config["schedule"] == "cosine")
    assert ("warmup_power" in config) == (config["schedule"] is not None)
    assert config["batch_size"] == 32
    assert set(SPACE.to_unit(config)) == set(config) - {"batch_size"}


def test_a_condition_on_an_absent_choice_does_not_hold() -> None:
    space = SearchSpace.of(
        {
            "inner": Uniform(0, 1, when={"middle": "a"}),
            "middle": Choice(["a", "b"], when={"outer": "a"}),
            "outer": Choice(["a", "b"]),
        }
    )
    configs = [space.draw(0, 0, number) for number in range(200)]
    assert {tuple(sorted(config)) for config in configs} == {
        ("inner", "middle", "outer"),
        ("middle", "outer"),
        ("outer",),
    }
    assert all(config["middle"] == "a" and config["outer"] == "a" for config in configs if "inner" in config)


def test_a_condition_on_a_fixed_value() -> None:
    space = SearchSpace.of({"schedule": "cosine", "warmup": Uniform(0, 1, when={"schedule": "cosine"})})
    assert set(space.draw(0, 0, 0)) == {"schedule", "warmup"}


@given(words)
def test_configs_are_what_optuna_takes(number: int) -> None:
    config = SPACE.draw(1, 0, number)
    values = SPACE.optuna_values(config)
    trial = optuna.trial.create_trial(
        params=values, distributions={name: SPACE.to_optuna()[name] for name in values}, value=0.0
    )
    assert trial.params == values
    assert set(values) == set(config) - set(SPACE.fixed)


@given(words)
def test_units_give_the_config_back(number: int) -> None:
    config = SPACE.draw(1, 0, number)
    for name, u in SPACE.to_unit(config).items():
        value = SPACE.distributions[name].from_unit(u)
        assert value == (pytest.approx(config[name]) if isinstance(value, float) else config[name])


def test_optuna_is_given_the_searched_hyperparameters_only() -> None:
    assert list(SPACE.to_optuna()) == list(SPACE.distributions)
    assert "batch_size" not in SPACE.optuna_values(SPACE.draw(0, 0, 0))


def test_json_there_and_back() -> None:
    record = json.loads(json.dumps(SPACE.to_json()))
    assert SearchSpace.from_json(record) == SPACE
    assert list(SearchSpace.from_json(record).entries) == list(SPACE.entries)
    assert record["batch_size"] == 32
    assert entries_from_json({"depth": 3}) == {"depth": 3}
    with pytest.raises(ValueError, match="dropout: uniform needs `low`"):
        SearchSpace.from_json({"dropout": {"distribution": "uniform", "high": 1}})


def test_the_users_own_entries_replace_ours() -> None:
    space = SPACE.replace({"dropout": 0.1, "batch_size": Choice([32, 64]), "depth": Integer(2, 3), "momentum": 0.9})
    assert space.fixed == {"dropout": 0.1, "momentum": 0.9}
    assert space.distributions["batch_size"] == Choice([32, 64])
    assert space.distributions["depth"] == Integer(2, 3)
    assert space.distributions["learning_rate_init"] == SPACE.distributions["learning_rate_init"]


def test_replacing_a_choice_drops_what_can_no_longer_be_present() -> None:
    fixed = SPACE.replace({"schedule": "constant"})
    assert "warmup" not in fixed.entries
    assert fixed.distributions["warmup_power"] == Uniform(1.0, 2.0, when={"schedule": "constant"})
    narrowed = SPACE.replace({"schedule": Choice(["cosine", "linear"])})
    assert narrowed.distributions["warmup_power"] == Uniform(1.0, 2.0, when={"schedule": "cosine"})
    chained = SearchSpace.of(
        {
            "outer": Choice(["a", "b"]),
            "middle": Choice(["a", "b"], when={"outer": "a"}),
            "inner": Uniform(0, 1, when={"middle": "a"}),
        }
    )
    assert list(chained.replace({"outer": "b"}).entries) == ["outer"]


def test_what_the_user_asks_for_in_vain_is_an_error() -> None:
    with pytest.raises(ValueError, match="warmup: `when` must give values that 'schedule' can take, .*'constant'"):
        SPACE.replace({"schedule": "constant", "warmup": Uniform(0, 1, when={"schedule": "cosine"})})


def test_check_names_offers_the_nearest() -> None:
    SPACE.check_names(SPACE.entries)
    space = SearchSpace.of({"learning_rate": 0.1, "xyz": 1, "dropout": 0.1})
    with pytest.raises(ValueError) as error:
        space.check_names(["learning_rate_init", "dropout"])
    assert str(error.value) == (
        "Unknown hyperparameter 'learning_rate' (did you mean 'learning_rate_init'?), 'xyz'; "
        "known are dropout, learning_rate_init."
    )


def test_natural_bounds_are_filled_in() -> None:
    space = SearchSpace.of(
        {
            "dropout": Uniform(0.0, 0.5),
            "momentum": Uniform(0.5, 0.9, natural=(None, 0.99)),
            "depth": Choice([1, 2, None]),
            "width": 3,
        }
    )
    bounded = space.with_natural_bounds({"dropout": (0, 1), "momentum": (0, 1), "depth": (1, None), "other": (0, 1)})
    assert bounded.distributions["dropout"] == Uniform(0.0, 0.5, natural=(0.0, 1.0))
    assert bounded.distributions["momentum"] == Uniform(0.5, 0.9, natural=(0.0, 0.99))
    assert bounded.distributions["depth"] == space.distributions["depth"]
    assert bounded.fixed == space.fixed


@pytest.mark.parametrize("entry", [Uniform(0.0, 1.2), Uniform(0.0, 0.5, limits=(0, 2)), Choice([0.0, 1.2]), 1.2, -1])
def test_what_lies_beyond_natural_bounds_is_an_error(entry: object) -> None:
    with pytest.raises(ValueError, match=r"dropout: .* must .* but got"):
        SearchSpace.of({"dropout": entry}).with_natural_bounds({"dropout": (0.0, 1.0)})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({1: 2}, "name must be text, but got 1"),
        ({"a": object()}, "a: A value must be"),
        ({"a": scipy.stats.norm()}, "a: scipy.stats.norm is not supported"),
        ({"a": Uniform(0, 1, when={"b": 1})}, "a: `when` must name a Choice or fixed value of the space, but got 'b'"),
        ({"a": Uniform(0, 1, when={"b": 1}), "b": Uniform(0, 1)}, "a: `when` must name a Choice"),
        (
            {"a": Uniform(0, 1, when={"b": "y"}), "b": Choice(["x", "z"])},
            r"a: `when` must give values that 'b' can take, \['x', 'z'\], but got 'y'",
        ),
        ({"a": Uniform(0, 1, when={"b": "y"}), "b": "x"}, r"'b' can take, \['x'\], but got 'y'"),
        ({"a": Uniform(0, 1, when={"b": (1, 2)}), "b": Choice([(1, 2)])}, r"write \[\(64, 64\)\] for one"),
        ({"a": Choice([1, 2], when={"a": 1})}, "Conditions must not depend on each other, but got a → a"),
        ({"a": Choice([1, 2], when={"b": 1}), "b": Choice([1, 2], when={"a": 1})}, "but got (a → b → a|b → a → b)"),
    ],
)
def test_misuse_is_one_clear_error(entries: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchSpace.of(entries)


def test_a_name_is_searched_or_fixed() -> None:
    with pytest.raises(ValueError, match="a: a hyperparameter is either searched or fixed"):
        SearchSpace({"a": Uniform(0, 1)}, {"a": 1})


def test_the_users_dict_stays_apart() -> None:
    given_: dict[str, Any] = {"a": Uniform(0, 1)}
    space = SearchSpace(given_)
    given_.clear()
    assert list(space.distributions) == ["a"]
