"""The gradient check: is what we call the gradient the derivative of what we call the loss?

The analytic gradient of a float64 twin of the recipe (`naive.gradient_naive`) is compared with centred differences of
its own loss, entry by entry, as in the CS231n notes; then the gradient that training uses, compiled and of float32,
with that of the twin.

    numeric = (L(w + h) − L(w − h)) / 2h        h = ε^(1/3) · max(1, |w|), 6e-6 in float64
    relative error = |analytic − numeric| / max(|analytic|, |numeric|)
    norm ratio = ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖)

The step balances two errors: the difference quotient leaves out terms of the order h², and the rounding of the two
losses, of the order ε · L, is divided by h; their sum is least near h = ε^(1/3). What that rounding alone can explain,
|analytic − numeric| ≤ 4 ε · L / h, about 1e-10 of the loss, counts as no error: where a derivative is 0 or next to it,
the relative error would be one of rounding. A step over a kink (a ReLU's 0, another winner of a maxout, a hinge, an
error's or a weight's change of sign) has no derivative to be compared with: such entries are told, and not counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hpsearch.mlp.augmentation import BOUNDS as AUGMENTATION_BOUNDS
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.naive import gradient_naive
from hpsearch.mlp.penalties import penalty_naive
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Architecture, Stack
from hpsearch.mlp.steps import Data
from hpsearch.mlp.train import Examples, Fit, advance, epoch_order, settings_of, start
from hpsearch.mlp.updates import UPDATES

Floats = NDArray[np.float64]
Sides = Sequence[NDArray[np.bool_]]

EPSILON = float(np.finfo(np.float64).eps)
STEP = EPSILON ** (1 / 3)
ROUNDING = 4.0
"""Rounding errors of a loss, in units of ε · L; 1 was the most seen over all activations and layers."""
NOTES = (1e-7, 1e-4, 1e-2)
"""Bounds of the relative error below which a gradient is good, fine (with kinks; without any it should be good), and
uncomfortable; above, it is wrong."""
SINGLE = (1e-5, 1e-3, 1e-2)
"""The same for the gradient of float32."""
VERDICTS = ("good", "fine", "uncomfortable", "wrong")
NOT_CHECKED = "not checked"
"""The verdict of a group whose entries all lie at kinks."""
CANCELLED = 1e-2
"""A group whose entries are all this much smaller than the largest of all groups is compared with that: they are
differences of large numbers, whose rounding of float32 remains."""
RATE = 2.0**-20
"""Of the training step that shows its gradient; a power of two, for exactness, too small to move the weights far."""
N_INPUTS, N_CLASSES, N_NUMBERS = 6, 3, 2
"""Of made data."""
RANDOM = ("dropout", "input_dropout", "drop_connect", "stochastic_depth", *AUGMENTATION_BOUNDS)
AGAINST = {
    "data": "differences of the data's loss",
    "penalty": "differences of the penalty",
    "kernel": "the float64 twin's",
}


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` found.

    Attributes:
        table: one row per point, part and group of weights; columns
            point: "initial", or "burnt in" after a little training;
            part: "data", the loss of the data alone; "penalty", of the weights alone; "kernel", the gradient that
            training uses, penalties included, against the twin's;
            group, layer: "matrix 1", "bias 1", "gain 1", "frequency 1", "phase 1", "slope 1", …, and the number of the
            layer, from 1;
            n_entries, n_checked, n_kinks: of the group, compared, and left out because the step crossed a kink;
            max_error: largest relative error of an entry; of kernels, relative to the largest entry of the group;
            norm_ratio: ‖a − n‖ / (‖a‖ + ‖n‖) of what was compared;
            verdict: by max_error: "good" below 1e-7, "fine" below 1e-4, "uncomfortable" up to 1e-2, "wrong" beyond; of
            kernels 1e-5, 1e-3, 1e-2. "not checked" where all entries lie at kinks.
        verdict: the worst.
        sentence: the verdict in words; it names the group at fault.
    """

    table: pd.DataFrame
    verdict: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table.to_string(index=False)}"

    @property
    def passed(self) -> bool:
        """Whether the gradient may be trusted: "good" or "fine"."""
        return self.verdict in ("good", "fine")


