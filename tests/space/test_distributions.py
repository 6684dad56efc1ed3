import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hpsearch.space.distributions import (
    LARGEST_INTEGER,
    Choice,
    Integer,
    LogUniform,
    Numeric,
    Uniform,
    as_stored,
    as_value,
    conditions,
)

units = st.floats(0, 1)
reals = st.floats(-1e100, 1e100)
positives = st.floats(1e-100, 1e100)
integers = st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)
naturals = st.integers(1, LARGEST_INTEGER)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = plain | st.lists(plain).map(tuple)


@st.composite
def numerics(draw: st.DrawFn) -> Numeric:
    kind = draw(st.sampled_from(["log_uniform", "uniform", "integer", "log integer"]))
    numbers = {"log_uniform": positives, "uniform": reals, "integer": integers, "log integer": naturals}[kind]
    low, high = sorted(draw(st.tuples(numbers, numbers)))
    assume(low < high)
    if kind == "log_uniform":
        assume(math.log(low) < math.log(high))
        return LogUniform(low, high)
    return Uniform(low, high) if kind == "uniform" else Integer(int(low), int(high), log=kind == "log integer")


choices = st.lists(values, min_size=1, max_size=8, unique_by=(lambda v: v, as_stored)).map(Choice)


@given(numerics(), units)
def test_values_lie_in_the_range_and_units_in_the_unit_interval(distribution: Numeric, u: float) -> None:
    value = distribution.from_unit(u)
    assert distribution.low <= value <= distribution.high
    assert 0 <= distribution.to_unit(value) <= 1


@given(numerics(), units, units)
def test_greater_units_give_values_as_great(distribution: Numeric, u: float, v: float) -> None:
    assert distribution.from_unit(min(u, v)) <= distribution.from_unit(max(u, v))


@given(st.tuples(positives, positives).map(sorted), units)
def test_log_uniform_there_and_back(ends: list[float], u: float) -> None:
    assume(ends[1] > 1.001 * ends[0])
    distribution = LogUniform(*ends)
    assert distribution.to_unit(distribution.from_unit(u)) == pytest.approx(u, abs=1e-9)


@given(st.integers(-1000, 1000), st.integers(1, 1000), units)
def test_uniform_there_and_back(low: int, width: int, u: float) -> None:
    distribution = Uniform(low, low + width)
    assert distribution.to_unit(distribution.from_unit(u)) == pytest.approx(u, abs=1e-12)


@given(st.data(), st.booleans())
def test_every_integer_comes_back_exactly(data: st.DataObject, log: bool) -> None:
    low, value, high = sorted(data.draw(st.tuples(*3 * [naturals if log else integers])))
    assume(low < high)
    distribution = Integer(low, high, log=log)
    assert distribution.from_unit(distribution.to_unit(value)) == value


@given(choices)
def test_every_choice_comes_back_exactly(distribution: Choice) -> None:
    for value in distribution.values:
        assert distribution.from_unit(distribution.to_unit(value)) == value


@pytest.mark.parametrize(
    ("distribution", "u", "value"),
    [
        (LogUniform(1e-4, 1e-2), 0.5, 1e-3),
        (LogUniform(1e-4, 1e-2), 0.25, 10**-3.5),
        (Uniform(-1, 3), 0.25, 0.0),
        (Integer(1, 4), 0.125, 1),
        (Integer(1, 4), 0.875, 4),
        (Integer(1, 4, log=True), 0.25, 1),
    ],
)
def test_known_points(distribution: Numeric, u: float, value: float) -> None:
    assert distribution.from_unit(u) == pytest.approx(value, rel=1e-12)
    assert distribution.to_unit(value) == pytest.approx(u, abs=1e-12)


@pytest.mark.parametrize("distribution", [LogUniform(0.1, 10), Uniform(0, 1), Integer(2, 9), Integer(2, 9, log=True)])
def test_beyond_the_range_counts_as_its_end(distribution: Numeric) -> None:
    low, high = distribution.low, distribution.high
    assert distribution.to_unit(low - 5) == distribution.to_unit(low)
    assert distribution.to_unit(high + 5) == distribution.to_unit(high)
    assert (distribution.from_unit(-0.1), distribution.from_unit(1.1)) == (low, high)


def test_integers_are_drawn_equally_often() -> None:
    distribution = Integer(3, 7)
    drawn = [distribution.from_unit((i + 0.5) / 1000) for i in range(1000)]
    assert np.unique(drawn, return_counts=True)[1].tolist() == [200] * 5


