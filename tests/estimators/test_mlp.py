"""`MLPClassifier` and `MLPRegressor`: scikit-learn's own checks, and what they promise besides."""

import inspect
import pickle
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_classification,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import check_estimator

from hpsearch import MLPClassifier, MLPRegressor
from hpsearch.estimators.mlp import mean_curve, merge_rows
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.recipe import Recipe

BOTH = (MLPClassifier, MLPRegressor)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 8, "random_state": 0}
VARIANTS = {
    "defaults": {},
    "early stopping": {"early_stopping": True},
    "three networks": {"n_models": 3, "max_iter": 40},
    "batch norm": {"batch_norm": True},
    "lbfgs": {"update": "lbfgs", "max_iter": 40},
    "whitened": {"scaling": "whiten"},
    "logistic or huber": {"loss": ("binary_logistic", "huber")},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", BOTH)
# checks that only say that an estimator has no tests for array APIs are skipped with a warning
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_all_checks_of_scikit_learn_pass(kind, variant):
    arguments = dict(VARIANTS[variant])
    if isinstance(arguments.get("loss"), tuple):
        arguments["loss"] = arguments["loss"][BOTH.index(kind)]
    results = check_estimator(kind(**arguments), on_fail="raise")
    assert {result["status"] for result in results} <= {"passed", "skipped"} and len(results) > 50


def classes(n_rows=60, n_classes=3, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_classes
    return generator.standard_normal((n_rows, 4)) + 3 * np.eye(n_classes, 4)[y], y


def numbers(n_rows=60, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows, 4))
    return X, 1000 + 50 * (X[:, 0] - X[:, 1] * X[:, 2]) + generator.standard_normal(n_rows)


DATA = dict(zip(BOTH, (classes, numbers), strict=True))


def output(model, X):
    return model.predict_proba(X) if isinstance(model, MLPClassifier) else model.predict(X)


def test_every_field_of_the_recipe_is_an_argument():
    for kind in BOTH:
        signature = inspect.signature(kind)
        assert {field.name for field in fields(Recipe)} - set(signature.parameters) == {"encoding", "patience"}
        others = ("encoding", "patience", "loss", "initialiser", "dropout", "schedule")
        same = [field for field in fields(Recipe) if field.name not in others]
        assert all(signature.parameters[field.name].default == field.default for field in same)
        assert all(f"{name}" in kind.__doc__ for name in signature.parameters), "documented"


def test_arguments_are_stored_as_they_are_and_copied():
    model = MLPClassifier(hidden_layer_sizes=[3, 2], class_weight={0: 2.0}, n_models=2)
    assert model.hidden_layer_sizes == [3, 2] and clone(model).get_params() == model.get_params()
    assert repr(model) == "MLPClassifier(class_weight={0: 2.0}, hidden_layer_sizes=[3, 2], n_models=2)"
    model.set_params(dropout=0.5)
    assert model.dropout == 0.5


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(kind):
    X, y = DATA[kind]()
    first, second, other = (kind(**SMALL | {"random_state": seed}).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(output(first, X), output(second, X))
    assert (output(first, X) != output(other, X)).any()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "arguments", [{}, {"early_stopping": True}, {"update": "lbfgs"}, {"scaling": "whiten"}, {"mixup": 0.2}]
)
def test_weights_are_repetitions_and_order_does_not_matter(kind, arguments):
    X, y = DATA[kind]()
    weights = np.random.default_rng(1).integers(0, 4, len(X))
    repeated = kind(**SMALL, **arguments).fit(X.repeat(weights, axis=0), y.repeat(weights))
    weighted = kind(**SMALL, **arguments).fit(*shuffle(X, y, random_state=1), shuffle(weights, random_state=1))
    np.testing.assert_array_equal(output(repeated, X), output(weighted, X))


@pytest.mark.parametrize("kind", BOTH)
def test_dense_sparse_and_frames_give_the_same_bits(kind):
    X, y = DATA[kind]()
    X = np.where(abs(X) < 0.5, 0, X)
    expected = output(kind(**SMALL).fit(X, y), X)
    for form in (sparse.csr_array, sparse.csc_matrix, np.asfortranarray):
        np.testing.assert_array_equal(output(kind(**SMALL).fit(form(X), y), form(X)), expected)
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = kind(**SMALL).fit(frame, pd.Series(y))
    np.testing.assert_array_equal(output(model, frame), expected)
    assert list(model.feature_names_in_) == list("abcd") and model.n_features_in_ == 4
    narrow = kind(**SMALL).fit(X.astype(np.float32), y)
    assert narrow.score(X.astype(np.float32), y) == pytest.approx(kind(**SMALL).fit(X, y).score(X, y), abs=0.1)


def test_several_networks_are_averaged_and_the_first_is_the_one_alone():
    X, y = classes()
    one, three = (MLPClassifier(**SMALL, n_models=n_models).fit(X, y) for n_models in (1, 3))
    np.testing.assert_array_equal(three.fit_.stack.weights[0], one.fit_.stack.weights[0])
    link = LOSSES["softmax_cross_entropy"].link
    expected = np.mean([link(answers) for answers in three._answers(X)], axis=0)
    np.testing.assert_allclose(three.predict_proba(X), expected, rtol=1e-12)
    assert not np.array_equal(one.predict_proba(X), three.predict_proba(X))


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.of_classes])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_loss_of_classes_learns_them(loss, n_classes):
    X, y = classes(150, n_classes)
    names = np.array(["no", "yes", "perhaps"])[y]
    model = MLPClassifier(loss=loss, random_state=0, max_iter=50).fit(X, names)
    shares = model.predict_proba(X)
    assert model.score(X, names) > 0.9
    assert shares.shape == (150, n_classes) and shares.dtype == np.float64
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[shares.argmax(axis=1)])


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if not loss.of_classes])
def test_every_loss_of_numbers_learns_them_in_their_units(loss):
    X, y = numbers(200)
    assert MLPRegressor(loss=loss, random_state=0).fit(X, y).score(X, y) > 0.8


