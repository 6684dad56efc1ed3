"""Dates and times as numbers and cycles."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.dates import CYCLES, Dates, cycles_of, encode_cycles, fit_dates, to_days, to_times

UTC = datetime.UTC
MOMENTS = st.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2500, 1, 1))


def times_of(cells, dtype=None):
    return to_times(pd.Series(cells, dtype=dtype))


@pytest.mark.parametrize(
    "cells, expected",
    [
        ([pd.Timestamp("2024-01-31 08:00"), None], "2024-01-31T08:00"),
        ([pd.Timestamp("2024-01-31 08:00", tz="Asia/Tokyo"), None], "2024-01-31T08:00"),
        ([datetime.date(2024, 1, 31), None], "2024-01-31"),
        ([datetime.datetime(2024, 1, 31, 8, tzinfo=UTC), None], "2024-01-31T08:00"),
        ([datetime.time(8, 30), None], "1970-01-01T08:30"),
        ([datetime.date(9999, 12, 31), None], "9999-12-31"),
        ([pd.Period("2024-02", "M"), None], "2024-02-01"),
        (["2024-01-31", None], "2024-01-31"),
        ([" 2024/01/31 08:00 ", None], "2024-01-31T08:00"),
        (["2024-01-31T08:00:01,5+02:00", None], "2024-01-31T08:00:01.5"),
        (["2024-01-31 08:00 UTC", None], "2024-01-31T08:00"),
        (["0001-01-31", None], "0001-01-31"),
    ],
)
def test_times_of_any_storage_are_wall_times(cells, expected):
    for dtype in {None, object}:
        times = times_of(cells, dtype)
        assert times.dtype == "datetime64[us]" and times[0] == np.datetime64(expected) and np.isnat(times[1])


@given(st.lists(st.one_of(st.none(), MOMENTS), min_size=1, max_size=9))
@settings(max_examples=50)
def test_text_says_the_same(moments):
    text = [None if moment is None else moment.isoformat(" ") for moment in moments]
    np.testing.assert_array_equal(times_of(text, "str"), times_of(moments, "datetime64[us]"))


@given(MOMENTS)
def test_places_in_the_cycles(moment):
    times = times_of([moment], "datetime64[us]")
    (days,), phases = to_days(times), {name: float(phase(times)[0]) for name, phase in CYCLES.items()}
    epoch = datetime.datetime(1970, 1, 1)
    assert days == pytest.approx((moment - epoch) / datetime.timedelta(days=1), abs=1e-9)
    assert phases["day of week"] == moment.weekday() / 7
    assert phases["time of year"] == pytest.approx((moment.month - 1 + (moment.day - 1) / 31) / 12)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert phases["time of day"] == pytest.approx((moment - midnight) / datetime.timedelta(days=1), abs=1e-9)
    assert all(0 <= phase < 1 for phase in phases.values())


@pytest.mark.parametrize(
    "start, freq, cycles",
    [
        ("2024-01-01", "D", ("time of year", "day of week")),
        ("2024-01-01", "7D", ("time of year",)),
        ("2024-01-01", "MS", ("time of year",)),
        ("2024-01-01", "YS", ()),
        ("2024-01-01", "6h", tuple(CYCLES)),
        ("2024-01-01", "1min", ("time of day",)),
    ],
)
def test_cycles_that_vary(start, freq, cycles):
    times = pd.Series(pd.date_range(start, periods=40, freq=freq))
    assert cycles_of(to_times(pd.concat([times, pd.Series([pd.NaT])]))) == cycles


def test_cycles_are_on_the_circle():
    times = times_of([*pd.date_range("2024-01-01", periods=50, freq="31h"), None])
    inputs = np.full((51, 6), 9, dtype=np.float32)
    encode_cycles(times, tuple(CYCLES), inputs)
    np.testing.assert_allclose(np.square(inputs[:50].reshape(50, 3, 2)).sum(axis=2), 1, rtol=1e-6)
    assert not inputs[50].any()
    mondays = np.zeros((3, 2), dtype=np.float32)
    encode_cycles(times_of(["2024-01-01", "1969-12-29", "2024-01-08"]), ("day of week",), mondays)
    np.testing.assert_allclose(mondays, [[0, 1]] * 3, atol=1e-7)


def test_the_record_of_a_column():
    column = pd.Series(pd.date_range("2024-01-01", periods=31), name="when")
    record = fit_dates(column, np.arange(31), np.arange(21))
    assert isinstance(record, Dates) and record.days.name == "when: days" and not record.days.indicator
    assert record.days.median == to_days(np.array(["2024-01-11"], dtype="datetime64[us]"))[0]
    assert record.cycle_names[:2] == ["when: sin time of year", "when: cos time of year"]


def test_text_that_is_no_date_is_shown():
    with pytest.raises(ValueError, match="column 'when' holds dates as text, but these are none: '2023-02-29'"):
        to_times(pd.Series(["2024-02-29", "2023-02-29"], name="when"))
