"""Scaling of inputs by the training rows."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from hpsearch.data.scaling import fit_scaling, no_scaling


def table(n_rows: int = 60):
    """Correlated columns of different sizes, one of them constant, and whole weights."""
    generator = np.random.default_rng(0)
    columns = generator.standard_normal((n_rows, 4)) @ generator.standard_normal((4, 4)) * [1, 10, 0.1, 1000] + 5
    return np.insert(columns, 2, 7.5, axis=1), generator.integers(1, 4, n_rows).astype(float)


def test_standardised_as_by_scikit_learn():
    columns, weights = table()
    expected = StandardScaler().fit(columns, sample_weight=weights).transform(columns)
    scaled = fit_scaling(columns, weights).apply(columns)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)
    assert scaled.dtype == np.float32 and scaled.flags.c_contiguous


@pytest.mark.parametrize("whiten", [False, True])
def test_weights_are_repetitions(whiten):
    columns, weights = table()
    weighted = fit_scaling(columns, weights, whiten)
    repeated = columns.repeat(weights.astype(int), axis=0)
    unweighted = fit_scaling(repeated, np.ones(len(repeated)), whiten)
    np.testing.assert_allclose(abs(weighted.apply(columns)), abs(unweighted.apply(columns)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_a_constant_column_says_nothing_whatever_it_holds_later(whiten):
    columns, weights = table()
    scaling = fit_scaling(columns, weights, whiten)
    later = columns.copy()
    later[:, 2] += 1e6
    np.testing.assert_array_equal(scaling.apply(later), scaling.apply(columns))


def test_whitened_columns_are_those_of_pca_up_to_their_signs():
    columns, _ = table()
    ours = fit_scaling(columns, np.ones(len(columns)), whiten=True).apply(columns)
    theirs = PCA(n_components=4, whiten=True).fit_transform(StandardScaler().fit_transform(columns))
    # they divide by n − 1
    theirs *= np.sqrt(len(columns) / (len(columns) - 1))
    np.testing.assert_allclose(abs(ours), abs(theirs), rtol=1e-3, atol=1e-4)


def test_whitened_columns_are_uncorrelated_and_directions_without_variance_are_dropped():
    columns, weights = table()
    columns = np.column_stack([columns, columns[:, 0] + columns[:, 1]])
    whitened = fit_scaling(columns, weights, whiten=True).apply(columns).astype(np.float64)
    assert whitened.shape[1] == 4
    covariance = np.cov(whitened.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(covariance, np.eye(4), atol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_one_row_is_nothing_but_zeros(whiten):
    scaled = fit_scaling(np.array([[3.0, 4.0]]), np.ones(1), whiten).apply(np.array([[3.0, 4.0], [5.0, 6.0]]))
    assert scaled.shape == (2, 1 if whiten else 2) and not scaled.any()


def test_undo_is_the_way_back():
    columns, weights = table()
    scaling = fit_scaling(columns, weights)
    np.testing.assert_allclose(scaling.undo(scaling.apply(columns)), columns, rtol=1e-5, atol=1e-5)


def test_no_scaling_only_rounds():
    columns, _ = table()
    np.testing.assert_array_equal(no_scaling(5).apply(columns), columns.astype(np.float32))


def test_numbers_whose_variance_overflows_are_refused():
    columns, weights = table()
    columns[::2, 1] = 1e200
    with pytest.raises(ValueError, match="finite variance, but that of column 1"):
        fit_scaling(columns, weights)