@pytest.mark.parametrize(
    ("distribution", "limit_range"),
    [
        (LogUniform(1e-4, 1e-1, limits=(1e-6, 1.0)), (1e-6, 1.0)),
        (LogUniform(1.0, 8.0), (1e-3, 8e3)),
        (LogUniform(1.0, 8.0, natural=(0.0, 10.0)), (1e-3, 10.0)),
        (LogUniform(1e-307, 1.0), (2.2250738585072014e-308, 1e3)),
        (LogUniform(5e-324, 1.0), (5e-324, 1e3)),
        (LogUniform(1.0, 1e308), (1e-3, 1.7976931348623157e308)),
        (Uniform(0.0, 0.5), (-0.5, 1.0)),
        (Uniform(0.0, 0.5, natural=(0.0, 1.0)), (0.0, 1.0)),
        (Uniform(0.0, 0.5, natural=(0.0, 1.0), limits=(0.0, 0.9)), (0.0, 0.9)),
        (Uniform(0.0, 0.5, natural=(-math.inf, math.inf)), (-0.5, 1.0)),
        (Uniform(-8e307, 8e307), (-1.7976931348623157e308, 1.7976931348623157e308)),
        (Integer(1, 4), (1, 7)),
        (Integer(8, 10), (6, 12)),
        (Integer(2, 64), (1, 126)),
        (Integer(0, 4), (0, 8)),
        (Integer(-2, 2), (-6, 6)),
        (Integer(1, 4, limits=(0, 5)), (0, 5)),
        (Integer(1, 4, natural=(None, 5)), (1, 5)),
        (Integer(16, 1024, log=True), (1, 1024000)),
        (Integer(16000, 32000, log=True), (16, 32_000_000)),
        (Integer(1, LARGEST_INTEGER), (1, LARGEST_INTEGER)),
    ],
)
def test_limit_range(distribution: Numeric, limit_range: tuple[float, float]) -> None:
    assert distribution.limit_range == limit_range
    assert all(type(end) is type(distribution.low) for end in distribution.limit_range)


@given(numerics())
def test_the_limit_range_can_be_given_as_limits(distribution: Numeric) -> None:
    limits: Any = distribution.limit_range
    pinned = dataclasses.replace(distribution, limits=limits)
    assert pinned.limit_range == distribution.limit_range
    assert distribution.limit_range[0] <= distribution.low < distribution.high <= distribution.limit_range[1]


MISUSE: list[tuple[Callable[[], object], str]] = [
    (lambda: LogUniform(1.0, 1.0), r"`low < high` must hold, but got \(low=1.0, high=1.0\)"),
    (lambda: Uniform(2, 1), r"`low < high` .*low=2.0, high=1.0"),
    (lambda: LogUniform(0.0, 1.0), r"`0 < low.*low=0.0"),
    (lambda: LogUniform(-1.0, 1.0), r"`0 < low.*low=-1.0"),
    (lambda: LogUniform(0.1, 1.0, limits=(0.0, 1.0)), r"0 < limits\[0\].*limits=\(0.0, 1.0\)"),
    (lambda: LogUniform(1e300, math.nextafter(1e300, math.inf)), "log"),
    (lambda: Uniform(0.0, math.inf), "`high` must be a finite number, but got inf"),
    (lambda: Uniform(math.nan, 1.0), "`low` must be a finite number, but got nan"),
    (lambda: Uniform(-1.7e308, 1.7e308), "high - low is finite"),
    (lambda: Uniform(False, 1.0), "`low` must be a finite number, but got False"),
    (lambda: Uniform("0", 1.0), "`low` must be a finite number, but got '0'"),  # type: ignore[arg-type]
    (lambda: Uniform(np.array([0.0]), 1.0), "`low` must be a finite number"),  # type: ignore[arg-type]
    (lambda: Integer(1.0, 2), "`low` must be a whole number"),  # type: ignore[arg-type]
    (lambda: Integer(True, 2), "`low` must be a whole number"),
    (lambda: Integer(1, 10**13), "`high` must be a whole number of at most 1e"),
    (lambda: Integer(0, 10, log=True), r"`1 <= low.*low=0"),
    (lambda: Integer(1, 10, log=True, limits=(0, 10)), r"1 <= limits\[0\].*limits=\(0, 10\)"),
    (lambda: Integer(1, 10, 1), "`log` must be True or False, but got 1"),  # type: ignore[arg-type]
    (lambda: Integer(1, 10, limits=(1, 10.5)), r"`limits\[1\]` must be a whole number"),  # type: ignore[arg-type]
    (lambda: Uniform(0.0, 0.5, limits=(0.1, 0.9)), r"limits\[0\] <= low.*limits=\(0.1, 0.9\), low=0.0"),
    (lambda: Uniform(0.0, 0.5, limits=(0.0, 0.4)), r"high <= limits\[1\]"),
    (lambda: Uniform(0.0, 0.5, limits=0.9), "`limits` must be a pair"),  # type: ignore[arg-type]
    (lambda: Uniform(0.0, 0.5, limits=(0.0, None)), r"`limits\[1\]` must be"),  # type: ignore[arg-type]
    (lambda: Uniform(0.0, 0.5, natural=(0.1, None)), "^low and high must be at least 0.1, but got low=0.0"),
    (lambda: Uniform(0.0, 0.5, natural=(None, 0.1)), "^low and high must be at most 0.1, but got low=0.0, high=0.5"),
    (lambda: Uniform(0.0, 1.2, natural=(0, 1)), "^low and high must be between 0.0 and 1.0, but got low=0.0, high=1.2"),
    (
        lambda: Uniform(0.0, 0.5, natural=(0, 1), limits=(0, 2)),
        r"^limits must be between 0.0 and 1.0, .*limits=\(0.0, 2.0\)",
    ),
    (lambda: Uniform(0.0, 0.5, natural=("0", 1)), r"`natural\[0\]` must be"),  # type: ignore[arg-type]
    (lambda: Uniform(0.0, 0.5, when="schedule"), "`when` must map names"),  # type: ignore[arg-type]
    (lambda: Uniform(0.0, 0.5, when={"schedule": []}), "one or more values"),
    (lambda: Uniform(0.0, 0.5, when={1: "cosine"}), "when maps names"),  # type: ignore[dict-item]
    (lambda: Choice([]), r"len\(values\) > 0"),
    (lambda: Choice("relu"), "`values` must be a list or tuple of values, but got 'relu'"),
    (lambda: Choice({"relu", "tanh"}), "`values` must be a list or tuple"),  # type: ignore[arg-type]
    (lambda: Choice(["relu", "relu"]), "values are distinct.*'relu', 'relu'"),
    (lambda: Choice([1, True]), "values are distinct"),
    (lambda: Choice([[64], (64,)]), "values are distinct"),  # type: ignore[list-item]
    (lambda: Choice([(64,), "[64]"]), "values are distinct"),
    (lambda: Choice([math.nan]), "must be finite, but got nan"),
    (lambda: Choice([{"a": 1}]), "must be None, a bool, a number"),  # type: ignore[list-item]
    (lambda: Choice([((1, 2), 3)]), "must be None, a bool, a number"),  # type: ignore[list-item]
    (lambda: Choice(["relu"]).to_unit("tanh"), "value is one of values.*value='tanh'"),
]


