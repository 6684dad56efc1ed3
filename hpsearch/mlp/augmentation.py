"""Augmentation: what changes the rows of a minibatch, in training only.

An `Augmentation` names what is done and how strongly; its `Strengths` are what compiled code reads. `augment` works on
a batch in place, with the noise of one update of one model. The operations come in this order: images are moved,
flipped, changed in contrast and brightness, and cut; cells are swapped; noise is added; rows are mixed. Each has its
own stream of noise, so that switching one on leaves the draws of the others as they were.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from hpsearch.mlp.images import (
    SHAPE,
    brighten,
    brighten_naive,
    change_contrast,
    change_contrast_naive,
    cutout,
    cutout_naive,
    flip,
    flip_naive,
    move,
    move_naive,
)
from hpsearch.mlp.kernels import READ_INDEX, READ_NUMBERS, READ_ROWS, ReadNumbers, compiled, copy_numbers, record
from hpsearch.mlp.layers import dropout_threshold
from hpsearch.mlp.noise import (
    MASK,
    fill_noise_naive,
    mix,
    mix_naive,
    noise_key,
    noise_word,
    whole_below,
    whole_below_naive,
)

Array = NDArray[np.float32]
Floats = NDArray[np.floating]
Words = NDArray[np.uint64]

GAUSSIAN, SWAP, MIXUP, SHIFT, FLIP, CROP_PAD, CUTOUT, BRIGHTNESS, CONTRAST = range(-2, -11, -1)
"""Streams of noise. Those of layers are their numbers, from 0; −1 is the inputs' dropout."""

BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "noise": (0, None),
    "swap_noise": (0, 1),
    "mixup": (0, None),
    "shift": (0, None),
    "crop_pad": (0, None),
    "cutout": (0, None),
    "brightness": (0, None),
    "contrast": (0, 1),
}
"""Natural bounds of the numbers, (lowest, highest); the lowest may be reached, the highest may not."""

PIXELS = ("shift", "crop_pad", "cutout")
"""Strengths that are whole numbers of pixels."""

IMAGE_OPERATIONS = (*PIXELS, "flip", "brightness", "contrast")
"""Strengths that are for images."""


@record
class Strengths(NamedTuple):
    """An `Augmentation` as compiled code reads it; 0 switches an operation off, and its table is not read.

    `swap_threshold` is 256 · swap_noise. `normals` and `shares` are `normal_table()` and `mixup_table(mixup)`.
    """

    noise: float
    swap_threshold: int
    mixup: float
    image_shape: Annotated[tuple[int, int, int], SHAPE]
    shift: int
    flip: int
    crop_pad: int
    cutout: int
    brightness: float
    contrast: float
    normals: ReadNumbers
    shares: ReadNumbers


@dataclass(frozen=True)
class Augmentation:
    """What is done to a minibatch. By default nothing; see `BOUNDS`.

    Attributes:
        noise: standard deviation of Gaussian noise on every input, ≥ 0.
        swap_noise: share of cells replaced by another row's, in [0, 1), to the nearest 256th.
        mixup: the parameter of mixup's Beta distribution, ≥ 0; 0.1 to 0.4 is usual, and 0 mixes nothing.
        image_shape: (height, width) or (height, width, channels) of inputs that are images in C order; else empty.
        shift: images move by up to so many pixels, whole, ≥ 0; zeros come in.
        flip: images are turned left for right, half of them.
        crop_pad: as `shift`, but the image's mirror comes in.
        cutout: side of a square of zeros, in pixels, whole, ≥ 0.
        brightness: images become brighter or darker by up to this, ≥ 0, in units of the inputs.
        contrast: an image's deviations from its mean grow or shrink by up to this share, in [0, 1).
    """

    noise: float = 0.0
    swap_noise: float = 0.0
    mixup: float = 0.0
    image_shape: tuple[int, ...] = ()
    shift: int = 0
    flip: bool = False
    crop_pad: int = 0
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        shape = self.image_shape
        if shape and (len(shape) not in (2, 3) or not all(isinstance(side, int) and side >= 1 for side in shape)):
            raise ValueError(f"image_shape must be 2 or 3 whole numbers ≥ 1, or empty, but got {shape!r}")
        for name in IMAGE_OPERATIONS:
            if getattr(self, name) and not shape:
                raise ValueError(f"{name} needs an image_shape, but got {name}={getattr(self, name)!r} without one")
        for name in PIXELS:
            pixels = getattr(self, name)
            if not isinstance(pixels, int) or pixels < 0 or pixels >= min((pixels + 1, *shape[:2])):
                rule = f"a whole number ≥ 0, less than each side of image_shape={shape!r}"
                raise ValueError(f"{name} must be {rule}, but got {pixels!r}")

    @property
    def is_on(self) -> bool:
        """Is there anything to do?"""
        return any(getattr(self, name) for name in (*BOUNDS, "flip"))

    def strengths(self, n_inputs: int) -> Strengths:
        """What `augment` reads, for rows of `n_inputs` numbers.

        Raises:
            ValueError: if the images of `image_shape` are of another size.
        """
        height, width, channels = (*self.image_shape, 1, 1)[:3] if self.image_shape else (1, n_inputs, 1)
        if height * width * channels != n_inputs:
            raise ValueError(f"image_shape must multiply to the {n_inputs} inputs, but got {self.image_shape!r}")
        nothing = _frozen(np.empty(0))
        return Strengths(
            float(self.noise), dropout_threshold(self.swap_noise), float(self.mixup), (height, width, channels),
            self.shift, int(self.flip), self.crop_pad, self.cutout, float(self.brightness), float(self.contrast),
            normal_table() if self.noise > 0 else nothing, mixup_table(self.mixup) if self.mixup > 0 else nothing,
        )  # fmt: skip


