"""What a dense layer is made of besides its matrix product: rows, bias gradients, and the bits that drop units."""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_INDEX, READ_ROWS, compiled

Array = NDArray[np.float32]

DROPOUT_STEPS = 256
"""Dropout rates are multiples of 1/256: one byte of noise decides over one unit."""


def dropout_threshold(rate: float) -> int:
    """The byte below which a unit is dropped, for a rate in [0, 1): the nearest 256th, at most 255."""
    return min(round(rate * DROPOUT_STEPS), DROPOUT_STEPS - 1)


def mix_naive(word: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): 64 bits in, 64 well mixed bits out."""
    mask = (1 << 64) - 1
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
    return word ^ (word >> 31)


@compiled("uint64(uint64)")
def mix(word: np.uint64) -> np.uint64:
    """`mix_naive` on machine words."""
    z = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


GOLDEN = 0x9E3779B97F4A7C15


def fill_noise_naive(seed: int, update: int, layer: int, n_words: int) -> NDArray[np.uint64]:
    """Counter-based noise: word i = mix(key + i · golden), key = mix(mix(seed + update · golden) + layer + 1)."""
    mask = (1 << 64) - 1
    key = mix_naive((mix_naive((seed + update * GOLDEN) & mask) + layer + 1) & mask)
    return np.array([mix_naive((key + i * GOLDEN) & mask) for i in range(n_words)], dtype=np.uint64)


@compiled("void(uint64, int64, int64, uint64[::1])")
def fill_noise(seed: np.uint64, update: int, layer: int, words: NDArray[np.uint64]) -> None:
    """Fill `words`, the OUT array, with bits that depend on (seed, update, layer, position) and nothing else.

    A Fit so carries no generator, and a model's dropout does not depend on its company. Eight units' decisions come
    from each word.
    """
    golden = np.uint64(GOLDEN)
    key = mix(mix(seed + np.uint64(update) * golden) + np.uint64(layer + 1))
    for i in range(words.size):
        words[i] = mix(key + np.uint64(i) * golden)


@compiled(f"void({READ_ROWS}, {READ_INDEX}, float32[:, ::1])")
def gather_rows(source: Array, rows: NDArray[np.int64], out: Array) -> None:
    """out[i] = source[rows[i]]; like `np.take(source, rows, axis=0, out=out)`, and a negative row gives zeros."""
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
