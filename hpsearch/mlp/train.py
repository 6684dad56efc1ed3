"""Training: `start` a stack of models, `advance` it by epochs, `take` and `concatenate` models of fits.

A `Fit` is a stack in training, frozen: `advance` returns a new one. Each model runs whole epochs in compiled code
before the next one is touched, so that its weights, moments and average stay in the cache and no Python runs between
minibatches. A model's bits depend on its recipe, its seed, the order seed and the examples, never on its company.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.initialisers import initial_stack
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.layers import dropout_threshold
from hpsearch.mlp.losses import LOSSES, loss_and_gradient
from hpsearch.mlp.outcome import Outcome, diverged
from hpsearch.mlp.predict import last_layers
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.schedules import SCHEDULES
from hpsearch.mlp.stack import Stack, training_operations
from hpsearch.mlp.steps import train_steps
from hpsearch.mlp.updates import ema_step

Array = NDArray[np.float32]

HISTORY_FIELDS = ("train_loss", "valid_loss", "update_ratio")
EXPLODED = 1e3
"""A training or validation loss of this many times the loss at chance counts as diverged."""
PIECE_OPERATIONS = 2e9
"""Operations of compiled code between two looks at `should_stop`: some tens of milliseconds."""


@dataclass(frozen=True)
class Examples:
    """What is learned from. Arrays are read only and C-contiguous.

    Attributes:
        inputs: (n_rows, n_inputs) float32.
        targets: (n_rows, n_outputs) float32, one-hot or standardised.
        row_weights: (n_rows,) float32, mean one over the training rows.
        train, valid: int64 row numbers; the validation rows are only watched.
        order_seed: of the minibatch order, which is the same for all models.
    """

    inputs: Array
    targets: Array
    row_weights: Array
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    order_seed: int


@dataclass(frozen=True)
class Fit:
    """A stack of models in training, with everything that is needed to go on bit by bit.

    Attributes:
        recipes: one per model, of equal `stack_key`.
        seeds: (n_models,) uint64.
        stack: the raw weights.
        first, second: (n_models, n_weights) float32, the moments of the update rule.
        average: (n_models, n_weights) float32, the moving average of the weights (EMA).
        epochs: (n_models,) int64, epochs trained.
        history: (n_models, n_epochs, 3) float64, NaN where a model was not trained: see `HISTORY_FIELDS`. Training
            loss: mean over the epoch's minibatches, dropout on. Validation loss: of the average, after the epoch.
            Update ratio: ‖Δw‖ / ‖w‖ of the epoch's last update (a healthy one is near 1e-3).
        outcomes: None while a model is alive.
    """

    recipes: tuple[Recipe, ...]
    seeds: NDArray[np.uint64]
    stack: Stack
    first: Array
    second: Array
    average: Array
    epochs: NDArray[np.int64]
    history: NDArray[np.float64]
    outcomes: tuple[Outcome | None, ...]

    @property
    def n_models(self) -> int:
        return len(self.recipes)

    @property
    def average_stack(self) -> Stack:
        """The same networks with their averaged weights."""
        return Stack(self.stack.layer_sizes, self.average)


def start(recipes: Sequence[Recipe], seeds: Sequence[int], n_inputs: int, n_outputs: int) -> Fit:
    """Untrained models, one per recipe; the bits of a model's weights depend on its seed alone."""
    if len({recipe.stack_key for recipe in recipes}) != 1:
        raise ValueError("recipes of one stack must have equal layers, batch size, activation, update rule and loss")
    keys = np.array(seeds, dtype=np.uint64)
    sizes = recipes[0].layer_sizes(n_inputs, n_outputs)
    stack = initial_stack(sizes, [recipe.initialiser for recipe in recipes], keys)
    return Fit(
        recipes=tuple(recipes),
        seeds=keys,
        stack=stack,
        first=np.zeros_like(stack.weights),
        second=np.zeros_like(stack.weights),
        average=stack.weights.copy(),
        epochs=np.zeros(len(recipes), dtype=np.int64),
        history=np.empty((len(recipes), 0, len(HISTORY_FIELDS))),
        outcomes=(None,) * len(recipes),
    )


