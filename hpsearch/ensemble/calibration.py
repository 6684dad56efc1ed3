"""Are probabilities what they say? Temperature scaling, the reliability table, and the Brier score.

Guo et al. 2017, "On Calibration of Modern Neural Networks"; but it is the ensemble's averaged probabilities that are
scaled, p_k^(1/T) / Σ_j p_j^(1/T), and not the logits of one network. Above 1 a temperature makes them less sure, below
it surer; which class is the most likely does not change.

The probabilities it is fitted on are those before members are trained again on all rows, and of one model per fold:
what is taken home is a little better, and its temperature slightly too high.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn.metrics import brier_score_loss

from hpsearch.data.columns import listed
from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.average import Average, average
from hpsearch.ensemble.honesty import fifths, honest_score
from hpsearch.ensemble.selection import Selection
from hpsearch.ensemble.tempering import SMALLEST, tempered
from hpsearch.orchestrator.training import score_rows

COLDEST, HOTTEST = 0.1, 10.0
CALIBRATED = "{}_calibrated"


def fit_temperature(
    probabilities: NDArray[np.float64], codes: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """The temperature T in [0.1, 10] of the least weighted log-loss.

    As where ensembles are chosen (`evidence.RowLosses`), once in n + 1 rows any class is taken to be the true one:
    without it, few rows that are all predicted rightly would make every probability 0 or 1. The loss is convex in 1/T.

    Args:
        probabilities: (n_rows, n_classes), of rows that the models were not fitted on.
        codes: (n_rows,) the true classes. weights: (n_rows,) ≥ 0.
    """
    logs = np.log(np.maximum(probabilities, SMALLEST))
    unseen = 1 / (len(codes) + 1)
    truth = (1 - unseen) * np.eye(probabilities.shape[1])[codes] + unseen / probabilities.shape[1]
    shares = weights / (weights.sum() or 1.0)

    def loss(coldness: float) -> float:
        scaled = coldness * logs
        highest = scaled.max(axis=1)
        normaliser = highest + np.log(np.exp(scaled - highest[:, np.newaxis]).sum(axis=1))
        return float(shares @ (normaliser - (truth * scaled).sum(axis=1)))

    best = minimize_scalar(loss, bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded", options={"xatol": 1e-6})
    return float(1 / best.x)


def calibrated(chosen: Average, dataset: Dataset, scorer: Scorer, seed: int) -> Average:
    """The ensemble with a temperature fitted on the honest predictions of all selection rows.

    Its honest score is measured as any other choice's: each fifth is scaled by the temperature of the other four.
    """
    select = dataset.rows.select
    codes, weights = dataset.y[select].astype(np.int64), dataset.row_weights[select].astype(np.float64)
    honest, parts = chosen.honest_predictions, fifths(dataset, seed)
    rotated = np.empty_like(honest)
    for part in range(parts.max() + 1):
        others, own = parts != part, parts == part
        rotated[own] = tempered(honest[own], fit_temperature(honest[others], codes[others], weights[others]))
    temperature = fit_temperature(honest, codes, weights)
    valid = tempered(average(chosen.members, chosen.votes, np.arange(len(dataset.rows.valid))), temperature)
    score, deviation = honest_score(rotated, parts, dataset, scorer)
    return replace(
        chosen,
        name=CALIBRATED.format(chosen.name),
        valid_value=score_rows(scorer, dataset, dataset.rows.valid, valid),
        honest_score=score,
        honest_deviation=deviation,
        honest_predictions=rotated,
        temperature=temperature,
    )


def brier_score(selection: Selection) -> float:
    """Mean of Σ_k (p_k − [k is true])² over the selection rows, half of it for two classes, as in scikit-learn."""
    _check_classes(selection)
    classes = np.arange(selection.target.n_outputs)
    return float(brier_score_loss(selection.y, selection.predictions, sample_weight=selection.weights, labels=classes))


def reliability(selection: Selection, label: object = None, n_bins: int = 10) -> pd.DataFrame:
    """How often what was predicted with a probability came true, on the selection rows.

    Predicted is the probability of `label`; by default that of the last of two classes, and of more than two that of
    the most likely one ("top label"). Bins are of equal width, and those without rows are left out.

    Returns:
        One row per bin: low, high (low < probability ≤ high), n_rows, mean_predicted, observed_share, and wilson_low
        and wilson_high, the 95 % interval of the share (Wilson 1927). Row weights count; then the interval is for
        (Σw)² / Σw² rows (Kish).

    Raises:
        ValueError: for regression, an unknown label, or fewer bins than one.
    """
    _check_classes(selection)
    if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"n_bins must be a whole number ≥ 1, but got {n_bins!r}")
    probability, is_true = _predicted(selection, label)
    weights = selection.relative_weights
    bins = np.clip(np.ceil(probability * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    rows = pd.DataFrame(
        {"bin": bins, "n_rows": 1, "weight": weights, "squared": weights**2, "predicted": weights * probability,
         "true": weights * is_true}
    )  # fmt: skip
    sums = rows[rows["weight"] > 0].groupby("bin").sum()
    share = sums["true"] / sums["weight"]
    low, high = wilson(share.to_numpy(), (sums["weight"] ** 2 / sums["squared"]).to_numpy())
    table = {
        "low": sums.index / n_bins,
        "high": (sums.index + 1) / n_bins,
        "n_rows": sums["n_rows"],
        "mean_predicted": sums["predicted"] / sums["weight"],
        "observed_share": share,
        "wilson_low": low,
        "wilson_high": high,
    }
    return pd.DataFrame(table).reset_index(drop=True)


def wilson(
    share: NDArray[np.float64], n_rows: NDArray[np.float64], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of Wilson's interval of a share that was observed on `n_rows` > 0; both (n,), within [0, 1]."""
    z = float(norm.ppf((1 + confidence) / 2))
    middle = (share + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    half = z / (1 + z**2 / n_rows) * np.sqrt(share * (1 - share) / n_rows + z**2 / (4 * n_rows**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _predicted(selection: Selection, label: object) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n_select,) the probability that is looked at, and whether it came true."""
    probabilities, classes = selection.predictions, selection.target.classes
    assert classes is not None
    if label is not None:
        known = classes.tolist()
        if label not in known:
            raise ValueError(f"label={label!r} must be one of the classes {listed(known)}")
        code: object = known.index(label)
    else:
        code = 1 if len(classes) == 2 else probabilities.argmax(axis=1)
    looked_at = np.broadcast_to(np.asarray(code), selection.y.shape)
    return np.take_along_axis(probabilities, looked_at[:, np.newaxis], axis=1)[:, 0], selection.y == looked_at


def _check_classes(selection: Selection) -> None:
    if selection.target.classes is None:
        raise ValueError(f"the target {selection.target.name!r} is a number, and has no probabilities to look at")
