"""Our `search` against others: `sklearn`, scikit-learn's own search, and `samplers`, other searches on our engine.

    python scripts/bench_search.py sklearn [--seeds 5] [--sets digits diabetes ...] [--effort standard] [--json FILE]
    python scripts/bench_search.py samplers [DATA] [--seeds 5] [--sets digits telco_churn ...] [--quick] [--json FILE]

`sklearn`: our default against `RandomizedSearchCV` over scikit-learn's MLP. Each seed takes another 25 % of the rows as
untouched test rows (stratified for classes). Two workers, one BLAS thread each. Warm-up (imports, compilation or
loading of kernels, joblib's worker processes) is done before the clock starts, for both. Scores: accuracy for digits,
negated log-loss for breast_cancer, R² for diabetes.

`samplers`: three ways to spend the same epochs of training, by the same engine, on the same rows (a fifth of all are
test rows, the rest one split), from the same default config on:

- `ours`: all defaults, 64 trials;
- `random`: uniform draws over the default ranges, with halving in one stage;
- `TPE`: Optuna's `TPESampler` and `MedianPruner`, trial by trial, each reported at the rungs of our plan, until the
  epochs are spent.

Ensembles are made of the trials of each in the same way. DATA is a folder as for bench_accuracy.py. Scores are negated
log-losses and RMSEs, of the best single model and of the ensemble: honest ones, and those on the test rows. Differences
are paired by set and seed, in per cent of the rival's loss (positive: ours is better), with the half-widths of 95 %
intervals by Student's t.
"""

import argparse
import json
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from joblib import Parallel, delayed
from optuna.trial import TrialState
from scipy.stats import loguniform, t
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hpsearch import search
from hpsearch.data.table import read_table
from hpsearch.ensemble.average import averages
from hpsearch.ensemble.members import Library
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.orchestrator.plan import Plan
from hpsearch.orchestrator.records import RungRecord, TrialResult
from hpsearch.orchestrator.run import Workers, run, trial_seed
from hpsearch.orchestrator.stop import Stop
from hpsearch.orchestrator.training import score_rows
from hpsearch.question import problem_of, shortest_rung
from hpsearch.record.trials import open_record
from hpsearch.space.conversion import to_optuna

SAMPLER_SETS = ("digits", "telco_churn", "california_housing", "covertype_20k", "bike_sharing_hour")
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the epochs; what is found by then is scored."""
SCORES = ("honest_single", "honest_ensemble", "test_single", "test_ensemble")


def accuracy(model, X, y):
    return accuracy_score(y, model.predict(X))


def negated_log_loss(model, X, y):
    return -log_loss(y, model.predict_proba(X))


def r_squared(model, X, y):
    return r2_score(y, model.predict(X))


SKLEARN_SETS = {
    "digits": (load_digits, accuracy, None),
    "breast_cancer": (load_breast_cancer, negated_log_loss, "neg_log_loss"),
    "diabetes": (load_diabetes, r_squared, None),
}


def rival(X, y, seed, scoring, regression, n_iter=40):
    """The search of the comparison; for log-loss it is given that score to rank by."""
    estimator = MLPRegressor if regression else MLPClassifier
    name = estimator.__name__.lower()
    return RandomizedSearchCV(
        make_pipeline(StandardScaler(), estimator(hidden_layer_sizes=(128,), early_stopping=True, random_state=seed)),
        {f"{name}__learning_rate_init": loguniform(1e-5, 1), f"{name}__alpha": loguniform(1e-6, 1)},
        n_iter=n_iter,
        cv=3,
        n_jobs=2,
        scoring=scoring,
        random_state=seed,
    ).fit(X, y)


def run_sklearn(name, seed, effort):
    """One set, one seed: scores, seconds and our honest score."""
    load, score, scoring = SKLEARN_SETS[name]
    X, y = load(return_X_y=True)
    regression = name == "diabetes"
    stratify = None if regression else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    began = time.perf_counter()
    ours = search(X_train, y_train, effort=effort, n_jobs=2, random_state=seed, verbose=0)
    our_seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = rival(X_train, y_train, seed, scoring, regression)
    their_seconds = time.perf_counter() - began
    return {
        "set": name,
        "seed": seed,
        "ours": score(ours.ensemble, X_test, y_test),
        "rival": score(theirs, X_test, y_test),
        "our_seconds": our_seconds,
        "rival_seconds": their_seconds,
        "honest": ours.honest_score,
    }


def warm_up():
    X, y = load_digits(return_X_y=True)
    search(X[:200], y[:200], n_trials=2, max_epochs=1, n_jobs=2, verbose=0)
    rival(X[:200], y[:200], 0, None, False, n_iter=2)


def read_set(name, folder):
    """The arguments of `problem_of` that say what the data are; digits are scikit-learn's."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return {"X": X, "y": y}
    source = json.loads((folder / name / "SOURCE.json").read_text())
    table = read_table(folder / name / "data.csv.gz")
    return {"X": table, "y": "target", "categorical": source["categorical_columns"]}