def take(fit: Fit, models: Sequence[int]) -> Fit:
    """The fit of some of the models, in the given order."""
    index = np.array(models, dtype=np.int64)
    longest = int(fit.epochs[index].max(initial=0))
    return Fit(
        recipes=tuple(fit.recipes[model] for model in models),
        seeds=fit.seeds[index],
        stack=Stack(fit.stack.layer_sizes, fit.stack.weights[index]),
        first=fit.first[index],
        second=fit.second[index],
        average=fit.average[index],
        epochs=fit.epochs[index],
        history=fit.history[index, :longest],
        outcomes=tuple(fit.outcomes[model] for model in models),
    )


def concatenate(fits: Sequence[Fit]) -> Fit:
    """One fit of all models of several, whose recipes must have equal stack keys."""
    if len({(fit.recipes[0].stack_key, fit.stack.layer_sizes) for fit in fits}) != 1:
        raise ValueError("only fits of equal layers, batch size, activation, update rule and loss can be concatenated")
    longest = max(fit.history.shape[1] for fit in fits)
    return Fit(
        recipes=tuple(recipe for fit in fits for recipe in fit.recipes),
        seeds=np.concatenate([fit.seeds for fit in fits]),
        stack=Stack(fits[0].stack.layer_sizes, np.concatenate([fit.stack.weights for fit in fits])),
        first=np.concatenate([fit.first for fit in fits]),
        second=np.concatenate([fit.second for fit in fits]),
        average=np.concatenate([fit.average for fit in fits]),
        epochs=np.concatenate([fit.epochs for fit in fits]),
        history=np.concatenate([_padded(fit.history, longest) for fit in fits]),
        outcomes=tuple(outcome for fit in fits for outcome in fit.outcomes),
    )


def _padded(history: NDArray[np.float64], n_epochs: int) -> NDArray[np.float64]:
    missing = n_epochs - history.shape[1]
    return np.pad(history, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)


