"""The kinds of ensembles by name: who may vote in each, and how the votes are chosen on selection rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.ensemble.evidence import Evidence, Floats, RowNumbers
from hpsearch.ensemble.greedy import greedy_log_loss, greedy_squared_error
from hpsearch.ensemble.members import Library, Member
from hpsearch.ensemble.stack import stack_log_loss, stack_squared_error
from hpsearch.orchestrator.standing import MAX_MEMBERS

FEWEST_STACKED = 1_000
"""Selection rows from which there is a `stack`."""
POOL_PER_ROOT = 2.0
"""Of n selection rows, so many times √n members are the pool of `greedy`: few rows tell few members apart."""
FEWEST_POOLED = 8
RIDGE = 1.0
"""Of `stack`, divided by the number of rows."""

MOST_VOTERS = 10
"""Members of an ensemble, unless the user says otherwise: more gain little, and each is trained again on all rows."""
CHOSEN_FROM = ("top_models", "top_models_ema", "greedy", "stack")
"""Kinds that choose who votes. The others are there to be compared: on few rows one of many may look best by luck, and
whoever votes in them may vote in these."""

Votes = Floats
"""(n_members,) ≥ 0, of the members of the evidence; they sum to one."""


@dataclass(frozen=True)
class Limits:
    """What an ensemble may cost its user. One member at least votes, one of the cheapest if all are too dear.

    Attributes:
        max_members: ≥ 1, members that vote, `MOST_VOTERS` if it is None; with folds each is a model per fold.
        max_predict_ms: > 0, of 1,000 rows on one core, see `Price`.

    Raises ValueError for other numbers.
    """

    max_members: int | None = None
    max_predict_ms: float | None = None

    def __post_init__(self) -> None:
        members, ms = self.max_members, self.max_predict_ms
        if members is not None and (not isinstance(members, int | np.integer) or members is True or members < 1):
            raise ValueError(f"max_members must be a whole number ≥ 1, or None, but got {members!r}")
        if ms is not None and (not isinstance(ms, int | float) or ms is True or not ms > 0):
            raise ValueError(f"max_predict_ms must be a number > 0, or None, but got {ms!r}")

    def affordable(self, predict_ms: Floats) -> NDArray[np.bool_]:
        """(n_members,), which may vote alone: those within the limit or, if there are none, the cheapest."""
        if self.max_predict_ms is None:
            return np.ones(len(predict_ms), dtype=bool)
        return np.asarray(predict_ms <= max(self.max_predict_ms, predict_ms.min()))

    def within(self, votes: Votes, predict_ms: Floats) -> Votes:
        """The greatest of the votes, as many as may be, scaled to a sum of one."""
        order = np.argsort(-votes, kind="stable")[: min(np.count_nonzero(votes), self.max_members or MOST_VOTERS)]
        if self.max_predict_ms is not None:
            order = order[: max(1, int((predict_ms[order].cumsum() <= self.max_predict_ms).sum()))]
        kept = np.zeros_like(votes)
        kept[order] = votes[order] / votes[order].sum()
        return kept


@dataclass(frozen=True)
class Kind:
    """A way to make an ensemble.

    Attributes:
        votes: what it gives by the evidence of these rows alone.
        is_bagged: are the votes the mean of those by several parts of the rows?
        limited: what is left of votes within the limits.
    """

    votes: Callable[[RowNumbers], Votes]
    is_bagged: bool = False
    limited: Callable[[Votes], Votes] = lambda votes: votes

    def chosen(self, rows: RowNumbers) -> Votes:
        """The votes by these rows, within the limits."""
        return self.limited(self.votes(rows))


def kinds_of(library: Library, evidence: Evidence) -> dict[str, Kind]:
    """All kinds there are members for, the plainest first.

    evidence: of those members of the library that may vote, in its order, and after them of soups.
    """
    last_kind = library.members[0].result.ranked_by
    n_soups = sum(bool(member.ingredients) for member in evidence.members)
    n_members = len(evidence.members) - n_soups
    place = {member.key: position for position, member in enumerate(evidence.members)}

    def positions(members: Sequence[Member]) -> RowNumbers:
        return np.array([place[member.key] for member in members if member.key in place], dtype=np.int64)

    best = {kind: positions(library.best_first(kind)) for kind in ("raw", "ema", "swa")}
    singles = {"best_model": best["raw"][:1], "parameter_ema": best["ema"][:1], "parameter_swa": best["swa"][:1]}
    singles["soup"] = np.arange(n_members, n_members + n_soups)
    seeds = positions(seeds_of_one_config(library.best_first(last_kind)))
    tops = {
        "top_models": best["raw"],
        "top_models_ema": best["ema"],
        "checkpoints": positions([member for member in best_run(library, last_kind) if member.kind == "raw"]),
    }
    pool = np.arange(min(n_members, most_pooled(evidence.n_rows)))
    kinds = {name: _equal(evidence, members) for name, members in singles.items() if len(members)}
    if len(seeds) > 1:
        kinds["same_model_different_inits"] = _equal(evidence, seeds)
    kinds |= {name: _most(evidence, members) for name, members in tops.items() if len(members)}
    kinds["greedy"] = Kind(lambda rows: _greedy(evidence, pool, rows), is_bagged=True)
    if evidence.n_rows >= FEWEST_STACKED:
        kinds["stack"] = Kind(lambda rows: _stack(evidence, pool[:MAX_MEMBERS], rows), is_bagged=True)
    return kinds


def most_pooled(n_rows: int) -> int:
    """Members among which `greedy` chooses by so many selection rows."""
    return max(FEWEST_POOLED, int(POOL_PER_ROOT * math.sqrt(n_rows)))


def seeds_of_one_config(best_first: Sequence[Member]) -> list[Member]:
    """The members of the config that was trained with several seeds and is the best by their mean validation score."""
    seeds: dict[int, list[Member]] = {}
    for member in best_first:
        origin = member.result.number if member.result.repeats is None else member.result.repeats
        seeds.setdefault(origin, []).append(member)
    several = [members for members in seeds.values() if len(members) > 1]
    return max(several, key=lambda members: np.mean([member.valid_value for member in members]), default=[])


def best_run(library: Library, last_kind: str) -> list[Member]:
    """All members of the best trial, by the kind of weights that ranks trials, best first."""
    best = library.best_first(last_kind)[0].result.number
    return [member for member in library.members if member.result.number == best]


def most_members(losses: Floats) -> int:
    """The largest number of members whose mean loss is within one standard error of the least.

    Args:
        losses: (n_members, n_rows), of the average of the first 1, 2, … members on each row. The standard error is that
            of the paired difference to the best number.
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    standard_errors = excess.std(axis=1) / np.sqrt(excess.shape[1])
    return int(np.flatnonzero(excess.mean(axis=1) <= standard_errors)[-1]) + 1


