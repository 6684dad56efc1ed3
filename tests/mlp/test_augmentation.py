"""Augmentation: kernels against naive twins, pictures to check by eye, statistics, and what must stay as it was."""

from dataclasses import fields

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.mlp.augmentation import (
    BOUNDS,
    MIXUP,
    Augmentation,
    augment,
    augment_naive,
    mix_rows,
    mixup_table,
    normal_table,
)
from hpsearch.mlp.images import brighten, change_contrast, cutout, flip, move, move_naive
from hpsearch.mlp.noise import noise_key

EACH = {
    "noise": 0.3,
    "swap_noise": 0.2,
    "mixup": 0.4,
    "shift": 2,
    "flip": True,
    "crop_pad": 2,
    "cutout": 2,
    "brightness": 0.5,
    "contrast": 0.4,
}
"""Every operation, with a strength at which it shows."""

SEEDS = st.integers(0, 2**64 - 1)
IMAGE_SHAPES = st.tuples(st.integers(3, 8), st.integers(3, 8), st.integers(1, 3))


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def minibatch(seed: int, height: int, n_inputs: int, n_outputs: int = 3) -> tuple[np.ndarray, ...]:
    """A gathered batch, its one-hot targets and row weights, the inputs it comes from, and their rows."""
    rng = np.random.default_rng(seed)
    inputs, rows = normals(seed, 2 * height, n_inputs), rng.permutation(2 * height)[:height]
    targets = np.eye(n_outputs, dtype=np.float32)[rng.integers(0, n_outputs, height)]
    return inputs[rows], targets, rng.choice([0, 0.5, 2], height).astype(np.float32), inputs, rows


def augmented(strengths, parts, seed: int = 1, update: int = 0) -> tuple[np.ndarray, ...]:
    """What `augment` leaves in copies of a minibatch's batch, targets and row weights."""
    batch, targets, row_weights, inputs, rows = parts
    changed = batch.copy(), targets.copy(), row_weights.copy()
    spare = np.full(batch.shape[1] + targets.shape[1], np.nan, np.float32)
    augment(*changed, inputs, rows, strengths, np.uint64(seed), update, spare)
    return changed


def assert_equals_naive(strengths, parts, seed, update):
    expected = augment_naive(*parts, strengths, seed, update)
    for got, wanted in zip(augmented(strengths, parts, seed, update), expected, strict=True):
        assert wanted.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EACH)
@settings(max_examples=25)
@given(height=st.integers(1, 40), shape=IMAGE_SHAPES, seed=SEEDS, update=st.integers(0, 10**6))
def test_an_operation_equals_its_naive_twin(name, height, shape, seed, update):
    strengths = Augmentation(image_shape=shape, **{name: EACH[name]}).strengths(int(np.prod(shape)))
    assert_equals_naive(strengths, minibatch(seed % 1000, height, int(np.prod(shape))), seed, update)


@settings(max_examples=25)
@given(height=st.integers(1, 40), n_inputs=st.integers(1, 70), seed=SEEDS, update=st.integers(0, 10**6))
def test_operations_on_tables_equal_their_naive_twins(height, n_inputs, seed, update):
    strengths = Augmentation(noise=0.3, swap_noise=0.5, mixup=1.0).strengths(n_inputs)
    assert_equals_naive(strengths, minibatch(seed % 1000, height, n_inputs), seed, update)


@settings(max_examples=25)
@given(height=st.integers(1, 40), shape=IMAGE_SHAPES, seed=SEEDS, update=st.integers(0, 10**6))
def test_all_operations_together_equal_their_naive_twins(height, shape, seed, update):
    strengths = Augmentation(image_shape=shape, **EACH).strengths(int(np.prod(shape)))
    assert_equals_naive(strengths, minibatch(seed % 1000, height, int(np.prod(shape))), seed, update)


def test_the_naive_form_keeps_float64_and_the_draws():
    strengths = Augmentation(image_shape=(5, 6, 2), **EACH).strengths(60)
    parts = minibatch(0, 12, 60)
    doubles = tuple(part.astype(np.float64) if part.dtype == np.float32 else part for part in parts)
    for narrow, wide in zip(
        augment_naive(*parts, strengths, 5, 3), augment_naive(*doubles, strengths, 5, 3), strict=True
    ):
        assert wide.dtype == np.float64
        np.testing.assert_allclose(narrow, wide, rtol=1e-4, atol=1e-5)


