"""The record of a study: its trials in an `optuna.Study`, its checkpoints, and the lock of its one writer.

An `optuna.Study` knows what each trial drew and how it did; a user attribute of it holds the *identity* of the study
(`identity.py`). Everything else can be computed again from the checkpoints.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import optuna
import pandas as pd
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.mlp.outcome import Outcome
from hpsearch.record.checkpoints import Checkpoints, FolderCheckpoints, MemoryCheckpoints
from hpsearch.record.folder import remove_leftovers, sync_folder, writing_in_words
from hpsearch.record.identity import difference, keep_identity, refuse_checkpoints_of_others
from hpsearch.record.journal import check_storage, open_storage, study_file
from hpsearch.record.lock import Lock
from hpsearch.record.tables import decision_rows, decision_table
from hpsearch.space.space import Config, SearchSpace

Storage: TypeAlias = str | os.PathLike[str] | BaseStorage | None
"""Where a study is kept: a file, a database URL, a storage of Optuna, or memory."""

IDENTITY = "hpsearch"
PLAN = "plan"
SECONDS = "seconds"
VERSIONS = "versions"
REFITS = "refit"
DECIDED = "decided_{}"

Drawn: TypeAlias = tuple[int, Mapping[str, Any], int, int | None]
"""What is recorded of a trial when it is drawn: number, config, seed, and the trial it repeats, if it does."""

LONGEST_NAME = 255  # bytes of a file's name
STUDY_NAME_RULE = (
    f"printable text with more in it than dots and spaces, at most {LONGEST_NAME} bytes long as the name of a folder "
    "(where a letter beyond ASCII counts for 6 or more)"
)


class StudyRecord:
    """One study that is being written, or read. Made by `open_record`.

    Args:
        storage: where the `optuna.Study` lives.
        study_name: its name in there.
        folder: where its fits are kept, and below it (`refit`) those that were trained again on all rows; None for
            memory.
        durable: keep fits so that they survive a power failure.
        read_only: write nothing.
    """

    def __init__(
        self, storage: BaseStorage, study_name: str, folder: Path | None, *, durable: bool, read_only: bool
    ) -> None:
        self._storage, self._folder, self._read_only = storage, folder, read_only
        self._study_id = storage.get_study_id_from_name(study_name)
        self.study = optuna.load_study(storage=storage, study_name=study_name)
        self._trials: list[FrozenTrial] = []
        # what was written since trials were last read
        self._reported: set[tuple[int, int]] = set()
        self._ended: set[int] = set()
        self.checkpoints: Checkpoints = MemoryCheckpoints()
        self.refits: Checkpoints = MemoryCheckpoints()
        if folder is not None:
            self.checkpoints, self.refits = (FolderCheckpoints(path, durable) for path in (folder, folder / REFITS))

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
    def read_only(self) -> bool:
        """May nothing be written?"""
        return self._read_only

    @property
    def versions(self) -> dict[str, str]:
        """The versions of packages that the study was begun with, empty for one that is not begun."""
        versions: dict[str, str] = self.study.user_attrs.get(VERSIONS, {})
        return versions

    @versions.setter
    def versions(self, versions: Mapping[str, str]) -> None:
        self.study.set_user_attr(VERSIONS, dict(versions))

    @property
    def seconds(self) -> float:
        """Wall time of all runs so far, up to the last rung they finished; NaN if there was none."""
        return float(self.study.user_attrs.get(SECONDS, float("nan")))

    def add_seconds(self, seconds: float) -> None:
        """Add wall time of a run."""
        self.study.set_user_attr(SECONDS, self.study.user_attrs.get(SECONDS, 0.0) + seconds)

    def identify(self, identity: Mapping[str, Any]) -> None:
        """Record what the study and its checkpoints are about, or check that both are about the same.

        Checkpoints that outlived their study go on being used by one of the same identity: the bits are the same.

        Args:
            identity: JSON values by name, such as the data's fingerprint, the space, the seed. Their order decides
                which of several differences is named.

        Raises:
            ValueError: if the study, or the checkpoints in its folder, were begun with another identity, naming the
                first difference.
        """
        name, recorded = self.study.study_name, self.study.user_attrs.get(IDENTITY)
        if recorded is None and self.study.get_trials(deepcopy=False):
            raise ValueError(f"the study {name!r} was not made by hpsearch; choose another study_name")
        if recorded is not None and (other := difference(recorded, identity)):
            raise ValueError(
                f"the study {name!r} was begun with {other}; continue it with the same, or choose another study_name "
                "or storage"
            )
        if self._folder is not None:
            refuse_checkpoints_of_others(self._folder, identity)
        if recorded is None:
            self.study.set_user_attr(IDENTITY, dict(identity))
        if self._folder is not None and not self._read_only:
            keep_identity(self._folder, identity)

    def is_over(self, n_trials: int) -> bool:
        """Are there so many trials, and have all of them come to their end?"""
        trials = self.study.get_trials(deepcopy=False)
        return len(trials) == n_trials and all(trial.state.is_finished() for trial in trials)

    def has(self, number: int) -> bool:
        """Is this trial recorded already?"""
        return self._storage.get_n_trials(self._study_id) > number

    def add(self, stage: int, drawn: Sequence[Drawn], space: SearchSpace) -> None:
        """Record a stage's trials as RUNNING, in ascending order of their numbers; known ones are skipped."""
        distributions = space.to_optuna()
        known = self._storage.get_n_trials(self._study_id)
        for number, config, seed, repeats in drawn:
            if number >= known:
                values = space.optuna_values(config)
                trial = create_trial(
                    state=TrialState.RUNNING,
                    params=values,
                    distributions={name: distributions[name] for name in values},
                    user_attrs={"stage": stage, "seed": seed} | ({} if repeats is None else {"repeats": repeats}),
                )
                self._storage.create_new_trial(self._study_id, template_trial=trial)

    def configs(self, numbers: range, space: SearchSpace) -> list[Config]:
        """The configs of those of these trials that are recorded: the first ones, in their order."""
        trials = self.study.get_trials(deepcopy=False)[numbers.start : numbers.stop]
        return [space.from_optuna_values(trial.params) for trial in trials]

    def decide(self, stage: int, proposal: Mapping[str, Any], decisions: pd.DataFrame) -> None:
        """Record what was decided at the end of a stage: what the next one draws from, and the sentences."""
        decided = {"proposal": proposal, "decisions": decision_rows(decisions)}
        self.study.set_user_attr(DECIDED.format(stage), decided)

    def decided(self, stage: int) -> tuple[dict[str, Any], pd.DataFrame] | None:
        """What was decided at the end of a stage, as it was given to `decide`; None if nothing is recorded."""
        # not `study.user_attrs`, which copies what all stages decided
        decided = self._storage.get_study_user_attrs(self._study_id).get(DECIDED.format(stage))
        return None if decided is None else (decided["proposal"], decision_table(decided["decisions"]))

    def report(self, number: int, epochs: int, value: float) -> None:
        """Record a trial's value after `epochs` epochs; what is recorded already is not written again."""
        trial = self._known(number)
        if epochs not in trial.intermediate_values and (number, epochs) not in self._reported:
            self._storage.set_trial_intermediate_value(trial._trial_id, epochs, value)
            self._reported.add((number, epochs))

    def finish(self, number: int, state: str, epochs: int, value: float | None, outcome: Outcome) -> None:
        """Record the end of a trial: its state ("COMPLETE", "PRUNED" or "FAIL"), last value and outcome, once.

        `epochs`: of the rung; a trial that ended earlier by itself has its own, `outcome.epoch`, recorded too.
        """
        trial = self._known(number)
        if trial.state.is_finished() or number in self._ended:
            return
        self._ended.add(number)
        facts: dict[str, Any] = {}
        if value is None:
            facts = {"outcome": outcome.name, "advice": outcome.sentence}
        else:
            self.report(number, epochs, value)
        if value is None or outcome.epoch < epochs:
            facts["epochs"] = outcome.epoch
        if outcome.traceback:
            facts["traceback"] = outcome.traceback
        for name, fact in facts.items():
            self._storage.set_trial_user_attr(trial._trial_id, name, fact)
        self._storage.set_trial_state_values(trial._trial_id, TrialState[state], None if value is None else [value])

    def _known(self, number: int) -> FrozenTrial:
        """A trial as it was when trials were last read: we are their only writer."""
        if number >= len(self._trials):
            self._trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return self._trials[number]


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
        fits: the folder of checkpoints; by default `<storage file>.fits`. It is created, but not the folder it lies in.
            Without it, checkpoints of a study in a database or in memory are kept in memory: it cannot be continued.
            The lock is in there, and beside a storage file always; with neither, nothing keeps a second writer away.
        synchronous: "normal" survives a kill, "full" also a power failure.
        read_only: take no lock, write nothing; the study must exist.

    Raises:
        Locked: when another run is writing this study; then nothing was created or changed.
        ValueError: for a name that cannot name a study, a storage file that is not ours (nothing is created), a study
            whose values are not to be maximised, one that cannot be continued without `fits`, or (`read_only`) one
            that is not there.
        OSError: for what cannot be written, naming the folder.
    """
    check_storage(storage, synchronous)
    if not can_name_a_study(study_name):
        raise ValueError(f"study_name must be {STUDY_NAME_RULE}, but got {study_name!r}")
    folder, durable = _fits_folder(storage, study_name, fits), synchronous == "full"
    with ExitStack() as stack:
        if not read_only:
            folders = {place for place in (folder, _fits_folder(storage, study_name)) if place is not None}
            for place in sorted(folders):
                _create_folder(place)
                stack.enter_context(Lock(place / "lock"))
            _remove_leftovers(storage, folder)
        opened = open_storage(storage, synchronous=synchronous, read_only=read_only)
        if isinstance(opened, RDBStorage) and opened is not storage:
            stack.callback(_disconnect, opened)
        if not read_only:
            _create_study(opened, study_name)
        try:
            record = StudyRecord(opened, study_name, folder, durable=durable, read_only=read_only)
        except KeyError:
            names = ", ".join(repr(study.study_name) for study in opened.get_all_studies()) or "none"
            raise ValueError(f"{storage} holds no study named {study_name!r}; it holds: {names}") from None
        _refuse_other_directions(record.study)
        if folder is None and storage is not None and not read_only:
            _check_is_new(record)
        yield record


def study_names(file: str | os.PathLike[str]) -> list[str]:
    """The names of the studies in a study file, none where there is no file; nothing is written.

    Raises ValueError and OSError as `open_storage` does.
    """
    if not os.path.exists(file):
        return []
    return [study.study_name for study in open_storage(file, read_only=True).get_all_studies()]


def can_name_a_study(name: object) -> bool:
    """Does `STUDY_NAME_RULE` hold? A study's name is that of a folder too."""
    if not isinstance(name, str) or not name.isprintable() or not name.strip(". "):
        return False
    return len(_folder_name(name)) <= LONGEST_NAME


