"""Distributions from and to what others use: Optuna, scipy.stats, and the JSON or TOML of a study file.

An *entry* of a search space is either a Distribution or a fixed Value. Optuna is always given the *limit*
distribution: it keeps one per name, and refuses or forgets trials when it changes (but for a study that lasts no
longer than one stage: `orchestrator/sampler.py`).
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from numbers import Integral
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import rv_continuous, rv_discrete

from hpsearch.space.distributions import (
    Choice,
    Distribution,
    Integer,
    LogUniform,
    Plain,
    Uniform,
    Value,
    as_stored,
    as_value,
    conditions,
)

Entry: TypeAlias = Distribution | Value
OptunaDistribution: TypeAlias = BaseDistribution

# An Optuna integer with a step becomes a Choice of its values, if they are no more than this.
LONGEST_STEPS = 32

ACCEPTED = (
    "LogUniform, Uniform, Integer, Choice, Optuna's distributions, "
    "scipy.stats' loguniform, uniform and randint, or a plain value"
)

DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "log_uniform": LogUniform,
    "uniform": Uniform,
    "integer": Integer,
    "choice": Choice,
}


def as_distribution(value: object) -> Entry:
    """`value` as an entry of a search space.

    Ours pass through. Optuna's FloatDistribution, IntDistribution and CategoricalDistribution, and frozen
    scipy.stats.loguniform (reciprocal), uniform and randint become ours. A plain value (None, a bool, a number, text, a
    list or tuple of whole numbers) fixes the hyperparameter, and so does an Optuna range of a single value.

    Raises ValueError for anything else, for a FloatDistribution with a step, for an IntDistribution of more than
    LONGEST_STEPS steps, and for a loguniform whose `loc` is not 0 (it is not uniform in the logarithm).
    """
    if isinstance(value, Distribution):
        return value
    if isinstance(value, CategoricalDistribution | FloatDistribution | IntDistribution):
        return _from_optuna(value)
    if isinstance(getattr(value, "dist", None), rv_continuous | rv_discrete):
        return _from_scipy(value)
    _check_not_several(value, "Choice([...])")
    try:
        return as_value(value)
    except ValueError as error:
        raise ValueError(f"{error} A hyperparameter may be {ACCEPTED}.") from None


def _check_not_several(value: object, choice: str) -> None:
    """ValueError for a list that cannot be one value, such as layer sizes; `choice` is how to ask for several."""
    if not isinstance(value, list | tuple):
        return
    if not all(isinstance(item, Integral) and not isinstance(item, bool) for item in value):
        raise ValueError(
            f"A list as one value must hold whole numbers, but got {value!r}; use {choice} for several values, and "
            "a LogUniform or Uniform for a range."
        )


def _from_optuna(distribution: CategoricalDistribution | FloatDistribution | IntDistribution) -> Entry:
    if isinstance(distribution, CategoricalDistribution):
        return Choice(distribution.choices)
    if distribution.single():
        return distribution.low
    if isinstance(distribution, FloatDistribution):
        if distribution.step is not None:
            raise ValueError(f"`step=None` must hold, but got {distribution!r}; list the values in a Choice instead.")
        return (LogUniform if distribution.log else Uniform)(distribution.low, distribution.high)
    if distribution.step == 1:
        return Integer(distribution.low, distribution.high, log=distribution.log)
    steps = range(distribution.low, distribution.high + 1, distribution.step)
    if len(steps) > LONGEST_STEPS:
        raise ValueError(f"At most {LONGEST_STEPS} steps must hold, but got {len(steps)} in {distribution!r}.")
    return Choice(steps)


def _from_scipy(frozen: Any) -> Distribution:
    name, (low, high) = frozen.dist.name, frozen.support()
    if name == "uniform":
        return Uniform(low, high)
    if name == "randint":
        return Integer(low, high)
    if name not in ("loguniform", "reciprocal"):
        raise ValueError(f"scipy.stats.{name} is not supported; a hyperparameter may be {ACCEPTED}.")
    loc = frozen.args[2] if len(frozen.args) > 2 else frozen.kwds.get("loc", 0)
    if loc != 0:
        raise ValueError(f"`loc == 0` must hold for scipy.stats.{name}, but got loc={loc!r}.")
    return LogUniform(low, high)


def to_optuna(distribution: Distribution, limits: bool = True) -> OptunaDistribution:
    """Optuna's form of the distribution over its limit range, or its range as it is where not `limits`.

    Tuples among the values of a Choice become JSON text.
    """
    if isinstance(distribution, Choice):
        return CategoricalDistribution([as_stored(value) for value in distribution.values])
    if isinstance(distribution, Integer):
        lowest, highest = distribution.limit_range if limits else (distribution.low, distribution.high)
        return IntDistribution(lowest, highest, log=distribution.log)
    low, high = distribution.limit_range if limits else (distribution.low, distribution.high)
    return FloatDistribution(low, high, log=isinstance(distribution, LogUniform))


def to_optuna_value(value: Value) -> Plain:
    """A config's value as an Optuna trial holds it: `(128, 128)` is stored as "[128, 128]"."""
    return as_stored(value)


