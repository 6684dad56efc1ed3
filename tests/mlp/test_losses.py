"""Every loss of the table: kernel and twin, gradient, references, links."""

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.losses import (
    LOSSES,
    log_one_plus,
    loss_and_gradient,
    smooth_targets,
    smooth_targets_naive,
    softmax_naive,
)

CLASSES = [name for name, loss in LOSSES.items() if loss.of_classes]
NUMBERS = [name for name, loss in LOSSES.items() if not loss.of_classes]
SHAPES = st.tuples(st.integers(1, 30), st.integers(2, 12))
SEEDS = st.integers(0, 2**32 - 1)
PARAMETERS = st.floats(0.05, 0.95)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def one_hot(seed: int, n_rows: int, n_outputs: int) -> np.ndarray:
    return np.eye(n_outputs, dtype=np.float32)[np.random.default_rng(seed).integers(0, n_outputs, n_rows)]


def targets_for(name: str, seed: int, shape: tuple[int, int], kind: str = "mixed") -> np.ndarray:
    if name in NUMBERS:
        return normals(seed, *shape)
    return one_hot(seed, *shape) if kind == "one-hot" else softmax_naive(2 * normals(seed, *shape))


def test_codes_are_unique():
    assert len({loss.code for loss in LOSSES.values()}) == len(LOSSES)


def test_an_unknown_code_is_an_error():
    layer = normals(0, 3, 4)
    with pytest.raises(ValueError, match="no loss"):
        loss_and_gradient(-1, layer, np.zeros(4, np.float32), layer, np.ones(3, np.float32), 0.5)


