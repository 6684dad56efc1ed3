import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.model_selection import LeaveOneGroupOut

from hpsearch.estimators.rows import Examples, distinct, enough

N_ROWS = 24


def examples(X, y, weights=None, groups=None, cv=None) -> Examples:
    return Examples(X, np.asarray(y), np.ones(len(y)) if weights is None else np.asarray(weights), groups, cv)


def same(one: Examples, other: Examples) -> bool:
    folds = [[] if each.cv is None else [part for pair in each.cv for part in pair] for each in (one, other)]
    return (
        pd.DataFrame(one.X).reset_index(drop=True).equals(pd.DataFrame(other.X).reset_index(drop=True))
        and np.array_equal(one.y, other.y)
        and np.array_equal(one.weights, other.weights)
        and len(folds[0]) == len(folds[1])
        and all(map(np.array_equal, *folds))
    )


cells = npst.arrays(np.float64, (N_ROWS, 2), elements=st.sampled_from([0.0, 1.5, -2.0, np.nan]))
labels = npst.arrays(np.int64, N_ROWS, elements=st.integers(0, 2))
counts = npst.arrays(np.int64, N_ROWS, elements=st.integers(0, 3)).filter(lambda weights: weights[:12].any())
orders = st.permutations(range(N_ROWS))


@given(cells, labels, counts, orders)
def test_a_weight_is_a_repetition_and_the_order_does_not_matter(X, y, weights, order):
    repeated = distinct(examples(X.repeat(weights, axis=0), y.repeat(weights)))
    weighted = distinct(examples(X[order], y[order], weights[order].astype(float)))
    assert same(repeated, weighted) and repeated.weights.sum() == weights.sum()
    assert len(pd.DataFrame(repeated.X).assign(y=repeated.y).drop_duplicates()) == len(repeated.y)


@given(cells, labels, counts, orders)
def test_rows_on_different_sides_of_a_fold_stay_apart(X, y, weights, order):
    groups = np.arange(N_ROWS) // 12
    folds = list(LeaveOneGroupOut().split(X, y, groups))
    order = np.array(order)
    moved = [tuple(np.flatnonzero(np.isin(order, part)) for part in pair) for pair in folds]
    one = distinct(examples(X, y, weights.astype(float), cv=folds))
    other = distinct(examples(X[order], y[order], weights[order].astype(float), cv=moved))
    assert same(one, other)
    for (train, held), (its_train, its_held) in zip(folds, one.cv, strict=True):
        assert one.weights[its_train].sum() == weights[train].sum()
        assert one.weights[its_held].sum() == weights[held].sum()


def test_tables_of_text_categories_and_groups_are_merged_too():
    X = pd.DataFrame({"a": ["x", None, "x", "x"], "b": pd.Categorical(["u", "v", "u", "u"])})
    merged = distinct(examples(X, ["no", "yes", "no", "no"], groups=np.array([1, 1, 1, 2]), cv=2))
    assert sorted(zip(merged.X["b"], merged.y, merged.groups, merged.weights, strict=True)) == [
        ("u", "no", 1, 2), ("u", "no", 2, 1), ("v", "yes", 1, 1),
    ]  # fmt: skip
    assert merged.cv == 2 and merged.X["b"].dtype == X["b"].dtype


def test_a_splitter_is_asked_for_the_rows_as_they_came_and_may_say_something():
    class Halves:
        def split(self, X, y=None, groups=None):
            yield np.arange(12), np.arange(12, 24)

        def __repr__(self):
            return "Halves()"

    X = np.zeros((24, 1))
    ((train, held),) = distinct(examples(X, [0, 1] * 12, cv=Halves())).cv
    assert sorted(train.tolist() + held.tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="cv='abc' must be a whole number"):
        distinct(examples(X, [0, 1] * 12, cv="abc"))


def test_few_rows_are_repeated_with_a_warning_and_folds_are_left_alone():
    few = examples(np.arange(5.0)[:, np.newaxis], [0, 1, 0, 1, 0])
    with pytest.warns(UserWarning, match="5 different rows are too few"):
        repeated = enough(few)
    assert len(repeated.y) == 15 and repeated.weights.sum() == pytest.approx(5)
    named = [(np.arange(3), np.arange(3, 5))]
    for left in (examples(few.X, few.y, cv=named), examples(few.X, few.y, cv=2, groups=np.arange(5))):
        assert enough(left) is left