def test_nothing_is_changed_by_default():
    parts = minibatch(0, 12, 60)
    for form in (augmented, lambda strengths, parts: augment_naive(*parts, strengths, 1, 0)):
        for got, before in zip(form(Augmentation().strengths(60), parts), parts[:3], strict=True):
            np.testing.assert_array_equal(got, before)


@pytest.mark.parametrize("name", EACH)
def test_an_operation_changes_the_batch_and_nothing_around_it(name):
    strengths = Augmentation(image_shape=(5, 6, 2), **{name: EACH[name]}).strengths(60)
    batch, targets, row_weights, inputs, rows = minibatch(0, 12, 60)
    row_weights[:] = 1
    before = inputs.copy(), rows.copy()
    room = np.full((14, 60), np.float32(7))
    room[1:-1] = batch
    spare = np.full(60 + 3 + 2, np.float32(7))
    augment(room[1:-1], targets.copy(), row_weights, inputs, rows, strengths, np.uint64(1), 0, spare[1:-1])
    assert (room[1:-1] != batch).any()
    assert (room[[0, -1]] == 7).all() and (spare[[0, -1]] == 7).all()
    np.testing.assert_array_equal(inputs, before[0])
    np.testing.assert_array_equal(rows, before[1])


@pytest.mark.parametrize("name", EACH)
def test_an_operation_is_a_function_of_seed_and_update(name):
    strengths = Augmentation(image_shape=(5, 6, 2), **{name: EACH[name]}).strengths(60)
    parts = minibatch(0, 12, 60)
    first = augmented(strengths, parts, 1, 1)[0]
    np.testing.assert_array_equal(first, augmented(strengths, parts, 1, 1)[0])
    assert (first != augmented(strengths, parts, 2, 1)[0]).any()
    assert (first != augmented(strengths, parts, 1, 2)[0]).any()


@pytest.mark.parametrize("name", [name for name in EACH if name != "noise"])
def test_switching_noise_on_leaves_other_draws_as_they_were(name):
    """Where the other operation is alone, and where noise of next to no strength comes with it."""
    parts = minibatch(0, 12, 60)
    alone, together = (
        Augmentation(image_shape=(5, 6, 2), noise=noise, **{name: EACH[name]}).strengths(60) for noise in (0.0, 1e-9)
    )
    np.testing.assert_allclose(augmented(alone, parts)[0], augmented(together, parts)[0], atol=1e-6)


# what is cut out is replaced, not computed with
@pytest.mark.parametrize("name", [name for name in EACH if name != "cutout"])
def test_nan_stays_to_be_seen(name):
    strengths = Augmentation(image_shape=(5, 6, 2), **{name: EACH[name]}).strengths(60)
    batch, targets, row_weights, inputs, rows = minibatch(0, 12, 60)
    batch[:], inputs[:], row_weights[:] = np.nan, np.nan, 1
    changed = augmented(strengths, (batch, targets, row_weights, inputs, rows))[0]
    moved = changed == 0 if name == "shift" else np.zeros_like(changed, bool)
    assert np.isnan(changed[~moved]).all() and not moved.all()


def test_noise_is_normal():
    height, n_inputs = 200, 101
    batch = np.zeros((height, n_inputs), np.float32)
    parts = batch, np.ones((height, 1), np.float32), np.ones(height, np.float32), batch, np.arange(height)
    noise = augmented(Augmentation(noise=0.5).strengths(n_inputs), parts)[0] / 0.5
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / noise.size)
    assert abs((noise[:, :-1] * noise[:, 1:]).mean()) < 5 / np.sqrt(noise.size)
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-4


def test_the_table_of_normals_has_mean_0_and_deviation_1():
    table = normal_table().astype(np.float64)
    assert table.mean() == pytest.approx(0, abs=1e-7) and table.std() == pytest.approx(1, abs=2e-5)
    assert not normal_table().flags.writeable


def test_swapped_cells_are_the_columns_of_other_rows():
    height, n_inputs = 100, 53
    # a cell's value names its row and column
    inputs = np.arange(2 * height * n_inputs, dtype=np.float32).reshape(2 * height, n_inputs)
    rows = np.random.default_rng(0).permutation(2 * height)[:height]
    parts = inputs[rows], np.ones((height, 1), np.float32), np.ones(height, np.float32), inputs, rows
    swapped = augmented(Augmentation(swap_noise=0.25).strengths(n_inputs), parts)[0]
    share = (swapped != inputs[rows]).mean()
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / swapped.size)
    np.testing.assert_array_equal(swapped % n_inputs, np.broadcast_to(np.arange(n_inputs), swapped.shape))
    came_from = swapped[swapped != inputs[rows]] // n_inputs
    counts = np.array([(came_from == row).sum() for row in rows])
    assert counts.sum() == came_from.size
    expected = came_from.size / height
    assert np.square(counts - expected).sum() / expected < height + 5 * np.sqrt(2 * height)