def steps_per_epoch(n_rows: int, batch_size: int) -> int:
    """⌈n_rows / batch_size⌉ minibatches, of equal size to within one row, so that no row is left out."""
    return -(-n_rows // batch_size)


def advance(
    fit: Fit, examples: Examples, epochs: int, horizon: int, should_stop: Callable[[], bool] = lambda: False
) -> Fit:
    """Train every live model until it has `epochs` epochs in all.

    Args:
        epochs: the total to reach; models that have it already are left as they are.
        horizon: epochs over which the schedules run.
        should_stop: asked every few tens of milliseconds; once it says True, models in work are left as they were.

    Returns:
        The new fit. A model that did not reach `epochs` has either diverged (see its outcome) or was not finished.
    """
    scratch = _Scratch.of(fit, examples)
    results = []
    with one_blas_thread():
        for model in range(fit.n_models):
            one = take(fit, [model])
            trained = one if should_stop() else _advance_model(one, examples, epochs, horizon, scratch, should_stop)
            results.append(take(fit, [model]) if trained is None else trained)
    return concatenate(results)


@dataclass(frozen=True)
class _Scratch:
    """Buffers of one training thread: steps allocate nothing."""

    values: Array
    noise: NDArray[np.uint64]
    gradient: Array
    previous: Array

    @classmethod
    def of(cls, fit: Fit, examples: Examples) -> "_Scratch":
        sizes = fit.stack.layer_sizes
        height = min(fit.recipes[0].batch_size, len(examples.train))
        widest = max(sizes[1:])
        n_values = height * (sum(sizes) + sizes[-1] + 1 + 2 * widest)
        n_weights = fit.stack.weights.shape[1]
        return cls(
            values=np.empty(n_values, dtype=np.float32),
            noise=np.empty(-(-height * widest // 8), dtype=np.uint64),
            gradient=np.empty(n_weights, dtype=np.float32),
            previous=np.empty(n_weights, dtype=np.float32),
        )


def _advance_model(
    fit: Fit, examples: Examples, epochs: int, horizon: int, scratch: _Scratch, should_stop: Callable[[], bool]
) -> Fit | None:
    """The fit of one model after `epochs` epochs in all, or fewer if it diverged; None if it was told to stop."""
    recipe, first_epoch = fit.recipes[0], int(fit.epochs[0])
    worst_loss = EXPLODED * max(LOSSES[recipe.loss].at_chance(examples.targets[examples.train]), 1e-3)
    history = []
    for epoch in range(first_epoch, epochs if fit.outcomes[0] is None else first_epoch):
        train_loss = _train_epoch(fit, examples, epoch, horizon, scratch, should_stop)
        if train_loss is None:
            return None
        ratio = _update_ratio(scratch.previous, fit.stack.weights[0])
        finite = bool(np.isfinite(fit.stack.weights).all()) and np.isfinite(train_loss)
        valid_loss = float(validation_loss(fit, examples)[0]) if finite else np.nan
        history.append((train_loss, valid_loss, ratio))
        # written so that NaN counts as too much
        if not (train_loss <= worst_loss and valid_loss <= worst_loss):
            fit = replace(fit, outcomes=(diverged(epoch + 1, train_loss, recipe.learning_rate_init),))
            break
    new = np.array(history).reshape(1, len(history), len(HISTORY_FIELDS))
    return replace(fit, epochs=fit.epochs + len(history), history=np.concatenate([fit.history, new], axis=1))


def _update_ratio(before: Array, after: Array) -> float:
    """‖after − before‖ / ‖before‖, NaN or infinite for weights that are."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.linalg.norm(after - before)) / max(float(np.linalg.norm(before)), 1e-30)


def _train_epoch(
    fit: Fit, examples: Examples, epoch: int, horizon: int, scratch: _Scratch, should_stop: Callable[[], bool]
) -> float | None:
    """Train the one model of `fit` in place for one epoch: its mean training loss, or None if it was told to stop.

    `scratch.previous` then holds the weights before the epoch's last update.
    """
    recipe = fit.recipes[0]
    n_steps = steps_per_epoch(len(examples.train), recipe.batch_size)
    order = epoch_order(examples, epoch)
    updates = epoch * n_steps + np.arange(n_steps)
    rates = SCHEDULES[recipe.schedule](updates / (horizon * n_steps), recipe.learning_rate_init)
    total = 0.0
    for first_step, last_step in _pieces(fit.stack.layer_sizes, len(order), n_steps):
        if should_stop():
            return None
        if last_step == n_steps:
            scratch.previous[:] = fit.stack.weights[0]
        total += train_steps(
            examples.inputs, examples.targets, examples.row_weights, order, first_step, last_step, n_steps,
            np.array(fit.stack.layer_sizes), LOSSES[recipe.loss].code,
            fit.stack.weights[0], scratch.gradient, fit.first[0], fit.second[0], fit.average[0],
            rates, ema_step(recipe.ema_decay, updates), recipe.weight_decay, recipe.beta_1, recipe.beta_2,
            recipe.epsilon, dropout_threshold(recipe.dropout), fit.seeds[0], int(updates[0]),
            scratch.values, scratch.noise,
        )  # fmt: skip
    return float(total / np.sum(examples.row_weights[order], dtype=np.float64))


def epoch_order(examples: Examples, epoch: int) -> NDArray[np.int64]:
    """The training rows in the order of an epoch: a function of (order seed, epoch)."""
    generator = np.random.Generator(np.random.Philox(key=[examples.order_seed, epoch]))
    return generator.permutation(examples.train)


def _pieces(layer_sizes: tuple[int, ...], n_rows: int, n_steps: int) -> Iterator[tuple[int, int]]:
    """Cut an epoch's steps into pieces of bounded work; the last step stands alone, as its update is measured."""
    operations = training_operations(layer_sizes) * n_rows / n_steps
    height = max(1, int(PIECE_OPERATIONS / operations))
    for first_step in range(0, n_steps - 1, height):
        yield first_step, min(first_step + height, n_steps - 1)
    yield n_steps - 1, n_steps


def validation_loss(fit: Fit, examples: Examples) -> NDArray[np.float64]:
    """The models' mean losses on the validation rows, of their averaged weights, (n_models,)."""
    targets, row_weights = examples.targets[examples.valid], examples.row_weights[examples.valid]
    code, no_bias = LOSSES[fit.recipes[0].loss].code, np.zeros(targets.shape[1], dtype=np.float32)
    layers = last_layers(fit.average_stack, examples.inputs, examples.valid)
    totals = [loss_and_gradient(code, layer, no_bias, targets, row_weights) for layer in layers]
    return np.array(totals) / np.sum(row_weights, dtype=np.float64)
