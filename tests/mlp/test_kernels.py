"""Every kernel against its naive twin, over random shapes; and where their machine code is kept."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

import hpsearch.mlp
from hpsearch.mlp.activations import ACTIVATIONS, activate, activate_backward
from hpsearch.mlp.kernels import one_blas_thread
from hpsearch.mlp.layers import (
    column_sums,
    dropout_threshold,
    fill_noise,
    fill_noise_naive,
    gather_rows,
)
from hpsearch.mlp.steps import update_ratio, update_ratio_naive
from hpsearch.mlp.updates import UPDATES, update_weights

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 70))
SEEDS = st.integers(0, 2**32 - 1)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("table", [ACTIVATIONS, UPDATES])
def test_codes_are_unique(table):
    assert len({entry.code for entry in table.values()}) == len(table)


def test_an_unknown_code_is_an_error():
    layer, numbers = normals(0, 3, 4), np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="no activation"):
        activate(-1, layer, numbers, np.empty(0, np.uint8), 0, np.float32(1))
    with pytest.raises(ValueError, match="no activation"):
        activate_backward(-1, layer, layer, np.float32(1))
    with pytest.raises(ValueError, match="no update rule"):
        update_weights(-1, *[numbers] * 5, 0.1, 0.0, 0.9, 0.999, 1e-8, 1, 0.1)


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(shape=SHAPES, seed=SEEDS, threshold=st.integers(0, 255))
def test_an_activation_equals_its_naive_twin(name, shape, seed, threshold):
    activation = ACTIVATIONS[name]
    layer, bias, deltas = normals(seed, *shape), normals(seed + 1, shape[1]), normals(seed + 2, *shape)
    noise = np.random.default_rng(seed).integers(0, 256, layer.size + 3).astype(np.uint8)
    scale = np.float32(256 / (256 - threshold))
    expected = activation.forward_naive(layer, bias, noise, threshold, scale)
    expected_deltas = activation.backward_naive(deltas, expected, scale)
    through_code, deltas_through_code = layer.copy(), deltas.copy()
    activation.forward(layer, bias, noise, threshold, scale)
    activation.backward(deltas, layer, scale)
    np.testing.assert_allclose(layer, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deltas, expected_deltas, rtol=1e-5, atol=1e-6)
    activate(activation.code, through_code, bias, noise, threshold, scale)
    activate_backward(activation.code, deltas_through_code, through_code, scale)
    np.testing.assert_array_equal(through_code, layer)
    np.testing.assert_array_equal(deltas_through_code, deltas)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("threshold", [0, 50])
def test_an_activation_lets_nan_through(name, threshold):
    layer = np.full((2, 3), np.nan, dtype=np.float32)
    ACTIVATIONS[name].forward(layer, np.zeros(3, np.float32), np.full(6, 255, np.uint8), threshold, np.float32(1))
    assert np.isnan(layer).all()


@pytest.mark.parametrize("name", UPDATES)
@given(
    n=st.integers(1, 200), seed=SEEDS, n_updates=st.integers(1, 5000), decay=st.floats(0, 1), rate=st.floats(1e-5, 1e-1)
)
def test_an_update_rule_equals_its_naive_twin(name, n, seed, n_updates, decay, rate):
    weights, gradient, first, average = (normals(seed + i, n) for i in range(4))
    second = np.square(normals(seed + 5, n))
    numbers = (rate, decay, 0.9, 0.999, 1e-8, n_updates, 0.01)
    expected = UPDATES[name].naive(weights, gradient, first, second, average, *numbers)
    through_code = [array.copy() for array in (weights, gradient, first, second, average)]
    UPDATES[name].kernel(weights, gradient, first, second, average, *numbers)
    update_weights(UPDATES[name].code, *through_code, *numbers)
    for got, wanted in zip(through_code, (weights, gradient, first, second, average), strict=True):
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip((weights, first, second, average), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-5 * max(1, np.abs(wanted).max()))


@given(SHAPES, SEEDS)
def test_rows_and_sums_equal_numpy(shape, seed):
    source = normals(seed, *shape)
    rows = np.random.default_rng(seed).integers(-1, shape[0], 20)
    gathered = np.empty((20, shape[1]), np.float32)
    gather_rows(source, rows, gathered)
    np.testing.assert_array_equal(gathered, np.where(rows[:, np.newaxis] < 0, 0, source[rows]))
    sums = np.empty(shape[1], np.float32)
    column_sums(source, sums)
    np.testing.assert_allclose(sums, source.sum(axis=0), rtol=1e-4, atol=1e-5)


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**9), st.integers(0, 9), st.integers(1, 40))
def test_noise_equals_its_naive_twin(seed, update, layer, n_words):
    words = np.empty(n_words, np.uint64)
    fill_noise(seed, update, layer, words)
    np.testing.assert_array_equal(words, fill_noise_naive(seed, update, layer, n_words))


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


def test_noise_is_even_and_differs_between_seeds_updates_and_layers():
    words = [np.empty(20_000, np.uint64) for _ in range(4)]
    for out, key in zip(words, [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)], strict=True):
        fill_noise(*key, out)
    counts = np.bincount(words[0].view(np.uint8), minlength=256)
    # 160,000 bytes over 256 cells: chi-square with 255 degrees of freedom, five deviations wide
    assert np.square(counts - 625).sum() / 625 < 255 + 5 * np.sqrt(2 * 255)
    for other in words[1:]:
        assert abs(np.corrcoef(words[0].view(np.uint8), other.view(np.uint8))[0, 1]) < 0.02


@given(st.floats(0, 1, exclude_max=True))
def test_dropout_rates_are_the_nearest_256th(rate):
    assert abs(dropout_threshold(rate) / 256 - rate) <= 1 / 256
    assert 0 <= dropout_threshold(rate) <= 255


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}


def test_one_blas_thread_lasts_until_the_last_one_leaves():
    before = blas_threads()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait()

    with one_blas_thread():
        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait()
    assert blas_threads() == {1}
    leave.set()
    thread.join()
    assert blas_threads() == before


SHOW = """
import sys
from hpsearch.mlp.cache import CACHE_FOLDER, is_cached
before = is_cached()
assert "numba" not in sys.modules
from hpsearch.mlp import updates
assert is_cached() == (CACHE_FOLDER is not None)
print(CACHE_FOLDER, "loads" if before else "compiles", sep="\\n")
"""


NOWHERE = "/proc/1/no-such-folder"


def run_installed(folder: Path, **environment: str) -> list[str]:
    """Import the engine from a copy of the package at `folder`, as another user would have it.

    Returns its cache folder, and whether it "compiles" or "loads" its machine code, as it said before.
    """
    clean = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(
        command, env=clean | {"PYTHONPATH": str(folder)} | environment, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the package, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    source = Path(hpsearch.mlp.__file__).parent.parent
    shutil.copytree(source, folder / "hpsearch", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_machine_code_is_kept_beside_the_installed_package(installed):
    shown, how = run_installed(installed)
    assert Path(shown).is_relative_to(installed)
    assert list(Path(shown).rglob("*.nbi"))
    assert how == "compiles"
    assert run_installed(installed) == [shown, "loads"]


def test_the_users_folder_for_machine_code_wins(installed, tmp_path):
    shown, how = run_installed(installed, NUMBA_CACHE_DIR=str(tmp_path))
    assert Path(shown).parent == tmp_path and how == "compiles"


def test_machine_code_is_kept_elsewhere_when_the_package_folder_cannot_be_written(installed, tmp_path):
    package = installed / "hpsearch" / "mlp"
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("a file where the folder would be: not writable, not even for root")
    try:
        shown, _ = run_installed(installed, XDG_CACHE_HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
        assert Path(shown).is_relative_to(tmp_path)
        assert list(Path(shown).rglob("*.nbi"))
    finally:
        (package / "__pycache__").unlink()


@pytest.fixture
def unwritable(installed):
    """The environment in which neither the package's folder nor the user's cache folder can be written."""
    package = installed / "hpsearch" / "mlp"
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("not a folder")
    yield dict.fromkeys(["XDG_CACHE_HOME", "HOME"], NOWHERE) | {"PYTHONDONTWRITEBYTECODE": "1"}
    (package / "__pycache__").unlink()


def test_in_a_temporary_folder_nobody_owns_what_is_above_ours(installed, unwritable, tmp_path):
    shown, _ = run_installed(installed, **unwritable, TMPDIR=str(tmp_path))
    assert Path(shown).parent == tmp_path
    assert stat.S_IMODE(Path(shown).stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["shared", "linked"])
def test_machine_code_of_others_is_not_loaded(how, installed, tmp_path):
    """A folder that others can write, or a link to one, is passed over."""
    name, _ = run_installed(installed, NUMBA_CACHE_DIR=str(tmp_path / "first"))
    folder = tmp_path / "second" / Path(name).name
    folder.parent.mkdir()
    if how == "shared":
        folder.mkdir()
        folder.chmod(0o770)
    else:
        folder.symlink_to(name)
    shown, _ = run_installed(installed, NUMBA_CACHE_DIR=str(tmp_path / "second"))
    assert not Path(shown).is_relative_to(tmp_path)


def test_kernels_work_where_no_folder_is_writable(installed, unwritable):
    shown, how = run_installed(installed, **unwritable, TMPDIR=NOWHERE, NUMBA_CACHE_DIR=NOWHERE)
    if shown == "None":
        assert how == "compiles"
    else:
        assert Path(shown).parent in (Path("/tmp"), Path("/var/tmp"))
        shutil.rmtree(shown)
