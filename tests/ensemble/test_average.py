import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from hpsearch.data.dataset import prepare
from hpsearch.data.scoring import Scorer
from hpsearch.ensemble.average import KINDS, Heldout, average, averages, leaderboard, most_members, running_averages
from hpsearch.ensemble.members import Library, Member, member_table
from hpsearch.orchestrator.run import RungRecord, TrialResult, score_rows

N_CLASSES = 3


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
    return score_rows(scorer, dataset, rows, np.mean(predictions, axis=0))


def result(dataset, scorer, number, noise, epochs=9) -> TrialResult:
    predictions = noisy(dataset, number, noise)[dataset.rows.heldout]
    value = score_rows(scorer, dataset, dataset.rows.valid, predictions[: len(dataset.rows.valid)])
    return TrialResult(
        number=number,
        config={"dropout": 0.1},
        seed=number,
        epochs=epochs,
        values={"raw": value - 0.01, "ema": value},
        history=np.zeros((epochs, 3)),
        predictions={"raw": predictions, "ema": predictions},
        outcome=None,
    )


def library_of(*results) -> Library:
    library = Library()
    library.add(RungRecord(0, 0, 9, tuple(results), (), True))
    return library


def test_equal_models_with_independent_errors_are_averaged(dataset, scorer):
    library = library_of(*(result(dataset, scorer, number, noise=2.0) for number in range(40)))
    chosen, *others = averages(library, dataset, scorer, seed=0)
    assert chosen.name == "top_models" or chosen.name == "top_models_ema"
    assert len(chosen.members) > 10
    assert {chosen.name, *(other.name for other in others)} == set(KINDS)
    single = next(other for other in others if other.name == "best_model_ema")
    assert chosen.honest_score > single.honest_score + 0.1
    assert score_on_test_rows(dataset, scorer, chosen, 2.0) > score_on_test_rows(dataset, scorer, single, 2.0) + 0.1
    assert sum(chosen.votes) == pytest.approx(1)


def test_bad_models_get_no_vote(dataset, scorer):
    good = [result(dataset, scorer, number, noise=0.3) for number in range(3)]
    bad = [result(dataset, scorer, number, noise=20.0) for number in range(3, 30)]
    chosen = averages(library_of(*bad, *good), dataset, scorer, seed=0)[0]
    assert {member.result.number for member in chosen.members} <= {0, 1, 2}


def test_the_honest_score_is_what_the_choice_scores_on_other_rows(dataset, scorer):
    """Over many libraries of noise, the honest score agrees with the test score; the chosen-on value is too good."""
    honest, test, valid = [], [], []
    for study in range(30):
        results = [result(dataset, scorer, 1000 * study + number, noise=2.5) for number in range(20)]
        chosen = averages(library_of(*results), dataset, scorer, seed=study)[0]
        honest.append(chosen.honest_score)
        test.append(score_on_test_rows(dataset, scorer, chosen, 2.5))
        valid.append(result(dataset, scorer, chosen.members[0].result.number, noise=2.5).value)
    difference = np.array(honest) - np.array(test)
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(len(difference)) + 0.005
    assert np.isfinite(valid).all()


def test_running_averages_are_means_of_the_first(dataset, scorer):
    members = [Member(result(dataset, scorer, number, 1.0), "ema") for number in range(4)]
    positions = np.arange(5, 12)
    averaged = running_averages(members, positions)
    for count in range(1, 5):
        expected = np.mean([member.predictions[positions] for member in members[:count]], axis=0)
        assert_allclose(averaged[count - 1], expected, rtol=1e-6)
        assert_allclose(average(members[:count], positions), expected, rtol=1e-6)


def test_losses_are_those_of_scikit_learn_but_for_the_unseen(dataset, scorer):
    heldout = Heldout(dataset, scorer)
    predictions = result(dataset, scorer, 1, 1.0).predictions["ema"][heldout.select].astype(np.float64)
    predictions /= predictions.sum(axis=1, keepdims=True)
    rows = dataset.rows.select
    losses = heldout.losses(predictions[np.newaxis], heldout.select)[0]
    assert losses.mean() == pytest.approx(log_loss(dataset.y[rows], predictions), abs=3 / len(rows) * 5)
    overconfident = np.where(predictions > predictions.max(axis=1, keepdims=True) - 1e-9, 1 - 2e-9, 1e-9)
    assert heldout.losses(overconfident[np.newaxis], heldout.select)[0].min() > 1e-3


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
    assert len(library) == 3


def test_the_leaderboard_marks_the_chosen_and_sorts_the_rest(dataset, scorer):
    library = library_of(*(result(dataset, scorer, number, 2.0) for number in range(20)))
    ensembles = averages(library, dataset, scorer, seed=0)
    table = leaderboard(ensembles)
    assert table["chosen"].tolist() == [True, False, False, False]
    assert table["honest_score"].tolist()[1:] == sorted(table["honest_score"].tolist()[1:], reverse=True)
    members = member_table({one.name: (one.members, one.votes) for one in ensembles})
    assert members.groupby("ensemble")["weight"].sum().tolist() == pytest.approx([1] * 4)
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
        results.append(TrialResult(number, {}, 0, 9, dict.fromkeys(both, value), np.zeros((9, 3)), both, None))
    return dataset, scorer, library_of(*results)


def test_a_score_that_is_not_defined_on_a_fifth_is_honest_on_all():
    """Of a rare class only some of the fifths have a row: an area under a curve of the others does not exist."""
    y = np.zeros(400, dtype=int)
    y[::30] = 1
    dataset, scorer, library = two_classes(y)
    assert dataset.y[dataset.rows.select].sum() < 5
    for one in averages(library, dataset, scorer, seed=0):
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
        results.append(TrialResult(number, {}, 0, 9, dict.fromkeys(both, 0.7), np.zeros((9, 3)), both, None))
    chosen = averages(library_of(*results), dataset, scorer, seed=0)[0]
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
    for one in averages(library, dataset, scorer, seed=0):
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
        return TrialResult(
            number, {}, 0, 9, {"raw": value, "ema": value}, np.zeros((9, 3)),
            {"raw": predictions, "ema": predictions}, None,
        )  # fmt: skip

    chosen = averages(library_of(expert(0, left), expert(1, ~left)), dataset, scorer, seed=0)[0]
    assert chosen.members[0].result.number == 0 and len(chosen.members) == 1
