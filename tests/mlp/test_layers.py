"""Rows, sums, and what is left out at random: each kernel against its naive twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.layers import (
    column_sums,
    drop,
    drop_naive,
    drop_rows,
    drop_rows_naive,
    dropout_threshold,
    gather_rows,
    product,
    product_with_transpose,
    products_size,
    transposed_product,
)

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 70))
SEEDS = st.integers(0, 2**32 - 1)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def noise(seed: int, n_bytes: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, n_bytes).astype(np.uint8)


@settings(max_examples=40)
@given(SHAPES, SEEDS)
def test_rows_and_sums_equal_numpy(shape, seed):
    source = normals(seed, *shape)
    rows = np.random.default_rng(seed).integers(-1, shape[0], 20)
    gathered = np.empty((20, shape[1]), np.float32)
    gather_rows(source, rows, gathered)
    np.testing.assert_array_equal(gathered, np.where(rows[:, np.newaxis] < 0, 0, source[rows]))
    sums = np.empty(shape[1], np.float32)
    column_sums(source, sums)
    np.testing.assert_allclose(sums, source.sum(axis=0), rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(SHAPES, SEEDS, st.integers(0, 255))
def test_dropping_entries_equals_its_naive_twin(shape, seed, threshold):
    values, bytes_ = normals(seed, *shape), noise(seed + 1, shape[0] * shape[1] + 5)
    expected = drop_naive(values, bytes_, threshold)
    out = np.empty(values.size, np.float32)
    drop(values.reshape(-1), bytes_, threshold, out)
    np.testing.assert_allclose(out.reshape(shape), expected, rtol=1e-6)
    in_place = values.reshape(-1).copy()
    drop(in_place, bytes_, threshold, in_place)
    np.testing.assert_array_equal(in_place, out)


@settings(max_examples=40)
@given(SHAPES, SEEDS, st.integers(0, 255))
def test_dropping_rows_equals_its_naive_twin(shape, seed, threshold):
    values, bytes_ = normals(seed, *shape), noise(seed + 1, shape[0] + 5)
    out = np.empty(shape, np.float32)
    drop_rows(values, bytes_, threshold, out)
    np.testing.assert_allclose(out, drop_rows_naive(values, bytes_, threshold), rtol=1e-6)
    drop_rows(values, bytes_[:0], 0, out)
    np.testing.assert_array_equal(out, values)


@settings(max_examples=80)
@given(st.integers(1, 70), st.integers(1, 90), st.integers(1, 16) | st.integers(17, 90), SEEDS)
def test_products_equal_numpys_and_write_nothing_else(n_rows, n_in, n_columns, seed):
    """By columns are those of 2 to 4 columns, or 12 where the factor is transposed."""
    values, matrix, deltas = (
        normals(seed, n_rows, n_in),
        normals(seed + 1, n_in, n_columns),
        normals(seed, n_rows, n_columns),
    )
    size = products_size(n_rows, n_in, n_columns)
    for function, left, right, expected in (
        (product, values, matrix, values.astype(np.float64) @ matrix),
        (product_with_transpose, deltas, matrix, deltas.astype(np.float64) @ matrix.T),
        (transposed_product, values, deltas, values.T.astype(np.float64) @ deltas),
    ):
        guarded, spare = np.full(expected.size + 40, np.inf, np.float32), np.full(size + 40, np.nan, np.float32)
        spare[size:] = 7
        out = guarded[: expected.size].reshape(expected.shape)
        function(left, right, out, spare[:size])
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
        assert (guarded[expected.size :] == np.inf).all() and (spare[size:] == 7).all()


def test_the_gradient_of_many_rows_equals_numpys():
    values, deltas = normals(0, 1500, 20), normals(1, 1500, 40)
    out = np.empty((20, 40), np.float32)
    transposed_product(values, deltas, out, np.empty(products_size(1500, 20, 40), np.float32))
    np.testing.assert_allclose(out, values.T.astype(np.float64) @ deltas, rtol=1e-3, atol=1e-3)


@settings(max_examples=30)
@given(st.sampled_from([1, 3, 8, 20, 40]), st.sampled_from([np.nan, np.inf, -np.inf]), SEEDS)
def test_what_is_not_finite_is_not_so_where_numpys_is_not(n_columns, worst, seed):
    values, matrix, deltas = normals(seed, 21, 19), normals(seed + 1, 19, n_columns), normals(seed, 21, n_columns)
    generator = np.random.default_rng(seed)
    for array in (values, matrix, deltas):
        array[generator.integers(len(array)), generator.integers(array.shape[1])] = worst
    spare = np.empty(products_size(21, 19, n_columns), np.float32)
    with np.errstate(invalid="ignore"):
        cases = (
            (product, values, matrix, values @ matrix),
            (product_with_transpose, deltas, matrix, deltas @ matrix.T),
            (transposed_product, values, deltas, values.T @ deltas),
        )
    for function, left, right, expected in cases:
        out = np.empty_like(expected)
        function(left, right, out, spare)
        np.testing.assert_array_equal(np.isfinite(out), np.isfinite(expected))
        np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))


def test_what_is_kept_makes_up_for_what_is_dropped():
    """Over all 256 bytes the mean stays: exactly, but for rounding."""
    values, every_byte = np.ones((256, 1), np.float32), np.arange(256, dtype=np.uint8)
    for threshold in (1, 100, 255):
        out, out_rows = np.empty(256, np.float32), np.empty((256, 1), np.float32)
        drop(values[:, 0].copy(), every_byte, threshold, out)
        drop_rows(values, every_byte, threshold, out_rows)
        for kept in (out, out_rows[:, 0]):
            np.testing.assert_allclose(kept.mean(), 1, rtol=1e-6)
            assert (kept == 0).sum() == threshold


@given(st.floats(0, 1, exclude_max=True))
def test_dropout_rates_are_the_nearest_256th(rate):
    assert abs(dropout_threshold(rate) / 256 - rate) <= 1 / 256
    assert 0 <= dropout_threshold(rate) <= 255