@pytest.mark.parametrize(("misuse", "message"), MISUSE)
def test_misuse_is_one_clear_error(misuse: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        misuse()


def test_arguments_are_stored_as_plain_numbers_and_tuples() -> None:
    uniform = Uniform(np.float32(0), np.int64(1), limits=[-1, 2], natural=[-1, math.inf])  # type: ignore[arg-type]
    assert uniform == Uniform(0.0, 1.0, limits=(-1.0, 2.0), natural=(-1.0, None))
    assert [type(end) for end in (uniform.low, uniform.high)] == [float, float]
    assert type(Integer(np.int32(1), 4).low) is int  # type: ignore[arg-type]
    assert Choice([[128, 128], np.float64(0.5), np.str_("a")]).values == ((128, 128), 0.5, "a")  # type: ignore[list-item]
    assert Choice(range(3)) == Choice([0, 1, 2])


@pytest.mark.parametrize(
    "distribution",
    [
        LogUniform(1e-4, 1e-1, limits=(1e-6, 1.0), when={"schedule": ["cosine", "linear"], "depth": 2}),
        Uniform(0.0, 0.5, natural=(0.0, 1.0)),
        Integer(1, 4),
        Choice([(64,), (64, 64)], when={"batch_norm": True}),
    ],
)
def test_distributions_are_frozen_hashable_and_picklable(distribution: Numeric | Choice) -> None:
    assert pickle.loads(pickle.dumps(distribution)) == distribution
    assert dataclasses.replace(distribution) == distribution
    assert len({distribution, dataclasses.replace(distribution)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        distribution.when = ()  # type: ignore[misc]


def test_a_condition_holds_one_value_or_several() -> None:
    assert conditions(Uniform(0, 1)) == conditions(Uniform(0, 1, when=None)) == {}
    assert conditions(Uniform(0, 1, when={"b": "x", "a": (1, 2)})) == {"a": (1, 2), "b": ("x",)}
    assert conditions(Uniform(0, 1, when={"shape": [(64, 64)]})) == {"shape": ((64, 64),)}
    assert Uniform(0, 1, when={"a": 1, "b": 2}) == Uniform(0, 1, when={"b": [2], "a": [1]})


def test_as_stored_is_text_for_tuples_only() -> None:
    assert as_stored((128, 128)) == "[128, 128]"
    assert [as_stored(value) for value in (None, True, 2, 0.5, "a")] == [None, True, 2, 0.5, "a"]
    assert as_value([1, np.float64(2)]) == (1, 2.0)