class _Point(NamedTuple):
    """Weights at which gradients are checked: a fit of one model, and the minibatch of its next step, all rows."""

    name: str
    recipe: Recipe
    fit: Fit
    examples: Examples

    @property
    def architecture(self) -> Architecture:
        return self.fit.stack.architecture

    @property
    def weights(self) -> Floats:
        """(n_weights,), for the twin."""
        return np.asarray(self.fit.stack.weights[0], dtype=np.float64)


def check_gradients(
    recipe: Recipe | Mapping[str, Any],
    X: ArrayLike | Examples | None = None,
    y: ArrayLike | None = None,
    *,
    n_rows: int = 16,
    n_entries: int = 10,
    burn_in: int = 10,
    replay: bool = True,
    seed: int = 0,
) -> GradientCheck:
    """Check the gradients of a recipe numerically, at the start and after a short burn-in; see the module's docstring.

    The loss of the data is checked without penalties, which might outweigh it and hide its faults, and the penalties
    alone. At the start a gradient may look right by chance, as weights are small and units unsaturated: hence the
    burn-in. Few rows cross few kinks.

    Args:
        recipe: a recipe, or a config: hyperparameters by name.
        X, y: inputs (n, n_inputs) and target (n,): classes for a loss of classes, else numbers, which are
            standardised; or training examples and nothing; without either, data are made. Where a config names no
            loss, it is the squared error for a `y` of floating-point numbers, else the softmax cross-entropy.
        n_rows: rows of the one minibatch, drawn from the given, ≥ 1.
        n_entries: of each matrix and each other group of weights, drawn at random, ≥ 1; the kernels' are all compared.
        burn_in: updates of the recipe before the second look, ≥ 0; 0 for none.
        replay: dropout and augmentation are on, with the same draws at each evaluation; else they are off.
        seed: of the made data, the initial weights and all that is drawn.

    Raises:
        ValueError: for an argument that breaks these rules, or a recipe that diverges in the burn-in.
    """
    for name, number, lowest in (("n_rows", n_rows, 1), ("n_entries", n_entries, 1), ("burn_in", burn_in, 0)):
        if number < lowest:
            raise ValueError(f"{name} must be a whole number ≥ {lowest}, but got {number!r}")
    if not isinstance(recipe, Recipe):
        numbers = y is not None and np.asarray(y).dtype.kind == "f"
        recipe = Recipe.from_config(recipe, "squared_error" if numbers else "softmax_cross_entropy")
    if not replay:
        off: dict[str, Any] = dict.fromkeys(RANDOM, 0)
        recipe = replace(recipe, flip=False, **off)
    generator = np.random.default_rng(seed)
    examples = _examples(recipe, X, y, n_rows, generator)
    recipe = replace(recipe, batch_size=len(examples.train))
    with one_blas_thread():
        points = _points(recipe, examples, burn_in, seed)
        table = pd.concat([_check_point(point, n_entries, generator) for point in points], ignore_index=True)
    verdict = max(table["verdict"], key=(NOT_CHECKED, *VERDICTS).index)
    return GradientCheck(table, verdict, _sentence(table, verdict))


def _examples(
    recipe: Recipe, X: ArrayLike | Examples | None, y: ArrayLike | None, n_rows: int, generator: np.random.Generator
) -> Examples:
    """Training examples of at most `n_rows` rows, all of them in the minibatch, from what the user gave."""
    inputs: NDArray[Any]
    targets: NDArray[Any]
    row_weights: NDArray[Any]
    if X is None:
        inputs, targets = _made(recipe, n_rows, generator)
        row_weights = np.ones(n_rows)
    elif isinstance(X, Examples):
        rows = generator.permutation(X.train)[:n_rows]
        inputs, targets, row_weights = X.inputs[rows], X.targets[rows], X.row_weights[rows]
    else:
        inputs, targets = _numeric("X", X, 2), _targets(recipe, y)
        if len(inputs) != len(targets) or len(inputs) == 0:
            raise ValueError(
                f"y must have a target for each of the {len(inputs)} ≥ 1 rows of X, but has {len(targets)}"
            )
        rows = generator.permutation(len(inputs))[:n_rows]
        inputs, targets, row_weights = inputs[rows], targets[rows], np.ones(len(rows))
    single = {
        name: np.ascontiguousarray(array, dtype=np.float32)
        for name, array in (("inputs", inputs), ("targets", targets), ("row_weights", row_weights))
    }
    return Examples(train=np.arange(len(inputs)), valid=np.arange(0), order_seed=0, **single)


