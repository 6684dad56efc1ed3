"""The plan: all work foreseen, as stages of rungs. It is recorded before the first trial starts.

A *stage* draws its trials at once. At each of its rungs they meet the *survivors* of earlier stages that have been
trained as long, and the best of all go on; a survivor waits for the next stage with a longer rung.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from hpsearch.orchestrator.halving import ETA, Rung, budgets, rungs

MIN_EPOCHS = 27
FEWEST_UPDATES = 300
"""Minibatches before which it says too little how good a model is to halve by it."""

FEWEST_STAGED = 24
"""With fewer trials, there is one stage only: no range can be judged by them."""
COARSE_SHARE, MIDDLE_SHARE = 0.55, 0.3
"""Of the trials that are drawn; the fine stage has the rest."""
N_SEEDS = 2
"""Further seeds with which each final candidate is trained again."""
CANDIDATES = ((48, 2), (128, 3))
"""Below so many trials, so many final candidates; above, MOST_CANDIDATES."""
MOST_CANDIDATES = 4
FEWEST_PER_CANDIDATE = 12
"""Of the trials of a top-up, for each final candidate among them."""
LATER_ETA = 2
"""After the coarse stage one in so many goes on: what is drawn is better, and survivors were halved once already."""
REPEAT = "repeat"


@dataclass(frozen=True)
class Stage:
    """`n_trials` configs are drawn at once, and go through the `rungs`.

    Attributes:
        name: "coarse", "middle", "fine" or any other; "repeat" has a meaning: its trials are the best completed ones
            once more, with other seeds, `N_SEEDS` each.
        n_trials: how many are drawn.
        rungs: with rising epochs. Their `keep` counts the survivors of earlier stages as well.

    Raises ValueError when an argument breaks these rules.
    """

    name: str
    n_trials: int
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a stage's name must be text, but got {self.name!r}")
        if not (isinstance(self.rungs, list | tuple) and all(isinstance(rung, Rung) for rung in self.rungs)):
            raise ValueError(f"a stage's rungs must be a tuple of Rung, but got {self.rungs!r}")
        object.__setattr__(self, "rungs", tuple(self.rungs))
        epochs = [rung.epochs for rung in self.rungs]
        numbers = [self.n_trials, *epochs, *(rung.keep for rung in self.rungs)]
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            raise ValueError(f"trials, epochs and keep must be whole numbers, but got {self!r}")
        if self.n_trials < 1 or not epochs:
            raise ValueError(f"a stage must have one trial and one rung or more, but {self.name!r} has not")
        if min(epochs) < 1 or sorted(set(epochs)) != epochs or min(rung.keep for rung in self.rungs) < 1:
            raise ValueError(f"rungs must have rising epochs and keep one or more, but got {self.rungs!r}")

    @property
    def is_repeat(self) -> bool:
        """Are its trials earlier ones with other seeds?"""
        return self.name == REPEAT


@dataclass(frozen=True)
class Step:
    """One rung of a stage, as it is foreseen if no trial fails.

    Attributes:
        stage, rung: their numbers.
        epochs: of the rung; `keep`: how many contenders go on.
        n_trained: trials that are trained up to it; `n_contenders`: with the survivors that stand there already.
        n_epochs: of training, over all of them.
    """

    stage: int
    rung: int
    epochs: int
    keep: int
    n_trained: int
    n_contenders: int
    n_epochs: int


@dataclass(frozen=True)
class Plan:
    """The stages of a study, in order: at least one."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages or not all(isinstance(stage, Stage) for stage in self.stages):
            raise ValueError(f"a plan must have one Stage or more, but got {self.stages!r}")
        object.__setattr__(self, "stages", tuple(self.stages))

    @classmethod
    def of(cls, n_trials: int, max_epochs: int, min_epochs: int | None = None) -> "Plan":
        """The default: coarse, middle and fine, and the final candidates with other seeds; few trials in one stage.

        Most of the trials are drawn in the coarse stage, over the whole space, and go no further than the rung that is
        two before the last; three tenths in the middle one, which ends one before the last; the rest in the fine one.

        min_epochs: of the shortest rung, see `budgets`.
        """
        *shorter, longest = budgets(max_epochs, min_epochs)
        if n_trials < FEWEST_STAGED or not shorter:
            return cls.random(n_trials, max_epochs, min_epochs)
        n_repeats = N_SEEDS * next((n for below, n in CANDIDATES if n_trials < below), MOST_CANDIDATES)
        n_coarse = round(COARSE_SHARE * (n_trials - n_repeats))
        n_middle = round(MIDDLE_SHARE * (n_trials - n_repeats))
        n_fine = n_trials - n_repeats - n_coarse - n_middle
        coarse = Stage("coarse", n_coarse, _rungs(shorter[:-1] or shorter, n_coarse, ETA))
        middle = Stage("middle", n_middle, _rungs(shorter, n_middle, LATER_ETA, coarse))
        steps = _rungs(shorter, n_fine, LATER_ETA, middle)
        fine = Stage("fine", n_fine, (*steps, Rung(longest, steps[-1].keep)))
        return cls((coarse, middle, fine, Stage(REPEAT, n_repeats, (Rung(longest, n_repeats),))))

    @classmethod
    def random(cls, n_trials: int, max_epochs: int, min_epochs: int | None = None) -> "Plan":
        """One stage over the whole space, with successive halving."""
        return cls((Stage("random", n_trials, rungs(n_trials, max_epochs, min_epochs)),))

    @property
    def n_trials(self) -> int:
        return sum(stage.n_trials for stage in self.stages)

    @property
    def n_epochs(self) -> int:
        """Epochs of training, over all trials and stages, if none fails."""
        return sum(step.n_epochs for step in self.steps())

    @property
    def max_epochs(self) -> int:
        return max(stage.rungs[-1].epochs for stage in self.stages)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The epochs at which any rung ends, rising."""
        return tuple(sorted({rung.epochs for stage in self.stages for rung in stage.rungs}))

    def first_trial(self, stage: int) -> int:
        """The number of a stage's first trial."""
        return self._firsts[stage]

    def stage_of(self, trial: int) -> int:
        """The number of the stage in which a trial is drawn."""
        return bisect_right(self._firsts, trial) - 1

    @cached_property
    def _firsts(self) -> list[int]:
        """The number of each stage's first trial, and one more than that of the last trial."""
        return [0, *accumulate(stage.n_trials for stage in self.stages)]

    def is_last_for(self, stage: int, epochs: int) -> bool:
        """Do trials that stand at `epochs` at the end of a stage wait for nothing any more?"""
        return all(later.rungs[-1].epochs <= epochs or later.is_repeat for later in self.stages[stage + 1 :])

    def steps(self) -> Iterator[Step]:
        """All rungs in their order, as they are foreseen if no trial fails."""
        waiting: Counter[int] = Counter()
        for number, stage in enumerate(self.stages):
            alive, reached = stage.n_trials, 0
            for place, rung in enumerate(stage.rungs):
                n_trained, n_epochs, n_contenders = alive, alive * (rung.epochs - reached), alive
                for at in () if stage.is_repeat else [at for at in waiting if reached < at <= rung.epochs]:
                    n_joining = waiting.pop(at)
                    n_trained += n_joining if at < rung.epochs else 0
                    n_epochs += n_joining * (rung.epochs - at)
                    n_contenders += n_joining
                alive, reached = min(rung.keep, n_contenders), rung.epochs
                yield Step(number, place, rung.epochs, alive, n_trained, n_contenders, n_epochs)
            if not self.is_last_for(number, reached):
                waiting[reached] += alive

    def topped_up(self, n_trials: int) -> "Plan":
        """This plan and, if it has fewer trials than `n_trials`, one more fine stage of the missing ones.

        If they are enough, a few of them are other seeds for the best of the new ones, as in the default plan.
        """
        missing = n_trials - self.n_trials
        if missing <= 0:
            return self
        n_repeats = N_SEEDS * (missing // FEWEST_PER_CANDIDATE) if len(self.budgets) > 1 else 0
        n_repeats = min(n_repeats, N_SEEDS * MOST_CANDIDATES)
        n_fine = missing - n_repeats
        more = [Stage("fine", n_fine, rungs(n_fine, self.max_epochs, self.budgets[0]))]
        if n_repeats:
            more.append(Stage(REPEAT, n_repeats, (Rung(self.max_epochs, n_repeats),)))
        return Plan((*self.stages, *more))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(stage) for stage in self.stages]

    @classmethod
    def from_json(cls, stages: Sequence[Mapping[str, Any]]) -> "Plan":
        return cls(
            tuple(
                Stage(stage["name"], stage["n_trials"], tuple(Rung(**rung) for rung in stage["rungs"]))
                for stage in stages
            )
        )


def _rungs(epochs: Sequence[int], n_trials: int, eta: int, before: Stage | None = None) -> tuple[Rung, ...]:
    """Rungs that keep one in `eta` of their contenders, with the survivors of the stage before."""
    levels, alive = [], n_trials
    for budget in epochs:
        joining = before.rungs[-1].keep if before is not None and before.rungs[-1].epochs == budget else 0
        alive = max(1, (alive + joining) // eta)
        levels.append(Rung(budget, alive))
    return tuple(levels)


def default_max_epochs(steps_per_epoch: int, n_updates: int) -> int:
    """Epochs enough for so many updates, at least `MIN_EPOCHS`, and a multiple of nine.

    Args:
        steps_per_epoch: minibatches of an epoch, at the largest batch size of the space.
    """
    epochs = max(MIN_EPOCHS, -(-n_updates // steps_per_epoch))
    return 9 * -(-epochs // 9)


def default_min_epochs(max_epochs: int, steps_per_epoch: int) -> int:
    """Epochs of the shortest rung: a ninth of the longest's, or fewer if these make `FEWEST_UPDATES` minibatches."""
    return min(-(-max_epochs // ETA**2), -(-FEWEST_UPDATES // steps_per_epoch))
