"""Counter-based noise: every random decision of training is a pure function of where it is made.

A `stream` separates the uses of noise within one update of one model, so that switching one on leaves the bits of the
others as they were. A word of noise follows from (seed, update, stream, position): a Fit carries no generator, and a
model's noise does not depend on its company.
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled

GOLDEN = 0x9E3779B97F4A7C15
"""2⁶⁴ divided by the golden ratio, odd: its multiples visit all 64-bit numbers, far apart."""

MASK = (1 << 64) - 1

INPUTS, CONNECTIONS, DEPTH = -1, 1000, 2000
"""Streams of noise for dropped inputs, and from where those of a layer's connections and residual branch are counted.
The streams of hidden units are the layers' numbers, from 0; those of augmentation lie below −1."""


def mix_naive(word: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): 64 bits in, 64 well mixed bits out."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


@compiled("uint64(uint64)")
def mix(word: np.uint64) -> np.uint64:
    """`mix_naive` on machine words."""
    z = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fill_noise_naive(seed: int, update: int, stream: int, n_words: int) -> NDArray[np.uint64]:
    """Word i = mix(key + i · golden), where key = mix(mix(seed + update · golden) + stream + 1)."""
    key = mix_naive((mix_naive((seed + update * GOLDEN) & MASK) + stream + 1) & MASK)
    return np.array([mix_naive((key + i * GOLDEN) & MASK) for i in range(n_words)], dtype=np.uint64)


@compiled("uint64(uint64, int64, int64)")
def noise_key(seed: np.uint64, update: int, stream: int) -> np.uint64:
    """Where the noise of a stream starts: the key of `noise_word`."""
    return mix(mix(seed + np.uint64(update) * np.uint64(GOLDEN)) + np.uint64(stream + 1))


@compiled("uint64(uint64, int64)")
def noise_word(key: np.uint64, position: int) -> np.uint64:
    """One word of `fill_noise`, for kernels that use a word once and need no buffer for it."""
    return mix(key + np.uint64(position) * np.uint64(GOLDEN))


@compiled("void(uint64, int64, int64, uint64[::1])")
def fill_noise(seed: np.uint64, update: int, stream: int, words: NDArray[np.uint64]) -> None:
    """Fill `words`, the OUT array, with the first words of a stream."""
    key = noise_key(seed, update, stream)
    for i in range(words.size):
        words[i] = noise_word(key, i)


def whole_below_naive(words: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """⌊(upper half of the word) · n / 2³²⌋: whole numbers in [0, n), even to within n / 2³²; 0 < n < 2³²."""
    return ((words >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(np.int64)


@compiled("int64(uint64, int64)")
def whole_below(word: np.uint64, n: int) -> int:
    """`whole_below_naive` of one word."""
    return int(((word >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


def signed_unit_naive(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """(upper 24 bits of the word) / 2²³ − 1: evenly in [−1, 1), exact in float32 as in float64."""
    return (words >> np.uint64(40)).astype(np.float64) / 2**23 - 1


@compiled("float32(uint64)")
def signed_unit(word: np.uint64) -> np.float32:
    """`signed_unit_naive` of one word."""
    return np.float32(np.int64(word >> np.uint64(40))) * np.float32(2**-23) - np.float32(1)
