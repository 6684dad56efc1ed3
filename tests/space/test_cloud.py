import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.space.cloud import KERNEL_WIDTH, Cloud, to_units
from hpsearch.space.distributions import Choice, Integer, LogUniform, Numeric, Uniform
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of({"rate": Uniform(0.0, 1.0), "loss": Choice([None, "huber", (1, 2)])})


def cloud_of(**columns: list[object]) -> Cloud:
    return Cloud.of(pd.DataFrame({"number": range(len(columns["value"]))} | columns), SPACE)


@pytest.mark.parametrize(
    "distribution",
    [LogUniform(1e-4, 1e-1), Uniform(-1.0, 3.0), Integer(1, 4), Integer(16, 1024, log=True)],
    ids=lambda distribution: type(distribution).__name__,
)
@given(values=st.lists(st.integers(-5, 2000) | st.floats(-5, 2000), max_size=20))
def test_many_positions_are_those_of_one(distribution: Numeric, values: list[float]) -> None:
    if isinstance(distribution, Integer):
        values = [round(value) for value in values]
    expected = [distribution.to_unit(value) for value in values]
    np.testing.assert_allclose(to_units(distribution, np.array(values, np.float64)), expected, rtol=1e-12, atol=1e-15)


def test_trials_are_ranked_by_epochs_then_value_then_number_and_failed_ones_last() -> None:
    cloud = cloud_of(
        value=[1.0, 5.0, np.nan, 2.0, 2.0, np.inf],
        epochs=[9, 3, 27, 9, 9, 3],
        params_rate=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    )
    assert cloud.positions["rate"].tolist() == [0.4, 0.5, 0.1, 0.2, 0.3, 0.6]
    assert cloud.n_valued == 4
    assert cloud.fidelities.tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 3, 1, 1 / 3])


def test_choices_are_read_as_they_are_and_as_optuna_stores_them() -> None:
    cells = [None, "huber", (1, 2), "[1, 2]", "gone"]
    positions = cloud_of(value=[5, 4, 3, 2, 1], params_loss=cells).positions["loss"]
    np.testing.assert_allclose(positions, [1 / 6, 3 / 6, 5 / 6, 5 / 6, np.nan])


def test_what_no_trial_has_is_absent() -> None:
    cloud = cloud_of(value=[1.0, 2.0])
    assert np.isnan(cloud.positions["rate"]).all()
    assert len(cloud.having("rate")) == 0


def test_smoothed_scores_are_means_over_the_neighbourhood() -> None:
    rng = np.random.default_rng(0)
    rates, losses = rng.random(40), rng.choice(["huber", "[1, 2]"], 40)
    cloud = cloud_of(value=list(rng.random(40)), params_rate=list(rates), params_loss=list(losses))
    positions, scores = cloud.positions, cloud.scores()
    means = []
    for i in range(40):
        apart = (positions["rate"] - positions["rate"][i]) ** 2 + 0.25 * (positions["loss"] != positions["loss"][i])
        weights = np.exp(-apart / 2 / (2 * KERNEL_WIDTH**2))
        means.append(np.average(scores, weights=weights))
    expected = positions["rate"][np.argsort(-np.array(means))]
    np.testing.assert_array_equal(cloud.smoothed(frozenset({"loss"})).positions["rate"], expected)
