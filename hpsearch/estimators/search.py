"""`SearchClassifier` and `SearchRegressor`: a whole search behind scikit-learn's interface.

Their arguments are those of `search`, by the same names; `fit` is a search, and what it finds predicts.
"""

import inspect
from dataclasses import field, make_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    column_or_1d,
    get_tags,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from hpsearch.api import Result, search
from hpsearch.data.scoring import AsScorer, scorers_of
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.estimators.results import best_index, cv_results
from hpsearch.estimators.rows import Examples, distinct, enough

LARGEST_SEED = 2**63 - 1
OF_THE_DATA = ("groups", "sample_weight", "task", "X_test", "y_test", "test_size")
"""Arguments of `search` that `fit` has, or knows by itself, or that are left to cross-validation."""
QUIET = {"verbose": 0}

ARGUMENTS = {
    name: QUIET.get(name, argument.default)
    for name, argument in inspect.signature(search).parameters.items()
    if argument.kind is argument.KEYWORD_ONLY and name not in OF_THE_DATA
}

# scikit-learn wants an __init__ that names every argument and stores it as it is: a dataclass has just that
Arguments: Any = make_dataclass(
    "Arguments",
    [(name, Any, field(default=default)) for name, default in ARGUMENTS.items()],
    kw_only=True, eq=False, repr=False,
)  # fmt: skip


COMMON = """
    Arguments, by keyword, are those of `hpsearch.search`, under the same names and with the same defaults, but for
    verbose=0; what it says of the data is for `fit`, and test rows are left to cross-validation. `random_state` may
    also be None or a `RandomState`, for a search that is never the same twice. With `storage`, a second `fit` goes on
    with the study of the first, so its data must be the same.

    X is a DataFrame, with text, booleans and categories too, or an array; cells may be missing.

    Without an `estimator`, row weights are repetitions: to the last bit, a row of weight 2 is the same as two equal
    rows, a row of weight 0 the same as none. To this end equal rows (of equal target and group, and on the same side of
    each fold) are merged into one of their total weight, so that they are never on two sides of a split, and the order
    of rows matters to folds that count them only. A table of fewer than 12 different rows, of which none can be held
    out, is repeated, with a warning that its scores say little.

    Attributes after `fit`:
        ensemble_: what predicts, an `Ensemble`. result_: all that was found, a `Result`; see its `honest_score`.
        best_params_: the hyperparameters of the best trial, chosen with other seeds where there are any.
        best_index_: its row in `cv_results_`. best_score_: its mean score there. It was chosen for it.
        cv_results_: one row per trial; the columns are those of `GridSearchCV`, see `estimators.results`.
        n_splits_: folds; 1 where the validation rows are the only split.
        scorer_: (estimator, X, y) → the score that ranks, or with several a dict of all.
        multimetric_: are there several?
        n_features_in_, feature_names_in_: as in scikit-learn.
"""


