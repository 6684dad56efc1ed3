"""Update rules: one pass over a model's weights, its gradient and moments, and the moving average of its weights.

A rule is a kernel with the arguments of every other, and a naive twin. It works on the entries `start` to `stop` of
the whole (n_weights,) arrays and leaves the others alone, so that matrices and biases may be decayed unlike:

    g ← g + l2 · w + l1 · sign(w)                    penalties, sign(0) = 0; `add_penalty`
    step, moments ← the rule's, from g and moments
    w ← (1 − rate · decay) · w − step                decoupled decay
    average ← average + ema_step · (w − average)     `averages.ema_step`

Decoupled decay (Loshchilov and Hutter 2019; scaled by the rate, as in PyTorch) and penalties are two things: a rule
that divides by the gradient's size divides a penalty too, but not the decay. `moments` (n_moments, n_weights) start
from zero, and t = `n_updates` counts from 1. Compiled code knows a rule by its code, and calls it by `update_weights`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled

Array = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]
Numbers = float | Floats
Rule = Callable[[Floats, Floats, float, float, float, float, int], tuple[Floats, Floats]]
Naive = Callable[..., tuple[Floats, Floats, Floats]]

ARGUMENTS = (
    "float32[::1], float32[::1], float32[:, ::1], float32[::1], int64, int64,"
    " float64, float64, float64, float64, float64, float64, float64, int64, float64"
)
"""Argument types of all kernels."""

VANISHING = np.float32(1e-35)
"""Decaying first moments below this become 0, before they are subnormal: the processor works on those several times
slower, and a dead unit's would stay so for ever. Second moments decay too slowly for it to pay."""


def whole(rule: Rule) -> Naive:
    """The naive twin of a kernel, from its rule: (gradient, moments, rate, a, b, epsilon, t) ↦ (step, moments)."""

    def naive(
        weights: Floats, gradient: Floats, moments: Floats, average: Floats,
        rate: float, decay: Numbers, l1: Numbers, l2: Numbers, a: float, b: float, epsilon: float,
        n_updates: int, ema_step: float,
    ) -> tuple[Floats, Floats, Floats]:  # fmt: skip
        """The new weights, moments and average, in the dtype of the weights; `decay`, `l1`, `l2` also by weight."""
        penalised = gradient + l2 * weights + l1 * np.sign(weights)
        step, moments = rule(penalised, moments, rate, a, b, epsilon, n_updates)
        return moved(weights, (1 - rate * decay) * weights - step, moments, average, ema_step)

    return naive


def moved(
    weights: Floats, new_weights: Floats, moments: Floats, average: Floats, ema_step: float
) -> tuple[Floats, Floats, Floats]:
    """New weights, moments and average in the dtype of the old weights."""
    average = average + ema_step * (new_weights - average)
    dtype = weights.dtype
    return new_weights.astype(dtype), moments.astype(dtype), average.astype(dtype)


@compiled("void(float32[::1], float32[::1], int64, int64, float64, float64)")
def add_penalty(weights: Array, gradient: Array, start: int, stop: int, l1: float, l2: float) -> None:
    """gradient ← gradient + l2 · w + l1 · sign(w), the OUT array; a pass of its own, which most models do without."""
    if l1 == 0 and l2 == 0:
        return
    w, g = weights[start:stop], gradient[start:stop]
    pull, shrink = np.float32(l1), np.float32(l2)
    for i in range(w.size):
        side = pull if w[i] > 0 else (-pull if w[i] < 0 else np.float32(0))
        g[i] += shrink * w[i] + side


@compiled("float32(float32)")
def settled(moment: np.float32) -> np.float32:
    """The moment, or 0 where it is `VANISHING`; NaN stays NaN."""
    return np.float32(0) if np.abs(moment) < VANISHING else moment


def sgd_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """step = rate · g."""
    return rate * gradient, moments


