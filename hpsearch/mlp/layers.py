"""What a dense layer is made of besides its matrix product: rows, sums, and what is left out at random.

A share of something is left out where a byte of noise lies below its `threshold`; what is kept is scaled up, so that
prediction needs neither noise nor scale ("inverted" dropout).
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, compiled

Array = NDArray[np.float32]
Floats = NDArray[np.floating]
Noise = NDArray[np.uint8]

DROPOUT_STEPS = 256
"""Shares that are left out are multiples of 1/256: one byte of noise decides."""


THINNEST, THIN_PRODUCT, THIN_TRANSPOSED = 2, 4, 12
"""Columns from which, and up to which, products are ours and not BLAS's, which multiplies by one column as fast."""


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
def product(values: Array, matrix: Array, out: Array, spare: Array) -> None:
    """out = values @ matrix: (n_rows, n_in) by (n_in, n_columns); `spare` (≥ n_columns · n_in,) is overwritten.

    A BLAS packs both factors, which is most of the work if one has a few columns only: those products are ours, by
    columns of the matrix.
    """
    n_in, n_columns = matrix.shape
    if n_columns < THINNEST or n_columns > THIN_PRODUCT:
        np.dot(values, matrix, out)
        return
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
def transposed_product(values: Array, deltas: Array, out: Array, spare: Array) -> None:
    """out = values.T @ deltas: the gradient of a matrix (n_in, n_columns) from n_rows of both; `spare` as in `product`.

    Thin ones are summed up four rows at a time.
    """
    n_rows, n_in = values.shape
    n_columns = deltas.shape[1]
    if n_columns < THINNEST or n_columns > THIN_TRANSPOSED:
        np.dot(values.T, deltas, out)
        return
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
