"""`search` as a user calls it: every argument, every kind of data, and every mistake at the door."""

import time
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy.stats import loguniform, uniform
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer, log_loss, r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch
from hpsearch import AllTrialsFailed, Choice, Integer, LogUniform, Plan, Rung, Stage, Uniform, search
from hpsearch.data.dataset import prepare
from hpsearch.record.trials import open_record

TINY = {"hidden_layer_sizes": Choice([(8,), (8, 8)]), "batch_size": 32}


def quick(X, y, **arguments):
    """A search of a second or less; the edges that so few trials sit on are not worth a warning here."""
    settings = {"n_trials": 6, "max_epochs": 9, "n_jobs": 2, "verbose": 0, "space": TINY, "cv": 1} | arguments
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Columns without use", UserWarning)
        return search(X, y, **settings)


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, y


@pytest.fixture(scope="module")
def wine_result(wine):
    return quick(*wine, test_size=0.25)


def test_classes_are_found_far_better_than_by_chance():
    X, y = load_digits(return_X_y=True)
    result = quick(X[:1000], y[:1000], X_test=X[1000:], y_test=y[1000:], n_trials=9, max_epochs=27)
    assert accuracy_score(y[1000:], result.ensemble.predict(X[1000:])) > 0.88
    shown = result.leaderboard()["test_score"].iloc[0]
    assert shown == pytest.approx(-log_loss(y[1000:], result.ensemble.predict_proba(X[1000:])), rel=1e-5)


def test_numbers_are_predicted_in_their_own_units():
    X, y = load_diabetes(return_X_y=True)
    result = quick(X, 1000 * y, scoring="r2", test_size=0.25, max_epochs=27)
    assert result.findings.task == "regression"
    assert r2_score(1000 * y, result.ensemble.predict(X)) > 0.3
    assert 0.1 < result.honest_score < 0.8


@pytest.mark.parametrize("labels", [("benign", "malignant"), (False, True), (-1, 1), (2.0, 4.0)])
def test_labels_come_back_as_they_were_given(labels):
    X, y = load_breast_cancer(return_X_y=True)
    given = np.array(labels)[y]
    result = quick(X, given)
    predicted = result.ensemble.predict(X)
    assert predicted.dtype == given.dtype and accuracy_score(given, predicted) > 0.9
    assert result.ensemble.classes_.tolist() == sorted(labels)


def test_the_result_has_the_designed_tables(wine_result):
    result = wine_result
    assert len(result.trials) == 6 and set(result.trials["state"]) == {"COMPLETE", "PRUNED"}
    assert result.history.columns.tolist() == [
        "trial_number", "stage", "rung", "epoch", "train_loss", "valid_loss", "valid_value", "gap", "update_ratio",
    ]  # fmt: skip
    assert result.decisions.columns.tolist() == [
        "stage", "name", "side", "low", "high", "new_low", "new_high", "verdict", "share_of_best", "share_of_drawn",
        "p_value", "best_position", "sentence",
    ]  # fmt: skip
    kinds = {"best_model", "parameter_ema", "top_models", "top_models_ema", "checkpoints", "greedy"}
    assert set(result.members["ensemble"]) - {"soup"} == kinds
    assert set(result.leaderboard()["ensemble"]) - {"soup"} == kinds and len(result.summary()) == 11
    assert result.leaderboard().columns.tolist() == [
        "ensemble", "n_members", "valid_value", "honest_score", "honest_deviation", "test_score", "size_mb",
        "predict_ms", "chosen",
    ]  # fmt: skip
    assert result.test_score == result.leaderboard()["test_score"].iloc[0]
    assert result.honest_score == result.leaderboard()["honest_score"].iloc[0]
    assert result.best_value == result.history["valid_value"].max()
    assert set(result.best_config) == {
        "learning_rate_init", "weight_decay", "dropout", "hidden_layer_sizes", "activation", "encoding", "batch_size",
    }  # fmt: skip


def test_history_ends_with_each_trials_value(wine_result):
    last = wine_result.history.dropna(subset=["valid_value"]).groupby("trial_number")["valid_value"].last()
    np.testing.assert_array_equal(last.to_numpy(), wine_result.trials["value"].to_numpy())


def test_report_and_model_are_written(wine_result, wine, tmp_path):
    assert wine_result.report(tmp_path / "report.html").stat().st_size > 0
    wine_result.save(tmp_path / "model")
    loaded = hpsearch.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(wine[0]), wine_result.ensemble.predict(wine[0]))


def test_results_say_in_a_line_what_they_are(wine_result):
    line = repr(wine_result)
    assert f"{wine_result.honest_score:.5g}" in line and "multiclass of 'target'" in line and len(line) < 200


def test_a_column_of_the_table_may_be_the_target(wine):
    X, y = wine
    result = quick(X.assign(cultivar=y), "cultivar", n_trials=1)
    assert result.findings.target == "cultivar" and result.findings.n_columns == 13


