"""Ensembles of the library, side by side, and the one that is chosen: what a user takes home.

Probabilities are averaged, not logits. Each kind chooses its votes on the selection rows, see `kinds`. What its choice
is worth is told by rows it was not made on: five times on four fifths of the rows, and the loss on the others. Of the
kinds that are chosen from, the favourite is, unless another one's such loss is clearly less. The honest score repeats
all of that, with the choice of the kind, on four fifths of the selection rows in rotation; what was chosen predicts the
remaining fifth, see `ensemble.honesty`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.data.splits import rotations, strata
from hpsearch.ensemble.evidence import Evidence, Floats, RowLosses, RowNumbers, loses_clearly_more
from hpsearch.ensemble.honesty import fifths, honest_score
from hpsearch.ensemble.kinds import CHOSEN_FROM, Kind, Limits, Votes, kinds_of
from hpsearch.ensemble.members import Library, Member
from hpsearch.orchestrator.learner import Price
from hpsearch.orchestrator.training import score_rows

NO_LIMITS = Limits()
FAVOURITE = "greedy"


@dataclass(frozen=True)
class Average:
    """A chosen ensemble: members, their shares of the vote, and its scores.

    Attributes:
        name: the kind.
        members: those that vote, the best first.
        votes: (n_members,) float64 > 0; they sum to one.
        valid_value: its score on the validation rows, which ranked the members.
        honest_score: of the `honest_predictions`.
        honest_deviation: of the scores of the five fifths, NaN where these are not defined.
        honest_predictions: (n_select, n_outputs) float64, each selection row as predicted by what the other fifths
            chose.
        price: of its members, and of all their folds; NaN where it is not known.
        test_score: NaN until it is known, and without test rows.
        temperature: see `ensemble.calibration`; 1 leaves probabilities as they are.
    """

    name: str
    members: tuple[Member, ...]
    votes: Floats
    valid_value: float
    honest_score: float
    honest_deviation: float
    honest_predictions: Floats
    price: Price
    test_score: float = float("nan")
    temperature: float = 1.0


@dataclass(frozen=True)
class Choice:
    """What all kinds choose on some of the selection rows.

    Attributes:
        votes: by kind.
        losses: by kind, (n_rows,), of each row by what the other rows chose; the mean is the weighted mean loss.
    """

    votes: dict[str, Votes]
    losses: dict[str, Floats]

    @property
    def best(self) -> str:
        """The favourite, unless the kind with the least loss loses less by more than two standard errors.

        Where few rows cannot tell the kinds apart, a lucky one should not be taken for the best.
        """
        names = [name for name in self.losses if name in CHOSEN_FROM]
        least = min(names, key=lambda name: float(self.losses[name].mean()))
        return least if loses_clearly_more(self.losses[FAVOURITE], self.losses[least]) else FAVOURITE


def average(members: Sequence[Member], votes: Floats, positions: RowNumbers) -> Floats:
    """The members' mean predictions by their votes, for positions among the held-out rows, (n_positions, n_outputs)."""
    total = np.zeros((len(positions), members[0].predictions.shape[1]))
    for member, vote in zip(members, votes, strict=True):
        total += vote * member.predictions[positions]
    return total


