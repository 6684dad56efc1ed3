"""Update rules: each against its naive twin, the papers' algorithms in float64, and what any rule must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.updates import UPDATES, settled, update_weights

SEEDS = st.integers(0, 2**32 - 1)
RATE, MOMENTUM, RHO, BETA_1, BETA_2, EPSILON, FTRL_BETA = 0.05, 0.9, 0.95, 0.8, 0.97, 1e-6, 1.0
VALUES = {"momentum": MOMENTUM, "rho": RHO, "beta_1": BETA_1, "beta_2": BETA_2, "ftrl_beta": FTRL_BETA}
RATES = dict.fromkeys(UPDATES, RATE) | {"adagrad": 0.5, "adadelta": 1.0, "ftrl": 0.5}
"""A rate for each rule that suits a bowl of size one."""


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def coefficients(name: str) -> tuple[float, float]:
    first, second = (VALUES[field] if field else 0.0 for field in UPDATES[name].coefficients)
    return first, second


def state(name: str, n: int, seed: int) -> list[np.ndarray]:
    """Weights, gradient, moments (positive, as squares are) and average."""
    moments = np.square(normals(seed + 2, UPDATES[name].n_moments, n))
    return [normals(seed, n), normals(seed + 1, n), moments, normals(seed + 3, n)]


CURVATURES = np.linspace(0.1, 2, 12)
BOTTOM = np.linspace(-1, 1, 12)


def bowl_gradient(weights: np.ndarray) -> np.ndarray:
    return CURVATURES * (weights - BOTTOM)


def bowl(weights: np.ndarray) -> float:
    return float(np.sum(CURVATURES * (weights - BOTTOM) ** 2) / 2)


def descend(name: str, weights: np.ndarray, n_steps: int, *, decay=0.0, l1=0.0, l2=0.0) -> np.ndarray:
    """The weights after each of some steps of the naive twin down the bowl."""
    moments, average = np.zeros((UPDATES[name].n_moments, len(weights)), weights.dtype), weights
    path = []
    for t in range(1, n_steps + 1):
        weights, moments, average = UPDATES[name].naive(
            weights, bowl_gradient(weights), moments, average, RATES[name], decay, l1, l2,
            *coefficients(name), EPSILON, t, 0.1,
        )  # fmt: skip
        path.append(weights)
    return np.array(path)


def test_rules_of_one_code_share_a_kernel():
    kernels = {update.code: update.kernel for update in UPDATES.values()}
    assert all(kernels[update.code] is update.kernel for update in UPDATES.values())
    assert len(set(kernels.values())) == len(kernels)


def test_an_unknown_code_is_an_error():
    weights, gradient, moments, average = state("adam", 4, 0)
    with pytest.raises(ValueError, match="no update rule"):
        update_weights(-1, weights, gradient, moments, average, 0, 4, 0.1, 0, 0, 0, 0.9, 0.999, 1e-8, 1, 0.1)


@pytest.mark.parametrize("name", UPDATES)
@settings(max_examples=30)
@given(
    n=st.integers(1, 200), seed=SEEDS, n_updates=st.one_of(st.just(1), st.integers(1, 5000)), data=st.data(),
    decay=st.floats(0, 1), l1=st.floats(0, 1), l2=st.floats(0, 1), rate=st.floats(1e-5, 1e-1),
)  # fmt: skip
def test_an_update_rule_equals_its_naive_twin(name, n, seed, n_updates, data, decay, l1, l2, rate):
    start = data.draw(st.integers(0, n), "start")
    stop = data.draw(st.integers(start, n), "stop")
    before = state(name, n, seed)
    numbers = (rate, decay, l1, l2, *coefficients(name), EPSILON, n_updates, 0.01)
    arrays, through_code = ([array.copy() for array in before] for _ in range(2))
    UPDATES[name].kernel(*arrays, start, stop, *numbers)
    update_weights(UPDATES[name].code, *through_code, start, stop, *numbers)
    for got, wanted in zip(through_code, arrays, strict=True):
        # compiled into the dispatcher, a product and a sum may be rounded once where they are rounded twice alone
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    for got, old in zip(arrays, before, strict=True):
        outside = np.r_[0:start, stop:n]
        np.testing.assert_array_equal(got[..., outside], old[..., outside])
    expected = UPDATES[name].naive(*(array[..., start:stop] for array in before), *numbers)
    for got, wanted in zip((arrays[0], arrays[2], arrays[3]), expected, strict=True):
        scale = max(1, np.abs(wanted).max(initial=0))
        np.testing.assert_allclose(got[..., start:stop], wanted, rtol=2e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_a_naive_twin_keeps_the_dtype(name, dtype):
    arrays = [array.astype(dtype) for array in state(name, 5, 0)]
    decay, l1, l2 = np.array([0, 0, 0.1, 0.1, 0.1]), np.full(5, 0.2), np.float64(0.1)
    for array in UPDATES[name].naive(*arrays, np.float64(0.1), decay, l1, l2, *coefficients(name), EPSILON, 3, 0.1):
        assert array.dtype == dtype


def sgd(w, n_steps):
    for _ in range(n_steps):
        w = w - RATE * bowl_gradient(w)
        yield w


def momentum(w, n_steps):
    """The velocity in units of gradients, as in Sutskever et al. 2013 divided by the rate."""
    velocity = 0
    for _ in range(n_steps):
        velocity = MOMENTUM * velocity + bowl_gradient(w)
        w = w - RATE * velocity
        yield w


def nesterov(w, n_steps):
    """Sutskever et al. 2013: the gradient is taken ahead of the weights; ours are those ahead."""
    velocity = np.zeros_like(w)
    for _ in range(n_steps):
        velocity = MOMENTUM * velocity - RATE * bowl_gradient(w + MOMENTUM * velocity)
        w = w + velocity
        yield w + MOMENTUM * velocity


def adagrad(w, n_steps):
    gradients = []
    for _ in range(n_steps):
        gradients.append(bowl_gradient(w))
        w = w - RATES["adagrad"] * gradients[-1] / (np.linalg.norm(gradients, axis=0) + EPSILON)
        yield w


def adadelta(w, n_steps):
    """Zeiler 2012, algorithm 1."""
    squares = changes = np.zeros_like(w)
    for _ in range(n_steps):
        g = bowl_gradient(w)
        squares = RHO * squares + (1 - RHO) * g**2
        change = -np.sqrt(changes + EPSILON) / np.sqrt(squares + EPSILON) * g
        changes = RHO * changes + (1 - RHO) * change**2
        w = w + change
        yield w


def rmsprop(w, n_steps):
    square = 0
    for _ in range(n_steps):
        g = bowl_gradient(w)
        square = RHO * square + (1 - RHO) * g**2
        w = w - RATE * g / (np.sqrt(square) + EPSILON)
        yield w


def adam(w, n_steps):
    """Kingma and Ba 2015, algorithm 1."""
    m = v = 0
    for t in range(1, n_steps + 1):
        g = bowl_gradient(w)
        m, v = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * v + (1 - BETA_2) * g * g
        m_hat, v_hat = m / (1 - BETA_1**t), v / (1 - BETA_2**t)
        w = w - RATE * m_hat / (np.sqrt(v_hat) + EPSILON)
        yield w


def nadam(w, n_steps):
    """Dozat 2016, algorithm 2, with one μ throughout."""
    m = n = 0
    for t in range(1, n_steps + 1):
        g = bowl_gradient(w)
        m, n = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * n + (1 - BETA_2) * g * g
        g_hat, m_hat = g / (1 - BETA_1**t), m / (1 - BETA_1 ** (t + 1))
        ahead = (1 - BETA_1) * g_hat + BETA_1 * m_hat
        w = w - RATE * ahead / (np.sqrt(n / (1 - BETA_2**t)) + EPSILON)
        yield w


def amsgrad(w, n_steps):
    """Reddi et al. 2018, algorithm 2, with Adam's corrections after the maximum."""
    m, seconds = 0, [np.zeros_like(w)]
    for t in range(1, n_steps + 1):
        g = bowl_gradient(w)
        m = BETA_1 * m + (1 - BETA_1) * g
        seconds.append(BETA_2 * seconds[-1] + (1 - BETA_2) * g * g)
        v_hat = np.max(seconds, axis=0) / (1 - BETA_2**t)
        w = w - RATE * m / (1 - BETA_1**t) / (np.sqrt(v_hat) + EPSILON)
        yield w