def test_text_missing_cells_and_categories(wine):
    X, y = wine
    X = X.assign(region=np.where(y == 0, "north", "south"), vintage=pd.Categorical(y.astype(str)))
    X.iloc[::7, 0] = np.nan
    result = quick(X, y, categorical=["region"])
    assert accuracy_score(y, result.ensemble.predict(X)) > 0.9


def test_distributions_of_scipy_and_optuna_and_plain_values(wine):
    space = TINY | {
        "learning_rate_init": loguniform(1e-3, 1e-2),
        "weight_decay": optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True),
        "dropout": uniform(0, 0.2),
        "batch_size": Integer(16, 64),
        "schedule": "cosine",
    }
    trials = quick(*wine, space=space).trials
    assert trials["params_learning_rate_init"].between(1e-3, 1e-2).all()
    assert trials["params_batch_size"].between(16, 64).all() and trials["params_dropout"].max() <= 0.2
    assert "params_schedule" not in trials


def test_a_conditional_hyperparameter_is_present_only_where_it_counts(wine):
    space = TINY | {
        "schedule": Choice(["constant", "cosine"]),
        "ema_decay": Uniform(0.5, 0.9, when={"schedule": "constant"}),
    }
    trials = quick(*wine, space=space, n_trials=12, max_epochs=3).trials
    assert (trials["params_ema_decay"].notna() == (trials["params_schedule"] == "constant")).all()
    assert 0 < trials["params_ema_decay"].notna().sum() < 12


def test_diverged_trials_fail_with_advice_and_the_rest_goes_on(wine):
    with pytest.warns(UserWarning, match="of 8 trials failed; the first: Diverged .* learning_rate_init"):
        result = quick(*wine, space=TINY | {"learning_rate_init": Choice([0.01, 1e30])}, n_trials=8)
    failed = result.trials[result.trials["outcome"] == "diverged"]
    assert 0 < len(failed) < 8 and (failed["state"] == "FAIL").all() and failed["value"].isna().all()
    assert failed["user_attrs_advice"].str.contains("learning_rate_init").all()
    assert np.isfinite(result.honest_score)


def test_when_all_trials_fail_the_advice_is_the_error(wine):
    with pytest.raises(AllTrialsFailed, match="all 3 trials failed; the first: Diverged .* learning_rate_init=1e"):
        quick(*wine, space=TINY | {"learning_rate_init": 1e30}, n_trials=3)


def test_an_optimum_at_an_edge_is_a_warning_and_a_decision(wine):
    others = {"hidden_layer_sizes": (8,), "batch_size": 32, "dropout": 0.0, "weight_decay": 0.01}
    space = others | {"learning_rate_init": LogUniform(1e-6, 2e-3)}
    with pytest.warns(UserWarning, match="learning_rate_init: .* top tenth"):
        result = quick(*wine, space=space, n_trials=64, max_epochs=27, refine="warn")
    edges = result.decisions[result.decisions["verdict"] == "edge: widen"]
    assert set(zip(edges["name"], edges["side"], strict=True)) == {("learning_rate_init", "high")}


def test_refit_trains_on_all_rows_and_keeps_the_scores(wine):
    plain, refitted = quick(*wine, test_size=0.25, refit=False), quick(*wine, test_size=0.25)
    columns = plain.leaderboard().columns.drop("test_score")
    assert refitted.leaderboard()[columns].equals(plain.leaderboard()[columns])
    assert refitted.leaderboard()["test_score"][1:].equals(plain.leaderboard()["test_score"][1:])
    assert refitted.test_score != plain.test_score, "that of what is taken home"
    assert all(member["refit"] for member in refitted.ensemble.about["members"])
    assert not any(member["refit"] for member in plain.ensemble.about["members"])
    assert not np.array_equal(refitted.ensemble.networks[0].weights, plain.ensemble.networks[0].weights)
    assert accuracy_score(wine[1], refitted.ensemble.predict(wine[0])) > 0.9


