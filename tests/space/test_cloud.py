import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from hpsearch.space.cloud import LENGTH_SCALE, NOISE, Cloud, most_credible, to_units
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


def test_smoothed_scores_are_those_of_a_gaussian_process() -> None:
    rng = np.random.default_rng(0)
    rates, losses, epochs = rng.random(40), rng.choice(["huber", "[1, 2]"], 40), rng.choice([3, 9], 40)
    columns = {"value": list(rng.random(40)), "epochs": list(epochs)}
    cloud = cloud_of(params_rate=list(rates), params_loss=list(losses), **columns)
    positions, scores = cloud.positions, cloud.scores()
    square = np.subtract.outer(positions["rate"], positions["rate"]) ** 2
    square += 0.25 * np.not_equal.outer(positions["loss"], positions["loss"])
    process = GaussianProcessRegressor(
        Matern(LENGTH_SCALE, nu=0.5), alpha=NOISE / cloud.fidelities, optimizer=None, normalize_y=False
    )
    # coordinates of which the plain distance is the root mean square one
    points = np.stack([positions["rate"], 0.5 * (positions["loss"] > 0.5)], axis=1) / np.sqrt(2)
    expected = process.fit(points, scores - scores.mean()).predict(points)
    np.testing.assert_array_equal(cloud.smoothed().numbers, cloud.numbers[np.argsort(-expected)])


def test_one_lucky_point_among_bad_ones_is_not_the_most_credible() -> None:
    rates = np.concatenate([[0.1], np.linspace(0.05, 0.2, 9), np.linspace(0.7, 0.8, 10)])
    values = np.concatenate([[1.0], np.full(9, 0.0), np.linspace(0.8, 0.9, 10)])
    trials = pd.DataFrame({"number": range(20), "value": values, "params_rate": rates, "params_loss": ["huber"] * 20})
    credible = most_credible(trials, SPACE)
    assert set(credible[:5]) <= set(range(10, 20)) and sorted(credible) == list(range(20))
    assert most_credible(trials.assign(value=np.nan), SPACE) == []
    assert most_credible(trials.iloc[:0], SPACE) == []