def test_swapped_cells_are_read_where_nothing_was_augmented():
    parts = minibatch(0, 12, 60)
    batch, inputs, rows = parts[0], parts[3], parts[4]
    swapped = augmented(Augmentation(swap_noise=0.9).strengths(60), (batch + 100, *parts[1:3], inputs, rows))[0]
    assert np.isin(swapped[swapped < 50], inputs[rows]).all() and (swapped < 50).mean() > 0.8


@pytest.mark.parametrize("parameter", [0.1, 0.4, 1.0, 3.0])
def test_shares_of_mixup_follow_beta(parameter):
    height = 5000
    batch = np.zeros((height, 1), np.float32)
    # rows are 0 and 1 in turn: of a row and its opposite, and with equal weights, the mixture shows the share
    batch[:, 0] = np.arange(height) % 2
    targets, weights = batch.copy(), np.ones(height, np.float32)
    for update in range(20):
        changed = batch.copy(), targets.copy(), weights.copy()
        mix_rows(*changed, mixup_table(parameter), noise_key(np.uint64(3), update, MIXUP), np.empty(2, np.float32))
        if (changed[0] % 1 != 0).any():
            break
    shares = np.where(batch == 1, changed[0], 1 - changed[0])[:, 0]
    # Kolmogorov and Smirnov's statistic away from the ends, where float32 piles shares up at 0 and 1
    points = np.linspace(1e-4, 1 - 1e-4, 999)
    distances = (shares[:, None] <= points).mean(axis=0) - scipy.stats.beta(parameter, parameter).cdf(points)
    assert np.abs(distances).max() < 2 / np.sqrt(height)
    np.testing.assert_array_equal(changed[0], changed[1])
    np.testing.assert_allclose(changed[2], 1, rtol=1e-6)


@pytest.mark.parametrize("parameter", [1e-300, 1e-3, 1.0, 1e9])
def test_the_table_of_shares_is_symmetric_and_rises(parameter):
    table = mixup_table(parameter)
    assert (np.diff(table) >= 0).all() and table.min() >= 0 and table.max() <= 1
    np.testing.assert_allclose(table + table[::-1], 1, rtol=1e-5)


@settings(max_examples=50)
@given(st.integers(1, 30), SEEDS, st.floats(0.05, 5))
def test_mixed_targets_sum_to_one_and_rows_have_their_say_by_weight(height, seed, parameter):
    batch, targets, row_weights, inputs, rows = minibatch(seed % 1000, height, 4)
    # targets tell rows apart where the inputs repeat them
    batch[:, :3] = targets
    _, mixed_targets, mixed_weights = changed = augmented(
        Augmentation(mixup=parameter).strengths(4), (batch, targets, row_weights, inputs, rows), seed
    )
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(changed[0][:, :3], mixed_targets, rtol=1e-6)
    assert (mixed_weights >= 0).all() and (mixed_weights <= 2).all()
    # a class whose rows weigh nothing has no say in the loss
    silent = targets.astype(bool) & (row_weights == 0)[:, None]
    mute = silent.sum(axis=0) == targets.sum(axis=0)
    assert (mixed_weights[:, None] * mixed_targets)[:, mute].sum() == pytest.approx(0, abs=1e-6)


def test_one_row_has_nobody_to_swap_or_mix_with():
    parts = minibatch(0, 1, 9)
    for got, before in zip(
        augmented(Augmentation(swap_noise=0.9, mixup=1.0).strengths(9), parts), parts[:3], strict=True
    ):
        np.testing.assert_array_equal(got, before)


IMAGE = np.arange(1, 13, dtype=np.float32).reshape(1, 12)
"""
 1  2  3  4
 5  6  7  8
 9 10 11 12
"""
SHAPE = (3, 4, 1)


def looks(kernel, *arguments) -> set[tuple[tuple[float, ...], ...]]:
    """All that the kernel makes of `IMAGE`, over many draws."""
    seen = set()
    for position in range(400):
        image = IMAGE.copy()
        spare = (np.empty(12, np.float32),) if kernel is move else ()
        kernel(image, SHAPE, *arguments, noise_key(np.uint64(position), 0, 0), *spare)
        seen.add(tuple(map(tuple, image.reshape(3, 4).tolist())))
    return seen


