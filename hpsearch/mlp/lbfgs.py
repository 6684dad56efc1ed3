"""Full-batch L-BFGS for small data: SciPy's, on the engine's gradient. An iteration counts as an epoch.

Its memory of curvature is no state of a fit: it starts afresh with each call, as at the end of a rung.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from hpsearch.mlp.augmentation import Augmentation
from hpsearch.mlp.epochs import Look, end_epoch, has_diverged, has_no_patience
from hpsearch.mlp.penalties import penalty_naive
from hpsearch.mlp.stack import Layout
from hpsearch.mlp.steps import Data, Scratch, Settings, State, train_step


class _Interrupted(Exception):
    """The user wants to stop."""


def train_lbfgs(
    layout: Layout, settings: Settings, data: Data, rows: NDArray[np.int64], state: State, scratch: Scratch, look: Look,
    first_epoch: int, history: NDArray[np.float64], should_stop: Callable[[], bool],
) -> int | None:  # fmt: skip
    """Minimise the mean loss of all `rows` plus the L2 penalty for len(history) iterations, in place.

    The average is the weights themselves. Once no step lowers the loss, the epochs that remain change nothing, and
    `history` (n_epochs, 3) says so with an update ratio of 0. SciPy works in float64, the gradient is of float32.

    Returns the position of the epoch that was the model's last, −1 if none was, None if it was told to stop.
    """
    n_learned, n_matrix, height = layout.n_learned, layout.n_matrix, len(rows)
    nothing = Augmentation().strengths(int(layout.n_inputs))
    weight_of_rows = float(data.row_weights[rows].sum(dtype=np.float64))
    done, last_epoch = 0, -1

    def objective(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if should_stop():
            raise _Interrupted
        state.weights[:n_learned] = weights
        total = train_step(layout, settings, nothing, data, rows, state, scratch, 0.0, 0.0, 0)
        gradient = state.gradient[:n_learned].astype(np.float64)
        gradient[:n_matrix] += settings.l2 * weights[:n_matrix]
        return total / height + penalty_naive(weights[:n_matrix], 0.0, settings.l2), gradient

    def end_iteration(intermediate_result: OptimizeResult) -> None:
        nonlocal done, last_epoch
        weights = intermediate_result.x
        state.weights[:n_learned] = weights
        state.average[:] = state.weights
        mean = float(intermediate_result.fun) - penalty_naive(weights[:n_matrix], 0.0, settings.l2)
        loss = mean * height / weight_of_rows
        end_epoch(layout, settings, data, state, look, first_epoch + done + 1, loss, history[done])
        look.previous[:] = state.weights
        if has_diverged(history[done], settings.worst_loss, look.outputs.shape[0] > 0) or has_no_patience(
            settings, state
        ):
            last_epoch = done
        done += 1
        if last_epoch >= 0 or done == len(history):
            raise StopIteration

    look.previous[:] = state.weights
    begun = state.weights[:n_learned].astype(np.float64)
    try:
        # a step of float64 may lie beyond float32: divergence is seen where the epoch ends
        with np.errstate(over="ignore", invalid="ignore"):
            result = minimize(
                objective, begun, jac=True, method="L-BFGS-B", callback=end_iteration,
                options={"maxiter": len(history), "maxfun": 50 * len(history)},
            )  # fmt: skip
            # checkpoints, the tail average and patience go by epochs, also by those that change nothing
            while last_epoch < 0 and done < len(history):
                end_iteration(result)
    except StopIteration:
        pass
    except _Interrupted:
        return None
    return last_epoch
