"""The compiled training step against its naive twin, over everything a recipe can switch on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp import train
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.naive import gradient_naive, step_naive
from hpsearch.mlp.recipe import SMOOTHED_LOSSES, Recipe
from hpsearch.mlp.stack import Stack
from hpsearch.mlp.steps import train_step
from hpsearch.mlp.updates import UPDATES

N_INPUTS, N_NUMERIC, N_OUTPUTS, N_ROWS = 6, 4, 3, 11
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_norm": {"batch_norm": True},
    "residual": {"residual": True, "stochastic_depth": 0.4},
    "drop_connect": {"drop_connect": 0.3},
    "dropout": {"dropout": 0.3, "input_dropout": 0.2},
    "waves": {"n_frequencies": 3, "frequency_scale": 0.5},
    "all": {
        "batch_norm": True, "residual": True, "stochastic_depth": 0.4, "drop_connect": 0.3, "dropout": 0.3,
        "input_dropout": 0.2, "n_frequencies": 2,
    },
}  # fmt: skip
LIMITS: dict[str, dict[str, Any]] = {
    "clip_value": {"clip_value": 0.02},
    "clip_norm": {"clip_norm": 0.05},
    "max_norm": {"max_norm": 0.6},
    "penalties": {"alpha": 0.05, "l1_ratio": 0.3},
    "decay": {"weight_decay": 0.2},
    "all": {"clip_value": 0.05, "clip_norm": 0.1, "max_norm": 0.6, "alpha": 0.05, "l1_ratio": 0.3, "weight_decay": 0.2},
}
IMAGE = (2, 3)
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "noise": {"noise": 0.3},
    "swap_noise": {"swap_noise": 0.3},
    "mixup": {"mixup": 0.4},
    "shift": {"shift": 1, "image_shape": IMAGE},
    "flip": {"flip": True, "image_shape": IMAGE},
    "crop_pad": {"crop_pad": 1, "image_shape": IMAGE},
    "cutout": {"cutout": 1, "image_shape": IMAGE},
    "brightness": {"brightness": 0.5, "image_shape": IMAGE},
    "contrast": {"contrast": 0.5, "image_shape": (1, 2, 3)},
    "all": {
        "noise": 0.3, "swap_noise": 0.3, "mixup": 0.4, "shift": 1, "flip": True, "crop_pad": 1, "cutout": 1,
        "brightness": 0.5, "contrast": 0.5, "image_shape": IMAGE,
    },
}  # fmt: skip


def examples_for(loss: str, n_rows: int = N_ROWS, seed: int = 0) -> train.Examples:
    generator = np.random.default_rng(seed)
    targets = generator.standard_normal((n_rows, N_OUTPUTS))
    if LOSSES[loss].of_classes:
        targets = np.eye(N_OUTPUTS)[generator.integers(0, N_OUTPUTS, n_rows)]
    return train.Examples(
        inputs=generator.standard_normal((n_rows, N_INPUTS)).astype(np.float32),
        targets=targets.astype(np.float32),
        row_weights=generator.uniform(0.5, 1.5, n_rows).astype(np.float32),
        train=np.arange(n_rows),
        valid=np.arange(0),
        order_seed=3,
    )


def fit_of(recipe: Recipe, seed: int = 5) -> train.Fit:
    """One model whose biases, gains, slopes, statistics and average are no longer what they were at the start."""
    fit = train.start([recipe], [seed], N_INPUTS, N_OUTPUTS, N_NUMERIC)
    generator, stack = np.random.default_rng(seed), fit.stack
    for block in (*stack.biases(), *stack.gains(), *stack.means(), *stack.variances()):
        block += generator.uniform(-0.3, 0.3, block.shape)
    fit.average[:] = stack.weights + generator.uniform(-0.1, 0.1, stack.weights.shape)
    return fit


def check_steps(config: Mapping[str, Any], n_rows: int = N_ROWS, n_steps: int = 3, seed: int = 0) -> None:
    """Equate some steps in a row, on one minibatch of all rows, each from the compiled step's own weights."""
    recipe = Recipe.from_config({"hidden_layer_sizes": (5, 5, 4), "learning_rate_init": 0.02} | dict(config), "huber")
    examples, fit = examples_for(recipe.loss, n_rows, seed), fit_of(recipe, seed)
    assert fit.stack.architecture.n_waves == N_NUMERIC * recipe.n_frequencies
    bench = train._Bench(fit, examples, n_rows)
    settings = train.settings_of(recipe, fit.seeds[0], 1)
    strengths = recipe.augmentation.strengths(N_INPUTS)
    bench.load(fit)
    state, rows = bench.state, train.epoch_order(examples, 0)
    # rows of a bench are filled up beyond the last weight
    learned = [array[..., : bench.layout.n_weights] for array in (state.weights, state.moments, state.average)]
    for n_updates in range(n_steps):
        weights, moments, average = (array.copy() for array in learned)
        total, *expected = step_naive(
            Stack(fit.stack.architecture, weights[np.newaxis]), settings, strengths, bench.data, rows, moments, average,
            0.02, 0.3, n_updates,
        )  # fmt: skip
        found = train_step(
            bench.layout, settings, strengths, bench.data, rows, state, bench.scratch, 0.02, 0.3, n_updates
        )
        assert found == pytest.approx(total, rel=2e-5, abs=1e-5)
        for array, twin in zip(learned, expected, strict=True):
            assert array.dtype == twin.dtype
            np.testing.assert_allclose(array, twin, rtol=2e-4, atol=2e-5)


