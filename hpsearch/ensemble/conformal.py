"""Intervals for numbers, by split-conformal prediction (Lei et al. 2018): prediction ± a quantile of honest errors.

The errors are those of the selection rows, each predicted by what was chosen without it. The theorem promises the
coverage where new rows are exchangeable with these and the predictor was not fitted on them. Ours is chosen on them in
the end, from models that saw none of them (all of them after `refit`): the promise is near, and its coverage measured
in our tests. All intervals are equally wide.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.ensemble.selection import relative


@dataclass(frozen=True, eq=False)
class Residuals:
    """Absolute errors of honest predictions, and what each weighs.

    Attributes:
        errors: (n_rows,) float64 ≥ 0 in the target's units, sorted.
        weights: (n_rows,) float64 > 0, mean one.
    """

    errors: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(
        cls, predicted: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64] | None = None
    ) -> "Residuals":
        """Of predicted and true numbers, (n_rows,); rows of weight 0 are left out."""
        given = relative(weights, len(y))
        counted = np.flatnonzero(given)
        errors = np.abs(predicted - y)[counted]
        order = np.argsort(errors, kind="stable")
        return cls(errors[order], relative(given[counted][order], len(counted)))

    def radius(self, coverage: float) -> float:
        """Half the width of the intervals: the ⌈(n + 1) · coverage⌉-th smallest error.

        With row weights, the first error up to which the weights, of mean one, come to (n + 1) · coverage: a new row
        weighs 1 (Tibshirani et al. 2019).

        Raises:
            ValueError: for a coverage outside (0, 1), or one that so few rows cannot promise.
        """
        is_number = isinstance(coverage, int | float | np.floating) and not isinstance(coverage, bool)
        if not (is_number and 0 < coverage < 1):
            raise ValueError(f"coverage must be in (0, 1), but got {coverage!r}")
        n_rows = len(self.errors)
        # a hair less, so that rounding asks for no row too many
        wanted = (n_rows + 1) * coverage * (1 - 1e-12)
        place = int(np.searchsorted(np.cumsum(self.weights), wanted))
        if wanted > n_rows or place >= n_rows:
            needed = math.ceil(coverage / (1 - coverage) * (1 - 1e-9))
            raise ValueError(
                f"coverage={coverage:g} needs {needed:,} selection rows or more, but there are {n_rows:,}: at most "
                f"{math.floor(1000 * n_rows / (n_rows + 1)) / 1000:g} can be promised"
            )
        return float(self.errors[place])

    def to_tensors(self) -> dict[str, NDArray[np.float64]]:
        """What is saved."""
        return {"errors": self.errors, "weights": self.weights}
