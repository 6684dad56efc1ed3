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


@compiled(f"void({READ_NUMBERS}, int64, int64, float32[::1])", flags=())
def pack_panels(matrix: Array, n_in: int, n_columns: int, panels: Array) -> None:
    """The flat `matrix` (n_in · n_columns,) by panels; `panels` (`panels_size`,) is the OUT array.

    Entry (k, j) goes to (j // c · n_in + k) · c + j % c, where c is `TILE_COLUMNS`.
    """
    for first in range(0, n_columns, TILE_COLUMNS):
        n_own = min(TILE_COLUMNS, n_columns - first)
        for k in range(n_in):
            source = matrix[k * n_columns + first : k * n_columns + first + n_own]
            target = panels[first * n_in + k * TILE_COLUMNS : first * n_in + (k + 1) * TILE_COLUMNS]
            for j in range(n_own):
                target[j] = source[j]
            for j in range(n_own, TILE_COLUMNS):
                target[j] = np.float32(0)


@numba.extending.intrinsic
def tile(
    context: Any, values: Any, row: Any, panels: Any, start: Any, out: Any, out_row: Any, out_column: Any
) -> Any:  # fmt: skip
    """out[out_row + i, out_column + j] = Σ_k values[row + i, k] · panel[k, j], the panel being that from `start` on.

    i < TILE_ROWS, j < TILE_COLUMNS; `values` and `out` are 2-D, `panels` is flat. Written as LLVM's instructions: of a
    loop in Python, the compiler would not keep the sums in registers.
    """
    number, index = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, LANES)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = {
            name: make_array(signature.args[position])(context, builder, given[position])
            for name, position in (("values", 0), ("panels", 2), ("out", 4))
        }
        _, row, _, start, _, out_row, out_column = given
        n_in, width = (cgutils.unpack_tuple(builder, arrays[name].shape)[1] for name in ("values", "out"))
        fused = ir.FunctionType(vector, [vector] * 3)
        multiply_add = cgutils.get_or_insert_function(builder.module, fused, f"llvm.fmuladd.v{LANES}f32")

        def at(array: str, position: Any) -> Any:
            return builder.gep(arrays[array].data, [position])

        def vector_at(array: str, position: Any) -> Any:
            return builder.bitcast(at(array, position), vector.as_pointer())

        def plus(value: Any, constant: int) -> Any:
            return builder.add(value, index(constant))

        places = [(i, v) for i in range(TILE_ROWS) for v in range(VECTORS)]
        sums = {place: cgutils.alloca_once_value(builder, vector([0.0] * LANES)) for place in places}
        rows = [builder.mul(plus(row, i), n_in) for i in range(TILE_ROWS)]
        with cgutils.for_range(builder, n_in) as loop:
            entry = builder.add(start, builder.mul(loop.index, index(TILE_COLUMNS)))
            of_panel = [builder.load(vector_at("panels", plus(entry, v * LANES)), align=4) for v in range(VECTORS)]
            for i in range(TILE_ROWS):
                value = builder.load(at("values", builder.add(rows[i], loop.index)))
                alone = builder.insert_element(vector(ir.Undefined), value, ir.IntType(32)(0))
                spread = ir.VectorType(ir.IntType(32), LANES)([0] * LANES)
                repeated = builder.shuffle_vector(alone, vector(ir.Undefined), spread)
                for v in range(VECTORS):
                    total = builder.call(multiply_add, [repeated, of_panel[v], builder.load(sums[i, v])])
                    builder.store(total, sums[i, v])
        for i, v in places:
            position = builder.add(builder.mul(plus(out_row, i), width), plus(out_column, v * LANES))
            builder.store(builder.load(sums[i, v]), vector_at("out", position), align=4)
        return context.get_dummy_value()

    return numba.types.void(values, row, panels, start, out, out_row, out_column), generate


@compiled("void(float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])", flags=())
def tiled_product(values: Array, panels: Array, out: Array, edge: Array) -> None:
    """out = values @ matrix, (n_rows, n_in) by (n_in, n_columns), for the matrix whose `panels` are given.

    `n_rows` must be a multiple of `TILE_ROWS`. `edge` (TILE_ROWS, TILE_COLUMNS) is overwritten.
    """
    (n_rows, n_in), n_columns = values.shape, out.shape[1]
    for first in range(0, n_columns, TILE_COLUMNS):
        n_own = n_columns - first
        for row in range(0, n_rows, TILE_ROWS):
            if n_own >= TILE_COLUMNS:
                tile(values, row, panels, first * n_in, out, row, first)
            else:
                tile(values, row, panels, first * n_in, edge, 0, 0)
                for i in range(TILE_ROWS):
                    for j in range(n_own):
                        out[row + i, first + j] = edge[i, j]
