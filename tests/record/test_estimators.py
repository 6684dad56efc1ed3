import io
import json
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, TweedieRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from hpsearch.record.estimators import from_bytes, to_bytes

CLASSES, NUMBERS = load_iris(return_X_y=True), load_diabetes(return_X_y=True)

ESTIMATORS = [
    LogisticRegression(max_iter=1000),
    Ridge(),
    TweedieRegressor(power=1.5, max_iter=1000),
    SGDClassifier(loss="log_loss", average=True, random_state=0),
    MLPClassifier((4,), max_iter=3, random_state=0),
    MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, solver="sgd", random_state=0),
    RandomForestClassifier(3, max_leaf_nodes=5, random_state=0),
    ExtraTreesRegressor(3, random_state=0),
    GradientBoostingRegressor(n_estimators=3, random_state=0),
    HistGradientBoostingClassifier(max_iter=3),
    BaggingClassifier(DecisionTreeClassifier(), 3, max_features=0.5, random_state=0),
    SVC(),
    SVR(),
    KNeighborsClassifier(algorithm="ball_tree"),
    KNeighborsRegressor(algorithm="kd_tree", p=1),
    GaussianNB(),
    GaussianProcessRegressor(Matern() * RBF() + WhiteKernel(), optimizer=None),
    CalibratedClassifierCV(GaussianNB(), cv=2),
    StackingClassifier([("nb", GaussianNB())], DecisionTreeClassifier(max_depth=2), cv=2),
    make_pipeline(
        ColumnTransformer(
            [("scaled", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1])], remainder="passthrough"
        ),
        FunctionTransformer(np.arcsinh),
        LogisticRegression(max_iter=1000),
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_what_is_common_comes_back_and_predicts_the_same(estimator):
    X, y = CLASSES if is_classifier(estimator) else NUMBERS
    to_bytes(estimator)
    fitted = estimator.fit(X, y)
    again = from_bytes(to_bytes(fitted))
    assert_array_equal(again.predict(X), fitted.predict(X))


class OfMine(ClassifierMixin, BaseEstimator):
    """An estimator that nobody has reviewed."""


def test_an_unknown_type_is_refused_when_it_is_tried_and_when_it_is_read_unless_it_is_trusted():
    name = f"{OfMine.__module__}.OfMine"
    with pytest.raises(ValueError, match=f"Pipeline holds objects of type {name}: .*`trusted`"):
        to_bytes(make_pipeline(StandardScaler(), OfMine()))
    data = to_bytes(OfMine(), [name])
    with pytest.raises(ValueError, match=f"a saved estimator is refused: .*{name}"):
        from_bytes(data)
    assert isinstance(from_bytes(data, [name]), OfMine)


def test_a_function_of_the_user_is_refused():
    with pytest.raises(ValueError, match="FunctionTransformer holds objects of type .*<lambda>"):
        to_bytes(FunctionTransformer(lambda X: X))


def test_what_skops_cannot_save_is_refused_in_words():
    with pytest.raises(ValueError, match="FunctionTransformer cannot be saved"):
        to_bytes(FunctionTransformer(kw_args={"generator": (number for number in range(3))}))


def tampered(fitted, change):
    """The bytes of an estimator, after `change` of each array that is saved with it."""
    old, new = zipfile.ZipFile(io.BytesIO(to_bytes(fitted).tobytes())), io.BytesIO()
    with zipfile.ZipFile(new, "w") as changed:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(data))
                buffer = io.BytesIO()
                np.save(buffer, change(array))
                data = buffer.getvalue()
            changed.writestr(name, data)
    return np.frombuffer(new.getvalue(), dtype=np.uint8)


def setting(field, position, value):
    def change(array):
        if array.dtype.names is not None and field in array.dtype.names:
            array = array.copy()
            array[field][position] = value
        return array

    return change


TREES = {
    "Tree": (RandomForestClassifier(2, random_state=0), ("left_child", "right_child"), "feature"),
    "TreePredictor": (HistGradientBoostingClassifier(max_iter=2), ("left", "right"), "feature_idx"),
}


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_whose_nodes_lead_out_of_it_is_refused(kind):
    estimator, children, feature = TREES[kind]
    fitted = estimator.fit(*CLASSES)
    changes = [(child, value) for child in children for value in (0, 10_000)] + [(feature, 4), (feature, 2**40)]
    from_bytes(tampered(fitted, lambda array: array))
    for field, value in changes:
        with pytest.raises(ValueError, match=f"nodes of a {kind} lead out of it"):
            from_bytes(tampered(fitted, setting(field, 0, value)))


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize(
    ("field", "position", "value"), [("idx_end", 0, 151), ("idx_start", 1, -1), ("is_leaf", -1, 0)]
)
def test_a_tree_of_neighbours_whose_nodes_hold_strangers_is_refused(algorithm, field, position, value):
    fitted = KNeighborsClassifier(algorithm=algorithm).fit(*CLASSES)
    with pytest.raises(ValueError, match="nodes of a (KDTree|BallTree) lead out of it"):
        from_bytes(tampered(fitted, setting(field, position, value)))


def test_a_file_that_names_a_function_to_call_is_refused():
    old, new = zipfile.ZipFile(io.BytesIO(to_bytes(FunctionTransformer(np.arcsinh)).tobytes())), io.BytesIO()
    schema = json.loads(old.read("schema.json"))
    text = json.dumps(schema).replace('"numpy"', '"os"').replace('"arcsinh"', '"system"')
    with zipfile.ZipFile(new, "w") as changed:
        changed.writestr("schema.json", text)
    assert '"system"' in text
    with pytest.raises(ValueError, match="a saved estimator is refused"):
        from_bytes(np.frombuffer(new.getvalue(), dtype=np.uint8))