# the rules that divide by the gradient's size blow up its rounding where it is small: SGD shows the gradient itself
PLAIN = {"update": "sgd"}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_is_that_of_its_naive_twin_for_every_activation_and_layer(activation: str, layers: str) -> None:
    check_steps(PLAIN | {"activation": activation} | LAYERS[layers])


@pytest.mark.parametrize(
    ("loss", "label_smoothing"), [*((loss, 0.0) for loss in LOSSES), *((loss, 0.2) for loss in SMOOTHED_LOSSES)]
)
def test_a_step_is_that_of_its_naive_twin_for_every_loss(loss: str, label_smoothing: float) -> None:
    numbers = {"huber_delta": 0.6, "quantile": 0.3, "label_smoothing": label_smoothing}
    check_steps(PLAIN | {"loss": loss, "activation": "tanh"} | numbers)


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("update", UPDATES)
def test_a_step_is_that_of_its_naive_twin_for_every_update_rule_and_limit(update: str, limits: str) -> None:
    check_steps({"update": update, "activation": "prelu", "batch_norm": True, "epsilon": 1e-3} | LIMITS[limits])


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_a_step_is_that_of_its_naive_twin_for_every_augmentation(augmentation: str, loss: str) -> None:
    check_steps(PLAIN | {"loss": loss, "dropout": 0.2} | AUGMENTATIONS[augmentation])


@pytest.mark.parametrize("n_rows", [1, 2, 9])
@pytest.mark.parametrize("sizes", [(), (1,), (1, 1, 1), (7,), (2, 9, 9)])
@pytest.mark.parametrize("layers", ["plain", "all"])
def test_a_step_is_that_of_its_naive_twin_for_odd_shapes(sizes: tuple[int, ...], n_rows: int, layers: str) -> None:
    # of two rows batch normalisation leaves ±1 whatever came in: the rest of the gradient is rounding
    normalises = {"batch_norm": False} if n_rows == 2 else {}
    check_steps(PLAIN | {"hidden_layer_sizes": sizes} | LAYERS[layers] | normalises, n_rows)


@settings(max_examples=30, deadline=None)
@given(
    activation=st.sampled_from(list(ACTIVATIONS)),
    loss=st.sampled_from(list(LOSSES)),
    layers=st.sampled_from(list(LAYERS)),
    limits=st.sampled_from(list(LIMITS)),
    augmentation=st.sampled_from(list(AUGMENTATIONS)),
    sizes=st.lists(st.integers(1, 9), max_size=3),
    pieces=st.integers(2, 4),
    n_rows=st.integers(8, 20),
    seed=st.integers(0, 99),
)
def test_a_step_is_that_of_its_naive_twin_for_any_combination(
    activation: str, loss: str, layers: str, limits: str, augmentation: str, sizes: list[int], pieces: int,
    n_rows: int, seed: int,
) -> None:  # fmt: skip
    config = {"activation": activation, "loss": loss, "hidden_layer_sizes": tuple(sizes), "pieces": pieces}
    check_steps(
        PLAIN | config | LAYERS[layers] | LIMITS[limits] | AUGMENTATIONS[augmentation], n_rows, n_steps=1, seed=seed
    )


def test_the_float64_twin_is_of_float64_and_near_the_float32_one() -> None:
    recipe = Recipe(hidden_layer_sizes=(5, 5), batch_norm=True, residual=True, dropout=0.2, mixup=0.3, noise=0.1)
    fit, examples = fit_of(recipe), examples_for(recipe.loss)
    bench = train._Bench(fit, examples, N_ROWS)
    rest = (
        train.settings_of(recipe, fit.seeds[0], 1), recipe.augmentation.strengths(N_INPUTS), bench.data, examples.train,
        4,
    )  # fmt: skip
    single = gradient_naive(fit.stack, *rest)
    double = gradient_naive(Stack(fit.stack.architecture, fit.stack.weights.astype(np.float64)), *rest)
    assert double.gradient.dtype == double.weights.dtype == np.float64
    np.testing.assert_allclose(single.gradient, double.gradient, rtol=1e-3, atol=1e-6)
    assert not np.array_equal(double.gradient.astype(np.float32), double.gradient)
