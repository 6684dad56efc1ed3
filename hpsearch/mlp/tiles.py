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


@numba.extending.intrinsic
def copy_vector(context: Any, source: Any, start: Any, out: Any, out_start: Any) -> Any:
    """out[out_start + j] = source[start + j] for j < LANES, in flat arrays."""
    vector = ir.VectorType(ir.FloatType(), LANES)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source, out = (make_array(signature.args[place])(context, builder, given[place]).data for place in (0, 2))
        loaded = builder.load(builder.bitcast(builder.gep(source, [given[1]]), vector.as_pointer()), align=4)
        builder.store(loaded, builder.bitcast(builder.gep(out, [given[3]]), vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return numba.types.void(source, start, out, out_start), generate


@numba.extending.intrinsic
def transpose_square(context: Any, source: Any, start: Any, stride: Any, out: Any, out_start: Any) -> Any:
    """out[out_start + k · TILE_COLUMNS + j] = source[start + j · stride + k] for j, k < LANES, in flat arrays.

    Rows j and j + LANES / 2 are interleaved into rows 2 j and 2 j + 1, as often as halves fit into LANES.
    """
    vector, index = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)
    lanes = ir.VectorType(ir.IntType(32), LANES)
    lower = [place // 2 + LANES * (place % 2) for place in range(LANES)]
    upper = [LANES // 2 + place for place in lower]

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source, out = (make_array(signature.args[place])(context, builder, given[place]).data for place in (0, 3))
        _, start, stride, _, out_start = given

        def vector_at(array: Any, position: Any) -> Any:
            return builder.bitcast(builder.gep(array, [position]), vector.as_pointer())

        rows = []
        for j in range(LANES):
            position = builder.add(start, builder.mul(stride, index(j)))
            rows.append(builder.load(vector_at(source, position), align=4))
        for _ in range(LANES.bit_length() - 1):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [builder.shuffle_vector(a, b, lanes(half)) for a, b in pairs for half in (lower, upper)]
        for k in range(LANES):
            builder.store(rows[k], vector_at(out, builder.add(out_start, index(k * TILE_COLUMNS))), align=4)
        return context.get_dummy_value()

    return numba.types.void(source, start, stride, out, out_start), generate


@compiled(f"void({READ_NUMBERS}, int64, int64, float32[::1])", flags=())
def pack_panels(matrix: Array, n_in: int, n_columns: int, panels: Array) -> None:
    """The flat `matrix` (n_in · n_columns,) by panels; `panels` (`panels_size`,) is the OUT array.

    Entry (k, j) goes to (j // c · n_in + k) · c + j % c, where c is `TILE_COLUMNS`.
    """
    for first in range(0, n_columns, TILE_COLUMNS):
        n_own = min(TILE_COLUMNS, n_columns - first)
        for k in range(n_in):
            source, target = k * n_columns + first, first * n_in + k * TILE_COLUMNS
            if n_own == TILE_COLUMNS:
                for j in range(0, TILE_COLUMNS, LANES):
                    copy_vector(matrix, source + j, panels, target + j)
            else:
                for j in range(n_own):
                    panels[target + j] = matrix[source + j]
                for j in range(n_own, TILE_COLUMNS):
                    panels[target + j] = np.float32(0)


@compiled(f"void({READ_NUMBERS}, int64, int64, float32[::1])", flags=())
def pack_transposed(matrix: Array, n_rows: int, n_in: int, panels: Array) -> None:
    """The panels of the transpose of the flat `matrix` (n_rows · n_in,), as `pack_panels` would pack it."""
    whole = n_in // LANES * LANES
    for row in range(0, n_rows, LANES):
        target = row // TILE_COLUMNS * TILE_COLUMNS * n_in + row % TILE_COLUMNS
        n_own = min(LANES, n_rows - row)
        squares = whole if n_own == LANES else 0
        for k in range(0, squares, LANES):
            transpose_square(matrix, row * n_in + k, n_in, panels, target + k * TILE_COLUMNS)
        for k in range(squares, n_in):
            for j in range(n_own):
                panels[target + k * TILE_COLUMNS + j] = matrix[(row + j) * n_in + k]
            for j in range(n_own, LANES):
                panels[target + k * TILE_COLUMNS + j] = np.float32(0)


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
        number, index = ir.FloatType(), ir.IntType(64)
        vector = ir.VectorType(number, LANES)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            arrays = {
                name: make_array(signature.args[position])(context, builder, given[position])
                for name, position in (("values", 0), ("panels", 6), ("out", 8))
            }
            _, row, last_row, stride, step, n_in, _, start, _, out_row, out_column = given
            width = cgutils.unpack_tuple(builder, arrays["out"].shape)[1]
            fused = ir.FunctionType(vector, [vector] * 3)
            multiply_add = cgutils.get_or_insert_function(builder.module, fused, f"llvm.fmuladd.v{LANES}f32")

            def at(array: str, position: Any) -> Any:
                return builder.gep(arrays[array].data, [position])

            def vector_at(array: str, position: Any) -> Any:
                return builder.bitcast(at(array, position), vector.as_pointer())

            def plus(value: Any, constant: int) -> Any:
                return builder.add(value, index(constant))

            def row_start(i: int) -> Any:
                beyond = builder.icmp_signed(">", plus(row, i), last_row)
                return builder.mul(builder.select(beyond, last_row, plus(row, i)), stride)

            places = [(i, v) for i in range(TILE_ROWS) for v in range(n_vectors)]
            sums = {place: cgutils.alloca_once_value(builder, vector([0.0] * LANES)) for place in places}
            rows = [at("values", row_start(i)) for i in range(TILE_ROWS)]
            with cgutils.for_range(builder, n_in) as loop:
                entry = builder.add(start, builder.mul(loop.index, index(TILE_COLUMNS)))
                of_panel = [
                    builder.load(vector_at("panels", plus(entry, v * LANES)), align=4) for v in range(n_vectors)
                ]
                along = builder.mul(loop.index, step)
                for i in range(TILE_ROWS):
                    value = builder.load(builder.gep(rows[i], [along]))
                    alone = builder.insert_element(vector(ir.Undefined), value, ir.IntType(32)(0))
                    spread = ir.VectorType(ir.IntType(32), LANES)([0] * LANES)
                    repeated = builder.shuffle_vector(alone, vector(ir.Undefined), spread)
                    for v in range(n_vectors):
                        total = builder.call(multiply_add, [repeated, of_panel[v], builder.load(sums[i, v])])
                        builder.store(total, sums[i, v])
            for i, v in places:
                position = builder.add(builder.mul(plus(out_row, i), width), plus(out_column, v * LANES))
                builder.store(builder.load(sums[i, v]), vector_at("out", position), align=4)
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
                    for j in range(n_own):
                        out[row + i, first + j] = edge[i, j]


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
