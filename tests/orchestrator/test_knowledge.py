"""What a user or an earlier study knows at the start."""

import shutil

import pytest
from optuna.samplers import RandomSampler
from sklearn.datasets import load_wine

from hpsearch import Choice, Integer, LogUniform, Plan, Rung, Stage, Uniform, search
from hpsearch.orchestrator.knowledge import check_like, first_configs, start_from
from hpsearch.record.tables import trial_table
from hpsearch.record.trials import open_record
from hpsearch.space.refine import start_like
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of(
    {
        "learning_rate_init": LogUniform(1e-3, 1e-1),
        "dropout": Uniform(0.0, 0.5, natural=(0, 1), limits=(0.0, 0.9)),
        "hidden_layer_sizes": Choice([(8,), (8, 8)]),
        "batch_size": 32,
    }
)
DEFAULT = {"learning_rate_init": 0.01, "dropout": 0.1, "hidden_layer_sizes": (8,), "batch_size": 32}


def test_the_default_config_is_always_among_the_first():
    assert first_configs([], SPACE, DEFAULT) == (DEFAULT,)
    assert first_configs([DEFAULT], SPACE, DEFAULT) == (DEFAULT,), "once is enough"


def test_what_a_first_config_leaves_open_is_as_in_the_default_one():
    mine, default = first_configs([{"dropout": 0.3}], SPACE, DEFAULT)
    assert mine == DEFAULT | {"dropout": 0.3} and default == DEFAULT


def test_a_first_config_may_lie_beyond_its_range_but_not_beyond_its_limits():
    (mine, _) = first_configs([{"dropout": 0.8, "hidden_layer_sizes": [8, 8]}], SPACE, DEFAULT)
    assert mine["dropout"] == 0.8 and mine["hidden_layer_sizes"] == (8, 8)


def test_a_first_config_may_switch_on_what_the_default_one_lacks():
    space = SearchSpace.of({"update": Choice(["adamw", "sgd"]), "momentum": Uniform(0.0, 0.9, when={"update": "sgd"})})
    mine, default = first_configs([{"update": "sgd"}], space, {"update": "adamw"})
    assert mine == {"update": "sgd", "momentum": 0.45} and default == {"update": "adamw"}


