"""The range of one hyperparameter: LogUniform, Uniform, Integer, Choice.

Each maps its range to and from *unit coordinates*, [0, 1], in which it is uniform. A numeric one also knows its
*limits*, the widest its range may ever become, and its *natural bounds*, beyond which no value makes sense.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np

Plain: TypeAlias = None | bool | int | float | str
Value: TypeAlias = Plain | tuple[Plain, ...]
Bounds: TypeAlias = tuple[float | None, float | None]
When: TypeAlias = Mapping[str, Value | Sequence[Value]] | tuple[tuple[str, tuple[Value, ...]], ...] | None

# Beyond it neighbouring integers cannot be told apart in float64 logarithms.
LARGEST_INTEGER = 10**12

# How far a range may grow where the user sets no limits: a factor on either side of a log range.
LIMIT_FACTOR = 1000


@dataclass(frozen=True)
class LogUniform:
    """A positive number whose logarithm is uniform on [log(low), log(high)]: `value = low * (high / low) ** u`.

    low, high: 0 < low < high, both finite, both included.
    limits: (lowest, highest), the widest the range may become; 0 < lowest <= low, high <= highest. By default three
        decades beyond each end, cut at the natural bounds.
    natural: (lower, upper), each a number or None for no bound: an optimum there is no reason to widen.
    when: `{"schedule": "cosine"}` or `{"schedule": ["cosine", "linear"]}`: present only when each named Choice takes
        one of these values. A list or tuple always means several values: write `[(64, 64)]` for one that is a tuple.

    Raises ValueError when an argument breaks these rules.
    """

    low: float
    high: float
    _: KW_ONLY
    limits: tuple[float, float] | None = None
    natural: Bounds = (None, None)
    when: When = ()

    def __post_init__(self) -> None:
        _settle(self, _as_float)
        lowest = self.low if self.limits is None else self.limits[0]
        _require(lowest > 0, "0 < low, and 0 < limits[0]", low=self.low, limits=self.limits)
        _require(math.log(self.low) < math.log(self.high), "log(low) < log(high)", low=self.low, high=self.high)

    @property
    def limit_range(self) -> tuple[float, float]:
        """The widest the range may become: `limits`, or the default of the class."""
        # The quotient of a tiny `low` may underflow; zero has no logarithm.
        lowest = max(self.low / LIMIT_FACTOR, min(self.low, sys.float_info.min))
        return _limit_range(self, lowest, self.high * LIMIT_FACTOR)

    def to_unit(self, value: float) -> float:
        """Unit coordinate of `value`, in [0, 1]; a value outside the range counts as its nearest end."""
        low, high = math.log(self.low), math.log(self.high)
        return _clip((math.log(max(value, self.low)) - low) / (high - low), 0.0, 1.0)

    def from_unit(self, u: float) -> float:
        """The value at unit coordinate `u`, in [low, high]."""
        low, high = math.log(self.low), math.log(self.high)
        return _clip(math.exp(low + u * (high - low)), self.low, self.high)


@dataclass(frozen=True)
class Uniform:
    """A number uniform on [low, high]: `value = low + u * (high - low)`.

    low, high: low < high, both finite, both included.
    limits: as for LogUniform (but of any sign); by default one width of the range beyond each end, cut at the natural
        bounds.
    natural, when: as for LogUniform.

    Raises ValueError when an argument breaks these rules.
    """

    low: float
    high: float
    _: KW_ONLY
    limits: tuple[float, float] | None = None
    natural: Bounds = (None, None)
    when: When = ()

    def __post_init__(self) -> None:
        _settle(self, _as_float)
        _require(math.isfinite(self.high - self.low), "high - low is finite", low=self.low, high=self.high)

    @property
    def limit_range(self) -> tuple[float, float]:
        """The widest the range may become: `limits`, or the default of the class."""
        width = self.high - self.low
        return _limit_range(self, self.low - width, self.high + width)

    def to_unit(self, value: float) -> float:
        """Unit coordinate of `value`, in [0, 1]; a value outside the range counts as its nearest end."""
        return (_clip(value, self.low, self.high) - self.low) / (self.high - self.low)

    def from_unit(self, u: float) -> float:
        """The value at unit coordinate `u`, in [low, high]."""
        return _clip(self.low + u * (self.high - self.low), self.low, self.high)


@dataclass(frozen=True)
class Integer:
    """A whole number from low to high, uniform, or uniform in its logarithm with `log=True`.

    Each value v owns a cell of [0, 1] and stands in its middle, so that `from_unit(to_unit(v)) == v`: the image of
    [v - 1/2, v + 1/2], in logarithms where `log`.

    low, high: whole numbers, low < high, both included, at most 1e12 in size; 1 <= low where `log`.
    limits: whole numbers (lowest, highest), as for LogUniform. By default three decades beyond each end where `log`,
        else one width of the range, cut at the natural bounds; what starts at 1 or more (a width, a batch size) stays
        at 1 or more, and what starts at 0 does not become negative.
    natural: (lower, upper), each a whole number or None.
    when: as for LogUniform.

    Raises ValueError when an argument breaks these rules.
    """

    low: int
    high: int
    log: bool = False
    _: KW_ONLY
    limits: tuple[int, int] | None = None
    natural: Bounds = (None, None)
    when: When = ()

    def __post_init__(self) -> None:
        if not isinstance(self.log, bool):
            raise ValueError(f"`log` must be True or False, but got {self.log!r}.")
        _settle(self, _as_integer)
        lowest = self.low if self.limits is None else self.limits[0]
        holds = lowest >= 1 or not self.log
        _require(holds, "1 <= low, and 1 <= limits[0], with log=True", low=self.low, limits=self.limits)

    @property
    def limit_range(self) -> tuple[int, int]:
        """The widest the range may become: `limits`, or the default of the class."""
        if self.log:
            low, high = self.low // LIMIT_FACTOR, self.high * LIMIT_FACTOR
        else:
            low, high = 2 * self.low - self.high, 2 * self.high - self.low
        if self.low >= 0:
            low = max(low, min(self.low, 1))
        lowest, highest = _limit_range(self, max(low, -LARGEST_INTEGER), min(high, LARGEST_INTEGER))
        return int(lowest), int(highest)

    def to_unit(self, value: float) -> float:
        """Unit coordinate of `value`, inside (0, 1); a value outside the range counts as its nearest end."""
        value = min(max(value, self.low), self.high)
        if not self.log:
            return (value - self.low + 0.5) / (self.high - self.low + 1)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        middle = (math.log(value - 0.5) + math.log(value + 0.5)) / 2
        return (middle - low) / (high - low)

    def from_unit(self, u: float) -> int:
        """The value whose cell holds unit coordinate `u`, in [low, high]."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = math.floor(math.exp(low + u * (high - low)) + 0.5)
        else:
            value = self.low + math.floor(u * (self.high - self.low + 1))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of `values`, all equally likely; the i-th of n owns [i/n, (i+1)/n] of unit coordinates.

    values: a list or tuple, not empty, of distinct values: None, bool, finite number, text, or a list or tuple of
        these (lists are turned into tuples).
    when: as for LogUniform.

    Raises ValueError when an argument breaks these rules.
    """

    values: Sequence[Value]
    _: KW_ONLY
    when: When = ()

    def __post_init__(self) -> None:
        if isinstance(self.values, str | bytes) or not isinstance(self.values, Sequence):
            raise ValueError(f"`values` must be a list or tuple of values, but got {self.values!r}.")
        values = tuple(as_value(value) for value in self.values)
        _require(len(values) > 0, "len(values) > 0", values=values)
        # The second set: Optuna is given text for a tuple, and must be able to tell it from a string.
        distinct = len(set(values)) == len({as_stored(value) for value in values}) == len(values)
        _require(distinct, "values are distinct, 1 from True and 1.0 too, and a tuple from its text", values=values)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "when", _settled_conditions(self.when))

    def to_unit(self, value: Value) -> float:
        """Unit coordinate of `value`: the middle of its cell. Raises ValueError when it is not one of `values`."""
        value = as_value(value)
        _require(value in self.values, "value is one of values", value=value, values=self.values)
        return (self.values.index(value) + 0.5) / len(self.values)

    def from_unit(self, u: float) -> Value:
        """The value whose cell holds unit coordinate `u`."""
        last = len(self.values) - 1
        return self.values[min(max(math.floor(u * len(self.values)), 0), last)]


Numeric: TypeAlias = LogUniform | Uniform | Integer
Distribution: TypeAlias = Numeric | Choice


def conditions(distribution: Distribution) -> dict[str, tuple[Value, ...]]:
    """The distribution's `when`: name of a Choice → the values with which the hyperparameter is present."""
    return dict(_settled_conditions(distribution.when))


