"""What the training curves say: gaps between training and validation loss, and how many trials diverged."""

import pandas as pd

OVERFIT_SHARE = 0.1
"""A validation loss this much above the lowest of its trial has turned upwards."""


def gap_table(history: pd.DataFrame) -> pd.DataFrame:
    """Training and validation loss at the end of each rung, one row per stage and rung.

    `history` is the table of DESIGN.md. Columns: stage, rung, epochs, n_trials, train_loss, valid_loss, gap (medians
    over trials of the rung's last epoch) and overfitting: the share of trials whose validation loss has risen by a
    tenth above its lowest.
    """
    history = history.dropna(subset=["valid_loss"])
    lowest = history.groupby("trial_number")["valid_loss"].cummin()
    history = history.assign(overfitting=history["valid_loss"] > lowest * (1 + OVERFIT_SHARE))
    ends = history.loc[history.groupby(["stage", "rung", "trial_number"])["epoch"].idxmax()]
    table = ends.groupby(["stage", "rung"]).agg(
        epochs=("epoch", "max"),
        n_trials=("trial_number", "size"),
        train_loss=("train_loss", "median"),
        valid_loss=("valid_loss", "median"),
        gap=("gap", "median"),
        overfitting=("overfitting", "mean"),
    )
    return table.reset_index()


def diverged_share(trials: pd.DataFrame) -> float:
    """The share of trials that diverged; `trials` is the table of DESIGN.md."""
    return float((trials["outcome"] == "diverged").mean()) if len(trials) else 0.0