def _equal(evidence: Evidence, positions: RowNumbers) -> Kind:
    """All of these vote, whatever the rows say."""
    votes = _votes(evidence, positions, np.full(len(positions), 1 / len(positions)))
    return Kind(lambda rows: votes)


def _most(evidence: Evidence, positions: RowNumbers) -> Kind:
    """The first of these vote equally; how many, the rows say."""
    losses = evidence.running(positions)

    def votes(rows: RowNumbers) -> Votes:
        n_members = most_members(losses.on(rows))
        return _votes(evidence, positions[:n_members], np.full(n_members, 1 / n_members))

    return Kind(votes)


def _greedy(evidence: Evidence, pool: RowNumbers, rows: RowNumbers) -> Votes:
    if evidence.of_classes:
        return _votes(evidence, pool, greedy_log_loss(*evidence.probabilities(pool, rows)))
    return _votes(evidence, pool, greedy_squared_error(evidence.products(pool, rows)))


def _stack(evidence: Evidence, pool: RowNumbers, rows: RowNumbers) -> Votes:
    ridge = RIDGE / len(rows)
    if evidence.of_classes:
        return _votes(evidence, pool, stack_log_loss(*evidence.probabilities(pool, rows), ridge))
    products = evidence.products(pool, rows)
    return _votes(evidence, pool, stack_squared_error(products, ridge * float(np.diag(products).mean())))


def _votes(evidence: Evidence, positions: RowNumbers, votes: Floats) -> Votes:
    every = np.zeros(len(evidence.members))
    every[positions] = votes
    return every
