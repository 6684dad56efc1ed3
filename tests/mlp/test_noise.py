"""The noise: kernels against their naive twins, evenness, and streams that do not know of each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.noise import (
    fill_noise,
    fill_noise_naive,
    noise_key,
    noise_word,
    signed_unit,
    signed_unit_naive,
    whole_below,
    whole_below_naive,
)

SEEDS = st.integers(0, 2**64 - 1)


@settings(max_examples=50)
@given(SEEDS, st.integers(0, 10**9), st.integers(-20, 3000), st.integers(1, 40))
def test_noise_equals_its_naive_twin(seed, update, stream, n_words):
    words = np.empty(n_words, np.uint64)
    fill_noise(seed, update, stream, words)
    np.testing.assert_array_equal(words, fill_noise_naive(seed, update, stream, n_words))
    key = np.uint64(noise_key(seed, update, stream))
    assert noise_word(key, n_words - 1) == words[-1]


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 2**31))
def test_a_number_of_a_word_equals_its_naive_twin(word, n):
    words = np.array([word], np.uint64)
    assert whole_below(words[0], n) == whole_below_naive(words, n)[0]
    assert signed_unit(words[0]) == signed_unit_naive(words)[0]


def test_numbers_reach_both_ends_of_their_ranges():
    ends = np.array([0, 2**64 - 1], np.uint64)
    assert whole_below_naive(ends, 7).tolist() == [0, 6]
    assert signed_unit_naive(ends).tolist() == [-1, 1 - 2**-23]


def test_noise_is_even_and_differs_between_seeds_updates_and_streams():
    words = [np.empty(20_000, np.uint64) for _ in range(5)]
    for out, key in zip(words, [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 1, -2)], strict=True):
        fill_noise(*key, out)
    counts = np.bincount(words[0].view(np.uint8), minlength=256)
    # 160,000 bytes over 256 cells: chi-square with 255 degrees of freedom, five deviations wide
    assert np.square(counts - 625).sum() / 625 < 255 + 5 * np.sqrt(2 * 255)
    for other in words[1:]:
        assert abs(np.corrcoef(words[0].view(np.uint8), other.view(np.uint8))[0, 1]) < 0.02


@pytest.mark.parametrize("n", [2, 3, 10])
def test_whole_numbers_are_even(n):
    counts = np.bincount(whole_below_naive(fill_noise_naive(3, 1, -2, 20_000), n), minlength=n)
    expected = 20_000 / n
    assert np.square(counts - expected).sum() / expected < (n - 1) + 5 * np.sqrt(2 * (n - 1))
