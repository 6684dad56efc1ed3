"""Numbers by rank: the share of training rows below a value, as a quantile of the normal distribution."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.preprocessing import QuantileTransformer

N_QUANTILES = 1000


def quantiles_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_columns, n_quantiles) sorted quantiles of `values` (n_columns, n_rows): a thousand, or as many as rows.

    Those of scikit-learn's QuantileTransformer; missing cells, NaN, count for none.
    """
    n_quantiles = min(N_QUANTILES, values.shape[1])
    fitted: NDArray[np.float64] = QuantileTransformer(n_quantiles=n_quantiles, subsample=None).fit(values.T).quantiles_
    return fitted.T


def to_normal(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_rows,) Φ⁻¹(p) where p is the share of training rows below a value; NaN stays.

    p is linear between the sorted `quantiles` (n_quantiles,), in the middle of its range at a tied one, 0 at the lowest
    and 1 at the highest: the transform of scikit-learn's QuantileTransformer with a normal output, in any unit.
    """
    shares = np.linspace(0, 1, len(quantiles))
    highest = np.interp(values, quantiles, shares)
    lowest = -np.interp(-values, -quantiles[::-1], -shares[::-1])
    share = (lowest + highest) / 2
    share[values <= quantiles[0]] = 0.0
    share[values >= quantiles[-1]] = 1.0
    return np.asarray(ndtri(share))