def from_optuna_value(distribution: Distribution, stored: Plain) -> Value:
    """The value of which `to_optuna_value` gave `stored`."""
    if isinstance(distribution, Choice):
        return next(value for value in distribution.values if as_stored(value) == stored)
    return stored


def to_json(entry: Entry) -> Any:
    """The entry in the form of a study file; what equals its default is left out.

    A distribution becomes `{"distribution": "log_uniform", "low": 1e-4, "high": 1e-1, "when": {"schedule": "cosine"}}`
    (log_uniform, uniform, integer or choice), a fixed value stays itself. `from_json(to_json(entry)) == entry`, also
    through JSON text.
    """
    if not isinstance(entry, Distribution):
        return _plain_lists(entry)
    record: dict[str, Any] = {"distribution": _name_of(entry)}
    for field in fields(entry):
        value = getattr(entry, field.name)
        if field.name == "when":
            value = {name: _condition_to_json(values) for name, values in conditions(entry).items()} or field.default
        if value != field.default:
            record[field.name] = _plain_lists(value)
    return record


def from_json(record: object) -> Entry:
    """The entry that `to_json` wrote or a study file asks for.

    Raises ValueError for an unknown distribution, a key it does not take, a missing one, or what the distribution
    itself refuses.
    """
    if not isinstance(record, Mapping):
        _check_not_several(record, '{ distribution = "choice", values = [...] }')
        return as_value(record)
    arguments = dict(record)
    name = arguments.pop("distribution", None)
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        given = with_nearest(str(name), DISTRIBUTIONS)
        raise ValueError(f"`distribution` must be one of {', '.join(DISTRIBUTIONS)}, but got {given}.")
    kind = DISTRIBUTIONS[name]
    known = [field.name for field in fields(kind)]
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise ValueError(f"{name} does not take {with_nearest(unknown[0], known)}; it takes {', '.join(known)}.")
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in arguments]
    if missing:
        raise ValueError(f"{name} needs `{missing[0]}`, but got only {', '.join(arguments) or 'its name'}.")
    return kind(**arguments)


def with_nearest(name: str, known: Collection[str]) -> str:
    """The quoted name, with the nearest of the known ones if one is near: 'momentun' (did you mean 'momentum'?)."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"{name!r} (did you mean {nearest[0]!r}?)" if nearest else repr(name)


def _name_of(distribution: Distribution) -> str:
    return next(name for name, kind in DISTRIBUTIONS.items() if type(distribution) is kind)


def _plain_lists(value: Any) -> Any:
    return [_plain_lists(item) for item in value] if isinstance(value, tuple) else value


def _condition_to_json(values: tuple[Value, ...]) -> Any:
    # A lone tuple must stay inside a list, or it would be read back as several values.
    lone = len(values) == 1 and not isinstance(values[0], tuple)
    return values[0] if lone else _plain_lists(values)
