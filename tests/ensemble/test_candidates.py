"""The final candidates: which one is best is said by other seeds too, and what it is worth by other rows."""

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.dataset import prepare
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.candidates import COLUMNS, Candidates
from hpsearch.mlp.outcome import diverged
from hpsearch.orchestrator.halving import Rung
from hpsearch.orchestrator.plan import REPEAT, Plan, Stage
from hpsearch.orchestrator.records import RungRecord
from tests.ensemble.test_average import made_up

PLAN = Plan((Stage("fine", 4, (Rung(3, 3), Rung(9, 3))), Stage(REPEAT, 4, (Rung(9, 4),))))


@pytest.fixture(scope="module")
def dataset():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 3))
    return prepare(X, (X[:, 0] > 0).astype(int), random_state=0)


def result(dataset, number, value, repeats=None, certainty=0.8):
    right = dataset.targets[dataset.rows.heldout]
    predictions = (certainty * right + (1 - certainty) / 2).astype(np.float32)
    made = made_up(number, {"raw": value, "ema": value}, {"raw": predictions, "ema": predictions})
    return replace(made, repeats=repeats)


def record(stage, rung, *results):
    return RungRecord(stage, rung, PLAN.stages[stage].rungs[rung].epochs, results, (0, 1, 2, 4, 5, 6, 7), True)


def test_the_best_is_the_best_over_its_seeds(dataset):
    candidates = Candidates(PLAN)
    candidates.add(record(0, 0, *(result(dataset, number, -0.9) for number in range(4))))
    candidates.add(record(0, 1, *(result(dataset, number, -0.1 * (number + 1)) for number in range(3))))
    lucky = [result(dataset, 4, -0.8, 0), result(dataset, 6, -0.9, 0)]
    steady = [result(dataset, 5, -0.2, 1), result(dataset, 7, -0.2, 1)]
    candidates.add(record(1, 0, *lucky, *steady))
    table = candidates.best(dataset, Scorer.of(None, dataset.target))
    assert list(table.columns) == list(COLUMNS)
    assert table["trial_number"].tolist() == [1, 0, 2], "those without other seeds come last"
    best = table.iloc[0]
    assert best["value"] == pytest.approx(-0.2) and best["deviation"] == pytest.approx(0.0)
    assert table["n_seeds"].tolist() == [3, 3, 1]
    # certainty 0.8 of two classes: the true class has probability 0.9 on every row
    assert best["honest_value"] == pytest.approx(np.log(0.9), rel=1e-5)
    assert best["gap"] == pytest.approx(-0.2 - np.log(0.9), rel=1e-5)
    assert candidates.config(1) == {"dropout": 0.1}


def test_a_candidate_that_fails_with_another_seed_comes_after_those_that_do_not(dataset):
    candidates = Candidates(PLAN)
    candidates.add(record(0, 1, *(result(dataset, number, -0.1 * (number + 1)) for number in range(3))))
    failed = replace(result(dataset, 4, np.nan, 0), predictions={}, outcome=diverged(2, np.nan, 0.1))
    candidates.add(record(1, 0, failed, result(dataset, 6, -0.1, 0), result(dataset, 5, -0.2, 1)))
    table = candidates.best(dataset, Scorer.of(None, dataset.target))
    assert table["trial_number"].tolist() == [1, 2, 0] and np.isnan(table["value"].iloc[-1])


def test_selection_rows_choose_no_candidate(dataset):
    """However well a candidate predicts the selection rows, the values on the validation rows rank."""
    candidates = Candidates(PLAN)
    candidates.add(record(0, 1, result(dataset, 0, -0.2, certainty=0.1), result(dataset, 1, -0.3, certainty=0.99)))
    table = candidates.best(dataset, Scorer.of(None, dataset.target))
    assert table["trial_number"].tolist() == [0, 1] and table["honest_value"].is_monotonic_increasing


def test_without_anyone_at_the_end_there_is_no_candidate(dataset):
    table = Candidates(PLAN).best(dataset, Scorer.of(None, dataset.target))
    assert len(table) == 0 and list(table.columns) == list(COLUMNS)
