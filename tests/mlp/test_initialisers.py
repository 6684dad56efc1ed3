"""Initial weights: their scale, their shape, and that a generator's key decides them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.initialisers import INITIALISERS

N_IN, N_OUT = 200, 300

# √variance of an entry of a matrix (N_IN, N_OUT)
DEVIATIONS = {
    "small_normal": 0.01,
    "glorot_uniform": np.sqrt(2 / (N_IN + N_OUT)),
    "glorot_normal": np.sqrt(2 / (N_IN + N_OUT)),
    "he_uniform": np.sqrt(2 / N_IN),
    "he_normal": np.sqrt(2 / N_IN),
    "lecun_uniform": np.sqrt(1 / N_IN),
    "lecun_normal": np.sqrt(1 / N_IN),
    "orthogonal": np.sqrt(1 / N_OUT),
}


def generator(seed: int) -> np.random.Generator:
    # an array, because a list with a number from 2^63 on would become one of floats
    return np.random.Generator(np.random.Philox(key=np.array([seed, 0], dtype=np.uint64)))


def test_every_initialiser_is_tested():
    assert DEVIATIONS.keys() == INITIALISERS.keys()


@pytest.mark.parametrize("name", INITIALISERS)
@settings(max_examples=25)
@given(n_in=st.integers(1, 40), n_out=st.integers(1, 40), seed=st.integers(0, 2**64 - 1))
def test_the_key_decides_a_contiguous_float32_matrix(name, n_in, n_out, seed):
    matrix, again = (INITIALISERS[name](n_in, n_out, generator(seed)) for _ in range(2))
    assert matrix.shape == (n_in, n_out) and matrix.dtype == np.float32 and matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()
    np.testing.assert_array_equal(matrix, again)


@pytest.mark.parametrize("name", INITIALISERS)
def test_mean_and_deviation(name):
    matrix = INITIALISERS[name](N_IN, N_OUT, generator(0)).astype(np.float64)
    # 60,000 entries: five standard errors of mean and deviation
    assert abs(matrix.mean()) < 5 * DEVIATIONS[name] / np.sqrt(matrix.size)
    assert matrix.std() == pytest.approx(DEVIATIONS[name], rel=5 / np.sqrt(2 * matrix.size))
    assert (matrix != INITIALISERS[name](N_IN, N_OUT, generator(1))).mean() > 0.99


@pytest.mark.parametrize("name", [name for name in INITIALISERS if name.endswith("uniform")])
def test_uniform_weights_fill_their_range(name):
    matrix, limit = INITIALISERS[name](N_IN, N_OUT, generator(0)), np.sqrt(3) * DEVIATIONS[name]
    assert np.abs(matrix).max() <= limit * (1 + 1e-6)
    assert matrix.min() < -0.999 * limit and matrix.max() > 0.999 * limit


@settings(max_examples=25)
@given(n_in=st.integers(1, 40), n_out=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_the_shorter_side_of_an_orthogonal_matrix_is_orthonormal(n_in, n_out, seed):
    matrix = INITIALISERS["orthogonal"](n_in, n_out, generator(seed)).astype(np.float64)
    products = matrix.T @ matrix if n_in >= n_out else matrix @ matrix.T
    np.testing.assert_allclose(products, np.eye(min(n_in, n_out)), atol=1e-6)


def test_an_orthogonal_matrix_favours_no_direction():
    """Without the sign fix the first entry of Q would always be negative."""
    signs = [np.sign(INITIALISERS["orthogonal"](4, 4, generator(seed))[0, 0]) for seed in range(400)]
    assert abs(np.mean(signs)) < 5 / np.sqrt(400)
