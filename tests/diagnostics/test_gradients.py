"""The gradient check: every pair of choices that can interact passes it, and whatever is broken is found and named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.diagnostics import GradientCheck, check_gradients
from hpsearch.mlp import naive, steps, train
from hpsearch.mlp.activations import ACTIVATIONS
from hpsearch.mlp.losses import LOSSES
from hpsearch.mlp.recipe import SMOOTHED_LOSSES, Recipe

SMALL: dict[str, Any] = {"hidden_layer_sizes": (5, 5), "learning_rate_init": 0.01}
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_norm": {"batch_norm": True},
    "residual": {"residual": True, "stochastic_depth": 0.3},
    "drop_connect": {"drop_connect": 0.3},
    "dropout": {"dropout": 0.3, "input_dropout": 0.2},
    "waves": {"n_frequencies": 3, "frequency_scale": 0.3},
    "all": {
        "n_frequencies": 2,
        "batch_norm": True,
        "residual": True,
        "stochastic_depth": 0.3,
        "drop_connect": 0.2,
        "dropout": 0.2,
    },
}
PENALTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "l2": {"alpha": 0.1},
    "l1": {"alpha": 0.1, "l1_ratio": 1.0},
    "elastic": {"alpha": 0.1, "l1_ratio": 0.4},
}


def faults(check: GradientCheck, part: str) -> set[str]:
    table = check.table
    return set(table["group"][(table["part"] == part) & (table["verdict"] == "wrong")])


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_passes_with_every_layer(activation: str, layers: str) -> None:
    check = check_gradients(SMALL | {"activation": activation} | LAYERS[layers], n_entries=5)
    assert check.passed, check.sentence
    groups = {"matrix 1", "matrix 2", "matrix 3", "bias 1", "bias 2", "bias 3"}
    groups |= {"gain 1", "gain 2"} if "batch_norm" in LAYERS[layers] else set()
    groups |= {"frequency 1", "phase 1"} if "n_frequencies" in LAYERS[layers] else set()
    groups |= {"slope 1", "slope 2"} if activation == "prelu" else set()
    for point in ("initial", "burnt in"):
        for part in ("data", "kernel"):
            of_part = check.table[(check.table["point"] == point) & (check.table["part"] == part)]
            assert set(of_part["group"]) == groups
    assert "agree" in check.sentence


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    ("loss", "smoothing"), [*((loss, 0.0) for loss in LOSSES), *((loss, 0.1) for loss in SMOOTHED_LOSSES)]
)
def test_every_loss_passes_with_every_penalty(loss: str, smoothing: float, penalty: str) -> None:
    numbers = {"loss": loss, "label_smoothing": smoothing, "huber_delta": 0.7, "quantile": 0.3, "activation": "tanh"}
    check = check_gradients(SMALL | numbers | PENALTIES[penalty], n_entries=5)
    assert check.passed, check.sentence
    assert ("penalty" in set(check.table["part"])) == (penalty != "none")


@pytest.mark.parametrize(("i", "activation"), list(enumerate(ACTIVATIONS)))
@pytest.mark.parametrize(("j", "loss"), list(enumerate(LOSSES)))
def test_every_pair_of_choices_passes(i: int, activation: str, j: int, loss: str) -> None:
    """Activations meet losses; layers and penalties take turns, so that each of them meets each activation and loss."""
    layers, penalty = list(LAYERS.values())[(i + j) % len(LAYERS)], list(PENALTIES.values())[(i + j // 2) % 4]
    numbers = {"huber_delta": 0.7, "quantile": 0.3, "label_smoothing": 0.1 * (loss in SMOOTHED_LOSSES and i % 2)}
    check = check_gradients(
        SMALL | {"activation": activation, "loss": loss} | numbers | layers | penalty, n_rows=8, n_entries=3, seed=i + j
    )
    assert check.passed, check.sentence


def test_the_pairs_are_all_there() -> None:
    """What the test above relies on: the turns meet each activation and each loss, and each other."""
    cases = [
        (i, j, (i + j) % len(LAYERS), (i + j // 2) % 4) for i in range(len(ACTIVATIONS)) for j in range(len(LOSSES))
    ]
    for one, other in [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]:
        pairs = {(case[one], case[other]) for case in cases}
        sizes = [len({case[column] for case in cases}) for column in (one, other)]
        assert len(pairs) == sizes[0] * sizes[1]


@pytest.mark.parametrize("augmentation", [{"mixup": 0.3}, {"noise": 0.2, "swap_noise": 0.2}, {
    "image_shape": (2, 4), "shift": 1, "flip": True, "cutout": 1, "brightness": 0.2, "contrast": 0.2, "crop_pad": 1,
}])  # fmt: skip
def test_augmentation_is_replayed(augmentation: dict[str, Any]) -> None:
    replayed = check_gradients(SMALL | augmentation, n_entries=5)
    off = check_gradients(SMALL | augmentation, n_entries=5, replay=False)
    assert replayed.passed and off.passed
    assert not np.array_equal(replayed.table["norm_ratio"], off.table["norm_ratio"])


def test_a_smooth_recipe_is_good() -> None:
    check = check_gradients(SMALL | {"activation": "tanh", "batch_norm": True, "alpha": 0.01})
    assert check.verdict == "good" and check.table["n_kinks"].sum() == 0


@pytest.mark.parametrize("update", ["lbfgs", "sgd", "ftrl"])
@pytest.mark.parametrize("sizes", [(), (1,), (40, 40, 40)])
def test_any_depth_and_update_rule_passes(sizes: tuple[int, ...], update: str) -> None:
    check = check_gradients({"hidden_layer_sizes": sizes, "update": update, "activation": "gelu"}, n_entries=4)
    assert check.passed, check.sentence


def test_a_broken_derivative_is_found_and_the_highest_layer_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tanh = ACTIVATIONS["tanh"]
    broken = replace(tanh, derivative_naive=lambda z, slopes: 1 - np.tanh(z))
    monkeypatch.setitem(ACTIVATIONS, "tanh", broken)
    check = check_gradients(SMALL | {"activation": "tanh"})
    assert not check.passed and check.verdict == "wrong"
    # what lies above the activation is sound
    assert faults(check, "data") == {"matrix 1", "matrix 2", "bias 1", "bias 2"}
    assert "matrix 2 and bias 2 is wrong" in check.sentence and "inherit" in check.sentence


def test_a_broken_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = LOSSES["squared_error"]

    def without_the_two(*arguments: Any) -> tuple[float, NDArray[Any]]:
        total, gradient = sound.naive(*arguments)
        return total, gradient / 2

    monkeypatch.setitem(LOSSES, "squared_error", replace(sound, naive=without_the_two))
    check = check_gradients(SMALL | {"loss": "squared_error", "activation": "tanh"})
    assert "matrix 3 and bias 3 is wrong" in check.sentence


def test_a_batch_norm_without_a_term_is_found_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_variance(
        deltas: NDArray[Any], normed: NDArray[Any], inverse: NDArray[Any], gain: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        return gain * inverse * (deltas - deltas.mean(axis=0)), (deltas * normed).sum(axis=0)

    monkeypatch.setattr(naive, "normalise_backward_naive", without_the_variance)
    check = check_gradients(SMALL | {"activation": "tanh", "batch_norm": True})
    assert "The gradient of matrix 2 is wrong" in check.sentence
    assert not faults(check, "data") & {"gain 2", "bias 2", "matrix 3", "bias 3"}


def test_a_kernel_that_differs_from_its_twin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # training is told of a steeper loss than the twin: its kernels compute another gradient
    def of_another_loss(*arguments: Any) -> steps.Settings:
        return settings_of(*arguments)._replace(loss_parameter=0.6)

    settings_of = train.settings_of
    monkeypatch.setattr(train, "settings_of", of_another_loss)
    check = check_gradients(SMALL | {"loss": "quantile", "quantile": 0.5, "activation": "tanh"})
    assert "data" not in set(check.table["part"][check.table["verdict"] == "wrong"])
    assert "against the float64 twin's" in check.sentence and "bias 3" in check.sentence


def test_kinks_are_told_and_not_counted() -> None:
    # inputs of 0 leave every first unit on its kink: its bias moves it to either side
    check = check_gradients(SMALL, np.zeros((8, 3)), [0, 1, 2, 0, 1, 2, 0, 1], burn_in=0)
    bias = check.table.set_index(["part", "group"]).loc[("data", "bias 1")]
    assert (bias["n_kinks"], bias["n_checked"], bias["verdict"]) == (5, 0, "not checked")
    assert check.passed and "crossed a kink" in check.sentence


def test_a_weight_of_0_is_a_kink_of_the_l1_penalty() -> None:
    # FTRL leaves exact zeros
    ftrl = {"update": "ftrl", "learning_rate_init": 1.0, "alpha": 1.0, "l1_ratio": 1.0, "activation": "tanh"}
    check = check_gradients(SMALL | ftrl)
    penalty = check.table[check.table["part"] == "penalty"].set_index("point")
    assert (penalty.loc["initial", "n_kinks"] == 0).all() and (penalty.loc["burnt in", "n_kinks"] > 0).all()
    assert check.passed, check.sentence


def test_users_own_data_and_examples_are_taken() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((50, 4)).astype(np.float32)
    for loss, y in (
        ("softmax_cross_entropy", np.array(["a", "b"])[generator.integers(0, 2, 50)]),
        ("binary_logistic", generator.integers(0, 2, 50)),
        ("squared_error", generator.standard_normal(50)),
    ):
        check = check_gradients(SMALL | {"loss": loss, "activation": "tanh"}, inputs, y)
        assert check.passed
        n_outputs = 2 if loss == "softmax_cross_entropy" else 1
        assert (check.table.set_index("group").loc[["bias 3"], "n_entries"] == n_outputs).all()
    examples = train.Examples(
        inputs=inputs, targets=np.eye(3, dtype=np.float32)[generator.integers(0, 3, 50)],
        row_weights=generator.uniform(0.5, 2, 50).astype(np.float32), train=np.arange(40), valid=np.arange(40, 50),
        order_seed=1,
    )  # fmt: skip
    assert check_gradients(Recipe(hidden_layer_sizes=(5,), activation="silu"), examples).passed


def test_a_target_of_floating_point_numbers_means_the_squared_error() -> None:
    generator = np.random.default_rng(0)
    check = check_gradients(SMALL, generator.standard_normal((20, 3)), generator.standard_normal(20))
    assert (check.table.set_index("group").loc[["bias 3"], "n_entries"] == 1).all()


def test_misuse_is_refused_at_the_door() -> None:
    for arguments in ({"n_rows": 0}, {"n_entries": 0}, {"burn_in": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be a whole number"):
            check_gradients(SMALL, **arguments)
    with pytest.raises(ValueError, match="X must hold finite numbers"):
        check_gradients(SMALL, [[np.nan, 1.0]], [1])
    with pytest.raises(ValueError, match="y must have a target for each of the 2"):
        check_gradients(SMALL, [[0.0], [1.0]], [1])
    with pytest.raises(ValueError, match="y must hold one class per row"):
        check_gradients(SMALL, [[0.0], [1.0]])
    with pytest.raises(ValueError, match="recipe must not diverge"):
        check_gradients(SMALL | {"learning_rate_init": 1e30, "update": "sgd", "loss": "squared_error"})