def test_a_quantile_lies_above_its_share_of_the_targets():
    X, y = numbers(300)
    below = [
        (y <= MLPRegressor(loss="quantile", quantile=q, random_state=0).fit(X, y).predict(X)).mean() for q in (0.1, 0.9)
    ]
    assert below[0] < 0.25 and below[1] > 0.75


def test_losses_of_the_other_task_are_refused():
    with pytest.raises(ValueError, match="loss must be one of classes, but got 'huber'"):
        MLPClassifier(loss="huber").fit(*classes())
    with pytest.raises(ValueError, match="loss must be one of numbers, but got 'multiclass_hinge'"):
        MLPRegressor(loss="multiclass_hinge").fit(*numbers())


def test_several_targets_are_each_standardised():
    X, y = numbers(200)
    both = np.column_stack([y, -y / 1e6])
    model = MLPRegressor(random_state=0).fit(X, both)
    assert model.predict(X).shape == (200, 2) and model.score(X, both) > 0.8


def test_a_constant_target_is_predicted_exactly():
    X, _ = numbers()
    assert (MLPRegressor(**SMALL).fit(X, np.full(len(X), 12.5)).predict(X) == 12.5).all()


def test_several_labels_at_once():
    X, y = make_multilabel_classification(120, n_classes=4, random_state=0)
    model = MLPClassifier(random_state=0).fit(X, y)
    shares = model.predict_proba(X)
    assert model.predict(X).shape == y.shape and shares.shape == y.shape and model.score(X, y) > 0.5
    assert not np.allclose(shares.sum(axis=1), 1), "each by itself"
    with pytest.raises(ValueError, match="loss must be 'binary_logistic'"):
        MLPClassifier(loss="softmax_cross_entropy").fit(X, y)
    with pytest.raises(ValueError, match="one column of labels or several of 0 and 1"):
        MLPClassifier().fit(X, y * 2 + np.arange(4))


def test_class_weights_multiply_row_weights():
    X, y = classes(61)
    weights = np.where(y == 1, 3.0, 1.0)
    expected = MLPClassifier(**SMALL).fit(X, y, weights).predict_proba(X)
    got = MLPClassifier(**SMALL, class_weight={1: 3.0}).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(got, expected)
    balanced = MLPClassifier(**SMALL, class_weight="balanced").fit(X, y).predict_proba(X)
    by_hand = MLPClassifier(**SMALL).fit(X, y, (61 / (3 * np.bincount(y)))[y]).predict_proba(X)
    np.testing.assert_allclose(balanced, by_hand, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{7: 1.0}, {0: -1.0}, {0: np.nan}, "even"])
def test_wrong_class_weights_are_refused(wrong):
    with pytest.raises(ValueError, match="class_weight must"):
        MLPClassifier(class_weight=wrong).fit(*classes())


