"""The engine's training step against the sgemm peak of this machine, and against its peers.

    python scripts/bench_engine.py [--quick] [--json FILE]

One core, one BLAS thread, float32. Ours: K models with dropout 0.1 (fresh masks each step), AdamW with decay, EMA, and
the determinism contract; also a look at the validation loss, of a few rows, after each epoch. Peers: scikit-learn's
MLPClassifier (no dropout, no EMA, K = 1), and, where installed, JAX `vmap` + `scan` and PyTorch `baddbmm` (dropout,
AdamW, no EMA). Compilation is done before the clock starts. A model's operations per row are 6·W − 2·W₁ (W: entries of
its weight matrices, W₁: of the first). The least of several runs counts. Then what options add to a step at
64-128-128-10, how much more two threads do than one, and the share of two cores' peak that a whole search reaches.
"""

import argparse
import importlib.util
import json
import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from hpsearch import search
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import training_operations
from hpsearch.mlp.train import Examples, advance, start

SHAPES = [
    ((784, 512, 256, 10), 256, 20),
    ((64, 256, 256, 10), 256, 40),
    ((64, 256, 256, 10), 128, 60),
    ((64, 128, 128, 10), 64, 100),
    ((64, 64, 64, 10), 200, 100),
    ((32, 64, 2), 32, 300),
]
"""Layer sizes, batch size, minibatches per epoch."""


N_VALID = 64


def seconds_of(function, repeats):
    """The least of several runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


@contextmanager
def one_core():
    """Keep the process on one core: not every peer's threads can be limited otherwise."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak(repeats):
    """GFLOP/s of `np.matmul` on square float32 matrices, one thread."""
    size = 1024
    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    out = np.empty_like(a)
    return 2 * size**3 / seconds_of(lambda: np.matmul(a, a, out=out), 6 * repeats) / 1e9


def data(sizes, n_rows):
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((n_rows, sizes[0]), dtype=np.float32)
    return inputs, generator.integers(0, sizes[-1], n_rows)


def our_fit(sizes, batch, n_steps, k, **options):
    """An untrained stack of ours, and what it learns from."""
    n_train = batch * n_steps
    inputs, y = data(sizes, n_train + N_VALID)
    rows = np.arange(len(inputs))
    examples = Examples(
        inputs=inputs,
        targets=np.eye(sizes[-1], dtype=np.float32)[y],
        row_weights=np.ones(len(inputs), dtype=np.float32),
        train=rows[:n_train],
        valid=rows[n_train:],
        order_seed=0,
    )
    plain = {"hidden_layer_sizes": sizes[1:-1], "batch_size": batch, "dropout": 0.1, "weight_decay": 0.01}
    return start([Recipe(**plain | options)] * k, range(k), sizes[0], sizes[-1]), examples


def ours(sizes, batch, n_steps, k, repeats, **options):
    """Seconds per epoch and model of our stack."""
    fit, examples = our_fit(sizes, batch, n_steps, k, **options)
    return seconds_of(lambda: advance(fit, examples, 2, 10), repeats) / (2 * k)


def sklearns(sizes, batch, n_steps, repeats):
    """Seconds per epoch of MLPClassifier."""
    inputs, y = data(sizes, batch * n_steps)
    y[: sizes[-1]] = np.arange(sizes[-1])

    def fit(n_epochs):
        return MLPClassifier(sizes[1:-1], batch_size=batch, max_iter=n_epochs, tol=0, random_state=0).fit(inputs, y)

    # what is done once per fit is not counted
    return max(1e-9, seconds_of(lambda: fit(4), repeats) - seconds_of(lambda: fit(2), repeats)) / 2


def jaxs(sizes, batch, n_steps, k, repeats):
    """Seconds per epoch and model of K models under `vmap`, an epoch under `scan`."""
    import jax
    import jax.numpy as jnp

    inputs, y = data(sizes, batch * n_steps)
    batches = jnp.asarray(inputs).reshape(n_steps, batch, sizes[0])
    labels = jax.nn.one_hot(jnp.asarray(y), sizes[-1]).reshape(n_steps, batch, sizes[-1])
    generator = np.random.default_rng(0)
    weights = [
        (jnp.asarray(generator.standard_normal((k, a, b), dtype=np.float32) * (2 / a) ** 0.5), jnp.zeros((k, b)))
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
    ]

    def loss(layers, x, y, key):
        for position, (w, b) in enumerate(layers):
            x = x @ w + b
            if position < len(layers) - 1:
                key, mask = jax.random.split(key)
                x = jnp.where(jax.random.bernoulli(mask, 0.9, x.shape), jax.nn.relu(x) / 0.9, 0)
        return -(y * jax.nn.log_softmax(x)).sum(axis=1).mean()

    def step(state, batch):
        layers, m, v, t, key = state
        x, y = batch
        key, mask = jax.random.split(key)
        g = jax.grad(loss)(layers, x, y, mask)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

        def update(w, m, v):
            corrected = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
            return w * (1 - 1e-5) - 1e-3 * corrected

        return (jax.tree.map(update, layers, m, v), m, v, t, key), None

    zeros = jax.tree.map(jnp.zeros_like, weights)
    keys = jax.random.split(jax.random.key(0), k)
    one = lambda layers, m, v, key: jax.lax.scan(step, (layers, m, v, 0.0, key), (batches, labels))[0][0]  # noqa: E731
    epoch = jax.jit(jax.vmap(one))
    run = lambda: jax.block_until_ready(epoch(weights, zeros, zeros, keys))  # noqa: E731
    run()
    return seconds_of(run, repeats) / k


