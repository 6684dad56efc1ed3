"""A look at a model at an epoch's end: ratio, losses, statistics of averages, and what ends training."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hpsearch.mlp import train
from hpsearch.mlp.activations import ACTIVATIONS, forward_naive
from hpsearch.mlp.batch_norm import EPSILON
from hpsearch.mlp.epochs import has_diverged, update_ratio, update_ratio_naive, watch_best
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.predict import last_layers, last_layers_naive
from hpsearch.mlp.recipe import Recipe
from hpsearch.mlp.stack import Stack

SEEDS = st.integers(0, 2**32 - 1)
NO_NOISE = np.empty(0, np.uint8)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=50)
@given(st.integers(1, 300), SEEDS, st.floats(1e-6, 1e6))
def test_update_ratio_equals_its_naive_twin(n, seed, scale):
    before, step = normals(seed, n), normals(seed + 1, n) * np.float32(scale)
    assert update_ratio(before, before + step) == pytest.approx(update_ratio_naive(before, before + step), rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_update_ratio_shows_what_is_not_finite(bad):
    after = normals(0, 50)
    after[7] = bad
    assert not np.isfinite(update_ratio(normals(0, 50), after))
    assert not np.isfinite(update_ratio_naive(normals(0, 50), after))


def test_update_ratio_of_weights_that_are_all_zero_is_a_number():
    zeros = np.zeros(5, np.float32)
    assert update_ratio(zeros, zeros) == update_ratio_naive(zeros, zeros) == 0


@pytest.mark.parametrize(
    ("history", "holds_out", "expected"),
    [
        ((1, 1, 1), True, False),
        ((5, 5, 1), True, False),
        ((5.1, 1, 1), True, True),
        ((1, 5.1, 1), True, True),
        ((1, np.nan, 1), True, True),
        ((1, np.nan, 1), False, False),
        ((np.nan, 1, 1), True, True),
        ((np.nan, np.nan, 1), False, True),
        ((1, 1, np.nan), True, True),
        ((1, 1, np.inf), True, True),
        ((-np.inf, 1, 1), True, False),
    ],
)
def test_divergence_is_a_loss_beyond_the_worst_or_a_weight_that_is_not_finite(history, holds_out, expected):
    assert has_diverged(np.array(history, dtype=np.float64), 5.0, holds_out) == expected


def test_the_best_weights_are_those_of_the_lowest_loss():
    watch, best = np.array(train.FRESH_WATCH), np.zeros(3, np.float32)
    since = []
    for epoch, loss in enumerate([3.0, 2.0, 2.0, np.nan, 2.5, 1.0], start=1):
        watch_best(loss, watch, np.full(3, epoch, np.float32), best)
        since.append((best[0], watch[1]))
    # an equal loss is no better one, and NaN is none
    assert since == [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (6, 0)]
    assert watch[0] == 1 and watch[2:].tolist() == list(train.FRESH_WATCH[2:])


def examples(n_train: int = 200) -> train.Examples:
    inputs = normals(0, n_train + 70, 5) * np.float32([1, 2, 0.5, 1, 3]) + np.float32(0.5)
    classes = (inputs.sum(axis=1) > 0).astype(int) + (np.abs(inputs[:, 0]) > 1)
    return train.Examples(
        inputs=inputs,
        targets=np.eye(3, dtype=np.float32)[classes],
        row_weights=np.random.default_rng(1).uniform(0.5, 1.5, len(inputs)).astype(np.float32),
        train=np.arange(n_train),
        valid=np.arange(n_train, n_train + 70),
        order_seed=3,
    )


def trained(epochs: int, **choices) -> tuple[train.Fit, train.Examples]:
    recipe = Recipe(**{"hidden_layer_sizes": (8, 8, 6), "batch_size": 32, "learning_rate_init": 1e-2} | choices)
    data = examples()
    return train.advance(train.start([recipe] * 2, [1, 2], 5, 3), data, epochs, 6), data


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [{}, {"batch_norm": True, "residual": True, "dropout": 0.3}])
def test_the_validation_loss_is_that_of_the_averages_last_layer(loss, layers):
    fit, data = trained(3, loss=loss, **layers)
    last = last_layers(fit.stack_of("ema"), data.inputs, data.valid).astype(np.float64)
    targets, row_weights = data.targets[data.valid], data.row_weights[data.valid].astype(np.float64)
    parameter = fit.recipes[0].loss_parameter
    expected = [
        LOSSES[loss].naive(layer, np.zeros(3), targets, row_weights, parameter)[0] / row_weights.sum() for layer in last
    ]
    assert_allclose(fit.history[:, -1, 1], expected, rtol=1e-4)
    assert_array_equal(train.validation_loss(fit, data), fit.history[:, -1, 1])


def test_label_smoothing_and_noise_are_not_in_the_validation_loss():
    fit, data = trained(2)
    noisy = {
        "label_smoothing": 0.3,
        "dropout": 0.5,
        "input_dropout": 0.5,
        "drop_connect": 0.5,
        "mixup": 1.0,
        "noise": 3.0,
    }
    recipes = tuple(replace(recipe, **noisy) for recipe in fit.recipes)
    assert_array_equal(train.validation_loss(replace(fit, recipes=recipes), data), fit.history[:, -1, 1])


def layer_statistics(stack: Stack, inputs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means and variances (n − 1) of one network's products, layer after layer, each normalised by its own."""
    activation, values, found = ACTIVATIONS[stack.architecture.activation], inputs.astype(np.float64), []
    slopes = [slope[0] for slope in stack.slopes()] or [np.zeros(size) for size in stack.layer_sizes[1:-1]]
    skips = stack.architecture.layout.skips
    for layer, (gain, slope) in enumerate(zip(stack.gains(), slopes, strict=True)):
        products = values @ stack.matrices()[layer][0]
        mean, variance = products.mean(axis=0), products.var(axis=0, ddof=1)
        found.append((mean, variance))
        normed = gain[0] * (products - mean) / np.sqrt(variance + EPSILON)
        outputs = forward_naive(activation, normed, stack.biases()[layer][0], slope, NO_NOISE, 0, 1.0)
        values = values + outputs if skips[layer] else outputs
    return found


