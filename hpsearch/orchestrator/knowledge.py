"""Starting knowledge: configs to try first, and an earlier study whose best trials say where to begin."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from hpsearch.record.tables import trial_table
from hpsearch.record.trials import open_record, study_names
from hpsearch.space.conversion import with_nearest
from hpsearch.space.distributions import Choice, Integer, as_value
from hpsearch.space.proposal import Proposal
from hpsearch.space.refine import start_like
from hpsearch.space.space import Config, SearchSpace

Named: TypeAlias = tuple[str | os.PathLike[str], str]
Like: TypeAlias = str | os.PathLike[str] | Named | None
"""An earlier study: the file that keeps it, or the file and its name."""


def first_configs(first: object, space: SearchSpace, default: Config) -> tuple[Config, ...]:
    """The user's configs, completed by the default one, and that itself at the end.

    Raises:
        ValueError: for a name that is not of the space, a fixed value that differs, or one beyond the limits.
    """
    if isinstance(first, str | Mapping) or not isinstance(first, Sequence):
        raise ValueError(f"first must be a list of configs, each a dict of name → value, but got {first!r}")
    configs = [_completed(config, place, space, default) for place, config in enumerate(first)]
    return tuple(config for place, config in enumerate([*configs, default]) if config not in configs[:place])


def _completed(config: object, place: int, space: SearchSpace, default: Config) -> Config:
    if not isinstance(config, Mapping):
        raise ValueError(f"first[{place}] must be a dict of name → value, but got {config!r}")
    values = {}
    for name, given in config.items():
        if name not in space.entries:
            known = with_nearest(str(name), space.entries)
            raise ValueError(f"first[{place}] has {known}, which is not of the space: {', '.join(space.entries)}")
        argument = f"first[{place}][{name!r}]"
        try:
            value = as_value(given)
        except ValueError as error:
            raise ValueError(f"{argument}: {error}") from None
        values[name] = _allowed(argument, value, space, name)
    middle = space.nearest_values(default)
    return space.present(middle | {name: value for name, value in values.items() if name in middle})


def _allowed(argument: str, value: Any, space: SearchSpace, name: str) -> Any:
    """The value, of the type that draws have; ValueError unless the space can come to hold it."""
    entry = space.entries[name]
    if name in space.fixed or isinstance(entry, Choice):
        allowed: Sequence[Any] = [entry] if name in space.fixed else entry.values  # type: ignore[union-attr]
        if value not in allowed:
            raise ValueError(f"{argument} must be one of {list(allowed)!r}, but got {value!r}")
        return allowed[allowed.index(value)]
    lowest, highest = entry.limit_range  # type: ignore[union-attr]
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"{argument} must be a number from {lowest:g} to {highest:g}, but got {value!r}")
    if not isinstance(entry, Integer):
        return float(value)
    if value != int(value):
        raise ValueError(f"{argument} must be a whole number, but got {value!r}")
    return int(value)


def check_like(like: object) -> None:
    """ValueError unless this names a file, or a file and a study in it."""
    parts = like if isinstance(like, tuple) else (like, "")
    is_path = len(parts) == 2 and isinstance(parts[0], str | os.PathLike) and "://" not in str(parts[0])
    if not (is_path and isinstance(parts[1], str)):
        raise ValueError(f"like must be the file of an earlier study, or (file, study_name), but got {like!r}")


def start_from(like: str | os.PathLike[str] | Named, space: SearchSpace) -> tuple[Proposal, pd.DataFrame]:
    """What the first stage draws from, and why, after an earlier study like this one.

    Raises:
        ValueError: for what is no study, has no trial with a value, or shares no range with the space.
        OSError: for a file that cannot be read.
    """
    file, name = like if isinstance(like, tuple) else (like, None)
    names = study_names(file)
    if (name is None and len(names) != 1) or (name is not None and name not in names):
        held = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"like={like!r} must name one study, as (file, study_name); {file} holds {held}")
    with open_record(file, name or names[0], read_only=True) as record:
        trials = trial_table(record.study)
    if not trials["value"].notna().any():
        raise ValueError(f"like={like!r} has no trial with a value")
    if not any(f"params_{own}" in trials for own in space.distributions):
        raise ValueError(f"like={like!r} has searched none of {', '.join(space.distributions)}")
    if "user_attrs_repeats" in trials:
        trials = trials[trials["user_attrs_repeats"].isna()]
    return start_like(trials, space)