def torchs(sizes, batch, n_steps, k, repeats):
    """Seconds per epoch and model of K models by `baddbmm`, with the fused AdamW."""
    import torch

    torch.set_num_threads(1)
    inputs, y = data(sizes, batch * n_steps)
    x, labels = torch.from_numpy(inputs), torch.from_numpy(y)
    weights = [torch.randn(k, a, b).mul_((2 / a) ** 0.5) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    biases = [torch.zeros(k, 1, b) for b in sizes[1:]]
    parameters = [tensor.requires_grad_() for tensor in (*weights, *biases)]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)

    def epoch():
        for step in range(n_steps):
            rows = slice(step * batch, (step + 1) * batch)
            values = x[rows].expand(k, batch, sizes[0])
            for position, (w, b) in enumerate(zip(weights, biases, strict=True)):
                values = torch.baddbmm(b, values, w)
                if position < len(weights) - 1:
                    values = torch.nn.functional.dropout(torch.relu(values), 0.1)
            loss = torch.nn.functional.cross_entropy(values.flatten(0, 1), labels[rows].repeat(k)) * k
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    epoch()
    return seconds_of(epoch, repeats) / k


OPTIONS = [
    {"batch_norm": True},
    {"activation": "prelu"},
    {"clip_value": 1.0},
    {"clip_norm": 1.0},
    {"max_norm": 3.0},
    {"activation": "tanh"},
    {"activation": "gelu"},
    {"residual": True},
    {"drop_connect": 0.1},
    {"input_dropout": 0.1},
    {"alpha": 1e-4},
    {"mixup": 0.2},
    {"noise": 0.1},
]


def cost_of_options(options, repeats):
    """What each option adds to an epoch of 64-128-128-10, batch 64, as a share of it; plain runs in between."""
    sizes, batch, n_steps = SHAPES[3]
    for option in options:
        with_it, without = [], []
        for _ in range(repeats):
            with_it.append(ours(sizes, batch, n_steps, 1, 3, **option))
            without.append(ours(sizes, batch, n_steps, 1, 3))
        yield option, min(with_it) / min(without) - 1


def two_threads(repeats):
    """How many times as much two threads train in a second as one: a model each, against one alone."""
    for sizes, batch, n_steps in (SHAPES[2], SHAPES[3], SHAPES[5]):
        fit, examples = our_fit(sizes, batch, n_steps, 1)

        def train(fit=fit, examples=examples):
            advance(fit, examples, 20, 20)

        def train_both(train=train):
            with ThreadPoolExecutor(2) as pool:
                for done in [pool.submit(train) for _ in range(2)]:
                    done.result()

        times = [(seconds_of(train, 1), seconds_of(train_both, 1)) for _ in range(repeats)]
        alone, both = (min(column) for column in zip(*times, strict=True))
        yield sizes, batch, 2 * alone / both


def whole_search(gflops, repeats):
    """Share of two cores' peak that `search` on digits reaches on one split, from the call to the result."""
    X, y = load_digits(return_X_y=True)
    space = {"hidden_layer_sizes": (256, 256), "encoding": "robust"}
    times, operations = [], 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        result = search(X, y, cv=1, refit=False, n_jobs=2, verbose=0, space=space)
        times.append(time.perf_counter() - began)
        sizes = (result.findings.n_inputs, 256, 256, 10)
        operations = training_operations(sizes) * result.findings.epochs_trained * result.findings.n_rows["train"]
    return min(times), operations / min(times) / (2 * gflops * 1e9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and sizes of stacks, under a minute")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)
    repeats = 3 if arguments.quick else 7
    stacks = (1, 16) if arguments.quick else (1, 4, 16, 64)
    peers = {"jax": jaxs, "torch": torchs}
    peers = {name: run for name, run in peers.items() if importlib.util.find_spec(name)}
    rows = []
    with one_core(), threadpool_limits(1):
        gflops = peak(repeats)
        print(f"sgemm peak: {gflops:.1f} GFLOP/s on one thread")
        for sizes, batch, n_steps in SHAPES:
            operations = training_operations(sizes) * batch * n_steps
            cases = [("ours", k, ours(sizes, batch, n_steps, k, repeats)) for k in stacks]
            cases.append(("sklearn", 1, sklearns(sizes, batch, n_steps, repeats)))
            cases += [(name, k, run(sizes, batch, n_steps, k, repeats)) for name, run in peers.items() for k in (1, 16)]
            for contender, k, seconds in cases:
                share = operations / seconds / 1e9 / gflops
                shape = "-".join(map(str, sizes))
                rows.append(
                    {
                        "shape": shape,
                        "batch": batch,
                        "contender": contender,
                        "k": k,
                        "ms_per_epoch": round(1e3 * seconds, 4),
                        "share_of_peak": round(share, 4),
                    }
                )
                print(
                    f"{shape:18} batch {batch:4} {contender:8} K={k:<3} {1e3 * seconds:9.3f} ms {share:6.3f}",
                    flush=True,
                )
        for option, cost in cost_of_options(OPTIONS[:5] if arguments.quick else OPTIONS, repeats):
            print(
                f"{', '.join(f'{name}={value!r}' for name, value in option.items()):24} {cost:+7.1%} of a step",
                flush=True,
            )
    for sizes, batch, factor in two_threads(repeats):
        print(f"two threads, {'-'.join(map(str, sizes))}, batch {batch}: {factor:.2f} times one", flush=True)
    seconds, share = whole_search(gflops, 1 if arguments.quick else 5)
    print(f"whole search, digits, 256-256, two threads: {seconds:.2f} s, {share:.3f} of the peak of two cores")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
