"""Checkpoints: one trial's slice of a Fit at one epoch, in memory or as one safetensors file each.

What comes back is what was saved, to the last bit, or nothing: the loop then trains again from the rung before.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from hpsearch.record.folder import sync_folder, write_file, writing_in_words

FILE_NAME = re.compile(r"trial_(\d+)_epoch_(\d+)(_fold_\d+)?\.safetensors")

Tensors: TypeAlias = dict[str, NDArray[Any]]
JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"


class Checkpoints(Protocol):
    """Where checkpoints are kept.

    `tensors` are arrays of any shape and layout, of bool, an integer type, float16, float32, float64 or complex64.
    `meta` comes back as JSON does: tuples as lists.
    """

    def save(
        self, trial_number: int, epoch: int, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, JSON],
        fold: int = 0,
    ) -> None:  # fmt: skip
        """Keeps the tensors and `meta` of a fold of a trial at an epoch, in place of any earlier ones."""

    def load(self, trial_number: int, epoch: int, fold: int = 0) -> tuple[Tensors, dict[str, Any]] | None:
        """The tensors (read-only, sorted by name) and `meta` as they were saved; None if there are none."""


@dataclass(frozen=True)
class MemoryCheckpoints:
    """Checkpoints of a study that is not to be resumed.

    No array is copied: one that was saved must not be changed later, and a view keeps its base alive.
    """

    _kept: dict[tuple[int, int, int], tuple[Tensors, str]] = field(default_factory=dict, init=False, repr=False)

    def save(
        self, trial_number: int, epoch: int, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, JSON],
        fold: int = 0,
    ) -> None:  # fmt: skip
        views = {name: np.asarray(tensors[name]).view() for name in sorted(tensors)}
        self._kept[trial_number, epoch, fold] = _read_only(views), json.dumps(meta)

    def load(self, trial_number: int, epoch: int, fold: int = 0) -> tuple[Tensors, dict[str, Any]] | None:
        if (trial_number, epoch, fold) not in self._kept:
            return None
        tensors, meta = self._kept[trial_number, epoch, fold]
        return dict(tensors), json.loads(meta)


@dataclass(frozen=True)
class FolderCheckpoints:
    """Checkpoints as files `trial_00012_epoch_00027.safetensors` in the folder `path`, created when first needed.

    Folds after the first have theirs in the name: `trial_00012_epoch_00027_fold_1.safetensors`.

    A file is there wholly or not at all after kill -9; with `durable` (two fsyncs each) after a power failure too.
    A file that is damaged in any way counts as absent, with a RuntimeWarning that names it: safetensors has no
    checksum, so we keep a SHA-256 of all that is in the file.
    """

    path: Path
    durable: bool = False

    def save(
        self, trial_number: int, epoch: int, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, JSON],
        fold: int = 0,
    ) -> None:  # fmt: skip
        """As the protocol says. Raises ValueError for a tensor of a type that safetensors has not, and OSError."""
        file = self._file(trial_number, epoch, fold)
        if not self.path.exists():
            self._create()
        write_file(file, to_safetensors(file.name, tensors, meta), durable=self.durable)

    def load(self, trial_number: int, epoch: int, fold: int = 0) -> tuple[Tensors, dict[str, Any]] | None:
        file = self._file(trial_number, epoch, fold)
        try:
            return from_safetensors(file.name, file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            sentence = f"{self.path}: {error}; the trial is trained again from the rung before"
            warnings.warn(sentence, RuntimeWarning, stacklevel=2)
            return None

    def kept(self) -> dict[int, set[int]]:
        """The epochs at which each trial has a file, by trial number; damaged ones count."""
        epochs: dict[int, set[int]] = {}
        for found in map(FILE_NAME.fullmatch, os.listdir(self.path) if self.path.exists() else ()):
            if found is not None:
                epochs.setdefault(int(found[1]), set()).add(int(found[2]))
        return epochs

    def _file(self, trial_number: int, epoch: int, fold: int) -> Path:
        suffix = f"_fold_{fold}" if fold else ""
        return self.path / f"trial_{trial_number:05d}_epoch_{epoch:05d}{suffix}.safetensors"

    def _create(self) -> None:
        with writing_in_words(self.path):
            self.path.mkdir(exist_ok=True)
            if self.durable:
                sync_folder(self.path.parent)


def to_safetensors(name: str, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, JSON]) -> bytes:
    """The content of a safetensors file that is to be called `name`, with a SHA-256 of all that is in it.

    The same name, tensors and meta give the same bytes. Raises ValueError for a tensor of a type that safetensors has
    not.
    """
    # safetensors writes raw memory, so it must be in C order and little-endian; `ascontiguousarray` would do, but makes
    # arrays without axes one-dimensional.
    dense = {key: np.asarray(tensors[key], order="C") for key in sorted(tensors)}
    dense = {key: tensor.astype(tensor.dtype.newbyteorder("<"), copy=False) for key, tensor in dense.items()}
    text = json.dumps(meta)
    # One entry only: safetensors writes several in random order, and equal checkpoints are to be equal files.
    seal = json.dumps({"sha256": _digest(name, dense, text), "meta": text})
    try:
        return bytes(safetensors.numpy.save(dense, metadata={"hpsearch": seal}))
    except SafetensorError as error:
        raise ValueError(f"{name} cannot hold these tensors: {error}") from None


def from_safetensors(name: str, data: bytes) -> tuple[Tensors, dict[str, Any]]:
    """What `to_safetensors` was given: tensors (read-only, sorted by name) and meta.

    Raises ValueError if a single bit has changed since, or if the file was called otherwise.
    """
    try:
        tensors = safetensors.numpy.load(data)
        # safetensors gives out the metadata of files only, and to open the file twice could mix two versions of it. The
        # format: size of the header in 8 bytes, header in JSON, tensors (https://github.com/huggingface/safetensors).
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        seal = json.loads(header["__metadata__"]["hpsearch"])
        sha256, text = seal["sha256"], seal["meta"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name} is damaged, or not of hpsearch ({error})") from error
    if sha256 != _digest(name, tensors, text):
        raise ValueError(f"{name} is damaged: its SHA-256 is not the one it was written with")
    return _read_only({key: tensors[key] for key in sorted(tensors)}), json.loads(text)


def _digest(name: str, tensors: Mapping[str, NDArray[Any]], meta: str) -> str:
    """SHA-256 of the file's name, so that no file passes for another, of `meta`, and of all tensors."""
    layout = [[key, tensors[key].dtype.str, tensors[key].shape] for key in sorted(tensors)]
    sha256 = hashlib.sha256(json.dumps([name, meta, layout]).encode())
    for key in sorted(tensors):
        sha256.update(tensors[key].reshape(-1).data)
    return sha256.hexdigest()


def _read_only(tensors: Tensors) -> Tensors:
    for tensor in tensors.values():
        tensor.flags.writeable = False
    return tensors