def test_values_of_first_configs_have_the_types_of_drawn_ones():
    space = SearchSpace.of({"n": Integer(1, 8), "rate": Uniform(0.0, 4.0), "size": Choice([1, 2])})
    mine, _ = first_configs([{"n": 5.0, "rate": 1, "size": 2.0}], space, {})
    assert repr(mine) == "{'n': 5, 'rate': 1.0, 'size': 2}"
    with pytest.raises(ValueError, match=r"first\[0\]\['n'\] must be a whole number, but got 5.5"):
        first_configs([{"n": 5.5}], space, {})


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"dropout": 0.1}, "first must be a list of configs"),
        ("dropout", "first must be a list of configs"),
        ([0.1], r"first\[0\] must be a dict"),
        ([{}, {"droput": 0.1}], r"first\[1\] has 'droput' \(did you mean 'dropout'\?\)"),
        ([{"dropout": 0.95}], r"first\[0\]\['dropout'\] must be a number from 0 to 0.9, but got 0.95"),
        ([{"dropout": "much"}], "must be a number"),
        ([{"hidden_layer_sizes": (64,)}], "must be one of"),
        ([{"batch_size": 64}], r"must be one of \[32\], but got 64"),
    ],
)
def test_a_first_config_that_cannot_be_is_refused(first, message):
    with pytest.raises(ValueError, match=message):
        first_configs(first, SPACE, DEFAULT)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A study whose best trials have a large learning rate."""
    file = tmp_path_factory.mktemp("earlier") / "other.db"
    X, y = load_wine(return_X_y=True)
    space = {"hidden_layer_sizes": (8,), "batch_size": 32, "learning_rate_init": LogUniform(1e-6, 1e-1)}
    search(X, y, space=space, n_trials=24, max_epochs=9, storage=file, study_name="wine", n_jobs=2, verbose=0)
    return file


def test_a_study_like_an_earlier_one_begins_where_that_one_was_best(earlier):
    space = SearchSpace.of({"learning_rate_init": LogUniform(1e-6, 1e-1), "dropout": Uniform(0.0, 0.5)})
    proposal, decisions = start_from(earlier, space)
    drawn = [config["learning_rate_init"] for config in proposal.draw(0, 0, 40)]
    assert sum(rate > 1e-4 for rate in drawn) > 30, "20 of 40 would be from the whole range"
    assert set(decisions["stage"]) == {-1} and "learning_rate_init" in decisions["sentence"].iloc[0]


def test_where_a_study_began_is_recorded_and_told(earlier, tmp_path):
    X, y = load_wine(return_X_y=True)
    space = {"hidden_layer_sizes": (8,), "batch_size": 32, "learning_rate_init": LogUniform(1e-6, 1e-1)}
    asked = {"space": space, "n_trials": 6, "max_epochs": 3, "storage": tmp_path / "s.db", "verbose": 0}
    first = search(X, y, like=(earlier, "wine"), **asked)
    assert -1 in set(first.decisions["stage"])
    again = search(X, y, like=earlier, **asked)
    assert again.decisions.equals(first.decisions)
    columns = ["number", "value", "params_learning_rate_init"]
    assert again.trials[columns].equals(first.trials[columns])


def test_what_is_no_earlier_study_is_refused(earlier, tmp_path):
    with pytest.raises(ValueError, match="must name one study"):
        start_from((earlier, "iris"), SPACE)
    with pytest.raises(ValueError, match="must name one study"):
        start_from(tmp_path / "nothing.db", SPACE)
    with pytest.raises(ValueError, match="has searched none of alpha"):
        start_from(earlier, SearchSpace.of({"alpha": LogUniform(1e-6, 1.0)}))


@pytest.mark.parametrize("like", [7, ("a.db",), ("a.db", 3), "sqlite:///a.db", ["a.db", "s"]])
def test_what_names_no_file_is_refused(like):
    with pytest.raises(ValueError, match="like must be the file"):
        check_like(like)


def test_a_study_that_began_like_another_goes_on_without_it(earlier, tmp_path):
    X, y = load_wine(return_X_y=True)
    space = {"hidden_layer_sizes": (8,), "batch_size": 32, "learning_rate_init": LogUniform(1e-6, 1e-1)}
    copy = tmp_path / "earlier.db"
    shutil.copy(earlier, copy)
    asked = {"space": space, "max_epochs": 3, "storage": tmp_path / "s.db", "verbose": 0, "like": copy}
    first = search(X, y, n_trials=6, **asked)
    copy.unlink()
    assert search(X, y, n_trials=6, **asked).decisions.equals(first.decisions)


def test_repeats_of_an_earlier_study_are_no_trials_of_their_own(earlier):
    with open_record(earlier, "wine", read_only=True) as record:
        trials = trial_table(record.study)
    own = trials[trials["user_attrs_repeats"].isna()]
    assert len(own) < len(trials)
    space = SearchSpace.of({"learning_rate_init": LogUniform(1e-6, 1e-1)})
    assert start_from(earlier, space)[0] == start_like(own, space)[0]


def test_more_first_configs_than_the_first_stage_holds_are_refused():
    X, y = load_wine(return_X_y=True)
    first = [{"dropout": share / 10} for share in range(5)]
    with pytest.raises(
        ValueError, match="first and our default are 5 configs to try, but the first stage has only 4 trials"
    ):
        search(X, y, first=first, n_trials=4, max_epochs=1, verbose=0)


def test_a_first_config_beyond_its_range_is_told_to_a_sampler_as_the_end_of_it():
    X, y = load_wine(return_X_y=True)
    space = {"hidden_layer_sizes": (8,), "learning_rate_init": LogUniform(1e-3, 1e-1, limits=(1e-6, 1.0))}
    plan = Plan((Stage("a", 4, (Rung(1, 4),)), Stage("b", 3, (Rung(1, 3),))))
    sampler = lambda seed: RandomSampler(seed=seed)  # noqa: E731
    first = [{"learning_rate_init": 0.5}]
    trials = search(X, y, space=space, first=first, sampler=sampler, plan=plan, refine="off", verbose=0).trials
    assert trials["params_learning_rate_init"][0] == 0.5 and len(trials) == 7
