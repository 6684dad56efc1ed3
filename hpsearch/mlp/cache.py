"""Where the kernels' machine code is kept, and whether there is any yet.

It is cached beside the package, else in the user's cache folder, else in a private temporary folder, else not at all.
The folder carries a hash of the engine's sources, because numba checks only the file a kernel is written in, not those
of the kernels it calls. numba itself is not imported here: one may ask before the engine is, which takes its time.
"""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path


def _source_hash() -> str:
    digest = hashlib.sha256(version("numba").encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _is_private_and_writable(folder: Path) -> bool:
    """Can we write here, and nobody else? Machine code is loaded from it, so a shared folder or a link will not do."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            tempfile.TemporaryFile(dir=folder).close()
            return True
    return False


def cache_folder() -> Path | None:
    """The folder for this version's machine code, or None where no folder is writable.

    `NUMBA_CACHE_DIR` wins, if it is set; then the package's own `__pycache__`, `$XDG_CACHE_HOME` or `~/.cache`,
    and the temporary folder are tried in this order.
    """
    name = f"hpsearch-kernels-{_source_hash()}"
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    candidates = [Path(__file__).parent / "__pycache__" / name, Path(user_cache) / "hpsearch" / name]
    if users_folder := os.environ.get("NUMBA_CACHE_DIR"):
        candidates.insert(0, Path(users_folder) / name)
    with suppress(FileNotFoundError):
        # one level only: a folder between could be made by somebody else, who could then exchange ours
        candidates.append(Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}")
    return next((folder for folder in candidates if _is_private_and_writable(folder)), None)


CACHE_FOLDER = cache_folder()


def is_cached() -> bool:
    """Is machine code kept already, as far as we may look? If not, importing the engine takes about ten seconds."""
    if CACHE_FOLDER is None:
        return False
    try:
        return any(CACHE_FOLDER.iterdir())
    except PermissionError:
        return True
