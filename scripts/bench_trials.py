"""What a trial costs besides its fit, and whether that grows: 10,000 trials of a trivial estimator, kept on disk.

    python scripts/bench_trials.py [--trials 10000] [--stage 100] [--json FILE]

`search`: a study in stages of --stage trials, ranges refined after each, in a storage file (WAL, NORMAL), one worker.
`sampler`: `CoarseToFineSampler` in an Optuna study in memory and in such a file. Time per trial over the first and
the last tenth, its ratio, and the growth of resident memory per trial over the last nine tenths.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
from sklearn.base import BaseEstimator, ClassifierMixin

import hpsearch
from hpsearch import LogUniform, Uniform, search
from hpsearch.orchestrator.halving import Rung
from hpsearch.orchestrator.plan import Plan, Stage


class Constant(ClassifierMixin, BaseEstimator):
    """Answers with one probability, whatever it is asked."""

    def __init__(self, rate=0.1, share=0.5, seconds=None):
        self.rate = rate
        self.share = share
        self.seconds = seconds

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-np.log10(self.rate) * self.share))
        return np.full((len(X), 2), [1 - p, p])


def resident():
    """Resident memory in kB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def of_search(n_trials, n_stage, folder):
    X, y = np.random.default_rng(0).standard_normal((60, 3)), np.arange(60) % 2
    stages = tuple(Stage(f"stage {n}", n_stage, (Rung(1, 1),)) for n in range(n_trials // n_stage))
    moments, memory, fits = [time.perf_counter()], [], []

    def note(record):
        moments.append(time.perf_counter())
        memory.append(resident())
        fits.append(sum(fold.fit_seconds for result in record.results for fold in result.folds))

    search(
        X, y, estimator=Constant(), space={"rate": LogUniform(1e-3, 1e3), "share": Uniform(0.0, 1.0)},
        plan=Plan(stages), storage=folder / "study.db", trusted=[f"{Constant.__module__}.Constant"], n_jobs=1,
        callbacks=[note], verbose=0,
    )  # fmt: skip
    return np.diff(moments) / n_stage * 1e3, np.array(memory), np.array(fits) / n_stage * 1e3


def of_sampler(n_trials, n_stage, storage):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, sampler=hpsearch.CoarseToFineSampler(seed=0))

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-3, 1e3, log=True)
        return abs(np.log10(rate)) + abs(trial.suggest_float("share", 0.0, 1.0) - 0.3)

    times, memory = [], []
    for _ in range(n_trials // n_stage):
        began = time.perf_counter()
        study.optimize(objective, n_trials=n_stage)
        times.append((time.perf_counter() - began) / n_stage * 1e3)
        memory.append(resident())
    return np.array(times), np.array(memory), np.zeros(len(times))


def row(name, times, memory, fits, n_stage):
    tenth = max(1, len(times) // 10)
    own = times - fits
    return {
        "what": name,
        "first [ms]": own[:tenth].mean(),
        "last [ms]": own[-tenth:].mean(),
        "ratio": own[-tenth:].mean() / own[:tenth].mean(),
        "fit [ms]": fits.mean(),
        "memory [kB/trial]": (memory[-1] - memory[tenth - 1]) / ((len(memory) - tenth) * n_stage),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--stage", type=int, default=100)
    parser.add_argument("--json", help="write the rows to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, n_stage = Path(name), arguments.stage
        measured = {
            "search, on disk": lambda: of_search(arguments.trials, n_stage, folder),
            "sampler, in memory": lambda: of_sampler(arguments.trials, n_stage, None),
            "sampler, on disk": lambda: of_sampler(
                arguments.trials, n_stage, hpsearch.open_storage(folder / "optuna.db")
            ),
        }
        for what, measure in measured.items():
            rows.append(row(what, *measure(), n_stage))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
