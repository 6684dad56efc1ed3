import pandas as pd
import pytest

from hpsearch.diagnostics.curves import diverged_share, gap_table


def history(*curves):
    rows = [
        {
            "trial_number": number, "stage": 0, "rung": (epoch - 1) // 2, "epoch": epoch,
            "train_loss": train, "valid_loss": valid, "gap": valid - train,
        }
        for number, curve in enumerate(curves)
        for epoch, (train, valid) in enumerate(curve, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_gaps_are_medians_at_rung_ends():
    learning = [(1.0, 1.1), (0.8, 1.0), (0.6, 0.9), (0.4, 0.8)]
    overfitting = [(1.0, 1.0), (0.5, 0.9), (0.2, 1.2), (0.1, 1.5)]
    table = gap_table(history(learning, overfitting, learning[:2]))
    assert table["n_trials"].tolist() == [3, 2]
    assert table["epochs"].tolist() == [2, 4]
    assert table["gap"].tolist() == pytest.approx([0.2, (0.4 + 1.4) / 2])
    assert table["overfitting"].tolist() == [0, 0.5]


def test_a_trial_without_validation_loss_counts_for_no_gap():
    table = gap_table(history([(1.0, float("nan")), (float("nan"), float("nan"))], [(1.0, 1.1), (0.9, 1.0)]))
    assert table["n_trials"].tolist() == [1]


def test_diverged_share():
    assert diverged_share(pd.DataFrame({"outcome": ["diverged", "stopped", "finished", None]})) == 0.25
    assert diverged_share(pd.DataFrame({"outcome": []})) == 0
