"""Narrowing and widening on tables of real MLP scores: against random search and TPE, and from misplaced ranges.

    python scripts/bench_refine.py DATA [--quick] [--repetitions 100] [--tpe 20] [--json FILE]

DATA is the folder `hpobench_mlp`: eight tasks, a grid of 30,000 configurations, five seeds. A draw is snapped to the
nearest point of the grid and scores there what one seed scored, the same for a whole study; stages are batches of 16.
Regret: of the true mean over the seeds of the config with the best score, 0 for the best config, 1 for the median one.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from hpsearch.space.cloud import most_credible
from hpsearch.space.distributions import Integer, LogUniform
from hpsearch.space.edges import EDGE
from hpsearch.space.proposal import Proposal
from hpsearch.space.refine import refine
from hpsearch.space.space import SearchSpace

BATCH = 16
BUDGETS = (64, 128)
WHATS = ("64", "128", "64 credible", "128 credible", "64 re-scored", "128 re-scored")
N_SEEDS = 5

# Re-scoring: so many of the best, each with the four other seeds, counted as trials.
N_RESCORED = 5

# Regret that a cut must cost, or the end of a range be worse by, to be worth a word.
COST = 0.1


class Task:
    """The scores of one data set."""

    def __init__(self, name, scores, levels):
        self.name, self.levels = name, levels
        self.scores = scores.astype(float).reshape(*map(len, levels.values()), N_SEEDS)
        mean = self.scores.mean(axis=-1)
        self.regret = (mean.max() - mean) / (mean.max() - np.median(mean))
        self.best = dict(zip(levels, np.unravel_index(self.regret.argmin(), self.regret.shape), strict=True))

    def point(self, config):
        """The index of the nearest point of the grid; distances of all but `depth` are measured in logarithms."""
        return tuple(
            int(np.abs(np.log(levels) - np.log(config[name])).argmin()) for name, levels in self.levels.items()
        )

    def profile(self, name):
        """The regret of the best config with each level of a hyperparameter."""
        axis = list(self.levels).index(name)
        return self.regret.min(axis=tuple(other for other in range(self.regret.ndim) if other != axis))


def load(folder):
    levels = json.loads((folder / "SOURCE.json").read_text())["search_space"]
    levels = {name: np.array(values) for name, values in levels.items()}
    with np.load(folder / "data.npz") as data:
        return [Task(name, data[name], levels) for name in data.files]


def space_of(task, ranges=None):
    """The whole grid as a space, or with some ranges cut, which may grow to it."""
    distributions = {}
    for name, levels in task.levels.items():
        whole = levels[[0, -1]].tolist()
        low, high = (ranges or {}).get(name, whole)
        if name in ("alpha", "learning_rate_init"):
            distributions[name] = LogUniform(low, high, limits=tuple(whole))
        else:
            distributions[name] = Integer(int(low), int(high), log=name != "depth", limits=tuple(map(int, whole)))
    return SearchSpace(distributions)


class Scores:
    """The trials of one study of a task, scored by one seed."""

    def __init__(self, task, repetition):
        self.task, self.seed = task, repetition % N_SEEDS
        self.points, self.values, self.rows = [], [], []

    def score(self, config, stage):
        point = self.task.point(config)
        self.points.append(point)
        self.values.append(self.task.scores[(*point, self.seed)])
        row = {f"params_{name}": value for name, value in config.items()}
        self.rows.append({"number": len(self.rows), "stage": stage, "epochs": 1, "value": self.values[-1], **row})
        return self.values[-1]

    def regret(self, n_trials):
        """That of the best by score among the first trials."""
        return self.task.regret[self.points[int(np.argmax(self.values[:n_trials]))]]

    def credible_regret(self, n_trials):
        """That of the most credible of the first trials, as the search would train it again first."""
        (best, *_) = most_credible(pd.DataFrame(self.rows[:n_trials]), space_of(self.task))
        return self.task.regret[self.points[best]]

    def rescored_regret(self, n_trials):
        """That of the best by the mean over all seeds, of the N_RESCORED most credible points."""
        n_scored = n_trials - N_RESCORED * (N_SEEDS - 1)
        best_first = most_credible(pd.DataFrame(self.rows[:n_scored]), space_of(self.task))
        points = list(dict.fromkeys(self.points[n] for n in best_first))[:N_RESCORED]
        return min((-self.task.scores[point].mean(), self.task.regret[point]) for point in points)[1]


def ours(space, scores, seed, n_trials):
    """Coarse to fine, in stages of BATCH; returns all decisions."""
    proposal, decisions = Proposal.of(space), []
    for stage in range(n_trials // BATCH):
        for config in proposal.draw(seed, stage, BATCH):
            scores.score(config, stage)
        proposal, decided = refine(pd.DataFrame(scores.rows), proposal, stage)
        decisions.append(decided)
    return pd.concat(decisions)


def random_search(space, scores, seed, n_trials):
    for number in range(n_trials):
        scores.score(space.draw(seed, 0, number), 0)


def tpe(batch):
    def search(space, scores, seed, n_trials):
        sampler = optuna.samplers.TPESampler(multivariate=True, seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(n_trials // batch):
            trials = [study.ask(space.to_optuna()) for _ in range(batch)]
            for trial in trials:
                study.tell(trial, scores.score(trial.params, 0))

    return search


def race(tasks, contenders, repetitions):
    """Contender → regrets (task, repetition, WHATS)."""
    regrets = defaultdict(list)
    for name, (search, n_repetitions) in contenders.items():
        started = time.perf_counter()
        for place, task in enumerate(tasks):
            space = space_of(task)
            for repetition in range(min(n_repetitions, repetitions)):
                scores = Scores(task, repetition)
                search(space, scores, 1000 * place + repetition, max(BUDGETS))
                kinds = scores.regret, scores.credible_regret, scores.rescored_regret
                regrets[name].append([regret(n) for regret in kinds for n in BUDGETS])
        regrets[name] = np.reshape(regrets[name], (len(tasks), -1, len(WHATS)))
        print(f"# {name}: {time.perf_counter() - started:.0f} s", flush=True)
    return regrets


def race_table(regrets):
    """Mean regret and its ratio to random search's in the same repetitions, with a bootstrapped standard error."""
    rows = []
    rng = np.random.default_rng(0)
    for name, found in regrets.items():
        against = regrets["random"][:, : found.shape[1]]
        draws = rng.integers(found.shape[1], size=(500, found.shape[1]))
        for column, what in enumerate(WHATS):
            ratio = found[..., column].mean() / against[..., column].mean()
            spread = np.std([found[:, d, column].mean() / against[:, d, column].mean() for d in draws])
            by_task = (found[..., column].mean(axis=1) / against[..., column].mean(axis=1)).round(2).tolist()
            rows.append(
                {"contender": name, "trials": what, "repetitions": found.shape[1], "regret": found[..., column].mean(),
                 "ratio": ratio, "error": spread, "by_task": by_task}
            )  # fmt: skip
    return pd.DataFrame(rows)


