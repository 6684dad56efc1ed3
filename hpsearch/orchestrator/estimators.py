"""Any scikit-learn-compatible classifier or regressor as a learner.

One model is one estimator, trained alone: models share a fit only so that they are sent to a worker together. An error
in one of them is its Outcome. With limits of time or memory each is trained in a child process of its own, see `apart`.
"""

import copy
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor

from hpsearch.data.as_given import rows_of
from hpsearch.data.dataset import Dataset
from hpsearch.data.target import Target
from hpsearch.mlp.outcome import Outcome, killed
from hpsearch.orchestrator.apart import Ended, Limits, Nursery, nursery_of_thread
from hpsearch.orchestrator.learner import Price
from hpsearch.orchestrator.resources import Lesson, growing, resource_of, weights_keyword
from hpsearch.orchestrator.teaching import Classroom, Model, failed, outputs, quiet_estimators, taught, taught_apart
from hpsearch.record.estimators import from_bytes, to_bytes
from hpsearch.space.space import SearchSpace

Tensors = dict[str, NDArray[Any]]
Meta = dict[str, Any]

NEEDED = ("get_params", "set_params", "fit", "predict")


@dataclass(frozen=True, eq=False)
class EstimatorPredictor:
    """A trained estimator and how its answers become outputs.

    Attributes:
        estimator: fitted, on class codes or on numbers in the user's units.
        target: what it was fitted to.
        n_inputs: columns of the inputs.
        trusted: types that may be read besides the reviewed ones, see `record.estimators`.
    """

    estimator: Any
    target: Target
    n_inputs: int
    trusted: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        return self.target.n_outputs

    def predict(self, inputs: Any) -> NDArray[np.float32]:
        """(n_rows, n_outputs) float32, see `teaching.outputs`."""
        return outputs(self.estimator, self.target, inputs)

    def add_votes(self, inputs: Any, vote: float, outputs: NDArray[np.float64]) -> None:
        """outputs += vote · what it predicts."""
        outputs += vote * self.predict(inputs)

    def save(self) -> tuple[Tensors, Meta]:
        meta = {"kind": "estimator", "target": self.target.to_json(), "n_inputs": self.n_inputs}
        return {"estimator": to_bytes(self.estimator, self.trusted)}, meta

    @classmethod
    def load(cls, tensors: Tensors, meta: Meta, trusted: Sequence[str] = ()) -> "EstimatorPredictor":
        """ValueError for a type that is not to be trusted."""
        estimator = from_bytes(tensors["estimator"], trusted)
        return cls(estimator, Target.from_json(meta["target"]), meta["n_inputs"], tuple(trusted))


@dataclass(frozen=True, eq=False)
class EstimatorFit:
    """Estimators in training, see `learner.Fit`."""

    models: tuple[Model, ...]

    @property
    def epochs(self) -> NDArray[np.int64]:
        return np.array([model.epochs for model in self.models], dtype=np.int64)

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        return tuple(model.outcome for model in self.models)

    @property
    def history(self) -> NDArray[np.float64]:
        """(n_models, n_epochs, 3), of which only validation losses are known, and these at the ends of rungs."""
        history = np.full((len(self.models), max(self.epochs), 3), np.nan)
        for model, losses in zip(history, (model.losses for model in self.models), strict=True):
            model[: len(losses), 1] = losses
        return history


