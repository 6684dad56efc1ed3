"""Batch normalisation (Ioffe and Szegedy 2015): columns of a layer are standardised over the minibatch, then scaled.

It stands between the matrix product and the bias, which is its shift. Running means and variances are part of a model's
buffer; for prediction they are fused into matrices and biases, so that only training knows of normalisation.
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import READ_NUMBERS, compiled
from hpsearch.mlp.stack import Layout, Stack

Array = NDArray[np.float32]
Floats = NDArray[np.floating]

EPSILON = 1e-5
"""Added to variances."""
MOMENTUM = 0.1
"""How far the running statistics move towards those of a minibatch, as in PyTorch."""


def normalise_naive(layer: Floats, gain: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """gain · x̂ with x̂ = (layer − mean) / √(variance + ε) by column; also x̂, 1/√(…), the means and the variances."""
    mean, variance = layer.mean(axis=0), layer.var(axis=0)
    inverse = 1 / np.sqrt(variance + EPSILON)
    normed = (layer - mean) * inverse
    return gain * normed, normed, inverse, mean, variance


@compiled(f"void(float32[:, ::1], {READ_NUMBERS}, float32[::1], float32[::1], float64, float32[:, ::1], float32[::1])")
def normalise(
    layer: Array, gain: Array, mean: Array, variance: Array, momentum: float, normed: Array, inverse: Array
) -> None:
    """Normalise the columns of `layer` (n_rows, n_columns), the OUT array; all others OUT too, but for `gain`.

    `mean` and `variance` (n_columns,) move by `momentum` towards those of these rows, the variance with n − 1 in the
    denominator, as in PyTorch. `normed` (n_rows, n_columns) and `inverse` (n_columns,) are for the way back.
    """
    n_rows, n_columns = layer.shape
    towards, one = np.float32(momentum), np.float32(1)
    share, unbiased = one / np.float32(n_rows), one / np.float32(max(n_rows - 1, 1))
    sums = normed[0]
    sums[:] = 0
    inverse[:] = 0
    for i in range(n_rows):
        for j in range(n_columns):
            sums[j] += layer[i, j]
    for j in range(n_columns):
        sums[j] *= share
        mean[j] += towards * (sums[j] - mean[j])
    # the first row of x̂ holds the means, until all others are done
    for i in range(n_rows - 1, -1, -1):
        for j in range(n_columns):
            centred = layer[i, j] - sums[j]
            inverse[j] += centred * centred
            normed[i, j] = centred
    for j in range(n_columns):
        variance[j] += towards * (inverse[j] * unbiased - variance[j])
        inverse[j] = one / np.sqrt(inverse[j] * share + np.float32(EPSILON))
    for i in range(n_rows):
        for j in range(n_columns):
            normed[i, j] *= inverse[j]
            layer[i, j] = gain[j] * normed[i, j]


def normalise_backward_naive(deltas: Floats, normed: Floats, inverse: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """d loss / d (layer before) from deltas = d loss / d (layer after), and the gradient of the gains."""
    gain_gradient = (deltas * normed).sum(axis=0)
    return gain * inverse * (deltas - deltas.mean(axis=0) - normed * gain_gradient / len(deltas)), gain_gradient


@compiled(f"void(float32[:, ::1], float32[:, ::1], float32[::1], {READ_NUMBERS}, float32[::1], float32[::1])")
def normalise_backward(
    deltas: Array, normed: Array, inverse: Array, gain: Array, sums: Array, gain_gradient: Array
) -> None:
    """`deltas` (n_rows, n_columns) and `gain_gradient` (n_columns,) are OUT; `sums` of the deltas' columns are given."""
    n_rows, n_columns = deltas.shape
    share = np.float32(1) / np.float32(n_rows)
    gain_gradient[:] = 0
    for i in range(n_rows):
        for j in range(n_columns):
            gain_gradient[j] += deltas[i, j] * normed[i, j]
    for i in range(n_rows):
        for j in range(n_columns):
            centred = deltas[i, j] - share * (sums[j] + normed[i, j] * gain_gradient[j])
            deltas[i, j] = gain[j] * inverse[j] * centred


@compiled("void(float32[:, ::1], float32[::1], float32[::1])")
def column_statistics(layer: Array, mean: Array, variance: Array) -> None:
    """Means and variances (n − 1 in the denominator) of the columns of `layer`, into the OUT arrays (n_columns,)."""
    n_rows, n_columns = layer.shape
    share, unbiased = np.float32(1) / np.float32(n_rows), np.float32(1) / np.float32(max(n_rows - 1, 1))
    mean[:] = 0
    variance[:] = 0
    for i in range(n_rows):
        for j in range(n_columns):
            mean[j] += layer[i, j]
    for j in range(n_columns):
        mean[j] *= share
    for i in range(n_rows):
        for j in range(n_columns):
            centred = layer[i, j] - mean[j]
            variance[j] += centred * centred
    for j in range(n_columns):
        variance[j] *= unbiased


@compiled(f"void(float32[:, ::1], {READ_NUMBERS}, {READ_NUMBERS}, {READ_NUMBERS})")
def standardise(layer: Array, mean: Array, variance: Array, gain: Array) -> None:
    """gain · (layer − mean) / √(variance + ε) by column; `layer` is the OUT array."""
    for i in range(layer.shape[0]):
        for j in range(layer.shape[1]):
            layer[i, j] = gain[j] * (layer[i, j] - mean[j]) / np.sqrt(variance[j] + np.float32(EPSILON))


def fuse_naive(stack: Stack) -> None:
    """`fuse`, in place, for all models of a stack."""
    blocks = stack.matrices(), stack.biases(), stack.gains(), stack.means(), stack.variances()
    for matrices, biases, gains, means, variances in zip(*blocks, strict=False):
        factors = gains / np.sqrt(variances + np.float32(EPSILON))
        matrices *= factors[:, None, :]
        biases -= means * factors
        gains[...], means[...], variances[...] = 1, 0, np.float32(1 - EPSILON)


@compiled("void(Layout, float32[::1])")
def fuse(layout: Layout, weights: Array) -> None:
    """Multiply a model's running statistics and gains into its matrices and biases; `weights` is the OUT array.

        W ← W · γ/√(variance + ε)    b ← b − mean · γ/√(variance + ε)

    What is left normalises nothing: a network that reads matrices and biases alone gives the predictions.
    """
    if layout.normalised == 0:
        return
    one, epsilon = np.float32(1), np.float32(EPSILON)
    for layer in range(layout.columns.size - 1):
        n_in, n_columns = layout.units[layer], layout.columns[layer]
        matrix, bias = layout.matrix[layer], layout.bias[layer]
        gain, mean, variance = layout.gain[layer], layout.mean[layer], layout.variance[layer]
        for j in range(n_columns):
            factor = weights[gain + j] / np.sqrt(weights[variance + j] + epsilon)
            weights[bias + j] -= weights[mean + j] * factor
            weights[gain + j], weights[mean + j], weights[variance + j] = factor, np.float32(0), one - epsilon
        factors = weights[gain : gain + n_columns]
        for i in range(n_in):
            for j in range(n_columns):
                weights[matrix + i * n_columns + j] *= factors[j]
        factors[:] = one