@compiled(f"void({ARGUMENTS})")
def sgd(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Gradient descent, on minibatches stochastic: step = rate · g. No moments; `a`, `b`, `epsilon` are not read."""
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    lr = np.float32(rate)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        w[i] = shrink * w[i] - lr * g[i]
        mean[i] += towards * (w[i] - mean[i])


def momentum_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """v ← a · v − rate · g; step = −v."""
    velocity = a * moments[0] - rate * gradient
    return -velocity, np.stack([velocity])


@compiled(f"void({ARGUMENTS})")
def momentum(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Momentum (Polyak 1964), as in the CS231n notes: v ← a · v − rate · g; step = −v. One moment, v.

    The velocity carries the rate, unlike PyTorch's: after a change of rate the old steps run out at their own size.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    v = moments[0, start:stop]
    lr, keep = np.float32(rate), np.float32(a)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        velocity = settled(keep * v[i] - lr * g[i])
        v[i] = velocity
        w[i] = shrink * w[i] + velocity
        mean[i] += towards * (w[i] - mean[i])


def nesterov_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """v' ← a · v − rate · g; step = a · v − (1 + a) · v'."""
    velocity = a * moments[0] - rate * gradient
    return a * moments[0] - (1 + a) * velocity, np.stack([velocity])


@compiled(f"void({ARGUMENTS})")
def nesterov(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Nesterov's momentum, as in the CS231n notes: v' ← a · v − rate · g; step = a · v − (1 + a) · v'. One moment, v.

    The weights are those of the look-ahead (Bengio et al. 2013), where the gradient is taken.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    v = moments[0, start:stop]
    lr, keep, ahead = np.float32(rate), np.float32(a), np.float32(1 + a)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        old = keep * v[i]
        velocity = settled(old - lr * g[i])
        v[i] = velocity
        w[i] = shrink * w[i] - old + ahead * velocity
        mean[i] += towards * (w[i] - mean[i])


def adagrad_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """n ← n + g²; step = rate · g / (√n + ε)."""
    total = moments[0] + gradient**2
    return rate * gradient / (np.sqrt(total) + epsilon), np.stack([total])


@compiled(f"void({ARGUMENTS})")
def adagrad(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Adagrad (Duchi et al. 2011): n ← n + g²; step = rate · g / (√n + ε). One moment, n; `a`, `b` are not read."""
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    n = moments[0, start:stop]
    lr, eps = np.float32(rate), np.float32(epsilon)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        total = n[i] + g[i] * g[i]
        n[i] = total
        w[i] = shrink * w[i] - lr * g[i] / (np.sqrt(total) + eps)
        mean[i] += towards * (w[i] - mean[i])


def adadelta_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """v ← b·v + (1−b)g²; d = √((u + ε) / (v + ε)) · g; u ← b·u + (1−b)d²; step = rate · d."""
    square = b * moments[0] + (1 - b) * gradient**2
    change = np.sqrt((moments[1] + epsilon) / (square + epsilon)) * gradient
    return rate * change, np.stack([square, b * moments[1] + (1 - b) * change**2])


@compiled(f"void({ARGUMENTS})")
def adadelta(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Adadelta (Zeiler 2012), b = ρ; two moments, the mean squares v of gradients and u of changes.

        v ← b·v + (1−b)g²    d = √((u + ε) / (v + ε)) · g    u ← b·u + (1−b)d²    step = rate · d

    The paper has no rate: it is 1. Its ε, 1e-6, sets the size of the first steps.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    v, u = moments[0, start:stop], moments[1, start:stop]
    lr, eps, keep, fresh = np.float32(rate), np.float32(epsilon), np.float32(b), np.float32(1 - b)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        square = keep * v[i] + fresh * (g[i] * g[i])
        change = np.sqrt((u[i] + eps) / (square + eps)) * g[i]
        v[i] = square
        u[i] = keep * u[i] + fresh * (change * change)
        w[i] = shrink * w[i] - lr * change
        mean[i] += towards * (w[i] - mean[i])


def rmsprop_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """v ← b·v + (1−b)g²; step = rate · g / (√v + ε)."""
    square = b * moments[0] + (1 - b) * gradient**2
    return rate * gradient / (np.sqrt(square) + epsilon), np.stack([square])


@compiled(f"void({ARGUMENTS})")
def rmsprop(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """RMSprop (Tieleman and Hinton 2012), b = ρ: v ← b·v + (1−b)g²; step = rate · g / (√v + ε). One moment, v.

    Not corrected for its start from zero: the first step is 1/√(1−b) times the rate.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    v = moments[0, start:stop]
    lr, eps, keep, fresh = np.float32(rate), np.float32(epsilon), np.float32(b), np.float32(1 - b)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        square = keep * v[i] + fresh * (g[i] * g[i])
        v[i] = square
        w[i] = shrink * w[i] - lr * g[i] / (np.sqrt(square) + eps)
        mean[i] += towards * (w[i] - mean[i])


def adam_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """m ← a·m + (1−a)g; v ← b·v + (1−b)g²; step = rate · m/(1−aᵗ) / (√(v/(1−bᵗ)) + ε)."""
    first = a * moments[0] + (1 - a) * gradient
    second = b * moments[1] + (1 - b) * gradient**2
    corrected = first / (1 - a**n_updates) / (np.sqrt(second / (1 - b**n_updates)) + epsilon)
    return rate * corrected, np.stack([first, second])


@compiled(f"void({ARGUMENTS})")
def adam(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Adam (Kingma and Ba 2015) and AdamW, a = β₁, b = β₂: they differ in what decay is usual. Two moments, m and v.

    m ← a·m + (1−a)g    v ← b·v + (1−b)g²    step = rate · m/(1−aᵗ) / (√(v/(1−bᵗ)) + ε)
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    m, v = moments[0, start:stop], moments[1, start:stop]
    keep_1, fresh_1, keep_2, fresh_2 = np.float32(a), np.float32(1 - a), np.float32(b), np.float32(1 - b)
    lr, eps = np.float32(rate / (1 - a**n_updates)), np.float32(epsilon)
    correction = np.float32(1 / np.sqrt(1 - b**n_updates))
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        first = settled(keep_1 * m[i] + fresh_1 * g[i])
        second = keep_2 * v[i] + fresh_2 * (g[i] * g[i])
        m[i], v[i] = first, second
        w[i] = shrink * w[i] - lr * first / (np.sqrt(second) * correction + eps)
        mean[i] += towards * (w[i] - mean[i])


def nadam_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """Adam's moments; step = rate · (a·m/(1−aᵗ⁺¹) + (1−a)g/(1−aᵗ)) / (√(v/(1−bᵗ)) + ε)."""
    first = a * moments[0] + (1 - a) * gradient
    second = b * moments[1] + (1 - b) * gradient**2
    ahead = a * first / (1 - a ** (n_updates + 1)) + (1 - a) * gradient / (1 - a**n_updates)
    return rate * ahead / (np.sqrt(second / (1 - b**n_updates)) + epsilon), np.stack([first, second])


@compiled(f"void({ARGUMENTS})")
def nadam(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """Nadam (Dozat 2016): Adam with Nesterov's look-ahead, at a constant a = β₁; b = β₂. Moments m and v as of `adam`.

        step = rate · (a·m/(1−aᵗ⁺¹) + (1−a)g/(1−aᵗ)) / (√(v/(1−bᵗ)) + ε)

    PyTorch follows the report's warm-up of the momentum instead, μₜ = β₁(1 − 0.5 · 0.96^(0.004 t)), and with it
    carries the product of all μ: it starts from about half the momentum and reaches β₁ after some 10⁴ updates.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    m, v = moments[0, start:stop], moments[1, start:stop]
    keep_1, fresh_1, keep_2, fresh_2 = np.float32(a), np.float32(1 - a), np.float32(b), np.float32(1 - b)
    of_moment = np.float32(rate * a / (1 - a ** (n_updates + 1)))
    of_gradient = np.float32(rate * (1 - a) / (1 - a**n_updates))
    eps, correction = np.float32(epsilon), np.float32(1 / np.sqrt(1 - b**n_updates))
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        first = settled(keep_1 * m[i] + fresh_1 * g[i])
        second = keep_2 * v[i] + fresh_2 * (g[i] * g[i])
        m[i], v[i] = first, second
        w[i] = shrink * w[i] - (of_moment * first + of_gradient * g[i]) / (np.sqrt(second) * correction + eps)
        mean[i] += towards * (w[i] - mean[i])


def amsgrad_naive(
    gradient: Floats, moments: Floats, rate: float, a: float, b: float, epsilon: float, n_updates: int
) -> tuple[Floats, Floats]:
    """Adam's moments; u ← max(u, v); step = rate · m/(1−aᵗ) / (√(u/(1−bᵗ)) + ε)."""
    first = a * moments[0] + (1 - a) * gradient
    second = b * moments[1] + (1 - b) * gradient**2
    highest = np.maximum(moments[2], second)
    corrected = first / (1 - a**n_updates) / (np.sqrt(highest / (1 - b**n_updates)) + epsilon)
    return rate * corrected, np.stack([first, second, highest])


@compiled(f"void({ARGUMENTS})")
def amsgrad(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """AMSGrad (Reddi et al. 2018), a = β₁, b = β₂; three moments, those of `adam` and the highest v so far, u.

        u ← max(u, v)    step = rate · m/(1−aᵗ) / (√(u/(1−bᵗ)) + ε)

    As in PyTorch the maximum is of the uncorrected v, and then corrected; the paper corrects nothing.
    """
    add_penalty(weights, gradient, start, stop, l1, l2)
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    m, v, u = moments[0, start:stop], moments[1, start:stop], moments[2, start:stop]
    keep_1, fresh_1, keep_2, fresh_2 = np.float32(a), np.float32(1 - a), np.float32(b), np.float32(1 - b)
    lr, eps = np.float32(rate / (1 - a**n_updates)), np.float32(epsilon)
    correction = np.float32(1 / np.sqrt(1 - b**n_updates))
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        first = settled(keep_1 * m[i] + fresh_1 * g[i])
        second = keep_2 * v[i] + fresh_2 * (g[i] * g[i])
        # in this order a NaN in `second` wins
        highest = u[i] if u[i] >= second else second
        m[i], v[i], u[i] = first, second, highest
        w[i] = shrink * w[i] - lr * first / (np.sqrt(highest) * correction + eps)
        mean[i] += towards * (w[i] - mean[i])


def ftrl_naive(
    weights: Floats, gradient: Floats, moments: Floats, average: Floats,
    rate: float, decay: Numbers, l1: Numbers, l2: Numbers, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """The new weights, moments and average; arguments as of the function that `whole` returns."""
    total = moments[0] + gradient**2
    curvature = (a + np.sqrt(total)) / max(rate, 1e-30) + l2
    held = moments[1] - l2 * weights if n_updates == 1 else moments[1]
    decayed = (1 - rate * decay) * weights
    pull = curvature * decayed + held - gradient
    absorbed = np.clip(pull, -np.asarray(l1), l1)
    new_weights = np.where(pull == absorbed, 0, decayed + (held - absorbed - gradient) / curvature)
    return moved(weights, new_weights, np.stack([total, absorbed]), average, ema_step)


@compiled(f"void({ARGUMENTS})")
def ftrl(
    weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """FTRL-proximal (McMahan et al. 2013), a = β; `b`, `epsilon` are not read. Two moments, n and s. Gives exact zeros.

        n ← n + g²    c = (a + √n) / rate + l2    y = c·w + s − g    s ← clip(y, −l1, l1)    w ← (y − s) / c

    Each step so minimises Σ g·w + ½ Σ σ·(w − wₜ)² + l1·|w| + ½·l2·w², with all gradients so far: l1 and l2 are not
    added at every step, as the other rules do, but weigh against the sum, so their pull fades as gradients add up.
    The paper stores z = −(c·w + s) instead of s, the part of l1 in use. That ties z to one rate, and a schedule
    would shrink the weights; s is the same at any rate. The first proximal term, ½·(a/rate)·(w − w₁)², is centred
    on the initial weights, which may so be any; from zeros it is the paper's algorithm.
    """
    w, g, mean = weights[start:stop], gradient[start:stop], average[start:stop]
    n, s = moments[0, start:stop], moments[1, start:stop]
    # at rate 0, which a schedule may end with, the curvature is huge and the weights stay
    beta, inverse, ridge, limit = np.float32(a), np.float32(1 / max(rate, 1e-30)), np.float32(l2), np.float32(l1)
    initial_pull = ridge if n_updates == 1 else np.float32(0)
    shrink, towards = np.float32(1 - rate * decay), np.float32(ema_step)
    for i in range(w.size):
        total = n[i] + g[i] * g[i]
        curvature = (beta + np.sqrt(total)) * inverse + ridge
        held = s[i] - initial_pull * w[i]
        decayed = shrink * w[i]
        pull = curvature * decayed + held - g[i]
        absorbed = limit if pull > limit else (-limit if pull < -limit else pull)
        # (pull − absorbed) / curvature, without the loss of digits in their difference
        following = decayed + (held - absorbed - g[i]) / curvature
        n[i], s[i] = total, absorbed
        w[i] = np.float32(0) if pull == absorbed else following
        mean[i] += towards * (w[i] - mean[i])


@dataclass(frozen=True)
class Update:
    """An update rule by name: its code, its kernel and the naive twin, and what they need.

    `n_moments` arrays of the weights' size are its state; `coefficients` names the fields of a recipe that its
    numbers `a` and `b` come from, None for one it does not read; `decay` is the decoupled decay usual with it.
    """

    code: int
    kernel: Callable[..., None]
    naive: Naive
    n_moments: int
    coefficients: tuple[str | None, str | None] = (None, None)
    decay: float = 0.0


SGD, MOMENTUM, NESTEROV, ADAGRAD, ADADELTA, RMSPROP, ADAM, NADAM, AMSGRAD, FTRL = range(10)
BETAS = ("beta_1", "beta_2")
UPDATES = {
    "sgd": Update(SGD, sgd, whole(sgd_naive), 0),
    "momentum": Update(MOMENTUM, momentum, whole(momentum_naive), 1, ("momentum", None)),
    "nesterov": Update(NESTEROV, nesterov, whole(nesterov_naive), 1, ("momentum", None)),
    "adagrad": Update(ADAGRAD, adagrad, whole(adagrad_naive), 1),
    "adadelta": Update(ADADELTA, adadelta, whole(adadelta_naive), 2, (None, "rho")),
    "rmsprop": Update(RMSPROP, rmsprop, whole(rmsprop_naive), 1, (None, "rho")),
    "adam": Update(ADAM, adam, whole(adam_naive), 2, BETAS),
    "adamw": Update(ADAM, adam, whole(adam_naive), 2, BETAS, decay=1e-2),
    "nadam": Update(NADAM, nadam, whole(nadam_naive), 2, BETAS),
    "amsgrad": Update(AMSGRAD, amsgrad, whole(amsgrad_naive), 3, BETAS),
    "ftrl": Update(FTRL, ftrl, ftrl_naive, 2, ("ftrl_beta", None)),
}


@compiled(f"void(int64, {ARGUMENTS})")
def update_weights(
    code: int, weights: Array, gradient: Array, moments: Array, average: Array, start: int, stop: int,
    rate: float, decay: float, l1: float, l2: float, a: float, b: float, epsilon: float,
    n_updates: int, ema_step: float,
) -> None:  # fmt: skip
    """The kernel of the update rule with this `code`; see `UPDATES`.

    OUT are the entries `start` to `stop` of `weights`, `moments` and `average`, and of `gradient`, which gets the
    penalties.
    """
    arguments = (
        weights, gradient, moments, average, start, stop, rate, decay, l1, l2, a, b, epsilon, n_updates, ema_step,
    )  # fmt: skip
    if code == SGD:
        sgd(*arguments)
    elif code == MOMENTUM:
        momentum(*arguments)
    elif code == NESTEROV:
        nesterov(*arguments)
    elif code == ADAGRAD:
        adagrad(*arguments)
    elif code == ADADELTA:
        adadelta(*arguments)
    elif code == RMSPROP:
        rmsprop(*arguments)
    elif code == ADAM:
        adam(*arguments)
    elif code == NADAM:
        nadam(*arguments)
    elif code == AMSGRAD:
        amsgrad(*arguments)
    elif code == FTRL:
        ftrl(*arguments)
    else:
        raise ValueError("no update rule has this code")
