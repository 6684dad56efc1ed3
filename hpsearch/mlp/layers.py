"""What a dense layer is made of besides its matrix product: rows, sums, and what is left out at random.

A share of something is left out where a byte of noise lies below its `threshold`; what is kept is scaled up, so that
prediction needs neither noise nor scale ("inverted" dropout).
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled
from hpsearch.mlp.tiles import (
    LANES,
    TILE_COLUMNS,
    TILE_ROWS,
    pack_panels,
    pack_transposed,
    panels_size,
    tiled_product,
    tiled_transposed_product,
)

Array = NDArray[np.float32]
Floats = NDArray[np.floating]
Noise = NDArray[np.uint8]

DROPOUT_STEPS = 256
"""Shares that are left out are multiples of 1/256: one byte of noise decides."""


THINNEST, THIN_PRODUCT, THIN_TRANSPOSED = 2, 4, 12
"""Columns from which, and up to which, products go by columns; BLAS multiplies by one column as fast."""
TILES_BEAT_BLAS = LANES == 16
"""Twice as fast as OpenBLAS's products, whose kernels are for registers of 8 numbers also where there are 16."""
EDGE = TILE_ROWS * TILE_COLUMNS
"""Numbers that tiles need besides panels."""
TALLEST = 1024
"""Rows up to which the gradient of a matrix is a product by tiles: panels of more do not stay in the cache."""


def products_size(height: int, n_in: int, n_columns: int) -> int:
    """Numbers that the products of a layer overwrite, for minibatches of at most `height` rows."""
    shapes = ((n_in, n_columns), (n_columns, n_in), (min(height, TALLEST), n_columns))
    return max(THIN_TRANSPOSED * n_in, EDGE + max(panels_size(*shape) for shape in shapes))


def dropout_threshold(rate: float) -> int:
    """The byte below which is left out, for a rate in [0, 1): the nearest 256th, at most 255."""
    return min(round(rate * DROPOUT_STEPS), DROPOUT_STEPS - 1)


@compiled(f"void({READ_ROWS}, {READ_INDEX}, float32[:, ::1])")
def gather_rows(source: Array, rows: NDArray[np.int64], out: Array) -> None:
    """out[i] = source[rows[i]]; like `np.take(source, rows, axis=0, out=out)`, and a negative row gives zeros.

    `out` may be wider: what follows the rows in it is left as it is.
    """
    for i in range(rows.size):
        row = rows[i]
        for j in range(source.shape[1]):
            out[i, j] = source[row, j] if row >= 0 else np.float32(0)


@compiled("void(float32[:, ::1], float32[::1])")
def column_sums(deltas: Array, out: Array) -> None:
    """out = deltas.sum(axis=0): the gradient of the biases. `deltas` (n_rows, n_units), `out` (n_units,)."""
    out[:] = 0
    for i in range(deltas.shape[0]):
        for j in range(deltas.shape[1]):
            out[j] += deltas[i, j]


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def product_by_columns(values: Array, matrix: Array, out: Array, spare: Array) -> None:
    """`product` with a thin matrix, whose columns are laid out one after another."""
    n_in, n_columns = matrix.shape
    columns = spare[: n_columns * n_in].reshape((n_columns, n_in))
    for k in range(n_in):
        for j in range(n_columns):
            columns[j, k] = matrix[k, j]
    for i in range(values.shape[0]):
        for j in range(n_columns):
            total = np.float32(0)
            for k in range(n_in):
                total += values[i, k] * columns[j, k]
            out[i, j] = total


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def transposed_product_by_columns(values: Array, deltas: Array, out: Array, spare: Array) -> None:
    """`transposed_product` with thin deltas, summed up four rows at a time."""
    (n_rows, n_in), n_columns = values.shape, deltas.shape[1]
    columns = spare[: n_columns * n_in].reshape((n_columns, n_in))
    columns[:] = 0
    whole = n_rows // 4 * 4
    for i in range(0, whole, 4):
        for j in range(n_columns):
            a, b, c, d = deltas[i, j], deltas[i + 1, j], deltas[i + 2, j], deltas[i + 3, j]
            for k in range(n_in):
                columns[j, k] += a * values[i, k] + b * values[i + 1, k] + c * values[i + 2, k] + d * values[i + 3, k]
    for i in range(whole, n_rows):
        for j in range(n_columns):
            for k in range(n_in):
                columns[j, k] += deltas[i, j] * values[i, k]
    for k in range(n_in):
        for j in range(n_columns):
            out[k, j] = columns[j, k]


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def product(values: Array, matrix: Array, out: Array, spare: Array) -> None:
    """out = values @ matrix: (n_rows, n_in) by (n_in, n_columns); `spare` (`products_size`,) is overwritten.

    BLAS and tiles pack factors, which is most of the work if one has a few columns only: hence those by columns.
    """
    n_in, n_columns = matrix.shape
    if THINNEST <= n_columns <= THIN_PRODUCT:
        product_by_columns(values, matrix, out, spare)
    elif TILES_BEAT_BLAS and n_columns >= THINNEST:
        pack_panels(matrix.reshape(matrix.size), n_in, n_columns, spare[EDGE:])
        tiled_product(values, spare[EDGE:], out, spare[:EDGE].reshape((TILE_ROWS, TILE_COLUMNS)))
    else:
        np.dot(values, matrix, out)


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def product_with_transpose(deltas: Array, matrix: Array, out: Array, spare: Array) -> None:
    """out = deltas @ matrix.T: from (n_rows, n_columns) through a matrix (n_in, n_columns) back to (n_rows, n_in).

    `spare` as in `product`.
    """
    if TILES_BEAT_BLAS:
        pack_transposed(matrix.reshape(matrix.size), matrix.shape[0], matrix.shape[1], spare[EDGE:])
        tiled_product(deltas, spare[EDGE:], out, spare[:EDGE].reshape((TILE_ROWS, TILE_COLUMNS)))
    else:
        np.dot(deltas, matrix.T, out)


