"""The plan: all work foreseen, as stages of rungs. It is recorded before the first trial starts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.orchestrator.halving import Rung, rungs

MIN_UPDATES = 3_000
"""The last rung's models have seen at least this many minibatches, unless `max_epochs` says otherwise."""
MIN_EPOCHS = 27


@dataclass(frozen=True)
class Stage:
    """One pass over one space: `n_trials` configs are drawn at once and go through the `rungs`."""

    n_trials: int
    rungs: tuple[Rung, ...]

    @property
    def n_epochs(self) -> int:
        """Epochs of training, over all trials, if none fails."""
        total, alive, trained = 0, self.n_trials, 0
        for rung in self.rungs:
            total += alive * (rung.epochs - trained)
            alive, trained = rung.keep, rung.epochs
        return total


@dataclass(frozen=True)
class Plan:
    """The stages of a study, in order."""

    stages: tuple[Stage, ...]

    @property
    def n_trials(self) -> int:
        return sum(stage.n_trials for stage in self.stages)

    @property
    def n_epochs(self) -> int:
        """Epochs of training, over all trials and stages, if none fails."""
        return sum(stage.n_epochs for stage in self.stages)

    @property
    def max_epochs(self) -> int:
        return max(stage.rungs[-1].epochs for stage in self.stages)

    def first_trial(self, stage: int) -> int:
        """The number of a stage's first trial."""
        return sum(earlier.n_trials for earlier in self.stages[:stage])

    def topped_up(self, n_trials: int) -> "Plan":
        """This plan and, if it has fewer trials than `n_trials`, one more stage of the missing ones."""
        missing = n_trials - self.n_trials
        return self if missing <= 0 else Plan((*self.stages, random_stage(missing, self.max_epochs)))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(stage) for stage in self.stages]

    @classmethod
    def from_json(cls, stages: Sequence[Mapping[str, Any]]) -> "Plan":
        return cls(tuple(Stage(stage["n_trials"], tuple(Rung(**rung) for rung in stage["rungs"])) for stage in stages))


def random_stage(n_trials: int, max_epochs: int) -> Stage:
    """A stage of random search: `n_trials` draws through rungs that end at `max_epochs`."""
    return Stage(n_trials, rungs(n_trials, max_epochs))


def default_max_epochs(steps_per_epoch: int) -> int:
    """Epochs enough for `MIN_UPDATES` minibatches, at least `MIN_EPOCHS`, and a multiple of nine.

    Args:
        steps_per_epoch: minibatches of an epoch, at the largest batch size of the space.
    """
    epochs = max(MIN_EPOCHS, -(-MIN_UPDATES // steps_per_epoch))
    return 9 * -(-epochs // 9)
