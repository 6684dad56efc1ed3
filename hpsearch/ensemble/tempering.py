"""What a temperature does to probabilities; `ensemble.calibration` finds it."""

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-15
"""Lower probabilities are taken for this one before they are scaled."""


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """p_k^(1/T) / Σ_j p_j^(1/T), for each row of (n_rows, n_classes); as they are for T = 1."""
    if temperature == 1:
        return probabilities
    scaled = np.maximum(probabilities, SMALLEST) ** (1 / temperature)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
