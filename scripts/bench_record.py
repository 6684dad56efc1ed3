"""What it costs to keep a search: trials in each kind of storage, reopening, checkpoints.

    python scripts/bench_record.py --trials 1000

The files are written in a temporary folder; TMPDIR chooses the disk, and fsyncs depend on it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpsearch.record.checkpoints import Checkpoints, FolderCheckpoints, MemoryCheckpoints
from hpsearch.record.journal import open_storage

N_REOPENED = 1200  # at least
DISTRIBUTIONS: dict[str, BaseDistribution] = dict.fromkeys("abcd", FloatDistribution(1e-5, 1.0, log=True))
PARAMS = dict.fromkeys(DISTRIBUTIONS, 0.01)


def storages(folder: Path) -> dict[str, Callable[[], BaseStorage]]:
    """The kinds of storage by name, each opened anew by its function."""
    return {
        "in memory": partial(open_storage, None),
        "study file, synchronous=normal": partial(open_storage, folder / "normal.db"),
        "study file, synchronous=full": partial(open_storage, folder / "full.db", synchronous="full"),
        "Optuna, sqlite:///": partial(open_storage, f"sqlite:///{folder}/optuna.db"),
        "Optuna, JournalFile": lambda: JournalStorage(JournalFileBackend(str(folder / "optuna.journal"))),
    }


def add_trial(storage: BaseStorage, study_id: int) -> None:
    """One trial as a search keeps it: created, two rungs, one attribute, finished."""
    running = create_trial(state=TrialState.RUNNING, params=PARAMS, distributions=DISTRIBUTIONS)
    trial_id = storage.create_new_trial(study_id, running)
    for step in (1, 3):
        storage.set_trial_intermediate_value(trial_id, step, 0.5)
    storage.set_trial_user_attr(trial_id, "outcome", "finished")
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Mean time of one call."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times * 1e3


def bench_trials(folder: Path, n_trials: int) -> None:
    n_kept = max(n_trials, N_REOPENED)
    print(f"\n{'storage':32} {f'ms per trial, {n_trials} trials':>26} {f'ms to reopen {n_kept} trials':>26}")
    for name, opened in storages(folder).items():
        storage = opened()
        study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "timed")
        adding = milliseconds(partial(add_trial, storage, study_id), n_trials)
        for _ in range(n_kept - n_trials):
            add_trial(storage, study_id)
        reopening = "" if name == "in memory" else f"{milliseconds(partial(reopen, opened), 3):.1f}"
        print(f"{name:32} {adding:26.3f} {reopening:>26}")


def reopen(opened: Callable[[], BaseStorage]) -> None:
    storage = opened()
    storage.get_all_trials(storage.get_study_id_from_name("timed"), deepcopy=False)


def bench_checkpoints(folder: Path, times: int = 200) -> None:
    generator = np.random.default_rng(0)
    tensors: dict[str, NDArray[Any]] = {
        name: generator.standard_normal(26_000).astype(np.float32) for name in ("w", "g", "m", "v", "ema")
    }
    tensors["history"] = generator.standard_normal((200, 3))
    kinds: dict[str, Checkpoints] = {
        "in memory": MemoryCheckpoints(),
        "folder": FolderCheckpoints(folder / "fits"),
        "folder, durable": FolderCheckpoints(folder / "durable", durable=True),
    }
    size = sum(tensor.nbytes for tensor in tensors.values())
    print(f"\n{f'checkpoints of {size:,} bytes':32} {'ms to save':>26} {'ms to load':>26}")
    for name, checkpoints in kinds.items():
        saving = milliseconds(partial(checkpoints.save, 0, 1, tensors, {"epoch": 1}), times)
        loading = milliseconds(partial(checkpoints.load, 0, 1), times)
        print(f"{name:32} {saving:26.3f} {loading:26.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="trials to time in each storage")
    arguments = parser.parse_args()
    optuna.logging.disable_default_handler()
    with tempfile.TemporaryDirectory() as folder:
        bench_trials(Path(folder), arguments.trials)
        bench_checkpoints(Path(folder))


if __name__ == "__main__":
    main()
