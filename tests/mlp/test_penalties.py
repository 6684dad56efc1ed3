"""Penalties, clipping, max-norm and pruning: kernels against naive twins, and what each promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.penalties import (
    clip_norm,
    clip_norm_naive,
    clip_values,
    clip_values_naive,
    elastic,
    limit_norms,
    limit_norms_naive,
    penalty_naive,
    prune,
)

SEEDS = st.integers(0, 2**32 - 1)
LIMITS = st.floats(1e-3, 100)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=50)
@given(st.integers(0, 300), SEEDS, LIMITS)
def test_clipping_equals_its_naive_twins(n, seed, limit):
    gradient = normals(seed, n)
    by_value, by_norm = gradient.copy(), gradient.copy()
    clip_values(by_value, limit)
    clip_norm(by_norm, limit)
    np.testing.assert_array_equal(by_value, clip_values_naive(gradient, np.float32(limit)))
    np.testing.assert_allclose(by_norm, clip_norm_naive(gradient, limit), rtol=1e-5)
    assert np.linalg.norm(by_norm) <= limit * (1 + 1e-5)


@settings(max_examples=50)
@given(st.tuples(st.integers(1, 40), st.integers(1, 70)), SEEDS, LIMITS)
def test_max_norm_equals_its_naive_twin(shape, seed, limit):
    matrix = normals(seed, *shape)
    limited, norms = matrix.copy(), np.full(shape[1] + 3, np.nan, np.float32)
    limit_norms(limited, limit, norms)
    np.testing.assert_allclose(limited, limit_norms_naive(matrix, limit), rtol=1e-5)
    assert (np.linalg.norm(limited, axis=0) <= limit * (1 + 1e-5)).all()


def test_what_is_within_its_limit_keeps_its_bits():
    gradient, matrix = normals(0, 100), normals(1, 20, 30)
    matrix[:, 7] *= 100
    clipped, limited = gradient.copy(), matrix.copy()
    clip_values(clipped, 10)
    clip_norm(clipped, np.inf)
    limit_norms(limited, 50, np.empty(30, np.float32))
    np.testing.assert_array_equal(clipped, gradient)
    others = np.arange(30) != 7
    np.testing.assert_array_equal(limited[:, others], matrix[:, others])
    assert np.linalg.norm(limited[:, 7]) == pytest.approx(50, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_naive_twins_keep_the_dtype(dtype):
    matrix = normals(0, 5, 4).astype(dtype)
    assert clip_values_naive(matrix[0], 0.1).dtype == dtype
    assert clip_norm_naive(matrix[0], 0.1).dtype == dtype
    assert limit_norms_naive(matrix, 0.1).dtype == dtype


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_limits_hide_no_divergence(bad):
    gradient, matrix = normals(0, 50), normals(1, 20, 30)
    gradient[7] = matrix[3, 5] = bad
    clip_norm(gradient, 1)
    assert np.isnan(gradient[7])
    limit_norms(matrix, 1, np.empty(30, np.float32))
    assert np.isnan(matrix[3, 5])
    assert np.isfinite(np.delete(matrix, 5, axis=1)).all()


def test_clipping_by_value_keeps_nan():
    gradient = np.array([np.nan, np.inf, -np.inf, 0.1], np.float32)
    clip_values(gradient, 1)
    np.testing.assert_array_equal(gradient, np.array([np.nan, 1, -1, 0.1], np.float32))


def test_huge_gradients_are_clipped_and_huge_columns_show():
    """Squares that overflow float32: the norm of a gradient is summed in float64, that of a column is not."""
    gradient, matrix = np.full(4, 1e30, np.float32), np.full((4, 2), 1e30, np.float32)
    matrix[:, 0] = 1
    clip_norm(gradient, 1)
    np.testing.assert_allclose(gradient, 0.5, rtol=1e-6)
    limit_norms(matrix, 1, np.empty(2, np.float32))
    np.testing.assert_allclose(matrix[:, 0], 0.5, rtol=1e-6)
    assert np.isnan(matrix[:, 1]).all()


def test_zeros_stay_zeros():
    gradient, matrix = np.zeros(9, np.float32), np.zeros((3, 2), np.float32)
    clip_norm(gradient, 0)
    limit_norms(matrix, 0, np.empty(2, np.float32))
    assert not gradient.any() and not matrix.any()


@given(st.floats(0, 10), st.floats(0, 1))
def test_an_elastic_penalty_has_two_parts_that_add_up(alpha, l1_ratio):
    l1, l2 = elastic(alpha, l1_ratio)
    assert l1 == alpha * l1_ratio
    assert l1 + l2 == pytest.approx(alpha)


def test_the_gradient_of_a_penalty_is_the_difference():
    weights, l1, l2 = normals(0, 8).astype(np.float64), np.linspace(0, 1, 8), 0.3
    for i in range(8):
        step = np.zeros(8)
        step[i] = 1e-6
        slope = (penalty_naive(weights + step, l1, l2) - penalty_naive(weights - step, l1, l2)) / 2e-6
        assert slope == pytest.approx(l2 * weights[i] + l1[i] * np.sign(weights[i]), rel=1e-6)


@settings(max_examples=50)
@given(st.tuples(st.integers(1, 4), st.integers(1, 60)), SEEDS, st.floats(0, 1))
def test_pruning_takes_the_smallest_of_each_model(shape, seed, share):
    weights = normals(seed, *shape)
    pruned = prune(weights, share)
    for row, old in zip(pruned, weights, strict=True):
        assert (row == 0).sum() == int(share * shape[1])
        np.testing.assert_array_equal(row[row != 0], old[row != 0])
        assert np.abs(old[row == 0]).max(initial=0) <= np.abs(row[row != 0]).min(initial=np.inf)
        np.testing.assert_array_equal(prune(old, share), row)


def test_pruning_keeps_nan_and_its_argument():
    weights = np.array([np.nan, 0.5, -0.1, 2.0])
    np.testing.assert_array_equal(prune(weights, 0.5), [np.nan, 0, 0, 2.0])
    assert weights[1] == 0.5


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_outside_0_and_1_is_an_error(share):
    with pytest.raises(ValueError, match="share must be"):
        prune(np.ones(3), share)
