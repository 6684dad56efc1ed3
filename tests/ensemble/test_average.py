from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from hpsearch.data.dataset import prepare
from hpsearch.data.scoring import Scorer
from hpsearch.data.splits import rotations, strata
from hpsearch.ensemble.average import average, averages, choose, leaderboard
from hpsearch.ensemble.evidence import Evidence
from hpsearch.ensemble.kinds import Kind, most_members
from hpsearch.ensemble.members import MAX_POOL, Library, Member, member_table
from hpsearch.orchestrator.learner import Price
from hpsearch.orchestrator.records import FoldScores, RungRecord, TrialResult
from hpsearch.orchestrator.standing import MAX_MEMBERS
from hpsearch.orchestrator.training import score_rows

N_CLASSES = 3


def free(config):
    return Price(0.0, 0.0)


@pytest.fixture(scope="module")
def dataset():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1200, 4))
    return prepare(X, np.digitize(X[:, 0], [-0.5, 0.5]), test_size=0.2, random_state=3)


@pytest.fixture(scope="module")
def scorer(dataset):
    return Scorer.of(None, dataset.target)


def noisy(dataset, number, noise):
    """Probabilities for all rows of the dataset that are right but for the `noise` in a trial's logits."""
    generator = np.random.default_rng(number)
    logits = 2 * dataset.targets + noise * generator.standard_normal((len(dataset.y), N_CLASSES))
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def score_on_test_rows(dataset, scorer, chosen, noise):
    rows = dataset.rows.test
    predictions = [noisy(dataset, member.result.number, noise)[rows] for member in chosen.members]
    return score_rows(scorer, dataset, rows, np.average(predictions, axis=0, weights=chosen.votes))


def made_up(number, values, predictions, epochs=9) -> TrialResult:
    """The result of a trial that scored and predicted so."""
    return TrialResult(
        number=number,
        config={"dropout": 0.1},
        seed=number,
        repeats=None,
        begun=0,
        budget=epochs,
        epochs=epochs,
        values=values,
        folds=(FoldScores((values["ema"],), 0.0, 0.0),),
        scores={},
        history=np.zeros((epochs, 3)),
        predictions=predictions,
        outcome=None,
    )


def result(dataset, scorer, number, noise, epochs=9) -> TrialResult:
    predictions = noisy(dataset, number, noise)[dataset.rows.heldout]
    value = score_rows(scorer, dataset, dataset.rows.valid, predictions[: len(dataset.rows.valid)])
    return made_up(number, {"raw": value - 0.01, "ema": value}, {"raw": predictions, "ema": predictions}, epochs=epochs)


def library_of(*results) -> Library:
    library = Library()
    library.add(RungRecord(0, 0, 9, tuple(results), (), True))
    return library


def test_equal_models_with_independent_errors_are_averaged(dataset, scorer):
    library = library_of(*(result(dataset, scorer, number, noise=2.0) for number in range(40)))
    chosen, *others = averages(library, dataset, scorer, 0, free)
    assert len(chosen.members) > 5
    assert {chosen.name, *(other.name for other in others)} == {
        "best_model", "parameter_ema", "top_models", "top_models_ema", "checkpoints", "greedy",
    }  # fmt: skip
    single = next(other for other in others if other.name == "parameter_ema")
    assert chosen.honest_score > single.honest_score + 0.1
    assert score_on_test_rows(dataset, scorer, chosen, 2.0) > score_on_test_rows(dataset, scorer, single, 2.0) + 0.1
    assert sum(chosen.votes) == pytest.approx(1)


def test_bad_models_get_no_vote(dataset, scorer):
    good = [result(dataset, scorer, number, noise=0.3) for number in range(3)]
    bad = [result(dataset, scorer, number, noise=20.0) for number in range(3, 30)]
    chosen = averages(library_of(*bad, *good), dataset, scorer, 0, free)[0]
    assert {member.result.number for member in chosen.members} <= {0, 1, 2}