def as_value(value: object) -> Value:
    """`value` as a config holds it: NumPy scalars become Python's, lists become tuples.

    Raises ValueError unless it is None, a bool, a finite number, text, or a list or tuple of these.
    """
    if isinstance(value, list | tuple):
        return tuple(_as_plain(item) for item in value)
    return _as_plain(value)


def as_stored(value: Value) -> Plain:
    """`value` as the Optuna record keeps it: a tuple as its JSON text, anything else as it is."""
    return json.dumps(value) if isinstance(value, tuple) else value


def _as_plain(value: object) -> Plain:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(f"A value must be finite, but got {plain!r}.")
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    raise ValueError(f"A value must be None, a bool, a number, text, or a list or tuple of these, but got {value!r}.")


def _require(holds: bool, rule: str, **arguments: object) -> None:
    if not holds:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise ValueError(f"`{rule}` must hold, but got ({given}).")


def _as_float(argument: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"`{argument}` must be a finite number, but got {value!r}.")
    return float(value)


def _as_integer(argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or abs(int(value)) > LARGEST_INTEGER:
        raise ValueError(f"`{argument}` must be a whole number of at most {LARGEST_INTEGER:.0e}, but got {value!r}.")
    return int(value)


def _settle(distribution: Numeric, number: Callable[[str, object], float]) -> None:
    """Check `low`, `high`, `limits`, `natural` and `when` against each other, and store them in their final types."""
    low, high = number("low", distribution.low), number("high", distribution.high)
    _require(low < high, "low < high", low=low, high=high)
    limits = None
    if distribution.limits is not None:
        first, second = _pair("limits", distribution.limits)
        limits = number("limits[0]", first), number("limits[1]", second)
        within = limits[0] <= low and high <= limits[1]
        _require(within, "limits[0] <= low and high <= limits[1]", limits=limits, low=low, high=high)
    natural = _settled_natural(distribution.natural, number)
    _check_natural(natural, low, high, limits)
    settled = {"low": low, "high": high, "limits": limits, "natural": natural}
    for name, value in (settled | {"when": _settled_conditions(distribution.when)}).items():
        object.__setattr__(distribution, name, value)


def _settled_natural(natural: Bounds, number: Callable[[str, object], float]) -> Bounds:
    lower, upper = _pair("natural", natural)
    # An infinite bound says the same as None, which TOML cannot.
    return (
        None if lower in (None, -math.inf) else number("natural[0]", lower),
        None if upper in (None, math.inf) else number("natural[1]", upper),
    )


def _check_natural(natural: Bounds, low: float, high: float, limits: tuple[float, float] | None) -> None:
    (lower, upper), (lowest, highest) = natural, limits or (low, high)
    if (lower is None or lower <= lowest) and (upper is None or highest <= upper):
        return
    rule = f"between {lower} and {upper}"
    if lower is None or upper is None:
        rule = f"at most {upper}" if lower is None else f"at least {lower}"
    given = f"low={low!r}, high={high!r}" if limits is None else f"limits={limits!r}"
    raise ValueError(f"{'low and high' if limits is None else 'limits'} must be {rule}, but got {given}.")


def _pair(argument: str, value: object) -> Sequence[object]:
    if isinstance(value, list | tuple) and len(value) == 2:
        return value
    raise ValueError(f"`{argument}` must be a pair (lower, upper), but got {value!r}.")


def _settled_conditions(when: When) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    if not isinstance(when, Mapping | tuple | None):
        raise ValueError(f"`when` must map names to values, as in {{'schedule': 'cosine'}}, but got {when!r}.")
    settled = []
    for name, given in dict(when or ()).items():
        values = tuple(as_value(value) for value in (given if isinstance(given, list | tuple) else [given]))
        _require(isinstance(name, str) and len(values) > 0, "when maps names to one or more values", when=when)
        settled.append((name, values))
    return tuple(sorted(settled))


def _limit_range(distribution: Numeric, lowest: float, highest: float) -> tuple[float, float]:
    """The user's limits, else [lowest, highest] cut at the natural bounds and at what float64 can hold."""
    if distribution.limits is not None:
        return distribution.limits
    lower, upper = distribution.natural
    lowest = max(lowest, -sys.float_info.max if lower is None else lower)
    highest = min(highest, sys.float_info.max if upper is None else upper)
    return lowest, highest


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
