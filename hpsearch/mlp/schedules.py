"""Learning-rate schedules: pure functions of progress and of the initial rate.

Progress is the share done of the horizon, the epochs for which the schedule is made. `rates` is how the engine asks
for a schedule by name, with a warm-up in front; beyond the horizon a rate stays what it is at its end. One schedule
has a state, which belongs to the fit: `watch_plateau`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled

Array = NDArray[np.float64]
"""Progress in [0, 1], or rates, (n_updates,)."""

ALMOST = 1e-9
"""A rate drops this share of a period early: as floating-point numbers 0.3 / 0.1 is a little less than 3."""


def constant(progress: Array, initial: float) -> Array:
    """The initial rate throughout."""
    return np.full_like(progress, initial)


def piecewise_constant(progress: Array, initial: float, *, milestones: tuple[float, ...], drop: float) -> Array:
    """initial · drop^(number of milestones reached); `milestones` are shares of the horizon, `drop` in (0, 1]."""
    return np.asarray(initial * drop ** np.searchsorted(np.sort(milestones), progress + ALMOST, side="right"))


def step(progress: Array, initial: float, *, drop: float, drop_every: float) -> Array:
    """initial · drop^⌊progress / drop_every⌋; `drop` in (0, 1], `drop_every` > 0, a share of the horizon."""
    return np.asarray(initial * drop ** np.floor(progress / drop_every + ALMOST))


def exponential(progress: Array, initial: float, *, decay_rate: float) -> Array:
    """initial · exp(−decay_rate · progress); `decay_rate` ≥ 0 is per horizon, not per epoch."""
    return np.asarray(initial * np.exp(-decay_rate * progress))


def inverse_time(progress: Array, initial: float, *, decay_rate: float) -> Array:
    """The "1/t" decay, initial / (1 + decay_rate · progress)."""
    return np.asarray(initial / (1 + decay_rate * progress))


def power(progress: Array, initial: float, *, decay_rate: float, decay_power: float) -> Array:
    """initial · (1 + decay_rate · progress)^(−decay_power), `decay_power` ≥ 0."""
    return np.asarray(initial * (1 + decay_rate * progress) ** -decay_power)


def inverse_square_root(progress: Array, initial: float, *, decay_rate: float) -> Array:
    """initial / √(1 + decay_rate · progress)."""
    return np.asarray(initial / np.sqrt(1 + decay_rate * progress))


def linear(progress: Array, initial: float) -> Array:
    """initial · (1 − progress): to zero at the horizon."""
    return np.asarray(initial * (1 - progress))


def cosine(progress: Array, initial: float) -> Array:
    """initial · (1 + cos(π · progress)) / 2: from the initial rate to zero (Loshchilov and Hutter 2017)."""
    return np.asarray(initial * (1 + np.cos(np.pi * progress)) / 2)


def cosine_restarts(progress: Array, initial: float, *, cycles: int) -> Array:
    """`cycles` ≥ 1 equal cosines from the initial rate to zero, one after another (Loshchilov and Hutter 2017, SGDR).

    The last one ends at zero, and does not start again; theirs may also grow longer from cycle to cycle.
    """
    done = progress * cycles
    return cosine(np.maximum(done - np.minimum(np.floor(done + ALMOST), cycles - 1), 0), initial)


def coslog4(progress: Array, initial: float) -> Array:
    """initial · (1 − cos(2π · log₂(1 + 15 · progress))) / 2 (RealMLP; Holzmüller, Grinsztajn and Steinwart 2024).

    Four waves, each twice as long as the one before, which begin and end at zero: from 0 to 1/15, 3/15, 7/15 and 1.
    """
    return np.asarray(initial * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * progress))) / 2)


ONE_CYCLE_RISE, ONE_CYCLE_FIRST, ONE_CYCLE_LAST = 0.3, 1 / 25, 1e-4
"""The share of the horizon in which the one-cycle rate rises; its first and last values, as shares of the highest."""


def one_cycle(progress: Array, initial: float) -> Array:
    """Up from initial / 25 to the initial rate at 30 % of the horizon, and down to initial / 10⁴ at its end.

    Smith and Topin (2018) go along lines; these are half cosines, as in fastai and PyTorch, who end at the 10⁴th part
    of the first rate, not of the highest. Momentum is left alone.
    """
    rising, falling = progress / ONE_CYCLE_RISE, (progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE)
    up = ONE_CYCLE_FIRST + (1 - ONE_CYCLE_FIRST) * (1 - np.cos(np.pi * np.minimum(rising, 1))) / 2
    down = ONE_CYCLE_LAST + (1 - ONE_CYCLE_LAST) * (1 + np.cos(np.pi * np.maximum(falling, 0))) / 2
    return np.asarray(initial * np.where(progress < ONE_CYCLE_RISE, up, down))


@dataclass(frozen=True)
class Schedule:
    """A schedule by name: its function, and the names of its keyword arguments, which are fields of the recipe."""

    function: Callable[..., Array]
    numbers: tuple[str, ...] = ()


SCHEDULES = {
    "constant": Schedule(constant),
    "piecewise_constant": Schedule(piecewise_constant, ("milestones", "drop")),
    "step": Schedule(step, ("drop", "drop_every")),
    "exponential": Schedule(exponential, ("decay_rate",)),
    "inverse_time": Schedule(inverse_time, ("decay_rate",)),
    "power": Schedule(power, ("decay_rate", "decay_power")),
    "inverse_square_root": Schedule(inverse_square_root, ("decay_rate",)),
    "linear": Schedule(linear),
    "cosine": Schedule(cosine),
    "cosine_restarts": Schedule(cosine_restarts, ("cycles",)),
    "coslog4": Schedule(coslog4),
    "one_cycle": Schedule(one_cycle),
    # its factor is state of the fit: `watch_plateau`
    "plateau": Schedule(constant),
}

WARM_UP_FIRST = 0.01
"""What a warm-up begins with, as a share of the initial rate: at 0 the first update would be for nothing."""


def rates(name: str, progress: Array, initial: float, warm_up: float, numbers: Mapping[str, Any]) -> Array:
    """The learning rates of the schedule called `name`, after a linear rise from initial / 100 to the initial rate.

        initial · (0.01 + 0.99 · progress / warm_up)             while progress < warm_up
        schedule((progress − warm_up) / (1 − warm_up))           from there to the horizon
        schedule(1)                                              beyond

    The schedule has what is left of the horizon, as in the gradual warm-up of Goyal et al. (2017).
    `coslog4` and `one_cycle` begin low by themselves: a warm-up is one more rise before theirs.

    Args:
        progress: share of the horizon done, ≥ 0, (n_updates,).
        initial: the initial rate, ≥ 0; no rate is higher.
        warm_up: share of the horizon, in [0, 1).
        numbers: holds at least the schedule's own numbers, by name.
    """
    schedule = SCHEDULES[name]
    share = np.clip((progress - warm_up) / (1 - warm_up), 0, 1)
    found = schedule.function(share, initial, **{number: numbers[number] for number in schedule.numbers})
    early = progress < warm_up
    found[early] = initial * (WARM_UP_FIRST + (1 - WARM_UP_FIRST) * progress[early] / warm_up)
    return found


PROGRESS = 1e-4
"""The least share by which a validation loss must fall to count as progress, as in PyTorch."""


def watch_plateau_naive(valid_loss: float, watch: Array, patience: int, drop: float) -> Array:
    """The new watch; arguments as of `watch_plateau`."""
    lowest, since, factor = watch
    if valid_loss + PROGRESS * abs(valid_loss) < lowest:
        return np.array([valid_loss, 0, factor])
    if since + 1 > patience:
        return np.array([lowest, 0, factor * drop])
    return np.array([lowest, since + 1, factor])


@compiled("void(float64, float64[::1], int64, float64)")
def watch_plateau(valid_loss: float, watch: Array, patience: int, drop: float) -> None:
    """One epoch's look at the validation loss: after more than `patience` epochs without progress, factor · drop.

    `watch` (3,), the OUT array, is (lowest loss, epochs since, factor), (∞, 0, 1) before the first epoch; the engine
    multiplies the rate by the factor. After a drop the count begins anew, the lowest loss stays. NaN is no progress.
    PyTorch's ReduceLROnPlateau also waits for more than `patience` epochs, Keras's for as many. The least progress is
    to Keras an absolute number, to PyTorch a share of the lowest loss, which a negative loss reaches by standing
    still; here it is a share of the new loss's size.
    """
    if valid_loss + PROGRESS * abs(valid_loss) < watch[0]:
        watch[0] = valid_loss
        watch[1] = 0
        return
    watch[1] += 1
    if watch[1] > patience:
        watch[1] = 0
        watch[2] *= drop
