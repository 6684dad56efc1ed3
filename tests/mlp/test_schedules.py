import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.schedules import (
    SCHEDULES,
    WARM_UP_FIRST,
    rates,
    watch_plateau,
    watch_plateau_naive,
)

NUMBERS = {
    "milestones": (0.5, 0.75),
    "drop": 0.1,
    "drop_every": 0.25,
    "decay_rate": 5.0,
    "decay_power": 1.0,
    "cycles": 4,
}

FALLING = [name for name in SCHEDULES if name not in ("coslog4", "one_cycle", "cosine_restarts")]
FROM_INITIAL = [name for name in SCHEDULES if name not in ("coslog4", "one_cycle")]
TO_ZERO = ["linear", "cosine", "cosine_restarts", "coslog4"]

FRESH = (np.inf, 0.0, 1.0)
"""What `watch_plateau` begins with."""

SHARES = st.floats(0.01, 1)
OWN_NUMBERS = st.fixed_dictionaries(
    {
        "milestones": st.lists(st.floats(0, 1), max_size=4).map(tuple),
        "drop": SHARES,
        "drop_every": SHARES,
        "decay_rate": st.floats(0, 100),
        "decay_power": st.floats(0, 4),
        "cycles": st.integers(1, 9),
    }
)


def at(name: str, *progress: float, warm_up: float = 0.0, **numbers: object) -> list[float]:
    """The rates of a schedule whose initial rate is 1."""
    return rates(name, np.array(progress), 1.0, warm_up, NUMBERS | numbers).tolist()


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=50)
@given(
    progress=st.lists(st.floats(0, 2), min_size=1, max_size=20),
    initial=st.just(0.0) | st.floats(1e-8, 10),
    warm_up=st.floats(0, 0.9),
    numbers=OWN_NUMBERS,
)
def test_every_rate_lies_between_nothing_and_the_initial_rate(name, progress, initial, warm_up, numbers):
    before = np.array(progress)
    found = rates(name, before, initial, warm_up, numbers)
    assert found.shape == before.shape and found.dtype == np.float64
    assert (found >= 0).all() and (found <= initial * (1 + 1e-12)).all()
    np.testing.assert_array_equal(before, progress)
    # pure: each rate depends on its own progress alone, and scales with the initial rate
    alone = [rates(name, before[i : i + 1], initial, warm_up, numbers)[0] for i in range(len(before))]
    np.testing.assert_array_equal(found, alone)
    np.testing.assert_allclose(rates(name, before, 2 * initial, warm_up, numbers), 2 * found, rtol=1e-12)


@pytest.mark.parametrize("name", FALLING)
@settings(max_examples=25)
@given(numbers=OWN_NUMBERS)
def test_what_falls_never_rises(name, numbers):
    found = rates(name, np.linspace(0, 2, 400), 0.3, 0.0, numbers)
    assert (np.diff(found) <= 1e-15).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_beyond_the_horizon_a_rate_stays(name):
    assert len(set(at(name, 1.0, 1.0001, 1.7, 50.0))) == 1


@pytest.mark.parametrize("name", FROM_INITIAL)
def test_most_schedules_begin_with_the_initial_rate(name):
    assert at(name, 0.0) == [1.0]


@pytest.mark.parametrize("name", TO_ZERO)
def test_some_schedules_end_at_zero(name):
    assert at(name, 1.0) == pytest.approx([0], abs=1e-15)


@pytest.mark.parametrize("warm_up", [0.1, 0.5])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_goes_before_any_schedule(name, warm_up):
    early, late = np.linspace(0, warm_up, 20, endpoint=False), np.linspace(0, 1, 33)
    rise = at(name, *early, warm_up=warm_up)
    assert rise[0] == WARM_UP_FIRST
    np.testing.assert_allclose(np.diff(rise), (1 - WARM_UP_FIRST) / 20, rtol=1e-9)
    rest = at(name, *(warm_up + late * (1 - warm_up)), warm_up=warm_up)
    np.testing.assert_allclose(rest, at(name, *late), rtol=1e-7, atol=1e-12)


def test_schedules_name_their_own_numbers():
    used = {number for schedule in SCHEDULES.values() for number in schedule.numbers}
    assert used == set(NUMBERS)
    for name, schedule in SCHEDULES.items():
        for number in NUMBERS:
            other = (0.1,) if number == "milestones" else 2 if number == "cycles" else 0.6
            differs = at(name, 0.3, 0.9) != at(name, 0.3, 0.9, **{number: other})
            assert differs == (number in schedule.numbers), (name, number)


