"""Who is better on the same test rows, and by how much: paired bootstrap, and what an honest score was worth."""

from dataclasses import dataclass

import numpy as np
from accuracy.kept import loss_of_mean

N_RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """What ours gains on a rival, with the ends of its 95 % interval; positive: ours is better.

    Of a loss in per cent of the rival's, of an accuracy in percentage points. Where the rival's predictions are not
    kept, the interval is not `is_paired`, and wider than a paired one would be.
    """

    gain: float
    low: float = float("nan")
    high: float = float("nan")
    is_paired: bool = True

    @property
    def is_significant(self):
        """Whether the interval leaves out zero; never without one."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self):
        word = "better" if self.gain > 0 else "worse" if self.gain < 0 else "equal"
        return word + (", significantly" if self.is_significant else "")

    def __str__(self):
        paired = "" if self.is_paired else " (published, unpaired)"
        return f"{self.gain:+.2f} [{self.low:+.2f}, {self.high:+.2f}]{paired} {self.verdict}"


def resampled_means(columns, n_resamples=N_RESAMPLES, seed=0):
    """(n_resamples, n_columns): means of columns (n_rows, n_columns) over rows drawn with replacement, all alike."""
    n_rows, draws = len(columns), np.random.default_rng(seed)
    means = np.empty((n_resamples, columns.shape[1]))
    for resample in range(n_resamples):
        counts = np.bincount(draws.integers(n_rows, size=n_rows), minlength=n_rows)
        means[resample] = counts @ columns / n_rows
    return means


def loss_difference(ours, rival):
    """The `Difference` of two kept runs by log-loss or RMSE."""
    return _difference(ours, rival, ours.row_losses, rival.row_losses, _gain_of_loss)


def accuracy_difference(ours, rival):
    """The `Difference` of two kept runs by accuracy."""
    return _difference(ours, rival, ours.row_hits, rival.row_hits, _gain_of_accuracy)


def published_difference(ours, rival, score):
    """The `Difference` to a rival of which only numbers are known, an accuracy to four digits.

    The rival's rows are taken to vary as ours do, and independently of them: an interval that is too wide, for the same
    rows are hard for both.

    Args:
        rival: its scores by name.
        score: "loss" or "accuracy".
    """
    if score == "loss":
        gain, own, scale = 100 * (1 - ours.loss / rival["loss"]), ours.row_losses, 100 / rival["loss"]
        scale /= 2 * ours.loss if ours.is_regression else 1
    else:
        gain, own, scale = 100 * (round(ours.accuracy, 4) - rival["accuracy"]), ours.row_hits, 100
    reach = 1.96 * np.sqrt(2 * own.var(ddof=1) / len(own)) * scale
    return Difference(gain, gain - reach, gain + reach, is_paired=False)


def _difference(ours, rival, our_rows, rival_rows, gain):
    if not np.array_equal(ours.targets, rival.targets):
        raise ValueError(f"{ours.contender} and {rival.contender} saw other test rows of {ours.set}")
    columns = np.stack([our_rows, rival_rows], axis=1)
    gains = gain(resampled_means(columns), ours.is_regression)
    return Difference(float(gain(columns.mean(axis=0), ours.is_regression)), *np.quantile(gains, [0.025, 0.975]))


def _gain_of_loss(means, is_regression):
    losses = loss_of_mean(means, is_regression)
    return 100 * (1 - losses[..., 0] / losses[..., 1])


def _gain_of_accuracy(means, is_regression):
    return 100 * (means[..., 0] - means[..., 1])


def honesty(run):
    """z of the honest score: (honest − test) / standard error, greater is better; positive: it promised too much.

    The standard error is that of the difference of two independent means, of losses on the test rows and on the
    selection rows: both rows' losses are taken to vary as those of the test rows do, s² (1 / n_test + 1 / n_select). Of
    an RMSE, that of the mean squared error divided by twice the RMSE.
    """
    variance = run.row_losses.var(ddof=1) * (1 / len(run.row_losses) + 1 / run.about["n_select"])
    error = np.sqrt(variance) / (2 * run.loss if run.is_regression else 1)
    return float((run.about["honest_score"] + run.loss) / error)