def test_the_honest_score_is_what_the_choice_scores_on_other_rows(dataset, scorer):
    """Over many libraries of noise, the honest score agrees with the test score; the chosen-on value is too good."""
    honest, test, valid = [], [], []
    for study in range(30):
        results = [result(dataset, scorer, 1000 * study + number, noise=2.5) for number in range(20)]
        chosen = averages(library_of(*results), dataset, scorer, study, free)[0]
        honest.append(chosen.honest_score)
        test.append(score_on_test_rows(dataset, scorer, chosen, 2.5))
        valid.append(result(dataset, scorer, chosen.members[0].result.number, noise=2.5).value)
    difference = np.array(honest) - np.array(test)
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(len(difference)) + 0.005
    assert np.isfinite(valid).all()


def test_averages_are_means(dataset, scorer):
    members = [Member(result(dataset, scorer, number, 1.0), "ema") for number in range(4)]
    positions, votes = np.arange(5, 12), np.array([0.1, 0.2, 0.3, 0.4])
    expected = np.average([member.predictions[positions] for member in members], axis=0, weights=votes)
    assert_allclose(average(members, votes, positions), expected, rtol=1e-6)


def test_losses_are_those_of_the_averages_with_errors_not_seen_yet(dataset, scorer):
    """As scikit-learn computes them, for targets that are smoothed by 1 / (n + 1)."""
    members = [Member(result(dataset, scorer, number, 1.0), "ema") for number in range(4)]
    losses = Evidence.of(members, dataset).running(range(4))
    n_valid, select = len(dataset.rows.valid), dataset.rows.select
    picked = np.arange(3, 50)
    unseen = 1 / (len(picked) + 1)
    for count in range(1, 5):
        probabilities = average(members[:count], np.full(count, 1 / count), n_valid + picked)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        of_truth = log_loss(dataset.y[select[picked]], probabilities, labels=range(N_CLASSES))
        smoothed = (1 - unseen) * of_truth - unseen * np.log(probabilities).mean()
        assert losses.on(picked)[count - 1].mean() == pytest.approx(smoothed, rel=1e-5)


def test_losses_of_numbers_are_squared_errors():
    y = np.random.default_rng(0).standard_normal(100)
    dataset = prepare(y[:, np.newaxis], y, random_state=0)
    predictions = np.full((len(dataset.rows.heldout), 1), 0.5, dtype=np.float32)
    member = Member(made_up(0, {"ema": 0.0}, {"ema": predictions}), "ema")
    select = dataset.rows.select
    losses = Evidence.of([member], dataset).running([0]).on(np.arange(len(select)))
    assert_allclose(losses[0], np.square(0.5 - dataset.targets[select, 0].astype(np.float64)))


def test_what_predicts_a_fifth_was_chosen_without_it(dataset, scorer):
    """The contract of the honest score: whatever is true of a fifth, its honest predictions are the same."""
    library = library_of(*(result(dataset, scorer, number, 2.0) for number in range(12)))
    before = averages(library, dataset, scorer, 0, free)
    select = dataset.rows.select
    parts = rotations(strata(dataset.y[select], dataset.task), random_state=0)
    for part in range(5):
        targets, fifth = dataset.targets.copy(), parts == part
        targets[select[fifth]] = np.roll(targets[select[fifth]], 1, axis=1)
        after = averages(library, replace(dataset, targets=targets), scorer, 0, free)
        of_kind = {one.name: one for one in after}
        for one in before[1:]:
            if one.name != after[0].name:
                np.testing.assert_array_equal(
                    of_kind[one.name].honest_predictions[fifth], one.honest_predictions[fifth]
                )
        np.testing.assert_array_equal(after[0].honest_predictions[fifth], before[0].honest_predictions[fifth])
    assert before[0].honest_score == score_rows(scorer, dataset, select, before[0].honest_predictions)


def test_a_kind_is_judged_by_rows_it_was_not_chosen_on(dataset, scorer):
    """A kind that knows the rows it is asked about by heart gains nothing from it."""
    library = library_of(*(result(dataset, scorer, number, 2.0) for number in range(8)))
    evidence = Evidence.of(library.members, dataset)
    asked = []

    def votes(rows):
        asked.append(rows)
        return np.full(len(evidence.members), 1 / len(evidence.members))

    rows = np.arange(3, 83)
    like = strata(dataset.y[dataset.rows.select], dataset.task)
    choice = choose({"all": Kind(votes, is_bagged=True)}, evidence, rows, like, 0)
    assert len(asked) == 5 and {len(others) for others in asked} == {64}
    counts = np.bincount(np.concatenate(asked), minlength=evidence.n_rows)
    np.testing.assert_array_equal(np.flatnonzero(counts), rows)
    assert set(counts[rows]) == {4}
    assert choice.losses["all"].shape == (80,)