def test_known_rates():
    assert at("constant", 0.0, 0.7) == at("plateau", 0.0, 0.7) == [1, 1]
    assert at("piecewise_constant", 0.4999, 0.5, 0.7, 0.75, 1.0) == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])
    assert at("piecewise_constant", 0.1, 0.4, milestones=(0.3, 0.2), drop=0.5) == [1, 0.25]
    assert at("piecewise_constant", 0.1, 1.0, milestones=()) == [1, 1]
    assert at("step", 0.2, 0.25, 0.5, 0.75, 1.0, drop=0.5) == [1, 0.5, 0.25, 0.125, 0.0625]
    assert at("exponential", 0.4, decay_rate=5.0) == pytest.approx([math.exp(-2)])
    assert at("inverse_time", 0.6, 1.0, decay_rate=5.0) == pytest.approx([1 / 4, 1 / 6])
    assert at("power", 0.6, decay_rate=5.0, decay_power=1.5) == pytest.approx([1 / 8])
    assert at("inverse_square_root", 0.6, decay_rate=5.0) == pytest.approx([1 / 2])
    assert at("linear", 0.25) == [0.75]
    assert at("cosine", 1 / 3, 0.5, 1.0) == pytest.approx([0.75, 0.5, 0])
    assert at("cosine_restarts", 0.125, 0.2499, 0.25, 0.375, 0.875) == pytest.approx([0.5, 0, 1, 0.5, 0.5], abs=1e-5)
    assert at("coslog4", 0, 1 / 15, 3 / 15, 7 / 15) == pytest.approx([0] * 4)
    peaks = [(2 ** (wave + 0.5) - 1) / 15 for wave in range(4)]
    assert at("coslog4", *peaks) == pytest.approx([1] * 4)
    assert at("one_cycle", 0, 0.15, 0.3, 0.65, 1) == pytest.approx([0.04, 0.52, 1, 0.50005, 1e-4])


def test_a_period_ends_on_time_though_its_numbers_are_not_exact():
    """0.3 / 0.1 < 3 and 0.58 · 50 < 29 in floating-point numbers."""
    assert 0.3 / 0.1 < 3 and 0.58 * 50 < 29
    assert at("step", 0.3, drop=0.5, drop_every=0.1) == [0.125]
    assert at("cosine_restarts", 0.58, cycles=50) == [1]


def test_epoch_by_epoch_they_are_pytorchs():
    """PyTorch's recursions and closed forms, 20 epochs: StepLR, MultiStepLR, ExponentialLR, CosineAnnealingLR,
    CosineAnnealingWarmRestarts, LinearLR, OneCycleLR."""
    epochs = np.arange(20)
    progress = epochs / 20

    def recursion(factor):
        found = [1.0]
        for epoch in epochs[1:]:
            found.append(found[-1] * factor(epoch))
        return found

    expected = {
        "step": recursion(lambda epoch: 0.1 if epoch % 5 == 0 else 1),
        "piecewise_constant": recursion(lambda epoch: 0.1 if epoch in (10, 15) else 1),
        "exponential": recursion(lambda epoch: math.exp(-5 / 20)),
        "cosine": recursion(
            lambda epoch: (1 + math.cos(math.pi * epoch / 20)) / (1 + math.cos(math.pi * (epoch - 1) / 20))
        ),
        "cosine_restarts": [(1 + math.cos(math.pi * (epoch % 5) / 5)) / 2 for epoch in epochs],
        "linear": [1 + (0 - 1) * epoch / 20 for epoch in epochs],
        "one_cycle": [
            1 + (1 / 25 - 1) / 2 * (1 + math.cos(math.pi * epoch / 6))
            if epoch <= 6
            else 1e-4 + (1 - 1e-4) / 2 * (1 + math.cos(math.pi * (epoch - 6) / 14))
            for epoch in epochs
        ],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(at(name, *progress), values, rtol=1e-9, err_msg=name)


@settings(max_examples=50)
@given(
    losses=st.lists(st.floats(-2, 2) | st.sampled_from([0.0, 1.0, math.nan, math.inf]), max_size=40),
    patience=st.integers(0, 5),
    drop=SHARES,
)
def test_the_watch_equals_its_naive_twin(losses, patience, drop):
    watch, expected = np.array(FRESH), np.array(FRESH)
    for loss in losses:
        watch_plateau(loss, watch, patience, drop)
        expected = watch_plateau_naive(loss, expected, patience, drop)
        np.testing.assert_allclose(watch, expected, rtol=1e-12)


def factors(losses: list[float], patience: int) -> list[float]:
    """The factor of the rate after each epoch, with a drop of 1/2."""
    watch, found = np.array(FRESH), []
    for loss in losses:
        watch_plateau(loss, watch, patience, 0.5)
        found.append(float(watch[2]))
    return found


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rate_drops_after_more_than_patience_epochs_without_progress(sign):
    stands = [sign * 1.0] * 8
    assert factors(stands, 2) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert factors(stands, 0) == [0.5**epoch for epoch in range(8)]
    # far less than a ten-thousandth is no progress, far more is
    assert factors([sign - 1e-6 * epoch for epoch in range(8)], 2)[-1] < 1
    assert factors([sign - 1e-2 * epoch for epoch in range(8)], 2)[-1] == 1


def test_progress_lets_the_count_begin_anew_but_keeps_the_factor():
    assert factors([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.4], 2) == [1, 1, 1, 1, 1, 1, 0.5, 0.5]


def test_a_loss_that_is_not_a_number_is_no_progress():
    assert factors([1, math.nan, math.nan, 0.5], 1) == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize("length", [1, 3, 7, 64])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_have_the_same_bits_however_the_updates_are_cut(name, length):
    progress = np.random.default_rng(0).uniform(0, 1.2, 500)
    whole = rates(name, progress, 0.3, 0.05, NUMBERS)
    pieces = [rates(name, progress[i : i + length], 0.3, 0.05, NUMBERS) for i in range(0, 500, length)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
