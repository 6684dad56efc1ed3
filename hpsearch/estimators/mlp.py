"""`MLPClassifier` and `MLPRegressor`: the engine behind scikit-learn's interface, without a search.

Their arguments are the fields of `Recipe`, by the same names, and those `OF_THE_ESTIMATOR`. What they learn is one
`Fit`, of as many models as are averaged.
"""

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from hpsearch.data.scaling import Scaling, fit_scaling, no_scaling
from hpsearch.data.splits import deal, generator, strata
from hpsearch.mlp.epochs import FRESH_WATCH
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.predict import last_layers
from hpsearch.mlp.recipe import HYPERPARAMETERS, LBFGS, Recipe
from hpsearch.mlp.stack import Stack
from hpsearch.mlp.train import Examples, Fit, advance, start, take

Doubles = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

FORMATS, DTYPES = ("csr", "csc"), (np.float64, np.float32)
"""Of X: how sparse ones may come, and what stays as it is."""

SCALINGS = ("standard", "whiten", None)
CHECKPOINTS = "checkpoints"
LARGEST_SEED = 2**63 - 1
SPLIT_STREAM = 0
"""The purpose of the one draw that `generator` makes here."""

DROPOUT = 0.1
"""By default, as there is no search to find one: better on four of seven sets tried, a row or two worse on two."""

OF_THE_ESTIMATOR: dict[str, tuple[Any, Any]] = {
    "loss": (str, None),
    "initialiser": (str, "glorot_uniform"),
    "dropout": (float, None),
    "schedule": (str, None),
    "n_models": (int, 1),
    "max_iter": (int, 200),
    "early_stopping": (bool, False),
    "validation_fraction": (float, 0.1),
    "n_iter_no_change": (int, 10),
    "scaling": (str, "standard"),
    "weights": (str, None),
    "warm_start": (bool, False),
    "random_state": (int, None),
}
"""What is asked besides the recipe, or with another default: (type, default).

He's larger matrices learn few inputs by heart: iris is predicted to 0.94 from Glorot's, to 0.90 from his.
"""

NOT_ASKED = ("encoding", "patience")
"""Of the recipe: inputs are taken as they are, and patience has scikit-learn's name."""

ARGUMENTS = {
    each.name: (each.type, each.default) for each in fields(Recipe) if each.name not in NOT_ASKED
} | OF_THE_ESTIMATOR

# scikit-learn wants an __init__ that names every argument and stores it as it is: a dataclass has just that
Arguments: Any = make_dataclass(
    "Arguments",
    [(name, kind, field(default=default)) for name, (kind, default) in ARGUMENTS.items()],
    kw_only=True, eq=False, repr=False,
)  # fmt: skip
as_arguments: Any = dataclass(kw_only=True, eq=False, repr=False)

