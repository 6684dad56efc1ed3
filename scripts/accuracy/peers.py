"""Other systems on the same splits, in an environment of their own: `python -m accuracy.peers DATA OUT PEER SET SEED`.

On two threads or two workers, and the CPU. What each takes:

- `rscv`: `RandomizedSearchCV` over scikit-learn's MLP with early stopping, after median imputation, standardising (the
  target too) and one-hot; 20 draws × 3 folds of learning rate, alpha, six architectures and three batch sizes;
- `realmlp`: pytabkit's `RealMLP_TD` as it is; `realmlp_ce`: without label smoothing, stopped by log-loss;
  `realmlp_s`: `RealMLP_TD_S`; `tabm`: `TabM_D`; missing numbers are replaced by medians for all of them;
- `hgb`: scikit-learn's gradient boosting of histograms, 1,000 iterations at most, early stopping, native categories;
  `hgb_tuned`: the same, 20 draws × 3 folds of learning rate, leaves, leaf size, L2 and share of features.
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

from accuracy.kept import Run, keep
from accuracy.sets import split
from scipy.stats import loguniform, randint, uniform
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NETWORKS = {
    "learning_rate_init": loguniform(1e-5, 1e-1),
    "alpha": loguniform(1e-7, 1e-1),
    "hidden_layer_sizes": [(64,), (128,), (256,), (64, 64), (128, 128), (256, 256)],
    "batch_size": [64, 128, 256],
}
TREES = {
    "learning_rate": loguniform(0.01, 0.3),
    "max_leaf_nodes": randint(8, 129),
    "min_samples_leaf": randint(5, 101),
    "l2_regularization": loguniform(1e-4, 10),
    "max_features": uniform(0.3, 0.7),
}


def random_search(estimator, space, data, seed):
    scoring = "neg_root_mean_squared_error" if data.is_regression else "neg_log_loss"
    return RandomizedSearchCV(estimator, space, n_iter=20, cv=3, n_jobs=2, scoring=scoring, random_state=seed)


def rscv(data, seed):
    numeric = [name for name in data.X_train if name not in data.categorical]
    encoding = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("categories", OneHotEncoder(handle_unknown="ignore"), data.categorical),
        ],
        sparse_threshold=0,
    )
    if data.is_regression:
        network = MLPRegressor(early_stopping=True, random_state=seed)
        estimator = TransformedTargetRegressor(make_pipeline(encoding, network), transformer=StandardScaler())
        prefix = "regressor__mlpregressor__"
    else:
        estimator = make_pipeline(encoding, MLPClassifier(early_stopping=True, random_state=seed))
        prefix = "mlpclassifier__"
    return random_search(estimator, {prefix + name: values for name, values in NETWORKS.items()}, data, seed)


def boosting(data, seed):
    kind = HistGradientBoostingRegressor if data.is_regression else HistGradientBoostingClassifier
    return kind(max_iter=1000, early_stopping=True, categorical_features="from_dtype", random_state=seed)


def tuned_boosting(data, seed):
    return random_search(boosting(data, seed), TREES, data, seed)


def pytabkit_model(name, data, seed, **of_classifier):
    import pytabkit  # the other peers need scikit-learn only

    kind = getattr(pytabkit, f"{name}_Regressor" if data.is_regression else f"{name}_Classifier")
    return kind(device="cpu", n_threads=2, random_state=seed, **({} if data.is_regression else of_classifier))


PEERS = {
    "rscv": rscv,
    "realmlp": partial(pytabkit_model, "RealMLP_TD"),
    "realmlp_ce": partial(pytabkit_model, "RealMLP_TD", use_ls=False, val_metric_name="cross_entropy"),
    "realmlp_s": partial(pytabkit_model, "RealMLP_TD_S"),
    "tabm": partial(pytabkit_model, "TabM_D"),
    "hgb": boosting,
    "hgb_tuned": tuned_boosting,
}
"""Name → a function of (split, seed) that gives an estimator."""


def typed(data, peer):
    """The split with pandas categories; for all but boosting, which knows missing values, these are filled."""
    X_train, X_test = data.X_train.copy(), data.X_test.copy()
    medians = X_train.drop(columns=data.categorical).median()
    for X in (X_train, X_test):
        if peer not in ("hgb", "hgb_tuned"):
            X[medians.index] = X[medians.index].fillna(medians)
            X[data.categorical] = X[data.categorical].astype("str").fillna("missing")
        X[data.categorical] = X[data.categorical].astype("category")
    return type(data)(X_train, X_test, data.y_train, data.y_test, data.categorical, data.task)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("set")
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    data = typed(split(arguments.data, arguments.set, arguments.seed), arguments.peer)
    model = PEERS[arguments.peer](data, arguments.seed)
    began = time.perf_counter()
    model.fit(data.X_train, data.y_train)
    about = {"seconds": round(time.perf_counter() - began, 2)}
    run = Run(arguments.peer, arguments.set, arguments.seed, data.predictions(model), data.targets, about)
    print(json.dumps(keep(arguments.out, run)), flush=True)


if __name__ == "__main__":
    main()