def test_a_member_that_diverges_when_trained_again_stays_as_it_was(wine):
    """One selection row with a huge target lets training on all rows diverge."""
    X, _ = wine
    space = {"hidden_layer_sizes": (16,), "batch_size": 32, "learning_rate_init": 0.01, "weight_decay": 1e-3}
    arguments = {"task": "regression", "n_trials": 3, "space": space, "refit": True}
    candidates = (X["alcohol"].where(X.index != row, 1e30) for row in X.index)
    y = next(y for y in candidates if y.argmax() in prepare(X, y, random_state=0).rows.select)
    with pytest.warns(UserWarning, match="Trained again on all rows, the model of trial .* diverged"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A constant guess scores", UserWarning)
            result = quick(X, y, **arguments)
    assert not any(member["refit"] for member in result.ensemble.about["members"])
    assert np.abs(result.ensemble.predict(X) - X["alcohol"]).max() < 10


def test_a_member_that_training_again_spoils_stays_as_it_was(wine):
    """At so high a learning rate a few rows more can kill a network; on rows it has seen it would show."""
    X, _ = wine
    data, y = X.drop(columns="alcohol"), X["alcohol"]
    space = {"hidden_layer_sizes": (4,), "batch_size": 16, "learning_rate_init": 0.2, "activation": "relu"}
    space |= {"encoding": "robust"}
    arguments = {"n_trials": 3, "space": space, "max_epochs": 9}

    def losses(result, rows):
        networks, decode = result.ensemble.networks, result.ensemble.target.decode
        inputs = result.ensemble.encoding.encode(data)[rows]
        return [(decode(network.predict(inputs)) - y.to_numpy()[rows]) ** 2 for network in networks]

    n_kept = 0
    for seed in range(4):
        heldout = prepare(data, y, random_state=seed).rows.heldout
        plain = quick(data, y, **arguments, random_state=seed, refit=False)
        refitted = quick(data, y, **arguments, random_state=seed)
        members = refitted.ensemble.about["members"]
        for member, before, after in zip(members, losses(plain, heldout), losses(refitted, heldout), strict=True):
            excess = after - before
            if member["refit"]:
                assert excess.mean() < 2.1 * excess.std() / len(excess) ** 0.5
            else:
                np.testing.assert_array_equal(after, before)
            n_kept += not member["refit"]
    assert n_kept > 0


def test_beside_refits_what_stays_as_it_was_costs_one_model_too(wine):
    X, _ = wine
    space = {"hidden_layer_sizes": (4,), "batch_size": 8, "learning_rate_init": 0.3, "encoding": "robust"}
    mixed = 0
    for seed in range(4):
        result = quick(X.drop(columns="alcohol"), X["alcohol"], space=space, cv=3, refit=True, random_state=seed)
        refits = [member["refit"] for member in result.ensemble.about["members"]]
        assert len(result.ensemble.networks) == len(refits) * (1 if any(refits) else 3)
        assert result.ensemble.votes.sum() == pytest.approx(1)
        mixed += len(set(refits)) > 1
    assert mixed > 0


def test_a_study_that_was_begun_without_folds_says_so(wine, tmp_path):
    quick(*wine, storage=tmp_path / "s.db")
    with pytest.raises(ValueError, match=r"another cv \(1, now 5\)"):
        quick(*wine, storage=tmp_path / "s.db", cv=None)


def test_a_trial_that_cannot_be_scored_fails_with_advice():
    """A Poisson deviance is defined for positive predictions only."""
    X = np.random.default_rng(0).standard_normal((300, 3))
    space = TINY | {"learning_rate_init": Choice([1e-5, 0.1]), "encoding": "robust", "activation": "relu"}
    with pytest.warns(UserWarning, match="of 12 trials failed; the first: .* cannot be computed"):
        result = quick(X, np.exp(2 * X[:, 0]), scoring="neg_mean_poisson_deviance", n_trials=12, space=space)
    failed = result.trials[result.trials["outcome"] == "unscored"]
    assert 0 < len(failed) < 12 and (failed["state"] == "FAIL").all()
    assert failed["user_attrs_advice"].str.contains("neg_mean_poisson_deviance cannot be computed").all()


def test_a_score_that_warns_is_only_a_score():
    """Short trials find one class of two, and have no precision for the other: that is no news, and no error."""
    y = (np.arange(600) % 10 == 0).astype(int)
    X = np.random.default_rng(0).standard_normal((600, 3)) + 3 * y[:, np.newaxis]
    result = quick(X, y, scoring="precision_macro", n_trials=12)
    assert np.isfinite(result.honest_score)


def test_other_versions_are_told(wine, tmp_path):
    quick(*wine, storage=tmp_path / "s.db")
    with open_record(tmp_path / "s.db", "search") as record:
        record.versions = record.versions | {"numpy": "1.0"}
    with pytest.warns(UserWarning, match=r"The study was begun with numpy 1\.0 and goes on with"):
        quick(*wine, storage=tmp_path / "s.db")


def test_numbers_of_numpy_are_numbers(wine, tmp_path):
    space = TINY | {"batch_size": np.int64(32), "dropout": np.float32(0.25)}
    whole = {name: np.int64(value) for name, value in {"n_trials": 3, "max_epochs": 3, "random_state": 4}.items()}
    result = quick(*wine, space=space, storage=tmp_path / "s.db", timeout=np.int64(60), **whole)
    result.save(tmp_path / "model")
    plain = {name: int(value) for name, value in whole.items()}
    again = quick(*wine, space=TINY | {"batch_size": 32, "dropout": 0.25}, storage=tmp_path / "s.db", **plain)
    pd.testing.assert_frame_equal(result.trials, again.trials)


@pytest.mark.filterwarnings("ignore:A constant guess:UserWarning")  # so short a search may not beat it
def test_sample_weights_matter(wine):
    X, y = wine
    weights = np.where(y == 0, 10.0, 0.1)
    weighted, plain = quick(X, y, sample_weight=weights, max_epochs=27), quick(X, y, max_epochs=27)
    assert weighted.honest_score != plain.honest_score


def test_callbacks_see_every_rung(wine):
    seen = []
    quick(*wine, callbacks=[seen.append])
    assert [(record.rung, record.epochs, len(record.results)) for record in seen] == [(0, 1, 6), (1, 3, 2), (2, 9, 1)]


def test_an_error_of_a_callback_ends_the_search_and_loses_nothing(wine, tmp_path):
    def fail(record):
        if record.rung == 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        quick(*wine, callbacks=[fail], storage=tmp_path / "s.db")
    assert quick(*wine, storage=tmp_path / "s.db").leaderboard().equals(quick(*wine).leaderboard())


def test_progress_goes_to_standard_error_in_quiet_lines(wine, capsys):
    quick(*wine, verbose=1)
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 4
    assert "rung 3/3: 1 trial at 9 epochs" in shown.err
    quick(*wine, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_a_timeout_keeps_what_is_finished():
    X, y = load_digits(return_X_y=True)
    X = X[:, X.std(axis=0) > 1]
    with pytest.warns(UserWarning, match="The timeout ended the search early"):
        result = search(X, y, n_trials=400, max_epochs=500, timeout=2, n_jobs=2, cv=1, verbose=0)
    assert result.findings.ended == "timeout" and set(result.trials["state"]) == {"RUNNING"}
    assert result.trials["value"].notna().sum() == result.history["trial_number"].nunique() > 0
    assert np.isfinite(result.honest_score)


def test_a_timeout_before_the_first_trial_is_an_error(wine):
    with pytest.raises(TimeoutError, match="before the first trials"):
        quick(*wine, timeout=0)


def test_more_trials_later_are_a_second_stage(wine, tmp_path):
    few = quick(*wine, storage=tmp_path / "s.db", n_trials=4)
    more = quick(*wine, storage=tmp_path / "s.db", n_trials=9)
    assert more.trials["stage"].tolist() == [0] * 4 + [1] * 5
    columns = ["number", "value", "state", "seed", "outcome", "params_dropout"]
    pd.testing.assert_frame_equal(more.trials[columns][:4], few.trials[columns])
    pd.testing.assert_frame_equal(quick(*wine, storage=tmp_path / "s.db", n_trials=5).trials, more.trials)
    assert more.decisions["stage"].unique().tolist() == [0, 1]
    later = more.decisions[more.decisions["stage"] == 1]
    sides = later[later["side"] != "both"]
    assert sides["sentence"].str.contains("9 have a value").all(), "a stage's end looks at all trials up to it"
    pd.testing.assert_frame_equal(more.decisions[more.decisions["stage"] == 0], few.decisions)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"space": {"dropout": 0.1}}, "space"),
        ({"random_state": 1}, "random_state"),
        ({"scoring": "accuracy"}, "scoring"),
        ({"max_epochs": 10}, "max_epochs"),
        ({"space": TINY | {"dropout": 0.1}}, r"space \(dropout: \{.*\}, now 0\.1\)"),
    ],
)
def test_a_study_of_another_question_is_refused(wine, tmp_path, change, named):
    quick(*wine, storage=tmp_path / "s.db", n_trials=1)
    with pytest.raises(ValueError, match=f"begun with another {named}"):
        quick(*wine, storage=tmp_path / "s.db", n_trials=1, **change)


