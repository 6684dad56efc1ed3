"""How accurate our `search` is beside others, row by row of the same test rows; what each part of it is worth.

    python scripts/bench_accuracy.py DATA [--sets ...] [--seeds 0 1 2] [--effort standard] [--without refinement ...]
    python scripts/bench_accuracy.py DATA --peers rscv realmlp_ce hgb ... --python PYTHON [--sets ...] [--seeds 0]
    python scripts/bench_accuracy.py --table
    python scripts/bench_accuracy.py --quick

DATA is a folder of sets, see accuracy/sets.py; `--sets digits` and others of scikit-learn's need none. A run learns
from a seed's training rows only. The prediction of every test row is kept in the folder OUT, with scores and seconds;
what is kept is not run again. Peers (accuracy/peers.py) are run by PYTHON, which needs scikit-learn, and for some
pytabkit, one process each; a peer that fails is told of and left out. Whatever was run, and with `--table` without
running anything, OUT is put into tables:

- scores of all contenders: log-loss or RMSE, and accuracy; of ours the mean and deviation over seeds; with a * those of
  accuracy/peers.json, published numbers of peers of which no predictions are kept;
- ours against the best MLP system and against gradient boosting, seed 0 of both: gain in per cent of the rival's loss,
  or in percentage points of accuracy, with the 95 % interval of a paired bootstrap over test rows; against published
  numbers with that of two independent means, which is wider;
- seconds: ours against the peers' published ones (else those kept), geometric mean of the ratios over sets;
- honesty: z of the honest score, see `comparison.honesty`;
- what is lost without each part: per cent of the loss, paired by set and seed, mean and 95 % interval by Student's t.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from accuracy.comparison import accuracy_difference, honesty, loss_difference, published_difference
from accuracy.kept import Run, is_kept, keep, kept_runs
from accuracy.sets import BUILT_IN, PUBLIC_SETS, split
from scipy.stats import t
from sklearn.datasets import load_digits

from hpsearch import CLASSIC, Choice, LogUniform, search, study
from hpsearch.ensemble import average
from hpsearch.ensemble.members import Library

MLP_SYSTEMS = ("rscv", "realmlp", "realmlp_ce", "realmlp_s", "tabm")
BOOSTING = ("hgb", "hgb_tuned")
PAIRED_SEED = 0
"""The peers' seed; our run with it is set against theirs."""

WITHOUT = {
    "refinement": {"refine": "off"},
    "widening": {"space": {"learning_rate_init": LogUniform(5e-4, 2e-2, limits=(5e-4, 2e-2))}},
    "ema": {"space": {"ema_decay": 0.0}},
    "bins": {"space": {"encoding": Choice(["robust", "quantile"])}},
    "silu": {"space": {"activation": "relu"}},
    "refit": {"refit": False},
    "ensemble": {"max_members": 1},
    "folds": {"cv": 1},
    "single_split": {"cv": 5},
    "modern_recipe": {"space": CLASSIC},
}
"""Part of our search → the arguments of `search` that leave it out."""

PLAIN_KINDS = ("top_models", "top_models_ema")
INSIDE = {
    "greedy": [(average, "FAVOURITE", PLAIN_KINDS[1]), (average, "CHOSEN_FROM", PLAIN_KINDS)],
    "rung_ends": [(study, "Library", lambda snapshots: Library(snapshots=False))],
}
"""Part that no argument leaves out → module, name, what stands there instead: plain means of the best are chosen from;
only the last rung end of each trial may vote."""

QUICK = {"n_trials": 6, "max_epochs": 3}


def our_name(effort, part):
    words = ["ours", *([effort] if effort else []), *([f"without_{part}"] if part else [])]
    return "_".join(words)


