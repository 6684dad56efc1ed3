"""Matrix products whose every row has the same bits wherever it stands, and however many rows stand beside it.

A BLAS sums up the rows at the edge of its blocks in another order than the others. Here each entry of the product is
one sum over k = 0, 1, …, of fused multiply-adds where the machine has them. A *tile*, a few rows by `TILE_COLUMNS`
columns, stays in vector registers while k runs; the matrix comes as *panels* of as many columns, filled up with zeros.
The tile's shape follows the machine's registers, and does not matter to the bits.
"""

from typing import Any

import numba.extending
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_NUMBERS, compiled

Array = NDArray[np.float32]

LANES, TILE_ROWS = (16, 8) if get_host_cpu_features().get("avx512f") else (8, 4)
"""Float32 numbers in a vector register, and rows of a tile: 32 registers hold twice the rows of 16."""
VECTORS = 2
TILE_COLUMNS = VECTORS * LANES


@compiled("int64(int64, int64)", flags=())
def panels_size(n_in: int, n_columns: int) -> int:
    """Numbers in the panels of a matrix (n_in, n_columns)."""
    return n_in * ((n_columns + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS)


NUMBER, INDEX, LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR, MASK = ir.VectorType(NUMBER, LANES), ir.VectorType(ir.IntType(1), LANES)


def _vector_at(builder: Any, numbers: Any, position: Any) -> Any:
    return builder.bitcast(builder.gep(numbers, [position]), VECTOR.as_pointer())


def _repeated(builder: Any, value: Any) -> Any:
    """A vector of equal lanes."""
    empty = ir.VectorType(value.type, LANES)(ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(empty, value, LANE(0)), empty, ir.VectorType(LANE, LANES)([0] * LANES)
    )


def _first_lanes(builder: Any, n: Any) -> Any:
    """The mask of the first `n` lanes."""
    return builder.icmp_signed("<", ir.VectorType(INDEX, LANES)(list(range(LANES))), _repeated(builder, n))


def _load(builder: Any, place: Any, mask: Any) -> Any:
    """The vector at a place, with zeros instead of the lanes that are masked: they are not read."""
    kind = ir.FunctionType(VECTOR, [VECTOR.as_pointer(), LANE, MASK, VECTOR])
    load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    return builder.call(load, [place, LANE(4), mask, VECTOR([0.0] * LANES)])


def _store(builder: Any, value: Any, place: Any, mask: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, VECTOR.as_pointer(), LANE, MASK])
    store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(store, [value, place, LANE(4), mask])