def _folder_name(study_name: str) -> str:
    return quote(study_name, safe=" ")


def _fits_folder(storage: Any, study_name: str, fits: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder of one study in `fits`, by default beside the storage file, wherever links to it lie."""
    file = study_file(storage)
    if fits is None:
        return None if file is None else _beside(file.resolve()) / _folder_name(study_name)
    if not isinstance(fits, str | os.PathLike):
        raise ValueError(f"fits must be None or the path of a folder, but got {fits!r}")
    return Path(fits).resolve() / _folder_name(study_name)


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.fits")


def _remove_leftovers(storage: Any, folder: Path | None) -> None:
    """Delete what killed writers left behind; the lock must be held."""
    if (file := study_file(storage)) is not None:
        remove_leftovers(file.resolve().parent, file.resolve().name)
    for place in () if folder is None else (folder, folder / REFITS):
        if place.is_dir():
            remove_leftovers(place)


def _create_folder(folder: Path) -> None:
    """Create the folder of one study in that of all studies; both are there for good when this returns."""
    for path in (folder.parent, folder):
        if not path.is_dir():
            with writing_in_words(path):
                path.mkdir(exist_ok=True)
                sync_folder(path.parent)


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


def _disconnect(storage: RDBStorage) -> None:
    """Close the connections to a database, which SQLAlchemy would keep for later."""
    storage.remove_session()
    storage.engine.dispose()


def _check_is_new(record: StudyRecord) -> None:
    """ValueError if a study that is opened without the checkpoints of its trials was planned before; else a warning."""
    if record.plan is not None:
        raise ValueError(
            f"the study {record.study.study_name!r} cannot be continued without its checkpoints, which are not in the "
            "storage; pass fits=, the folder that keeps them (in a new one, its trials are trained again), or choose "
            "another study_name"
        )
    warnings.warn(
        f"the study {record.study.study_name!r} cannot be continued later, for its checkpoints are kept in memory; "
        "pass fits=, a folder for them",
        UserWarning,
        stacklevel=2,
    )


def _refuse_other_directions(study: optuna.Study) -> None:
    """ValueError unless the study has one value per trial, of which greater is better."""
    if study.directions != [StudyDirection.MAXIMIZE]:
        found = ", ".join(direction.name.lower() for direction in study.directions)
        raise ValueError(
            f"the study {study.study_name!r} must have the direction maximize, for the values of hpsearch are greater "
            f"where they are better, but has {found}; choose another study_name"
        )
