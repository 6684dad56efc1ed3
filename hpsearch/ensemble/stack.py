"""Stacking on held-out predictions (Wolpert 1992): votes on the simplex that lose least, shrunk towards equal ones.

Non-negative votes need no other guard against members that are nearly the same (Breiman 1996). Entries are those of
`greedy`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

Floats = NDArray[np.float64]


def stack_log_loss(probabilities: Floats, weights: Floats, ridge: float) -> Floats:
    """Votes v, (n_members,) ≥ 0 that sum to one, of the least −Σ w log(Σ v p) + ridge · ‖v − 1/n‖².

    The sum is no constraint of the minimisation: with the term Σ v instead, the least is where it is one, but for the
    ridge.

    Args:
        probabilities: (n_members, n_entries) in (0, 1], of what turned out true.
        weights: (n_entries,) ≥ 0, of the entries; they sum to one.
        ridge: ≥ 0.
    """
    equal = np.full(len(probabilities), 1 / len(probabilities))

    def loss(votes: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(votes @ probabilities, np.finfo(float).tiny)
        away = votes - equal
        value = votes.sum() - weights @ np.log(mixed) + ridge * (away @ away)
        return float(value), 1 - probabilities @ (weights / mixed) + 2 * ridge * away

    found = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(equal))
    return np.asarray(found.x / found.x.sum())


def stack_squared_error(products: Floats, ridge: float) -> Floats:
    """Votes v, (n_members,) ≥ 0 that sum to one, of the least vᵀ · products · v + ridge · ‖v − 1/n‖².

    Non-negative least squares with one more equation, Σ v = 1: the form is homogeneous, so that the solution, scaled to
    that sum, is the one on the simplex.

    Args:
        products: (n_members, n_members), weighted mean products of the errors of two members.
        ridge: > 0.
    """
    n_members = len(products)
    values, vectors = np.linalg.eigh(products + ridge * np.eye(n_members))
    root = np.sqrt(np.maximum(values, 0))[:, np.newaxis] * vectors.T
    equations = np.vstack([root, np.full(n_members, np.sqrt(values.max()))])
    votes, _ = nnls(equations, np.append(np.zeros(n_members), 1.0))
    return np.asarray(votes / votes.sum())
