import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score, roc_auc_score, root_mean_squared_error

from hpsearch.data.scoring import Scorer
from hpsearch.data.target import Target

BINARY = Target("t", "binary", np.array(["no", "yes"]))
MANY = Target("t", "multiclass", np.array([1, 5, 9]))
NUMBERS = Target("t", "regression", None, mean=100.0, scale=10.0)


def classes(n_classes, n_rows=200):
    generator = np.random.default_rng(0)
    y = generator.integers(0, n_classes, n_rows)
    raw = generator.random((n_rows, n_classes)) + 0.5 * np.eye(n_classes)[y]
    return y, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def test_scores_are_those_of_scikit_learn():
    y, p = classes(2)
    assert Scorer.of(None, BINARY)(y, p) == pytest.approx(-log_loss(y, p), rel=1e-6)
    assert Scorer.of("roc_auc", BINARY)(y, p) == pytest.approx(roc_auc_score(y, p[:, 1]))
    assert Scorer.of("f1", BINARY)(y, p) == pytest.approx(f1_score(y, p.argmax(axis=1)))
    y, p = classes(3)
    assert Scorer.of("accuracy", MANY)(y, p) == accuracy_score(y, p.argmax(axis=1))
    assert Scorer.of("roc_auc_ovr", MANY)(y, p) == pytest.approx(roc_auc_score(y, p, multi_class="ovr"), rel=1e-6)


def test_regression_is_scored_in_the_users_units():
    generator = np.random.default_rng(0)
    outputs = generator.standard_normal((50, 1)).astype(np.float32)
    y = 100 + 10 * generator.standard_normal(50)
    predicted = 100 + 10 * outputs[:, 0].astype(np.float64)
    assert Scorer.of(None, NUMBERS)(y, outputs) == pytest.approx(-root_mean_squared_error(y, predicted))
    assert Scorer.of("r2", NUMBERS)(y, outputs) == pytest.approx(r2_score(y, predicted))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_quick_scores_are_scikit_learns(weighted):
    generator = np.random.default_rng(2)
    for _ in range(50):
        n_rows, n_classes = int(generator.integers(2, 60)), int(generator.integers(2, 6))
        weights = generator.random(n_rows) if weighted else None
        y = generator.integers(0, n_classes, n_rows)
        logits = generator.standard_normal((n_rows, n_classes)) * 10.0 ** generator.integers(-1, 3)
        p = softmax(logits, axis=1).astype(np.float32)
        exact = p / p.sum(axis=1, keepdims=True, dtype=np.float64)
        target = Target("t", "multiclass", np.arange(n_classes))
        expected = -log_loss(y, exact, labels=np.arange(n_classes), sample_weight=weights)
        assert Scorer.of(None, target)(y, p, weights) == pytest.approx(expected, rel=1e-9)
        outputs, numbers = logits[:, :1], 100 * generator.standard_normal(n_rows)
        expected = -root_mean_squared_error(numbers, 100 + 10 * outputs[:, 0], sample_weight=weights)
        assert Scorer.of(None, NUMBERS)(numbers, outputs, weights) == pytest.approx(expected, rel=1e-9)


def test_weights_count():
    y, p = classes(3)
    weights = np.random.default_rng(1).random(len(y))
    for name in ("neg_log_loss", "accuracy"):
        scorer = Scorer.of(name, MANY)
        assert scorer(y, p, weights) != scorer(y, p)
    assert Scorer.of("neg_log_loss", MANY)(y, p, weights) == pytest.approx(-log_loss(y, p, sample_weight=weights))


def test_rows_may_lack_a_class():
    y, p = classes(3)
    some = y != 1
    expected = -log_loss(y[some], p[some], labels=[0, 1, 2])
    assert Scorer.of(None, MANY)(y[some], p[some]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("acuracy", BINARY, "did you mean 'accuracy'"),
        ("r2", BINARY, "scoring='r2' does not fit the task binary"),
        ("accuracy", NUMBERS, "scoring='accuracy' does not fit the task regression"),
        ("roc_auc", NUMBERS, "does not fit the task regression"),
        ("roc_auc", MANY, "scoring='roc_auc' does not fit 3 classes"),
        (3, BINARY, "must be the name of a scikit-learn scorer, or a callable .*, but got 3"),
    ],
)
def test_a_score_that_does_not_fit_is_refused(name, target, message):
    with pytest.raises(ValueError, match=message):
        Scorer.of(name, target)