def averages(
    library: Library, dataset: Dataset, scorer: Scorer, seed: int, price_of: Callable[[Mapping[str, Any]], Price],
    limits: Limits = NO_LIMITS, soup: Member | None = None,
) -> list[Average]:  # fmt: skip
    """One ensemble of each kind, within the limits; the chosen one first.

    price_of: what a member of a config costs, with the models of all its folds.
    """
    members = [*library.members, *([] if soup is None else [soup])]
    prices = [price_of(member.result.config) for member in members]
    predict_ms = np.array([price.predict_ms for price in prices])
    size_mb = np.array([price.size_mb for price in prices])
    affordable = np.flatnonzero(limits.affordable(predict_ms))
    predict_ms, size_mb = predict_ms[affordable], size_mb[affordable]
    evidence = Evidence.of([members[place] for place in affordable], dataset)
    kinds = {
        name: replace(kind, limited=lambda votes: limits.within(votes, predict_ms))
        for name, kind in kinds_of(library, evidence).items()
    }
    select = dataset.rows.select
    like = strata(dataset.y[select], dataset.task)
    parts = fifths(dataset, seed)
    final = choose(kinds, evidence, np.arange(len(select)), like, seed)
    rotated = [choose(kinds, evidence, np.flatnonzero(parts != part), like, seed) for part in range(parts.max() + 1)]

    def made(name: str, honest: Sequence[Votes]) -> Average:
        votes = final.votes[name]
        voters = np.flatnonzero(votes)
        voting = tuple(evidence.members[position] for position in voters.tolist())
        valid_predictions = average(voting, votes[voters], np.arange(len(dataset.rows.valid)))
        valid_value = score_rows(scorer, dataset, dataset.rows.valid, valid_predictions)
        predictions = np.empty((len(select), dataset.n_outputs))
        for part, rotated_votes in enumerate(honest):
            fifth = np.flatnonzero(parts == part)
            predictions[fifth] = evidence.mixed(rotated_votes, fifth)
        score, deviation = honest_score(predictions, parts, dataset, scorer)
        price = Price(float(size_mb[voters].sum()), float(predict_ms[voters].sum()))
        return Average(name, voting, votes[voters], valid_value, score, deviation, predictions, price)

    chosen = made(final.best, [choice.votes[choice.best] for choice in rotated])
    others = [made(name, [choice.votes[name] for choice in rotated]) for name in kinds if name != chosen.name]
    return [chosen, *others]


def choose(
    kinds: Mapping[str, Kind], evidence: Evidence, rows: RowNumbers, like: NDArray[np.int64], seed: int
) -> Choice:
    """What each kind chooses on these selection rows, and what it would lose on rows like them.

    like: (n_select,), strata of the selection rows.
    """
    parts = rotations(like[rows], random_state=seed)
    votes: dict[str, list[Votes]] = {name: [] for name in kinds}
    of_truth, of_any = np.empty((2, len(kinds), len(rows)))
    for part in range(parts.max() + 1):
        held = np.flatnonzero(parts == part)
        others = rows[parts != part] if len(held) < len(rows) else rows
        for place, (name, kind) in enumerate(kinds.items()):
            votes[name].append(kind.chosen(others))
            mixed = evidence.mixed(votes[name][-1], rows[held])
            of_truth[place, held], of_any[place, held] = evidence.losses(mixed, rows[held])
    losses = RowLosses(of_truth, of_any, evidence.row_weights[evidence.n_valid :][rows]).on(np.arange(len(rows)))
    return Choice(
        {
            name: kind.limited(np.mean(votes[name], axis=0)) if kind.is_bagged else kind.chosen(rows)
            for name, kind in kinds.items()
        },
        dict(zip(kinds, losses, strict=True)),
    )


def leaderboard(ensembles: Sequence[Average]) -> pd.DataFrame:
    """Ensembles and best single models, the chosen one first, then by honest score.

    Columns: ensemble, n_members, valid_value (chosen on), honest_score, honest_deviation (between the fifths),
    test_score, size_mb on disk and predict_ms of 1,000 rows, see `Price`, chosen.
    """
    chosen, *others = ensembles
    # a score that is not defined comes last
    ordered = [chosen, *sorted(others, key=lambda other: (np.isnan(other.honest_score), -other.honest_score))]
    return pd.DataFrame(
        {
            "ensemble": [one.name for one in ordered],
            "n_members": [len(one.members) for one in ordered],
            "valid_value": [one.valid_value for one in ordered],
            "honest_score": [one.honest_score for one in ordered],
            "honest_deviation": [one.honest_deviation for one in ordered],
            "test_score": [one.test_score for one in ordered],
            "size_mb": [one.price.size_mb for one in ordered],
            "predict_ms": [one.price.predict_ms for one in ordered],
            "chosen": [one is chosen for one in ordered],
        }
    )
