"""The record of a study: its trials in an `optuna.Study`, its checkpoints, and the lock of its one writer.

An `optuna.Study` knows what each trial drew and how it did; a user attribute of it holds the *identity* of the study:
what must be the same when it is continued. Everything else can be computed again from the checkpoints.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpsearch.mlp.outcome import Outcome
from hpsearch.record.checkpoints import Checkpoints, FolderCheckpoints, MemoryCheckpoints
from hpsearch.record.folder import remove_leftovers
from hpsearch.record.journal import open_storage
from hpsearch.record.lock import Lock
from hpsearch.space.space import SearchSpace

Storage: TypeAlias = str | os.PathLike[str] | BaseStorage | None
"""Where a study is kept: a file, a database URL, a storage of Optuna, or memory."""

IDENTITY = "hpsearch"
PLAN = "plan"
SECONDS = "seconds"


class StudyRecord:
    """One study that is being written, or read. Made by `open_record`.

    Args:
        storage: where the `optuna.Study` lives.
        study_name: its name in there.
        checkpoints: where the fits of its trials are kept.
        refits: where those are kept that were trained again on all rows.
    """

    def __init__(self, storage: BaseStorage, study_name: str, checkpoints: Checkpoints, refits: Checkpoints) -> None:
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study_name)
        self.checkpoints, self.refits = checkpoints, refits
        self.study = optuna.load_study(storage=storage, study_name=study_name)

    @property
    def plan(self) -> list[dict[str, Any]] | None:
        """The plan as it was recorded, None for a study that has none yet."""
        plan: list[dict[str, Any]] | None = self.study.user_attrs.get(PLAN)
        return plan

    @plan.setter
    def plan(self, stages: Sequence[Mapping[str, Any]]) -> None:
        if self.plan != stages:
            self.study.set_user_attr(PLAN, stages)

    @property
    def seconds(self) -> float:
        """Wall time of all runs so far that came to their end, NaN if there was none."""
        return float(self.study.user_attrs.get(SECONDS, float("nan")))

    def add_seconds(self, seconds: float) -> None:
        """Add the wall time of one run."""
        self.study.set_user_attr(SECONDS, self.study.user_attrs.get(SECONDS, 0.0) + seconds)

    def identify(self, identity: Mapping[str, Any]) -> None:
        """Record what the study is about, or check that it is about the same.

        Args:
            identity: JSON values by name, such as the data's fingerprint, the space, the seed.

        Raises:
            ValueError: if the study was begun with another identity, naming the first difference.
        """
        recorded = self.study.user_attrs.get(IDENTITY)
        if recorded is None:
            if self.study.get_trials(deepcopy=False):
                raise ValueError(
                    f"the study {self.study.study_name!r} was not made by hpsearch; choose another study_name"
                )
            self.study.set_user_attr(IDENTITY, dict(identity))
            return
        for name, value in identity.items():
            if recorded.get(name) != value:
                raise ValueError(
                    f"the study {self.study.study_name!r} was begun with another {name} ({_short(recorded.get(name))}, "
                    f"now {_short(value)}); continue it with the same, or choose another study_name or storage"
                )

    def has(self, number: int) -> bool:
        """Is this trial recorded already?"""
        return self._storage.get_n_trials(self._study_id) > number

    def add(self, stage: int, drawn: Sequence[tuple[int, Mapping[str, Any], int]], space: SearchSpace) -> None:
        """Record a stage's trials as RUNNING: (number, config, seed) in ascending order; known ones are skipped."""
        distributions = space.to_optuna()
        known = self._storage.get_n_trials(self._study_id)
        for number, config, seed in drawn:
            if number >= known:
                values = space.optuna_values(config)
                trial = create_trial(
                    state=TrialState.RUNNING,
                    params=values,
                    distributions={name: distributions[name] for name in values},
                    user_attrs={"stage": stage, "seed": seed},
                )
                self._storage.create_new_trial(self._study_id, template_trial=trial)

    def report(self, number: int, epochs: int, value: float) -> None:
        """Record a trial's value after `epochs` epochs; what is recorded already is not written again."""
        trial_id = self._trial_id(number)
        if epochs not in self._storage.get_trial(trial_id).intermediate_values:
            self._storage.set_trial_intermediate_value(trial_id, epochs, value)

    def finish(self, number: int, state: str, epochs: int, value: float | None, outcome: Outcome) -> None:
        """Record the end of a trial: its state ("COMPLETE", "PRUNED" or "FAIL"), last value and outcome, once."""
        trial_id = self._trial_id(number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return
        if value is None:
            self._storage.set_trial_user_attr(trial_id, "epochs", epochs)
            self._storage.set_trial_user_attr(trial_id, "advice", outcome.sentence)
        else:
            self.report(number, epochs, value)
        self._storage.set_trial_user_attr(trial_id, "outcome", outcome.name)
        self._storage.set_trial_state_values(trial_id, TrialState[state], None if value is None else [value])

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


@contextmanager
def open_record(
    storage: Storage,
    study_name: str,
    fits: str | os.PathLike[str] | None = None,
    *,
    synchronous: str = "normal",
    read_only: bool = False,
) -> Iterator[StudyRecord]:
    """The record of a study, begun or continued, for as long as the context lasts.

    Args:
        storage: None for memory, a file path, a database URL, or an Optuna storage.
        study_name: the study's name in the storage.
        fits: the folder of checkpoints and lock; by default `<storage file>.fits`. Without it, checkpoints of a study
            in a database or in memory are kept in memory: it cannot be resumed.
        synchronous: "normal" survives a kill, "full" also a power failure.
        read_only: take no lock, write nothing; the study must exist.

    Raises:
        Locked: when another run is writing this study.
        ValueError, OSError: for a storage that is not ours, cannot be written, or (`read_only`) lacks the study.
    """
    with ExitStack() as stack:
        folder = _fits_folder(storage, study_name, fits)
        opened = open_storage(storage, synchronous=synchronous, read_only=read_only)
        if folder is not None and not read_only:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(Lock(folder / "lock"))
            remove_leftovers(folder)
        if not read_only:
            _create_study(opened, study_name)
        try:
            record = StudyRecord(opened, study_name, *_checkpoints(folder, durable=synchronous == "full"))
        except KeyError:
            names = ", ".join(repr(study.study_name) for study in opened.get_all_studies()) or "none"
            raise ValueError(f"{storage} holds no study named {study_name!r}; it holds: {names}") from None
        yield record


def _fits_folder(storage: Any, study_name: str, fits: str | os.PathLike[str] | None) -> Path | None:
    if fits is None:
        if not isinstance(storage, str | os.PathLike) or (isinstance(storage, str) and "://" in storage):
            return None
        fits = Path(storage).with_name(Path(storage).name + ".fits")
    return Path(fits) / quote(study_name, safe=" ")


def _checkpoints(folder: Path | None, durable: bool) -> tuple[Checkpoints, Checkpoints]:
    if folder is None:
        return MemoryCheckpoints(), MemoryCheckpoints()
    return FolderCheckpoints(folder, durable), FolderCheckpoints(folder / "refit", durable)


def _create_study(storage: BaseStorage, study_name: str) -> None:
    """Create the study where there is none; Optuna's remark about it is not for our users."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage.create_new_study([StudyDirection.MAXIMIZE], study_name)
    except optuna.exceptions.DuplicatedStudyError:
        pass
    finally:
        optuna.logging.set_verbosity(verbosity)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
