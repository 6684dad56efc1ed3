"""Folds: each holds some rows out, and its models train on others. By number, by splitter, or by row numbers.

A *splitter* is scikit-learn's: `split(X, y, groups)` yields pairs of training and held-out rows. Rows of one *group*
(a patient, a shop) are never on both sides. A fold's held-out rows are dealt in two halves: valid and select.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.numeric import FEWEST_TRAIN_ROWS
from hpsearch.data.splits import (
    FOLD_STREAM,
    HALF_STREAM,
    RowNumbers,
    Rows,
    deal_round,
    generator,
    strata,
)
from hpsearch.data.target import Labels

Pair: TypeAlias = tuple[RowNumbers, RowNumbers]

FEWEST_HELD_PER_FOLD = 2
FEWEST_OF_HALF = 2  # of all folds together
FORMS = (
    "a whole number (1: no folds), a splitter such as scikit-learn's, or an iterable of (training rows, held-out rows)"
)


def fold_rows(
    cv: object,
    table: pd.DataFrame,
    labels: Labels,
    task: str,
    groups: NDArray[Any] | None,
    rest: RowNumbers,
    test: RowNumbers,
    random_state: int = 0,
) -> tuple[tuple[Rows, ...], list[str]]:
    """The row sets of the folds that `cv` makes of the rows `rest`, and sentences of what a splitter warned of.

    `table`, `labels`, `groups`: (n_rows,) of all rows but those appended as a test set. `test`: every fold's test rows.
    A splitter sees the rows `rest` alone, in table order, and what it leaves out is in none of a fold's sets.
    A whole number of folds is dealt stratified, or by whole groups, see `deal_groups`, where `random_state` has no part
    in it. A fold's held-out rows are halved in the same way, by whole groups where it holds two or more.

    Raises:
        ValueError: for a `cv` of another form, a splitter that fails or gives other folds each time, row numbers out of
            range, a row held out twice, a group on both sides, and folds of too few rows.
    """
    labels = labels[rest]
    groups = None if groups is None else groups[rest]
    codes = None if groups is None else pd.factorize(groups)[0]
    said: list[str] = []
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        pairs = _dealt(int(cv), strata(labels, task), codes, random_state)
    else:
        pairs, said = pairs_of(cv, table.iloc[rest].reset_index(drop=True), labels, groups)
    _check_held_once(pairs)
    folds = []
    rng = generator(random_state, HALF_STREAM)
    for fold, (train, held) in enumerate(pairs):
        _check_sizes(fold, train, held)
        if groups is not None:
            _check_groups(fold, groups[train], groups[held])
        # a class of one row per fold is in each half in turn
        half = _halves(strata(labels[held], task), None if codes is None else codes[held], rng) ^ (fold % 2)
        folds.append(Rows(rest[train], rest[held[half == 0]], rest[held[half == 1]], test))
    _check_halves(folds)
    return tuple(folds), said


def united(folds: Sequence[Rows], rest: RowNumbers) -> Rows:
    """The rows of all folds in one, a partition: valid and select are the unions, train is the others of `rest`.

    `rest`: all rows but the test rows. Where each is held out by some fold, there are no training rows.
    """
    valid = np.sort(np.concatenate([fold.valid for fold in folds]))
    select = np.sort(np.concatenate([fold.select for fold in folds]))
    return Rows(np.setdiff1d(rest, np.concatenate([valid, select])), valid, select, folds[0].test)


def deal_groups(strata: NDArray[np.int64], groups: NDArray[np.int64], n_parts: int) -> NDArray[np.int64]:
    """(n_rows,) part numbers 0 to n_parts - 1, equal within each group, each stratum spread as evenly as groups allow.

    The groups, largest first, go to the part p with the least Σₛ nₚₛ·cₛ/nₛ: of the nₛ rows of stratum s, nₚₛ are in the
    part and cₛ in the group. That adds least to Σₚ Σₛ nₚₛ²/nₛ. All rows count as one stratum more, so that a part
    stays empty only where there are fewer groups than parts. `strata`, `groups`: numbers from 0 on, none left out.
    """
    counts = np.zeros((groups.max() + 1, strata.max() + 2))
    np.add.at(counts, (groups, strata), 1)
    counts[:, -1] = counts.sum(axis=1)
    shares = counts / counts.sum(axis=0)
    in_part = np.zeros((n_parts, counts.shape[1]))
    part_of_group = np.empty(len(counts), dtype=np.int64)
    for group in np.argsort(-counts[:, -1], kind="stable"):
        part = (in_part @ shares[group]).argmin()
        in_part[part] += counts[group]
        part_of_group[group] = part
    return part_of_group[groups]


def _dealt(n_folds: int, strata: NDArray[np.int64], groups: NDArray[np.int64] | None, random_state: int) -> list[Pair]:
    """The folds of a whole number."""
    most = len(strata) // FEWEST_HELD_PER_FOLD if groups is None else groups.max() + 1
    if not 2 <= n_folds <= most:
        fewest = f"{FEWEST_HELD_PER_FOLD} rows" if groups is None else "a group"
        raise ValueError(f"cv={n_folds} must be 1, for none, or 2 to {most} folds: each holds out at least {fewest}")
    if groups is None:
        parts = deal_round(strata, n_folds, generator(random_state, FOLD_STREAM))
    else:
        parts = deal_groups(strata, groups, n_folds)
    return [(np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)) for fold in range(n_folds)]


def pairs_of(cv: Any, table: pd.DataFrame, labels: Labels, groups: NDArray[Any] | None) -> tuple[list[Pair], list[str]]:
    """The folds of a splitter or an iterable as sorted row numbers (training, held out), and the splitter's warnings.

    Raises:
        ValueError: for another form, a splitter that fails or gives other folds each time, row numbers out of range.
    """
    if isinstance(cv, str | bytes | bool) or not (hasattr(cv, "split") or isinstance(cv, Iterable)):
        raise ValueError(f"cv={cv!r} must be {FORMS}")
    if not hasattr(cv, "split"):
        return _pairs(cv, len(table)), []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers = [list(cv.split(table, labels, groups)) for _ in range(2)]
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"cv={cv!r} cannot split these {len(table)} rows: {error}") from error
    first, second = (_pairs(answer, len(table)) for answer in answers)
    if len(first) != len(second) or not all(map(_equal, first, second)):
        raise ValueError(f"cv={cv!r} gives other folds each time it is asked: give it a random_state, a whole number")
    return first, sorted({f"cv={cv!r} says: {warning.message}" for warning in caught})


def _equal(first: Pair, second: Pair) -> bool:
    return all(map(np.array_equal, first, second))


def _pairs(folds: Iterable[Any], n_rows: int) -> list[Pair]:
    """Each fold as two sorted sets of row numbers, without a row in common."""
    pairs = []
    for fold, pair in enumerate(folds):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"cv: fold {fold} must be a pair (training rows, held-out rows), but is {pair!r}")
        train, held = (_row_numbers(rows, fold, n_rows) for rows in pair)
        if both := np.intersect1d(train, held).tolist():
            raise ValueError(f"cv: fold {fold} has row {both[0]} among its training and its held-out rows")
        pairs.append((train, held))
    if not pairs:
        raise ValueError("cv has no folds")
    return pairs


def _row_numbers(rows: object, fold: int, n_rows: int) -> RowNumbers:
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"cv: fold {fold} must hold row numbers, 1-D whole numbers, but holds {rows!r}")
    numbers = np.sort(numbers.astype(np.int64))
    if numbers.size and not (numbers[0] >= 0 and numbers[-1] < n_rows):
        outside = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise ValueError(f"cv: fold {fold} has row {outside}, but rows are 0 to {n_rows - 1}")
    if doubles := numbers[1:][numbers[1:] == numbers[:-1]].tolist():
        raise ValueError(f"cv: fold {fold} has row {doubles[0]} twice")
    return numbers


def _check_held_once(pairs: list[Pair]) -> None:
    held, times = np.unique(np.concatenate([held for _, held in pairs]), return_counts=True)
    if (twice := held[times > 1]).size:
        raise ValueError(
            f"cv must hold a row out once at most, but {len(twice)} are held out by several folds, row {twice[0]} first"
        )


def _check_sizes(fold: int, train: RowNumbers, held: RowNumbers) -> None:
    for rows, fewest, name in ((train, FEWEST_TRAIN_ROWS, "training"), (held, FEWEST_HELD_PER_FOLD, "held-out")):
        if len(rows) < fewest:
            raise ValueError(f"cv: a fold needs at least {fewest} {name} rows, but fold {fold} has {len(rows)}")


def _check_halves(folds: Sequence[Rows]) -> None:
    for name, words in (("valid", "validation"), ("select", "selection")):
        if (n_rows := sum(len(getattr(fold, name)) for fold in folds)) < FEWEST_OF_HALF:
            raise ValueError(f"cv must give at least {FEWEST_OF_HALF} {words} rows, but gives {n_rows}")


def _check_groups(fold: int, of_train: NDArray[Any], of_held: NDArray[Any]) -> None:
    if both := of_held[pd.Series(of_held).isin(of_train).to_numpy()].tolist():
        raise ValueError(
            f"cv must keep groups together, but fold {fold} has group {both[0]!r} in training and held out"
        )


def _halves(strata: NDArray[np.int64], groups: NDArray[np.int64] | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n_held,) 0 for a valid row, 1 for a select row."""
    if groups is not None:
        known, codes = np.unique(groups, return_inverse=True)
        if len(known) > 1:
            return deal_groups(strata, codes, 2)
    return deal_round(strata, 2, rng)
