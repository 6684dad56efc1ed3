"""Columns of dates and times: days since 1970 as a number, and where in the year, the week and the day they lie.

A time with a zone counts as the local wall time that it shows: 08:00+02:00 is eight in the morning. So a column means
the same in any storage, with or without its zone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import Column, Dropped, kind_of, listed, to_keys
from hpsearch.data.numeric import Numeric, fit_numeric

Times: TypeAlias = "NDArray[np.datetime64]"
EPOCH = date(1970, 1, 1)  # a Thursday
ZONE = re.compile(r"(:\d{2}([.,]\d+)?) ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$")  # after a time of day


@dataclass(frozen=True)
class Dates:
    """A column of dates or times: `days` since 1970, with their fraction, and two inputs for each of the `cycles`."""

    name: str
    days: Numeric
    cycles: tuple[str, ...]

    @property
    def cycle_names(self) -> list[str]:
        """One name per input of the cycles: `when: sin day of week`, `when: cos day of week`."""
        return [f"{self.name}: {wave} {cycle}" for cycle in self.cycles for wave in ("sin", "cos")]


def name_of_days(name: str) -> str:
    """What the days of the column `name` are called."""
    return f"{name}: days"


def with_days(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The table with days since 1970, float64, as further columns for the columns of dates `names`."""
    return frame.assign(**{name_of_days(name): to_days(to_times(frame[name])) for name in names})


def fit_dates(column: Column, layout_rows: NDArray[np.int64], train_rows: NDArray[np.int64]) -> Dates | Dropped:
    """The record of a column: existence, indicator and cycles from `layout_rows`, statistics from `train_rows`."""
    name, times = str(column.name), to_times(column)
    days = pd.DataFrame({name_of_days(name): to_days(times)})
    (record,) = fit_numeric(days, [name_of_days(name)], layout_rows, train_rows)
    if isinstance(record, Dropped):
        return Dropped(name, record.reason)
    return Dates(name, record, cycles_of(times[layout_rows]))


def to_times(column: Column) -> Times:
    """(n_rows,) datetime64[us] wall times of a column of dates, or of text that looks like them; NaT where missing.

    A period is its first moment, a time of day is one of 1970-01-01. Raises ValueError for text that is no date.
    """
    kind = kind_of(column)
    if kind == "nothing":
        return np.full(len(column), np.datetime64("NaT", "us"))
    if kind == "text":
        return _times_of_text(column)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = pd.Series(column.dt.to_timestamp())
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return column.to_numpy().astype("datetime64[us]")
    missing = column.isna().to_numpy()
    times = np.full(len(column), np.datetime64("NaT", "us"))
    times[~missing] = [_time_of_cell(cell) for cell in column[~missing]]
    return times


def _time_of_cell(cell: Any) -> np.datetime64:
    if isinstance(cell, pd.Period):
        cell = cell.start_time
    if isinstance(cell, time):
        cell = datetime.combine(EPOCH, cell)
    return np.datetime64(cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell, "us")


def _times_of_text(column: Column) -> Times:
    codes, keys = to_keys(column)
    plain = pd.Series([ZONE.sub(r"\1", key.strip()).replace("/", "-").replace(",", ".") for key in keys], dtype="str")
    times = pd.to_datetime(plain, format="ISO8601", errors="coerce").to_numpy().astype("datetime64[us]")
    if wrong := [key for key, at in zip(keys, times, strict=True) if np.isnat(at)]:
        raise ValueError(f"column {column.name!r} holds dates as text, but these are none: {listed(wrong)}")
    return np.append(times, np.datetime64("NaT", "us"))[codes]


def to_days(times: Times) -> NDArray[np.float64]:
    """(n_rows,) days since 1970-01-01, with their fraction; NaN where the time is missing."""
    return np.asarray((times - np.datetime64(EPOCH)) / np.timedelta64(1, "D"))


def _month(times: Times) -> NDArray[np.float64]:
    months = (times.astype("datetime64[M]") - np.datetime64(EPOCH, "M")) / np.timedelta64(1, "M")
    return np.asarray(months % 12)


def _day_of_month(times: Times) -> NDArray[np.float64]:
    return np.asarray((times.astype("datetime64[D]") - times.astype("datetime64[M]")) / np.timedelta64(1, "D"))


def _time_of_year(times: Times) -> NDArray[np.float64]:
    return (_month(times) + _day_of_month(times) / 31) / 12


def _day_of_week(times: Times) -> NDArray[np.float64]:
    return (np.floor(to_days(times)) + 3) % 7 / 7


def _time_of_day(times: Times) -> NDArray[np.float64]:
    return to_days(times) % 1


CYCLES: dict[str, Callable[[Times], NDArray[np.float64]]] = {
    "time of year": _time_of_year,
    "day of week": _day_of_week,
    "time of day": _time_of_day,
}
"""Which share of a cycle has passed at given times, [0, 1), NaN where they are missing: the year from 1 January, by
months of 31 days; the week from Monday, by whole days; the day from midnight."""


def cycles_of(times: Times) -> tuple[str, ...]:
    """The cycles that these times are in different places of; no week if all are of one day of the month."""
    times = times[~np.isnat(times)]
    idle = {"day of week"} if np.ptp(_day_of_month(times)) == 0 else set()
    return tuple(name for name, phase in CYCLES.items() if np.ptp(phase(times)) > 0 and name not in idle)


def encode_cycles(times: Times, cycles: tuple[str, ...], inputs: NDArray[np.float32]) -> None:
    """Write sine and cosine of each cycle into `inputs` (n_rows, 2 n_cycles), the OUT array; 0 where missing."""
    for place, name in enumerate(cycles):
        angle = 2 * np.pi * CYCLES[name](times)
        inputs[:, 2 * place] = np.nan_to_num(np.sin(angle))
        inputs[:, 2 * place + 1] = np.nan_to_num(np.cos(angle))
