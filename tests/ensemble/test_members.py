from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hpsearch.ensemble import members as library_module
from hpsearch.ensemble.members import MAX_POOL, Library, Member, member_table
from hpsearch.orchestrator.records import FoldScores, RungRecord, TrialResult
from hpsearch.orchestrator.standing import MAX_MEMBERS

SHAPE = 6, 2


def made_up(number, values, epochs=9, **changes) -> TrialResult:
    """A trial that scored so; its predictions tell who it is."""
    generator = np.random.default_rng([number, epochs])
    predictions = {weights: generator.random(SHAPE).astype(np.float32) for weights in values}
    result = TrialResult(
        number=number, config={}, seed=number, repeats=None, begun=0, budget=epochs, epochs=epochs, values=values,
        folds=(FoldScores((values["ema"],), 0.0, 0.0),), scores={}, history=np.zeros((epochs, 3)),
        predictions=predictions, outcome=None,
    )  # fmt: skip
    return replace(result, **changes)


def rung(*results, number=0):
    return RungRecord(0, number, results[0].budget, tuple(results), (), True)


def many(n_trials, epochs):
    scores = np.random.default_rng(epochs).random((n_trials, 2))
    return [made_up(number, {"raw": raw, "ema": ema}, epochs) for number, (raw, ema) in enumerate(scores)]


@pytest.mark.parametrize("most_bytes", [library_module.MOST_BYTES, 1])
def test_members_keep_their_predictions_in_memory_or_in_a_file(monkeypatch, most_bytes):
    """While others come and go, and take the room of those that went."""
    monkeypatch.setattr(library_module, "MOST_BYTES", most_bytes)
    library, predictions = Library(), {}
    for place, epochs in enumerate((1, 3, 9, 27)):
        results = many(120, epochs)
        library.add(rung(*results, number=place))
        predictions |= {(one.number, epochs, kind): one.predictions[kind] for one in results for kind in one.values}
        for member in library.members:
            assert_array_equal(member.predictions, predictions[member.key])
    room = library.members[0].predictions.base
    assert isinstance(room, np.memmap) == (most_bytes == 1)
    assert MAX_POOL <= len(library) <= MAX_POOL + 2 * MAX_MEMBERS


def test_the_order_in_which_rungs_come_does_not_matter():
    """What is let go of would not have been chosen later either."""
    rungs = [rung(*many(150, epochs), number=place) for place, epochs in enumerate((1, 3, 9))]
    forwards, backwards = Library(), Library()
    for one in rungs:
        forwards.add(one)
    for one in reversed(rungs):
        backwards.add(one)
    assert [member.key for member in forwards.members] == [member.key for member in backwards.members]
    for kind in ("raw", "ema"):
        assert [m.key for m in forwards.best_first(kind)] == [m.key for m in backwards.best_first(kind)]


def test_a_checkpoint_counts_as_raw_weights_of_its_epoch():
    """The one that was taken when a rung ended is known already, wherever it comes from."""
    library = Library()
    library.add(rung(made_up(0, {"raw": 0.1, "ema": 0.2}, 6)))
    library.add(rung(made_up(0, {"checkpoint_6": 0.1, "checkpoint_8": 0.3, "raw": 0.2, "ema": 0.4})))
    assert [member.key for member in library.members] == [
        (0, 9, "ema"), (0, 8, "raw"), (0, 6, "ema"), (0, 9, "raw"), (0, 6, "raw"),
    ]  # fmt: skip
    assert [member.weights for member in library.best_first("raw")] == ["raw"]
    table = member_table({"x": (library.members, np.full(5, 0.2))})
    assert table["epoch"].tolist() == [9, 8, 6, 9, 6]
    assert table["weights"].tolist() == ["ema", "raw", "ema", "raw", "raw"]


def test_failures_are_no_members():
    library = Library()
    library.add(rung(made_up(0, {"ema": float("nan")}, predictions={}, outcome=object())))
    assert len(library) == 0 and library.best_first("ema") == []


def test_without_snapshots_only_the_last_rung_end_of_a_trial_is_kept():
    library = Library(snapshots=False)
    library.add(rung(*(made_up(number, {"ema": -number}, 3) for number in range(50))))
    library.add(rung(*(made_up(number, {"ema": -9 - number}, 9) for number in range(4))))
    assert [member.key[:2] for member in library.members] == [
        *((number, 9) for number in range(4)), *((number, 3) for number in range(4, MAX_MEMBERS)),
    ]  # fmt: skip


def test_a_soup_is_told_from_what_is_in_it():
    trial = made_up(3, {"raw": 0.1, "ema": 0.2})
    parts = tuple(Member(trial, weights) for weights in ("ema", "raw"))
    soup = Member(replace(trial, values={"soup": 0.3}), "soup", parts)
    assert soup.key == (3, 9, "soup") and soup.key not in {part.key for part in parts}
    assert soup.valid_value == 0.3