def _made(recipe: Recipe, n_rows: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Random inputs, and random targets that suit the loss."""
    inputs = generator.standard_normal((n_rows, prod(recipe.image_shape) if recipe.image_shape else N_INPUTS))
    if not LOSSES[recipe.loss].of_classes:
        return inputs, generator.standard_normal((n_rows, N_NUMBERS))
    return inputs, np.eye(N_CLASSES)[generator.integers(0, N_CLASSES, n_rows)]


def _targets(recipe: Recipe, y: ArrayLike | None) -> Floats:
    """Targets (n, n_outputs): classes one-hot (two of the logistic loss: 0 and 1); numbers standardised."""
    if not LOSSES[recipe.loss].of_classes:
        numbers = _numeric("y", y, 1)
        return np.asarray((numbers - numbers.mean()) / (numbers.std() or 1.0))[:, np.newaxis]
    if np.ndim(y) != 1:  # type: ignore[arg-type]
        raise ValueError(f"y must hold one class per row, (n,), but has the shape {np.shape(y)}")  # type: ignore[arg-type]
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    single = recipe.loss == "binary_logistic" and len(classes) == 2
    return codes[:, np.newaxis].astype(np.float64) if single else np.eye(max(len(classes), 2))[codes]


def _numeric(name: str, values: ArrayLike | None, n_dimensions: int) -> Floats:
    """The argument called `name` as an array of finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "buif" or array.ndim != n_dimensions or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must hold finite numbers in {n_dimensions} dimensions, but got {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.astype(np.float64)


def _points(recipe: Recipe, examples: Examples, burn_in: int, seed: int) -> list[_Point]:
    fit = start([recipe], [seed], examples.inputs.shape[1], examples.targets.shape[1])
    points = [_Point("initial", recipe, fit, examples)]
    if burn_in:
        fit = advance(fit, examples, burn_in, burn_in)
        if not np.isfinite(fit.stack.weights).all():
            raise ValueError(
                f"recipe must not diverge in the burn-in, but did: choose a lower learning_rate_init than "
                f"{recipe.learning_rate_init!r}, or burn_in=0"
            )
        points.append(_Point("burnt in", recipe, fit, examples))
    return points


def groups_of(architecture: Architecture) -> dict[tuple[str, int], slice]:
    """Where the groups of learned weights lie in a model's buffer, by ("matrix", 1) and the like."""
    layout, n_hidden = architecture.layout, len(architecture.columns) - 1
    sizes, columns, n_waves = architecture.units, architecture.columns, architecture.n_waves
    entries = [n_in * n_columns for n_in, n_columns in zip(sizes, columns, strict=False)]
    blocks = [("matrix", layout.matrix, entries), ("bias", layout.bias, list(columns))]
    if architecture.batch_norm:
        blocks.append(("gain", layout.gain, list(columns[:n_hidden])))
    if n_waves:
        starts = ("frequency", layout.frequency), ("phase", layout.phase)
        blocks += [(name, np.array([start]), [n_waves]) for name, start in starts]
    n_before = layout.n_matrix + sum(columns) + architecture.batch_norm * sum(columns[:n_hidden]) + 2 * n_waves
    if layout.n_learned > n_before:
        blocks.append(("slope", layout.slope, list(sizes[1:-1])))
    return {
        (name, i + 1): slice(int(first), int(first) + width)
        for name, offsets, widths in blocks
        for i, (first, width) in enumerate(zip(offsets, widths, strict=False))
    }


def _check_point(point: _Point, n_entries: int, generator: np.random.Generator) -> pd.DataFrame:
    """The rows of the table for one point."""
    weights, groups, rows = point.weights, groups_of(point.architecture), []
    gradient = _twin(point, weights)[2]
    penalty = _penalty(point.recipe, weights[: point.architecture.layout.n_matrix])
    entries = {group: _drawn(place, n_entries, generator) for group, place in groups.items()}

    def data_loss(weights: Floats) -> tuple[float, Sides]:
        return _twin(point, weights)[:2]

    for group, drawn in entries.items():
        rows.append(_compared(data_loss, weights, gradient, drawn) | _place(point, "data", group, groups[group]))
    for group, drawn in entries.items():
        if group[0] == "matrix" and point.recipe.alpha > 0:
            of_weights = _compared(lambda weights: _penalty(point.recipe, weights)[:2], weights, penalty[2], drawn)
            rows.append(of_weights | _place(point, "penalty", group, groups[group]))
    gradient[: len(penalty[2])] += penalty[2]
    trained = trained_gradient(point)
    largest = np.abs(gradient).max()
    for group, place in groups.items():
        of_kernel = _kernel_row(trained[place].astype(np.float64), gradient[place], CANCELLED * largest)
        rows.append(of_kernel | _place(point, "kernel", group, place))
    columns = ["point", "part", "group", "layer", "n_entries", "n_checked", "n_kinks", "max_error", "norm_ratio"]
    return pd.DataFrame(rows)[[*columns, "verdict"]]


def _place(point: _Point, part: str, group: tuple[str, int], place: slice) -> dict[str, Any]:
    name, layer = group
    return {
        "point": point.name,
        "part": part,
        "group": f"{name} {layer}",
        "layer": layer,
        "n_entries": place.stop - place.start,
    }


def _drawn(place: slice, n_entries: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Entries of a group, in order: some of every group rather than many of a few."""
    size = place.stop - place.start
    return np.asarray(np.sort(generator.choice(size, min(size, n_entries), replace=False)) + place.start)


def _twin(point: _Point, weights: Floats) -> tuple[float, Sides, Floats]:
    """The mean loss of the data, its sides, and its gradient, all in float64."""
    examples, n_updates = point.examples, int(point.fit.epochs[0])
    found = gradient_naive(
        Stack(point.architecture, np.asarray(weights)[np.newaxis]),  # type: ignore[arg-type]
        settings_of(point.recipe, point.fit.seeds[0], 1),
        point.recipe.augmentation.strengths(examples.inputs.shape[1]),
        Data(examples.inputs, examples.targets, examples.row_weights),
        epoch_order(examples, n_updates),
        n_updates,
    )
    return found.total / len(examples.train), found.sides, found.gradient


def _penalty(recipe: Recipe, weights: Floats) -> tuple[float, Sides, Floats]:
    """What the penalties add to the loss, its sides, and its gradient: what a step at rate 1 without data subtracts."""
    (l1, l2), nothing = recipe.penalties, np.zeros_like(weights)
    moved, _, _ = UPDATES["sgd"].naive(weights, nothing, nothing[:0], weights, 1.0, 0.0, l1, l2, 0.0, 0.0, 0.0, 1, 0.0)
    return penalty_naive(weights, l1, l2), [weights > 0] if l1 > 0 else [], weights - moved


def _compared(
    objective: Callable[[Floats], tuple[float, Sides]], weights: Floats, analytic: Floats,
    entries: NDArray[np.int64],
) -> dict[str, Any]:  # fmt: skip
    """A gradient's `entries` against centred differences of its objective: the numbers of a row of the table."""
    # the penalty's objective is of the matrices alone, which come first
    weights = weights[: len(analytic)]
    found = [_difference(objective, weights, entry) for entry in entries]
    numeric, rounding, kinks = (np.array(column) for column in zip(*found, strict=True))
    a, n, least = analytic[entries][~kinks], numeric[~kinks], rounding[~kinks]
    errors = np.where(np.abs(a - n) <= least, 0, np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), least))
    return _numbers(a, n, errors, NOTES) | {"n_checked": len(a), "n_kinks": int(kinks.sum())}


def _difference(
    objective: Callable[[Floats], tuple[float, Sides]], weights: Floats, entry: int
) -> tuple[float, float, bool]:
    """The centred difference at one entry, what rounding may add to it, and whether the step crosses a kink."""
    above, below = weights.copy(), weights.copy()
    above[entry] += STEP * max(1.0, abs(weights[entry]))
    below[entry] -= STEP * max(1.0, abs(weights[entry]))
    # the two sums are rounded: the step is what lies between them
    step = above[entry] - below[entry]
    (high, high_sides), (low, low_sides) = objective(above), objective(below)
    crosses = not all(np.array_equal(*pair) for pair in zip(high_sides, low_sides, strict=True))
    return (high - low) / step, ROUNDING * EPSILON * (abs(high) + abs(low)) / step, crosses


def trained_gradient(point: _Point) -> NDArray[np.float32]:
    """The gradient (n_weights,) of the next step of training, penalties included, 0 where nothing is learned.

    It is read from training itself: one step of momentum from rest leaves −rate · gradient in its moment.
    """
    recipe = replace(
        point.recipe, update="momentum", learning_rate_init=RATE, schedule="constant", warm_up=0.0, weight_decay=0.0,
        clip_value=0.0, clip_norm=0.0, max_norm=0.0, swa_share=0.0, n_checkpoints=0, patience=0,
    )  # fmt: skip
    n_done, examples = int(point.fit.epochs[0]), point.examples
    fit = start([recipe], [int(point.fit.seeds[0])], examples.inputs.shape[1], examples.targets.shape[1])
    fit = replace(
        fit, stack=point.fit.stack, epochs=point.fit.epochs, updates=point.fit.updates, history=point.fit.history
    )
    moved = advance(fit, examples, n_done + 1, n_done + 1)
    return np.asarray(moved.moments[0, 0] / np.float32(-RATE))


def _kernel_row(trained: Floats, twin: Floats, least: float) -> dict[str, Any]:
    """The kernels' gradient of a group against the twin's; errors relative to its largest entry, at least `least`."""
    errors = np.abs(trained - twin) / max(np.abs(twin).max(), least, np.finfo(np.float64).tiny)
    return _numbers(trained, twin, errors, SINGLE) | {"n_checked": len(twin), "n_kinks": 0}


def _numbers(analytic: Floats, numeric: Floats, errors: Floats, bounds: Sequence[float]) -> dict[str, Any]:
    """Largest error, norm ratio and verdict; a NaN is wrong."""
    if len(errors) == 0:
        return {"max_error": np.nan, "norm_ratio": np.nan, "verdict": NOT_CHECKED}
    size = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    verdict = VERDICTS[sum(not errors.max() < bound for bound in bounds)]
    ratio = float(np.linalg.norm(analytic - numeric) / size) if size > 0 else 0.0
    return {"max_error": float(errors.max()), "norm_ratio": ratio, "verdict": verdict}


def _sentence(table: pd.DataFrame, verdict: str) -> str:
    """The verdict in words. Of groups in doubt it names those of the highest layer, which hands its faults down."""
    n_kinks = int(table["n_kinks"].sum())
    kinks = f" {n_kinks} differences crossed a kink and were not counted." if n_kinks else ""
    doubted = table[table["verdict"].isin(["uncomfortable", "wrong"])]
    if doubted.empty:
        largest = table.loc[table["part"] != "kernel", "max_error"].max()
        error = f"to {largest:.1e}, relative error" if largest > 0 else "to within rounding"
        return f"Gradients and differences agree ({error}): {verdict}.{kinks}"
    # the rows begin with the data's: a fault of the twin shows in the kernels' rows, too
    first = doubted.iloc[0]
    found = doubted[(doubted["part"] == first["part"]) & (doubted["point"] == first["point"])]
    top = found[found["layer"] == found["layer"].max()]
    worst = max(top["verdict"], key=VERDICTS.index)
    lower = " Those of lower layers are, too: they may but inherit it." if len(found) > len(top) else ""
    return (
        f"The gradient of {' and '.join(top['group'])} is {worst}: relative error {top['max_error'].max():.1e} "
        f"against {AGAINST[first['part']]} ({first['point']}).{lower}{kinks}"
    )