@numba.extending.intrinsic
def copy_vector(
    context: Any, source: Any, start: Any, n_read: Any, out: Any, out_start: Any, n_written: Any
) -> Any:  # fmt: skip
    """out[out_start + j] = source[start + j] if j < n_read, else 0, for j < min(LANES, n_written), in flat arrays."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source, out = (make_array(signature.args[place])(context, builder, given[place]).data for place in (0, 3))
        _, start, n_read, _, out_start, n_written = given
        value = _load(builder, _vector_at(builder, source, start), _first_lanes(builder, n_read))
        _store(builder, value, _vector_at(builder, out, out_start), _first_lanes(builder, n_written))
        return context.get_dummy_value()

    return numba.types.void(source, start, n_read, out, out_start, n_written), generate


@numba.extending.intrinsic
def transpose_square(
    context: Any, source: Any, start: Any, stride: Any, n_rows: Any, n_columns: Any, out: Any, out_start: Any
) -> Any:  # fmt: skip
    """out[out_start + k · TILE_COLUMNS + j] = source[start + j · stride + k], or 0 if j ≥ n_rows; flat arrays.

    j < LANES, k < min(LANES, n_columns). Rows j and j + LANES / 2 are interleaved into rows 2 j and 2 j + 1, as many
    times as LANES can be halved.
    """
    lower = [place // 2 + LANES * (place % 2) for place in range(LANES)]
    upper = [LANES // 2 + place for place in lower]

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source, out = (make_array(signature.args[place])(context, builder, given[place]).data for place in (0, 5))
        _, start, stride, n_rows, n_columns, _, out_start = given

        def whole_if_below(position: int, n: Any, whole: Any) -> Any:
            return builder.select(builder.icmp_signed("<", INDEX(position), n), whole, MASK([0] * LANES))

        rows, columns = [], _first_lanes(builder, n_columns)
        for j in range(LANES):
            position = builder.add(start, builder.mul(stride, INDEX(j)))
            rows.append(_load(builder, _vector_at(builder, source, position), whole_if_below(j, n_rows, columns)))
        for _ in range(LANES.bit_length() - 1):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [
                builder.shuffle_vector(a, b, ir.VectorType(LANE, LANES)(half))
                for a, b in pairs
                for half in (lower, upper)
            ]
        for k in range(LANES):
            place = _vector_at(builder, out, builder.add(out_start, INDEX(k * TILE_COLUMNS)))
            _store(builder, rows[k], place, whole_if_below(k, n_columns, MASK([1] * LANES)))
        return context.get_dummy_value()

    return numba.types.void(source, start, stride, n_rows, n_columns, out, out_start), generate


@compiled(f"void({READ_NUMBERS}, int64, int64, float32[::1])", flags=())
def pack_panels(matrix: Array, n_in: int, n_columns: int, panels: Array) -> None:
    """The flat `matrix` (n_in · n_columns,) by panels; `panels` (`panels_size`,) is the OUT array.

    Entry (k, j) goes to (j // c · n_in + k) · c + j % c, where c is `TILE_COLUMNS`.
    """
    for first in range(0, n_columns, TILE_COLUMNS):
        for k in range(n_in):
            for j in range(0, TILE_COLUMNS, LANES):
                copy_vector(
                    matrix, k * n_columns + first + j, n_columns - first - j,
                    panels, first * n_in + k * TILE_COLUMNS + j, LANES,
                )  # fmt: skip


@compiled(f"void({READ_NUMBERS}, int64, int64, float32[::1])", flags=())
def pack_transposed(matrix: Array, n_rows: int, n_in: int, panels: Array) -> None:
    """The panels of the transpose of the flat `matrix` (n_rows · n_in,), as `pack_panels` would pack it."""
    for first in range(0, n_rows, TILE_COLUMNS):
        for k in range(0, n_in, LANES):
            for j in range(0, TILE_COLUMNS, LANES):
                transpose_square(
                    matrix, (first + j) * n_in + k, n_in, n_rows - first - j, n_in - k,
                    panels, first * n_in + k * TILE_COLUMNS + j,
                )  # fmt: skip


def _tile_of(n_vectors: int) -> Any:
    """The instructions of a tile that is `n_vectors` vectors wide."""

    @numba.extending.intrinsic
    def tile(
        context: Any, values: Any, row: Any, last_row: Any, stride: Any, step: Any, n_in: Any, panels: Any, start: Any,
        out: Any, out_row: Any, out_column: Any,
    ) -> Any:  # fmt: skip
        """out[out_row + i, out_column + j] = Σ_k values.flat[min(row + i, last_row) · stride + k · step] · panel[k, j].

        i < TILE_ROWS, j < n_vectors · LANES, k < n_in; the panel is that from `start` on in the flat `panels`, `out`
        is 2-D. Written as LLVM's instructions: of a loop in Python, the compiler would not keep the sums in registers.
        """

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            arrays = {
                name: make_array(signature.args[position])(context, builder, given[position])
                for name, position in (("values", 0), ("panels", 6), ("out", 8))
            }
            _, row, last_row, stride, step, n_in, _, start, _, out_row, out_column = given
            width = cgutils.unpack_tuple(builder, arrays["out"].shape)[1]
            fused = ir.FunctionType(VECTOR, [VECTOR] * 3)
            multiply_add = cgutils.get_or_insert_function(builder.module, fused, f"llvm.fmuladd.v{LANES}f32")

            def plus(value: Any, constant: int) -> Any:
                return builder.add(value, INDEX(constant))

            def row_start(i: int) -> Any:
                beyond = builder.icmp_signed(">", plus(row, i), last_row)
                return builder.mul(builder.select(beyond, last_row, plus(row, i)), stride)

            places = [(i, v) for i in range(TILE_ROWS) for v in range(n_vectors)]
            sums = {place: cgutils.alloca_once_value(builder, VECTOR([0.0] * LANES)) for place in places}
            rows = [builder.gep(arrays["values"].data, [row_start(i)]) for i in range(TILE_ROWS)]
            with cgutils.for_range(builder, n_in) as loop:
                entry = builder.add(start, builder.mul(loop.index, INDEX(TILE_COLUMNS)))
                of_panel = [
                    builder.load(_vector_at(builder, arrays["panels"].data, plus(entry, v * LANES)), align=4)
                    for v in range(n_vectors)
                ]
                along = builder.mul(loop.index, step)
                for i in range(TILE_ROWS):
                    repeated = _repeated(builder, builder.load(builder.gep(rows[i], [along])))
                    for v in range(n_vectors):
                        total = builder.call(multiply_add, [repeated, of_panel[v], builder.load(sums[i, v])])
                        builder.store(total, sums[i, v])
            for i, v in places:
                position = builder.add(builder.mul(plus(out_row, i), width), plus(out_column, v * LANES))
                builder.store(builder.load(sums[i, v]), _vector_at(builder, arrays["out"].data, position), align=4)
            return context.get_dummy_value()

        given = (values, row, last_row, stride, step, n_in, panels, start, out, out_row, out_column)
        return numba.types.void(*given), generate

    return tile


tile, narrow_tile = _tile_of(VECTORS), _tile_of(1)


@compiled("void(float32[:, ::1], int64, int64, int64, float32[::1], float32[:, ::1], float32[:, ::1])", flags=())
def fill_by_tiles(values: Array, stride: int, step: int, n_in: int, panels: Array, out: Array, edge: Array) -> None:
    """out[i, j] = Σ_k values.flat[i · stride + k · step] · matrix[k, j], k < n_in, of the matrix in `panels`.

    Tiles that reach beyond `out` are computed in `edge` (TILE_ROWS, TILE_COLUMNS), the last row again and again.
    """
    n_rows, n_columns = out.shape
    flat, flat_edge = out.reshape(out.size), edge.reshape(edge.size)
    for first in range(0, n_columns, TILE_COLUMNS):
        n_own = min(n_columns - first, TILE_COLUMNS)
        for row in range(0, n_rows, TILE_ROWS):
            if n_own == TILE_COLUMNS and row + TILE_ROWS <= n_rows:
                tile(values, row, n_rows - 1, stride, step, n_in, panels, first * n_in, out, row, first)
            else:
                if n_own > LANES:
                    tile(values, row, n_rows - 1, stride, step, n_in, panels, first * n_in, edge, 0, 0)
                else:
                    narrow_tile(values, row, n_rows - 1, stride, step, n_in, panels, first * n_in, edge, 0, 0)
                for i in range(min(TILE_ROWS, n_rows - row)):
                    for j in range(0, n_own, LANES):
                        place = (row + i) * n_columns + first + j
                        copy_vector(flat_edge, i * TILE_COLUMNS + j, LANES, flat, place, n_own - j)


@compiled("void(float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])", flags=())
def tiled_product(values: Array, panels: Array, out: Array, edge: Array) -> None:
    """out = values @ matrix, (n_rows, n_in) by (n_in, n_columns), for the matrix whose `panels` are given.

    `edge` (TILE_ROWS, TILE_COLUMNS) is overwritten.
    """
    fill_by_tiles(values, values.shape[1], 1, values.shape[1], panels, out, edge)


@compiled("void(float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])", flags=())
def tiled_transposed_product(values: Array, panels: Array, out: Array, edge: Array) -> None:
    """out = values.T @ matrix, (n_rows, n_in).T by (n_rows, n_columns); otherwise as `tiled_product`."""
    fill_by_tiles(values, 1, values.shape[1], values.shape[0], panels, out, edge)
