"""How long a plan may take on this machine: some of the configs that would be drawn first, timed for a moment each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.data.dataset import Dataset
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.orchestrator.learner import F, Learner
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Problem, Standing, trial_seed

N_TIMED = 4
SECONDS = 0.4
"""About so long each config is timed, unless its first epoch alone takes longer."""
MOST_ROWS = 5_000
"""A config is timed on so many training rows at most; its cost for all of them is known."""
OVERHEAD = 0.01
"""Seconds to score a model and to keep it, at the end of each rung."""
SLACK = 1.25
"""The higher estimate is longer by this factor: for waiting at the ends of rungs, and for the ensemble."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of wall time: `low` if the trials that go on are cheap ones, `high` if they are costly ones."""

    low: float
    high: float


def seconds_of(problem: Problem[F], plan: Plan, n_workers: int) -> Estimate:
    """How long the whole plan may take with so many workers; takes a few seconds itself, and writes nothing.

    The first configs of the first stage are timed, which gives seconds per operation as `Learner.cost` counts them. The
    first rung costs what all of its configs do; the trials that go on, and those of later stages, cost between the mean
    of the cheaper half of these configs and that of the costlier half. Other programs, and ranges that move between
    stages, are not foreseen.
    """
    learner, parts = problem.learner, problem.dataset.parts
    proposal, _ = problem.drawing.begin()
    configs = problem.drawing.draw(proposal, 0, plan.stages[0].n_trials, Standing().table(plan))
    costs = np.array([sum(learner.cost(config, part) for part in parts) for config in configs])
    pace = _seconds_per_operation(problem, configs[:N_TIMED], plan.max_epochs)
    median = np.median(costs)
    mean, cheap, costly = costs.mean(), costs[costs <= median].mean(), costs[costs >= median].mean()
    low = high = 0.0
    for step in plan.steps():
        n_models = step.n_trained * len(parts)
        seconds, is_first = pace * step.n_epochs / max(1, min(n_workers, n_models)), step.stage == step.rung == 0
        low += OVERHEAD * n_models + seconds * (mean if is_first else cheap)
        high += OVERHEAD * n_models + seconds * (mean if is_first else costly)
    return Estimate(float(low), float(SLACK * high))


def _seconds_per_operation(problem: Problem[F], configs: Sequence[Mapping[str, Any]], epochs: int) -> float:
    """Seconds over the operations they were for, of these configs trained for at most so many epochs."""
    learner, sample = problem.learner, _sample(problem.dataset.parts[0])
    seconds = operations = 0.0
    with one_blas_thread():
        for number, config in enumerate(configs):
            seed = trial_seed(problem.seed, number)
            seconds += _seconds_per_epoch(learner, sample, config, seed, epochs)
            operations += learner.cost(config, sample)
    return seconds / operations


def _seconds_per_epoch(learner: Learner[F], sample: Dataset, config: Mapping[str, Any], seed: int, most: int) -> float:
    """From one epoch alone, or, where that is quick, from more of them, but no more than `most`."""

    def timed(epochs: int) -> float:
        began = time.perf_counter()
        fit = learner.advance(learner.start([config], [seed]), sample, epochs, lambda: False)
        return (time.perf_counter() - began) / max(1, int(fit.epochs[0]))

    once = timed(1)
    more = min(most, int(SECONDS / once))
    return timed(more) if more > 1 else once


def _sample(part: Dataset) -> Dataset:
    """The dataset with rows at equal distances among its training and validation rows: of all classes, if sorted."""
    every = -(-len(part.rows.train) // MOST_ROWS)
    return replace(part, rows=replace(part.rows, train=part.rows.train[::every], valid=part.rows.valid[::every]))
