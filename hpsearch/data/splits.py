"""Fixed row sets: which rows train, which stop and rank, which choose the ensemble, which are the last test.

All are dealt the same way: rows sorted by *stratum* (class, or bin of a regression target), shuffled within it, and
taken at regular steps, so that each stratum gives its share to within one row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RowNumbers = NDArray[np.int64]

FEWEST_ROWS = 12
MOST_BINS = 10
FEWEST_ROWS_PER_BIN = 5
HELD_SHARE = 0.2
FEWEST_HELD = 20  # of small tables a larger share is held, up to a third
MOST_HELD = 20_000  # 10,000 validation rows give an accuracy to ± 0.5 %; more would only cost time at every evaluation

# One stream of pseudo-random bits per purpose, so that a test set does not change how the other rows are dealt.
TEST_STREAM, HELD_STREAM, ROTATION_STREAM, FOLD_STREAM, HALF_STREAM = range(5)


@dataclass(frozen=True, eq=False)
class Rows:
    """Four sets of row numbers, each sorted int64, no row in two of them; together all rows, but for folds (folds.py).

    `train` rows fit weights and statistics, `valid` rows stop training and rank trials, `select` rows choose and
    weight the ensemble and give the honest score, `test` rows (often none) give a last score and nothing else.
    """

    train: RowNumbers
    valid: RowNumbers
    select: RowNumbers
    test: RowNumbers

    @property
    def non_test(self) -> RowNumbers:
        """All rows but the test rows, sorted."""
        return np.sort(np.concatenate([self.train, self.valid, self.select]))

    @property
    def heldout(self) -> RowNumbers:
        """The rows that trials and ensembles are judged on: validation and selection rows, in this order."""
        return np.concatenate([self.valid, self.select])


def generator(random_state: int, stream: int) -> np.random.Generator:
    """Counter-based pseudo-random numbers: a function of `random_state` (below 2⁶⁴) and the purpose, nothing else."""
    return np.random.Generator(np.random.Philox(key=np.array([random_state, stream], dtype=np.uint64)))


def strata(y: NDArray[Any], task: str) -> NDArray[np.int64]:
    """(n_rows,) strata of the labels `y`: their classes, or for regression up to ten bins of equally many rows.

    Bins of few rows hold at least five each. Equal values next to a bin's edge may fall on either side of it.
    """
    if task != "regression":
        return np.unique(y, return_inverse=True)[1]
    n_bins = max(1, min(MOST_BINS, len(y) // FEWEST_ROWS_PER_BIN))
    bins = np.empty(len(y), dtype=np.int64)
    bins[np.argsort(y, kind="stable")] = np.arange(len(y)) * n_bins // max(1, len(y))
    return bins


def deal(strata: NDArray[np.int64], n_held: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n_rows,) mask of `n_held` held-out rows; of m rows in dealing order, row i is held if
    ⌊(i + 1) · n_held / m⌋ > ⌊i · n_held / m⌋.

    Each stratum gives its share to within one row. A stratum's only row is never held, and n_held is cut to half of
    the other rows, so that no two neighbours are held and every stratum keeps a row.
    """
    mask = np.zeros(len(strata), dtype=np.bool_)
    mask[_held_in_order(strata, n_held, rng)] = True
    return mask