def test_early_stopping_holds_rows_out_and_predicts_with_the_best():
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(early_stopping=True, n_iter_no_change=3, max_iter=300, random_state=0).fit(X, y)
    assert model.n_iter_ < 300 and len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.validation_scores_.index(model.best_validation_score_) == model.n_iter_ - 4
    best = model.predict(X)
    assert (model.set_params(weights="ema").predict(X) != best).any()


def test_without_early_stopping_nothing_is_watched():
    X, y = classes()
    model = MLPClassifier(**SMALL).fit(X, y)
    assert model.validation_scores_ is None and model.best_validation_score_ is None
    assert model.n_iter_ == 8 and model.best_loss_ == min(model.loss_curve_)


def test_each_class_is_held_out():
    X, y = classes(100)
    model = MLPClassifier(**SMALL, validation_fraction=0.2).fit(X, y)
    held = model._held_out(y[:, np.newaxis].astype(float), 0)
    assert np.bincount(y[held]).tolist() in ([7, 7, 6], [7, 6, 7], [6, 7, 7])


@pytest.mark.parametrize("kind", BOTH)
def test_scaling_is_by_row_weights(kind):
    X, y = DATA[kind]()
    weights = np.arange(len(X)) % 5.0
    model = kind(**SMALL).fit(X, y, weights)
    np.testing.assert_allclose(model.scaling_.mean, np.average(X, axis=0, weights=weights))
    if kind is MLPRegressor:
        np.testing.assert_allclose(model.target_scaling_.mean, np.average(y, weights=weights))


@pytest.mark.parametrize("kind", BOTH)
def test_rows_held_out_are_not_scaled_by(kind):
    X, y = DATA[kind]()
    model = kind(**SMALL, early_stopping=True, validation_fraction=0.5).fit(X, y)
    merged, labels, weights = merge_rows(X, model._labels(y), np.ones(len(X)))
    seed = int(np.random.RandomState(0).randint(2**63 - 1, size=1, dtype=np.int64)[0])
    held = model._held_out(labels, seed)
    assert held.sum() == 30
    np.testing.assert_allclose(model.scaling_.mean, merged[~held].mean(axis=0))
    if kind is MLPRegressor:
        np.testing.assert_allclose(model.target_scaling_.mean, labels[~held].mean())


def test_rows_that_cannot_be_held_out_are_said_so():
    with pytest.raises(ValueError, match="early_stopping must be False where .* n_samples = 2"):
        MLPClassifier(early_stopping=True).fit([[1.0], [2.0]], [0, 1])


@pytest.mark.parametrize("kind", BOTH)
def test_a_warm_start_goes_on(kind):
    X, y = DATA[kind]()
    model = kind(**SMALL, warm_start=True, schedule="constant").fit(X, y)
    first = output(model, X)
    model.set_params(max_iter=4).fit(X, y)
    assert model.n_iter_ == 12 == len(model.loss_curve_) and (output(model, X) != first).any()
    whole = kind(**SMALL | {"max_iter": 12}, schedule="constant").fit(X, y)
    np.testing.assert_array_equal(output(model, X), output(whole, X))


def test_a_warm_start_takes_new_numbers_but_no_other_layers():
    X, y = classes()
    model = MLPClassifier(**SMALL, warm_start=True).fit(X, y)
    model.set_params(learning_rate_init=0.0, weights="raw")
    before = model.predict_proba(X)
    np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), before)
    with pytest.raises(ValueError, match="must stay what they were"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X, y)
    with pytest.raises(ValueError, match="must hold the classes"):
        model.set_params(hidden_layer_sizes=(8,)).fit(X, y + 1)


def test_patience_begins_afresh_with_a_warm_start():
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(early_stopping=True, n_iter_no_change=2, max_iter=200, warm_start=True, random_state=0).fit(
        X, y
    )
    n_before = model.n_iter_
    assert model.fit(X, y).n_iter_ >= n_before + 3, "the first of them is the best so far"
    model.partial_fit(X, y)
    assert model.validation_scores_ is None and model.predict(X).shape == y.shape


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("schedule", "meaning"), [(None, "constant"), ("cosine", "cosine")])
def test_parts_go_on_where_they_were(kind, schedule, meaning):
    X, y = DATA[kind]()
    of_all = {"classes": [0, 1, 2]} if kind is MLPClassifier else {}
    model = kind(**SMALL, schedule=schedule).partial_fit(X, y, **of_all)
    for _ in range(7):
        model.partial_fit(X, y)
    whole = kind(**SMALL, schedule=meaning).fit(X, y)
    np.testing.assert_array_equal(output(model, X), output(whole, X))
    model.partial_fit(X[:5], y[:5])
    assert model.n_iter_ == 9