def ours(problem, plan, record, workers):
    return run(problem, plan, record, workers, Stop())


def random_search(problem, plan, record, workers):
    """One stage of so many trials that it costs no more than the plan; the ranges stay as they are."""
    plans = (Plan.random(n, plan.max_epochs, plan.budgets[0]) for n in range(plan.n_epochs, 0, -1))
    affordable = next(one for one in plans if one.n_epochs <= plan.n_epochs)
    unrefined = replace(problem, drawing=replace(problem.drawing, mode="off"))
    return run(unrefined, affordable, record, workers, Stop())


def tpe(problem, plan, record, workers):
    """Trial by trial, until the next rung cannot be paid for."""
    space, budgets, spent = problem.drawing.space, plan.budgets, 0
    distributions = {name: to_optuna(one, limits=False) for name, one in space.distributions.items()}
    sampler = optuna.samplers.TPESampler(seed=problem.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    for config in problem.drawing.first:
        study.enqueue_trial(space.optuna_values(config))
    while True:
        trial = study.ask(distributions)
        config, reached = space.from_optuna_values(trial.params), 0
        fit = problem.learner.start([config], [trial_seed(problem.seed, trial.number)])
        for rung, epochs in enumerate(budgets):
            if spent + epochs - reached > plan.n_epochs:
                return
            fit = problem.learner.advance(fit, problem.dataset, epochs, lambda: False)
            record.checkpoints.save(trial.number, epochs, *problem.learner.save(fit))
            result = judged(problem, trial.number, config, fit, reached, epochs)
            yield RungRecord(trial.number, rung, epochs, (result,), (trial.number,), True)
            spent += result.epochs - result.begun
            if result.outcome is not None:
                study.tell(trial, state=TrialState.FAIL)
                break
            trial.report(result.value, epochs)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
            reached = epochs
        else:
            study.tell(trial, result.value)


def judged(problem, number, config, fit, begun, budget):
    """The result of a trial, which is alone in its fit, at the end of a rung."""
    learner, dataset, scorer, rows = problem.learner, problem.dataset, problem.scorer, problem.dataset.rows
    values, predictions = dict.fromkeys(learner.weights, float("nan")), {}
    outcome = fit.outcomes[0] if fit.outcomes[0] is None or fit.outcomes[0].failed else None
    if outcome is None:
        predictions = {kind: learner.predict(fit, dataset, rows.heldout, kind)[0] for kind in learner.weights}
        of_valid = {kind: predictions[kind][: len(rows.valid)] for kind in learner.weights}
        values = {kind: score_rows(scorer, dataset, rows.valid, of_valid[kind]) for kind in learner.weights}
    value, epochs = values[learner.weights[-1]], int(fit.epochs[0])
    return TrialResult(
        number=number, config=config, seed=int(fit.seeds[0]), repeats=None, begun=begun, budget=budget, epochs=epochs,
        values=values, folds=(), scores={scorer.name: value}, history=fit.history[0],
        predictions=predictions, outcome=outcome,
    )  # fmt: skip


SEARCHES = {"ours": ours, "random": random_search, "TPE": tpe}


class Trace:
    """A consumer of rung records: what is found when shares of the epochs are spent, in `rows`."""

    def __init__(self, problem, n_epochs):
        self.problem, self.n_epochs = problem, n_epochs
        self.spent, self.members, self.rows, self.found = 0, Library(), [], []

    def add(self, record):
        cost = sum(result.epochs - result.begun for result in record.results)
        while len(self.rows) < len(SHARES) and self.spent + cost > SHARES[len(self.rows)] * self.n_epochs:
            self.score()
        self.members.add(record)
        self.spent += cost

    def score(self):
        self.rows.append({"share": SHARES[len(self.rows)], "epochs": self.spent})
        if len(self.members):
            problem = self.problem
            self.found = averages(self.members, problem.dataset, problem.scorer, problem.seed, problem.learner.price)
            ensemble, single = self.found[0], self.single
            self.rows[-1] |= {"honest_single": single.honest_score, "honest_ensemble": ensemble.honest_score}

    @property
    def single(self):
        return next(one for one in self.found if one.name == "parameter_ema")

    def end(self, checkpoints):
        """Score what is left to be scored, and at last on the test rows."""
        while len(self.rows) < len(SHARES):
            self.score()
        self.rows[-1] |= {
            "test_single": test_score(self.single, self.problem, checkpoints),
            "test_ensemble": test_score(self.found[0], self.problem, checkpoints),
        }


def test_score(average, problem, checkpoints):
    learner, dataset = problem.learner, problem.dataset
    total = 0
    for member, vote in zip(average.members, average.votes, strict=True):
        fit = learner.load(*checkpoints.load(member.result.number, member.result.budget))
        total += vote * learner.predict(fit, dataset, dataset.rows.test, member.weights)[0]
    return score_rows(problem.scorer, dataset, dataset.rows.test, total)


def run_samplers(name, folder, seed, n_trials):
    """One set, one seed: the rows of all searches."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    with one_blas_thread():
        problem, max_epochs = problem_of(**read_set(name, folder), cv=1, test_size=0.2, random_state=seed)
        plan = Plan.of(n_trials, max_epochs, shortest_rung(problem, max_epochs))
        for method, carry_out in SEARCHES.items():
            began = time.perf_counter()
            trace = Trace(problem, plan.n_epochs)
            with open_record(None, "bench") as record, Workers(1) as workers:
                for event in carry_out(problem, plan, record, workers):
                    if isinstance(event, RungRecord):
                        trace.add(event)
                trace.end(record.checkpoints)
            seconds = time.perf_counter() - began
            rows += [{"set": name, "seed": seed, "search": method, "seconds": seconds} | row for row in trace.rows]
    return rows


def differences(table, columns):
    """Means by set, and over all of them, of what ours gains on each rival, with the half-width of the interval.

    In per cent of the rival's loss; also how many pairs there are, and in how many ours is better.
    """
    wide = table.set_index(["set", "seed", "search"])[columns].unstack("search")
    rows = []
    for column in columns:
        for rival in [name for name in SEARCHES if name != "ours"]:
            gains = 100 * (wide[column]["ours"] - wide[column][rival]) / wide[column][rival].abs()
            for name, pairs in [*gains.groupby("set", sort=False), ("all", gains)]:
                half = t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs))
                better = f"{int((pairs > 0).sum())}/{len(pairs)}"
                row = {"score": column, "rival": rival, "set": name, "gain": pairs.mean(), "half_width": half}
                rows.append(row | {"better": better})
    return pd.DataFrame(rows)


def against_sklearn(arguments):
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # in joblib's processes too
    rows = []
    with threadpool_limits(1):  # joblib's processes have one each, for two of them on two cores
        warm_up()
        for name in arguments.sets:
            for seed in range(arguments.seeds):
                rows.append(run_sklearn(name, seed, arguments.effort))
                print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    table["difference"] = table["ours"] - table["rival"]
    table["share_of_time"] = table["our_seconds"] / table["rival_seconds"]
    print(table.round(4).to_string(index=False))
    summary = table.groupby("set", sort=False).agg(
        ours=("ours", "mean"),
        rival=("rival", "mean"),
        difference=("difference", "mean"),
        standard_error=("difference", lambda values: values.std(ddof=1) / np.sqrt(len(values))),
        our_seconds=("our_seconds", "mean"),
        rival_seconds=("rival_seconds", "mean"),
        share_of_time=("share_of_time", "mean"),
    )
    print(summary.round(4).to_string())
    return rows


def against_samplers(arguments):
    sets, seeds, n_trials = (["digits"], 1, 32) if arguments.quick else (arguments.sets, arguments.seeds, 64)
    calls = [delayed(run_samplers)(name, arguments.data, seed, n_trials) for name in sets for seed in range(seeds)]
    rows = []
    for done in Parallel(n_jobs=2, return_as="generator")(calls):
        rows += done
        print(json.dumps(done[-1]), flush=True)
    table = pd.DataFrame(rows)
    at_end = table[table["share"] == SHARES[-1]]
    print("\nMeans of the scores at the end")
    print(at_end.groupby(["set", "search"], sort=False)[[*SCORES, "epochs", "seconds"]].mean().round(4).to_string())
    print("\nWhat ours gains, in per cent of the rival's loss")
    print(differences(at_end, list(SCORES)).round(2).to_string(index=False))
    print("\nThe same by share of the epochs, over all sets")
    for share, part in table.groupby("share"):
        both = part.groupby(["set", "seed"]).filter(lambda runs: runs["honest_single"].notna().all())
        if len(both):
            gains = differences(both, ["honest_single", "honest_ensemble"])
            print(f"{share:.0%} of the epochs\n", gains[gains["set"] == "all"].round(2).to_string(index=False))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    sklearn = commands.add_parser("sklearn")
    sklearn.add_argument("--sets", nargs="*", choices=list(SKLEARN_SETS), default=list(SKLEARN_SETS))
    sklearn.add_argument("--effort", choices=("quick", "standard", "thorough"), default="standard", help="ours")
    sklearn.set_defaults(compare=against_sklearn)
    samplers = commands.add_parser("samplers")
    samplers.add_argument("data", type=Path, nargs="?", help="a folder; needed for all sets but digits")
    samplers.add_argument("--sets", nargs="*", choices=SAMPLER_SETS, default=SAMPLER_SETS)
    samplers.add_argument("--quick", action="store_true", help="digits only, one seed, 32 trials")
    samplers.set_defaults(compare=against_samplers)
    for command in (sklearn, samplers):
        command.add_argument("--seeds", type=int, default=5)
        command.add_argument("--json", type=Path, help="write the rows of all runs to this file")
    arguments = parser.parse_args()
    rows = arguments.compare(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
