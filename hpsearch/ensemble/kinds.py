"""The kinds of ensembles by name: who may vote in each, and how the votes are chosen on selection rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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

Votes = Floats
"""(n_members,) ≥ 0, of the members of the evidence; they sum to one."""


@dataclass(frozen=True)
class Kind:
    """A way to make an ensemble.

    Attributes:
        votes: what it gives by the evidence of these rows alone.
        is_bagged: are the votes the mean of those by several parts of the rows?
    """

    votes: Callable[[RowNumbers], Votes]
    is_bagged: bool = False


def kinds_of(library: Library, evidence: Evidence) -> dict[str, Kind]:
    """All kinds there are members for, the plainest first; the evidence is of all members of the library."""
    last_kind = library.members[0].result.ranked_by
    place = {member.key: position for position, member in enumerate(evidence.members)}

    def positions(members: Sequence[Member]) -> RowNumbers:
        return np.array([place[member.key] for member in members if member.key in place], dtype=np.int64)

    best = {kind: positions(library.best_first(kind)) for kind in ("raw", "ema", "swa")}
    singles = {"best_model": best["raw"][:1], "parameter_ema": best["ema"][:1], "parameter_swa": best["swa"][:1]}
    alike = {
        "same_model_different_inits": positions(seeds_of_one_config(library.best_first(last_kind))),
    }
    tops = {
        "top_models": best["raw"],
        "top_models_ema": best["ema"],
        "checkpoints": positions(checkpoints_of_one_run(library.members, last_kind)),
    }
    pool = np.arange(min(len(evidence.members), most_pooled(evidence.n_rows)))
    kinds = {name: _equal(evidence, members) for name, members in singles.items() if len(members)}
    kinds |= {name: _equal(evidence, members) for name, members in alike.items() if len(members) > 1}
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


def checkpoints_of_one_run(ranked: Sequence[Member], last_kind: str) -> list[Member]:
    """The raw weights along the run of the best trial, best first: where the schedule is cyclic, a snapshot ensemble."""
    best = next((member.result.number for member in ranked if member.kind == last_kind), None)
    return [member for member in ranked if member.result.number == best and member.kind == "raw"]


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