def run_ours(folder, contender, name, seed, options, instead):
    """One set and seed, by `search` with these options, and with `instead` in the package's places."""
    data = split(folder, name, seed)
    common = {"categorical": data.categorical, "n_jobs": 2, "random_state": seed, "verbose": 0}
    with ExitStack() as patches:
        for module, place, value in instead:
            patches.enter_context(patch.object(module, place, value))
        began = time.perf_counter()
        result = search(data.X_train, data.y_train, **common | options)
        seconds = time.perf_counter() - began
    chosen = result.findings.chosen
    about = {
        "seconds": round(seconds, 2),
        "honest_score": result.honest_score,
        "honest_deviation": float(chosen["honest_deviation"]),
        "n_select": result.findings.n_rows["select"],
        "ensemble": str(chosen["ensemble"]),
        "n_members": int(chosen["n_members"]),
        "n_trials": len(result.trials),
    }
    return Run(contender, name, seed, data.predictions(result.ensemble), data.targets, about)


def warm_up():
    """Imports, and compilation or loading of kernels, before the clock starts."""
    X, y = load_digits(return_X_y=True)
    search(X[:200], y[:200], n_trials=2, max_epochs=1, n_jobs=2, verbose=0)


def run_all_of_ours(arguments):
    """Ours whole and without parts, on all sets and seeds that are not kept."""
    warnings.simplefilter("ignore")
    options = ({"effort": arguments.effort} if arguments.effort else {}) | (QUICK if arguments.quick else {})
    parts = {our_name(arguments.effort, part): part for part in [None, *arguments.without]}
    missing = [
        (contender, name, seed)
        for name in arguments.sets
        for seed in arguments.seeds
        for contender in parts
        if not is_kept(arguments.out, contender, name, seed)
    ]
    if missing:
        warm_up()
    for contender, name, seed in missing:
        part = parts[contender]
        without = options | WITHOUT.get(part, {})
        run = run_ours(arguments.data, contender, name, seed, without, INSIDE.get(part, []))
        print(json.dumps(keep(arguments.out, run)), flush=True)


def run_peers(arguments):
    """Each peer, set and seed that is not kept in a process of its own, in a folder that it may litter."""
    here = Path(__file__).resolve().parent
    # two threads that do not spin where they wait: on a busy machine that takes ten times as long
    threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    environment = os.environ | {"PYTHONPATH": str(here)} | threads
    data = arguments.data.resolve() if arguments.data else here
    for peer in arguments.peers:
        for name in arguments.sets:
            for seed in arguments.seeds:
                if is_kept(arguments.out, peer, name, seed):
                    continue
                command = [arguments.python, "-m", "accuracy.peers", data, arguments.out.resolve(), peer, name, seed]
                with tempfile.TemporaryDirectory() as folder:
                    done = subprocess.run([str(word) for word in command], env=environment, cwd=folder)
                if done.returncode:
                    print(f"{peer} on {name}, seed {seed}, failed", file=sys.stderr)


class Kept:
    """All that is known of everybody: kept runs of these sets, and published numbers."""

    def __init__(self, folder, ours):
        known = [*PUBLIC_SETS, *BUILT_IN]
        self.ours = ours
        self.runs = {(run.contender, run.set, run.seed): run for run in kept_runs(folder)}
        self.published = json.loads((Path(__file__).parent / "accuracy" / "peers.json").read_text())
        self.sets = sorted({name for contender, name, _ in self.runs if contender == ours}, key=known.index)

    def of(self, contender, name):
        """Its runs on a set, by seed."""
        return [run for (its, of_set, _), run in sorted(self.runs.items()) if (its, of_set) == (contender, name)]

    def paired(self, name):
        """Our run that is set against the peers'; None if it is not kept."""
        return self.runs.get((self.ours, name, PAIRED_SEED))

    def score(self, peer, name, score):
        """A peer's, and whether it is only a published number; NaN if there is none."""
        run = self.runs.get((peer, name, PAIRED_SEED))
        if run is not None:
            return getattr(run, score), False
        return self.published.get(name, {}).get(peer, {}).get(score, float("nan")), True

    def seconds(self, peer, name):
        """A peer's: published ones, since the machine was quieter, else those kept."""
        run = self.runs.get((peer, name, PAIRED_SEED))
        kept = float("nan") if run is None else run.about["seconds"]
        return self.published.get(name, {}).get(peer, {}).get("seconds", kept)

    def difference(self, peer, name, score):
        ours, run = self.paired(name), self.runs.get((peer, name, PAIRED_SEED))
        if run is None:
            return published_difference(ours, self.published[name][peer], score)
        return {"loss": loss_difference, "accuracy": accuracy_difference}[score](ours, run)

    def best(self, peers, name, score):
        """The best of these peers on a set; None if there is none."""
        scores = {peer: self.score(peer, name, score)[0] for peer in peers}
        scores = {peer: value for peer, value in scores.items() if np.isfinite(value)}
        return (min if score == "loss" else max)(scores, key=scores.get, default=None)


