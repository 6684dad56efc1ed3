"""Real tables by the command line: `hpsearch run`, then `hpsearch predict`, on splits that others have been run on.

    python scripts/bench_tables.py DATA [--sets telco_churn california_housing covertype_20k] [--seeds 1] [--json FILE]

DATA is a folder with one folder per set, holding data.csv.gz (its target is the column `target`) and SOURCE.json (its
`task` and `categorical_columns`). A seed's split is scikit-learn's `train_test_split(test_size=0.2, random_state=seed,
stratify=target for classes)`. A study sees the 80 % only. Log-loss and accuracy for classes, RMSE for regression, of
the predictions of the other 20 %, with the wall time of `hpsearch run`, start-up included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split

from hpsearch.data.table import read_table

STUDY = """
name = "{name}"
[data]
source = "train.csv"
target = "target"
categorical = {categorical}
[search]
random_state = {seed}
n_jobs = 2
"""


def hpsearch(*arguments):
    subprocess.run([sys.executable, "-m", "hpsearch", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def run(folder, name, seed):
    """One set, one seed: the scores and the seconds."""
    source = json.loads((folder / name / "SOURCE.json").read_text())
    table = read_table(folder / name / "data.csv.gz")
    is_regression = source["task"] == "regression"
    stratify = None if is_regression else table["target"]
    train, test = train_test_split(table, test_size=0.2, random_state=seed, stratify=stratify)
    with tempfile.TemporaryDirectory() as temporary:
        study = Path(temporary)
        train.to_csv(study / "train.csv", index=False)
        test.drop(columns="target").to_csv(study / "test.csv", index=False)
        categorical = json.dumps(source["categorical_columns"])
        (study / "study.toml").write_text(STUDY.format(name=name, categorical=categorical, seed=seed))
        began = time.perf_counter()
        hpsearch("run", study, "--quiet")
        seconds = time.perf_counter() - began
        hpsearch("predict", study, study / "test.csv", "--output", study / "predictions.csv")
        predictions = read_table(study / "predictions.csv")
        honest = json.loads((study / "out" / "summary.json").read_text())["honest_score"]
    row = {"set": name, "seed": seed, "seconds": round(seconds, 1), "honest": honest}
    if is_regression:
        return row | {"rmse": root_mean_squared_error(test["target"], predictions["prediction"])}
    labels = sorted(table["target"].unique())
    p = predictions[[f"probability_{label}" for label in labels]].to_numpy()
    p = p / p.sum(axis=1, keepdims=True)
    return row | {
        "log_loss": log_loss(test["target"], p, labels=labels),
        "accuracy": accuracy_score(test["target"], np.array(labels)[p.argmax(axis=1)]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*", default=["telco_churn", "california_housing", "covertype_20k"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", help="write the rows of all runs to this file")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets:
        for seed in range(arguments.seeds):
            rows.append(run(arguments.data, name, seed))
            print(json.dumps(rows[-1]), flush=True)
    print(pd.DataFrame(rows).round(4).to_string(index=False))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
