"""Changes to images in a minibatch, in place: moved, flipped, cut out, made brighter or of more contrast.

A row of a batch (n_rows, height · width · channels) is an image in C order, `image_shape` = (height, width, channels).
Each image makes one draw per operation, from its own word of noise: word i of the kernel's `key` is for row i, as in
the `words` of the naive twins. Zero is the mean of standardised inputs, and what fills in.
"""

import numpy as np
from numpy.typing import NDArray

from hpsearch.mlp.kernels import compiled
from hpsearch.mlp.noise import noise_word, signed_unit, signed_unit_naive, whole_below, whole_below_naive

Array = NDArray[np.float32]
Floats = NDArray[np.floating]
Words = NDArray[np.uint64]
Shape = tuple[int, int, int]

SHAPE = "UniTuple(int64, 3)"
"""Argument type of `image_shape`."""


def _pair_below_naive(words: Words, first: int, second: int) -> NDArray[np.int64]:
    """Two whole numbers per word, below `first` and below `second`, from its upper and its lower half."""
    lower = words << np.uint64(32)
    return np.stack([whole_below_naive(words, first), whole_below_naive(lower, second)], axis=1)


def move_naive(batch: Floats, image_shape: Shape, distance: int, reflects: bool, words: Words) -> Floats:
    """Each image moved down and right by whole numbers from −distance to distance; see `move`."""
    margin = ((distance, distance), (distance, distance), (0, 0))
    height, width, _ = image_shape
    offsets = _pair_below_naive(words, 2 * distance + 1, 2 * distance + 1)
    moved = np.empty_like(batch)
    for i, (down, right) in enumerate(offsets):
        padded = np.pad(batch[i].reshape(image_shape), margin, mode="reflect" if reflects else "constant")
        top, left = 2 * distance - down, 2 * distance - right
        moved[i] = padded[top : top + height, left : left + width].ravel()
    return moved


@compiled("int64(int64, int64)")
def _mirrored(position: int, size: int) -> int:
    """The place in [0, size) that a position less than `size` outside reflects: −1 → 1, size → size − 2."""
    if position < 0:
        return -position
    return position if position < size else 2 * (size - 1) - position


@compiled(f"void(float32[:, ::1], {SHAPE}, int64, boolean, uint64, float32[::1])")
def move(batch: Array, image_shape: Shape, distance: int, reflects: bool, key: np.uint64, spare: Array) -> None:
    """Each image moves by up to ±`distance` pixels, down and right, evenly; `distance` is less than either side.

    What comes in at the border is zero ("shift"; the same as padding with zeros and cropping, He et al. 2016), or with
    `reflects` the image's mirror, without its outermost pixels ("crop and pad"). `spare` (≥ n_inputs,) is overwritten.
    """
    height, width, channels = image_shape
    image = spare[: batch.shape[1]]
    span = 2 * distance + 1
    for i in range(batch.shape[0]):
        word = noise_word(key, i)
        down = whole_below(word, span) - distance
        right = whole_below(word << np.uint64(32), span) - distance
        for j in range(image.size):
            image[j] = batch[i, j]
        offset = (down * width + right) * channels
        # all at once, which is right but for what comes in
        for j in range(max(0, offset), batch.shape[1] + min(0, offset)):
            batch[i, j] = image[j - offset]
        for y in range(height):
            first, last = (0, right) if right >= 0 else (width + right, width)
            if not 0 <= y - down < height:
                first, last = 0, width
            line = _mirrored(y - down, height) * width
            for x in range(first, last):
                here, source = (y * width + x) * channels, (line + _mirrored(x - right, width)) * channels
                for c in range(channels):
                    batch[i, here + c] = image[source + c] if reflects else np.float32(0)


def flip_naive(batch: Floats, image_shape: Shape, words: Words) -> Floats:
    """Each image left for right where the highest bit of its word is 1."""
    images = batch.reshape(-1, *image_shape)
    flips = (words >> np.uint64(63)).astype(bool)[:, None, None, None]
    return np.where(flips, images[:, :, ::-1], images).reshape(batch.shape)


@compiled(f"void(float32[:, ::1], {SHAPE}, uint64)")
def flip(batch: Array, image_shape: Shape, key: np.uint64) -> None:
    """Each image is turned left for right with probability 1/2."""
    height, width, channels = image_shape
    for i in range(batch.shape[0]):
        if noise_word(key, i) >> np.uint64(63) == 0:
            continue
        for y in range(height):
            line = y * width
            for x in range(width // 2):
                left, right = (line + x) * channels, (line + width - 1 - x) * channels
                for c in range(channels):
                    batch[i, left + c], batch[i, right + c] = batch[i, right + c], batch[i, left + c]


def cutout_naive(batch: Floats, image_shape: Shape, side: int, words: Words) -> Floats:
    """Each image with a square of zeros; see `cutout`."""
    images = batch.reshape(-1, *image_shape).copy()
    for image, (y, x) in zip(images, _pair_below_naive(words, *image_shape[:2]), strict=True):
        top, left = y - side // 2, x - side // 2
        image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
    return images.reshape(batch.shape)


@compiled(f"void(float32[:, ::1], {SHAPE}, int64, uint64)")
def cutout(batch: Array, image_shape: Shape, side: int, key: np.uint64) -> None:
    """A square of each image becomes zero; its centre is any pixel, so that it may stick out (DeVries, Taylor 2017)."""
    height, width, channels = image_shape
    for i in range(batch.shape[0]):
        word = noise_word(key, i)
        top = whole_below(word, height) - side // 2
        left = whole_below(word << np.uint64(32), width) - side // 2
        first, last = max(left, 0) * channels, min(left + side, width) * channels
        for y in range(max(top, 0), min(top + side, height)):
            batch[i, y * width * channels + first : y * width * channels + last] = 0


def brighten_naive(batch: Floats, strength: float, words: Words) -> Floats:
    """batch + strength · u, where u in [−1, 1) is one number per image."""
    return np.asarray(batch + strength * signed_unit_naive(words)[:, None], dtype=batch.dtype)


@compiled("void(float32[:, ::1], float32, uint64)")
def brighten(batch: Array, strength: np.float32, key: np.uint64) -> None:
    """Each image becomes brighter or darker by up to `strength`."""
    for i in range(batch.shape[0]):
        change = strength * signed_unit(noise_word(key, i))
        for j in range(batch.shape[1]):
            batch[i, j] += change


def change_contrast_naive(batch: Floats, strength: float, words: Words) -> Floats:
    """mean + (1 + strength · u) · (batch − mean), with each image's mean, and u in [−1, 1) one number per image."""
    means = batch.mean(axis=1, keepdims=True)
    factors = 1 + strength * signed_unit_naive(words)[:, None]
    return np.asarray(means + factors * (batch - means), dtype=batch.dtype)


@compiled("void(float32[:, ::1], float32, uint64)")
def change_contrast(batch: Array, strength: np.float32, key: np.uint64) -> None:
    """Each image's deviations from its mean grow or shrink by up to a share of `strength`."""
    n_inputs = batch.shape[1]
    for i in range(batch.shape[0]):
        change = strength * signed_unit(noise_word(key, i))
        total = np.float32(0)
        for j in range(n_inputs):
            total += batch[i, j]
        mean = total / np.float32(n_inputs)
        for j in range(n_inputs):
            batch[i, j] += change * (batch[i, j] - mean)
