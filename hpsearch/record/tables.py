"""The tables of a study as plain DataFrames, and how they are written: CSV, and Parquet where pyarrow is installed."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from hpsearch.record.folder import write_file
from hpsearch.space.edges import DECISION_COLUMNS

HISTORY_COLUMNS = [
    "trial_number", "stage", "rung", "epoch", "train_loss", "valid_loss", "valid_value", "gap", "update_ratio",
]  # fmt: skip


OUTCOMES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "stopped"}
"""How a trial ended, where its record says no more than its state."""


@dataclass(frozen=True)
class TrialHistory:
    """The training curve of one trial.

    Attributes:
        rung_epochs: epochs at which the rungs of its stage end.
        values: epoch → score on the validation rows; scores are taken at rung ends.
        curve: (n_epochs, 3) float64: training loss, validation loss, update ratio after each epoch.
    """

    trial_number: int
    stage: int
    rung_epochs: tuple[int, ...]
    values: dict[int, float]
    curve: NDArray[np.float64]


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """One row per trial, in Optuna's flattened names plus `stage rung epochs seed outcome` (DESIGN.md).

    `value` is the last score on the validation rows, NaN where there is none; `outcome` is empty for a trial that was
    neither finished, stopped nor diverged: the run ended before. Choices that are lists are stored as their text.
    """
    table = pd.DataFrame([_trial_row(trial) for trial in study.get_trials(deepcopy=False)])
    first = ["number", "value", "state", "datetime_start", "datetime_complete", "duration"]
    last = ["stage", "rung", "epochs", "seed", "outcome"]
    middle = sorted(name for name in table.columns if name not in (*first, *last))
    return table.reindex(columns=[*first, *middle, *last])


def _trial_row(trial: FrozenTrial) -> dict[str, object]:
    failed = trial.state == TrialState.FAIL
    own = ("stage", "seed", "outcome", "epochs")
    value = None if failed else trial.value
    if value is None and trial.intermediate_values and not failed:
        value = trial.intermediate_values[trial.last_step or 0]
    return {
        "number": trial.number,
        "value": float("nan") if value is None else value,
        "state": trial.state.name,
        "datetime_start": trial.datetime_start,
        "datetime_complete": trial.datetime_complete,
        "duration": trial.duration,
        **{f"params_{name}": value for name, value in trial.params.items()},
        **{f"user_attrs_{name}": value for name, value in trial.user_attrs.items() if name not in own},
        "stage": trial.user_attrs.get("stage"),
        "rung": max(0, len(trial.intermediate_values) - (0 if failed else 1)),
        "epochs": trial.user_attrs.get("epochs", trial.last_step or 0),
        "seed": trial.user_attrs.get("seed"),
        "outcome": trial.user_attrs.get("outcome", OUTCOMES.get(trial.state)),
    }


def history_table(histories: Sequence[TrialHistory]) -> pd.DataFrame:
    """The `history` table of DESIGN.md: one row per trial and epoch.

    Training loss is the mean over the epoch's minibatches with dropout on, validation loss that of the averaged
    weights after it; gap = validation − training loss. `valid_value` stands at rung ends only, and is NaN elsewhere.
    """
    if not histories:
        return pd.DataFrame(columns=HISTORY_COLUMNS)
    lengths = [len(history.curve) for history in histories]
    train_loss, valid_loss, update_ratio = np.concatenate([history.curve for history in histories]).T
    epochs = np.concatenate([np.arange(1, length + 1) for length in lengths])
    values = [
        history.values.get(epoch, math.nan) for history in histories for epoch in range(1, len(history.curve) + 1)
    ]
    rungs = [np.searchsorted(history.rung_epochs, np.arange(1, len(history.curve) + 1)) for history in histories]
    return pd.DataFrame(
        {
            "trial_number": np.repeat([history.trial_number for history in histories], lengths),
            "stage": np.repeat([history.stage for history in histories], lengths),
            "rung": np.concatenate(rungs),
            "epoch": epochs,
            "train_loss": train_loss,
            "valid_loss": valid_loss,
            "valid_value": np.array(values, dtype=np.float64),
            "gap": valid_loss - train_loss,
            "update_ratio": update_ratio,
        }
    )


def decision_table(rows: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """The `decisions` table of DESIGN.md, from rows as `decision_rows` gives them."""
    table = pd.DataFrame(list(rows), columns=list(DECISION_COLUMNS))
    return table.astype(DECISION_COLUMNS)


def decision_rows(decisions: pd.DataFrame) -> list[dict[str, Any]]:
    """The `decisions` table as JSON values: None where there is no number."""
    return [
        {str(name): None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in decisions.to_dict("records")
    ]


def has_parquet() -> bool:
    """Is pyarrow, the extra "parquet", installed?"""
    return importlib.util.find_spec("pyarrow") is not None


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole or not at all."""
    write_file(path, table.to_csv(index=False).encode())


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, whole or not at all; needs pyarrow."""
    write_file(path, table.to_parquet(index=False))