COMMON = """
    Row weights are repetitions: to the last bit, a row of weight 2 is the same as two equal rows, a row of weight 0 the
    same as none, and the order of rows does not matter. To this end equal rows (of equal target) are merged into one of
    their total weight before training, so that a table of few distinct rows has few minibatches.

    Attributes after `fit`:
        loss_curve_: mean training loss of each epoch, noise on, without penalties; the mean of the models in training.
        validation_scores_: with `early_stopping`, the negated loss on the rows held out after each epoch (greater is
            better), in the loss's units: neither accuracy nor R²; else None.
        best_loss_, best_validation_score_: the lowest of the one, the highest of the other, or None.
        n_iter_: epochs trained, of the model that trained longest.
        n_features_in_, feature_names_in_: as in scikit-learn.
        fit_, scaling_: the engine's `Fit` and the inputs' `Scaling`.

    Args (by keyword; the last ones are the engine's, see `hpsearch.mlp.recipe.Recipe`):
        n_models: networks from different seeds whose predictions are averaged. It counts when training begins.
        max_iter: epochs, and the horizon of schedules; with update="lbfgs", iterations.
        early_stopping: hold rows out, end when the loss on them stops falling, and predict with the best weights.
        validation_fraction: share of rows held out (of each class, or of ten bins of a target), in (0, 0.5].
        n_iter_no_change: epochs without a better loss on the rows held out that early stopping waits for, ≥ 1; the
            recipe's `patience`.
        initialiser: None for the one that suits the activation.
        dropout: None for 0.1, or 0 with update="lbfgs".
        schedule: None for "cosine" in `fit`, and "constant" in `partial_fit`, which cannot know how many calls there
            will be. Named, it runs over `max_iter` epochs in both, and then stays at its end.
        scaling: of the inputs, by mean and deviation of the training rows: "standard"; "whiten", PCA whitening besides;
            None for inputs that shall be left alone. Sparse inputs are densified.
        weights: that predict: "ema" (moving average), "raw", "swa", "best" (of early stopping), "checkpoints" (the
            predictions of all that are kept, averaged); None for "best" with early stopping, else "ema". May be changed
            after `fit`.
        warm_start: `fit` goes on with the networks that are there, for `max_iter` epochs more. Schedules then have all
            epochs, those done and those to come, as their horizon; scaling and classes stay as they were first
            learned, patience begins afresh.
        random_state: seed of everything. With a whole number the same data give the same bits.
"""
HYPERPARAMETER_DOCS = (inspect.getdoc(Recipe) or "").partition("Attributes:\n")[2]


def merge_rows(columns: Floats, labels: Doubles, weights: Doubles) -> tuple[Floats, Doubles, Doubles]:
    """Distinct rows with their total weights, in an order that depends on the rows alone; those of weight 0 left out.

    `columns` (n_rows, n_columns), `labels` (n_rows, n_labels), `weights` (n_rows,) ≥ 0. What is learned from the result
    cannot tell a weight from a repetition.
    """
    kept = np.flatnonzero(weights)
    columns = np.ascontiguousarray(columns[kept])
    as_bytes = columns.view(np.dtype((np.void, columns.itemsize * columns.shape[1])))[:, 0]
    order = np.argsort(as_bytes, kind="stable")
    columns, labels, weights = columns[order], labels[kept][order], weights[kept][order]
    group = np.cumsum(np.append(0, (columns[1:] != columns[:-1]).any(axis=1)))
    order = np.lexsort((*labels.T, group))
    labels, weights = labels[order], weights[order]
    is_first = np.append(True, (np.diff(group) > 0) | (labels[1:] != labels[:-1]).any(axis=1))
    return columns[is_first], labels[is_first], np.add.reduceat(weights, np.flatnonzero(is_first))


def mean_curve(curves: Doubles) -> list[float]:
    """The mean over the models (n_models, n_epochs) of those that have a number; NaN where none has."""
    known = ~np.isnan(curves)
    with np.errstate(invalid="ignore"):
        return list((np.where(known, curves, 0).sum(axis=0) / known.sum(axis=0)).tolist())


def resumed(fit: Fit, recipe: Recipe) -> Fit:
    """The fit with other numbers in its recipes: alive again, and patience begins afresh.

    Raises:
        ValueError: for a recipe of other layers, batch size, loss, update rule or kept weights.
    """
    if replace(recipe, patience=0).stack_key != replace(fit.recipes[0], patience=0).stack_key:
        raise ValueError(
            "hidden_layer_sizes, activation, pieces, batch_norm, residual, n_frequencies, batch_size, update, loss, "
            "swa_share and n_checkpoints must stay what they were for training to go on; set warm_start=False to begin "
            "anew"
        )
    watch = fit.watch.copy()
    watch[:, :2] = FRESH_WATCH[:2]
    if recipe.n_checkpoints and recipe.checkpoint_every != fit.recipes[0].checkpoint_every:
        raise ValueError(
            f"checkpoint_every must stay {fit.recipes[0].checkpoint_every} for training to go on, but got "
            f"{recipe.checkpoint_every}"
        )
    return replace(
        fit,
        recipes=(recipe,) * fit.n_models,
        best=np.repeat(fit.average[:, np.newaxis], int(recipe.patience > 0), axis=1),
        watch=watch,
        outcomes=(None,) * fit.n_models,
    )


