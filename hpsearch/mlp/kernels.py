"""The door to numba: how every kernel is compiled. Where its machine code is kept, `cache` says.

`compiled(signature)` is the only way a function of this package becomes machine code. A kernel has one explicit
signature, on contiguous arrays: another array layout would compile to other sums, and other bits. It releases the
GIL, so that models train in threads, and names the fast-math flags it wants: the bare flag would let the compiler
assume that there are no NaNs, and divergence could not be seen.
"""

import math
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

import numba
import numba.extending
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  numba's np.dot calls this BLAS; it must be loaded to be limited
from llvmlite.ir import Constant
from numba.np.arrayobj import make_array
from numpy.typing import NDArray
from threadpoolctl import OpenBLASController, ThreadpoolController

from hpsearch.mlp.cache import CACHE_FOLDER

FLAGS = {"contract", "reassoc", "nsz"}
"""Fast-math flags of our kernels: fused multiply-add, re-ordered sums, no care for the sign of zero."""


READ_ROWS = "Array(float32, 2, 'C', readonly=True)"
READ_NUMBERS = "Array(float32, 1, 'C', readonly=True)"
READ_INDEX = "Array(int64, 1, 'C', readonly=True)"
"""Argument types of shared data, which kernels only read: it may lie in a read-only memory map."""

Numbers = Annotated[NDArray[np.float32], "float32[::1]"]
Doubles = Annotated[NDArray[np.float64], "float64[::1]"]
Integers = Annotated[NDArray[np.int64], "int64[::1]"]
Words = Annotated[NDArray[np.uint64], "uint64[::1]"]
NumberRows = Annotated[NDArray[np.float32], "float32[:, ::1]"]
ReadRows = Annotated[NDArray[np.float32], READ_ROWS]
ReadNumbers = Annotated[NDArray[np.float32], READ_NUMBERS]
ReadIndex = Annotated[NDArray[np.int64], READ_INDEX]
Seed = Annotated[np.uint64, "uint64"]
"""Types of the fields of a record; `int` and `float` are the others."""

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=type)
S = TypeVar("S", bound=np.generic)

_NAMES: dict[str, Any] = dict(vars(numba.types))


def record(kind: K) -> K:
    """Let signatures name this NamedTuple, whose fields have the types above: a kernel takes it as one argument."""
    hints = get_type_hints(kind, include_extras=True)
    written = [
        hint.__metadata__[0] if hasattr(hint, "__metadata__") else f"{hint.__name__}64" for hint in hints.values()
    ]
    _NAMES[kind.__name__] = numba.types.NamedTuple(tuple(eval(text, {}, _NAMES) for text in written), kind)
    return kind


def read_only(array: NDArray[S]) -> NDArray[S]:
    """A view that cannot be written to: numba takes no other for the `Read…` fields of a record."""
    view = array.view()
    view.setflags(write=False)
    return view


def aligned(*shape: int) -> NDArray[np.float32]:
    """A float32 array of zeros whose rows begin at multiples of 64 bytes, if their length is one of 16.

    Vector registers and cache lines are as wide: an update of weights that lie across them takes a sixth longer.
    """
    size = math.prod(shape)
    raw = np.zeros(size + 15, dtype=np.float32)
    start = -raw.ctypes.data % 64 // raw.itemsize
    return raw[start : start + size].reshape(shape)


@numba.extending.intrinsic
def borrowed(context: Any, kind: Any) -> Any:
    """The same array, or record of arrays, without its owner: nobody counts references to it or to its views.

    Counting them, twice or more for each view, took a quarter of the step of a small network. Whoever calls the kernel
    that borrows must hold the arrays until it returns.
    """

    def disowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        array = make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (Constant(field.type, None) for field in (array.meminfo, array.parent))
        return array._getvalue()

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (kind,), (value,) = signature.args, values
        if isinstance(kind, numba.types.Array):
            return disowned(context, builder, kind, value)
        for position, field in enumerate(kind):
            if isinstance(field, numba.types.Array):
                array = disowned(context, builder, field, builder.extract_value(value, position))
                value = builder.insert_value(value, array, position)
        return value

    return kind(kind), generate


def compiled(signature: str, flags: Collection[str] = FLAGS) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function for one signature now, or load its machine code from the cache; without `flags`, exactly.

    The signature is written as numba's are, in which records go by their names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        users_folder = numba.config.CACHE_DIR
        # numba reads its setting when the cache of a function is made, which is here; users' own kernels keep theirs
        numba.config.CACHE_DIR = str(CACHE_FOLDER or "")
        try:
            caches = CACHE_FOLDER is not None
            kernel: Callable[P, R] = numba.njit(
                eval(signature, {}, _NAMES), cache=caches, nogil=True, fastmath=set(flags), error_model="numpy"
            )(function)
            return kernel
        finally:
            numba.config.CACHE_DIR = users_folder

    return decorate


@compiled(f"void({READ_NUMBERS}, float32[::1])")
def copy_numbers(source: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """out[:] = source, which numba compiles ten times as slowly, for it asks whether the two overlap."""
    for i in range(source.size):
        out[i] = source[i]


class _BlasThreads:
    """Who is inside `one_blas_thread`: the libraries' limits are lifted by the last to leave, not by the first.

    OpenBLAS has one limit for the process, and threadpoolctl lets only one thread at a time change it, so we take
    that right when we come and give it up when we go. Where a limit belongs to a thread (OpenMP), each sets its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.outermost: Any = None

    def enter(self) -> Any:
        with self.lock:
            if self.inside == 0:
                OpenBLASController.clear_controlling_thread(force=True)
            limits = _blas_libraries().limit(limits=1)
            if self.inside == 0:
                self.outermost = limits
            self.inside += 1
            return limits

    def leave(self, limits: Any) -> None:
        with self.lock:
            self.inside -= 1
            if limits is not self.outermost:
                limits.restore_original_limits()
            if self.inside == 0:
                OpenBLASController.clear_controlling_thread(force=True)
                self.outermost.restore_original_limits()
                OpenBLASController.clear_controlling_thread(force=True)


@cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController()


_BLAS_THREADS = _BlasThreads()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """While this lasts, every BLAS library of the process computes on one thread: more would change the bits.

    The limit is the process's, so it may be entered from many threads at once; only the last one lifts it.
    """
    limits = _BLAS_THREADS.enter()
    try:
        yield
    finally:
        _BLAS_THREADS.leave(limits)
