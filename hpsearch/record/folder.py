"""What is on disk is whole or absent: files, and folders with a *manifest*.

Files are written under a temporary name, synchronised and renamed. A manifest is the JSON file, written last, that
lists the files of a folder with their sizes and SHA-256. POSIX only.
"""

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FORMAT = "hpsearch folder 1"
MANIFEST = "manifest.json"


def write_file(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Writes `data` to `path`: at any moment a reader finds the earlier content, or the new one, or no file.

    That holds when the process is killed; with `durable` (two fsyncs) also when power fails, and then the new content
    is there for good once this returns. Raises an OSError of the fitting kind, in words that name the folder.
    """
    target = Path(path).absolute()
    temporary = temporary_name(target)
    with writing_in_words(target):
        try:
            _write(temporary, data, durable)
            os.replace(temporary, target)
            if durable:
                sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder(path: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Writes `files` (plain name → content) and their manifest as the folder `path`, in place of an earlier one.

    `read_folder` finds the earlier folder or the new one at any moment, and after any crash. The same files give the
    same bytes. One writer at a time per path.

    Raises ValueError, with nothing written, if `path` is a file, or holds anything that is not listed in a manifest of
    ours (it would be deleted), or if a name is not a plain file name; an OSError that names the folder if it cannot be
    written.
    """
    target = Path(path).resolve()
    temporary = temporary_name(target)
    for name in files:
        if not _is_plain(name):
            raise ValueError(f"files must have plain names other than {MANIFEST}, but got {name!r}")
    with writing_in_words(target):
        _recover(target)
        refuse_foreign(target)
        try:
            temporary.mkdir()
            for name, data in {**files, MANIFEST: _manifest(files)}.items():
                _write(temporary / name, data, durable=True)
            sync_folder(temporary)
            if target.exists():
                os.rename(target, _aside(target))
            os.rename(temporary, target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            _recover(target)


def read_folder(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Reads the files of a folder that `write_folder` wrote: name → content, in order of the names.

    Every file is read once and verified as read. Files that the manifest does not list are ignored: nothing of them
    is used, and file managers leave such files behind.

    Raises FileNotFoundError if there is no such folder; ValueError, naming the file and the rule, if the manifest or a
    listed file is missing or is not byte for byte as it was written.
    """
    target = Path(path).resolve()
    with _opened(target) as folder:
        try:
            return _read_verified(target, folder)
        except ValueError:
            with _opened(target) as present:
                if os.path.sameopenfile(folder, present):
                    raise
    # A writer replaced the folder while it was read: the new one counts.
    return read_folder(target)


def remove_leftovers(folder: str | os.PathLike[str], name: str = "*") -> None:
    """Deletes what killed writers of this machine left in `folder` under temporary names of `name` (`*`: of any)."""
    wanted = ".+" if name == "*" else re.escape(name)
    for entry in Path(folder).iterdir():
        found = re.fullmatch(rf"\.{wanted}\.(\d+)-\d+\.tmp(-journal|-wal|-shm)?", entry.name)
        if found is None or _is_alive(int(found[1])):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process or thread of this machine uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


@contextmanager
def writing_in_words(path: Path) -> Iterator[None]:
    """Any OSError inside becomes one of the same kind whose message is a sentence that names the folder of `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(f"cannot write {path.name} in the folder {path.parent}: {reason}") from error


def sync_folder(path: Path) -> None:
    """Returns when the names in the folder `path` would survive a power failure."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, data: bytes, durable: bool) -> None:
    with open(path, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _is_plain(name: str) -> bool:
    return name == Path(name).name and name not in ("", "..", MANIFEST) and "\0" not in name


def _manifest(files: Mapping[str, bytes]) -> bytes:
    content = {"format": FORMAT, "files": {name: _entry(data) for name, data in files.items()}}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _entry(data: bytes) -> dict[str, str | int]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _listed(manifest: bytes, path: Path) -> dict[str, Any]:
    """The entries of a manifest by file name; ValueError if it is not one of ours."""
    try:
        content = json.loads(manifest)
        found, entries = content["format"], dict(content["files"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path / MANIFEST} is damaged, or not of hpsearch") from None
    if found != FORMAT:
        raise ValueError(f"{path / MANIFEST} has the format {found!r}, but this version of hpsearch reads {FORMAT!r}")
    for name in entries:
        if not _is_plain(name):
            raise ValueError(f"{path / MANIFEST} lists {name!r}, which is not a plain file name")
    return entries


def _read_verified(path: Path, folder: int) -> dict[str, bytes]:
    manifest = _read_in(folder, MANIFEST)
    if manifest is None:
        raise ValueError(f"{path} has no {MANIFEST}: it is not a model folder of hpsearch")
    entries, files = _listed(manifest, path), dict[str, bytes]()
    for name, entry in entries.items():
        data = _read_in(folder, name)
        if data is None:
            raise ValueError(f"{path / name} is missing, though {MANIFEST} lists it")
        if _entry(data) != entry:
            raise ValueError(f"{path / name} was changed: its size or SHA-256 is not the one in {MANIFEST}")
        files[name] = data
    if _manifest(files) != manifest:
        raise ValueError(f"{path / MANIFEST} was changed: it is not as hpsearch writes it for the same files")
    return files


def _read_in(folder: int, name: str) -> bytes | None:
    try:
        with open(name, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=folder)) as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of the folder, which goes on naming the same folder while a writer renames and replaces it."""
    folder = _open_folder(path)
    try:
        yield folder
    finally:
        os.close(folder)


def _open_folder(path: Path) -> int:
    # A writer moves the earlier folder aside for a moment, and if it is killed just then, for longer.
    for place in (path, _aside(path), path):
        try:
            return os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            raise ValueError(f"{path} is not a folder") from None
    raise FileNotFoundError(f"there is no folder {path}")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _recover(path: Path) -> None:
    """Puts back what a killed writer left aside, or deletes it where the new folder is already in place."""
    if path.exists():
        shutil.rmtree(_aside(path), ignore_errors=True)
    elif _aside(path).exists():
        os.rename(_aside(path), path)


def refuse_foreign(path: Path) -> None:
    """ValueError if `path` exists and replacing it would delete anything that hpsearch did not write."""
    if not path.exists():
        return
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
    try:
        listed = set(_listed((path / MANIFEST).read_bytes(), path)) if names else set()
    except (ValueError, OSError):
        raise ValueError(f"{path} is not a model folder of hpsearch; nothing was written") from None
    foreign = names - listed - {MANIFEST}
    if foreign:
        raise ValueError(f"{path} also holds {min(foreign)}, which hpsearch did not write; nothing was written")