def _held_in_order(strata: NDArray[np.int64], n_held: int, rng: np.random.Generator) -> RowNumbers:
    """The rows that `deal` holds, in dealing order."""
    order = _dealing_order(strata, rng)
    _, stratum_of_row, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    order = order[sizes[stratum_of_row[order]] > 1]
    # In whole numbers, since ⌊(i + 1) · share⌋ in floating point may lose a row.
    dealt = np.arange(len(order) + 1) * min(n_held, len(order) // 2) // max(1, len(order))
    return order[np.diff(dealt) > 0]


def _dealing_order(strata: NDArray[np.int64], rng: np.random.Generator) -> RowNumbers:
    return np.lexsort((rng.random(len(strata)), strata))


def split_rows(
    strata: NDArray[np.int64],
    *,
    held: float = HELD_SHARE,
    test_size: float | int | None = None,
    n_appended: int = 0,
    random_state: int = 0,
) -> Rows:
    """The row sets of a table: first the test rows, then of the rest a share `held`, dealt to valid and select in turn.

    Test rows are dealt if `test_size` is given: a share in (0, 0.5], or a whole number of rows up to half of them.
    Otherwise they are the `n_appended` rows that follow the `strata` (n_rows,) given here. Held rows are at least 20,
    or a third of the rest if that is less, and at most 20,000. Every stratum of two rows or more keeps a training row.
    Raises ValueError for what `split_test` refuses, and for strata so small that fewer than four rows can be held out.
    """
    rest, test = split_test(strata, test_size=test_size, n_appended=n_appended, random_state=random_state)
    n_held = min(max(int(held * len(rest)), min(FEWEST_HELD, len(rest) // 3)), MOST_HELD)
    held_rows = rest[_held_in_order(strata[rest], n_held, generator(random_state, HELD_STREAM))]
    if len(held_rows) < 4:
        n_classes = len(np.unique(strata[rest]))
        raise ValueError(f"classes are too small to hold rows out: {len(rest)} rows in {n_classes} classes")
    train = np.setdiff1d(rest, held_rows)
    return Rows(train, np.sort(held_rows[::2]), np.sort(held_rows[1::2]), test)


def split_test(
    strata: NDArray[np.int64], *, test_size: float | int | None = None, n_appended: int = 0, random_state: int = 0
) -> tuple[RowNumbers, RowNumbers]:
    """The rows that are not test rows, and the test rows, of which `split_rows` tells.

    Raises ValueError for a test_size out of range, and fewer than twelve rows that are not test rows.
    """
    n_rows = len(strata)
    n_test = 0 if test_size is None else _n_test(test_size, n_rows)
    is_test = deal(strata, n_test, generator(random_state, TEST_STREAM))
    rest = np.flatnonzero(~is_test)
    if len(rest) < FEWEST_ROWS:
        raise ValueError(f"at least {FEWEST_ROWS} rows that are not test rows are needed, but there are {len(rest)}")
    return rest, np.concatenate([np.flatnonzero(is_test), np.arange(n_rows, n_rows + n_appended)])


def _n_test(test_size: float | int, n_rows: int) -> int:
    if isinstance(test_size, bool) or not isinstance(test_size, int | float | np.integer | np.floating):
        raise ValueError(f"test_size={test_size!r} must be a share in (0, 0.5] or a whole number of rows")
    is_share = isinstance(test_size, float | np.floating)
    most = 0.5 if is_share else n_rows // 2
    if not 0 < test_size <= most:
        rule = "a share must be in (0, 0.5]" if is_share else f"of {n_rows} rows it must be 1 to {most}"
        raise ValueError(f"test_size={test_size!r} is out of range: {rule}")
    return max(1, round(test_size * n_rows)) if is_share else int(test_size)


def rotations(strata: NDArray[np.int64], n_parts: int = 5, random_state: int = 0) -> NDArray[np.int64]:
    """(n_rows,) part numbers 0 to n_parts - 1 of the selection rows, dealt in turn, for the rotated honest score.

    With fewer rows than `n_parts` there are as many parts as rows. Parts differ in size by at most one row.
    """
    return deal_round(strata, max(1, min(n_parts, len(strata))), generator(random_state, ROTATION_STREAM))


def deal_round(strata: NDArray[np.int64], n_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n_rows,) part numbers 0 to n_parts - 1, dealt in turn: parts differ by at most a row, in each stratum too."""
    parts = np.empty(len(strata), dtype=np.int64)
    parts[_dealing_order(strata, rng)] = np.arange(len(strata)) % n_parts
    return parts