@pytest.mark.parametrize("activation", ["relu", "prelu", "rrelu", "maxout"])
def test_averaged_weights_have_the_statistics_of_their_own_layers(activation):
    fit, data = trained(
        5, activation=activation, batch_norm=True, residual=True, ema_decay=0.95, swa_share=0.5, patience=9, dropout=0.2
    )
    raw = layer_variances(fit.stack)
    for kind in (fit.average, fit.swa[:, 0]):
        for model in range(2):
            stack = Stack(fit.stack.architecture, kind[model : model + 1])
            blocks = zip(stack.means(), stack.variances(), strict=True)
            for (mean, variance), (own_mean, own_variance) in zip(
                layer_statistics(stack, data.inputs[:200]), blocks, strict=True
            ):
                assert_allclose(own_mean[0], mean, rtol=1e-3, atol=1e-3)
                assert_allclose(own_variance[0], variance, rtol=1e-3, atol=1e-4)
        averaged = layer_variances(Stack(fit.stack.architecture, kind))
        assert np.abs(np.log(averaged / raw)).max() > 0.05


def layer_variances(stack: Stack) -> np.ndarray:
    return np.concatenate(stack.variances(), axis=1)


def test_averaged_weights_predict_with_their_own_statistics():
    fit, data = trained(4, batch_norm=True, swa_share=0.5)
    for kind, weights in (("ema", fit.average), ("swa", fit.swa[:, 0])):
        expected = last_layers_naive(Stack(fit.stack.architecture, weights), data.inputs, data.valid)
        assert_allclose(last_layers(fit.stack_of(kind), data.inputs, data.valid), expected, rtol=1e-3, atol=1e-3)


def test_statistics_are_of_a_bounded_number_of_training_rows(monkeypatch):
    """The same rows at all epochs, whatever their order: those of an epoch that is never trained."""
    monkeypatch.setattr(train, "CALIBRATION_ROWS", 50)
    fit, data = trained(3, batch_norm=True)
    rows = train.epoch_order(data, train.CALIBRATION)[:50]
    stack = Stack(fit.stack.architecture, fit.average[:1])
    for (mean, _), own in zip(layer_statistics(stack, data.inputs[rows]), stack.means(), strict=True):
        assert_allclose(own[0], mean, rtol=1e-3, atol=1e-3)


def test_running_statistics_are_those_of_the_minibatches():
    """With one minibatch per epoch and no learning, each epoch moves them a tenth of the way, as in PyTorch.

    To within 1/200: a minibatch is normalised by its variance with n below, not n − 1.
    """
    fit, data = trained(4, batch_norm=True, batch_size=200, learning_rate_init=0.0, weight_decay=0.0)
    stack = Stack(fit.stack.architecture, fit.stack.weights[:1])
    own = zip(stack.means(), stack.variances(), strict=True)
    for (mean, variance), (running_mean, running_variance) in zip(
        layer_statistics(stack, data.inputs[:200]), own, strict=True
    ):
        assert_allclose(running_mean[0], (1 - 0.9**4) * mean, rtol=1 / 200, atol=1e-3)
        assert_allclose(running_variance[0], 0.9**4 + (1 - 0.9**4) * variance, rtol=1 / 200, atol=1e-3)


def test_the_training_loss_is_the_weighted_mean_over_the_epoch():
    """At a rate of 0 all minibatches are of the same network."""
    fit, data = trained(1, learning_rate_init=0.0)
    targets, row_weights = data.targets[data.train], data.row_weights[data.train].astype(np.float64)
    last = last_layers(fit.stack_of("raw"), data.inputs, data.train).astype(np.float64)
    expected = [
        LOSSES["softmax_cross_entropy"].naive(layer, np.zeros(3), targets, row_weights, 0)[0] / row_weights.sum()
        for layer in last
    ]
    assert_allclose(fit.history[:, 0, 0], expected, rtol=1e-5)
    assert_array_equal(fit.history[:, 0, 2], 0)


def test_the_update_ratio_is_that_of_the_last_update():
    """With one minibatch per epoch the last update is the epoch's only one."""
    before, data = trained(1, batch_size=200, batch_norm=True)
    after = train.advance(before, data, 2, 6)
    n_learned = after.stack.architecture.layout.n_learned
    expected = [
        update_ratio_naive(old[:n_learned], new[:n_learned])
        for old, new in zip(before.stack.weights, after.stack.weights, strict=True)
    ]
    assert_allclose(after.history[:, 1, 2], expected, rtol=1e-5)