def _frozen(numbers: Floats) -> Array:
    """The numbers as a table that is shared and not written to, float32."""
    table = numbers.astype(np.float32)
    table.setflags(write=False)
    return table


@cache
def normal_table() -> Array:
    """65,536 quantiles of the standard normal distribution, (65536,): 16 bits draw one. Deviation 1 to within 2e-5."""
    return _frozen(ndtri((np.arange(65536) + 0.5) / 65536))


@cache
def mixup_table(parameter: float) -> Array:
    """4,096 quantiles of Beta(parameter, parameter), (4096,): 12 bits draw one."""
    return _frozen(betaincinv(parameter, parameter, (np.arange(4096) + 0.5) / 4096))


def words_per_row(n_inputs: int, cells_per_word: int) -> int:
    """Words of noise for a row, of which each is used for so many cells: rows do not share words."""
    return -(-n_inputs // cells_per_word)


def add_noise_naive(batch: Floats, strength: float, normals: Array, words: Words) -> Floats:
    """batch + strength · normal, each from 16 bits of `words`, (n_rows · `words_per_row`(n_inputs, 4),)."""
    bits = words.reshape(len(batch), -1).view(np.uint16)[:, : batch.shape[1]]
    return np.asarray(batch + strength * normals[bits].astype(np.float64), dtype=batch.dtype)


@compiled(f"void(float32[:, ::1], float32, {READ_NUMBERS}, uint64)")
def add_noise(batch: Array, strength: np.float32, normals: Array, key: np.uint64) -> None:
    """Gaussian noise on every cell of `batch` (n_rows, n_inputs), the OUT array; `normals` (65536,) are quantiles."""
    n_rows, n_inputs = batch.shape
    low = np.uint64(0xFFFF)
    whole, position = n_inputs // 4 * 4, 0
    for i in range(n_rows):
        for j in range(0, whole, 4):
            word = noise_word(key, position)
            position += 1
            batch[i, j] += strength * normals[word & low]
            batch[i, j + 1] += strength * normals[(word >> np.uint64(16)) & low]
            batch[i, j + 2] += strength * normals[(word >> np.uint64(32)) & low]
            batch[i, j + 3] += strength * normals[word >> np.uint64(48)]
        if whole < n_inputs:
            word = noise_word(key, position)
            position += 1
            for j in range(whole, n_inputs):
                batch[i, j] += strength * normals[word & low]
                word >>= np.uint64(16)


def swap_cells_naive(batch: Floats, inputs: Floats, rows: NDArray[np.int64], threshold: int, words: Words) -> Floats:
    """Cells whose byte of `words` (n_rows · `words_per_row`(n_inputs, 8),) is below `threshold`, replaced as below."""
    height, n_inputs = batch.shape
    swapped = batch.copy()
    if height < 2:
        return swapped
    words = words.reshape(height, -1)
    for i, j in np.argwhere(words.view(np.uint8)[:, :n_inputs] < threshold):
        draw = np.array([mix_naive((int(words[i, j // 8]) + int(j % 8) + 1) & MASK)], dtype=np.uint64)
        partner = (i + 1 + whole_below_naive(draw, height - 1)[0]) % height
        swapped[i, j] = inputs[rows[partner], j]
    return swapped


@compiled(f"void(float32[:, ::1], {READ_ROWS}, {READ_INDEX}, int64, uint64)")
def swap_cells(batch: Array, inputs: Array, rows: NDArray[np.int64], threshold: int, key: np.uint64) -> None:
    """Swap noise: each cell is replaced, with probability `threshold` / 256, by its column's in another row.

    That row is any other of the minibatch, and its cell is read from `inputs` (n_all, n_inputs) through `rows`
    (n_rows,): not augmented. The noise of the Porto Seguro winner's autoencoders (Jahrer 2017), and of VIME (Yoon et
    al. 2020), which take the other row from all rows; minibatches are drawn anew each epoch. One row has no others.
    """
    height, n_inputs = batch.shape
    if height < 2:
        return
    limit = np.uint64(threshold)
    position = 0
    for i in range(height):
        for block in range(0, n_inputs, 8):
            word = noise_word(key, position)
            position += 1
            for b in range(min(8, n_inputs - block)):
                if (word >> np.uint64(8 * b)) & np.uint64(0xFF) < limit:
                    draw = mix(word + np.uint64(b + 1))
                    partner = i + 1 + whole_below(draw, height - 1)
                    partner -= height if partner >= height else 0
                    batch[i, block + b] = inputs[rows[partner], block + b]


def mix_rows_naive(
    batch: Floats, targets: Floats, row_weights: Floats, shares: Array, words: Words
) -> tuple[Floats, Floats, Floats]:
    """Each row, target and row weight mixed with its partner's; `words` (n_rows + 1,), see `mix_rows`."""
    height = len(batch)
    if height < 2:
        return batch.copy(), targets.copy(), row_weights.copy()
    step = 1 + whole_below_naive(words[:1], height - 1)[0]
    partners = (np.arange(height) + step) % height
    drawn = shares[words[1:] >> np.uint64(52)].astype(row_weights.dtype)
    weights = drawn * row_weights + (1 - drawn) * row_weights[partners]
    share = np.where(weights > 0, drawn * row_weights / np.where(weights > 0, weights, 1), drawn)[:, None]
    mixed = [share * rows + (1 - share) * rows[partners] for rows in (batch, targets)]
    return mixed[0], mixed[1], weights


@compiled("void(float32[::1], float32[::1], float32)")
def _blend(row: Array, other: Array, share: np.float32) -> None:
    """row = share · row + (1 − share) · other."""
    rest = np.float32(1) - share
    for j in range(row.size):
        row[j] = share * row[j] + rest * other[j]


@compiled(f"void(float32[:, ::1], float32[:, ::1], float32[::1], {READ_NUMBERS}, uint64, float32[::1])")
def mix_rows(batch: Array, targets: Array, row_weights: Array, shares: Array, key: np.uint64, spare: Array) -> None:
    """Mixup (Zhang et al. 2018): row i becomes s · row i + (1 − s) · row j, its target likewise.

    The partner j is i plus a step that all rows share, 1 to n_rows − 1, round the minibatch. λ is one number per row,
    from `shares` (4096,), quantiles of Beta(a, a). The new row weight is w = λ wᵢ + (1 − λ) wⱼ, and s = λ wᵢ / w: a row
    has its say in a mixture by its weight, one of weight 0 has none, and the classes' total weights in the loss stay
    what they were on average. With equal weights, where the paper is, s = λ. `batch`, `targets`, `row_weights` are
    the OUT arrays, `spare` (≥ n_inputs + n_outputs,) is overwritten.
    """
    height, n_inputs = batch.shape
    if height < 2:
        return
    step = 1 + whole_below(noise_word(key, 0), height - 1)
    # a row's partner must be read before it changes: we follow each cycle of partners and keep its first row aside
    n_cycles = math.gcd(step, height)
    first_row, first_target = spare[:n_inputs], spare[n_inputs : n_inputs + targets.shape[1]]
    for first in range(n_cycles):
        copy_numbers(batch[first], first_row)
        copy_numbers(targets[first], first_target)
        first_weight = row_weights[first]
        i = first
        for _ in range(height // n_cycles):
            partner = (i + step) % height
            closes = partner == first
            drawn = shares[noise_word(key, i + 1) >> np.uint64(52)]
            own = drawn * row_weights[i]
            weight = own + (np.float32(1) - drawn) * (first_weight if closes else row_weights[partner])
            share = own / weight if weight > 0 else drawn
            row_weights[i] = weight
            _blend(batch[i], first_row if closes else batch[partner], share)
            _blend(targets[i], first_target if closes else targets[partner], share)
            i = partner


def augment_naive(
    batch: Floats, targets: Floats, row_weights: Floats, inputs: Floats, rows: NDArray[np.int64], strengths: Strengths,
    seed: int, update: int,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """`augment` in plain NumPy: the new batch, targets and row weights, in their own dtypes."""
    (height, n_inputs), shape = batch.shape, strengths.image_shape

    def words(stream: int, n_words: int = height) -> Words:
        return fill_noise_naive(seed, update, stream, n_words)

    if strengths.crop_pad > 0:
        batch = move_naive(batch, shape, strengths.crop_pad, True, words(CROP_PAD))
    if strengths.shift > 0:
        batch = move_naive(batch, shape, strengths.shift, False, words(SHIFT))
    if strengths.flip > 0:
        batch = flip_naive(batch, shape, words(FLIP))
    if strengths.contrast > 0:
        batch = change_contrast_naive(batch, strengths.contrast, words(CONTRAST))
    if strengths.brightness > 0:
        batch = brighten_naive(batch, strengths.brightness, words(BRIGHTNESS))
    if strengths.cutout > 0:
        batch = cutout_naive(batch, shape, strengths.cutout, words(CUTOUT))
    if strengths.swap_threshold > 0:
        noise = words(SWAP, height * words_per_row(n_inputs, 8))
        batch = swap_cells_naive(batch, inputs, rows, strengths.swap_threshold, noise)
    if strengths.noise > 0:
        noise = words(GAUSSIAN, height * words_per_row(n_inputs, 4))
        batch = add_noise_naive(batch, strengths.noise, strengths.normals, noise)
    if strengths.mixup > 0:
        return mix_rows_naive(batch, targets, row_weights, strengths.shares, words(MIXUP, height + 1))
    return batch.copy(), targets.copy(), row_weights.copy()


@compiled(
    f"void(float32[:, ::1], float32[:, ::1], float32[::1], {READ_ROWS}, {READ_INDEX}, Strengths, uint64, int64,"
    " float32[::1])"
)
def augment(
    batch: Array, targets: Array, row_weights: Array, inputs: Array, rows: NDArray[np.int64], strengths: Strengths,
    seed: np.uint64, update: int, spare: Array,
) -> None:  # fmt: skip
    """Change a minibatch as `strengths` say: `batch`, `targets`, `row_weights`, the OUT arrays.

    `batch` (height, n_inputs) holds the `rows` of `inputs` (n_all, n_inputs); the noise is that of (seed, update).
    `spare` (≥ n_inputs + n_outputs,) is overwritten.
    """
    shape = strengths.image_shape
    if strengths.crop_pad > 0:
        move(batch, shape, strengths.crop_pad, True, noise_key(seed, update, CROP_PAD), spare)
    if strengths.shift > 0:
        move(batch, shape, strengths.shift, False, noise_key(seed, update, SHIFT), spare)
    if strengths.flip > 0:
        flip(batch, shape, noise_key(seed, update, FLIP))
    if strengths.contrast > 0:
        change_contrast(batch, np.float32(strengths.contrast), noise_key(seed, update, CONTRAST))
    if strengths.brightness > 0:
        brighten(batch, np.float32(strengths.brightness), noise_key(seed, update, BRIGHTNESS))
    if strengths.cutout > 0:
        cutout(batch, shape, strengths.cutout, noise_key(seed, update, CUTOUT))
    if strengths.swap_threshold > 0:
        swap_cells(batch, inputs, rows, strengths.swap_threshold, noise_key(seed, update, SWAP))
    if strengths.noise > 0:
        add_noise(batch, np.float32(strengths.noise), strengths.normals, noise_key(seed, update, GAUSSIAN))
    if strengths.mixup > 0:
        mix_rows(batch, targets, row_weights, strengths.shares, noise_key(seed, update, MIXUP), spare)
