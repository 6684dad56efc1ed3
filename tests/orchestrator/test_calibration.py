"""Estimates of time: of the right size, in proportion to the work, for any learner, and without a trace."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_wine

from hpsearch.data.dataset import Dataset
from hpsearch.orchestrator.calibration import MOST_ROWS, OVERHEAD, SLACK, seconds_of
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.run import Problem
from hpsearch.space.distributions import Choice
from hpsearch.study import Study

SECONDS = 2e-6
"""What a row takes the sleeper in an epoch, per unit of its width."""
PREDICTING, SAVING = 0.01, 0.03


@dataclass(frozen=True)
class Asleep:
    """A fit of one model that has slept for so many epochs."""

    outcomes = (None,)
    width: int
    epochs: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))


class Sleeper:
    """A learner that takes exactly as long as it says: `width` times the rows, and learns nothing meanwhile."""

    weights = ("raw",)

    def __init__(self) -> None:
        self.most_rows = 0

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        return float(config["hidden_layer_sizes"][0] * len(dataset.rows.train))

    def start(self, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> Asleep:
        return Asleep(configs[0]["hidden_layer_sizes"][0])

    def advance(self, fit: Asleep, dataset: Dataset, epochs: int, should_stop: Callable[[], bool]) -> Asleep:
        self.most_rows = max(self.most_rows, len(dataset.rows.train))
        time.sleep(SECONDS * fit.width * len(dataset.rows.train) * (epochs - int(fit.epochs[0])))
        return replace(fit, epochs=np.array([epochs]))

    def predict(self, fit: Asleep, dataset: Dataset, rows: NDArray[np.int64], weights: str) -> None:
        time.sleep(PREDICTING)

    def save(self, fit: Asleep) -> None:
        time.sleep(SAVING)


def problem(widths: Sequence[int] = (8, 16), n_rows: int = 178, **changes: Any) -> Problem[Any]:
    X, y = load_wine(return_X_y=True)
    rows = np.arange(n_rows) % len(X)
    space = {"hidden_layer_sizes": Choice([(width,) for width in widths]), "batch_size": 32}
    found = Study.of(X[rows], y[rows], title="wine", space=space, max_epochs=9, **{"cv": 1} | changes).problem
    return replace(found, learner=Sleeper())


def test_of_a_learner_that_takes_as_long_as_it_says() -> None:
    plan = Plan.random(9, 9)
    asked = problem(widths=[100])
    work = SECONDS * 100 * len(asked.dataset.rows.train) * plan.n_epochs
    models = sum(step.n_trained for step in plan.steps())
    estimate = seconds_of(asked, plan, 1)
    assert 0.9 < estimate.low / (work + (OVERHEAD + PREDICTING + SAVING) * models) < 2
    assert estimate.high == pytest.approx(SLACK * estimate.low)


def test_survivors_may_be_cheap_or_costly() -> None:
    plan = Plan.of(48, 27)
    estimate = seconds_of(problem(widths=[10, 200]), plan, 1)
    alike = seconds_of(problem(widths=[200]), plan, 1)
    assert estimate.low < 0.6 * estimate.high
    assert estimate.high < 1.3 * alike.high


def test_workers_share_the_work_but_not_a_single_model() -> None:
    plan = Plan.random(9, 9)
    one, two, many = (seconds_of(problem(widths=[200]), plan, n_workers).low for n_workers in (1, 2, 100))
    assert 0.5 * one < two < 0.9 * one
    last = 6 * SECONDS * 200 * len(problem().dataset.rows.train)
    assert last < many < two


def test_folds_are_trained_each() -> None:
    plan = Plan.random(9, 9)
    one, three = (seconds_of(problem(widths=[200], cv=cv), plan, 1).low for cv in (1, 3))
    assert three > 2 * one


def test_many_rows_are_timed_in_part() -> None:
    asked = problem(widths=[1], n_rows=4 * MOST_ROWS)
    estimate = seconds_of(asked, Plan.random(3, 3), 1)
    assert asked.learner.most_rows <= MOST_ROWS < len(asked.dataset.rows.train)
    assert estimate.low > 3 * SECONDS * len(asked.dataset.rows.train)


def test_of_the_engine_and_of_configs_that_diverge() -> None:
    X, y = load_wine(return_X_y=True)
    for rate in (1e-3, 1e20):
        asked = Study.of(X, y, title="wine", space={"learning_rate_init": rate}, max_epochs=9).problem
        estimate = seconds_of(asked, Plan.random(9, 9), 2)
        assert 0 < estimate.low <= estimate.high < 60