def test_the_library_keeps_those_that_can_vote_and_forgets_the_rest(dataset, scorer):
    """Members let go of at one rung, and taken up at the next, as if all had been kept."""
    rungs = [[result(dataset, scorer, 100 * rung + number, 2.0) for number in range(60)] for rung in range(3)]
    library, everything, pool = Library(), {}, []
    for rung, results in enumerate(rungs):
        epochs = 3 ** (rung + 1)
        results = [replace(one, number=number, epochs=epochs) for number, one in enumerate(results)]
        library.add(RungRecord(0, rung, epochs, tuple(results), (), True))
        for one in results:
            pool += [(-value, one.number, one.epochs, kind) for kind, value in one.values.items()]
            if one.number not in everything or one.value > everything[one.number].value:
                everything[one.number] = one
    expected = sorted(everything.values(), key=lambda one: (-one.value, one.number))[:MAX_MEMBERS]
    found = library.best_first("ema")
    assert [(member.result.number, member.result.epochs) for member in found] == [
        (one.number, one.epochs) for one in expected
    ]
    assert all(list(member.result.predictions) == ["ema"] for member in found)
    best = [key for _, *key in sorted(pool)[:MAX_POOL]]
    assert [list(member.key) for member in library.members[:MAX_POOL]] == best
    assert len(library.members) <= MAX_POOL + 2 * MAX_MEMBERS


def test_the_largest_average_within_a_standard_error_wins():
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(400)
    level = np.array([1.0, 0.5, 0.49, 0.495, 0.9])[:, np.newaxis]
    losses = level + 0.2 * noise + 0.1 * generator.standard_normal((5, 400))
    assert most_members(losses) in (3, 4)
    assert most_members(np.array([[0.1, 0.1], [0.1, 0.1], [0.2, 0.2]])) == 2


def test_a_trial_is_represented_by_its_best_rung_end(dataset, scorer):
    early, late = result(dataset, scorer, 1, 0.5, epochs=3), result(dataset, scorer, 1, 3.0, epochs=9)
    library = library_of(early, late, result(dataset, scorer, 2, 1.0))
    best = library.best_first("ema")
    assert [(member.result.number, member.result.epochs) for member in best] == [(1, 3), (2, 9)]
    assert len(library) == 6


def test_the_leaderboard_marks_the_chosen_and_sorts_the_rest(dataset, scorer):
    library = library_of(*(result(dataset, scorer, number, 2.0) for number in range(20)))
    ensembles = averages(library, dataset, scorer, 0, free)
    table = leaderboard(ensembles)
    assert table["chosen"].tolist() == [True] + [False] * (len(ensembles) - 1)
    assert table["honest_score"].tolist()[1:] == sorted(table["honest_score"].tolist()[1:], reverse=True)
    undefined = [replace(ensembles[1], honest_score=float("nan")), *ensembles[2:]]
    assert np.isnan(leaderboard([ensembles[0], *undefined])["honest_score"].iloc[-1])
    members = member_table({one.name: (one.members, one.votes) for one in ensembles})
    assert members.groupby("ensemble")["weight"].sum().tolist() == pytest.approx([1] * len(ensembles))
    assert members.columns.tolist() == [
        "ensemble", "trial_number", "epoch", "weights", "seed", "fold", "weight", "valid_value",
    ]  # fmt: skip