def test_parts_need_all_classes_at_first():
    X, y = classes()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    model = MLPClassifier(**SMALL).partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2, 3])
    assert model.predict_proba(X).shape == (60, 4)
    with pytest.raises(ValueError, match="classes must stay"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="must hold the classes"):
        model.partial_fit(X, y + 2)


def test_parts_keep_the_number_of_targets():
    X, y = numbers()
    model = MLPRegressor(**SMALL).partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="y must have 2 columns as when training began, but has 1"):
        model.partial_fit(X, y)


def test_kinds_of_weights_can_be_chosen_afterwards():
    X, y = classes()
    model = MLPClassifier(**SMALL, n_checkpoints=3, swa_share=0.5).fit(X, y)
    found = {kind: model.set_params(weights=kind).predict_proba(X) for kind in ("ema", "raw", "swa", "checkpoints")}
    assert len({shares.tobytes() for shares in found.values()}) == 4
    np.testing.assert_array_equal(found["ema"], model.set_params(weights=None).predict_proba(X))
    with pytest.raises(ValueError, match="weights must be one of raw, ema for these recipes, but got 'swa'"):
        MLPClassifier(**SMALL, weights="swa").fit(X, y)
    with pytest.raises(ValueError, match="n_checkpoints must be ≥ 1 with weights='checkpoints'"):
        MLPClassifier(**SMALL, weights="checkpoints").fit(X, y)


def test_if_all_diverge_that_is_an_error_with_advice():
    X, y = numbers()
    with pytest.raises(ValueError, match="Diverged in epoch .* try a tenth of it"):
        MLPRegressor(**SMALL, update="sgd", learning_rate_init=1e6).fit(X, y)


def test_those_that_diverge_are_left_out():
    X, y = numbers()
    model = MLPRegressor(**SMALL, n_models=3).fit(X, y)
    alone = MLPRegressor(**SMALL).fit(X, y).partial_fit(X, y)
    model.fit_.stack.weights[1:] = np.nan
    with pytest.warns(ConvergenceWarning, match="2 of 3 models are left out. Diverged in epoch 9"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_models": 0}, "n_models must be a whole number ≥ 1, but got 0"),
        ({"max_iter": 2.5}, "max_iter must be a whole number ≥ 1, but got 2.5"),
        ({"n_iter_no_change": True}, "n_iter_no_change must be a whole number"),
        ({"scaling": "robust"}, "scaling must be 'standard', 'whiten' or None, but got 'robust'"),
        ({"early_stopping": True, "validation_fraction": 0.7}, r"validation_fraction must be a number in \(0, 0.5\]"),
        ({"weights": "polyak"}, "weights must be one of raw, ema"),
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"scaling": "whiten", "image_shape": (2, 2)}, r"image_shape must be \(\) with scaling='whiten'"),
    ],
)
def test_misuse_is_refused_at_the_door(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**arguments).fit(*classes())


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_none_are_refused(bad):
    X, y = classes()
    model = MLPClassifier(**SMALL).fit(X, y)
    X[3, 1] = bad
    with pytest.raises(ValueError, match="NaN|infinity|finite"):
        MLPClassifier(**SMALL, scaling=None).fit(X, y)
    with pytest.raises(ValueError, match="NaN|infinity|finite"):
        model.predict(X)


def test_inputs_may_be_left_alone_or_whitened():
    X, y = classes()
    plain = MLPClassifier(**SMALL, scaling=None).fit(X, y)
    np.testing.assert_array_equal(plain.scaling_.apply(X), X.astype(np.float32))
    whitened = MLPClassifier(**SMALL, scaling="whiten").fit(X, y)
    np.testing.assert_allclose(np.cov(whitened.scaling_.apply(X).T, ddof=0), np.eye(4), atol=1e-4)


def test_images_are_augmented_in_training_alone():
    X, y = classes(40, 2)
    model = MLPClassifier(**SMALL, image_shape=(2, 2), shift=1, flip=True).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    assert (MLPClassifier(**SMALL).fit(X, y).predict_proba(X) != model.predict_proba(X)).any()


