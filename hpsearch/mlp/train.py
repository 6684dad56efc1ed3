"""Training: `start` a stack of models, `advance` it by epochs, `take` and `concatenate` models of fits.

A `Fit` is a stack in training, frozen: `advance` returns a new one. Each model runs all its epochs in compiled code
before the next one is touched, so that its weights, moments and average stay in the cache and no Python runs between
minibatches or epochs. A model's bits depend on its recipe, its seed, the order seed and the examples, never on its
company.

Memory: weights, one moment (SGD with momentum) to three (AMSGrad; AdamW has two), EMA, and a gradient per worker, and
for one minibatch three numbers per unit. What options add, a recipe says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.averages import ema_step, swa_after
from hpsearch.mlp.epochs import FRESH_WATCH, N_WATCHED, Look, has_diverged, mean_loss, train_steps
from hpsearch.mlp.initialisers import Start, initial_stack
from hpsearch.mlp.kernels import aligned, one_blas_thread, read_only
from hpsearch.mlp.layers import dropout_threshold, products_size
from hpsearch.mlp.lbfgs import train_lbfgs
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.outcome import Outcome, diverged, ran_out_of_patience
from hpsearch.mlp.penalties import prune
from hpsearch.mlp.predict import CHUNK_HEIGHT, check_inputs, check_rows, fused, padded, scratch_size
from hpsearch.mlp.recipe import LBFGS, Recipe
from hpsearch.mlp.stack import Architecture, Stack, training_operations
from hpsearch.mlp.steps import NO_UPDATE, Data, Scratch, Settings, State
from hpsearch.mlp.updates import UPDATES

Array = NDArray[np.float32]

HISTORY_FIELDS = ("train_loss", "valid_loss", "update_ratio")
EXPLODED = 1e3
"""A loss of this many times the loss at chance, of training or of validation rows (the larger), counts as diverged."""
PIECE_OPERATIONS = 2e9
"""Operations of compiled code between two looks at `should_stop`: some tens of milliseconds."""
ORDER_BYTES = 2**26
"""Memory for the minibatch orders of a block of epochs."""
CALIBRATION_ROWS = 1024
"""Training rows from which averaged weights get their statistics for batch normalisation, the same at all epochs."""
CALIBRATION = 2**32
"""The epoch in whose order they are taken: none that is trained."""


@dataclass(frozen=True)
class Examples:
    """What is learned from. Arrays are read only and C-contiguous.

    Attributes:
        inputs: (n_rows, n_inputs) float32.
        targets: (n_rows, n_outputs) float32, one-hot or standardised.
        row_weights: (n_rows,) float32, mean one over the training rows.
        train, valid: int64 row numbers; the validation rows are only watched, and there may be none.
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
        moments: (n_models, n_moments, n_weights) float32, the state of the update rule.
        average: (n_models, n_weights) float32, the moving average of the weights (EMA).
        swa: (n_models, 1, n_weights) float32, their uniform average over the last epochs, NaN before there are any; 0
            instead of 1 if it is off.
        best: (n_models, 1, n_weights) float32, the average of the best epoch so far; 0 instead of 1 without patience.
        ring: (n_models, n_checkpoints, n_weights) float32, raw weights; a new checkpoint takes the oldest one's place.
        watch: (n_models, 5) float64, see `epochs`.
        epochs, updates: (n_models,) int64, epochs and updates done.
        history: (n_models, n_epochs, 3) float64, NaN where a model was not trained: see `HISTORY_FIELDS`. Training
            loss: mean over the epoch's minibatches, noise on. Validation loss: of the average, after the epoch; NaN if
            no rows are held out. Update ratio: ‖Δw‖ / ‖w‖ of the epoch's last update (a healthy one is near 1e-3).
        outcomes: None while a model is alive.
    """

    recipes: tuple[Recipe, ...]
    seeds: NDArray[np.uint64]
    stack: Stack
    moments: Array
    average: Array
    swa: Array
    best: Array
    ring: Array
    watch: NDArray[np.float64]
    epochs: NDArray[np.int64]
    updates: NDArray[np.int64]
    history: NDArray[np.float64]
    outcomes: tuple[Outcome | None, ...]

    def __post_init__(self) -> None:
        n_models, n_weights = self.stack.weights.shape
        recipe = self.recipes[0]
        expected = {
            "moments": (n_models, recipe.n_moments, n_weights),
            "average": (n_models, n_weights),
            "swa": (n_models, int(recipe.swa_share > 0), n_weights),
            "best": (n_models, int(recipe.patience > 0), n_weights),
            "ring": (n_models, recipe.n_checkpoints, n_weights),
            "watch": (n_models, N_WATCHED),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, but got {getattr(self, name).shape}")

    @property
    def n_models(self) -> int:
        return len(self.recipes)

    def stack_of(self, weights: str) -> Stack:
        """The networks for prediction, with one kind of weights, see `WEIGHTS`; statistics fused, small weights pruned.

        Raises:
            ValueError: for weights that these recipes do not keep, or that there are none of yet.
        """
        self.check_kept(weights)
        if weights == "swa" and np.isnan(self.swa).all(axis=(1, 2)).any():
            raise ValueError("weights='swa' need an epoch in the last share of the horizon: there was none yet")
        kept = {"raw": self.stack.weights, "ema": self.average, "swa": self.swa, "best": self.best}[weights]
        return self._ready(kept if kept.ndim == 2 else kept[:, 0])

    def check_kept(self, weights: str) -> None:
        """ValueError for a kind of weights that these recipes do not keep."""
        kept = ("raw", "ema", *(name for name in ("swa", "best") if getattr(self, name).shape[1]))
        if weights not in kept:
            raise ValueError(f"weights must be one of {', '.join(kept)} for these recipes, but got {weights!r}")

    def checkpoints(self) -> list[Stack]:
        """The ring of checkpoints as networks for prediction, oldest first; fewer if there were not so many yet.

        Raises:
            ValueError: for models of different age or pace, whose rings are turned differently.
        """
        paces = [recipe.checkpoint_every for recipe in self.recipes]
        if len(set(zip(self.epochs.tolist(), paces, strict=True))) > 1:
            raise ValueError(
                "models must have trained equally long and kept checkpoints equally often, but got "
                f"epochs={self.epochs.tolist()} and checkpoint_every={paces}"
            )
        taken, size = int(self.epochs[0]) // paces[0], self.ring.shape[1]
        return [self._ready(self.ring[:, number % size]) for number in range(max(0, taken - size), taken)]

    def _ready(self, weights: Array) -> Stack:
        stack = fused(replace(self.stack, weights=weights))
        shares = [recipe.prune for recipe in self.recipes]
        return _pruned(stack, shares) if any(shares) else stack


ARRAYS = ("seeds", "moments", "average", "swa", "best", "ring", "watch", "epochs", "updates")
"""Fields of a fit with one entry per model; weights and history besides."""


def start(
    recipes: Sequence[Recipe], seeds: Sequence[int], n_inputs: int, n_outputs: int, n_numeric: int | None = None
) -> Fit:
    """Untrained models, one per recipe; the bits of a model's weights depend on its seed alone.

    The first `n_numeric` inputs are numbers, of which a recipe may make waves; None: all.

    Raises:
        ValueError: for recipes that cannot share a stack, images of another size than the inputs, or n_numeric beyond
            0 … n_inputs where a recipe makes waves.
    """
    if len({recipe.stack_key for recipe in recipes}) != 1:
        raise ValueError(
            "recipes of one stack must have equal layers, batch size, activation, update rule, loss and kept weights"
        )
    for recipe in recipes:
        recipe.augmentation.strengths(n_inputs)
    first, keys = recipes[0], np.array(seeds, dtype=np.uint64)
    starts = [
        Start(recipe.initialiser, recipe.initial_bias, recipe.negative_slope, recipe.frequency_scale)
        for recipe in recipes
    ]
    with one_blas_thread():
        stack = initial_stack(first.architecture(n_inputs, n_outputs, n_numeric), starts, keys)
    n_models, n_weights = stack.weights.shape
    empty = np.zeros((n_models, 0, n_weights), dtype=np.float32)
    copies = stack.weights[:, np.newaxis]
    return Fit(
        recipes=tuple(recipes),
        seeds=keys,
        stack=stack,
        moments=np.zeros((n_models, first.n_moments, n_weights), dtype=np.float32),
        average=stack.weights.copy(),
        swa=np.full_like(copies, np.nan) if first.swa_share > 0 else empty,
        best=copies.copy() if first.patience > 0 else empty,
        ring=np.repeat(copies, first.n_checkpoints, axis=1),
        watch=np.tile(FRESH_WATCH, (n_models, 1)),
        epochs=np.zeros(n_models, dtype=np.int64),
        updates=np.zeros(n_models, dtype=np.int64),
        history=np.empty((n_models, 0, len(HISTORY_FIELDS))),
        outcomes=(None,) * n_models,
    )


def take(fit: Fit, models: Sequence[int]) -> Fit:
    """The fit of some of the models, in the given order."""
    index = np.array(models, dtype=np.int64)
    longest = int(fit.epochs[index].max(initial=0))
    return replace(
        fit,
        recipes=tuple(fit.recipes[model] for model in models),
        stack=replace(fit.stack, weights=fit.stack.weights[index]),
        history=fit.history[index, :longest],
        outcomes=tuple(fit.outcomes[model] for model in models),
        **{name: getattr(fit, name)[index] for name in ARRAYS},
    )


def concatenate(fits: Sequence[Fit]) -> Fit:
    """One fit of all models of several, whose recipes must have equal stack keys."""
    if len({(fit.recipes[0].stack_key, fit.stack.architecture) for fit in fits}) != 1:
        raise ValueError("only fits of equal layers, batch size, activation, update rule and loss can be concatenated")
    longest = max(fit.history.shape[1] for fit in fits)
    return replace(
        fits[0],
        recipes=tuple(recipe for fit in fits for recipe in fit.recipes),
        stack=replace(fits[0].stack, weights=np.concatenate([fit.stack.weights for fit in fits])),
        history=np.concatenate([_padded(fit.history, longest) for fit in fits]),
        outcomes=tuple(outcome for fit in fits for outcome in fit.outcomes),
        **{name: np.concatenate([getattr(fit, name) for fit in fits]) for name in ARRAYS},
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
    bench = _Bench(fit, examples, fit.recipes[0].batch_height(len(examples.train)))
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
        if not np.isfinite(getattr(examples, name)).all():
            raise ValueError(f"{name} must hold finite numbers, but hold NaN or infinite ones")
    if (examples.row_weights < 0).any():
        raise ValueError(f"row_weights must be ≥ 0, but got {examples.row_weights.min()}")
    if not np.isfinite(examples.inputs).all():
        raise ValueError("inputs must hold finite numbers, but hold NaN or infinite ones")
    for name, rows in (("train", examples.train), ("valid", examples.valid)):
        check_rows(name, rows, n_rows)
        if not examples.row_weights[rows].any() and (len(rows) or name == "train"):
            raise ValueError(f"row_weights must not be 0 on all {name} rows, but are on all {len(rows)}")


class _Bench:
    """What one training thread works with: buffers, so that steps allocate nothing, and the minibatch orders.

    `height`: rows of the largest minibatch.
    """

    def __init__(self, fit: Fit, examples: Examples, height: int) -> None:
        architecture = fit.stack.architecture
        _check_examples(architecture.layer_sizes, examples)
        self.examples = examples
        self.data = Data(*map(read_only, (examples.inputs, examples.targets, examples.row_weights)))
        self.layout = architecture.layout
        self.state = _state(fit)
        self.running = np.zeros(2)
        self.scratch = _scratch(fit, min(height, len(examples.train)))
        self.look = _look(architecture, examples)
        # by the loss's own number, in which models of one stack may differ
        self._worst_losses: dict[float, float] = {}
        self._orders: tuple[range, NDArray[np.int64]] = range(0), np.empty((0, len(examples.train)), dtype=np.int64)

    def orders(self, epochs: range) -> NDArray[np.int64]:
        """(n_epochs, n_train) row numbers; the models of a stack ask for the same ones in turn."""
        if self._orders[0] != epochs:
            self._orders = epochs, np.stack([epoch_order(self.examples, epoch) for epoch in epochs])
        return self._orders[1]

    def worst_loss(self, recipe: Recipe) -> float:
        """The loss beyond which a model has diverged: many times that at chance, of training or validation rows."""
        loss, number = LOSSES[recipe.loss], recipe.loss_parameter
        if number not in self._worst_losses:
            targets, weights = self.examples.targets, self.examples.row_weights
            parts = [rows for rows in (self.examples.train, self.examples.valid) if len(rows)]
            chances = [loss.at_chance(targets[rows], weights[rows], number) for rows in parts]
            self._worst_losses[number] = EXPLODED * max(*chances, 1e-3)
        return self._worst_losses[number]

    def load(self, fit: Fit) -> None:
        """Copy the one model of `fit` to where it is trained."""
        for place, array in self._places(fit):
            place[...] = array

    def store(self, fit: Fit) -> None:
        """Copy the model back into the arrays of `fit`."""
        for place, array in self._places(fit):
            array[...] = place

    def _places(self, fit: Fit) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Views of the bench's arrays and of those of the one model of `fit`, of equal shapes."""
        state, n_weights = self.state, self.layout.n_weights
        for place, array in (
            (state.weights, fit.stack.weights),
            (state.moments, fit.moments),
            (state.average, fit.average),
            (state.swa, fit.swa),
            (state.best, fit.best),
            (state.ring, fit.ring),
        ):
            own = array[0].reshape(-1, n_weights)
            yield place.reshape(-1, state.weights.size)[:, :n_weights], own
        yield state.watch, fit.watch[0]


