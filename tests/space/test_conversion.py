import json
import math
import tomllib
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from hpsearch.space.conversion import (
    Entry,
    as_distribution,
    from_json,
    from_optuna_value,
    to_json,
    to_optuna,
    to_optuna_value,
    with_nearest,
)
from hpsearch.space.distributions import Choice, Distribution, Integer, LogUniform, Uniform, as_stored

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = plain | st.lists(plain).map(tuple)
whens = st.dictionaries(st.text(), st.lists(values, min_size=1), max_size=2)


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    kind = draw(st.sampled_from([LogUniform, Uniform, Integer, Choice]))
    when = draw(whens)
    if kind is Choice:
        return Choice(draw(st.lists(values, min_size=1, max_size=6, unique_by=(lambda v: v, as_stored))), when=when)
    numbers: st.SearchStrategy[Any] = st.integers(1, 10**9) if kind is Integer else st.floats(1e-50, 1e50)
    bound, least, low, high, most = sorted(draw(st.tuples(*5 * [numbers])))
    assume(math.log(low) < math.log(high))
    settings: dict[str, Any] = {"log": draw(st.booleans())} if kind is Integer else {}
    limits = draw(st.sampled_from([None, (least, most)]))
    natural = draw(st.sampled_from([(None, None), (bound, None), (bound, most)]))
    distribution: Distribution = kind(low, high, limits=limits, natural=natural, when=when, **settings)
    return distribution


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (Uniform(0.0, 0.5), Uniform(0.0, 0.5)),
        (FloatDistribution(1e-4, 1e-1, log=True), LogUniform(1e-4, 1e-1)),
        (FloatDistribution(0, 0.5), Uniform(0.0, 0.5)),
        (FloatDistribution(0.5, 0.5), 0.5),
        (IntDistribution(1, 4), Integer(1, 4)),
        (IntDistribution(16, 1024, log=True), Integer(16, 1024, log=True)),
        (IntDistribution(32, 128, step=32), Choice([32, 64, 96, 128])),
        (IntDistribution(3, 3), 3),
        (CategoricalDistribution(["relu", None, 1.5]), Choice(["relu", None, 1.5])),
        (scipy.stats.loguniform(1e-4, 1e-1), LogUniform(1e-4, 1e-1)),
        (scipy.stats.reciprocal(a=1e-4, b=1), LogUniform(1e-4, 1.0)),
        (scipy.stats.loguniform(1, 10, scale=2), LogUniform(2.0, 20.0)),
        (scipy.stats.uniform(), Uniform(0.0, 1.0)),
        (scipy.stats.uniform(1, 2), Uniform(1.0, 3.0)),
        (scipy.stats.uniform(loc=-1, scale=2), Uniform(-1.0, 1.0)),
        (scipy.stats.randint(1, 10), Integer(1, 9)),
        (scipy.stats.randint(1, 10, loc=5), Integer(6, 14)),
        (0.1, 0.1),
        (np.int64(3), 3),
        (None, None),
        (True, True),
        ("cosine", "cosine"),
        ([128, 128], (128, 128)),
    ],
)
def test_as_distribution(given_: object, expected: Entry) -> None:
    entry = as_distribution(given_)
    assert entry == expected
    assert type(entry) is type(expected)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (FloatDistribution(0, 1, step=0.1), "`step=None` must hold"),
        (IntDistribution(0, 1000, step=2), "At most 32 steps"),
        (CategoricalDistribution([math.nan]), "must be finite"),
        (scipy.stats.norm(), "scipy.stats.norm is not supported; .* LogUniform.*loguniform, uniform and randint"),
        (scipy.stats.loguniform(1, 10, 3), "`loc == 0` must hold for scipy.stats.loguniform, but got loc=3"),
        (scipy.stats.loguniform(1, 10, loc=3), "`loc == 0`"),
        (scipy.stats.uniform([0, 1], [1, 1]), "`low` must be a finite number"),
        ({"low": 0, "high": 1}, "A hyperparameter may be LogUniform"),
        (np.linspace(0, 1), "A hyperparameter may be LogUniform"),
        (math.inf, "must be finite"),
        ([1e-3, 1e-2], r"must hold whole numbers, but got \[0.001, 0.01\]; use Choice\(\[...\]\) for several values"),
        ([(64,), (128,)], r"but got \[\(64,\), \(128,\)\]; use Choice\(\[...\]\)"),
        (("constant", "cosine"), r"use Choice\(\[...\]\)"),
        ([True, False], r"use Choice\(\[...\]\)"),
    ],
)
def test_what_is_not_accepted_says_what_is(given_: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_distribution(given_)


@pytest.mark.parametrize(
    ("distribution", "optuna_distribution"),
    [
        (LogUniform(1e-2, 1.0, limits=(1e-4, 2.0)), FloatDistribution(1e-4, 2.0, log=True)),
        (Uniform(0.0, 0.5), FloatDistribution(-0.5, 1.0)),
        (Uniform(0.0, 0.5, natural=(0.0, 1.0)), FloatDistribution(0.0, 1.0)),
        (Integer(1, 4), IntDistribution(1, 7)),
        (Integer(16, 1024, log=True), IntDistribution(1, 1024000, log=True)),
        (Choice([(64,), (128, 128), None]), CategoricalDistribution(["[64]", "[128, 128]", None])),
    ],
)
def test_to_optuna_is_over_the_limit_range(
    distribution: Distribution, optuna_distribution: FloatDistribution | IntDistribution | CategoricalDistribution
) -> None:
    assert to_optuna(distribution) == optuna_distribution


@given(distributions(), st.floats(0, 1))
def test_to_optuna_without_limits_holds_the_range_alone(distribution: Distribution, u: float) -> None:
    there = to_optuna(distribution, limits=False)
    assert there._contains(there.to_internal_repr(to_optuna_value(distribution.from_unit(u))))
    if not isinstance(distribution, Choice):
        assert isinstance(there, FloatDistribution | IntDistribution)
        assert (there.low, there.high) == (distribution.low, distribution.high)


@given(distributions(), st.floats(0, 1))
def test_values_go_through_optuna_and_back(distribution: Distribution, u: float) -> None:
    there = to_optuna(distribution)
    assert json_to_distribution(distribution_to_json(there)) == there
    stored = to_optuna_value(distribution.from_unit(u))
    back = there.to_external_repr(there.to_internal_repr(stored))
    assert back == stored
    assert type(back) is type(stored)
    value = from_optuna_value(distribution, back)
    assert value == distribution.from_unit(u)
    assert type(value) is type(distribution.from_unit(u))


@given(distributions() | plain | st.lists(st.integers()).map(tuple))
def test_json_there_and_back(entry: Entry) -> None:
    back = from_json(json.loads(json.dumps(to_json(entry))))
    assert back == entry
    assert repr(back) == repr(entry)


def test_json_has_the_form_of_the_study_file() -> None:
    distribution = LogUniform(1e-4, 1e-1, limits=(1e-6, 1.0), natural=(0.0, None), when={"schedule": "cosine"})
    assert to_json(distribution) == {
        "distribution": "log_uniform",
        "low": 1e-4,
        "high": 1e-1,
        "limits": [1e-6, 1.0],
        "natural": [0.0, None],
        "when": {"schedule": "cosine"},
    }
    assert to_json(Integer(1, 4)) == {"distribution": "integer", "low": 1, "high": 4}
    assert to_json(Choice([(64,), "a"], when={"b": [(1,)]})) == {
        "distribution": "choice",
        "values": [[64], "a"],
        "when": {"b": [[1]]},
    }


def test_a_study_file_is_read() -> None:
    table = tomllib.loads(
        """
        learning_rate_init = { distribution = "log_uniform", low = 1e-4, high = 1e-1, natural = [0.0, inf] }
        depth = { distribution = "integer", low = 1, high = 4, log = true, when = { schedule = ["cosine", "linear"] } }
        hidden_layer_sizes = { distribution = "choice", values = [[64], [128, 128]] }
        batch_size = 32
        """
    )
    assert {name: from_json(entry) for name, entry in table.items()} == {
        "learning_rate_init": LogUniform(1e-4, 1e-1, natural=(0, None)),
        "depth": Integer(1, 4, log=True, when={"schedule": ("cosine", "linear")}),
        "hidden_layer_sizes": Choice([(64,), (128, 128)]),
        "batch_size": 32,
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"low": 0, "high": 1}, "`distribution` must be one of log_uniform, uniform, integer, choice, but got 'None'"),
        ({"distribution": "loguniform"}, r"'loguniform' \(did you mean 'log_uniform'\?\)"),
        ({"distribution": ["uniform"]}, "`distribution` must be one of"),
        (
            {"distribution": "uniform", "lwo": 0, "high": 1},
            r"uniform does not take 'lwo' \(did you mean 'low'\?\); it takes low, high, limits, natural, when",
        ),
        ([1e-3, 1e-2], r'use { distribution = "choice", values = \[...\] } for several values'),
        ({"distribution": "choice", "value": [1]}, r"did you mean 'values'"),
        ({"distribution": "uniform", "high": 1}, "uniform needs `low`, but got only high"),
        ({"distribution": "choice"}, "choice needs `values`, but got only its name"),
        ({"distribution": "uniform", "low": 1, "high": 0}, "`low < high` must hold"),
    ],
)
def test_a_wrong_record_is_one_clear_error(record: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(record)


def test_with_nearest() -> None:
    assert with_nearest("momentun", ["momentum", "dropout"]) == "'momentun' (did you mean 'momentum'?)"
    assert with_nearest("zzz", ["momentum"]) == "'zzz'"