@pytest.mark.parametrize("kind", BOTH)
def test_pickled_models_predict_the_same(kind):
    X, y = DATA[kind]()
    model = kind(**SMALL).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(output(again, X), output(model, X))
    of_all = {"sample_weight": np.ones(len(X))}
    np.testing.assert_array_equal(
        output(again.partial_fit(X, y, **of_all), X), output(model.partial_fit(X, y, **of_all), X)
    )


def test_within_pipelines_and_searches():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__dropout": [0.0, 0.5]}, cv=3, n_jobs=2).fit(X, y)
    alone = GridSearchCV(pipeline, {"mlpclassifier__dropout": [0.0, 0.5]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_defaults_are_good():
    assert cross_val_score(MLPClassifier(random_state=0), *load_breast_cancer(return_X_y=True), cv=3).mean() > 0.96
    assert cross_val_score(MLPClassifier(random_state=0), *load_iris(return_X_y=True), cv=5).mean() > 0.92
    # scikit-learn's defaults are below 0 here
    assert cross_val_score(MLPRegressor(random_state=0), *load_diabetes(return_X_y=True), cv=3).mean() > 0.3


def test_several_networks_are_surer_of_what_they_say():
    X, y = load_breast_cancer(return_X_y=True)
    losses = [
        log_loss(y[::2], MLPClassifier(n_models=n_models, random_state=0).fit(X[1::2], y[1::2]).predict_proba(X[::2]))
        for n_models in (1, 8)
    ]
    assert losses[1] < losses[0]


def test_merged_rows():
    columns = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0], [1.0, 2.0], [5.0, 5.0]])
    labels = np.array([[0.0], [1.0], [1.0], [0.0], [1.0]])
    merged = merge_rows(columns, labels, np.array([1.0, 2.0, 3.0, 0.5, 0.0]))
    found = sorted(zip(merged[0].tolist(), merged[1][:, 0].tolist(), merged[2].tolist(), strict=True))
    assert found == [([0.0, 1.0], 1.0, 2.0), ([1.0, 2.0], 0.0, 1.5), ([1.0, 2.0], 1.0, 3.0)]


def test_the_mean_curve_is_over_the_models_still_in_training():
    curves = np.array([[4.0, 2.0, np.nan, np.nan], [2.0, 1.0, 0.5, np.nan]])
    np.testing.assert_array_equal(mean_curve(curves), [3.0, 1.5, 0.5, np.nan])


def test_the_readme_s_example_runs():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(from hpsearch import MLPClassifier.*?)```", readme, re.S)
    names: dict[str, object] = {}
    exec(snippet, names)
    assert names["model"].score(names["X"], names["y"]) > 0.95


@pytest.mark.parametrize("weights", ["raw", "ema", "swa", "best", "checkpoints", None])
def test_every_kind_of_weights_can_be_asked_for_from_the_start(weights):
    X, y = make_classification(300, 6, flip_y=0.3, random_state=0)
    model = MLPClassifier(
        n_models=3, early_stopping=True, n_iter_no_change=2, n_checkpoints=2, swa_share=0.9, max_iter=20,
        learning_rate_init=0.02, hidden_layer_sizes=(8,), random_state=0, weights=weights,
    ).fit(X, y)  # fmt: skip
    assert model.predict_proba(X).shape == (300, 2)


def test_zero_and_one_are_numbers_too():
    X, y = classes(40, 2)
    MLPClassifier(**SMALL, weight_decay=0, clip_norm=1, max_norm=1, label_smoothing=0, beta_1=0).fit(X, y)


def test_one_row_more_hardly_moves_the_average():
    X, y = classes(640, 2)
    model = MLPClassifier(random_state=0, batch_size=32, dropout=0.0, hidden_layer_sizes=(8,))
    for _ in range(10):
        model.partial_fit(X, y, classes=np.unique(y))
    before = model.fit_.average.copy()
    model.partial_fit(X[:1], y[:1])
    moved = np.abs(model.fit_.average - before).sum() / np.abs(model.fit_.stack.weights - before).sum()
    assert moved < 0.05


def test_checkpoints_keep_their_pace():
    X, y = classes(40, 2)
    model = MLPClassifier(**SMALL, n_checkpoints=2, checkpoint_every=2, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="checkpoint_every must stay 2"):
        model.set_params(checkpoint_every=1).fit(X, y)
