"""scikit-learn's estimators as bytes and back, without pickle. This is the only door to skops.

What comes back can hold objects of reviewed types only, skops builds no others: a type that is neither in its own list
nor in `REVIEWED` is refused in words, when a study begins and again when a file is read. Types whose arrays compiled
code follows without looking (trees) are looked through after reading, so that a file made to do harm cannot make
scikit-learn read beyond their memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree._tree import Tree

REVIEWED = (
    # Plain Python objects: numbers and arrays in attributes, nothing runs when they are made.
    "numpy.dtype",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.utils._bunch.Bunch",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    # Gaussian processes' kernels: parameters alone, combined by arithmetic.
    "sklearn.gaussian_process.kernels.CompoundKernel",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Exponentiation",
    "sklearn.gaussian_process.kernels.ExpSineSquared",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    # Functions of tables that do nothing but compute, and a call of one that is itself reviewed, with some arguments.
    "functools.partial",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.utils.validation.check_array",
    # Loss and distance functions, compiled: a few numbers of their own, checked when they are set.
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
    "sklearn.metrics._dist_metrics.CanberraDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HammingDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    # Trees: arrays of node numbers that compiled code follows without looking; `_check_trees` looks.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
"""Types that may be read besides those skops trusts (scikit-learn's estimators, NumPy's arrays and generators)."""

WORDS = "it could not be read again safely: give one of scikit-learn's own, or name in `trusted` what you have reviewed"


@cache
def _skops() -> ModuleType:
    # It imports all of scikit-learn, which takes half a second: who searches networks need not wait for it.
    return import_module("skops.io")


def to_bytes(estimator: object, trusted: Sequence[str] = ()) -> NDArray[np.uint8]:
    """An estimator, fitted or not, in skops' format, (n_bytes,) uint8.

    `trusted`: names of types, "package.module.Class", that may be saved besides the reviewed ones.

    Raises:
        ValueError: if something in it cannot be saved, or could not be read again.
    """
    try:
        data = _skops().dumps(estimator)
    except TypeError as error:
        raise ValueError(f"{type(estimator).__name__} cannot be saved: {error}") from error
    unknown = set(_skops().get_untrusted_types(data=data)) - {*REVIEWED, *trusted}
    if unknown:
        raise ValueError(f"{type(estimator).__name__} holds objects of type {', '.join(sorted(unknown))}: {WORDS}")
    return np.frombuffer(data, dtype=np.uint8)


def from_bytes(data: NDArray[np.uint8], trusted: Sequence[str] = ()) -> Any:
    """The estimator that `to_bytes` was given. Nothing that is saved with it can run while it is read.

    Raises:
        ValueError: for a type that is neither reviewed nor in `trusted`, and for a tree whose nodes lead out of it.
    """
    try:
        estimator = _skops().loads(data.tobytes(), trusted=[*REVIEWED, *trusted])
    except TypeError as error:
        raise ValueError(f"a saved estimator is refused: {str(error).splitlines()[0]}") from None
    _check_trees(estimator)
    return estimator


def _check_trees(estimator: object) -> None:
    """ValueError if a tree anywhere in the estimator has a node that leads out of it, or asks for a missing column."""
    for part, n_columns in _parts(estimator, None):
        if isinstance(part, Tree):
            is_leaf = part.children_left == -1
            sound = part.n_features <= _known(n_columns, part.n_features) and _leads_on(
                part.children_left, part.children_right, part.feature, is_leaf, part.n_features
            )
        elif isinstance(part, TreePredictor):
            nodes = part.nodes
            is_leaf = nodes["is_leaf"] != 0
            by_category = nodes["bitset_idx"][~is_leaf & (nodes["is_categorical"] != 0)]
            sound = bool((by_category < len(part.raw_left_cat_bitsets)).all()) and _leads_on(
                nodes["left"], nodes["right"], nodes["feature_idx"], is_leaf, _known(n_columns, 0)
            )
        elif isinstance(part, KDTree | BallTree):
            sound = _is_sound(*map(np.asarray, part.get_arrays()[:3]))
        else:
            continue
        if not sound:
            raise ValueError(f"a saved estimator is refused: nodes of a {type(part).__name__} lead out of it")


def _known(n_columns: int | None, otherwise: int) -> int:
    return otherwise if n_columns is None else n_columns


def _leads_on(
    left: NDArray[Any], right: NDArray[Any], feature: NDArray[Any], is_leaf: NDArray[np.bool_], n_columns: int
) -> bool:
    """Has every inner node children that come after it, within the tree, and a column to ask for?"""
    inner = np.flatnonzero(~is_leaf)
    on = [(inner < child[inner]) & (child[inner] < len(is_leaf)) for child in (left, right)]
    known = (feature[inner] >= 0) & (feature[inner] < n_columns)
    return len(is_leaf) > 0 and bool(np.all(on)) and bool(np.all(known))


def _is_sound(data: NDArray[Any], indices: NDArray[Any], nodes: NDArray[Any]) -> bool:
    """Of a ball tree or k-d tree: do all nodes hold rows that are there, and only those with children have any?"""
    start, end, n_rows = nodes["idx_start"], nodes["idx_end"], len(data)
    within = (start >= 0) & (start <= end) & (end <= n_rows)
    childless = 2 * np.arange(len(nodes)) + 2 >= len(nodes)
    rows_there = len(indices) == n_rows and bool(np.all((indices >= 0) & (indices < n_rows)))
    return rows_there and bool(np.all(within)) and bool(np.all(nodes["is_leaf"][childless] != 0))


def _parts(root: object, n_columns: int | None) -> Iterator[tuple[object, int | None]]:
    """All objects within `root`, each with the number of columns of the nearest estimator that holds it."""
    waiting, seen = [(root, n_columns)], {id(root)}
    while waiting:
        part, n_columns = waiting.pop()
        yield part, n_columns
        n_columns = getattr(part, "n_features_in_", n_columns)
        for inner in _held_by(part):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append((inner, n_columns))


def _held_by(part: object) -> Iterable[object]:
    if isinstance(part, Mapping):
        return list(part.values())
    if isinstance(part, list | tuple | set):
        return part
    if isinstance(part, np.ndarray):
        return list(part.ravel()) if part.dtype == object else ()
    return list(vars(part).values()) if hasattr(part, "__dict__") and not isinstance(part, type) else ()