def test_shift_looks_right():
    seen = looks(move, 1, False)
    assert len(seen) == 9
    assert ((0, 1, 2, 3), (0, 5, 6, 7), (0, 9, 10, 11)) in seen
    assert ((6, 7, 8, 0), (10, 11, 12, 0), (0, 0, 0, 0)) in seen


def test_crop_pad_looks_right():
    seen = looks(move, 1, True)
    assert len(seen) == 9
    assert ((2, 1, 2, 3), (6, 5, 6, 7), (10, 9, 10, 11)) in seen
    assert ((6, 7, 8, 7), (10, 11, 12, 11), (6, 7, 8, 7)) in seen


def test_flip_looks_right():
    assert looks(flip) == {
        ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)),
        ((4, 3, 2, 1), (8, 7, 6, 5), (12, 11, 10, 9)),
    }


def test_cutout_looks_right():
    seen = looks(cutout, 2)
    # twelve centres: the square of side 2 lies above and left of its centre, and sticks out at the top and left
    assert len(seen) == 12
    assert ((1, 2, 3, 4), (5, 0, 0, 8), (9, 0, 0, 12)) in seen
    assert ((0, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)) in seen


def test_colours_of_a_pixel_stay_together():
    images = np.stack([IMAGE[0], 100 * IMAGE[0]], axis=1).reshape(1, 24)
    for seed in range(30):
        image, spare, key = images.copy(), np.empty(24, np.float32), noise_key(np.uint64(seed), 0, 0)
        move(image, (3, 4, 2), 1, False, key, spare)
        move(image, (3, 4, 2), 2, True, key, spare)
        flip(image, (3, 4, 2), key)
        cutout(image, (3, 4, 2), 2, key)
        np.testing.assert_array_equal(100 * image[0, ::2], image[0, 1::2])


def test_brightness_moves_the_mean_and_contrast_the_deviation():
    batch = normals(0, 2000, 30)
    brighter, contrasted = batch.copy(), batch.copy()
    brighten(brighter, np.float32(0.5), noise_key(np.uint64(0), 0, 0))
    changes = (brighter - batch).mean(axis=1)
    assert np.abs(changes).max() <= 0.5 + 1e-5 and scipy.stats.kstest(changes, "uniform", (-0.5, 1)).pvalue > 1e-4
    np.testing.assert_allclose(brighter.std(axis=1), batch.std(axis=1), rtol=1e-4)
    change_contrast(contrasted, np.float32(0.3), noise_key(np.uint64(0), 0, 0))
    np.testing.assert_allclose(contrasted.mean(axis=1), batch.mean(axis=1), atol=1e-5)
    factors = contrasted.std(axis=1) / batch.std(axis=1)
    assert scipy.stats.kstest(factors, "uniform", (0.7, 0.6)).pvalue > 1e-4


def test_moving_by_zero_is_staying():
    batch = normals(0, 5, 12)
    np.testing.assert_array_equal(move_naive(batch, SHAPE, 0, True, np.zeros(5, np.uint64)), batch)


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"flip": True}, "flip needs an image_shape"),
        ({"shift": 1}, "shift needs an image_shape"),
        ({"brightness": 0.1}, "brightness needs an image_shape, but got brightness=0.1"),
        ({"image_shape": (4,)}, "image_shape must be 2 or 3 whole numbers"),
        ({"image_shape": (4, 0)}, "image_shape must be 2 or 3 whole numbers"),
        ({"image_shape": (4, 3), "shift": 3}, "shift must be a whole number .* less than each side"),
        ({"image_shape": (4, 3), "cutout": 1.5}, "cutout must be a whole number"),
        ({"image_shape": (4, 3), "crop_pad": -1}, "crop_pad must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(choices, says):
    with pytest.raises(ValueError, match=says):
        Augmentation(**choices)


def test_images_must_be_as_large_as_the_inputs():
    assert Augmentation(image_shape=(4, 3)).strengths(12).image_shape == (4, 3, 1)
    with pytest.raises(ValueError, match=r"image_shape must multiply to the 13 inputs, but got \(4, 3\)"):
        Augmentation(image_shape=(4, 3)).strengths(13)


def test_every_number_has_bounds_and_every_choice_is_tested():
    names = {field.name for field in fields(Augmentation)}
    assert names == set(EACH) | {"image_shape"}
    assert set(BOUNDS) == names - {"image_shape", "flip"}
