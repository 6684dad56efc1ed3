"""Runs that are kept: a contender's prediction of every test row of a set and seed, and what else is known of it.

Each is two files, `<contender>/<set>-<seed>.npz` and `.json`; the second is written last, so that it says "done".
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SMALLEST = 1e-9
"""Probabilities are clipped here, whoever gives them, float32 or float64: otherwise one sure error decides a set."""


@dataclass(frozen=True, eq=False)
class Run:
    """One contender on one set and seed.

    Attributes:
        predictions: probabilities (n_test, n_classes), or numbers (n_test,).
        targets: (n_test,) positions of the classes, or numbers.
        about: JSON, with the `seconds` of fitting.
    """

    contender: str
    set: str
    seed: int
    predictions: np.ndarray
    targets: np.ndarray
    about: dict

    @property
    def is_regression(self):
        return self.predictions.ndim == 1

    @cached_property
    def row_losses(self):
        """(n_test,) float64: log-losses, of probabilities of at least `SMALLEST`, or squared errors."""
        if self.is_regression:
            return np.square(self.predictions.astype(float) - self.targets)
        p = self.predictions / self.predictions.sum(axis=1, keepdims=True, dtype=float)
        return -np.log(np.maximum(p[np.arange(len(p)), self.targets], SMALLEST))

    @cached_property
    def row_hits(self):
        """(n_test,) float64: 1 where the most likely class is the right one."""
        return (self.predictions.argmax(axis=1) == self.targets).astype(float)

    @property
    def loss(self):
        """Log-loss, or RMSE."""
        return float(loss_of_mean(self.row_losses.mean(), self.is_regression))

    @property
    def accuracy(self):
        """A share; NaN for numbers."""
        return float("nan") if self.is_regression else float(self.row_hits.mean())


def loss_of_mean(mean, is_regression):
    """The loss, of the mean of the rows' losses."""
    return np.sqrt(mean) if is_regression else mean


def is_kept(folder, contender, name, seed):
    return _path(folder, contender, name, seed, "json").exists()


def keep(folder, run):
    """Write a run, each file at once or not at all."""
    path = _path(folder, run.contender, run.set, run.seed, "npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.part", "wb") as file:
        np.savez_compressed(file, predictions=run.predictions, targets=run.targets)
    os.replace(f"{path}.part", path)
    path = path.with_suffix(".json")
    scores = {"loss": run.loss, "accuracy": None if run.is_regression else run.accuracy}
    document = {"contender": run.contender, "set": run.set, "seed": run.seed} | scores | run.about
    with open(f"{path}.part", "w") as file:
        file.write(json.dumps(document, indent=1))
    os.replace(f"{path}.part", path)
    return document


def kept_runs(folder):
    """All runs in a folder."""
    return [_read(path) for path in sorted(folder.glob("*/*-*.json"))]


def _read(path):
    about = json.loads(path.read_text())
    with np.load(path.with_suffix(".npz")) as arrays:
        return Run(about["contender"], about["set"], about["seed"], arrays["predictions"], arrays["targets"], about)


def _path(folder, contender, name, seed, suffix):
    return folder / contender / f"{name}-{seed}.{suffix}"
