"""Halving alone, without narrowing: what is lost by not training every trial to its end, against the epochs spent.

    python scripts/bench_halving.py CURVES [--repetitions 100] [--metric cross_entropy] [--json FILE]

CURVES is a folder with `data.npz`: learning curves of the same 500 configs on 34 tasks over 52 epochs (LCBench, as the
surrogate of YAHPO Gym predicts them: without noise). A repetition draws configs with replacement, for every method the
same. Each method gets as many trials as the budget pays for. Training is resumed, never repeated, for all of them:

- `ours`: the stages of `Plan.of`, but for the last, which repeats the best trials with other seeds (there is no noise);
- `random search`: every trial to its end;
- `successive halving`: one bracket from the shortest rung, a third of it goes on (Jamieson and Talwalkar 2016), which
  is our `Plan.random`;
- `Hyperband`: brackets as Li et al. (2018) have them, one after the other until the budget is spent.

The shortest rung is of two epochs for all of them. A method ends with its incumbent: the trial with the best validation
score after the most epochs that any trial was trained. Its regret is by its config's score after the last epoch, on
validation or test rows, normalised per task: 0 for the best of the 500 configs, 1 for the median one.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch.orchestrator.halving import ETA, best, budgets, rungs
from hpsearch.orchestrator.plan import Plan

BUDGETS = (4, 6, 8, 12, 16, 20, 28, 36, 44, 56)
"""In trainings of one config to its end."""
MAX_TRIALS = 1_000
"""More than any budget pays for."""
SHORTEST = 2
"""Epochs of the shortest rung: 52 / 27."""


@dataclass(frozen=True)
class Task:
    """One task: `valid` (n_configs, n_epochs), greater is better; `regrets` by part of the rows, (n_configs,)."""

    number: int
    valid: np.ndarray
    regrets: dict[str, np.ndarray]


def read_tasks(folder: Path, metric: str) -> list[Task]:
    arrays = np.load(folder / "data.npz")
    sign = -1.0 if metric == "cross_entropy" else 1.0
    valid, test = (sign * arrays[f"{part}_{metric}"].astype(np.float64) for part in ("val", "test"))
    return [
        Task(place, valid[place], {"valid": regrets(valid[place, :, -1]), "test": regrets(test[place, :, -1])})
        for place in range(len(valid))
    ]


def regrets(scores: np.ndarray) -> np.ndarray:
    return (scores.max() - scores) / (scores.max() - np.median(scores))


def incumbent_of_plan(plan: Plan, values: np.ndarray) -> int:
    """The best of the trials that complete the plan. `values`: (n_trials, n_epochs), of the trials as they are drawn.

    As the one loop has it: survivors join where they stand, or are trained up to the rung.
    """
    waiting: dict[int, int] = {}
    completed: dict[int, float] = {}
    steps = plan.steps()
    for number, stage in enumerate(plan.stages):
        first, reached = plan.first_trial(number), 0
        alive = list(range(first, first + stage.n_trials))
        for rung in stage.rungs:
            joining = [trial for trial, epochs in waiting.items() if reached < epochs <= rung.epochs]
            alive += joining
            for trial in joining:
                del waiting[trial]
            contenders = {trial: values[trial, rung.epochs - 1] for trial in alive}
            assert len(contenders) == next(steps).n_contenders
            alive, reached = best(contenders, rung.keep), rung.epochs
        if plan.is_last_for(number, reached):
            completed.update({trial: contenders[trial] for trial in alive})
        else:
            waiting.update(dict.fromkeys(alive, reached))
    return best(completed, 1)[0]


def staged(n_trials: int, max_epochs: int) -> Plan:
    plan = Plan.of(n_trials, max_epochs, SHORTEST)
    return Plan(tuple(stage for stage in plan.stages if not stage.is_repeat))


def random_search(n_trials: int, max_epochs: int) -> Plan:
    return Plan.random(n_trials, max_epochs, min_epochs=max_epochs)


def successive_halving(n_trials: int, max_epochs: int) -> Plan:
    return Plan.random(n_trials, max_epochs, SHORTEST)


OURS, HYPERBAND = "ours", "Hyperband"
PLANS = {OURS: staged, "random search": random_search, "successive halving": successive_halving}


@cache
def affordable(method: str, epochs: int, max_epochs: int) -> Plan:
    """The method's plan of the most trials that cost no more than so many epochs."""
    plans = (PLANS[method](n_trials, max_epochs) for n_trials in range(MAX_TRIALS, 0, -1))
    return next(plan for plan in plans if plan.n_epochs <= epochs)


