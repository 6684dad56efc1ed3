"""The exported graph, run by onnxruntime, against the ensemble itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from hpsearch.data import dates
from hpsearch.data.dataset import prepare
from hpsearch.data.dates import to_days, to_times
from hpsearch.data.encoding import ENCODINGS
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.stack import Architecture
from hpsearch.orchestrator.estimators import EstimatorPredictor
from hpsearch.orchestrator.networks import Network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
door = pytest.importorskip("hpsearch.ensemble.onnx")

N_ROWS = 600


def table(n_rows=N_ROWS, seed=0):
    """Columns of all kinds: skewed, tied, with missing cells, rare levels, empty cells."""
    generator = np.random.default_rng(seed)
    tied = generator.choice([0.0, 0.0, 0.0, 1.5, 2.0], n_rows) * generator.integers(1, 4, n_rows)
    colour = generator.choice(["red", "green", "blue", "ultramarine"], n_rows, p=[0.5, 0.3, 0.195, 0.005])
    return pd.DataFrame(
        {
            "size": np.exp(generator.standard_normal(n_rows)),
            "tied": tied,
            "age": np.where(generator.random(n_rows) < 0.1, np.nan, generator.integers(1, 90, n_rows)),
            "constant": 1,
            "colour": np.where(generator.random(n_rows) < 0.1, None, colour),
            "open": generator.random(n_rows) < 0.5,
            "floor": np.where(generator.random(n_rows) < 0.005, 9, generator.integers(-1, 6, n_rows)),
            "label": generator.choice(["a", "b"], n_rows),
            "when": _times(generator, n_rows),
            "day": _times(generator, n_rows).floor("D"),
        }
    )


def _times(generator, n_rows):
    """Times from 1900 to 2100, and none."""
    seconds = generator.integers(-2_200_000_000, 4_100_000_000, n_rows)
    times = pd.to_datetime(seconds, unit="s").as_unit("us")
    return times.where(generator.random(n_rows) > 0.05)


TARGETS = {
    "text": np.array(["yes", "no"] * (N_ROWS // 2)),
    "numbers": np.array([3, 1, 2, 1] * (N_ROWS // 4)),
    "halves": np.array([0.5, 1.5, 2.5] * (N_ROWS // 3)),
    "booleans": np.array([True, False] * (N_ROWS // 2)),
    "regression": np.linspace(-50, 1000, N_ROWS),
}


def network(n_inputs, n_outputs, loss, seed, **architecture):
    stack = initial_stack(
        Architecture((n_inputs, 12, 12, n_outputs), **architecture),
        [Start("he_normal", 0.1, 0.2, 0.5)],
        np.array([seed], dtype=np.uint64),
    )
    generator = np.random.default_rng(seed)
    for block in (*stack.biases(), *stack.means(), *stack.gains(), *stack.slopes()):
        block += generator.normal(0, 0.3, block.shape).astype(np.float32)
    for block in stack.variances():
        block *= generator.uniform(0.5, 2, block.shape).astype(np.float32)
    return Network(stack, loss)


def ensemble_of(y, encodings=ENCODINGS[:1], loss=None, cv=None, **architecture) -> Ensemble:
    """A member for each encoding and fold."""
    task = {2: "binary", 3: "multiclass"}.get(len(np.unique(y)))
    dataset = prepare(table(), y, task=task, encodings=encodings, cv=cv, categorical=["floor"])
    loss = loss or ("squared_error" if dataset.task == "regression" else "softmax_cross_entropy")
    fitted = [part.encoding for name in encodings for part in dataset.encoded_as(name).parts]
    sizes = [(encoding.n_inputs, dataset.n_outputs) for encoding in fitted]
    networks = tuple(network(*size, loss, seed, **architecture) for seed, size in enumerate(sizes))
    votes = np.arange(1.0, len(fitted) + 1)
    return Ensemble("best", tuple(fitted), dataset.target, networks, votes / votes.sum(), {}, tuple(range(len(fitted))))


def fed(X: pd.DataFrame) -> dict[str, np.ndarray]:
    """A table as the graph takes it."""
    text = {name: X[name].fillna("").to_numpy(dtype=object) for name in ("colour", "label")}
    days = {name: to_days(to_times(X[name])) for name in ("when", "day")}
    rest = {name: X[name].to_numpy(dtype=np.float64) for name in X.columns if name not in text | days}
    return {name: column[:, np.newaxis] for name, column in (text | days | rest).items() if name != "constant"}


def run(ensemble, path, X):
    ensemble.to_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, fed(X)), strict=True))


def new_rows():
    """Rows never seen, with strange levels, missing cells and values far out."""
    X = table(300, seed=1)
    X.loc[0, "colour"] = "purple"
    X.loc[1, ["size", "age", "tied"]] = np.nan
    X.loc[2, "size"], X.loc[3, "size"], X.loc[4, "floor"] = 1e9, -1e9, 77
    return X


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("cv", [None, 3])
def test_the_graph_answers_as_the_ensemble_does(kind, cv, tmp_path):
    ensemble, X = ensemble_of(TARGETS[kind], cv=cv), new_rows()
    answers = run(ensemble, tmp_path / "model.onnx", X)
    if kind == "regression":
        assert_allclose(answers["prediction"], ensemble.predict(X), atol=1e-5 * ensemble.target.scale)
        return
    assert_allclose(answers["probabilities"], ensemble.predict_proba(X), atol=1e-5)
    # the table has a column called "label"
    assert_array_equal(answers["label_"], ensemble.predict(X))
    assert answers["label_"].dtype == (object if kind == "text" else ensemble.classes_.dtype)


def test_every_day_of_an_era_has_its_place_in_the_year():
    days = np.arange(-146097, 146097.0, 1) + 0.25
    graph = door.Graph()
    graph.name("share", "Identity", door.CYCLES["time of year"](graph, graph.column("days", onnx.TensorProto.DOUBLE)))
    shares = onnx.helper.make_tensor_value_info("share", onnx.TensorProto.DOUBLE, ["n_rows", 1])
    proto = onnx.helper.make_graph(graph.nodes, "calendar", list(graph.inputs.values()), [shares], graph.constants)
    opset = [onnx.helper.make_opsetid("", door.OPSETS[""])]
    model = onnx.helper.make_model(proto, opset_imports=opset, ir_version=door.IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"days": days[:, np.newaxis]})
    times = np.datetime64("1970-01-01", "us") + (days * 86400e6).astype("timedelta64[us]")
    assert_allclose(found[:, 0], dates.CYCLES["time of year"](times), rtol=1e-12)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_in_the_graph(name, tmp_path):
    ensemble, X = ensemble_of(TARGETS["numbers"], (name,), cv=2), new_rows()
    answers = run(ensemble, tmp_path / "model.onnx", pd.concat([X, table()], ignore_index=True))
    expected = ensemble.predict_proba(pd.concat([X, table()], ignore_index=True))
    assert_allclose(answers["probabilities"], expected, atol=1e-5)


def test_members_may_be_encoded_in_different_ways(tmp_path):
    ensemble = ensemble_of(TARGETS["text"], ENCODINGS)
    answers = run(ensemble, tmp_path / "model.onnx", new_rows())
    assert_allclose(answers["probabilities"], ensemble.predict_proba(new_rows()), atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("batch_norm", "residual"), [(False, True), (True, False)])
def test_every_architecture_is_in_the_graph(activation, batch_norm, residual, tmp_path):
    architecture = {"activation": activation, "batch_norm": batch_norm, "residual": residual, "pieces": 3}
    ensemble = ensemble_of(TARGETS["numbers"], **architecture)
    answers = run(ensemble, tmp_path / "model.onnx", new_rows())
    assert_allclose(answers["probabilities"], ensemble.predict_proba(new_rows()), atol=1e-5)


def test_waves_are_in_the_graph(tmp_path):
    ensemble = ensemble_of(TARGETS["numbers"], n_numeric=2, n_frequencies=3)
    answers = run(ensemble, tmp_path / "model.onnx", new_rows())
    assert_allclose(answers["probabilities"], ensemble.predict_proba(new_rows()), atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_in_the_graph(loss, tmp_path):
    ensemble = ensemble_of(TARGETS["numbers" if LOSSES[loss].of_classes else "regression"], loss=loss)
    answers = run(ensemble, tmp_path / "model.onnx", new_rows())
    if LOSSES[loss].of_classes:
        assert_allclose(answers["probabilities"], ensemble.predict_proba(new_rows()), atol=1e-5)
    else:
        assert_allclose(answers["prediction"], ensemble.predict(new_rows()), atol=1e-5 * ensemble.target.scale)


def test_what_has_no_graph_is_refused(tmp_path):
    X, y = table(), TARGETS["booleans"]
    dataset = prepare(X, y)
    estimator = LogisticRegression(max_iter=1000).fit(dataset.inputs, dataset.y)
    member = EstimatorPredictor(estimator, dataset.target, dataset.n_inputs)
    ensemble = Ensemble("best", (dataset.encoding,), dataset.target, (member,), np.ones(1))
    with pytest.raises(ValueError, match="only networks can be exported to ONNX"):
        ensemble.to_onnx(tmp_path / "model.onnx")
    as_given = prepare(X, y, encoded=False)
    member = replace(member, n_inputs=as_given.n_inputs)
    with pytest.raises(ValueError, match="read the table themselves"):
        Ensemble("best", (as_given.encoding,), as_given.target, (member,), np.ones(1)).to_onnx(tmp_path / "model.onnx")
    dataset = prepare(X.assign(colour=X["colour"].fillna("")), y)
    with pytest.raises(ValueError, match="'colour' has the empty text as a level"):
        Ensemble(
            "best",
            (dataset.encoding,),
            dataset.target,
            (network(dataset.n_inputs, 2, "binary_logistic", 0),),
            np.ones(1),
        ).to_onnx(tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_temperature_and_threshold_are_in_the_graph(temperature, tmp_path):
    warm = replace(ensemble_of(TARGETS["text"]), temperature=temperature)
    ensemble, X = warm.with_threshold(0.3), new_rows()
    answers, probabilities = run(ensemble, tmp_path / "model.onnx", X), ensemble.predict_proba(X)
    assert_allclose(answers["probabilities"], probabilities, atol=1e-5)
    clear = np.abs(probabilities[:, 1] - 0.3) > 1e-5
    assert_array_equal(answers["label_"][clear], ensemble.predict(X)[clear])
    assert (ensemble.predict(X) != warm.predict(X)).any()
