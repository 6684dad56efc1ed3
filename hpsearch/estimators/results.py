"""`cv_results_`: the trials of a search as scikit-learn's searches tell of theirs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from hpsearch.report.findings import Findings


def cv_results(findings: Findings, is_multimetric: bool) -> dict[str, Any]:
    """Columns by name, one row per trial that was trained, in the order of their numbers; for `pandas.DataFrame`.

    The columns are those of `GridSearchCV`: mean_ and std_ of fit_time and score_time [s] over the folds, the sum over
    all rungs; param_<name>, masked where a trial has none; params; and for each score split<fold>_test_, mean_test_,
    std_test_ and rank_test_<name>, or "score" where there is one. Besides, as in `HalvingGridSearchCV`, n_resources:
    the epochs after which these scores were taken, fewer for trials that were cut. A trial that failed has NaN, and is
    ranked last.
    """
    folds = findings.folds
    results: dict[str, Any] = {}
    for name in ("fit", "score"):
        seconds = _by_fold(folds, f"{name}_seconds")
        results |= {f"mean_{name}_time": seconds.mean(axis=1), f"std_{name}_time": seconds.std(axis=1)}
    configs = [findings.configs[number] for number in folds["trial_number"].unique()]
    names = dict.fromkeys(name for config in configs for name in config)
    results |= {f"param_{name}": _column(configs, name) for name in names}
    results |= {"params": configs, "n_resources": folds.groupby("trial_number")["epochs"].first().to_numpy()}
    for column in folds.columns[folds.columns.str.startswith("value_")]:
        scores = _by_fold(folds, column)
        name = column.removeprefix("value_") if is_multimetric else "score"
        results |= {f"split{fold}_test_{name}": own for fold, own in enumerate(scores.T)}
        means = scores.mean(axis=1)
        results |= {f"mean_test_{name}": means, f"std_test_{name}": scores.std(axis=1)}
        results[f"rank_test_{name}"] = _ranks(means)
    return results


def best_index(findings: Findings) -> int:
    """The row of `cv_results` whose config is called best."""
    return list(findings.configs.values()).index(findings.best_config)


def _by_fold(folds: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(n_trials, n_folds)"""
    return folds.pivot(index="trial_number", columns="fold", values=column).to_numpy()


def _column(configs: Sequence[dict[str, Any]], name: str) -> "np.ma.MaskedArray[Any, Any]":
    """(n_trials,) values of a parameter, of their own type if they are numbers, masked where there are none."""
    values = [config[name] for config in configs if name in config]
    is_number = all(isinstance(value, int | float) for value in values)
    column = np.ma.MaskedArray(np.empty(len(configs), np.result_type(*values) if is_number else object), mask=True)
    for place, config in enumerate(configs):
        if name in config:
            column[place] = config[name]
    return column


def _ranks(means: NDArray[np.float64]) -> NDArray[np.int32]:
    """(n_trials,) 1 for the best; equal scores share the best of their ranks, and NaN is last."""
    return np.asarray(rankdata(-np.nan_to_num(means, nan=-np.inf), method="min"), dtype=np.int32)