def living(fit: Fit) -> Fit:
    """The models that did not diverge, with a warning if there are others.

    Raises:
        ValueError: if all diverged.
    """
    failed = [outcome for outcome in fit.outcomes if outcome is not None and outcome.failed]
    if len(failed) == fit.n_models:
        raise ValueError(failed[0].sentence)
    if not failed:
        return fit
    sentence = f"{len(failed)} of {fit.n_models} models are left out. {failed[0].sentence}"
    warnings.warn(sentence, ConvergenceWarning, stacklevel=2)
    return take(fit, [model for model, outcome in enumerate(fit.outcomes) if outcome not in failed])


class _Networks(Arguments, BaseEstimator):
    """What both estimators do: check, scale, train and answer; how targets are read is left to them.

    Targets have two forms: `labels` (n_rows, n_labels) float64, which are numbers of classes, flags or numbers, and
    what the network is to answer, (n_rows, n_outputs) float32.
    """

    fit_: Fit
    scaling_: Scaling
    target_scaling_: Scaling

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for `max_iter` epochs.

        Args:
            X: (n_rows, n_columns) finite numbers: array, DataFrame, or sparse matrix, which is densified.
            y: (n_rows,), or (n_rows, n_outputs) where there are several.
            sample_weight: (n_rows,) ≥ 0.

        Raises:
            ValueError: for bad data or arguments; if every network diverged, with a sentence of advice.
        """
        fresh = not (self.warm_start and hasattr(self, "fit_"))
        X, y, weights = self._checked(X, y, sample_weight, fresh)
        if fresh:
            self._learn_classes(y, None)
        patience = self.n_iter_no_change if self.early_stopping else 0
        self._train(X, self._labels(y), weights, fresh, self._recipe(patience, "cosine"), self.max_iter)
        return self

    def _fit_part(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> None:
        """One epoch more on these rows."""
        fresh = not hasattr(self, "fit_")
        X, y, weights = self._checked(X, y, sample_weight, fresh)
        if fresh or classes is not None:
            self._learn_classes(y, classes)
        self._train(X, self._labels(y), weights, fresh, self._recipe(0, "constant"), 1, horizon=self.max_iter)

    def _checked(self, X: Any, y: Any, sample_weight: Any, fresh: bool) -> tuple[Any, Any, Doubles]:
        """X and y as dense arrays of finite numbers (y of labels, too), and the weights."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=FORMATS,
            dtype=DTYPES,
            multi_output=True,
            y_numeric=is_regressor(self),
            reset=fresh,
        )
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        y = _dense(y)
        return _dense(X), column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y, weights

    def _recipe(self, patience: int, schedule: str) -> Recipe:
        for name in ("n_models", "max_iter", "n_iter_no_change"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number ≥ 1, but got {value!r}")
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling must be 'standard', 'whiten' or None, but got {self.scaling!r}")
        if self.scaling == "whiten" and self.image_shape:
            raise ValueError(f"image_shape must be () with scaling='whiten', but got {self.image_shape!r}")
        own = {
            "loss": self._loss_of_task(),
            "dropout": 0.0 if self.update == LBFGS else DROPOUT,
            "schedule": schedule,
            "patience": patience,
        }
        given = {name: getattr(self, name) for name in HYPERPARAMETERS if getattr(self, name, None) is not None}
        recipe = Recipe.from_config(own | given, own["loss"])
        self._check_loss(recipe.loss)
        if self.weights == CHECKPOINTS and not recipe.n_checkpoints:
            raise ValueError("n_checkpoints must be ≥ 1 with weights='checkpoints', but got 0")
        return recipe

    def _train(
        self, X: Floats, labels: Doubles, weights: Doubles, fresh: bool, recipe: Recipe, n_epochs: int,
        horizon: int | None = None,
    ) -> None:  # fmt: skip
        """Train for so many epochs more; without a `horizon`, all epochs are it."""
        X, labels, weights = merge_rows(X, labels, weights)
        draws = check_random_state(self.random_state).randint(LARGEST_SEED, size=2 + self.n_models, dtype=np.int64)
        split_seed, order_seed, *seeds = draws.tolist()
        valid = self._held_out(labels, split_seed) if recipe.patience else np.zeros(len(X), dtype=np.bool_)
        weights = weights * self._class_weights(labels, weights)
        scaling, target_scaling = (
            self._fit_scalings(X[~valid], labels[~valid], weights[~valid])
            if fresh
            else (self.scaling_, self.target_scaling_)
        )
        examples = Examples(
            inputs=_finite(scaling.apply(X)),
            targets=_finite(self._targets(labels, target_scaling, recipe.loss)),
            row_weights=(weights / weights[~valid].mean()).astype(np.float32),
            train=np.flatnonzero(~valid),
            valid=np.flatnonzero(valid),
            order_seed=order_seed,
        )
        n_inputs, n_outputs = examples.inputs.shape[1], examples.targets.shape[1]
        fit = start([recipe] * self.n_models, seeds, n_inputs, n_outputs) if fresh else resumed(self.fit_, recipe)
        if self.weights not in (None, CHECKPOINTS):
            fit.check_kept(self.weights)
        epochs = int(fit.epochs.max()) + n_epochs
        self.fit_ = living(advance(fit, examples, epochs, horizon or epochs))
        self.scaling_, self.target_scaling_ = scaling, target_scaling
        self._describe()

    def _held_out(self, labels: Doubles, seed: int) -> NDArray[np.bool_]:
        """(n_rows,) whether early stopping watches a row."""
        share = self.validation_fraction
        if not isinstance(share, float | np.floating) or not 0 < share <= 0.5:
            raise ValueError(f"validation_fraction must be a number in (0, 0.5], but got {share!r}")
        held = deal(self._strata(labels), max(1, round(share * len(labels))), generator(seed, SPLIT_STREAM))
        if not held.any():
            raise ValueError(
                "early_stopping must be False where no two distinct rows are of the same class, but got "
                f"n_samples = {len(labels)}"
            )
        return held

    def _fit_scalings(self, X: Floats, labels: Doubles, weights: Doubles) -> tuple[Scaling, Scaling]:
        """Of the inputs and of the labels."""
        # more threads would change the bits
        with one_blas_thread():
            scaling = fit_scaling(X, weights, self.scaling == "whiten") if self.scaling else no_scaling(X.shape[1])
        return scaling, self._target_scaling(labels, weights)

    def _stacks(self, fit: Fit) -> list[Stack]:
        """The networks that predict; ValueError for `weights` that are not kept."""
        if self.weights == CHECKPOINTS:
            kept = [stack for model in range(fit.n_models) for stack in take(fit, [model]).checkpoints()]
            if not kept:
                raise ValueError(
                    f"weights='checkpoints' need a checkpoint, but there is none after {self.n_iter_} epochs"
                )
            return kept
        own = "best" if fit.recipes[0].patience else "ema"
        return [fit.stack_of(own if self.weights is None else self.weights)]

    def _describe(self) -> None:
        history, held_out = self.fit_.history, self.fit_.recipes[0].patience > 0
        self.n_iter_ = int(self.fit_.epochs.max())
        self.loss_curve_ = mean_curve(history[:, :, 0])
        self.best_loss_ = min(self.loss_curve_)
        scores = mean_curve(-history[:, :, 1])
        self.validation_scores_ = scores if held_out else None
        self.best_validation_score_ = float(np.nanmax(scores)) if held_out else None

    def _answers(self, X: Any) -> Doubles:
        """(n_networks, n_rows, n_outputs): the networks' last layers, in float64."""
        check_is_fitted(self)
        X = _dense(validate_data(self, X, accept_sparse=FORMATS, dtype=DTYPES, reset=False))
        stacks = self._stacks(self.fit_)
        with one_blas_thread():
            inputs = _finite(self.scaling_.apply(X))
        rows = np.arange(len(inputs))
        return np.concatenate([last_layers(stack, inputs, rows) for stack in stacks]).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> Any:
    return X.toarray() if hasattr(X, "toarray") else X


def _finite(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(rows).all():
        raise ValueError("X and y must be finite in float32 once they are scaled, but hold numbers that are too large")
    return rows


@as_arguments
class MLPClassifier(ClassifierMixin, _Networks):
    __doc__ = f"""Classification by one network, or by the mean probabilities of several.

    Labels are of any kind; columns of 0 and 1 (n_rows, n_labels) are several labels at once.

    Losses: "softmax_cross_entropy"; "binary_logistic", with one output for two classes, else one per class or label;
    "multiclass_hinge", whose probabilities rank the classes but are not calibrated. None is the first, and for several
    labels the second, the only one there is for them.
    {COMMON}
        class_weight: class → factor of its rows' weights, 1 for those not named; "balanced" for Σ weights /
            (n_classes · Σ weights of the class); None for several labels.
    {HYPERPARAMETER_DOCS}
    """

    class_weight: Mapping[Any, float] | str | None = None

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """One epoch more, on these rows alone; nothing is held out.

        Scaling is learned from the rows of the first call. Arguments as of `fit`, and:

        Args:
            classes: all classes there will be, to be named at the first call.
        """
        if classes is None and not hasattr(self, "fit_"):
            raise ValueError("classes must be passed on the first call to partial_fit")
        self._fit_part(X, y, sample_weight, classes)
        return self

    def predict_proba(self, X: Any) -> Doubles:
        """(n_rows, n_classes) float64, rows sum to 1; of several labels (n_rows, n_labels), each by itself."""
        answers = self._answers(X)
        link = LOSSES[self.fit_.recipes[0].loss].link
        if self.has_several_labels_:
            return np.asarray(link(answers[..., np.newaxis]).mean(axis=0)[..., 0])
        mean = link(answers).mean(axis=0)
        shares = mean if mean.shape[1] == len(self.classes_) else np.hstack([1 - mean, mean])
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> NDArray[Any]:
        """(n_rows,) the most probable classes; for several labels (n_rows, n_labels), 1 where one has more than 1/2."""
        shares = self.predict_proba(X)
        if self.has_several_labels_:
            return (shares > 0.5).astype(np.int64)
        return np.asarray(self.classes_[shares.argmax(axis=1)])

    def _learn_classes(self, y: NDArray[Any], classes: Any) -> None:
        check_classification_targets(y)
        several = y.ndim == 2
        if several and type_of_target(y) != "multilabel-indicator":
            raise ValueError("y must be one column of labels or several of 0 and 1, but is multiclass-multioutput")
        known = np.arange(y.shape[1]) if several else np.unique(y if classes is None else classes)
        if classes is not None and not (
            np.array_equal(np.unique(classes), known) and np.array_equal(known, getattr(self, "classes_", known))
        ):
            raise ValueError(f"classes must stay what they were, but got {classes!r}")
        self.classes_, self.has_several_labels_ = known, several

    def _labels(self, y: NDArray[Any]) -> Doubles:
        """(n_rows, 1) numbers of classes, or (n_rows, n_labels) flags."""
        if (y.ndim == 2) != self.has_several_labels_ or (y.ndim == 2 and y.shape[1] != len(self.classes_)):
            raise ValueError(f"y must have as many columns as it had when training began, but has the shape {y.shape}")
        if self.has_several_labels_:
            return y.astype(np.float64)
        check_classification_targets(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y must hold the classes {self.classes_} alone, but holds {unknown}")
        return np.searchsorted(self.classes_, y)[:, np.newaxis].astype(np.float64)

    def _loss_of_task(self) -> str:
        return "binary_logistic" if self.has_several_labels_ else "softmax_cross_entropy"

    def _check_loss(self, loss: str) -> None:
        if not LOSSES[loss].of_classes:
            raise ValueError(f"loss must be one of classes, but got {loss!r}")
        if self.has_several_labels_ and (loss != "binary_logistic" or self.class_weight is not None):
            raise ValueError(
                "loss must be 'binary_logistic' and class_weight None for several labels, but got "
                f"{loss!r} and {self.class_weight!r}"
            )

    def _class_weights(self, labels: Doubles, weights: Doubles) -> Doubles:
        """(n_rows,) factors of the row weights."""
        if self.class_weight is None:
            return np.ones(len(labels))
        numbers = labels[:, 0].astype(np.int64)
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            totals = np.bincount(numbers, weights)
            return np.asarray(weights.sum() / (len(self.classes_) * totals[numbers]))
        known = self.classes_.tolist()
        if not isinstance(self.class_weight, Mapping) or not set(self.class_weight) <= set(known):
            raise ValueError(
                f"class_weight must be None, 'balanced' or map classes of {known}, but got {self.class_weight!r}"
            )
        factors = np.array([self.class_weight.get(name, 1.0) for name in known], dtype=np.float64)
        if not (np.isfinite(factors).all() and (factors >= 0).all()):
            raise ValueError(f"class_weight must map to numbers ≥ 0, but got {self.class_weight!r}")
        return factors[numbers]

    def _strata(self, labels: Doubles) -> NDArray[np.int64]:
        return np.zeros(len(labels), dtype=np.int64) if self.has_several_labels_ else labels[:, 0].astype(np.int64)

    def _target_scaling(self, labels: Doubles, weights: Doubles) -> Scaling:
        return no_scaling(labels.shape[1])

    def _targets(self, labels: Doubles, scaling: Scaling, loss: str) -> NDArray[np.float32]:
        """One-hot; the flags themselves of two classes with one output, or of several labels."""
        if self.has_several_labels_ or (loss == "binary_logistic" and len(self.classes_) == 2):
            return labels.astype(np.float32)
        return np.asarray(labels == np.arange(len(self.classes_)), dtype=np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@as_arguments
class MLPRegressor(MultiOutputMixin, RegressorMixin, _Networks):
    __doc__ = f"""Regression of one number or several, by one network or by the mean prediction of several.

    Targets are standardised by the training rows; predictions are in their units, and of float64.

    Losses: "squared_error", the one for None; "huber", linear from `huber_delta` deviations of the target on;
    "absolute_error"; "quantile" for that of `quantile`.
    {COMMON}
    {HYPERPARAMETER_DOCS}
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """One epoch more, on these rows alone; nothing is held out.

        Scaling, of the target too, is learned from the rows of the first call. Arguments as of `fit`.
        """
        self._fit_part(X, y, sample_weight, None)
        return self

    def predict(self, X: Any) -> Doubles:
        """(n_rows,) numbers, or (n_rows, n_outputs) of several targets."""
        answers = self._answers(X).mean(axis=0)
        numbers = self.target_scaling_.undo(answers)
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers

    def _learn_classes(self, y: NDArray[Any], classes: None) -> None:
        """Numbers have none."""

    def _labels(self, y: NDArray[Any]) -> Doubles:
        return y.reshape(len(y), -1).astype(np.float64)

    def _loss_of_task(self) -> str:
        return "squared_error"

    def _check_loss(self, loss: str) -> None:
        if LOSSES[loss].of_classes:
            raise ValueError(f"loss must be one of numbers, but got {loss!r}")

    def _class_weights(self, labels: Doubles, weights: Doubles) -> Doubles:
        return np.ones(len(labels))

    def _strata(self, labels: Doubles) -> NDArray[np.int64]:
        return strata(labels[:, 0], "regression")

    def _target_scaling(self, labels: Doubles, weights: Doubles) -> Scaling:
        return fit_scaling(labels, weights)

    def _targets(self, labels: Doubles, scaling: Scaling, loss: str) -> NDArray[np.float32]:
        if labels.shape[1] != len(scaling.mean):
            raise ValueError(
                f"y must have {len(scaling.mean)} columns as when training began, but has {labels.shape[1]}"
            )
        return scaling.apply(labels)
