"""Effort: how much training a search is worth, in three words, where the user gives no numbers of trials and epochs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """What is planned unless the user says otherwise.

    Attributes:
        n_trials: of the study.
        n_updates: minibatches, at least, of the longest trials.
        seconds: about what it takes on two cores for 20,000 rows of 20 columns; it grows with the rows.
    """

    n_trials: int
    n_updates: int
    seconds: int


EFFORTS = {
    "quick": Effort(n_trials=24, n_updates=1_200, seconds=8),
    "standard": Effort(n_trials=64, n_updates=3_600, seconds=25),
    "thorough": Effort(n_trials=640, n_updates=24_000, seconds=600),
}


def effort_of(name: object) -> Effort:
    """The effort of this name; ValueError if there is none."""
    if not isinstance(name, str) or name not in EFFORTS:
        raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, but got {name!r}")
    return EFFORTS[name]
