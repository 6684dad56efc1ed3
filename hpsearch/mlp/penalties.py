"""What keeps gradients and weights small besides decay: penalties, clipping, max-norm, pruning.

A penalty on the weights is l1 · Σ|w| + l2/2 · Σw²; its gradient is added by every update rule (`updates`). Limits act
in place: `clip_values` and `clip_norm` on a model's gradient before the update, `limit_norms` on a matrix after it.
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled
from hpsearch.mlp.updates import Floats, Numbers

Array = NDArray[np.float32]


def elastic(alpha: float, l1_ratio: float) -> tuple[float, float]:
    """(l1, l2) = (alpha · l1_ratio, alpha · (1 − l1_ratio)), as in scikit-learn's ElasticNet; l1_ratio in [0, 1].

    `alpha` weighs against the mean loss. That of scikit-learn's MLP is divided by the rows of the minibatch as well:
    its `alpha` is ours · batch_size.
    """
    return alpha * l1_ratio, alpha * (1 - l1_ratio)


def penalty_naive(weights: Floats, l1: Numbers, l2: Numbers) -> float:
    """l1 · Σ|w| + l2/2 · Σw²: what the penalties add to the mean loss; `l1` and `l2` also by weight."""
    return float(np.sum(l1 * np.abs(weights) + l2 / 2 * np.square(weights)))


def clip_values_naive(gradient: Floats, limit: float) -> Floats:
    """The gradient with its entries clipped to [−limit, limit]."""
    return np.clip(gradient, -limit, limit)


@compiled("void(float32[::1], float64)")
def clip_values(gradient: Array, limit: float) -> None:
    """Clip each entry of the gradient, the OUT array, to [−limit, limit]; NaN stays NaN, ±∞ becomes ±limit."""
    high = np.float32(limit)
    for i in range(gradient.size):
        g = gradient[i]
        gradient[i] = high if g > high else (-high if g < -high else g)


def clip_norm_naive(gradient: Floats, limit: float) -> Floats:
    """gradient · min(1, limit / ‖gradient‖)."""
    norm = np.sqrt(np.sum(np.square(gradient, dtype=np.float64)))
    return gradient if norm <= limit else np.asarray(gradient * (limit / norm), dtype=gradient.dtype)


@compiled("void(float32[::1], float64)")
def clip_norm(gradient: Array, limit: float) -> None:
    """Scale the gradient, the OUT array, to the norm `limit` if its own is above (Pascanu et al. 2013).

    Given the whole (n_weights,) gradient the norm is the model's. Summed in float64, where the squares of no float32
    overflow; a NaN or ∞ anywhere makes NaN, as in PyTorch: clipping hides no divergence.
    """
    total = 0.0
    for i in range(gradient.size):
        g = np.float64(gradient[i])
        total += g * g
    norm = np.sqrt(total)
    if norm <= limit:
        return
    scale = np.float32(limit / norm)
    for i in range(gradient.size):
        gradient[i] *= scale


def limit_norms_naive(matrix: Floats, limit: float) -> Floats:
    """The matrix with each column scaled to the norm `limit` where its own is above."""
    norms = np.sqrt(np.square(matrix).sum(axis=0))
    with np.errstate(divide="ignore"):
        return np.asarray(matrix * np.where(norms <= limit, 1, limit / norms), dtype=matrix.dtype)


@compiled("void(float32[:, ::1], float64, float32[::1])")
def limit_norms(matrix: Array, limit: float, norms: Array) -> None:
    """Max-norm (Srivastava et al. 2014): columns of `matrix` (n_in, n_columns) longer than `limit` are scaled to it.

    `matrix` is the OUT array, `norms` (≥ n_columns,) is overwritten. A column holds the weights into one unit; with a
    NaN in it, or longer than float32 can square, it becomes NaN.
    """
    n_in, n_columns = matrix.shape
    one, high = np.float32(1), np.float32(limit)
    squares = norms[:n_columns]
    squares[:] = 0
    for i in range(n_in):
        row = matrix[i]
        for j in range(n_columns):
            squares[j] += row[j] * row[j]
    n_within = 0
    for j in range(n_columns):
        norm = np.sqrt(squares[j])
        within = norm <= high
        n_within += within
        squares[j] = one if within else (high / norm if norm < np.inf else np.float32(np.nan))
    if n_within == n_columns:
        return
    for i in range(n_in):
        row = matrix[i]
        for j in range(n_columns):
            row[j] *= squares[j]


def prune(weights: Floats, share: float) -> Floats:
    """A copy with the smallest weights set to zero: ⌊share · n⌋ of each row of `weights`, (n,) or (n_models, n).

    Smallest by magnitude, of equal ones the first; a NaN counts as large. For after training (Han et al. 2015).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be a number in [0, 1], but got {share!r}")
    smallest = np.argsort(np.abs(weights), axis=-1, kind="stable")[..., : int(share * weights.shape[-1])]
    pruned = weights.copy()
    np.put_along_axis(pruned, smallest, 0, axis=-1)
    return pruned
