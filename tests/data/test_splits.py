import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.splits import HELD_SHARE, MOST_BINS, deal, generator, rotations, split_rows, strata

strata_lists = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
seeds = st.integers(0, 2**64 - 1)


def pairs(values):
    """Strata in which every class has at least two rows."""
    return np.repeat(values, 2)


@given(strata_lists, st.integers(0, 120), seeds)
def test_deal_is_stratified_to_within_one_row(strata, n_held, seed):
    mask = deal(strata, n_held, generator(seed, 0))
    classes, counts = np.unique(strata, return_counts=True)
    n_eligible = counts[counts > 1].sum()
    assert mask.dtype == np.bool_ and mask.sum() == min(n_held, n_eligible // 2)
    for stratum, count in zip(classes, counts, strict=True):
        n_held_here = mask[strata == stratum].sum()
        assert n_held_here < count
        if count == 1:
            assert n_held_here == 0
        else:
            assert abs(n_held_here - count * mask.sum() / n_eligible) < 1


@given(strata_lists, seeds)
def test_deal_depends_on_the_seed_alone(strata, seed):
    first, second = (deal(strata, len(strata) // 3, generator(seed, 0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_deal_holds_every_row_alike():
    n_times = sum(deal(np.repeat([0, 1], [30, 10]), 8, generator(seed, 0)) for seed in range(2000))
    np.testing.assert_allclose(n_times / 2000, 0.2, atol=0.04)


@given(
    st.lists(st.integers(0, 6), min_size=10, max_size=100), st.none() | st.floats(0.01, 0.5), st.integers(0, 9), seeds
)
def test_row_sets_are_a_partition(values, test_size, n_appended, seed):
    classes = pairs(values)
    appended = n_appended if test_size is None else 0
    try:
        rows = split_rows(classes, test_size=test_size, n_appended=appended, random_state=seed)
    except ValueError:
        assert test_size is not None  # too many test rows of too small a table
        return
    parts = [rows.train, rows.valid, rows.select, rows.test]
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(classes) + appended))
    assert rows.non_test.tolist() == sorted(set(range(len(classes) + appended)) - set(rows.test.tolist()))
    assert set(classes[rows.train]) == set(classes)
    assert 0 <= len(rows.valid) - len(rows.select) <= 1 and len(rows.select) > 0
    if test_size is None:
        assert rows.test.tolist() == list(range(len(classes), len(classes) + appended))
        assert len(rows.valid) + len(rows.select) >= int(HELD_SHARE * len(classes))
    else:
        assert len(rows.test) == min(max(1, round(test_size * len(classes))), len(classes) // 2)


@given(st.integers(24, 300), st.data())
def test_a_number_of_test_rows_is_met_exactly(n_rows, data):
    n_test = data.draw(st.integers(1, n_rows // 2))
    labels = np.arange(n_rows) % 2
    assert len(split_rows(labels, test_size=n_test).test) == n_test
    assert len(split_rows(labels, test_size=np.int32(n_test)).test) == n_test


def test_default_shares_and_strata():
    classes = np.repeat([0, 1], [900, 100])
    rows = split_rows(classes)
    assert [len(part) for part in vars(rows).values()] == [800, 100, 100, 0]
    assert [classes[part].sum() for part in (rows.train, rows.valid, rows.select)] == [80, 10, 10]


@pytest.mark.parametrize(("n_rows", "n_held"), [(12, 4), (30, 10), (59, 19), (70, 20), (100, 20), (200, 40)])
def test_of_small_tables_a_larger_share_is_held(n_rows, n_held):
    rows = split_rows(np.arange(n_rows) % 2)
    assert len(rows.valid) + len(rows.select) == n_held and 0 <= len(rows.valid) - len(rows.select) <= 1


def test_held_rows_are_capped():
    rows = split_rows(np.zeros(100_000, dtype=np.int64))
    assert len(rows.valid) == len(rows.select) == 10_000


def test_another_seed_gives_other_rows_and_a_test_set_no_other_ones():
    classes = np.arange(100) % 3
    same, other, tested = split_rows(classes), split_rows(classes, random_state=1), split_rows(classes, n_appended=7)
    np.testing.assert_array_equal(same.valid, tested.valid)
    assert same.valid.tolist() != other.valid.tolist()


def test_row_sets_stay_what_they_are():
    rows = split_rows(np.arange(20) % 2, test_size=4, random_state=7)
    assert rows.test.tolist() == [0, 2, 11, 13]
    assert rows.valid.tolist() == [4, 9, 15] and rows.select.tolist() == [3, 18]


@pytest.mark.parametrize("n_rows, test_size", [(11, None), (14, 0.5), (14, 3)])
def test_twelve_rows_are_needed_besides_the_test_rows(n_rows, test_size):
    with pytest.raises(ValueError, match="at least 12 rows"):
        split_rows(np.zeros(n_rows, dtype=np.int64), test_size=test_size)
    assert len(split_rows(np.zeros(12, dtype=np.int64)).select) == 2


def test_classes_too_small_to_hold_rows_out():
    with pytest.raises(ValueError, match="too small to hold rows out: 14 rows in 14 classes"):
        split_rows(pairs(np.arange(14)), test_size=0.5)


@pytest.mark.parametrize("test_size", [0, -1, 51, 0.0, 0.51, 1.0, float("nan"), True, "0.2", None])
def test_test_sizes_out_of_range(test_size):
    if test_size is None:
        assert len(split_rows(np.zeros(100, dtype=np.int64)).test) == 0
        return
    with pytest.raises(ValueError, match=f"test_size={test_size!r}"):
        split_rows(np.zeros(100, dtype=np.int64), test_size=test_size)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=300).map(np.array))
def test_bins_of_a_regression_target_are_quantiles(y):
    bins = strata(y, "regression")
    counts = np.bincount(bins)
    assert len(counts) == max(1, min(MOST_BINS, len(y) // 5)) and counts.max() - counts.min() <= 1
    for low, high in zip(range(len(counts)), range(1, len(counts)), strict=False):
        assert y[bins == low].max() <= y[bins == high].min()


@pytest.mark.parametrize("labels", [["b", "a", "b"], [7, -1, 7], [True, False, True]])
def test_strata_of_classes(labels):
    assert strata(np.array(labels), "binary").tolist() == [1, 0, 1]


@given(strata_lists, st.integers(1, 8), seeds)
def test_rotations_are_dealt_round(strata, n_parts, seed):
    parts = rotations(strata, n_parts, seed)
    n_used = min(n_parts, len(strata))
    counts = np.bincount(parts, minlength=n_used)
    assert len(counts) == n_used and counts.max() - counts.min() <= 1
    for stratum in set(strata.tolist()):
        counts = np.bincount(parts[strata == stratum], minlength=n_used)
        assert counts.max() - counts.min() <= 1


def test_rotations_of_few_rows():
    assert sorted(rotations(np.zeros(3, dtype=np.int64)).tolist()) == [0, 1, 2]
    assert rotations(np.zeros(0, dtype=np.int64)).tolist() == []
