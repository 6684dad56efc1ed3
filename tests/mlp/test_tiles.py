"""Products by tiles: against NumPy's, and each row with the same bits in any place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp.tiles import (
    TILE_COLUMNS,
    TILE_ROWS,
    pack_panels,
    pack_transposed,
    panels_size,
    tiled_product,
    tiled_transposed_product,
)


def panels_of(matrix):
    panels = np.full(panels_size(*matrix.shape), np.nan, np.float32)
    pack_panels(matrix.ravel(), *matrix.shape, panels)
    return panels


def product(values, matrix, multiply=tiled_product):
    out = np.full((values.shape[multiply is tiled_transposed_product], matrix.shape[1]), np.nan, np.float32)
    multiply(values, panels_of(matrix), out, np.empty((TILE_ROWS, TILE_COLUMNS), np.float32))
    return out


@given(
    n_rows=st.integers(1, 9 * TILE_ROWS),
    n_in=st.integers(1, 80),
    n_columns=st.integers(1, 3 * TILE_COLUMNS + 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_product_is_numpys_and_its_rows_are_the_same_in_any_order(n_rows, n_in, n_columns, seed):
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((n_rows, n_in)).astype(np.float32)
    matrix = generator.standard_normal((n_in, n_columns)).astype(np.float32)
    found = product(values, matrix)
    expected = values.astype(np.float64) @ matrix.astype(np.float64)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    order = generator.permutation(len(values))
    assert_array_equal(product(values[order], matrix), found[order])
    assert_array_equal(product(values.T.copy(), matrix, tiled_transposed_product), found)


@given(n_in=st.integers(1, 80), n_columns=st.integers(1, 80))
def test_panels_hold_the_matrix_and_zeros_and_so_do_those_of_its_transpose(n_in, n_columns):
    matrix = np.random.default_rng(0).standard_normal((n_in, n_columns)).astype(np.float32)
    panels = panels_of(matrix)
    width = -(-n_columns // TILE_COLUMNS) * TILE_COLUMNS
    filled = np.pad(matrix, ((0, 0), (0, width - n_columns)))
    assert_array_equal(panels, filled.reshape(n_in, -1, TILE_COLUMNS).transpose(1, 0, 2).ravel())
    transposed = np.full(len(panels), np.nan, np.float32)
    pack_transposed(matrix.T.ravel(), n_columns, n_in, transposed)
    assert_array_equal(transposed, panels)


def test_an_entry_is_one_sum_from_first_to_last():
    values = np.zeros((TILE_ROWS, 3), np.float32)
    values[:, :] = [2**25, 1, -(2**25)]
    ones = np.ones((3, TILE_COLUMNS + 1), np.float32)
    assert_array_equal(product(values, ones), 0)  # in any order that ends with the second, it would be 1


def test_what_is_not_finite_stays_in_its_row_and_column():
    values, matrix = np.ones((2 * TILE_ROWS, 4), np.float32), np.ones((4, TILE_COLUMNS + 3), np.float32)
    values[3, 1], matrix[2, TILE_COLUMNS + 1] = np.nan, np.inf
    found = product(values, matrix)
    assert np.isnan(found[3]).all() and np.isinf(np.delete(found[:, TILE_COLUMNS + 1], 3)).all()
    assert_array_equal(np.delete(np.delete(found, 3, axis=0), TILE_COLUMNS + 1, axis=1), 4)
