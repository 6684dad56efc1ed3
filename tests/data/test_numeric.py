import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import RobustScaler

from hpsearch.data.columns import Dropped
from hpsearch.data.numeric import BLOCK, Numeric, encode_numeric, fit_numeric, refuse_infinite, squash


def fit_one(cells, layout_rows=None, train_rows=None):
    frame = pd.DataFrame({"a": cells})
    rows = np.arange(len(frame))
    layout_rows, train_rows = (rows if given is None else given for given in (layout_rows, train_rows))
    return fit_numeric(frame, ["a"], layout_rows, train_rows)[0]


def encode_one(cells, record):
    inputs = np.zeros((len(cells), 1 + record.indicator), dtype=np.float32)
    encode_numeric(pd.DataFrame({"a": cells}), [record], inputs)
    return inputs


def test_statistics_are_those_of_the_training_rows():
    cells = [1.0, 2.0, 3.0, 4.0, 5.0, 1000.0]
    assert fit_one(cells, train_rows=np.arange(5)) == Numeric("a", median=3.0, scale=2.0, indicator=False)


def test_missing_cells_count_for_no_statistic():
    cells = [1.0, 2.0, np.nan, 3.0, np.nan, 4.0, 5.0, np.nan]
    record = fit_one(cells)
    assert record == Numeric("a", median=3.0, scale=2.0, indicator=True)
    inputs = encode_one(cells, record)
    assert inputs[:, 1].tolist() == np.isnan(cells).tolist()
    assert not inputs[np.isnan(cells), 0].any()


def test_a_tied_column_is_scaled_by_half_its_range():
    assert fit_one([0.0] * 9 + [4.0]) == Numeric("a", median=0.0, scale=2.0, indicator=False)


def test_a_column_that_does_not_vary_on_the_training_rows_is_zero():
    record = fit_one([7.0] * 8 + [9.0], train_rows=np.arange(8))
    assert record == Numeric("a", median=7.0, scale=0.0, indicator=False)
    assert encode_one([7.0, 9.0, np.nan], record).ravel().tolist() == [0, 0, 0]


def test_a_column_that_is_missing_on_the_training_rows_keeps_its_indicator():
    record = fit_one([np.nan] * 8 + [9.0], train_rows=np.arange(8))
    assert record == Numeric("a", median=0.0, scale=0.0, indicator=True)
    assert encode_one([9.0, np.nan], record).tolist() == [[0, 0], [0, 1]]


def test_constant_and_missing_columns_are_dropped_by_their_non_test_rows():
    assert fit_one([1.0] * 9) == Dropped("a", "constant")
    assert fit_one([1.0] * 9 + [2.0], layout_rows=np.arange(9), train_rows=np.arange(9)) == Dropped("a", "constant")
    assert fit_one([np.nan] * 9) == Dropped("a", "all missing")
    assert isinstance(fit_one([1.0] * 8 + [np.nan]), Numeric)


@given(
    arrays(
        np.float64, st.tuples(st.integers(5, 40), st.integers(1, 3)), elements=st.floats(-1e6, 1e6) | st.just(np.nan)
    )
)
def test_median_and_scale_are_those_of_robust_scaler(values):
    values = values[:, ~np.isnan(values).all(axis=0)]
    if values.shape[1] == 0:
        return
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])
    rows = np.arange(len(values))
    scaler = RobustScaler().fit(values)
    for j, record in enumerate(fit_numeric(frame, list(frame), rows, rows)):
        if isinstance(record, Numeric):
            assert record.median == pytest.approx(scaler.center_[j], rel=1e-12)
            spread = np.subtract(*np.nanpercentile(values[:, j], [75, 25]))
            if spread > 1e-9:  # below 1e-15 scikit-learn puts 1 in its place
                assert record.scale == pytest.approx(scaler.scale_[j], rel=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1e-20, 1.0, 1e20, 1e200])
def test_units_do_not_matter(unit):
    cells = np.random.default_rng(0).normal(size=50)
    plain, scaled = (encode_one(x, fit_one(x)) for x in (cells, cells * unit))
    np.testing.assert_allclose(scaled, plain, rtol=1e-5, atol=1e-6)


def test_blocks_do_not_matter():
    values = np.random.default_rng(0).normal(size=(30, 2 * BLOCK + 3))
    values[::7, ::5] = np.nan
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])
    rows = np.arange(30)
    records = fit_numeric(frame, list(frame), rows, rows)
    assert records == [fit_numeric(frame, [name], rows, rows)[0] for name in frame]
    n_indicators = sum(record.indicator for record in records)
    assert n_indicators == len(range(0, values.shape[1], 5))
    inputs = np.zeros((30, len(records) + n_indicators), dtype=np.float32)
    encode_numeric(frame, records, inputs)
    alone = [
        encode_one(frame[record.name], Numeric("a", record.median, record.scale, record.indicator))
        for record in records
    ]
    expected = [part[:, :1] for part in alone] + [part[:, 1:] for part in alone if part.shape[1] > 1]
    np.testing.assert_array_equal(inputs, np.hstack(expected))


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e300, 1e300) | st.just(np.nan)), st.floats(0, 1e300))
def test_squash_is_finite_and_bounded(values, scale):
    squashed = values.copy()
    squash(squashed, np.zeros((3, 1)), np.full((3, 1), scale))
    assert np.all(np.abs(squashed) <= 3)
    assert np.all((squashed == 0) | (np.sign(squashed) == np.sign(values)))


def test_squash_is_the_formula():
    z = np.linspace(-20, 20, 41)
    squashed = z * 2 + 5
    squash(squashed, np.array(5.0), np.array(2.0))
    np.testing.assert_allclose(squashed, z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-12)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf, np.finfo(np.float64).max])
def test_infinite_numbers_are_refused_by_column(infinite):
    with pytest.raises(ValueError, match=r"'b' \(2 rows\)$"):
        refuse_infinite(np.array([[0, 1, np.nan], [infinite, infinite, 0]]), ["a", "b"])
    with pytest.raises(ValueError, match="'a'"):
        fit_one([1.0] * 8 + [infinite])
    with pytest.raises(ValueError, match="'a'"):
        encode_one([infinite], Numeric("a", 0.0, 1.0, False))


def test_too_few_training_rows():
    with pytest.raises(ValueError, match="at least 5 training rows"):
        fit_one([1.0, 2.0, 3.0, 4.0])