@compiled("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1])")
def transposed_product(values: Array, deltas: Array, out: Array, spare: Array) -> None:
    """out = values.T @ deltas: the gradient of a matrix (n_in, n_columns) from n_rows of both; `spare` as in `product`.

    Many rows are a BLAS's.
    """
    n_rows, n_columns = deltas.shape
    if THINNEST <= n_columns <= THIN_TRANSPOSED:
        transposed_product_by_columns(values, deltas, out, spare)
    elif TILES_BEAT_BLAS and n_columns >= THINNEST and n_rows <= TALLEST:
        pack_panels(deltas.reshape(deltas.size), n_rows, n_columns, spare[EDGE:])
        tiled_transposed_product(values, spare[EDGE:], out, spare[:EDGE].reshape((TILE_ROWS, TILE_COLUMNS)))
    else:
        np.dot(values.T, deltas, out)


def drop_naive(values: Floats, noise: Noise, threshold: int) -> Floats:
    """values · 256/(256 − threshold) where their byte of `noise` is not below `threshold`, else 0; any shape."""
    kept = noise[: values.size].reshape(values.shape) >= threshold
    return np.asarray(values * kept * (DROPOUT_STEPS / (DROPOUT_STEPS - threshold)), dtype=values.dtype)


@compiled(f"void({READ_NUMBERS}, uint8[::1], int64, float32[::1])")
def drop(values: Array, noise: Noise, threshold: int, out: Array) -> None:
    """`drop_naive` of flat `values` into `out`: DropConnect's matrices (Wan et al. 2013), or their gradients.

    All rows of a minibatch share a matrix, where the paper draws one per row: a product per row would take its place.
    """
    lowest_kept = np.uint8(threshold)
    scale = np.float32(DROPOUT_STEPS) / np.float32(DROPOUT_STEPS - threshold)
    for i in range(values.size):
        out[i] = values[i] * scale if noise[i] >= lowest_kept else np.float32(0)


def drop_rows_naive(values: Floats, noise: Noise, threshold: int) -> Floats:
    """`values` (n_rows, n_units) with rows left out, each by its byte of noise."""
    kept = noise[: len(values)] >= threshold
    return np.asarray(values * kept[:, None] * (DROPOUT_STEPS / (DROPOUT_STEPS - threshold)), dtype=values.dtype)


@compiled(f"void({READ_ROWS}, uint8[::1], int64, float32[:, ::1])")
def drop_rows(values: Array, noise: Noise, threshold: int, out: Array) -> None:
    """`drop_rows_naive` into `out`; with `threshold` 0 the noise is not read.

    Stochastic depth (Huang et al. 2016) leaves a residual branch out for a whole minibatch; by row, as in torchvision,
    the gradient has less noise.
    """
    scale = np.float32(DROPOUT_STEPS) / np.float32(DROPOUT_STEPS - threshold)
    for i in range(values.shape[0]):
        factor = scale
        if threshold > 0 and noise[i] < np.uint8(threshold):
            factor = np.float32(0)
        for j in range(values.shape[1]):
            out[i, j] = factor * values[i, j]
