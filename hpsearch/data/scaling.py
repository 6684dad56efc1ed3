"""Scaling of numeric columns: to mean 0 and deviation 1, and by PCA whitening to no correlation besides.

A `Scaling` keeps what was learned from the training rows, and is applied to any rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]

NO_VARIANCE = 1e-10
"""Directions with less than this share of the largest variance are dropped by whitening: theirs is rounding."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """(x − mean) / scale by column, 0 where the scale is 0; then the product with the rotation, if there is one.

    Attributes:
        mean, scale: (n_columns,) float64; the scale of a constant column is 0.
        rotation: (n_columns, n_directions) float64 with n_directions ≤ n_columns: whitening. None without it.
    """

    mean: Doubles
    scale: Doubles
    rotation: Doubles | None = None

    def apply(self, columns: Floats) -> NDArray[np.float32]:
        """(n_rows, n_columns or n_directions) float32, C-contiguous; infinite where that is too narrow."""
        varies = self.scale > 0
        scaled = (columns - self.mean) * varies / np.where(varies, self.scale, 1)
        if self.rotation is not None:
            scaled = scaled @ self.rotation
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(scaled, dtype=np.float32)

    def undo(self, scaled: Floats) -> Doubles:
        """scaled · scale + mean: the columns again, of a scaling without rotation; the mean where the scale is 0."""
        return scaled * self.scale + self.mean


def no_scaling(n_columns: int) -> Scaling:
    """The scaling that changes nothing."""
    return Scaling(np.zeros(n_columns), np.ones(n_columns))


def fit_scaling(columns: Floats, row_weights: Doubles, whiten: bool = False) -> Scaling:
    """The scaling of the training rows `columns` (n_rows, n_columns) with weights (n_rows,) > 0.

    Mean and deviation are weighted; the variance is divided by Σ weights, as in scikit-learn's StandardScaler. With
    `whiten` and Cov(scaled) = V Λ Vᵀ, the columns of the rotation are v_k / √λ_k, so that Cov(scaled @ rotation) is the
    unit matrix; by falling λ_k, those of next to no variance left out. This is PCA whitening; scikit-learn's PCA knows
    no row weights.

    Raises:
        ValueError: for numbers so large that their variance is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(columns, sample_weight=row_weights)
    if not np.isfinite(scaler.scale_).all():
        column = int(np.flatnonzero(~np.isfinite(scaler.scale_))[0])
        raise ValueError(f"columns must have a finite variance, but that of column {column} overflows")
    # StandardScaler hides a deviation of 0 as 1
    scale = np.where(np.ptp(columns, axis=0) > 0, scaler.scale_, 0.0).astype(np.float64)
    plain = Scaling(scaler.mean_.astype(np.float64), scale)
    return Scaling(plain.mean, plain.scale, _whitening(plain, columns, row_weights)) if whiten else plain


def _whitening(plain: Scaling, columns: Floats, row_weights: Doubles) -> Doubles:
    scaled = plain.apply(columns).astype(np.float64)
    covariance = scaled.T @ (scaled * row_weights[:, np.newaxis]) / row_weights.sum()
    variances, directions = np.linalg.eigh(covariance)
    falling = np.argsort(-variances, kind="stable")
    # one direction is kept though all columns be constant: a network has at least one input
    kept = falling[variances[falling] > NO_VARIANCE * variances.max()] if variances.max() > 0 else falling[:1]
    return np.asarray(directions[:, kept] / np.sqrt(np.where(variances[kept] > 0, variances[kept], 1)))