def score_table(kept, score):
    """One row per set: ours and all peers, by "loss" or "accuracy"."""
    rows = []
    for name in kept.sets:
        values = [getattr(run, score) for run in kept.of(kept.ours, name)]
        if np.isnan(values).any():
            continue
        deviation = f" ± {digits(np.std(values, ddof=1))}" if len(values) > 1 else ""
        row = {"set": name, "ours": f"{digits(np.mean(values))}{deviation}"}
        for peer in (*MLP_SYSTEMS, *BOOSTING):
            value, is_published = kept.score(peer, name, score)
            row[peer] = "" if np.isnan(value) else digits(value) + ("*" if is_published else "")
        rows.append(row)
    return pd.DataFrame(rows)


def digits(value):
    """Four significant ones, or whole numbers from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def rival_tables(kept, score):
    """Ours against the best MLP system and each boosting, set by set; and the counts."""
    rows, counts = [], []
    rivals = {"best MLP system": MLP_SYSTEMS} | {peer: (peer,) for peer in BOOSTING}
    for rival, peers in rivals.items():
        differences = {}
        for name in kept.sets:
            if kept.paired(name) is None or (peer := kept.best(peers, name, score)) is None:
                continue
            differences[name] = kept.difference(peer, name, score)
            rows.append({"set": name, "rival": rival, "who": peer, "gain": str(differences[name])})
        better = [one for one in differences.values() if one.gain > 0]
        worse = [one for one in differences.values() if one.gain < 0]
        counts.append(
            {
                "rival": rival,
                "sets": len(differences),
                "better": len(better),
                "significantly better": sum(one.is_significant for one in better),
                "significantly worse": sum(one.is_significant for one in worse),
            }
        )
    return pd.DataFrame(rows), pd.DataFrame(counts)


def seconds_tables(kept):
    """Mean seconds of ours beside the peers', and the geometric mean of the ratios to each peer over its sets."""
    rows, ratios = [], {peer: [] for peer in (*MLP_SYSTEMS, *BOOSTING)}
    for name in kept.sets:
        ours = np.mean([run.about["seconds"] for run in kept.of(kept.ours, name)])
        row = {"set": name, "ours": f"{ours:.0f}"}
        for peer, its in ratios.items():
            seconds = kept.seconds(peer, name)
            row[peer] = "" if np.isnan(seconds) else f"{seconds:.0f}"
            its += [] if np.isnan(seconds) else [ours / seconds]
        rows.append(row)
    means = [
        {"peer": peer, "sets": len(its), "ours / theirs": f"{np.exp(np.mean(np.log(its))):.3f}"}
        for peer, its in ratios.items()
        if its
    ]
    return pd.DataFrame(rows), pd.DataFrame(means)


def honesty_table(kept):
    """z of every run of ours, and their mean."""
    rows = []
    for name in kept.sets:
        of_set = {run.seed: honesty(run) for run in kept.of(kept.ours, name)}
        members = [run.about["n_members"] for run in kept.of(kept.ours, name)]
        ensembles = sorted({run.about["ensemble"] for run in kept.of(kept.ours, name)})
        z = {f"seed {seed}": f"{value:+.2f}" for seed, value in of_set.items()}
        mean = np.mean(list(of_set.values()))
        rows.append({"set": name} | z | {"mean": mean, "members": str(members), "ensemble": ", ".join(ensembles)})
    table = pd.DataFrame(rows).fillna("")
    overall = np.mean([honesty(run) for name in kept.sets for run in kept.of(kept.ours, name)])
    return table.assign(mean=table["mean"].map("{:+.2f}".format)), overall