class _Search(Arguments, BaseEstimator):
    """What both do: check, search and answer; how targets are read is left to them."""

    result_: Result
    ensemble_: Ensemble
    scorer_: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Search, see `hpsearch.search`. What a user should know of it comes as UserWarnings.

        Args:
            X: (n_rows, n_columns) DataFrame, or array.
            y: (n_rows,) labels or numbers.
            sample_weight: (n_rows,) ≥ 0.
            groups: (n_rows,) labels of rows that must not be torn apart by `cv`.

        Raises:
            ValueError: for bad data or arguments.
            AllTrialsFailed: when no trial gave a usable model.
        """
        table = self._table(X, reset=True)
        y = self._checked_target(y)
        check_consistent_length(table, y, groups)
        weights = _check_sample_weight(sample_weight, table, dtype=np.float64, ensure_non_negative=True)
        examples = Examples(table, y, weights, None if groups is None else np.asarray(groups), self.cv)
        examples = enough(distinct(examples) if self.estimator is None else examples)
        arguments = {name: getattr(self, name) for name in ARGUMENTS} | {
            "random_state": self._seed(),
            "task": self._task(examples.y),
            "cv": examples.cv,
            "groups": examples.groups,
            "sample_weight": examples.sample_weight,
        }
        self.result_ = search(examples.X, examples.y, **arguments)
        self.ensemble_ = self.result_.ensemble
        self._describe()
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """(n_rows,) the most probable labels, or numbers in the target's units."""
        check_is_fitted(self)
        return self.ensemble_.predict(self._table(X, reset=False))

    def _first_score(self, X: Any, y: Any, sample_weight: Any) -> float:
        check_is_fitted(self)
        scorer = next(iter(self.scorer_.values())) if self.multimetric_ else self.scorer_
        return float(scorer(self, X, y, sample_weight))

    def _table(self, X: Any, reset: bool) -> Any:
        """X, checked: a DataFrame as it is, but for names that are not text, or an array of numbers or objects."""
        if not isinstance(X, pd.DataFrame):
            # as objects, since NumPy would turn numbers next to text into text
            X = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else X
            fewest = {"ensure_min_samples": 2} if reset else {}
            return validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", **fewest)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if hasattr(self, "feature_names_in_"):
            return X
        return X.set_axis([f"x{position}" for position in range(X.shape[1])], axis=1)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(LARGEST_SEED, dtype=np.int64))

    def _describe(self) -> None:
        findings, scorers = self.result_.findings, scorers_of(self.scoring, self.ensemble_.target)
        self.multimetric_ = isinstance(self.scoring, list | tuple | dict)
        of_sklearn = {scorer.name: AsScorer(scorer) for scorer in scorers}
        self.scorer_ = of_sklearn if self.multimetric_ else of_sklearn[scorers[0].name]
        self.cv_results_ = cv_results(findings, self.multimetric_)
        self.n_splits_ = int(findings.folds["fold"].nunique())
        self.best_index_ = best_index(findings)
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        name = scorers[0].name if self.multimetric_ else "score"
        self.best_score_ = float(self.cv_results_[f"mean_test_{name}"][self.best_index_])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        else:
            tags.input_tags = replace(get_tags(self.estimator).input_tags, sparse=False)
        return tags


class SearchClassifier(ClassifierMixin, _Search):
    __doc__ = f"""Classification by the ensemble that a search of hyperparameters finds.
    {COMMON}
        classes_: (n_classes,) the labels, sorted.
    """

    @property
    def classes_(self) -> NDArray[Any]:
        return self.ensemble_.classes_

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n_rows, n_classes) float64, rows sum to 1, in the order of `classes_`."""
        check_is_fitted(self)
        return np.asarray(self.ensemble_.predict_proba(self._table(X, reset=False)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The first score of `scoring`; without one accuracy, as scikit-learn's classifiers have it."""
        if self.scoring is None:
            return float(super().score(X, y, sample_weight))
        return self._first_score(X, y, sample_weight)

    def _checked_target(self, y: Any) -> NDArray[Any]:
        labels = _column(y)
        check_classification_targets(labels)
        return labels

    def _task(self, y: NDArray[Any]) -> str:
        return "binary" if len(np.unique(y)) == 2 else "multiclass"


class SearchRegressor(RegressorMixin, _Search):
    __doc__ = f"""Regression by the ensemble that a search of hyperparameters finds.
    {COMMON}
    """

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The first score of `scoring`; without one R², as scikit-learn's regressors have it."""
        if self.scoring is None:
            return float(super().score(X, y, sample_weight))
        return self._first_score(X, y, sample_weight)

    def _checked_target(self, y: Any) -> NDArray[Any]:
        return np.asarray(_column(y), dtype=np.float64)

    def _task(self, y: NDArray[Any]) -> str:
        return "regression"


def _column(y: Any) -> NDArray[Any]:
    column: NDArray[Any] = column_or_1d(y, warn=True)
    assert_all_finite(column, input_name="y")
    return column
