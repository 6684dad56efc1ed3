"""Prediction of an ensemble against the sgemm peak of this machine, and against scikit-learn.

    python scripts/bench_predict.py [--quick]

One core, one BLAS thread, CPU time; the least of several runs counts. Ten networks of 128-128 vote on 64 encoded
columns and 10 classes: from the encoded matrix to probabilities, one row and many; then from raw columns; and the
average of ten of scikit-learn's MLPClassifier of the same shape. Operations per row and network are 2·W (W: entries of
its weight matrices). Memory is the peak that Python and NumPy ask for while a table is predicted, but for the table.
"""

import argparse
import time
import tracemalloc
import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from hpsearch.data.dataset import prepare
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.stack import Architecture, n_matrix_entries
from hpsearch.orchestrator.networks import Network

N_MEMBERS, SIZES = 10, (64, 128, 128, 10)


def seconds_of(function, repeats):
    """The least CPU time of several runs."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def peak(repeats):
    """sgemm of 2048 × 2048, in GFLOP/s."""
    a = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32)
    return 2 * 2048**3 / seconds_of(lambda: a @ a, repeats) / 1e9


def table(n_rows):
    values = np.random.default_rng(0).standard_normal((n_rows, SIZES[0]))
    return pd.DataFrame(values, columns=[f"x{column}" for column in range(SIZES[0])])


def ensemble_of(activation):
    dataset = prepare(table(1000), np.arange(1000) % SIZES[-1])
    architecture = Architecture(SIZES, activation)
    stacks = [
        initial_stack(architecture, [Start("he_normal", 0.0, 0.0)], np.array([seed], dtype=np.uint64))
        for seed in range(N_MEMBERS)
    ]
    networks = tuple(Network(stack, "softmax_cross_entropy") for stack in stacks)
    votes = np.full(N_MEMBERS, 1 / N_MEMBERS)
    return Ensemble("top_models", (dataset.encoding,), dataset.target, networks, votes)


def sklearns():
    X, y = table(1000).to_numpy(dtype=np.float32), np.arange(1000) % SIZES[-1]
    return [MLPClassifier(SIZES[1:-1], max_iter=1, random_state=seed).fit(X, y) for seed in range(N_MEMBERS)]


def report(name, n_rows, seconds, gflops):
    operations = 2 * N_MEMBERS * n_matrix_entries(SIZES) * n_rows
    share = operations / seconds / 1e9 / gflops
    print(f"{name:34} {n_rows:8} rows {1e6 * seconds / n_rows:9.3f} ms per 1,000 {share:7.3f} of the peak", flush=True)


def memory(function, n_rows):
    X = table(n_rows)
    tracemalloc.start()
    answer = function(X)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{n_rows:34} rows: {most / 2**20:8.1f} MB, the answer alone {answer.nbytes / 2**20:6.1f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and activations, no million rows")
    quick = parser.parse_args().quick
    repeats = 5 if quick else 15
    many = 20_000
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        gflops = peak(repeats)
        print(f"sgemm peak: {gflops:.1f} GFLOP/s on one thread")
        X = table(many)
        for activation in ("relu", "silu") if quick else ACTIVATIONS:
            ensemble = ensemble_of(activation)
            inputs = ensemble.encoding.encode(X)
            for n_rows in (many,) if activation != "relu" else (1, 100, 1000, many):
                seconds = seconds_of(lambda: ensemble.outputs(inputs[:n_rows]), repeats)  # noqa: B023
                report(f"encoded, {activation}", n_rows, seconds, gflops)
        ensemble = ensemble_of("relu")
        report("raw columns, relu", many, seconds_of(lambda: ensemble.predict_proba(X), repeats), gflops)
        networks, inputs = sklearns(), X.to_numpy(dtype=np.float32)
        for n_rows in (1, 1000, many):
            seconds = seconds_of(lambda: sum(one.predict_proba(inputs[:n_rows]) for one in networks), repeats)  # noqa: B023
            report("scikit-learn, encoded, relu", n_rows, seconds, gflops)
        for n_rows in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
            memory(ensemble.predict_proba, n_rows)


if __name__ == "__main__":
    main()
