"""How a fit ended, with a sentence of advice. A failed model is a value, not an exception."""

from dataclasses import dataclass
from traceback import format_exception
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """The end of one model's training: its `name`, the `epoch` it was reached in, and a `sentence` for a person.

    `traceback`: of the error that ended it, as text; empty where there was none.
    """

    name: Literal["finished", "stopped", "diverged", "unscored", "errored", "killed"]
    epoch: int
    sentence: str
    traceback: str = ""

    @property
    def failed(self) -> bool:
        """Is there no model to go on with, or to predict with?"""
        return self.name in ("diverged", "unscored", "errored", "killed")


def finished(epoch: int) -> Outcome:
    """The model was trained as long as was planned."""
    return Outcome("finished", epoch, f"Trained to the end, for {epoch} epochs.")


def stopped(epoch: int) -> Outcome:
    """The model was left behind at a rung, because others did better."""
    return Outcome("stopped", epoch, f"Stopped after {epoch} epochs: others of its rung did better.")


def ran_out_of_patience(epoch: int, n_worse: int) -> Outcome:
    """Early stopping: the loss that was watched did not fall for as many epochs as the recipe has patience for."""
    return Outcome(
        "finished",
        epoch,
        f"Ended early after {epoch} epochs, {n_worse} of them without a better loss; the best weights are kept.",
    )


def diverged(epoch: int, train_loss: float, learning_rate: float | None) -> Outcome:
    """The training loss became NaN or infinite, or exploded; `learning_rate` is None for L-BFGS, which has none."""
    advice = (
        "weights that nothing holds back grew too large; try a larger alpha."
        if learning_rate is None
        else f"learning_rate_init={learning_rate:.3g} is likely too high; try a tenth of it."
    )
    return Outcome("diverged", epoch, f"Diverged in epoch {epoch} (training loss {train_loss:.3g}): {advice}")


def unscored(epoch: int, scoring: str) -> Outcome:
    """The model predicts, but the score the user asked for cannot be computed of what it predicts."""
    return Outcome(
        "unscored",
        epoch,
        f"After {epoch} epochs {scoring} cannot be computed of what it predicts (it may not be defined for negative "
        "numbers, say): choose a score that is defined for all numbers, or transform the target.",
    )


def errored(epoch: int, error: BaseException) -> Outcome:
    """An estimator that is not ours raised `error` while it was trained up to `epoch`, or while it predicted."""
    told = f"{type(error).__name__}: {error}".splitlines()[0]
    traceback = "".join(format_exception(error))
    return Outcome("errored", epoch, f"Failed on the way to epoch {epoch} with {told}", traceback)


def killed(epoch: int, reason: str) -> Outcome:
    """The process of a model was ended on the way to `epoch`; `reason` is a clause such as "it took too long"."""
    return Outcome("killed", epoch, f"Killed on the way to epoch {epoch}: {reason}.")
