"""A soup: one network whose weights are the mean of several along one run (greedy: Wortsman et al. 2022).

That works along a run, and not between runs: there the weights of networks that predict alike have nothing in common.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.members import SOUP, Member
from hpsearch.orchestrator.networks import Network
from hpsearch.orchestrator.records import out_of_fold
from hpsearch.orchestrator.training import score_rows

Networks = Sequence[Network]
"""One per part of the dataset."""


def soup_of(
    run: Sequence[Member], networks: Callable[[Member], Networks], dataset: Dataset, scorer: Scorer
) -> Member | None:
    """The soup of one run, or None if it is none: mean weights do not score better than the best ones.

    Args:
        run: members of one trial, the best first; one after the other is stirred in if the validation rows gain by it.
        networks: of a member.
    """
    chosen: list[Member] = []
    stirred: list[Networks] = []
    best, predictions = -np.inf, np.empty(0, np.float32)
    for member in run:
        tried = [*stirred, networks(member)]
        mixed = _predictions([Network.mean(own) for own in zip(*tried, strict=True)], dataset)
        value = score_rows(scorer, dataset, dataset.rows.valid, mixed[: len(dataset.rows.valid)])
        if value > best:
            best, predictions, stirred = value, mixed, tried
            chosen.append(member)
    if len(chosen) < 2:
        return None
    result = max((member.result for member in chosen), key=lambda result: result.epochs)
    own = replace(result, values={SOUP: best}, predictions={SOUP: predictions})
    return Member(own, SOUP, tuple(chosen))


def _predictions(networks: Networks, dataset: Dataset) -> NDArray[np.float32]:
    """(n_heldout, n_outputs), each held-out row by the network of its part."""
    parts = zip(networks, dataset.parts, strict=True)
    return out_of_fold(dataset, [network.predict(part.inputs[part.rows.heldout]) for network, part in parts])
