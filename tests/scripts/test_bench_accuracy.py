"""The statistics of the accuracy benchmark, on runs of which the answer is known."""

import numpy as np
import pytest
from accuracy.comparison import accuracy_difference, honesty, loss_difference, resampled_means
from accuracy.kept import SMALLEST, Run, is_kept, keep, kept_runs
from accuracy.sets import split
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error

DRAWS = np.random.default_rng(0)


def of_classes(confidence, n=400, seed=0):
    """Three classes, of which the right one has this probability on average."""
    draws = np.random.default_rng(seed)
    targets = draws.integers(3, size=n)
    p = draws.dirichlet([1, 1, 1], size=n) * (1 - confidence)
    p[np.arange(n), targets] += confidence
    return Run("ours", "made", 0, p, targets, {})


def of_numbers(error, n=400, about=None):
    targets = np.random.default_rng(1).normal(size=n)
    noise = np.random.default_rng(2).normal(size=n)
    return Run("ours", "made", 0, targets + error * noise, targets, about or {})


def test_scores_are_scikit_learns():
    run = of_classes(0.2)
    assert run.loss == pytest.approx(log_loss(run.targets, run.predictions))
    assert run.accuracy == accuracy_score(run.targets, run.predictions.argmax(axis=1))
    run = of_numbers(0.3)
    assert run.loss == pytest.approx(root_mean_squared_error(run.targets, run.predictions))
    assert np.isnan(run.accuracy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sure_error_costs_the_same_in_every_precision(dtype):
    run = Run("ours", "made", 0, np.array([[1, 0], [0, 1]], dtype=dtype), np.array([0, 0]), {})
    assert run.row_losses == pytest.approx([0, -np.log(SMALLEST)])


def test_resampled_means_scatter_as_a_mean_does():
    rows = DRAWS.normal(3.0, 2.0, size=(500, 1))
    means = resampled_means(rows, n_resamples=4000)
    assert means.mean() == pytest.approx(rows.mean(), abs=0.01)
    assert means.std() == pytest.approx(rows.std() / np.sqrt(500), rel=0.05)


def test_columns_are_resampled_together():
    column = DRAWS.normal(size=300)
    means = resampled_means(np.stack([column, column + 1], axis=1), n_resamples=50)
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(50))


def test_the_better_one_gains_and_the_mirror_loses():
    good, bad = of_classes(0.6), of_classes(0.3)
    for difference in (loss_difference, accuracy_difference):
        assert difference(good, bad).low > 0 and difference(good, bad).is_significant
        assert difference(bad, good).high < 0 and difference(bad, good).is_significant
    assert loss_difference(good, bad).gain == pytest.approx(100 * (1 - good.loss / bad.loss))


def test_gain_of_an_rmse_is_in_per_cent_of_the_rivals():
    difference = loss_difference(of_numbers(0.9), of_numbers(1.0))
    assert difference.gain == pytest.approx(10)
    assert difference.low == pytest.approx(10) == difference.high  # the same noise, a tenth smaller on every row


def test_equals_are_not_told_apart():
    difference = loss_difference(of_classes(0.4), of_classes(0.4))
    assert (difference.gain, difference.verdict) == (0, "equal")


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        draws = np.random.default_rng(seed)
        targets = np.zeros(200)
        ours, rival = (Run("", "", 0, draws.normal(size=200), targets, {}) for _ in range(2))
        difference = loss_difference(ours, rival)
        covered += difference.low <= 0 <= difference.high
    assert 0.90 <= covered / 200 <= 0.985


def test_other_test_rows_are_refused():
    with pytest.raises(ValueError, match="other test rows"):
        loss_difference(of_classes(0.5, seed=0), of_classes(0.5, seed=1))


@pytest.mark.parametrize("power", [1, 2])
def test_z_of_an_honest_score_is_standard_normal(power):
    zs = []
    for seed in range(400):
        draws = np.random.default_rng(seed)
        if power == 2:
            selection = draws.normal(size=300)
            about = {"honest_score": -np.sqrt(np.mean(selection**2)), "n_select": 300}
            zs.append(honesty(Run("ours", "made", seed, draws.normal(size=600), np.zeros(600), about)))
        else:
            p = draws.uniform(0.2, 1.0, size=900)
            about = {"honest_score": float(np.log(p[:300]).mean()), "n_select": 300}
            predictions = np.stack([p[300:], 1 - p[300:]], axis=1)
            zs.append(honesty(Run("ours", "made", seed, predictions, np.zeros(600, dtype=int), about)))
    assert np.mean(zs) == pytest.approx(0, abs=0.15)
    assert np.std(zs) == pytest.approx(1, abs=0.12)


def test_what_is_kept_is_read_as_it_was(tmp_path):
    run = Run("hgb", "made_up-set", 3, of_classes(0.5).predictions, of_classes(0.5).targets, {"seconds": 1.5})
    assert not is_kept(tmp_path, "hgb", "made_up-set", 3)
    keep(tmp_path, run)
    assert is_kept(tmp_path, "hgb", "made_up-set", 3)
    (read,) = kept_runs(tmp_path)
    assert (read.contender, read.set, read.seed, read.about["seconds"]) == ("hgb", "made_up-set", 3, 1.5)
    assert np.array_equal(read.predictions, run.predictions) and np.array_equal(read.targets, run.targets)
    assert not list(tmp_path.rglob("*.part"))


def test_a_split_is_dealt_by_its_seed_and_predictions_follow_its_rows():
    data = split(None, "digits", 0)
    assert (len(data.X_train), len(data.X_test)) == (1347, 450)
    assert data.X_test.index.equals(split(None, "digits", 0).X_test.index)
    assert not data.X_test.index.equals(split(None, "digits", 1).X_test.index)
    assert data.predictions(DummyClassifier().fit(data.X_train, data.y_train)).shape == (450, 10)
    numbers = split(None, "diabetes", 0)
    assert numbers.predictions(DummyRegressor().fit(numbers.X_train, numbers.y_train)).shape == (89,)
    with pytest.raises(ValueError, match="orders its classes"):
        data.predictions(DummyClassifier().fit(data.X_train, data.y_train + 1))
