"""Ensembles of everything a network keeps, made by real searches."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import SGDClassifier

from hpsearch import Choice, load, search
from hpsearch.data.dataset import prepare
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.members import Member
from hpsearch.ensemble.soup import soup_of
from hpsearch.mlp.stack import Architecture, Stack
from hpsearch.orchestrator.networks import Network
from tests.ensemble.test_members import made_up

SPACE = {
    "hidden_layer_sizes": Choice([(8,), (8, 8)]),
    "batch_size": 32,
    "swa_share": 0.5,
    "n_checkpoints": 3,
    "checkpoint_every": 2,
}


def linear(*weights) -> Network:
    """A network without hidden layers: outputs are the inputs times the weights."""
    stack = Stack(Architecture((len(weights), 1)), np.array([[*weights, 0.0]], dtype=np.float32))
    return Network(stack, "squared_error")


@pytest.fixture
def sums():
    """The target is the sum of two columns of equal size, so that the best weights are equal."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 2))
    return prepare(X, X.sum(axis=1), random_state=0)


def soup_of_networks(dataset, *networks):
    trial = made_up(0, {f"checkpoint_{place}": 0.0 for place in range(len(networks))} | {"ema": 0.0})
    run = [Member(trial, f"checkpoint_{place}") for place in range(len(networks))]
    by_key = {member.key: [network] for member, network in zip(run, networks, strict=True)}
    return soup_of(run, lambda member: by_key[member.key], dataset, Scorer.of(None, dataset.target))


def test_what_helps_is_stirred_in_and_what_does_not_is_left_out(sums):
    scale = float(np.sqrt(2))
    best, other, bad = linear(1.2 / scale, 0.6 / scale), linear(0.6 / scale, 1.2 / scale), linear(-5, 5)
    n_inputs = sums.n_inputs
    assert n_inputs == 2
    soup = soup_of_networks(sums, best, bad, other)
    assert [member.epoch for member in soup.ingredients] == [0, 2]
    mean = Network.mean([best, other])
    np.testing.assert_allclose(mean.weights, [0.9 / scale, 0.9 / scale, 0], rtol=1e-6)
    np.testing.assert_array_equal(soup.predictions, mean.predict(sums.inputs[sums.rows.heldout]))


def test_the_best_alone_is_no_soup(sums):
    assert soup_of_networks(sums, linear(0.7, 0.7), linear(-5, 5)) is None
    assert soup_of_networks(sums, linear(0.7, 0.7)) is None


@pytest.fixture(scope="module", params=[1, 3], ids=["one split", "folds"])
def asked(request):
    X, y = load_diabetes(return_X_y=True)
    return {"X": X, "y": y, "space": SPACE, "n_trials": 9, "max_epochs": 9, "cv": request.param, "verbose": 0}


def test_weights_of_all_kinds_vote_each_by_name(asked):
    result = search(**asked, test_size=0.25)
    board = result.leaderboard().set_index("ensemble")
    assert {"parameter_ema", "parameter_swa", "checkpoints", "greedy"} <= set(board.index)
    members = result.members.groupby("ensemble")
    assert set(members.get_group("checkpoints")["weights"]) == {"raw"}
    assert members.get_group("parameter_swa")["weights"].tolist() == ["swa"]
    assert members["weight"].sum().tolist() == pytest.approx([1] * len(board))
    everything = result.members
    assert set(everything["epoch"]) - {1, 3, 9}, "checkpoints between the rung ends vote"
    n_folds = asked["cv"]
    assert (board["size_mb"] > 0).all() and (board["predict_ms"] > 0).all()
    alone = board.loc["parameter_swa"]
    sizes = [sum(tensor.nbytes for tensor in one.save()[0].values()) for one in result.ensemble.networks]
    assert sum(sizes) / 1e6 == pytest.approx(board.loc[board["chosen"], "size_mb"].item())
    assert alone["n_members"] == 1 and len(result.ensemble.networks) == n_folds * board["n_members"].iloc[0]
    assert np.isfinite(board["test_score"]).all()


def test_the_test_score_is_that_of_what_is_taken_home(asked, tmp_path):
    """Votes and weights of the members arrive in the model folder as they were chosen."""
    X, y = asked["X"], asked["y"]
    train, test = np.arange(300), np.arange(300, len(y))
    result = search(**asked | {"X": X[train], "y": y[train]}, X_test=X[test], y_test=y[test], refit=False)
    result.save(tmp_path / "model")
    ensemble = load(tmp_path / "model")
    errors = ensemble.predict(X[test]) - y[test]
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(-result.test_score, rel=1e-4)


def test_members_of_any_epoch_and_weights_are_trained_again(asked):
    result = search(**asked, refit=True)
    members = result.ensemble.about["members"]
    assert all(member["refit"] for member in members)
    assert len(result.ensemble.networks) == len(members), "one network instead of one per fold"
    assert r2(result, asked) > 0.3


def r2(result, asked):
    return result.ensemble.score(asked["X"], asked["y"])


@pytest.mark.parametrize("n_members", [1, 3])
def test_no_ensemble_has_more_members_than_it_may(n_members):
    X, y = load_breast_cancer(return_X_y=True)
    result = search(X, y, n_trials=9, max_epochs=9, max_members=n_members, space=SPACE, cv=1, verbose=0)
    assert result.leaderboard()["n_members"].max() <= n_members
    assert len(result.ensemble.networks) <= n_members


def test_no_ensemble_takes_longer_than_it_may():
    X, y = load_breast_cancer(return_X_y=True)
    asked = {"n_trials": 9, "max_epochs": 9, "space": SPACE, "verbose": 0}
    free = search(X, y, **asked).leaderboard()["predict_ms"]
    limit = free.min() * 2.5
    assert free.max() > limit
    assert search(X, y, **asked, max_predict_ms=limit).leaderboard()["predict_ms"].max() <= limit
    with pytest.warns(UserWarning, match="cannot be kept"):
        least = search(X, y, **asked, max_predict_ms=1e-9).leaderboard()
    assert least["predict_ms"].nunique() == 1 and least["predict_ms"].max() <= free.min()
    assert (least["n_members"] == 1).all()


def test_the_time_of_an_estimator_cannot_be_limited():
    X, y = load_breast_cancer(return_X_y=True)
    space = {"alpha": Choice([1e-4, 1e-3])}
    with pytest.raises(ValueError, match="max_predict_ms=1.0 is for our networks only"):
        search(X, y, estimator=SGDClassifier(loss="log_loss"), space=space, max_predict_ms=1.0)
