"""Averages along a run: the moving average's step, the tail average and its epochs, the ring of checkpoints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.averages import ema_step, move_average, ring_slot, swa_epochs, swa_step, swa_step_naive

SEEDS = st.integers(0, 2**32 - 1)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_moving_average_warms_up_to_its_decay():
    steps = ema_step(0.99, np.arange(2000))
    assert steps[0] == 1
    assert (np.diff(steps) <= 0).all()
    assert steps[1] == pytest.approx(2 ** (-2 / 3))
    assert steps[-1] == pytest.approx(0.01)


@settings(max_examples=25)
@given(st.integers(0, 200), SEEDS, st.floats(0, 1))
def test_the_moving_average_moves_by_its_step(n, seed, step):
    average, weights = normals(seed, n), normals(seed + 1, n)
    expected = average + np.float32(step) * (weights - average)
    move_average(average, weights, step)
    np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=50)
@given(st.integers(0, 200), SEEDS, st.integers(0, 1000))
def test_a_sample_of_the_tail_average_equals_its_naive_twin(n, seed, n_before):
    average, weights = normals(seed, n), normals(seed + 1, n)
    expected = swa_step_naive(average, weights, n_before)
    swa_step(average, weights, n_before)
    np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_before", [0, 3])
def test_the_naive_twin_keeps_the_dtype(dtype, n_before):
    assert swa_step_naive(np.ones(3, dtype), np.zeros(3, dtype), n_before).dtype == dtype


def test_the_tail_average_is_the_mean_of_its_samples():
    samples = normals(0, 30, 50)
    average = np.full(50, np.nan, np.float32)
    for n_before, sample in enumerate(samples):
        swa_step(average, sample, n_before)
        if n_before == 0:
            np.testing.assert_array_equal(average, sample)
    np.testing.assert_allclose(average, samples.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_nan_in_a_sample_stays_in_the_tail_average():
    average, weights = normals(0, 5), normals(1, 5)
    weights[2] = np.nan
    swa_step(average, weights, 3)
    swa_step(average, normals(2, 5), 4)
    np.testing.assert_array_equal(np.isnan(average), [False, False, True, False, False])


@given(st.one_of(st.floats(0, 1), st.integers(0, 20).map(lambda n: n / 20)), st.integers(1, 200), st.integers(0, 300))
def test_epochs_of_the_tail_average_are_those_past_its_start(swa_start, horizon, epoch):
    averaged = [e for e in range(1, epoch + 1) if e / horizon >= swa_start]
    assert swa_epochs(swa_start, horizon, epoch) == (0 if swa_start == 1 else len(averaged))


@settings(max_examples=50)
@given(st.integers(1, 7), st.integers(1, 5), st.integers(0, 100))
def test_the_ring_holds_the_last_checkpoints(every, size, epochs):
    ring = {}
    for epoch in range(epochs + 1):
        slot = ring_slot(epoch, every, size)
        if slot >= 0:
            ring[slot] = epoch
    assert sorted(ring.values()) == list(range(every, epochs + 1, every))[-size:]
    assert set(ring) == set(range(len(ring)))


def test_a_ring_may_be_off():
    assert all(ring_slot(epoch, every, size) == -1 for epoch in range(9) for every, size in [(0, 3), (3, 0), (0, 0)])
