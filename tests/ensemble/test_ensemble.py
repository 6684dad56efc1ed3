import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import hpsearch
from hpsearch.data.dataset import prepare
from hpsearch.ensemble.ensemble import BLOCK_HEIGHT, Ensemble
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.stack import Architecture
from hpsearch.orchestrator.estimators import EstimatorPredictor
from hpsearch.orchestrator.networks import Network


def table(n_rows=200):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": generator.standard_normal(n_rows),
            "colour": generator.choice(["red", "green", "blue"], n_rows),
            "age": np.where(generator.random(n_rows) < 0.1, np.nan, generator.integers(1, 90, n_rows)),
        }
    )


def ensemble_for(y) -> Ensemble:
    """Two members whose inputs are encoded alike, and a third with inputs of its own, and more of them."""
    dataset, other = prepare(table(), y), prepare(table(), y, categorical=["age"])
    assert other.n_inputs > dataset.n_inputs
    loss = "squared_error" if dataset.task == "regression" else "softmax_cross_entropy"
    networks = []
    for seed, (n_inputs, hidden) in enumerate([(dataset.n_inputs, (8,))] * 2 + [(other.n_inputs, (5, 4))]):
        architecture = Architecture((n_inputs, *hidden, dataset.n_outputs))
        stack = initial_stack(architecture, [Start("he_normal", 0.0, 0.0)], np.array([seed], dtype=np.uint64))
        networks.append(Network(stack, loss))
    return Ensemble(
        name="top_models",
        encodings=(dataset.encoding, other.encoding),
        target=dataset.target,
        networks=tuple(networks),
        votes=np.array([0.5, 0.25, 0.25]),
        about={"honest_score": -0.5},
        places=(0, 0, 1),
    )


TARGETS = {
    "text": np.array(["yes", "no"] * 100),
    "numbers": np.array([3, 1, 2, 1] * 50),
    "booleans": np.array([True, False] * 100),
    "regression": np.linspace(-50, 1000, 200),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_loaded_ensemble_predicts_bit_by_bit_what_the_saved_one_did(kind, tmp_path):
    ensemble = ensemble_for(TARGETS[kind])
    ensemble.save(tmp_path / "model")
    loaded = hpsearch.load(tmp_path / "model")
    X = table(300).sample(frac=1, random_state=0, axis=1)
    assert_array_equal(loaded.predict(X), ensemble.predict(X))
    assert loaded.predict(X).dtype == ensemble.predict(X).dtype
    assert loaded.about == ensemble.about and loaded.name == ensemble.name
    if kind != "regression":
        assert_array_equal(loaded.predict_proba(X), ensemble.predict_proba(X))
        assert set(loaded.predict(X)) <= set(TARGETS[kind])


def test_probabilities_are_the_weighted_mean_of_the_members():
    ensemble = ensemble_for(TARGETS["numbers"])
    encoded = [encoding.encode(table()) for encoding in ensemble.encodings]
    inputs = [encoded[place] for place in ensemble.places]
    expected = sum(
        vote * net.predict(own) for vote, net, own in zip(ensemble.votes, ensemble.networks, inputs, strict=True)
    )
    np.testing.assert_allclose(ensemble.predict_proba(table()), expected, rtol=1e-6)
    assert_array_equal(ensemble.classes_, [1, 2, 3])
    assert_array_equal(ensemble.predict(table()), ensemble.classes_[expected.argmax(axis=1)])


@pytest.mark.parametrize("kind", ["numbers", "regression"])
def test_a_row_is_predicted_alike_in_any_place_and_company(kind):
    ensemble, X = ensemble_for(TARGETS[kind]), table(BLOCK_HEIGHT + 100)
    everything = ensemble.predict(X) if kind == "regression" else ensemble.predict_proba(X)
    generator = np.random.default_rng(0)
    for n_rows in (1, 2, 13, 65, len(X)):
        rows = generator.permutation(len(X))[:n_rows]
        some = X.iloc[rows]
        again = ensemble.predict(some) if kind == "regression" else ensemble.predict_proba(some)
        assert_array_equal(again, everything[rows])


def test_a_bad_cell_beyond_the_first_block_is_named():
    X = table(BLOCK_HEIGHT + 100).astype({"age": object})
    X.loc[BLOCK_HEIGHT + 7, "age"] = "old"
    where = rf"X\[{BLOCK_HEIGHT}:{BLOCK_HEIGHT + 100}\] .*'age' held numbers.*'old' in row 7"
    for given in (X, X.to_numpy(dtype=object), X.to_numpy(dtype=object).tolist()):
        with pytest.raises(ValueError, match=where):
            ensemble_for(TARGETS["text"]).predict(given)


def test_memory_does_not_grow_with_the_rows():
    ensemble = ensemble_for(TARGETS["numbers"])

    def needed(X):
        tracemalloc.start()
        answer = ensemble.predict_proba(X)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - answer.nbytes

    short, long = (table(n_blocks * BLOCK_HEIGHT) for n_blocks in (2, 12))
    # a row's sum, and whether its cells are missing
    assert needed(long) < needed(short) + 20 * (len(long) - len(short))


def test_a_regression_ensemble_has_no_probabilities():
    ensemble = ensemble_for(TARGETS["regression"])
    assert not hasattr(ensemble, "predict_proba") and not hasattr(ensemble, "classes_")
    assert ensemble.n_features_in_ == 3 and ensemble.feature_names_in_.tolist() == ["size", "colour", "age"]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    ensemble = ensemble_for(TARGETS["text"])
    for name in ("one", "two"):
        ensemble.save(tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_every_changed_byte_is_noticed(tmp_path):
    ensemble_for(TARGETS["text"]).save(tmp_path / "model")
    generator = np.random.default_rng(0)
    for file in sorted((tmp_path / "model").iterdir()):
        whole = file.read_bytes()
        for position in generator.integers(0, len(whole), 15):
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
            with pytest.raises(ValueError, match="model"):
                hpsearch.load(tmp_path / "model")
        file.write_bytes(whole)
    hpsearch.load(tmp_path / "model")


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="model"):
        hpsearch.load(tmp_path / "model")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("buy milk")
    with pytest.raises(ValueError, match="notes"):
        hpsearch.load(tmp_path / "notes")
    with pytest.raises(ValueError, match="notes"):
        ensemble_for(TARGETS["text"]).save(tmp_path / "notes")
    assert (tmp_path / "notes" / "todo.txt").read_text() == "buy milk"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.drop(columns="age"), "age"),
        (lambda X: X.assign(extra=1), "extra"),
        (lambda X: X.assign(age="old"), "age"),
        (lambda X: X.assign(size=np.inf), "size"),
    ],
)
def test_columns_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ensemble_for(TARGETS["text"]).predict(change(table()))