@pytest.mark.parametrize("kind", ["mixed", "one-hot"])
@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, parameter=PARAMETERS)
def test_a_loss_equals_its_naive_twin(name, kind, shape, seed, parameter):
    loss = LOSSES[name]
    layer, bias = 5 * normals(seed, *shape), normals(seed + 1, shape[1])
    targets, row_weights = targets_for(name, seed + 2, shape, kind), np.abs(normals(seed + 3, shape[0]))
    expected, expected_gradient = loss.naive(layer, bias, targets, row_weights, parameter)
    assert expected_gradient.dtype == np.float32
    through_code = layer.copy()
    total = loss.kernel(layer, bias, targets, row_weights, parameter)
    assert total == pytest.approx(expected, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(layer, expected_gradient, rtol=1e-4, atol=1e-5)
    assert loss_and_gradient(loss.code, through_code, bias, targets, row_weights, parameter) == total
    np.testing.assert_array_equal(through_code, layer)


@pytest.mark.parametrize("name", ["binary_logistic", *NUMBERS])
def test_one_output_is_enough(name):
    loss, layer, bias = LOSSES[name], normals(0, 50, 1), normals(1, 1)
    targets, row_weights = np.abs(np.tanh(normals(2, 50, 1))), np.abs(normals(3, 50))
    expected, expected_gradient = loss.naive(layer, bias, targets, row_weights, 0.3)
    assert loss.kernel(layer, bias, targets, row_weights, 0.3) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(layer, expected_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(seed=SEEDS, parameter=PARAMETERS)
def test_a_gradient_is_the_derivative_of_the_mean_loss(name, seed, parameter):
    loss, shape = LOSSES[name], (6, 4)
    layer, bias = normals(seed, *shape).astype(np.float64), normals(seed + 1, shape[1]).astype(np.float64)
    targets = targets_for(name, seed + 2, shape).astype(np.float64)
    row_weights = np.abs(normals(seed + 3, shape[0])).astype(np.float64)
    _, gradient = loss.naive(layer, bias, targets, row_weights, parameter)
    assert gradient.dtype == np.float64
    step = 1e-6
    for i, j in np.ndindex(layer.shape):
        above, below = layer.copy(), layer.copy()
        above[i, j] += step
        below[i, j] -= step
        if loss.sides is not None:
            sides = [loss.sides(answers + bias, targets, parameter) for answers in (above, below)]
            if not np.array_equal(*sides):
                continue
        high, low = (loss.naive(answers, bias, targets, row_weights, parameter)[0] for answers in (above, below))
        # Huber's slope bends within a step of delta, by no more than the step
        assert (high - low) / (2 * step) / len(layer) == pytest.approx(gradient[i, j], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_knows_its_kinks(name):
    """Between two answers with equal sides the gradient has no jump; losses without sides have none anywhere."""
    loss = LOSSES[name]
    targets = one_hot(0, 1, 3) if loss.of_classes else normals(0, 1, 3)
    gradients, sides = [], []
    for shift in np.linspace(-4, 4, 80_001):
        layer = np.array([[shift, 0.1, -0.3]])
        gradients.append(loss.naive(layer, np.zeros(3), targets, np.ones(1), 0.4)[1])
        sides.append(loss.sides(layer, targets, 0.4) if loss.sides is not None else np.array(True))
    jumped = np.abs(np.diff(gradients, axis=0)).max(axis=(1, 2)) > 0.01
    crossed = np.array([not np.array_equal(a, b) for a, b in zip(sides[1:], sides[:-1], strict=True)])
    np.testing.assert_array_equal(jumped, crossed)
    assert crossed.any() == loss.kinked


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("name", LOSSES)
def test_what_is_not_finite_shows(name, column, bad):
    """NaN in any one answer makes the total NaN; an infinity at least does not come out as a small number."""
    layer, targets = normals(0, 5, 3), targets_for(name, 1, (5, 3), "mixed")
    layer[3, column] = bad
    total = LOSSES[name].kernel(layer, np.zeros(3, np.float32), targets, np.ones(5, np.float32), 0.5)
    assert np.isnan(total) if np.isnan(bad) else not np.isfinite(total)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("column", range(3))
def test_nan_shows_in_every_class_of_one_hot_rows(name, column):
    layer, targets = normals(0, 1, 3), one_hot(0, 1, 3)
    layer[0, column] = np.nan
    total = LOSSES[name].kernel(layer, np.zeros(3, np.float32), targets, np.ones(1, np.float32), 0.5)
    assert np.isnan(total)


@pytest.mark.parametrize("name", ["absolute_error", "huber", "quantile", "squared_error"])
def test_gradients_of_numbers_keep_nan(name):
    layer = np.full((2, 3), np.nan, np.float32)
    LOSSES[name].kernel(layer, np.zeros(3, np.float32), normals(0, 2, 3), np.ones(2, np.float32), 0.5)
    assert np.isnan(layer).all()


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, parameter=PARAMETERS)
def test_the_loss_at_chance_is_that_of_a_last_layer_of_zeros(name, shape, seed, parameter):
    loss = LOSSES[name]
    targets, row_weights = targets_for(name, seed, shape), np.abs(normals(seed + 1, shape[0])) + np.float32(1e-3)
    zeros = np.zeros(shape, np.float32)
    total = loss.kernel(zeros, np.zeros(shape[1], np.float32), targets, row_weights, parameter)
    assert loss.at_chance(targets, row_weights, parameter) == pytest.approx(total / row_weights.sum(), rel=1e-4)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", [30.0, 200.0, 3e4])
def test_large_scores_do_not_overflow(name, size):
    layer = np.array([[size, 0, -size], [-size, 0, size]], dtype=np.float32)
    targets = one_hot(0, 2, 3)
    expected, _ = LOSSES[name].naive(layer.astype(np.float64), np.zeros(3), targets, np.ones(2), 0.5)
    total = LOSSES[name].kernel(layer, np.zeros(3, np.float32), targets, np.ones(2, np.float32), 0.5)
    assert total == pytest.approx(expected, rel=1e-5, abs=1e-10)
    assert np.isfinite(layer).all()


def mean_loss(name: str, layer: np.ndarray, targets: np.ndarray, row_weights: np.ndarray, parameter: float) -> float:
    """The weighted mean loss, by the kernel."""
    no_bias = np.zeros(layer.shape[1], np.float32)
    return LOSSES[name].kernel(layer.copy(), no_bias, targets, row_weights, parameter) / row_weights.sum()


def test_losses_of_classes_equal_their_references():
    layer, targets, row_weights = normals(0, 40, 4), one_hot(1, 40, 4), np.abs(normals(2, 40))
    labels, numbers = targets.argmax(axis=1), np.arange(4)
    assert mean_loss("softmax_cross_entropy", layer, targets, row_weights, 0.0) == pytest.approx(
        sklearn.metrics.log_loss(
            labels, scipy.special.softmax(layer.astype(np.float64), axis=1), sample_weight=row_weights, labels=numbers
        ),
        rel=1e-5,
    )
    assert mean_loss("binary_logistic", layer, targets, row_weights, 0.0) == pytest.approx(
        sum(
            sklearn.metrics.log_loss(
                targets[:, j], scipy.special.expit(layer[:, j].astype(np.float64)), sample_weight=row_weights
            )
            for j in range(4)
        ),
        rel=1e-5,
    )
    # of two classes, Weston and Watkins's loss is the binary hinge of the difference of scores
    assert mean_loss("multiclass_hinge", layer[:, :2], one_hot(3, 40, 2), row_weights, 0.0) == pytest.approx(
        sklearn.metrics.hinge_loss(
            one_hot(3, 40, 2)[:, 1], layer[:, 1] - layer[:, 0], sample_weight=row_weights, labels=[0, 1]
        ),
        rel=1e-5,
    )


def test_the_notes_example_of_the_hinge():
    """Scores 13, −7, 11 of a row of the first class, with margin 1: max(0, −7 − 13 + 1) + max(0, 11 − 13 + 1) = 0."""
    layer = np.array([[13, -7, 11]], dtype=np.float32)
    assert mean_loss("multiclass_hinge", layer, np.eye(3, dtype=np.float32)[:1], np.ones(1, np.float32), 0.0) == 0
    assert mean_loss("multiclass_hinge", layer, np.eye(3, dtype=np.float32)[2:], np.ones(1, np.float32), 0.0) == 3


def test_losses_of_numbers_equal_their_references():
    layer, targets, row_weights = 2 * normals(0, 40, 3), normals(1, 40, 3), np.abs(normals(2, 40))
    weighting = {"sample_weight": row_weights, "multioutput": "raw_values"}
    references = {
        "squared_error": sklearn.metrics.mean_squared_error(targets, layer, **weighting).sum(),
        "absolute_error": sklearn.metrics.mean_absolute_error(targets, layer, **weighting).sum(),
        "quantile": sklearn.metrics.mean_pinball_loss(targets, layer, alpha=0.3, **weighting).sum(),
        "huber": np.average(2 * scipy.special.huber(0.3, layer - targets).sum(axis=1), weights=row_weights),
    }
    assert set(references) == set(NUMBERS)
    for name, reference in references.items():
        assert mean_loss(name, layer, targets, row_weights, 0.3) == pytest.approx(float(reference), rel=1e-5)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", [1, 40, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_links_of_classes_give_probabilities(name, size, dtype):
    layer = (size * normals(0, 2, 20, 5)).astype(dtype)
    probabilities = LOSSES[name].link(layer)
    assert probabilities.dtype == dtype
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    highest = np.take_along_axis(probabilities, layer.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    np.testing.assert_array_equal(highest, probabilities.max(axis=-1))
    assert np.isnan(LOSSES[name].link(np.full((2, 5), np.nan, dtype))).all()


def test_one_logistic_output_is_the_probability_of_the_second_class():
    layer = 10 * normals(0, 3, 20, 1)
    link = LOSSES["binary_logistic"].link
    np.testing.assert_allclose(link(layer), scipy.special.expit(layer), rtol=1e-5)


@pytest.mark.parametrize("name", NUMBERS)
def test_links_of_numbers_change_nothing(name):
    layer = normals(0, 3, 4)
    assert LOSSES[name].link(layer) is layer


def test_parameters_are_named_where_they_matter():
    layer, targets, ones = 3 * normals(0, 20, 4), one_hot(1, 20, 4), np.ones(20, np.float32)
    for name, loss in LOSSES.items():
        differs = mean_loss(name, layer, targets, ones, 0.2) != mean_loss(name, layer, targets, ones, 0.7)
        assert differs == (loss.parameter is not None)


@given(st.floats(0, 1, width=32))
def test_the_logarithm_of_one_plus_a_share(x):
    assert log_one_plus(np.float32(x)) == pytest.approx(np.log1p(x), rel=3e-7)


@settings(max_examples=25)
@given(st.tuples(st.integers(1, 30), st.integers(1, 12)), SEEDS, st.floats(0, 1))
def test_smoothing_equals_its_naive_twin(shape, seed, smoothing):
    targets = softmax_naive(normals(seed, *shape))
    expected = smooth_targets_naive(targets, smoothing)
    assert expected.dtype == np.float32
    smooth_targets(targets, smoothing)
    np.testing.assert_allclose(targets, expected, rtol=1e-6)
    if shape[1] > 1:
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


def test_smoothing_moves_towards_the_even_distribution():
    of_classes, of_one = np.eye(4, dtype=np.float32), np.array([[0], [1]], np.float32)
    smooth_targets(of_classes, 0.1)
    smooth_targets(of_one, 0.1)
    np.testing.assert_allclose(of_classes, np.where(np.eye(4), 0.925, 0.025), rtol=1e-6)
    np.testing.assert_allclose(of_one, [[0.05], [0.95]], rtol=1e-6)
