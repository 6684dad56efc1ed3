"""One BLAS thread for all; and where the kernels' machine code is kept."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import threadpoolctl

import hpsearch.mlp
from hpsearch.mlp.kernels import one_blas_thread


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
