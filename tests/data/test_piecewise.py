"""Bins and what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpsearch.data.piecewise import (
    MOST_ROWS,
    N_BINS,
    ROWS_PER_BIN,
    bin_edges,
    encode_bins,
    quantile_edges,
    some_rows,
    tree_edges,
)

RNG = np.random.default_rng(0)
NUMBERS = st.floats(-1e300, 1e300)
EDGES = arrays(np.float64, st.integers(3, 12), elements=NUMBERS, unique=True).map(np.sort)
CELLS = arrays(np.float64, st.integers(1, 30), elements=NUMBERS | st.just(np.nan))
COLUMNS = arrays(np.float64, st.integers(60, 90), elements=NUMBERS | st.integers(-2, 2).map(float))


def encode(values, edges, n_bins=None):
    inputs = np.zeros((len(values), n_bins or len(edges) - 1), dtype=np.float32)
    encode_bins(values, edges, inputs)
    return inputs


@settings(max_examples=30)
@given(CELLS, EDGES)
def test_as_in_the_paper(values, edges):
    low, high = edges[:-1], edges[1:]
    with np.errstate(over="ignore"):
        expected = np.clip((values[:, np.newaxis] - low) / (high - low), 0, 1)
    expected[np.isnan(values)] = 0
    np.testing.assert_allclose(encode(values, edges), expected, rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(arrays(np.float64, 20, elements=NUMBERS).map(np.sort), EDGES)
def test_inputs_are_bounded_and_a_greater_value_is_never_less(values, edges):
    inputs = encode(values, edges)
    assert np.abs(inputs).max() <= 1 and (np.diff(inputs, axis=0) >= 0).all()


def test_a_thermometer():
    assert encode(np.array([5.0, 0.0, 1.0, 3.0, 9.0, -9.0]), np.array([0.0, 1.0, 5.0])).tolist() == [
        [1, 1],
        [0, 0],
        [1, 0],
        [1, 0.5],
        [1, 1],
        [0, 0],
    ]


def test_spare_bins_and_missing_cells_are_zero():
    inputs = encode(np.array([np.nan, 9.0]), np.array([0.0, 1.0, 5.0]), n_bins=4)
    assert not inputs[0].any() and not inputs[:, 2:].any() and inputs[1, :2].all()


@settings(max_examples=30)
@given(COLUMNS, st.integers(2, 40))
def test_quantile_edges_are_values_that_increase(values, n_bins):
    edges = quantile_edges(values, np.zeros(len(values)), n_bins)
    assert len(edges) <= n_bins + 1 and (np.diff(edges) > 0).all() and np.isin(edges, values).all()
    assert edges[0] == values.min() and edges[-1] == values.max()


@settings(max_examples=30)
@given(COLUMNS, st.integers(2, 40), st.integers(0, 9))
def test_tree_edges_increase(values, n_bins, seed):
    rng = np.random.default_rng(seed)
    for targets in (rng.normal(size=len(values)), rng.integers(0, 3, len(values)), values):
        edges = tree_edges(values, targets, n_bins)
        assert len(edges) <= n_bins + 1 and (np.diff(edges) > 0).all()
        assert edges[0] == values.min() and edges[-1] == values.max()


def test_bins_hold_equally_many_rows():
    values = RNG.normal(size=3200)
    counts = np.histogram(values, quantile_edges(values, values, 32))[0]
    assert len(counts) == 32 and 99 <= counts.min() <= counts.max() <= 101


def test_few_distinct_values_have_an_edge_each():
    values = RNG.integers(0, 20, 5000).astype(float)
    assert quantile_edges(values, values, 32).tolist() == list(range(20))


def test_a_tied_value_does_not_take_the_bins_of_the_others():
    values = np.where(RNG.random(10_000) < 0.92, 0, RNG.lognormal(size=10_000))
    edges = quantile_edges(values, values, 32)
    assert len(edges) >= 25 and edges[0] == 0


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("codes", [True, False])
def test_trees_find_steps_in_any_unit(codes, unit):
    values = RNG.random(2000)
    targets = (values > 0.3).astype(int) + 2 * (values > 0.7)
    edges = tree_edges(values * unit, targets if codes else targets * np.sqrt(unit), 32)
    np.testing.assert_allclose(edges[1:-1] / unit, [0.3, 0.7], atol=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_trees_find_little_in_noise(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=2000)
    for targets in (rng.normal(size=2000), rng.integers(0, 2, 2000), rng.integers(0, 10, 2000)):
        assert len(tree_edges(values, targets, 32)) <= 6


def test_neighbouring_floats_make_no_empty_bin():
    values = np.repeat([1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)], 90)
    assert (np.diff(tree_edges(values, np.repeat([0, 1, 2], 90), 32)) > 0).all()


def test_a_target_that_does_not_vary_has_no_thresholds():
    values = RNG.normal(size=200)
    for targets in (np.zeros(200), np.zeros(200, dtype=np.int64)):
        assert tree_edges(values, targets, 32).tolist() == [values.min(), values.max()]


def test_few_rows_have_few_bins():
    for n_rows in (10, 59, 60, 400, 2000):
        values = RNG.normal(size=n_rows)
        n_edges = len(bin_edges(np.append(values, np.full(90, np.nan)), np.zeros(n_rows + 90), 99, quantile_edges))
        n_bins = min(N_BINS, n_rows // ROWS_PER_BIN)
        assert n_edges == (n_bins + 1 if n_bins > 1 else 0)


def test_a_bin_that_says_no_more_than_the_value_is_left_out():
    assert not bin_edges(RNG.integers(0, 2, 500) * 1.0, np.zeros(500), 99, quantile_edges).size
    assert not bin_edges(np.full(500, np.nan), np.zeros(500), 99, quantile_edges).size
    assert not bin_edges(RNG.normal(size=500), np.zeros(500), 1, quantile_edges).size


@settings(max_examples=30)
@given(st.integers(1, 5 * MOST_ROWS))
def test_some_rows(n_rows):
    rows = some_rows(np.arange(n_rows))
    assert min(n_rows, MOST_ROWS // 2) <= len(rows) <= MOST_ROWS and len(set(np.diff(rows))) <= 1
