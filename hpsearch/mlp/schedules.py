"""Learning-rate schedules: pure functions of progress and of the initial rate."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Schedule = Callable[[NDArray[np.float64], float], NDArray[np.float64]]


def constant(progress: NDArray[np.float64], initial: float) -> NDArray[np.float64]:
    """The initial rate throughout; `progress` is the share of all updates done, in [0, 1]."""
    return np.full_like(progress, initial)


def cosine(progress: NDArray[np.float64], initial: float) -> NDArray[np.float64]:
    """initial · (1 + cos(π · progress)) / 2: from the initial rate to zero (Loshchilov and Hutter 2017)."""
    return np.asarray(initial * (1 + np.cos(np.pi * np.minimum(progress, 1))) / 2)


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}