def _state(fit: Fit) -> State:
    """Room for one model like those of `fit`, in rows of a multiple of 16 numbers, so that all are aligned."""
    width = -(-fit.stack.architecture.n_weights // 16) * 16
    return State(
        weights=aligned(width),
        gradient=aligned(width),
        moments=aligned(fit.moments.shape[1], width),
        average=aligned(width),
        swa=aligned(fit.swa.shape[1] * width),
        best=aligned(fit.best.shape[1] * width),
        ring=aligned(fit.ring.shape[1], width),
        watch=np.empty(N_WATCHED),
    )


def _scratch(fit: Fit, height: int) -> Scratch:
    """Buffers for steps on at most `height` rows; where an option of all recipes is off, its buffer is empty."""
    architecture, recipes = fit.stack.architecture, fit.recipes
    sizes, columns = architecture.units, architecture.columns
    widths = (sizes[0], *columns)
    starts = np.cumsum((0, *widths))
    connects = any(recipe.drop_connect > 0 for recipe in recipes)
    bytes_per_unit = 2 if architecture.activation == "rrelu" else 1
    shared = (
        max(height, *(n_in * n_columns for n_in, n_columns in zip(sizes, columns, strict=False)))
        if connects
        else height
    )
    noise_bytes = (height * sizes[0], *(bytes_per_unit * height * size for size in sizes[1:-1]), shared)
    word_starts = np.cumsum((0, *(-(-n_bytes // 8) for n_bytes in noise_bytes)))
    widest = max(*columns, architecture.n_waves)
    return Scratch(
        height=height,
        widest=widest,
        starts=starts[:-1],
        word_starts=word_starts[:-1],
        targets=aligned(height * sizes[-1]),
        row_weights=aligned(height),
        values=aligned(height * starts[-1]),
        branches=aligned(height * starts[-1] if architecture.residual else 0),
        kept=aligned(height * starts[-1]),
        normed=aligned(height * starts[-1] if architecture.batch_norm else 0),
        inverse=aligned(starts[-1]),
        connected=aligned(architecture.layout.n_matrix if connects else 0),
        deltas=aligned(3 * height * widest),
        norms=aligned(widest),
        spare=aligned(sizes[0] + sizes[-1]),
        products=aligned(max(products_size(height, *shape) for shape in zip(sizes, columns, strict=False))),
        words=np.empty(word_starts[-1], dtype=np.uint64),
    )


def _look(architecture: Architecture, examples: Examples) -> Look:
    """What the looks at the models of a fit work with."""
    n_calibrating = min(CALIBRATION_ROWS, len(examples.train)) if architecture.batch_norm else 0
    width = -(-architecture.n_weights // 16) * 16
    return Look(
        rows=read_only(padded(examples.valid)),
        targets=read_only(examples.targets[examples.valid]),
        row_weights=read_only(examples.row_weights[examples.valid]),
        calibration=read_only(epoch_order(examples, CALIBRATION)[:n_calibrating]),
        previous=aligned(width),
        fused=aligned(width),
        chunk=np.empty(scratch_size(architecture, CHUNK_HEIGHT), dtype=np.float32),
        outputs=np.empty((len(examples.valid), architecture.layer_sizes[-1]), dtype=np.float32),
        layers=np.empty(3 * n_calibrating * max(architecture.units[0], *architecture.columns), dtype=np.float32),
    )


def settings_of(recipe: Recipe, seed: np.uint64, horizon: int, worst_loss: float = np.inf) -> Settings:
    """The recipe of a model as compiled code sees it."""
    l1, l2 = recipe.penalties
    a, b = recipe.coefficients
    return Settings(
        loss=LOSSES[recipe.loss].code,
        loss_parameter=recipe.loss_parameter,
        label_smoothing=recipe.label_smoothing,
        input_threshold=dropout_threshold(recipe.input_dropout),
        threshold=dropout_threshold(recipe.dropout),
        connection_threshold=dropout_threshold(recipe.drop_connect),
        depth_threshold=dropout_threshold(recipe.stochastic_depth),
        update=NO_UPDATE if recipe.update == LBFGS else UPDATES[recipe.update].code,
        a=a,
        b=b,
        epsilon=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        l1=l1,
        l2=l2,
        max_norm=recipe.max_norm,
        clip_value=recipe.clip_value,
        clip_norm=recipe.clip_norm,
        swa_after=swa_after(recipe.swa_share, horizon),
        checkpoint_every=recipe.checkpoint_every,
        patience=recipe.patience,
        plateau_patience=recipe.plateau_patience if recipe.schedule == "plateau" else -1,
        plateau_drop=recipe.drop,
        augments=int(recipe.augmentation.is_on),
        worst_loss=worst_loss,
        seed=seed,
    )


def _advance_model(fit: Fit, bench: _Bench, epochs: int, horizon: int, should_stop: Callable[[], bool]) -> Fit | None:
    """The fit of one model after `epochs` epochs in all, or fewer if it ended before; None if it was told to stop."""
    if fit.outcomes[0] is not None:
        return fit
    bench.load(fit)
    history = [fit.history[0, : fit.epochs[0]]]
    for block in _blocks(fit, epochs, len(bench.examples.train)):
        looked = np.full((len(block), len(HISTORY_FIELDS)), np.nan)
        last_epoch = _train_block(fit, bench, block, horizon, looked, should_stop)
        if last_epoch is None:
            return None
        if last_epoch >= 0:
            history.append(looked[: last_epoch + 1])
            fit = replace(fit, outcomes=(_outcome(fit, bench, block[last_epoch] + 1, looked[last_epoch]),))
            break
        history.append(looked)
    bench.store(fit)
    curve = np.concatenate(history)
    recipe, n_train = fit.recipes[0], len(bench.examples.train)
    n_steps = 1 if recipe.update == LBFGS else steps_per_epoch(n_train, recipe.batch_size)
    n_updates = (len(curve) - fit.epochs) * n_steps
    return replace(fit, epochs=np.array([len(curve)]), updates=fit.updates + n_updates, history=curve[np.newaxis])


def _outcome(fit: Fit, bench: _Bench, epoch: int, looked: NDArray[np.float64]) -> Outcome:
    """Why the one model of `fit` ended in this epoch."""
    if has_diverged(looked, bench.worst_loss(fit.recipes[0]), len(bench.examples.valid) > 0):
        recipe = fit.recipes[0]
        return diverged(epoch, float(looked[0]), None if recipe.update == LBFGS else recipe.learning_rate_init)
    return ran_out_of_patience(epoch, int(bench.state.watch[1]))


def _train_block(
    fit: Fit, bench: _Bench, block: range, horizon: int, history: NDArray[np.float64], should_stop: Callable[[], bool]
) -> int | None:
    """Train the model on the bench, that of `fit`, for a block of epochs and write their `history`.

    Returns the position in the block of the model's last epoch, −1 if it goes on, None if it was told to stop.
    """
    recipe, n_train = fit.recipes[0], len(bench.examples.train)
    settings = settings_of(recipe, fit.seeds[0], horizon, bench.worst_loss(recipe))
    if recipe.update == LBFGS:
        return train_lbfgs(
            bench.layout, settings, bench.data, bench.examples.train, bench.state, bench.scratch, bench.look,
            block.start, history, should_stop,
        )  # fmt: skip
    n_steps = steps_per_epoch(n_train, recipe.batch_size)
    steps = np.arange(block.start * n_steps, block.stop * n_steps)
    first_update = int(fit.updates[0]) + (block.start - int(fit.epochs[0])) * n_steps
    rates = recipe.rates(steps / (horizon * n_steps))
    averaging = ema_step(recipe.ema_decay, first_update + np.arange(len(steps)))
    strengths = recipe.augmentation.strengths(fit.stack.layer_sizes[0])
    operations = training_operations(fit.stack.layer_sizes, fit.stack.architecture.n_waves) * n_train / n_steps
    for piece in _pieces(len(steps), operations):
        if should_stop():
            return None
        last_epoch = train_steps(
            bench.layout, settings, strengths, bench.data, bench.orders(block), bench.state, bench.scratch, bench.look,
            block.start, first_update, piece.start, piece.stop, n_steps, rates, averaging, bench.running, history,
        )  # fmt: skip
        if last_epoch >= 0:
            return last_epoch
    return -1


def _pruned(stack: Stack, shares: Sequence[float]) -> Stack:
    """The stack with the smallest entries of each matrix set to zero, a share for each model."""
    pruned = replace(stack, weights=stack.weights.copy())
    for matrices in pruned.matrices():
        for matrix, share in zip(matrices, shares, strict=True):
            matrix[...] = prune(matrix.reshape(-1), share).reshape(matrix.shape)
    return pruned


def epoch_order(examples: Examples, epoch: int) -> NDArray[np.int64]:
    """The training rows in the order of an epoch: a function of (order seed, epoch)."""
    generator = np.random.Generator(np.random.Philox(key=np.array([examples.order_seed, epoch], dtype=np.uint64)))
    return generator.permutation(examples.train)


def _blocks(fit: Fit, last: int, n_rows: int) -> Iterator[range]:
    """The epochs up to `last` of the one model of `fit`, in blocks whose minibatch orders fit into `ORDER_BYTES`.

    L-BFGS has no orders, and would lose its memory between blocks: it has one.
    """
    length = max(1, last if fit.recipes[0].update == LBFGS else ORDER_BYTES // (8 * n_rows))
    for start in range(int(fit.epochs[0]), last, length):
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
    bench = _Bench(fit, examples, height=1)
    with one_blas_thread():
        losses = [
            mean_loss(bench.layout, settings_of(recipe, seed, 1), bench.data, weights, bench.look)
            for recipe, seed, weights in zip(fit.recipes, fit.seeds, fit.average, strict=True)
        ]
    return np.array(losses)
