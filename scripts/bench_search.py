"""Our default `search` against `RandomizedSearchCV` over scikit-learn's MLP, on scikit-learn's own data sets.

    python scripts/bench_search.py [--seeds 5] [--sets digits breast_cancer diabetes] [--json FILE]

Each seed takes another 25 % of the rows as untouched test rows (stratified for classes). Two workers, one BLAS thread
each. Warm-up (imports, compilation or loading of kernels, joblib's worker processes) is done before the clock starts,
for both. Scores: accuracy for digits, negated log-loss for breast_cancer, R² for diabetes.
"""

import argparse
import json
import os
import time
import warnings

import numpy as np
import pandas as pd
from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hpsearch import search


def accuracy(model, X, y):
    return accuracy_score(y, model.predict(X))


def negated_log_loss(model, X, y):
    return -log_loss(y, model.predict_proba(X))


def r_squared(model, X, y):
    return r2_score(y, model.predict(X))


SETS = {
    "digits": (load_digits, accuracy, None),
    "breast_cancer": (load_breast_cancer, negated_log_loss, "neg_log_loss"),
    "diabetes": (load_diabetes, r_squared, None),
}


def rival(X, y, seed, scoring, regression, n_iter=40):
    """The search of the comparison; for log-loss it is given that score to rank by."""
    estimator = MLPRegressor if regression else MLPClassifier
    name = estimator.__name__.lower()
    return RandomizedSearchCV(
        make_pipeline(StandardScaler(), estimator(hidden_layer_sizes=(128,), early_stopping=True, random_state=seed)),
        {f"{name}__learning_rate_init": loguniform(1e-5, 1), f"{name}__alpha": loguniform(1e-6, 1)},
        n_iter=n_iter,
        cv=3,
        n_jobs=2,
        scoring=scoring,
        random_state=seed,
    ).fit(X, y)


def run(name, seed):
    """One set, one seed: scores, seconds and our honest score."""
    load, score, scoring = SETS[name]
    X, y = load(return_X_y=True)
    regression = name == "diabetes"
    stratify = None if regression else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    began = time.perf_counter()
    ours = search(X_train, y_train, n_jobs=2, random_state=seed, verbose=0)
    our_seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = rival(X_train, y_train, seed, scoring, regression)
    their_seconds = time.perf_counter() - began
    return {
        "set": name,
        "seed": seed,
        "ours": score(ours.ensemble, X_test, y_test),
        "rival": score(theirs, X_test, y_test),
        "our_seconds": our_seconds,
        "rival_seconds": their_seconds,
        "honest": ours.honest_score,
    }


def warm_up():
    X, y = load_digits(return_X_y=True)
    search(X[:200], y[:200], n_trials=2, max_epochs=1, n_jobs=2, verbose=0)
    rival(X[:200], y[:200], 0, None, False, n_iter=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--json", help="write the rows of all runs to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # in joblib's processes too
    rows = []
    with threadpool_limits(1):  # joblib's processes have one each, for two of them on two cores
        warm_up()
        for name in arguments.sets:
            for seed in range(arguments.seeds):
                rows.append(run(name, seed))
                print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    table["difference"] = table["ours"] - table["rival"]
    table["share_of_time"] = table["our_seconds"] / table["rival_seconds"]
    print(table.round(4).to_string(index=False))
    summary = table.groupby("set", sort=False).agg(
        ours=("ours", "mean"),
        rival=("rival", "mean"),
        difference=("difference", "mean"),
        standard_error=("difference", lambda values: values.std(ddof=1) / np.sqrt(len(values))),
        our_seconds=("our_seconds", "mean"),
        rival_seconds=("rival_seconds", "mean"),
        share_of_time=("share_of_time", "mean"),
    )
    print(summary.round(4).to_string())
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