def worth_table(kept):
    """What each part gains: per cent of the loss without it, by set and over all pairs of set and seed.

    "unseen": the mean over sets of what a set gains where all other sets decide whether the part is taken.
    """
    prefix = f"{kept.ours}_without_"
    rows = []
    for contender in sorted({name for name, _, _ in kept.runs if name.startswith(prefix)}):
        gains = {
            (name, seed): 100 * (1 - kept.runs[kept.ours, name, seed].loss / run.loss)
            for (its, name, seed), run in kept.runs.items()
            if its == contender and (kept.ours, name, seed) in kept.runs
        }
        pairs = pd.Series(gains)
        half = t.ppf(0.975, max(len(pairs) - 1, 1)) * pairs.std(ddof=1) / np.sqrt(len(pairs))
        of_sets = pairs.groupby(level=0).mean().reindex(kept.sets).dropna()
        row = {"part": contender.removeprefix(prefix), "pairs": len(pairs), "better with": int((pairs > 0).sum())}
        row["gain"] = f"{pairs.mean():+.2f} ± {half:.2f}"
        row["unseen"] = f"{np.mean([gain * (of_sets.drop(name).mean() > 0) for name, gain in of_sets.items()]):+.2f}"
        rows.append(row | {name: f"{gain:+.2f}" for name, gain in of_sets.items()})
    return pd.DataFrame(rows).fillna("")


def markdown(table):
    cells = [list(table.columns), ["---"] * table.shape[1], *table.astype("str").to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def show(title, *tables):
    print(f"\n{title}\n")
    print("\n\n".join(markdown(table) for table in tables if len(table)))


def print_tables(folder, ours):
    kept = Kept(folder, ours)
    if not kept.sets:
        print(f"{folder} holds no run of {ours!r} yet, so that there is nothing to compare")
        return
    for score, words in {"loss": "log-loss or RMSE", "accuracy": "accuracy"}.items():
        show(f"Scores: {words} (* published numbers)", score_table(kept, score))
    for score, words in {"loss": "per cent of the rival's loss", "accuracy": "percentage points of accuracy"}.items():
        show(f"What ours gains: {words}", *rival_tables(kept, score))
    show("Seconds", *seconds_tables(kept))
    honest, overall = honesty_table(kept)
    show("Honesty: z of the honest score, greater: promised too much", honest)
    print(f"\nmean over sets and seeds: {overall:+.2f}")
    show("What each part gains: per cent of the loss without it", worth_table(kept))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="the folder of sets; needed for all but scikit-learn's own")
    parser.add_argument("--sets", nargs="+", choices=[*PUBLIC_SETS, *BUILT_IN], default=PUBLIC_SETS, metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--effort", help="of our search; its default if not given")
    parser.add_argument(
        "--without", nargs="+", choices=[*WITHOUT, *INSIDE], default=[], help="run ours without these parts too"
    )
    parser.add_argument("--peers", nargs="+", default=[], metavar="PEER", help="run these, and not ours")
    parser.add_argument("--python", default=sys.executable, help="the peers' interpreter")
    parser.add_argument("--out", type=Path, default=Path("bench_accuracy"), help="the folder of kept runs")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--quick", action="store_true", help="two small sets, one seed, few trials, nothing kept")
    arguments = parser.parse_args()
    ours = our_name(arguments.effort, None)
    if arguments.quick:
        arguments.sets, arguments.seeds, arguments.peers, arguments.without = (
            ["breast_cancer", "diabetes"], [0], ["hgb"], ["folds"]
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            arguments.out = Path(folder)
            run_all_of_ours(arguments)
            run_peers(arguments)
            print_tables(arguments.out, ours)
        return
    if not arguments.table and arguments.peers:
        run_peers(arguments)
    elif not arguments.table:
        run_all_of_ours(arguments)
    print_tables(arguments.out, ours)


if __name__ == "__main__":
    main()