def hyperband(values: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Its trainings, for ever: epochs that one more of them costs, epochs that it reaches, trial."""
    max_epochs = values.shape[1]
    levels, first = budgets(max_epochs, SHORTEST), 0
    for skipped in cycle(range(len(levels))):
        longest = len(levels) - 1 - skipped
        n_trials = -(-len(levels) * ETA**longest // (longest + 1))
        alive, reached = list(range(first, first + n_trials)), 0
        for rung in rungs(n_trials, max_epochs, levels[skipped]):
            for trial in alive:
                yield rung.epochs - reached, rung.epochs, trial
            alive, reached = best({trial: values[trial, rung.epochs - 1] for trial in alive}, rung.keep), rung.epochs
        first += n_trials


def incumbents_of_hyperband(values: np.ndarray, spendable: Sequence[int]) -> list[int]:
    """The trials that are its incumbents when it has spent so many epochs, which rise."""
    found: list[int] = []
    spent, incumbent = 0, (0, -np.inf, -1)
    for cost, reached, trial in hyperband(values):
        spent += cost
        while spent > spendable[len(found)]:
            found.append(incumbent[-1])
            if len(found) == len(spendable):
                return found
        incumbent = max(incumbent, (reached, values[trial, reached - 1], trial))
    raise AssertionError("Hyperband has no end")


def run(task: Task, repetition: int, spendable: Sequence[int]) -> Iterator[dict[str, object]]:
    """One row per method and budget."""
    n_configs, max_epochs = task.valid.shape
    configs = np.random.default_rng([task.number, repetition]).integers(n_configs, size=MAX_TRIALS)
    values = task.valid[configs]
    found = {
        method: [incumbent_of_plan(affordable(method, epochs, max_epochs), values) for epochs in spendable]
        for method in PLANS
    }
    found[HYPERBAND] = incumbents_of_hyperband(values, spendable)
    for method, incumbents in found.items():
        for epochs, trial in zip(spendable, incumbents, strict=True):
            own = {part: regrets[configs[trial]] for part, regrets in task.regrets.items()}
            yield {"task": task.number, "repetition": repetition, "method": method, "epochs": epochs} | own


def summary(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Mean regrets by budget and method, and ours divided by the best rival's."""
    means = table.groupby(["epochs", "method"])[part].mean().unstack()[[*PLANS, HYPERBAND]]
    return means.assign(ratio=means[OURS] / means.drop(columns=OURS).min(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("curves", type=Path)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--metric", choices=["cross_entropy", "balanced_accuracy"], default="cross_entropy")
    parser.add_argument("--json", type=Path, help="write the means to this file")
    arguments = parser.parse_args()
    tasks = read_tasks(arguments.curves, arguments.metric)
    spendable = [trainings * tasks[0].valid.shape[1] for trainings in BUDGETS]
    rows = (
        row for task in tasks for repetition in range(arguments.repetitions) for row in run(task, repetition, spendable)
    )
    table = pd.DataFrame(rows)
    summaries = {part: summary(table, part) for part in ("valid", "test")}
    for part, means in summaries.items():
        print(f"\n{arguments.metric}, {part} rows: mean regret over {len(tasks)} tasks")
        print(means.round(4).to_string())
    if arguments.json:
        document = {part: means.to_dict("index") for part, means in summaries.items()}
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
