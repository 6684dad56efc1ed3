"""SearchSpace: name → distribution or fixed value, and the configs drawn from it.

A *config* is one point of a space: a plain dict, name → value, holding every fixed value and every hyperparameter
whose condition holds. Drawing is a pure function of seed, stage, number and name: no generator is kept anywhere.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.conversion import (
    Entry,
    OptunaDistribution,
    as_distribution,
    from_json,
    from_optuna_value,
    to_json,
    to_optuna,
    to_optuna_value,
    with_nearest,
)
from hpsearch.space.distributions import Bounds, Choice, Distribution, Plain, Value, conditions

Config: TypeAlias = dict[str, Value]


@dataclass(frozen=True)
class SearchSpace:
    """Hyperparameters to search, and those that are fixed, each in the order given.

    distributions: name → distribution.
    fixed: name → value, the same in every config.

    Raises ValueError when a name is in both or is not text, or when a condition names something that is no Choice and
    no fixed value of the space, or a value it cannot take, or when conditions go round in a circle.
    """

    distributions: Mapping[str, Distribution]
    fixed: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "distributions", dict(self.distributions))
        object.__setattr__(self, "fixed", dict(self.fixed))
        for name in (*self.distributions, *self.fixed):
            if not isinstance(name, str):
                raise ValueError(f"A hyperparameter's name must be text, but got {name!r}.")
            if name in self.distributions and name in self.fixed:
                raise ValueError(f"{name}: a hyperparameter is either searched or fixed, but got both.")
        _check_conditions(self)

    @classmethod
    def of(cls, entries: Mapping[str, object]) -> Self:
        """A space from name → anything `as_distribution` takes: distributions to search, plain values to fix."""
        read = _read(entries)
        return cls(
            {name: entry for name, entry in read.items() if isinstance(entry, Distribution)},
            {name: entry for name, entry in read.items() if not isinstance(entry, Distribution)},
        )

    @property
    def entries(self) -> dict[str, Entry]:
        """Name → distribution or fixed value."""
        return {**self.distributions, **self.fixed}

    def replace(self, entries: Mapping[str, object]) -> Self:
        """The space with the user's own entries in place of those of the same name, and any new ones.

        A plain value fixes a hyperparameter, a distribution frees a fixed one. Entries of this space whose condition
        can then no longer hold are left out.
        """
        given = _read(entries)
        return type(self).of(_without_impossible({**self.entries, **given}, kept=frozenset(given)))

    def check_names(self, known: Collection[str]) -> None:
        """Raise ValueError when the space names a hyperparameter that is not in `known`."""
        unknown = [name for name in self.entries if name not in known]
        if unknown:
            named = ", ".join(with_nearest(name, known) for name in unknown)
            raise ValueError(f"Unknown hyperparameter {named}; known are {', '.join(sorted(known))}.")

    def with_natural_bounds(self, natural: Mapping[str, Bounds]) -> Self:
        """The space with natural bounds (lower, upper) filled in by name, where its distributions have none.

        Nothing is cut: raises ValueError when a range, a limit, a choice or a fixed value lies beyond its bounds.
        """
        bounded = self.entries
        for name, bounds in natural.items():
            if name in bounded:
                with _errors_about(name):
                    bounded[name] = _bounded(bounded[name], bounds)
        return type(self).of(bounded)

    def draw(self, seed: int, stage: int, number: int) -> Config:
        """Config `number` of stage `stage`; seed, stage and number are in [0, 2**64).

        Each value comes from its own uniform number, the first of the Philox stream with key (seed, hash of the name)
        and counter (0, number, stage, 0). So it depends on no other config and no other entry of the space.
        """
        values = {name: d.from_unit(_uniform(seed, stage, number, name)) for name, d in self.distributions.items()}
        return self.present(values)

    def nearest(self, wanted: Mapping[str, object]) -> Config:
        """The config nearest to what is wanted: a range's nearest value, a Choice's own one or else its first.

        What is not asked for, or by no number for a range, is the middle of its range, and of a Choice the first.
        """
        return self.present(self.nearest_values(wanted))

    def nearest_values(self, wanted: Mapping[str, object]) -> dict[str, Value]:
        """The same of every hyperparameter that is searched, whether its condition holds or not."""
        return {name: _nearest(d, wanted.get(name)) for name, d in self.distributions.items()}

    def to_unit(self, config: Mapping[str, Value]) -> dict[str, float]:
        """Name → unit coordinate, in [0, 1], of the searched hyperparameters the config has."""
        return {name: d.to_unit(config[name]) for name, d in self._searched_in(config)}

    def to_optuna(self) -> dict[str, OptunaDistribution]:
        """Name → Optuna's distribution over the limit range; fixed values are not part of the Optuna record."""
        return {name: to_optuna(distribution) for name, distribution in self.distributions.items()}

    def optuna_values(self, config: Mapping[str, Value]) -> dict[str, Plain]:
        """What an Optuna trial holds of the config: its searched hyperparameters."""
        return {name: to_optuna_value(config[name]) for name, _ in self._searched_in(config)}

    def from_optuna_values(self, values: Mapping[str, Plain]) -> Config:
        """The config of which `optuna_values` gave these values."""
        given = {name: d for name, d in self.distributions.items() if name in values}
        return self.present({name: from_optuna_value(d, values[name]) for name, d in given.items()})

    def to_json(self) -> dict[str, Any]:
        """The space in the form of a study file's [space] table: `SearchSpace.from_json(space.to_json()) == space`."""
        return {name: to_json(entry) for name, entry in self.entries.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Self:
        """The space that `to_json` wrote; raises like `entries_from_json` and `SearchSpace`."""
        return cls.of(entries_from_json(record))

    def _searched_in(self, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((name, distribution) for name, distribution in self.distributions.items() if name in config)

    def present(self, values: Mapping[str, Value]) -> Config:
        """The values whose conditions hold, and the fixed ones. A condition on an absent Choice does not hold."""
        everything = {**values, **self.fixed}

        def holds(name: str) -> bool:
            return all(
                everything[parent] in allowed and holds(parent) for parent, allowed in _parents(self, name).items()
            )

        return {name: value for name, value in everything.items() if holds(name)}


def entries_from_json(record: Mapping[str, object]) -> dict[str, Entry]:
    """A study file's [space] table, read entry by entry: what `SearchSpace.replace` takes.

    Raises ValueError, naming the hyperparameter, for what cannot be read.
    """
    entries = {}
    for name, entry in record.items():
        with _errors_about(name):
            entries[name] = from_json(entry)
    return entries


def _nearest(distribution: Distribution, wanted: object) -> Value:
    if isinstance(distribution, Choice):
        return next((value for value in distribution.values if value == wanted), distribution.values[0])
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return distribution.from_unit(0.5)
    if distribution.low <= wanted <= distribution.high and isinstance(wanted, type(distribution.low)):
        return wanted
    return distribution.from_unit(distribution.to_unit(wanted))


def _parents(space: SearchSpace, name: str) -> dict[str, tuple[Value, ...]]:
    return conditions(space.distributions[name]) if name in space.distributions else {}


def _read(entries: Mapping[str, object]) -> dict[str, Entry]:
    read = {}
    for name, entry in entries.items():
        with _errors_about(name):
            read[name] = as_distribution(entry)
    return read


def _uniform(seed: int, stage: int, number: int, name: str) -> float:
    """A uniform number in [0, 1), a multiple of 2**-53; the same bits on every machine."""
    return float(uniforms(seed, stage, name, 1, number)[0])


def uniforms(seed: int, stage: int, name: str, n: int, number: int = 0) -> NDArray[np.float64]:
    """(n,) uniform numbers in [0, 1), multiples of 2**-53: the first of the Philox stream that `SearchSpace.draw`
    names; the same bits on every machine."""
    key = np.array([seed, int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")], np.uint64)
    counter = np.array([0, number, stage, 0], np.uint64)
    raw = np.random.Philox(key=key, counter=counter).random_raw(n)
    return np.asarray(raw >> np.uint64(11), np.float64) * 2.0**-53


def _check_conditions(space: SearchSpace) -> None:
    parents = {name: _parents(space, name) for name in space.distributions}
    for name, allowed in parents.items():
        for parent, values in allowed.items():
            possible = _possible_values(space.entries, parent)
            if possible is None:
                raise ValueError(f"{name}: `when` must name a Choice or fixed value of the space, but got {parent!r}.")
            impossible = [value for value in values if value not in possible]
            if impossible:
                raise ValueError(
                    f"{name}: `when` must give values that {parent!r} can take, {list(possible)!r}, "
                    f"but got {impossible[0]!r} (a tuple stands for several values; write [(64, 64)] for one)."
                )
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ValueError(f"Conditions must not depend on each other, but got {circle}.") from None


def _possible_values(entries: Mapping[str, Entry], name: str) -> tuple[Value, ...] | None:
    """The finitely many values a condition on `name` may ask for, or None where there are none to ask for."""
    if name not in entries:
        return None
    entry = entries[name]
    if isinstance(entry, Choice):
        return tuple(entry.values)
    return None if isinstance(entry, Distribution) else (entry,)


def _without_impossible(entries: Mapping[str, Entry], kept: frozenset[str]) -> dict[str, Entry]:
    """The entries, less what conditions outside `kept` ask for in vain: their values first, then whole entries."""
    remaining: dict[str, Entry] = {}
    for name, entry in entries.items():
        if name in kept or not isinstance(entry, Distribution):
            remaining[name] = entry
            continue
        possible = {
            parent: tuple(value for value in values if value in (_possible_values(entries, parent) or ()))
            for parent, values in conditions(entry).items()
        }
        if all(possible.values()):
            remaining[name] = dataclasses.replace(entry, when=possible)
    # What was left out may have been a condition of something else.
    return remaining if len(remaining) == len(entries) else _without_impossible(remaining, kept)


def _bounded(entry: Entry, natural: Bounds) -> Entry:
    lower, upper = natural
    if isinstance(entry, Distribution) and not isinstance(entry, Choice):
        own_lower, own_upper = entry.natural
        filled = (lower if own_lower is None else own_lower, upper if own_upper is None else own_upper)
        return dataclasses.replace(entry, natural=filled)
    for value in entry.values if isinstance(entry, Choice) else (entry,):
        if not _within(value, natural):
            raise ValueError(f"A value must lie within the natural bounds {natural!r}, but got {value!r}.")
    return entry


def _within(value: Value, natural: Bounds) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    lower, upper = natural
    return (lower is None or lower <= value) and (upper is None or value <= upper)


@contextmanager
def _errors_about(name: str) -> Iterator[None]:
    """Let an error of one entry say whose it is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