def ftrl(w, n_steps, l1=0.0, l2=0.0):
    """McMahan et al. 2013, algorithm 1; z starts so that the first proximal term is centred on the weights."""
    alpha = RATES["ftrl"]
    z, n = -w * FTRL_BETA / alpha, np.zeros_like(w)
    for _ in range(n_steps):
        g = bowl_gradient(w)
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / alpha
        z, n = z + g - sigma * w, n + g**2
        dense = -(z - np.sign(z) * l1) / ((FTRL_BETA + np.sqrt(n)) / alpha + l2)
        w = np.where(np.abs(z) <= l1, 0, dense)
        yield w


REFERENCES = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "adadelta": adadelta,
    "rmsprop": rmsprop, "adam": adam, "adamw": adam, "nadam": nadam, "amsgrad": amsgrad, "ftrl": ftrl,
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_a_rule_is_the_papers(name):
    weights = normals(1, 12).astype(np.float64)
    np.testing.assert_allclose(descend(name, weights, 25), list(REFERENCES[name](weights, 25)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weights", [np.zeros(12), normals(1, 12).astype(np.float64)])
def test_ftrl_with_its_own_penalties_is_the_papers(weights):
    path, expected = descend("ftrl", weights, 25, l1=0.4, l2=0.3), list(ftrl(weights, 25, l1=0.4, l2=0.3))
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)
    assert (path == 0).any() and (path[-1] != 0).any()


@pytest.mark.parametrize("name", UPDATES)
def test_a_rule_goes_down_a_bowl(name):
    arrays = [np.zeros(12, np.float32), None, np.zeros((UPDATES[name].n_moments, 12), np.float32), None]
    arrays[3] = arrays[0].copy()
    for t in range(1, 301):
        arrays[1] = bowl_gradient(arrays[0]).astype(np.float32)
        numbers = (RATES[name], 0.0, 0.0, 0.0, *coefficients(name), EPSILON, t, 0.1)
        update_weights(UPDATES[name].code, *arrays, 0, 12, *numbers)
    assert bowl(arrays[0]) < 0.05 * bowl(np.zeros(12))
    assert bowl(arrays[3]) < 0.05 * bowl(np.zeros(12))


@pytest.mark.parametrize("name", [name for name in UPDATES if name != "ftrl"])
def test_a_penalty_is_part_of_the_gradient(name):
    weights, gradient, moments, average = (array.astype(np.float64) for array in state(name, 30, 5))
    weights[::3] = 0
    ends = (*coefficients(name), EPSILON, 4, 0.1)
    with_penalty = UPDATES[name].naive(weights, gradient, moments, average, 0.1, 0.0, 0.3, 0.2, *ends)
    penalised = gradient + 0.2 * weights + 0.3 * np.sign(weights)
    as_gradient = UPDATES[name].naive(weights, penalised, moments, average, 0.1, 0.0, 0.0, 0.0, *ends)
    for got, wanted in zip(with_penalty, as_gradient, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_decay_and_l2_penalty_are_one_for_sgd_and_two_for_adam():
    weights = normals(1, 12).astype(np.float64)
    np.testing.assert_allclose(descend("sgd", weights, 20, decay=0.1), descend("sgd", weights, 20, l2=0.1), rtol=1e-12)
    decayed, penalised = descend("adam", weights, 20, decay=0.1), descend("adam", weights, 20, l2=0.1)
    assert np.abs(decayed - penalised).max() > 1e-2


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_decoupled_decay_alone_shrinks_by_its_share(name, penalty):
    weights = normals(0, 9)
    arrays = [weights.copy(), np.zeros(9, np.float32), np.zeros((UPDATES[name].n_moments, 9), np.float32), weights * 1]
    UPDATES[name].kernel(*arrays, 0, 9, 0.1, 0.5, 0.0, 0.0, *coefficients(name), 1e-8, 2, 1.0)
    np.testing.assert_allclose(arrays[0], 0.95 * weights, rtol=1e-5)
    np.testing.assert_array_equal(arrays[3], arrays[0])


@pytest.mark.parametrize("name", UPDATES)
def test_nan_in_a_gradient_shows_in_the_weights(name):
    arrays = state(name, 50, 0)
    arrays[1][17] = np.nan
    UPDATES[name].kernel(*arrays, 0, 50, 0.1, 0.01, 0.1, 0.1, *coefficients(name), 1e-8, 3, 0.1)
    for array in (arrays[0], arrays[3]):
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(array)), [17])
    # and it stays
    arrays[1][:] = 0
    UPDATES[name].kernel(*arrays, 0, 50, 0.1, 0.01, 0.1, 0.1, *coefficients(name), 1e-8, 4, 0.1)
    assert np.isnan(arrays[0][17])


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("name", UPDATES)
def test_nothing_moves_without_gradient_and_rate(name, rate):
    weights = normals(0, 40)
    weights[::4] = 0
    arrays = [
        weights.copy(),
        np.zeros(40, np.float32),
        np.zeros((UPDATES[name].n_moments, 40), np.float32),
        weights * 1,
    ]
    for t in range(1, 4):
        if rate == 0:
            arrays[1][:] = normals(t, 40)
        UPDATES[name].kernel(*arrays, 0, 40, rate, 0.0, 0.0, 0.0, *coefficients(name), 1e-8, t, 0.1)
    # FTRL divides by the rate, and takes 1e-30 for 0
    np.testing.assert_allclose(arrays[0], weights, rtol=0, atol=1e-29 if name == "ftrl" else 0)


