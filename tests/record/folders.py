"""Folders that tests write into."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def read_only_folder(**files: bytes) -> Iterator[Path]:
    """A folder in which this process, for once not root, may not write."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            Path(name, file).write_bytes(content)
        os.chmod(name, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)
            os.chmod(name, 0o755)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())
