"""The sets that everybody is run on, and the one split of each that every contender sees.

A folder of sets holds one folder per set: SOURCE.json (its `task` and `categorical_columns`) beside data.csv.gz (its
target is the column `target`), or beside data.npz (images, with their official split).
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split

PUBLIC_SETS = (
    "telco_churn", "magic_telescope", "covertype_20k", "california_housing", "bike_sharing_hour", "hotel_rates",
    "connect4", "diamonds", "shuttle", "adult", "pd_speech", "fashion_mnist",
)  # fmt: skip

BUILT_IN = {
    "digits": (load_digits, "multiclass", 0.25),
    "breast_cancer": (load_breast_cancer, "binary", 0.2),
    "diabetes": (load_diabetes, "regression", 0.2),
}
"""scikit-learn's own: how each is loaded, its task, and the share of its rows that are test rows."""


@dataclass(frozen=True, eq=False)
class Split:
    """One set and one seed.

    Attributes:
        X_train, X_test: DataFrames of raw columns.
        y_train, y_test: Series of labels or numbers.
        categorical: names of the columns that are categories.
        task: "binary", "multiclass" or "regression".
    """

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series
    categorical: list[str]
    task: str

    @property
    def is_regression(self):
        return self.task == "regression"

    @property
    def classes(self):
        return np.unique(self.y_train)

    @property
    def targets(self):
        """(n_test,): positions among the sorted classes, or numbers."""
        y_test = self.y_test.to_numpy()
        return y_test.astype(float) if self.is_regression else np.searchsorted(self.classes, y_test)

    def predictions(self, model):
        """A fitted model's, of the test rows: probabilities (n_test, n_classes), or numbers (n_test,)."""
        if self.is_regression:
            return np.asarray(model.predict(self.X_test)).reshape(-1)
        if list(model.classes_) != list(self.classes):
            raise ValueError(f"{model!r} orders its classes as {model.classes_}, not as {self.classes}")
        return np.asarray(model.predict_proba(self.X_test))


def split(folder, name, seed):
    """The rows to learn from and the test rows: `train_test_split(random_state=seed)`, stratified for classes.

    Images have their official split for every seed.
    """
    if name in BUILT_IN:
        load, task, share = BUILT_IN[name]
        X, y = load(return_X_y=True, as_frame=True)
        return _dealt(X, y, [], task, share, seed)
    source = json.loads((folder / name / "SOURCE.json").read_text())
    if (folder / name / "data.npz").exists():
        return _images(np.load(folder / name / "data.npz"), source["task"])
    table = pd.read_csv(folder / name / "data.csv.gz", keep_default_na=False, na_values=[""], low_memory=False)
    X, y = table.drop(columns="target"), table["target"]
    return _dealt(X, y, source["categorical_columns"], source["task"], 0.2, seed)


def _dealt(X, y, categorical, task, share, seed):
    stratify = None if task == "regression" else y
    return Split(*train_test_split(X, y, test_size=share, random_state=seed, stratify=stratify), categorical, task)


def _images(arrays, task):
    X_train, X_test = (_pixels(arrays[name]) for name in ("X_train", "X_test"))
    return Split(X_train, X_test, pd.Series(arrays["y_train"]), pd.Series(arrays["y_test"]), [], task)


def _pixels(images):
    flat = images.reshape(len(images), -1)
    return pd.DataFrame(flat, columns=[f"pixel_{position}" for position in range(flat.shape[1])])