def test_ftrl_gives_exact_zeros_and_keeps_its_weights_when_the_rate_changes():
    weights, gradient, moments, average = normals(0, 200), 0.1 * normals(1, 200), np.zeros((2, 200), np.float32), None
    average = weights.copy()
    numbers = (0.0, 2.0, 0.1, FTRL_BETA, 0.0, EPSILON)
    UPDATES["ftrl"].kernel(weights, gradient, moments, average, 0, 200, 0.1, *numbers, 1, 0.1)
    zeros = np.flatnonzero(weights == 0)
    assert 5 < len(zeros) < 100
    before = weights.copy()
    UPDATES["ftrl"].kernel(weights, np.zeros_like(gradient), moments, average, 0, 200, 1e-3, *numbers, 2, 0.1)
    np.testing.assert_allclose(weights, before, rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(weights == 0), zeros)


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam", "nadam", "amsgrad"])
def test_moments_settle_at_zero_before_they_are_subnormal(name):
    arrays = state(name, 8, 0)
    arrays[1][:] = 0
    arrays[2][0] = 2e-38
    UPDATES[name].kernel(*arrays, 0, 8, 0.1, 0.0, 0.0, 0.0, *coefficients(name), 1e-8, 9, 0.1)
    np.testing.assert_array_equal(arrays[2][0], 0)


@given(st.floats(width=32))
def test_what_settles_is_tiny(moment):
    expected = 0 if abs(moment) < np.float32(1e-35) else moment
    np.testing.assert_array_equal(settled(np.float32(moment)), np.float32(expected))
