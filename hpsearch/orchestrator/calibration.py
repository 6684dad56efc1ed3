"""How long a plan may take: on this machine, by timing some of the configs for a moment each; or told at once, by the
operations it takes and a nominal rate."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.data.dataset import Dataset
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.orchestrator.learner import F, Learner
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Problem, trial_seed
from hpsearch.orchestrator.standing import Standing

N_TIMED = 4
SECONDS = 0.4
"""About so long each config is timed, unless its first epoch alone takes longer."""
MOST_ROWS = 5_000
"""A config is timed on so many training rows at most; its cost for all of them is known."""
OVERHEAD = 0.01
"""Seconds to write a model and its scores, at the end of each rung."""
NOMINAL_RATE = 1e11
"""Floating-point operations per second of training on one core, all that goes with it included."""
N_COUNTED = 32
"""Configs whose operations are counted."""
REFITTED_EPOCHS = 8
"""The members that are trained again on all rows, in epochs of the longest trials."""
SLACK = 1.25
"""The higher estimate is longer by this factor: for waiting at the ends of rungs, and for the ensemble."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of wall time: `low` if the trials that go on are cheap ones, `high` if they are costly ones."""

    low: float
    high: float


def nominal_seconds(problem: Problem[F], plan: Plan, n_workers: int, refit: bool) -> float:
    """Seconds for so many workers at `NOMINAL_RATE`, from the operations of configs over the whole space.

    refit: will the members be trained again on all rows?
    """
    drawing, learner, parts = problem.drawing, problem.learner, problem.dataset.parts
    configs = [drawing.space.draw(drawing.seed, 0, number) for number in range(N_COUNTED)]
    per_epoch = float(np.mean([sum(learner.cost(config, part) for part in parts) for config in configs]))
    n_epochs = plan.n_epochs + (REFITTED_EPOCHS * plan.max_epochs if refit else 0)
    return per_epoch * n_epochs / (NOMINAL_RATE * n_workers)


@dataclass(frozen=True)
class Pace:
    """Seconds of training per operation, as `Learner.cost` counts them, and per model at the end of a rung."""

    per_operation: float
    per_end: float


def seconds_of(problem: Problem[F], plan: Plan, n_workers: int) -> Estimate:
    """How long the whole plan may take with so many workers; takes a few seconds itself, and writes nothing.

    The first configs of the first stage are timed. The first rung costs what all of that stage's configs do; the trials
    that go on, and those of later stages, cost between the mean of the cheaper half of these configs and that of the
    costlier half. Other programs, ranges that move between stages, and the start of worker
    processes are not foreseen.
    """
    learner, parts = problem.learner, problem.dataset.parts
    proposal, _ = problem.drawing.begin()
    configs = problem.drawing.draw(proposal, 0, plan.stages[0].n_trials, Standing().table(plan))
    costs = np.array([sum(learner.cost(config, part) for part in parts) for config in configs])
    pace = _pace(problem, configs[:N_TIMED], plan.max_epochs)
    median = np.median(costs)
    mean, cheap, costly = costs.mean(), costs[costs <= median].mean(), costs[costs >= median].mean()
    low = high = 0.0
    for step in plan.steps():
        n_models = step.n_trained * len(parts)
        n_busy, is_first = max(1, min(n_workers, n_models)), step.stage == step.rung == 0
        training, ends = pace.per_operation * step.n_epochs, pace.per_end * n_models
        low += (ends + training * (mean if is_first else cheap)) / n_busy
        high += (ends + training * (mean if is_first else costly)) / n_busy
    return Estimate(float(low), float(SLACK * high))


def _pace(problem: Problem[F], configs: Sequence[Mapping[str, Any]], epochs: int) -> Pace:
    """That of these configs, trained for at most so many epochs."""
    learner, sample = problem.learner, _sample(problem.dataset.parts[0])
    training = ends = operations = 0.0
    with one_blas_thread():
        for number, config in enumerate(configs):
            fit, seconds = _trained(learner, sample, config, trial_seed(problem.seed, number), epochs)
            training += seconds
            ends += OVERHEAD + _seconds_of_end(learner, sample, fit)
            operations += learner.cost(config, sample)
    return Pace(training / operations, ends / len(configs))


def _trained(learner: Learner[F], sample: Dataset, config: Mapping[str, Any], seed: int, most: int) -> tuple[F, float]:
    """A fit, and its seconds per epoch: of one alone, or, where that is quick, of more, but no more than `most`."""

    def timed(epochs: int) -> tuple[F, float]:
        began = time.perf_counter()
        fit = learner.advance(learner.start([config], [seed]), sample, epochs, lambda: False)
        return fit, (time.perf_counter() - began) / max(1, int(fit.epochs[0]))

    fit, once = timed(1)
    more = min(most, int(SECONDS / once))
    return timed(more) if more > 1 else (fit, once)


def _seconds_of_end(learner: Learner[F], sample: Dataset, fit: F) -> float:
    """What it takes to predict the held-out rows, as for a score, and to turn the fit into what is kept."""
    began = time.perf_counter()
    if fit.outcomes[0] is None or not fit.outcomes[0].failed:
        for weights in learner.weights:
            learner.predict(fit, sample, sample.rows.heldout, weights)
        learner.save(fit)
    return time.perf_counter() - began


def _sample(part: Dataset) -> Dataset:
    """The dataset with rows at equal distances among its training and validation rows: of all classes, if sorted."""
    every = -(-len(part.rows.train) // MOST_ROWS)
    return replace(part, rows=replace(part.rows, train=part.rows.train[::every], valid=part.rows.valid[::every]))
