"""The predictor: encoding, networks and votes in one object that takes raw columns, and its folder on disk."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags
from sklearn.utils.metaestimators import available_if

from hpsearch.data.as_given import AsGiven, encoding_from_tensors
from hpsearch.data.encoding import Encoding
from hpsearch.data.table import as_frame
from hpsearch.data.target import Target
from hpsearch.ensemble.conformal import Residuals
from hpsearch.ensemble.tempering import tempered
from hpsearch.ensemble.threshold import decisions
from hpsearch.orchestrator.estimators import EstimatorPredictor
from hpsearch.orchestrator.networks import Network
from hpsearch.record.checkpoints import from_safetensors, to_safetensors
from hpsearch.record.folder import read_folder, write_file, write_folder

FORMAT = "hpsearch model 4"
DOCUMENT, MEMBERS, ENCODING = "model.json", "members.safetensors", "encoding"
RESIDUALS = "residuals.safetensors"
BLOCK_HEIGHT = 8192
"""Rows that are encoded and predicted at a time."""


def _encoding_name(place: int) -> str:
    return f"{ENCODING}_{place:03d}.safetensors"


def _is_classifier(ensemble: "Ensemble") -> bool:
    return ensemble.target.task != "regression"


def _has_residuals(ensemble: "Ensemble") -> bool:
    return ensemble.residuals is not None


@dataclass(frozen=True, repr=False, eq=False)
class Ensemble:
    """Trained models that vote, from raw columns to labels or numbers. Made by `search`, or read by `load`.

    Attributes:
        name: the kind of ensemble, see `ensemble.kinds`.
        encodings: the ways in which raw columns become inputs: of all rows, of folds, of other kinds. All read the
            same raw columns.
        target: how outputs become labels or numbers.
        networks: the members: networks, or estimators that are not ours.
        votes: (n_members,) float64, their shares; they sum to one. Probabilities are averaged, not logits.
        about: what else is known of it, as JSON: scores, configs of the members, versions.
        places: per network, the position of its encoding; empty for zeros.
        temperature: by which probabilities are scaled after the vote, see `ensemble.calibration`; 1 leaves them.
        threshold: of two classes, the probability from which on the second is predicted; None for the most likely.
        residuals: for regression, the honest errors of the selection rows, for `predict_interval`.
    """

    name: str
    encodings: tuple[Encoding | AsGiven, ...]
    target: Target
    networks: tuple[Network | EstimatorPredictor, ...]
    votes: NDArray[np.float64]
    about: dict[str, Any] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    temperature: float = 1.0
    threshold: float | None = None
    residuals: Residuals | None = None

    def __post_init__(self) -> None:
        n_networks, n_encodings = len(self.networks), len(self.encodings)
        if len(self.votes) != n_networks:
            raise ValueError(f"votes must be one per network, {n_networks}, but got {len(self.votes)}")
        if len({encoding.column_names for encoding in self.encodings}) != 1:
            raise ValueError(f"encodings must be one or more, of the same raw columns, but got {self.encodings}")
        if not self.places:
            object.__setattr__(self, "places", (0,) * n_networks)
        if len(self.places) != n_networks or not set(self.places) <= set(range(n_encodings)):
            raise ValueError(f"places must be one per network, from 0 to {n_encodings - 1}, but got {self.places}")
        for network, place in zip(self.networks, self.places, strict=True):
            expected = self.encodings[place].n_inputs, self.target.n_outputs
            sizes = network.n_inputs, network.n_outputs
            if sizes != expected:
                raise ValueError(f"networks must have {expected} inputs and outputs, as the data has, but got {sizes}")

    def __repr__(self) -> str:
        networks = "1 network" if len(self.networks) == 1 else f"{len(self.networks)} networks"
        return f"<Ensemble {self.name}: {networks}, {self.target.task} of {self.target.name!r}>"

    def __sklearn_tags__(self) -> Tags:
        is_classifier = _is_classifier(self)
        return Tags(
            estimator_type="classifier" if is_classifier else "regressor",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if is_classifier else None,
            regressor_tags=None if is_classifier else RegressorTags(),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: object, y: object) -> "Ensemble":
        """Itself, as it is: trained already, like scikit-learn's `FrozenEstimator`, whose tools ask for this."""
        return self

    def outputs(self, *inputs: Any) -> NDArray[np.float64]:
        """Class probabilities or standardised numbers, (n_rows, n_outputs).

        inputs: (n_rows, n_inputs) for each of the `encodings`, the rows as it encodes them.
        """
        outputs = np.zeros((len(inputs[0]), self.target.n_outputs))
        for block in self._blocks(len(outputs)):
            for network, vote, place in zip(self.networks, self.votes, self.places, strict=True):
                network.add_votes(inputs[place][block], vote, outputs[block])
        return tempered(outputs, self.temperature)

    def decide(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """(n_rows,) the labels or numbers that `outputs` (n_rows, n_outputs) stand for."""
        if self.threshold is None:
            return self.target.decode(outputs)
        return self.target.decode(decisions(outputs[:, 1] / outputs.sum(axis=1), self.threshold))

    def _outputs(self, X: object) -> NDArray[np.float64]:
        """`outputs` of raw columns; but for the answer, the memory it needs does not grow with the rows."""
        n_rows = len(as_frame(X))
        blocks = self._blocks(n_rows)
        if len(blocks) == 1:
            return self.outputs(*(encoding.encode(X) for encoding in self.encodings))
        table: Any = X if isinstance(X, pd.DataFrame | list | tuple) else np.asarray(X)
        outputs = np.empty((n_rows, self.target.n_outputs))
        for block in blocks:
            rows = table.iloc[block] if isinstance(table, pd.DataFrame) else table[block]
            name = f"X[{block.start}:{block.stop}]"
            outputs[block] = self.outputs(*(encoding.encode(rows, name) for encoding in self.encodings))
        return outputs

    def _blocks(self, n_rows: int) -> list[slice]:
        """The rows that are predicted at a time: all of them, where estimators that are not ours read the table."""
        height = n_rows if isinstance(self.encoding, AsGiven) else BLOCK_HEIGHT
        return [slice(start, min(start + height, n_rows)) for start in range(0, n_rows, max(height, 1))]

    @property
    def encoding(self) -> Encoding | AsGiven:
        """The first of the encodings, which knows the raw columns as well as any."""
        return self.encodings[0]

    @property
    def n_features_in_(self) -> int:
        """The number of raw columns."""
        return len(self.encoding.column_names)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The names of the raw columns, (n_columns,)."""
        return np.array(self.encoding.column_names, dtype=object)

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels, sorted, as they were given; AttributeError for regression."""
        if self.target.classes is None:
            raise AttributeError("a regression ensemble has no classes_")
        return self.target.classes

    def predict(self, X: object) -> NDArray[Any]:
        """The most likely class labels, or those by the `threshold`, or numbers in the target's units, (n_rows,).

        Args:
            X: a DataFrame with the columns of the training table, in any order, or an array if that was one.

        Raises:
            ValueError: for a column that is missing, added or of another type, naming it.
        """
        return self.decide(self._outputs(X))

    @available_if(_is_classifier)
    def predict_proba(self, X: object) -> NDArray[np.float64]:
        """Class probabilities, (n_rows, n_classes), in the order of `classes_`. Only for classification."""
        outputs = self._outputs(X)
        outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    @available_if(_has_residuals)
    def predict_interval(self, X: object, coverage: float = 0.9) -> NDArray[np.float64]:
        """Low and high ends, (n_rows, 2), between which a share `coverage` of new numbers should lie.

        Only for regression; all are equally wide. See `ensemble.conformal` for what is promised.

        Raises:
            ValueError: for a coverage outside (0, 1), or one that needs more selection rows than there were.
        """
        assert self.residuals is not None
        radius = self.residuals.radius(coverage)
        return np.asarray(self.predict(X)[:, np.newaxis] + np.array([-radius, radius]))

    def with_threshold(self, threshold: float) -> "Ensemble":
        """The same, but `predict` says the second class where `predict_proba` gives it `threshold` or more.

        Args:
            threshold: in [0, 1], such as that of `Result.threshold`.

        Raises:
            ValueError: for another threshold, or a task that is not binary.
        """
        if self.target.task != "binary":
            raise ValueError(f"a threshold is for two classes, but the task is {self.target.task}")
        is_number = isinstance(threshold, int | float | np.floating) and not isinstance(threshold, bool)
        if not (is_number and 0 <= threshold <= 1):
            raise ValueError(f"threshold must be a number in [0, 1], but got {threshold!r}")
        return replace(self, threshold=float(threshold))

    def score(self, X: object, y: object, sample_weight: object = None) -> float:
        """Accuracy of the labels, or R² of the numbers, as scikit-learn's estimators have it."""
        truth = self.target.codes(y)
        predicted = self.target.codes(self.predict(X))
        score = accuracy_score if _is_classifier(self) else r2_score
        return float(score(truth, predicted, sample_weight=sample_weight))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model folder: safetensors, JSON, and a manifest with the SHA-256 of every file, written last.

        The same ensemble gives the same bytes. An earlier model folder at `path` is replaced as a whole; anything
        else there is refused.
        """
        encodings = [encoding.to_tensors() for encoding in self.encodings]
        saved = [network.save() for network in self.networks]
        tensors = {
            f"{position:03d}.{name}": tensor
            for position, (arrays, _) in enumerate(saved)
            for name, tensor in arrays.items()
        }
        document = {
            "format": FORMAT,
            "name": self.name,
            "target": self.target.to_json(),
            "encodings": [document for _, document in encodings],
            "places": list(self.places),
            "members": [meta for _, meta in saved],
            "votes": self.votes.tolist(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "about": self.about,
        }
        files = {
            DOCUMENT: json.dumps(document, indent=1, sort_keys=True).encode(),
            MEMBERS: to_safetensors(MEMBERS, tensors, {}),
        }
        for place, (arrays, _) in enumerate(encodings):
            name = _encoding_name(place)
            files[name] = to_safetensors(name, arrays, {})
        if self.residuals is not None:
            files[RESIDUALS] = to_safetensors(RESIDUALS, self.residuals.to_tensors(), {})
        write_folder(path, files)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write one ONNX file that answers as this ensemble does, from the raw columns on; see `ensemble.onnx`.

        Its answers equal ours within 1e-5 (numbers: of the target's standard deviation). A file at `path` is replaced.

        Raises:
            ImportError: without the package onnx.
            ValueError: for what cannot be exported: estimators that are not ours, and the empty text as a level.
        """
        try:
            from hpsearch.ensemble.onnx import onnx_model
        except ImportError as error:
            raise ImportError("to_onnx needs the package onnx: pip install 'hpsearch[onnx]'") from error
        write_file(path, onnx_model(self).SerializeToString())


def load(path: str | os.PathLike[str], trusted: Sequence[str] = ()) -> Ensemble:
    """The ensemble of a model folder; it predicts bit by bit what the saved one did.

    Nothing in the folder can run while it is read. Estimators that are not ours may hold objects of reviewed types
    only, see `record.estimators`, and of those that you name in `trusted`: "package.module.Class".

    Raises:
        ValueError: for a folder that is not a model of ours, or with a changed byte anywhere, naming the file; and
            for a type that is not to be trusted.
        FileNotFoundError: where there is no folder.
    """
    files = read_folder(path)
    if DOCUMENT not in files:
        raise ValueError(f"{path} is not a model folder of hpsearch: it has no {DOCUMENT}")
    document = json.loads(files[DOCUMENT])
    if document["format"] != FORMAT:
        raise ValueError(f"{path} is of the format {document['format']!r}, but this version reads {FORMAT!r}")
    tensors, _ = from_safetensors(MEMBERS, files[MEMBERS])
    return Ensemble(
        name=document["name"],
        encodings=tuple(_encoding(files, place, layout) for place, layout in enumerate(document["encodings"])),
        target=Target.from_json(document["target"]),
        networks=_networks(tensors, document["members"], trusted),
        votes=np.array(document["votes"]),
        about=document["about"],
        places=tuple(document["places"]),
        temperature=document["temperature"],
        threshold=document["threshold"],
        residuals=Residuals(**from_safetensors(RESIDUALS, files[RESIDUALS])[0]) if RESIDUALS in files else None,
    )


def _encoding(files: dict[str, bytes], place: int, layout: dict[str, Any]) -> Encoding | AsGiven:
    name = _encoding_name(place)
    tensors, _ = from_safetensors(name, files[name])
    return encoding_from_tensors(tensors, layout)


def _networks(
    tensors: dict[str, NDArray[Any]], metas: Sequence[dict[str, Any]], trusted: Sequence[str]
) -> tuple[Network | EstimatorPredictor, ...]:
    networks: list[Network | EstimatorPredictor] = []
    for position, meta in enumerate(metas):
        prefix = f"{position:03d}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        is_ours = meta["kind"] == "network"
        networks.append(Network.load(own, meta) if is_ours else EstimatorPredictor.load(own, meta, trusted))
    return tuple(networks)