def two_classes(y, weights=None, scoring="roc_auc", noise=2.0):
    """A dataset of two classes, its score, and a library of models that are right but for their noise."""
    dataset = prepare(np.arange(len(y))[:, np.newaxis] * 1.0, y, sample_weight=weights, random_state=0)
    scorer = Scorer.of(scoring, dataset.target)
    heldout, results = dataset.rows.heldout, []
    for number in range(6):
        logits = 2 * dataset.targets + noise * np.random.default_rng(number).standard_normal((len(y), 2))
        predictions = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)[heldout]
        value = score_rows(scorer, dataset, dataset.rows.valid, predictions[: len(dataset.rows.valid)])
        both = {"raw": predictions, "ema": predictions}
        results.append(made_up(number, dict.fromkeys(both, value), both))
    return dataset, scorer, library_of(*results)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_score_that_is_not_defined_on_a_fifth_is_honest_on_all():
    """Of a rare class only some of the fifths have a row: an area under a curve of the others does not exist."""
    y = np.zeros(400, dtype=int)
    y[::30] = 1
    dataset, scorer, library = two_classes(y)
    assert dataset.y[dataset.rows.select].sum() < 5
    for one in averages(library, dataset, scorer, 0, free):
        assert 0.5 < one.honest_score <= 1


def test_an_r2_is_honest_on_small_fifths():
    """The mean of R² over fifths of few rows is biased: each has its own mean to beat. That of all rows is not."""
    generator = np.random.default_rng(0)
    y = generator.standard_normal(100)
    dataset = prepare(y[:, np.newaxis], y, random_state=0)
    scorer = Scorer.of("r2", dataset.target)
    results = []
    for number in range(5):
        predictions = (0.5 * dataset.targets[dataset.rows.heldout]).astype(np.float32)
        both = {"raw": predictions, "ema": predictions}
        results.append(made_up(number, dict.fromkeys(both, 0.7), both))
    chosen = averages(library_of(*results), dataset, scorer, 0, free)[0]
    rows = dataset.rows.select
    assert chosen.honest_score == pytest.approx(score_rows(scorer, dataset, rows, 0.5 * dataset.targets[rows]))


def test_fifths_without_weight_do_not_spoil_the_honest_score():
    y = np.tile([0, 1], 200)
    weights = np.zeros(400)
    dataset, _, _ = two_classes(y)
    weights[dataset.rows.train] = 1
    weights[dataset.rows.valid] = 1
    weights[dataset.rows.select[:4]] = 1
    dataset, scorer, library = two_classes(y, weights, "neg_log_loss")
    for one in averages(library, dataset, scorer, 0, free):
        assert np.isfinite(one.honest_score)


def test_row_weights_count_in_the_choice():
    """Two kinds of models, each right on its own half of the rows: the half with the weight decides."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((2000, 2))
    left = X[:, 0] < 0
    weights = np.where(left, 10.0, 0.1)
    dataset = prepare(X, (X[:, 1] > 0).astype(int), sample_weight=weights, random_state=0)
    scorer = Scorer.of(None, dataset.target)
    heldout = dataset.rows.heldout

    def expert(number, is_mine):
        right = dataset.targets[heldout]
        predictions = np.where(is_mine[heldout, np.newaxis], 0.1 + 0.8 * right, 0.5).astype(np.float32)
        value = score_rows(scorer, dataset, dataset.rows.valid, predictions[: len(dataset.rows.valid)])
        return made_up(number, {"raw": value, "ema": value}, {"raw": predictions, "ema": predictions})

    chosen = averages(library_of(expert(0, left), expert(1, ~left)), dataset, scorer, 0, free)[0]
    assert {member.result.number for member in chosen.members} == {0}


def test_without_snapshots_those_that_got_further_come_first():
    """A forest of a few trees is not what was asked for, however lucky it was."""
    library, whole = Library(snapshots=False), Library()
    for one in (library, whole):
        for epochs, values in ((3, {0: -0.1, 1: -0.2}), (9, {0: -0.3})):
            both = {"raw": np.ones((2, 2)), "ema": np.ones((2, 2))}
            results = [made_up(n, dict.fromkeys(both, value), both, epochs) for n, value in values.items()]
            one.add(RungRecord(0, 0, epochs, tuple(results), (), True))
    assert [(member.result.number, member.result.epochs) for member in library.best_first("ema")] == [(0, 9), (1, 3)]
    assert [(member.result.number, member.result.epochs) for member in whole.best_first("ema")] == [(0, 3), (1, 3)]