def test_an_unseen_level_and_a_missing_cell_are_accepted():
    X = table(5)
    X.loc[0, "colour"] = "purple"
    X.loc[1, "size"] = np.nan
    assert np.isfinite(ensemble_for(TARGETS["text"]).predict_proba(X)).all()


def test_the_document_is_readable(tmp_path):
    ensemble_for(TARGETS["text"]).save(tmp_path / "model")
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    assert document["target"]["classes"] and document["votes"] == [0.5, 0.25, 0.25]


def test_networks_of_another_size_are_refused():
    ensemble = ensemble_for(TARGETS["numbers"])
    other = ensemble_for(TARGETS["text"])
    with pytest.raises(ValueError, match=r"networks must have \(\d+, 3\) inputs and outputs"):
        replace(ensemble, networks=other.networks)
    with pytest.raises(ValueError, match="votes must be one per network, 3, but got 2"):
        replace(ensemble, votes=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="places must be one per network, from 0 to 1"):
        replace(ensemble, places=(0, 0, 2))
    stranger = prepare(table().drop(columns="age"), TARGETS["text"]).encoding
    with pytest.raises(ValueError, match="encodings must be one or more, of the same raw columns"):
        replace(ensemble, encodings=(ensemble.encoding, stranger))


def test_an_ensemble_says_in_a_line_what_it_is():
    assert repr(ensemble_for(TARGETS["text"])) == "<Ensemble top_models: 3 networks, binary of 'target'>"


def test_estimators_that_are_not_ours_vote_and_are_loaded_with_what_they_need(tmp_path):
    X, y = table(), TARGETS["text"]
    dataset = prepare(X, y, encoded=False)
    reading = ColumnTransformer([("levels", OneHotEncoder(), ["colour"])], remainder=SimpleImputer())
    pipelines = [make_pipeline(reading, RandomForestClassifier(n, random_state=0)).fit(X, dataset.y) for n in (2, 3)]
    members = tuple(EstimatorPredictor(pipeline, dataset.target, 3) for pipeline in pipelines)
    ensemble = Ensemble("top_models", (dataset.encoding,), dataset.target, members, np.array([0.25, 0.75]))
    ensemble.save(tmp_path / "model")
    loaded = hpsearch.load(tmp_path / "model")
    shuffled = X[["age", "size", "colour"]]
    assert_array_equal(loaded.predict_proba(shuffled), ensemble.predict_proba(X))
    first, second = (pipeline.predict_proba(X) for pipeline in pipelines)
    assert_allclose(loaded.predict_proba(X), 0.25 * first + 0.75 * second, rtol=1e-5)
    assert set(loaded.predict(X)) == {"yes", "no"} and loaded.feature_names_in_.tolist() == ["size", "colour", "age"]


class Unknown(ClassifierMixin, BaseEstimator):
    """An estimator that nobody has reviewed."""

    def predict_proba(self, X):
        return np.tile([0.25, 0.75], (len(X), 1))


def test_a_type_that_nobody_knows_is_refused_unless_the_user_trusts_it(tmp_path):
    dataset = prepare(table(), TARGETS["text"])
    unknown = Unknown()
    unknown.classes_ = np.array([0, 1])
    trusted = (f"{__name__}.Unknown",)
    member = EstimatorPredictor(unknown, dataset.target, dataset.n_inputs, trusted)
    ensemble = Ensemble("best", (dataset.encoding,), dataset.target, (member,), np.ones(1))
    with pytest.raises(ValueError, match="Unknown holds objects of type"):
        replace(ensemble, networks=(replace(member, trusted=()),)).save(tmp_path / "other")
    ensemble.save(tmp_path / "model")
    with pytest.raises(ValueError, match="a saved estimator is refused: .*Unknown"):
        hpsearch.load(tmp_path / "model")
    assert set(hpsearch.load(tmp_path / "model", trusted=trusted).predict(table())) == {"yes"}
