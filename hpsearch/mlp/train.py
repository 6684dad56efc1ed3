"""Training: `start` a stack of models, `advance` it by epochs, `take` and `concatenate` models of fits.

A `Fit` is a stack in training, frozen: `advance` returns a new one. Each model runs all its epochs in compiled code
before the next one is touched, so that its weights, moments and average stay in the cache and no Python runs between
minibatches or epochs. A model's bits depend on its recipe, its seed, the order seed and the examples, never on its
company.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.initialisers import initial_stack
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.layers import dropout_threshold
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.outcome import Outcome, diverged
from hpsearch.mlp.predict import CHUNK_HEIGHT, check_inputs, check_rows, padded
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.schedules import SCHEDULES
from hpsearch.mlp.stack import Stack, training_operations
from hpsearch.mlp.steps import mean_loss, train_steps
from hpsearch.mlp.updates import UPDATES, ema_step

Array = NDArray[np.float32]

HISTORY_FIELDS = ("train_loss", "valid_loss", "update_ratio")
EXPLODED = 1e3
"""A loss of this many times the loss at chance, of training or of validation rows (the larger), counts as diverged."""
PIECE_OPERATIONS = 2e9
"""Operations of compiled code between two looks at `should_stop`: some tens of milliseconds."""
ORDER_BYTES = 2**26
"""Memory for the minibatch orders of a block of epochs."""


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

    def __post_init__(self) -> None:
        for name in ("first", "second", "average"):
            shape = getattr(self, name).shape
            if shape != self.stack.weights.shape:
                raise ValueError(
                    f"{name} must have the shape of the weights, {self.stack.weights.shape}, but got {shape}"
                )

    @property
    def n_models(self) -> int:
        return len(self.recipes)

    @property
    def average_stack(self) -> Stack:
        """The same networks with their averaged weights."""
        return replace(self.stack, weights=self.average)


def start(recipes: Sequence[Recipe], seeds: Sequence[int], n_inputs: int, n_outputs: int) -> Fit:
    """Untrained models, one per recipe; the bits of a model's weights depend on its seed alone."""
    if len({recipe.stack_key for recipe in recipes}) != 1:
        raise ValueError("recipes of one stack must have equal layers, batch size, activation, update rule and loss")
    keys = np.array(seeds, dtype=np.uint64)
    sizes = recipes[0].layer_sizes(n_inputs, n_outputs)
    initialisers = [recipe.initialiser for recipe in recipes]
    stack = initial_stack(sizes, recipes[0].activation, initialisers, keys)
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
        stack=replace(fit.stack, weights=fit.stack.weights[index]),
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
        stack=replace(fits[0].stack, weights=np.concatenate([fit.stack.weights for fit in fits])),
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

    Raises:
        ValueError: for examples of another width than the layers', of unequal numbers of rows, or without any weight.
    """
    bench = _Bench(fit, examples)
    results = []
    with one_blas_thread():
        for model in range(fit.n_models):
            one = take(fit, [model])
            trained = one if should_stop() else _advance_model(one, bench, epochs, horizon, should_stop)
            results.append(take(fit, [model]) if trained is None else trained)
    return concatenate(results)


def _check_examples(layer_sizes: tuple[int, ...], examples: Examples) -> None:
    """ValueError for examples that do not fit to each other or to the layers; see `check_inputs`."""
    check_inputs(layer_sizes, examples.inputs)
    n_rows = len(examples.inputs)
    for name, expected in (("targets", (n_rows, layer_sizes[-1])), ("row_weights", (n_rows,))):
        shape = getattr(examples, name).shape
        if shape != expected:
            raise ValueError(
                f"{name} must have the shape {expected} for {n_rows} rows of inputs and layer_sizes={layer_sizes}, "
                f"but got {shape}"
            )
    for name, rows in (("train", examples.train), ("valid", examples.valid)):
        check_rows(name, rows, n_rows)
        if not examples.row_weights[rows].any():
            raise ValueError(f"row_weights must not be 0 on all {name} rows, but are on all {len(rows)}")


class _Bench:
    """What one training thread works with: buffers, so that steps allocate nothing, and the minibatch orders."""

    def __init__(self, fit: Fit, examples: Examples) -> None:
        _check_examples(fit.stack.layer_sizes, examples)
        self.examples = examples
        self.sizes = np.array(fit.stack.layer_sizes)
        sizes, n_weights, recipe = fit.stack.layer_sizes, fit.stack.weights.shape[1], fit.recipes[0]
        activation, loss, update = ACTIVATIONS[fit.stack.activation], LOSSES[recipe.loss], UPDATES[recipe.update]
        self.codes = activation.code, loss.code, update.code
        height = min(recipe.batch_size, len(examples.train))
        widest = max(sizes[1:])
        self.scratch = np.empty(height * (sum(sizes) + sizes[-1] + 1 + 2 * widest), dtype=np.float32)
        self.words = np.empty(-(-height * widest // 8), dtype=np.uint64)
        self.gradient = np.empty(n_weights, dtype=np.float32)
        self.previous = np.empty(n_weights, dtype=np.float32)
        self.running = np.zeros(2)
        self.valid_rows = padded(examples.valid)
        self.valid_targets = examples.targets[examples.valid]
        self.valid_weights = examples.row_weights[examples.valid]
        train_chance = loss.at_chance(examples.targets[examples.train], examples.row_weights[examples.train])
        self.worst_loss = EXPLODED * max(train_chance, loss.at_chance(self.valid_targets, self.valid_weights), 1e-3)
        self.chunk = np.empty(CHUNK_HEIGHT * sum(sizes), dtype=np.float32)
        self.outputs = np.empty((len(examples.valid), sizes[-1]), dtype=np.float32)
        self._orders: tuple[range, NDArray[np.int64]] = range(0), np.empty((0, len(examples.train)), dtype=np.int64)

    def orders(self, epochs: range) -> NDArray[np.int64]:
        """(n_epochs, n_train) row numbers; the models of a stack ask for the same ones in turn."""
        if self._orders[0] != epochs:
            self._orders = epochs, np.stack([epoch_order(self.examples, epoch) for epoch in epochs])
        return self._orders[1]


def _advance_model(fit: Fit, bench: _Bench, epochs: int, horizon: int, should_stop: Callable[[], bool]) -> Fit | None:
    """The fit of one model after `epochs` epochs in all, or fewer if it diverged; None if it was told to stop."""
    if fit.outcomes[0] is not None:
        return fit
    history = [fit.history[0, : fit.epochs[0]]]
    for block in _blocks(int(fit.epochs[0]), epochs, len(bench.examples.train)):
        looked = np.full((len(block), len(HISTORY_FIELDS)), np.nan)
        bad_epoch = _train_block(fit, bench, block, horizon, looked, should_stop)
        if bad_epoch is None:
            return None
        if bad_epoch >= 0:
            history.append(looked[: bad_epoch + 1])
            rate = fit.recipes[0].learning_rate_init
            outcome = diverged(block[bad_epoch] + 1, float(looked[bad_epoch, 0]), rate)
            fit = replace(fit, outcomes=(outcome,))
            break
        history.append(looked)
    curve = np.concatenate(history)
    return replace(fit, epochs=np.array([len(curve)]), history=curve[np.newaxis])


def _train_block(
    fit: Fit, bench: _Bench, block: range, horizon: int, history: NDArray[np.float64], should_stop: Callable[[], bool]
) -> int | None:
    """Train the one model of `fit` in place for a block of epochs and write their `history`.

    Returns the position in the block of the epoch that diverged, −1 if none did, None if it was told to stop.
    """
    recipe, examples = fit.recipes[0], bench.examples
    n_steps = steps_per_epoch(len(examples.train), recipe.batch_size)
    updates = np.arange(block.start * n_steps, block.stop * n_steps)
    rates = SCHEDULES[recipe.schedule](updates / (horizon * n_steps), recipe.learning_rate_init)
    averaging = ema_step(recipe.ema_decay, updates)
    operations = training_operations(fit.stack.layer_sizes) * len(examples.train) / n_steps
    for piece in _pieces(len(updates), operations):
        if should_stop():
            return None
        bad_epoch = train_steps(
            examples.inputs, examples.targets, examples.row_weights, bench.orders(block),
            piece.start, piece.stop, n_steps, bench.sizes, *bench.codes,
            fit.stack.weights[0], bench.gradient, fit.first[0], fit.second[0], fit.average[0], bench.previous,
            rates, averaging, recipe.weight_decay, recipe.beta_1, recipe.beta_2, recipe.epsilon,
            dropout_threshold(recipe.dropout), fit.seeds[0], int(updates[0]),
            bench.valid_rows, bench.valid_targets, bench.valid_weights, bench.worst_loss, bench.running, history,
            bench.scratch, bench.chunk, bench.outputs, bench.words,
        )  # fmt: skip
        if bad_epoch >= 0:
            return bad_epoch
    return -1


def epoch_order(examples: Examples, epoch: int) -> NDArray[np.int64]:
    """The training rows in the order of an epoch: a function of (order seed, epoch)."""
    generator = np.random.Generator(np.random.Philox(key=[examples.order_seed, epoch]))
    return generator.permutation(examples.train)


def _blocks(first: int, last: int, n_rows: int) -> Iterator[range]:
    """The epochs from `first` to `last` in blocks whose minibatch orders fit into `ORDER_BYTES`."""
    length = max(1, ORDER_BYTES // (8 * n_rows))
    for start in range(first, last, length):
        yield range(start, min(start + length, last))


def _pieces(n_steps: int, operations: float) -> Iterator[range]:
    """All steps in pieces of bounded work; `operations` of one step."""
    length = max(1, int(PIECE_OPERATIONS / operations))
    for start in range(0, n_steps, length):
        yield range(start, min(start + length, n_steps))


def validation_loss(fit: Fit, examples: Examples) -> NDArray[np.float64]:
    """The models' mean losses on the validation rows, of their averaged weights, (n_models,).

    Raises ValueError as `advance` does.
    """
    bench = _Bench(fit, examples)
    activation, loss, _ = bench.codes
    with one_blas_thread():
        losses = [
            mean_loss(
                examples.inputs,
                bench.valid_rows,
                bench.sizes,
                activation,
                loss,
                weights,
                bench.valid_targets,
                bench.valid_weights,
                bench.chunk,
                bench.outputs,
            )  # fmt: skip
            for weights in fit.average
        ]
    return np.array(losses)
