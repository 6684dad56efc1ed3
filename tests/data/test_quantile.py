"""Numbers by rank."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import QuantileTransformer

from hpsearch.data.quantile import N_QUANTILES, quantiles_of, to_normal

NUMBERS = st.floats(-1e300, 1e300)
COLUMNS = arrays(np.float64, st.integers(2, 60), elements=NUMBERS | st.sampled_from([0.0, 1.0]))


def bounded(normal):
    return np.clip(normal, -3, 3)


@pytest.mark.parametrize("n_rows", [7, 300, 5000])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "poisson"])
def test_as_by_scikit_learn(n_rows, draw):
    rng = np.random.default_rng(0)
    train, others = (getattr(rng, draw)(size=n) if draw != "poisson" else rng.poisson(2, n) for n in (n_rows, 999))
    theirs = QuantileTransformer(
        n_quantiles=min(n_rows, N_QUANTILES), output_distribution="normal", subsample=None
    ).fit(train[:, np.newaxis])
    quantiles = quantiles_of(train[np.newaxis].astype(float))[0]
    for values in (train, others):
        expected = theirs.transform(values[:, np.newaxis])[:, 0]
        ours = to_normal(values.astype(float), quantiles)
        np.testing.assert_allclose(bounded(ours), bounded(expected), rtol=0, atol=1e-6)


@settings(max_examples=40)
@given(COLUMNS, COLUMNS)
def test_a_greater_value_is_never_less(train, values):
    normal = to_normal(np.sort(values), quantiles_of(train[np.newaxis])[0])
    assert not np.isnan(normal).any() and (bounded(normal)[1:] >= bounded(normal)[:-1]).all()


@settings(max_examples=40)
@given(COLUMNS, st.integers(-400, 400))
def test_units_do_not_matter(train, exponent):
    train = np.round(train % 1000, 3)
    unit = 2.0**exponent
    plain, scaled = (to_normal(x, quantiles_of(x[np.newaxis])[0]) for x in (train, train * unit))
    np.testing.assert_allclose(bounded(plain), bounded(scaled), atol=1e-6)


def test_missing_cells_stay_and_count_for_none():
    train = np.array([1.0, 2.0, np.nan, 3.0, 4.0, 5.0])
    quantiles = quantiles_of(train[np.newaxis])[0]
    assert len(quantiles) == 6 and (quantiles[0], quantiles[-1]) == (1, 5)
    normal = to_normal(np.array([np.nan, 3.0, -np.inf, np.inf]), quantiles)
    assert np.isnan(normal[0]) and normal[1] == pytest.approx(0) and normal[2:].tolist() == [-np.inf, np.inf]


def test_a_tied_value_is_in_the_middle_of_its_ranks():
    quantiles = np.array([0.0, 1.0, 1.0, 1.0, 5.0])
    assert to_normal(np.array([1.0]), quantiles) == pytest.approx(0)