def test_a_study_of_other_data_is_refused(wine, tmp_path):
    X, y = wine
    quick(X, y, storage=tmp_path / "s.db", n_trials=1)
    with pytest.raises(ValueError, match="begun with other data"):
        quick(X.assign(alcohol=X["alcohol"] + 1e-3 * np.arange(178)), y, storage=tmp_path / "s.db", n_trials=1)


def test_checkpoints_that_outlived_their_study_are_not_taken_for_those_of_another(wine, tmp_path):
    quick(*wine, storage=tmp_path / "s.db", n_trials=1)
    (tmp_path / "s.db").unlink()
    with pytest.raises(ValueError, match=f"the checkpoints in {tmp_path}.* another random_state .0, now 1.; "):
        quick(*wine, storage=tmp_path / "s.db", n_trials=1, random_state=1)
    with pytest.raises(ValueError, match="another space"):
        quick(*wine, fits=tmp_path / "s.db.fits", n_trials=1, space={"dropout": 0.1})


def test_optuna_reads_and_plots_the_study(wine, tmp_path):
    result = quick(*wine, storage=tmp_path / "s.db", study_name="wine", n_trials=9)
    study = optuna.load_study(storage=hpsearch.open_storage(tmp_path / "s.db"), study_name="wine")
    assert study.best_value == result.trials.loc[result.trials["state"] == "COMPLETE", "value"].max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's figures are experimental
        optuna.visualization.matplotlib.plot_intermediate_values(study)
        optuna.visualization.matplotlib.plot_optimization_history(study)


def with_inf(X):
    return X.assign(alcohol=np.where(np.arange(178) == 3, np.inf, X["alcohol"]))