def cuts(task):
    """(name, side) → range left and what the cut costs, where the half without the best level is kept."""
    for name, levels in task.levels.items():
        half, best = len(levels) // 2, task.best[name]
        for side in ("low", "high"):
            left = slice(len(levels) - max(half, 2), None) if side == "low" else slice(0, max(half, 2))
            if best not in range(len(levels))[left]:
                yield name, side, levels[left][[0, -1]].tolist(), float(task.profile(name)[left].min())


def misplaced(tasks, repetitions):
    """A row per cut worth a word: how often it was named, and the final regret against the well-placed start's."""
    rows = []
    for task in tasks:
        well = np.mean([_study(task, None, r)[1] for r in range(repetitions)])
        for name, side, left, cost in cuts(task):
            if cost < COST:
                continue
            studies = [_study(task, {name: left}, r) for r in range(repetitions)]
            named = np.mean([(name, side) in alarms for alarms, _ in studies])
            regret = np.mean([regret for _, regret in studies])
            rows.append({"task": task.name, "name": name, "side": side, "cost": cost, "named": named,
                         "regret": regret, "well_placed": well, "ratio": regret / well})  # fmt: skip
    return pd.DataFrame(rows)


def false_alarms(tasks, repetitions):
    """A row per side of the whole grid that is well placed or of a flat hyperparameter: how often it is an edge."""
    rows = []
    for task in tasks:
        alarms = [_study(task, None, r)[0] for r in range(repetitions)]
        for name in task.levels:
            profile = task.profile(name)
            for side, end in (("low", profile[0]), ("high", profile[-1])):
                flat = profile.max() < COST
                kind = "flat" if flat else "well placed" if end >= COST else "best near the end"
                rate = np.mean([(name, side) in found for found in alarms])
                rows.append({"task": task.name, "name": name, "side": side, "end_regret": end, "kind": kind,
                             "alarms": rate})  # fmt: skip
    return pd.DataFrame(rows)


def _study(task, ranges, repetition):
    scores = Scores(task, repetition)
    decisions = ours(space_of(task, ranges), scores, repetition, max(BUDGETS))
    edges = decisions[decisions["verdict"] == EDGE]
    return set(zip(edges["name"], edges["side"], strict=True)), scores.regret(max(BUDGETS))


def refine_seconds(n_trials=10_000, n_hyperparameters=10):
    """The time of one `refine` of many trials."""
    space = SearchSpace({f"rate_{i}": LogUniform(1e-4, 1e-1) for i in range(n_hyperparameters)})
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({f"params_{name}": 10 ** rng.uniform(-4, -1, n_trials) for name in space.distributions})
    trials = trials.assign(number=range(n_trials), stage=0, epochs=1, value=rng.standard_normal(n_trials))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        refine(trials, Proposal.of(space), 0)
        times.append(time.perf_counter() - started)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--tpe", type=int, default=20, help="repetitions of TPE, which is slow")
    parser.add_argument("--quick", action="store_true", help="few repetitions, no TPE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pd.set_option("display.width", 200, "display.max_rows", 200, "display.max_columns", 20, "display.max_colwidth", 80)
    repetitions, n_tpe = (5, 0) if arguments.quick else (arguments.repetitions, arguments.tpe)
    tasks = load(arguments.data)
    contenders = {"random": (random_search, repetitions), "ours": (ours, repetitions)}
    if n_tpe:
        contenders |= {"TPE, one by one": (tpe(1), n_tpe), "TPE, batches of 16": (tpe(BATCH), n_tpe)}
    found = {
        "race": race_table(race(tasks, contenders, repetitions)),
        "misplaced": misplaced(tasks, max(2, repetitions // 5)),
        "false alarms": false_alarms(tasks, repetitions),
    }
    for name, table in found.items():
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")
    seconds = refine_seconds()
    print(f"\nrefine, 10,000 trials × 10 hyperparameters: {1000 * seconds:.1f} ms")
    if arguments.json:
        tables = {name: table.to_dict("records") for name, table in found.items()}
        arguments.json.write_text(json.dumps(tables | {"refine_seconds": seconds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