@dataclass(frozen=True)
class EstimatorLearner:
    """A scikit-learn-compatible estimator as a learner of one dataset; it can be pickled. Made by `of`.

    Attributes:
        estimator: unfitted; configs set its parameters, `step__parameter` those of its parts.
        resource: what an epoch is: "partial_fit", "warm_start" or "rows", see `resources`.
        order_seed: of the rows' order.
        horizon: epochs of the longest trials.
        error_score: what a trial that raises an error scores: NaN fails it; with "raise" the error goes on.
        limits: of each trial in all its rungs; with any, trials are trained in child processes.
        trusted: names of types that may be saved besides the reviewed ones.
        warnings: sentences for the user.
    """

    estimator: Any
    target: Target
    n_inputs: int
    resource: str
    order_seed: int
    horizon: int
    error_score: float | str
    limits: Limits
    trusted: tuple[str, ...]
    warnings: tuple[str, ...]
    snapshots: ClassVar[bool] = False
    weights: ClassVar[tuple[str, ...]] = ("raw",)
    prefer: ClassVar[str] = "processes"

    @classmethod
    def of(
        cls, estimator: Any, dataset: Dataset, space: SearchSpace, order_seed: int, horizon: int, *,
        error_score: float | str = math.nan, trial_timeout: float | None = None, trial_memory: float | None = None,
        trusted: Sequence[str] = (),
    ) -> "EstimatorLearner":  # fmt: skip
        """Check what is asked.

        Args:
            space: of the estimator's parameters; the resource is chosen such that what it names keeps its meaning.
            error_score: NaN, a number, or "raise".
            trial_timeout: seconds, > 0, that a trial may train and predict for, all its rungs together.
            trial_memory: MB (10⁶ bytes), > 0, that a trial may take beyond the data and the libraries. Linux only.
            trusted: names of types, "package.module.Class", that you have reviewed; they may be saved and read again.

        Raises:
            ValueError: for the first thing that is wrong, naming argument, value and rule.
        """
        check_estimator(estimator, dataset.target)
        check_names(estimator, space)
        to_bytes(estimator, trusted)  # what could not be read again is refused before it is trained
        resource = resource_of(estimator, space)
        return cls(
            estimator=clone(estimator),
            target=dataset.target,
            n_inputs=dataset.n_inputs,
            resource=resource,
            order_seed=order_seed,
            horizon=horizon,
            error_score=_checked_error_score(error_score),
            limits=Limits(_positive("trial_timeout", trial_timeout), _memory(trial_memory)),
            trusted=tuple(trusted),
            warnings=tuple(_remarks(estimator, dataset, "partial_fit" if resource == "partial_fit" else "fit")),
        )

    def check(self, config: Mapping[str, Any]) -> None:
        """ValueError for a config that the estimator does not take, a parameter of a step that is not there, say."""
        try:
            self.configured(config, 0)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"estimator does not take {dict(config)}: {error}") from error

    def configured(self, config: Mapping[str, Any], seed: int) -> Any:
        """An unfitted clone with the config's parameters; `random_state`s that are None get seeds from `seed`."""
        estimator = copy.deepcopy(self.estimator).set_params(**config)
        unset = [name for name, value in estimator.get_params().items() if value is None and _is_random_state(name)]
        return estimator.set_params(**{name: _seed_of(seed, name) for name in unset}) if unset else estimator

    def key(self, config: Mapping[str, Any]) -> Hashable:
        return "estimator"

    def cost(self, config: Mapping[str, Any], dataset: Dataset) -> float:
        """The same for all: what an estimator takes cannot be told beforehand."""
        return float(len(dataset.rows.train))

    def view(self, config: Mapping[str, Any], dataset: Dataset) -> Dataset:
        return dataset

    def price(self, config: Mapping[str, Any]) -> Price:
        """Not known: an estimator may do anything."""
        return Price(math.nan, math.nan)

    def kinds(self, fit: EstimatorFit) -> tuple[str, ...]:
        return self.weights

    def start(self, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> EstimatorFit:
        return EstimatorFit(
            tuple(
                Model(_text(config), int(seed), self.configured(config, int(seed)), np.empty(0))
                for config, seed in zip(configs, seeds, strict=True)
            )
        )

    def advance(
        self, fit: EstimatorFit, dataset: Dataset, epochs: int, should_stop: Callable[[], bool]
    ) -> EstimatorFit:
        """See `Learner`. Raises the error of a trial if `error_score` is "raise"."""
        waiting = [model.outcome is None and model.epochs < epochs for model in fit.models]
        if not any(waiting) or should_stop():
            return fit
        teach = self._apart if self.limits != Limits() else self._here
        new = teach(self.classroom(dataset), fit.models, waiting, epochs, should_stop)
        return EstimatorFit(tuple(new))

    def classroom(self, dataset: Dataset) -> Classroom:
        """The dataset as estimators see it."""
        name = growing(self.estimator) if self.resource == "warm_start" else None
        whole = 0 if name is None else int(self.estimator.get_params()[name])
        valid = dataset.rows.valid
        return Classroom(
            lesson=Lesson.of(dataset, whole, self.order_seed, self.horizon),
            resource=self.resource,
            target=self.target,
            heldout=rows_of(dataset.inputs, dataset.rows.heldout),
            targets=dataset.targets[valid],
            weights=dataset.row_weights[valid],
            raises=self.error_score == "raise",
        )

    def _here(
        self, classroom: Classroom, models: Sequence[Model], waiting: Sequence[bool], epochs: int,
        should_stop: Callable[[], bool],
    ) -> Iterator[Model]:  # fmt: skip
        with quiet_estimators():
            for model, waits in zip(models, waiting, strict=True):
                yield taught(classroom, model, epochs, should_stop) if waits and not should_stop() else model

    def _apart(
        self, classroom: Classroom, models: Sequence[Model], waiting: Sequence[bool], epochs: int,
        should_stop: Callable[[], bool],
    ) -> Iterator[Model]:  # fmt: skip
        nursery = nursery_of_thread()
        nursery.share(classroom)
        for model, waits in zip(models, waiting, strict=True):
            if waits and not should_stop():
                yield self._taught_apart(nursery, model, epochs, should_stop)
            else:
                yield model

    def _taught_apart(self, nursery: Nursery, model: Model, epochs: int, should_stop: Callable[[], bool]) -> Model:
        seconds = self.limits.seconds
        left = replace(self.limits, seconds=None if seconds is None else seconds - model.seconds)
        try:
            answer = nursery.call(taught_apart, model, epochs, limits=left, should_stop=should_stop)
        except InterruptedError:
            return model
        if isinstance(answer, Ended):
            if self.error_score == "raise":
                raise RuntimeError(f"a trial was ended: {self._reason(answer)}")
            return failed(model, epochs, killed(epochs, self._reason(answer)))
        trained: Model = answer
        return trained

    def predict(
        self, fit: EstimatorFit, dataset: Dataset, rows: NDArray[np.int64], weights: str
    ) -> NDArray[np.float32]:
        """As the protocol says; an estimator has one kind of weights. Held-out rows were predicted when it was trained.

        Raises:
            ValueError: for other rows than these, if a fit is thin.
        """
        known = np.array_equal(rows, dataset.rows.heldout)
        predicted = []
        for model in fit.models:
            if not known or model.predictions is None:
                predicted.append(self._predictor(model).predict(rows_of(dataset.inputs, rows)))
            else:
                predicted.append(model.predictions)
        return np.stack(predicted)

    def take(self, fit: EstimatorFit, models: Sequence[int]) -> EstimatorFit:
        return EstimatorFit(tuple(fit.models[model] for model in models))

    def concatenate(self, fits: Sequence[EstimatorFit]) -> EstimatorFit:
        return EstimatorFit(tuple(model for fit in fits for model in fit.models))

    def thin(self, fit: EstimatorFit) -> EstimatorFit:
        """The fit of models that neither go on nor vote: without estimators, which may be large and slow to save."""
        return EstimatorFit(tuple(replace(model, estimator=None) for model in fit.models))

    def save(self, fit: EstimatorFit) -> tuple[Tensors, Meta]:
        """Raises ValueError for an estimator that cannot be saved, or holds a type that is not to be trusted."""
        (model,) = fit.models
        tensors: Tensors = {"losses": model.losses}
        if model.estimator is not None:
            tensors["estimator"] = to_bytes(model.estimator, self.trusted)
        elif model.predictions is not None:
            tensors["predictions"] = model.predictions
        meta = {
            "config": model.config,
            "seed": model.seed,
            "outcome": None if model.outcome is None else asdict(model.outcome),
            "seconds": model.seconds,
        }
        return tensors, meta

    def load(self, tensors: Tensors, meta: Meta) -> EstimatorFit:
        """Raises ValueError for a type that is not to be trusted."""
        outcome, data = meta["outcome"], tensors.get("estimator")
        model = Model(
            config=meta["config"],
            seed=meta["seed"],
            estimator=None if data is None else from_bytes(data, self.trusted),
            losses=tensors["losses"],
            outcome=None if outcome is None else Outcome(**outcome),
            predictions=tensors.get("predictions"),
            seconds=meta["seconds"],
        )
        return EstimatorFit((model,))

    def is_of(self, fit: EstimatorFit, config: Mapping[str, Any], seed: int) -> bool:
        return [(model.config, model.seed) for model in fit.models] == [(_text(config), seed)]

    def predictor(self, fit: EstimatorFit, weights: str) -> EstimatorPredictor:
        (model,) = fit.models
        return self._predictor(model)

    def _predictor(self, model: Model) -> EstimatorPredictor:
        if model.estimator is None:
            raise ValueError("a model that failed, or was kept without its estimator, cannot predict")
        return EstimatorPredictor(model.estimator, self.target, self.n_inputs, self.trusted)

    def _reason(self, ended: Ended) -> str:
        """Why a trial was ended, as a clause."""
        limits = {
            "seconds": f"trial_timeout={self.limits.seconds} s",
            "memory": f"trial_memory={self.limits.memory} MB",
        }
        return f"it took more than {limits[ended.reason]}" if ended.reason in limits else ended.reason


def check_estimator(estimator: Any, target: Target) -> None:
    """ValueError unless this is an instance of what scikit-learn takes for an estimator of the target's task."""
    if isinstance(estimator, type):
        raise ValueError(f"estimator must be an instance, but got a class: give {estimator.__name__}()")
    missing = [name for name in NEEDED if not callable(getattr(estimator, name, None))]
    if missing:
        raise ValueError(f"estimator must have {', '.join(missing)}, as scikit-learn's have, but got {estimator!r}")
    kind, suits = ("regressor", is_regressor) if target.task == "regression" else ("classifier", is_classifier)
    try:
        fits = suits(estimator)
    except AttributeError as error:
        raise ValueError(f"estimator must tell its type by scikit-learn's tags: {error}") from error
    if not fits:
        raise ValueError(f"estimator must be a {kind}, since the task is {target.task}, but got {estimator!r}")


def check_names(estimator: Any, space: SearchSpace) -> None:
    """ValueError if the space names something that is no parameter of the estimator or of its parts."""
    space.check_names(estimator.get_params(deep=True))


def described(thing: Any) -> Any:
    """An estimator with all its parameters and parts as JSON values: equal if and only if they are.

    Its `repr` is cut where it is long, and of a class that has none of its own changes from process to process.
    """
    if hasattr(thing, "get_params") and not isinstance(thing, type):
        parameters = {name: described(value) for name, value in thing.get_params(deep=False).items()}
        return {"class": f"{type(thing).__module__}.{type(thing).__qualname__}", **parameters}
    if isinstance(thing, list | tuple | np.ndarray):
        return [described(part) for part in thing]
    return repr(thing)


def _remarks(estimator: Any, dataset: Dataset, method: str) -> Iterator[str]:
    """What a user should know of an estimator on these data."""
    name = type(estimator).__name__
    if dataset.sample_weight is not None and weights_keyword(estimator, method) is None:
        yield f"{name} takes no sample_weight: it is trained without, and scored with it."
    if dataset.class_weight is not None and weights_keyword(estimator, method) is None:
        yield f"{name} takes no sample_weight, so it is trained without class_weight."
    if dataset.task != "regression" and not hasattr(estimator, "predict_proba"):
        yield f"{name} gives no probabilities: the class it predicts counts as certain."


def _checked_error_score(score: object) -> float | str:
    if score == "raise":
        return "raise"
    if isinstance(score, bool) or not isinstance(score, Real):
        raise ValueError(f"error_score must be a number, NaN, or 'raise', but got {score!r}")
    return float(score)


def _positive(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a number > 0, or None, but got {value!r}")
    return float(value)


def _memory(trial_memory: object) -> float | None:
    if trial_memory is not None and not Path("/proc/self/statm").exists():
        raise ValueError(f"trial_memory={trial_memory!r} needs /proc, which this system has not: give None")
    return _positive("trial_memory", trial_memory)


def _is_random_state(name: str) -> bool:
    return name == "random_state" or name.endswith("__random_state")


def _seed_of(seed: int, name: str) -> int:
    """31 bits, a function of the trial's seed and the parameter's name."""
    return int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0] >> 1)


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(dict(config), sort_keys=True)