BAD = {
    "empty data": (lambda X, y: ((X[:0], y[:0]), {}), "X"),
    "one class": (lambda X, y: ((X, y * 0), {}), "class"),
    "a class with one row": (lambda X, y: ((X[y < 2].iloc[:60], [0] * 59 + [7]), {}), "7"),
    "inf": (lambda X, y: ((with_inf(X), y), {}), "alcohol"),
    "missing target": (lambda X, y: ((X, y.where(y > 0)), {}), "missing"),
    "lengths": (lambda X, y: ((X, y[:-1]), {}), "178"),
    "duplicate columns": (lambda X, y: ((pd.concat([X, X], axis=1), y), {}), "alcohol"),
    "names that are no text": (lambda X, y: ((X.rename(columns={"alcohol": 3}), y), {}), "3"),
    "low above high": (lambda X, y: ((X, y), {"space": {"dropout": Uniform(0.5, 0.1)}}), "low"),
    "log of zero": (lambda X, y: ((X, y), {"space": {"weight_decay": LogUniform(0, 1)}}), "low"),
    "unknown name": (lambda X, y: ((X, y), {"space": {"droput": 0.1}}), "did you mean 'dropout'"),
    "value out of bounds": (lambda X, y: ((X, y), {"space": {"dropout": Uniform(0.0, 1.5)}}), "dropout"),
    "bad choice": (lambda X, y: ((X, y), {"space": {"activation": Choice(["relu", "rulu"])}}), "activation"),
    "bad layers": (lambda X, y: ((X, y), {"space": {"hidden_layer_sizes": Choice([(8,), (0,)])}}), "hidden_layer"),
    "no trials": (lambda X, y: ((X, y), {"n_trials": 0}), "n_trials must be a whole number ≥ 1, but got 0"),
    "half a trial": (lambda X, y: ((X, y), {"n_trials": 1.5}), "n_trials"),
    "no epochs": (lambda X, y: ((X, y), {"max_epochs": 0}), "max_epochs"),
    "negative timeout": (lambda X, y: ((X, y), {"timeout": -1}), "timeout"),
    "timeout in words": (lambda X, y: ((X, y), {"timeout": "60"}), "timeout"),
    "timeout of no length": (lambda X, y: ((X, y), {"timeout": np.nan}), "timeout"),
    "no workers": (lambda X, y: ((X, y), {"n_jobs": 0}), "n_jobs must be"),
    "half a worker": (lambda X, y: ((X, y), {"n_jobs": 1.5}), "n_jobs must be"),
    "unknown backend": (lambda X, y: ((X, y), {"backend": "thread"}), "backend='thread'"),
    "backend that answers in order only": (lambda X, y: ((X, y), {"backend": "multiprocessing"}), "backend"),
    "title that is no text": (lambda X, y: ((X, y), {"title": 5}), "title must be text"),
    "refit in words": (lambda X, y: ((X, y), {"refit": "no"}), "refit must be True or False"),
    "no verbosity": (lambda X, y: ((X, y), {"verbose": None}), "verbose"),
    "callback that is no function": (lambda X, y: ((X, y), {"callbacks": [3]}), "callbacks"),
    "callbacks that can be read but once": (lambda X, y: ((X, y), {"callbacks": iter([print])}), "callbacks"),
    "a number beyond all": (lambda X, y: ((X.assign(z=pd.Series([10**400] + [1] * 177, dtype=object)), y), {}), "'z'"),
    "a target beyond all": (lambda X, y: ((X, [10**400] + [1.5] * 177), {}), "y holds a whole number"),
    "callback outside of a list": (lambda X, y: ((X, y), {"callbacks": print}), "callbacks"),
    "space that is a list": (lambda X, y: ((X, y), {"space": ["dropout"]}), "space"),
    "score that the rows do not allow": (
        lambda X, y: ((X, y - 1.0), {"task": "regression", "scoring": "neg_mean_squared_log_error"}),
        "scoring='neg_mean_squared_log_error' cannot be computed on the .* validation rows",
    ),
    "score of two classes on three": (lambda X, y: ((X, y), {"scoring": "roc_auc"}), "scoring='roc_auc'"),
    "score without weights": (
        lambda X, y: ((X, y), {"task": "regression", "scoring": "neg_max_error", "sample_weight": np.ones(178)}),
        "scoring='neg_max_error'",
    ),
    "unknown score": (lambda X, y: ((X, y), {"scoring": "acuracy"}), "did you mean 'accuracy'"),
    "unknown task": (lambda X, y: ((X, y), {"task": "ranking"}), "task"),
    "unknown category": (lambda X, y: ((X, y), {"categorical": ["alcohl"]}), "alcohol"),
    "negative weights": (lambda X, y: ((X, y), {"sample_weight": -np.ones(178)}), "sample_weight"),
    "test rows without labels": (lambda X, y: ((X, y), {"X_test": X}), "y_test"),
    "many targets": (lambda X, y: ((X, np.eye(3)[y]), {}), "multilabel"),
    "negative seed": (lambda X, y: ((X, y), {"random_state": -1}), "random_state"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(case, wine, tmp_path):
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        data, arguments = make(*wine)
        search(*data, **{"storage": tmp_path / "s.db", "verbose": 0} | arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_file_that_is_not_ours_is_left_as_it_was(wine, tmp_path):
    file = tmp_path / "notes.db"
    file.write_text("buy milk")
    with pytest.raises(ValueError, match="notes.db"):
        quick(*wine, storage=file)
    assert file.read_text() == "buy milk" and not list(tmp_path.glob("*-wal"))


def test_the_public_names_are_there():
    for name in hpsearch.__all__:
        assert getattr(hpsearch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        hpsearch.serch  # noqa: B018


def test_the_smallest_table_is_searched(wine):
    X, y = wine
    rows = np.concatenate([np.flatnonzero(y == 0)[:6], np.flatnonzero(y == 1)[:6]])
    with pytest.warns(UserWarning, match=r"few are of 0 \(1 and 1\), 1 \(1 and 1\): they can say little of so few"):
        result = quick(X.iloc[rows], y.iloc[rows], n_trials=3)
    assert np.isfinite(result.honest_score)


def test_classes_with_next_to_no_rows_among_those_that_judge_are_told():
    """Without a row of the rare class among the selection rows, the honest score knows nothing of it."""
    X = np.random.default_rng(0).standard_normal((1000, 3))
    y = np.where(np.arange(1000) % 160 == 0, "fraud", "fine")
    with pytest.warns(UserWarning, match=r"the 100 selection rows, .* few are of 'fraud' \(1 and 1\): they"):
        quick(X + 3 * (y == "fraud")[:, np.newaxis], y)


def test_a_search_that_learned_nothing_says_so():
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((300, 50)), generator.integers(0, 2, 300)
    with pytest.warns(UserWarning, match=r"A constant guess scores .0\.693\d? on the selection rows, no worse than"):
        result = quick(X, y, max_epochs=27)
    assert result.honest_score < -0.69


@pytest.mark.parametrize(("labels", "told"), [(["no", "fraud"], True), ([0, 1], False), ([False, True], False)])
def test_a_score_of_the_positive_class_says_which_it_is(labels, told):
    X, y = load_breast_cancer(return_X_y=True)
    given = np.array(labels)[y]
    if told:
        with pytest.warns(UserWarning, match="f1 looks for 'no', the last label in sorted order"):
            quick(X, given, scoring="f1")
    else:
        quick(X, given, scoring="f1")


def test_the_ensemble_is_scored_by_scikit_learn(wine_result, wine):
    X, y = wine
    ensemble = wine_result.ensemble
    accuracy = accuracy_score(y, ensemble.predict(X))
    assert ensemble.score(X, y) == get_scorer("accuracy")(ensemble, X, y) == accuracy
    assert get_scorer("neg_log_loss")(ensemble, X, y) == pytest.approx(-log_loss(y, ensemble.predict_proba(X)))
    assert is_classifier(ensemble) and not is_regressor(ensemble)


def test_a_matched_index_in_another_order_is_refused(wine):
    X, y = wine
    for y_in_disorder in (y.sample(frac=1, random_state=0), y.to_frame().sample(frac=1, random_state=0)):
        with pytest.raises(ValueError, match=r"X and y have the same index in another order.*y.loc\[X.index\]"):
            quick(X, y_in_disorder)
    with pytest.raises(ValueError, match="X and sample_weight have the same index in another order"):
        quick(X, y, sample_weight=pd.Series(1.0, index=X.index[::-1]))


def test_an_index_of_its_own_is_no_matter(wine):
    """Rows are matched by position: two levels, doubles and other labels say nothing of an order."""
    X, y = wine
    levels = pd.MultiIndex.from_product([range(89), ["a", "b"]])
    plain = quick(X, y).honest_score
    for other in (X.set_index(levels), X.set_index(np.zeros(178)), X.set_index(pd.date_range("2024", periods=178))):
        assert quick(other, y).honest_score == plain
    assert quick(X, y.set_axis(levels)).honest_score == plain


def test_nothing_learned_is_seen_through_the_weights():
    generator = np.random.default_rng(1)
    X, y = generator.standard_normal((1000, 20)), generator.integers(0, 2, 1000)
    with pytest.warns(UserWarning, match="A constant guess scores"):
        quick(X, y, sample_weight=np.where(y == 1, 9.0, 1.0), max_epochs=27)


def test_ensembles_are_what_they_are(wine_result):
    ensemble = wine_result.ensemble
    assert ensemble == ensemble and ensemble != replace(ensemble) and len({ensemble, ensemble}) == 1


def test_the_time_of_a_killed_run_counts(wine, tmp_path):
    def fail(record):
        if record.rung == 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        quick(*wine, callbacks=[fail], storage=tmp_path / "s.db")
    with open_record(tmp_path / "s.db", "search", read_only=True) as record:
        assert record.seconds > 0


def test_what_the_engine_knows_can_be_searched_and_is_read_again(wine, tmp_path):
    """Also trials that run out of patience: they are members under the epochs they have, not those of their rung."""
    space = TINY | {
        "activation": Choice(["prelu", "maxout", "selu"]),
        "batch_norm": Choice([True, False]),
        "update": Choice(["nadam", "rmsprop"]),
        "loss": Choice(["softmax_cross_entropy", "binary_logistic"]),
        "mixup": Choice([0.0, 0.2]),
        "learning_rate_init": 0.05,
        "patience": 1,
    }
    first = quick(*wine, space=space, max_epochs=27, storage=tmp_path / "s.db", test_size=0.25)
    members = {member["trial_number"] for member in first.ensemble.about["members"]}
    assert members & set(first.trials.loc[~first.trials["epochs"].isin([3, 9, 27]), "number"])
    again = quick(*wine, space=space, max_epochs=27, storage=tmp_path / "s.db", test_size=0.25)
    X = wine[0]
    np.testing.assert_array_equal(again.ensemble.predict_proba(X), first.ensemble.predict_proba(X))


def test_values_that_do_not_go_together_are_refused_at_the_door(wine):
    with pytest.raises(ValueError, match="shift needs an image_shape"):
        quick(*wine, space={"shift": Choice([0, 1])})
    with pytest.raises(ValueError, match=r"image_shape must multiply to the 13 inputs, but got \(2, 2\)"):
        quick(*wine, space={"image_shape": (2, 2), "flip": Choice([True, False])})
    with pytest.raises(ValueError, match=r"dropout must be 0.0 with update='lbfgs'"):
        quick(*wine, space={"update": Choice(["adamw", "lbfgs"])})
    with pytest.raises(ValueError, match="loss must be one of softmax_cross_entropy, .* but got 'quantile'"):
        quick(*wine, space={"loss": "quantile"})


def test_lbfgs_is_searched_by_its_penalty(wine):
    result = quick(*wine, space={"update": "lbfgs", "hidden_layer_sizes": Choice([(), (4,)])})
    assert {"params_alpha", "params_hidden_layer_sizes"} <= set(result.trials.columns)
    assert result.honest_score > -0.4


def test_a_plan_of_ones_own_is_carried_out(wine):
    plan = Plan((Stage("wide", 5, (Rung(2, 2),)), Stage("long", 3, (Rung(2, 2), Rung(6, 2)))))
    result = quick(*wine, n_trials=None, max_epochs=None, plan=plan)
    assert result.trials["stage"].tolist() == [0] * 5 + [1] * 3 and result.history["epoch"].max() == 6
    with pytest.raises(ValueError, match="max_epochs=9 is given beside a plan"):
        quick(*wine, plan=plan)
    with pytest.raises(ValueError, match="plan must be a Plan"):
        quick(*wine, plan=[plan], max_epochs=None)


def test_another_plan_cannot_be_continued(wine, tmp_path):
    plan = Plan((Stage("wide", 5, (Rung(2, 2),)),))
    asked = {"max_epochs": None, "storage": tmp_path / "s.db"}
    quick(*wine, n_trials=None, plan=plan, **asked)
    with pytest.raises(ValueError, match="was begun with another plan"):
        quick(*wine, n_trials=None, plan=Plan((Stage("wide", 6, (Rung(2, 2),)),)), **asked)
    assert len(quick(*wine, n_trials=8, plan=plan, **asked).trials) == 8, "a larger n_trials tops it up"


def test_the_default_plan_has_stages_decisions_and_other_seeds(wine):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "learning_rate_init", UserWarning)
        result = quick(*wine, n_trials=30, max_epochs=9)
    assert [stage["name"] for stage in result.findings.plan] == ["coarse", "middle", "fine", "repeat"]
    assert set(result.decisions["stage"]) == {0, 1, 2}
    best = result.candidates.iloc[0]
    assert best["n_seeds"] > 1 and best["gap"] == pytest.approx(best["searched_value"] - best["honest_value"])
    assert result.best_value == best["value"]
    repeats = result.trials["user_attrs_repeats"].dropna()
    assert set(repeats) <= set(result.candidates["trial_number"])


def test_a_range_whose_best_are_at_its_end_is_widened_and_searched_there():
    X, y = load_digits(return_X_y=True)
    space = {"hidden_layer_sizes": (16,), "batch_size": 32, "learning_rate_init": LogUniform(1e-6, 1e-3)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "learning_rate_init", UserWarning)
        result = quick(X[:600], y[:600], space=space, n_trials=64, max_epochs=27)
    widened = result.decisions[result.decisions["verdict"] == "edge: widen"]
    assert (widened["new_high"] > widened["high"]).any()
    assert result.trials["params_learning_rate_init"].max() > 1e-3, "later trials are drawn beyond the first range"


@pytest.mark.parametrize("refine", ["off", "warn"])
def test_ranges_are_left_alone_if_asked(wine, refine):
    result = quick(*wine, n_trials=30, refine=refine)
    assert (refine == "off") == result.decisions.empty
    assert (result.decisions["low"] == result.decisions["new_low"]).all()


def test_the_users_config_is_tried_first(wine):
    mine = {"learning_rate_init": 0.0123, "hidden_layer_sizes": (8, 8)}
    trials = quick(*wine, first=[mine]).trials
    assert trials["params_learning_rate_init"][0] == 0.0123 and trials["params_hidden_layer_sizes"][0] == "[8, 8]"
    assert trials["params_learning_rate_init"][1] == 0.003, "and then ours"


def test_configs_may_be_drawn_by_a_sampler_of_optuna(wine, tmp_path):
    asked = {"n_trials": 30, "refine": "off", "storage": tmp_path / "s.db"}
    asked["sampler"] = lambda seed: optuna.samplers.TPESampler(seed=seed)
    result = quick(*wine, **asked)
    assert result.honest_score > -0.7
    again = quick(*wine, **asked)
    columns = ["value", "params_learning_rate_init", "params_hidden_layer_sizes"]
    assert again.trials[columns].equals(result.trials[columns]), "what is recorded stands"


def test_folds_rank_by_their_mean_and_vote_together(wine, tmp_path):
    X, y = wine
    result = quick(X, y, cv=3, test_size=0.25, scoring=["neg_log_loss", "accuracy"], n_trials=6, max_epochs=27)
    assert result.findings.n_rows["train"] == 0 and len(result.ensemble.encodings) % 3 == 0
    assert (result.trials["value_std"] > 0).all() and result.trials["value_accuracy"].between(0, 1).all()
    assert len(result.ensemble.networks) == 3 * result.findings.chosen["n_members"]
    assert result.test_score > -0.5
    result.save(tmp_path / "model")
    np.testing.assert_array_equal(hpsearch.load(tmp_path / "model").predict_proba(X), result.ensemble.predict_proba(X))
    refitted = quick(X, y, cv=3, test_size=0.25, n_trials=6, max_epochs=27, refit=True)
    assert len(refitted.ensemble.encodings) <= 4, "those of the whole"
    assert len(refitted.ensemble.networks) == refitted.findings.chosen["n_members"]


def test_groups_stay_together(wine):
    X, y = wine
    result = quick(X, y, cv=3, groups=np.arange(len(y)) // 4)
    assert result.findings.n_rows["valid"] > 20
    with pytest.raises(ValueError, match="groups"):
        quick(X, y, groups=np.arange(len(y)))


@pytest.mark.filterwarnings("ignore:logisticregression__C")
def test_any_estimator_is_searched_saved_and_voted(wine, tmp_path):
    X, y = wine
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    space = {"logisticregression__C": LogUniform(1e-4, 1e2)}
    asked = {"estimator": pipeline, "space": space, "n_trials": 30, "test_size": 0.25, "storage": tmp_path / "s.db"}
    result = quick(X, y, backend="threading", **asked)
    assert result.trials["params_logisticregression__C"].iloc[0] == 1.0, "its own parameters come first"
    assert result.test_score > -0.3 and len(result.findings.chance) == 0
    result.save(tmp_path / "model")
    loaded = hpsearch.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), result.ensemble.predict_proba(X))
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    again = quick(X, y, backend="threading", **asked)
    assert again.trials.equals(result.trials), "nothing is trained again"
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("trial*.safetensors")}.items() <= written.items()


def test_an_estimator_that_fails_on_some_configs_fails_those_trials_only():
    X, y = load_diabetes(return_X_y=True)
    asked = {
        "estimator": KNeighborsRegressor(),
        "space": {"n_neighbors": Integer(1, 80)},
        "scoring": "r2",
        "n_trials": 9,
    }
    with pytest.warns(UserWarning, match="of 9 trials failed"):  # there are fewer rows than that in the first rung
        trials = quick(X, y, backend="threading", **asked).trials
    failed = trials[trials["state"] == "FAIL"]
    assert 0 < len(failed) < 9
    assert failed["user_attrs_traceback"].str.contains("n_neighbors").all() and failed["value"].isna().all()
    with pytest.warns(UserWarning, match="of 9 trials failed"):
        trials = quick(X, y, backend="threading", error_score=-9.0, **asked).trials
    assert (trials.loc[trials["state"] == "FAIL", "value"] == -9.0).all()
    with pytest.raises(ValueError, match="n_neighbors"):
        quick(X, y, backend="threading", error_score="raise", **asked)


class Slow(ClassifierMixin, BaseEstimator):
    """Takes its time."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def fit(self, X, y):
        time.sleep(self.seconds)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.filterwarnings("ignore:Slow gives no probabilities", "ignore:A constant guess", "ignore:.*trials failed")
def test_a_trial_that_takes_too_long_is_ended(wine):
    asked = {"space": {"seconds": Choice([0.0, 600.0])}, "trusted": [f"{__name__}.Slow"], "backend": "threading"}
    result = quick(*wine, estimator=Slow(), n_trials=4, trial_timeout=5.0, **asked)
    failed = result.trials[result.trials["state"] == "FAIL"]
    assert set(failed["params_seconds"]) == {600.0} and set(result.trials["params_seconds"]) == {0.0, 600.0}
    assert failed["user_attrs_advice"].str.contains("trial_timeout=5.0 s").all()
