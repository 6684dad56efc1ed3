"""The *identity* of a study: what must be the same when it is continued, as JSON values by name.

It is recorded in the `optuna.Study` and once more in the folder of the checkpoints, for each may be lost, or handed to
another study, without the other.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hpsearch.record.folder import write_file

FILE = "study.json"
DATA = "data"
"""The name in an identity that stands for a fingerprint, which tells a person nothing."""

Identity: TypeAlias = Mapping[str, Any]


def difference(recorded: Identity, identity: Identity) -> str:
    """The first name of `identity`, in its order, whose value is recorded otherwise, in words; empty if none is."""
    for name, value in identity.items():
        if recorded.get(name) != value:
            return "other data" if name == DATA else f"another {name} ({_change(recorded.get(name), value)})"
    return ""


def _change(before: Any, now: Any) -> str:
    """Two values that differ, or of two tables the first entries that do, in words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                return f"{key}: {_short(before.get(key))}, now {_short(now.get(key))}"
    return f"{_short(before)}, now {_short(now)}"


def refuse_checkpoints_of_others(folder: Path, identity: Identity) -> None:
    """ValueError if `folder` keeps the checkpoints of another study, or of one that cannot be told."""
    way_out = "choose another folder (fits=), or delete this one"
    kept = _read(folder)
    if kept is None:
        if any(folder.rglob("*.safetensors")):
            raise ValueError(f"{folder} holds checkpoints, but no {FILE} that says of which study; {way_out}")
    elif other := difference(kept, identity):
        raise ValueError(f"the checkpoints in {folder} are of a study that was begun with {other}; {way_out}")


def keep_identity(folder: Path, identity: Identity) -> None:
    """Write the identity into a folder that has none: it is there for good when this returns, and OSError if not."""
    if not (folder / FILE).exists():
        content = {"sha256": _digest(identity), "identity": identity}
        write_file(folder / FILE, (json.dumps(content, indent=2) + "\n").encode())


def _read(folder: Path) -> dict[str, Any] | None:
    """The identity that is kept in a folder, None if there is none; ValueError if it is damaged."""
    try:
        content = json.loads((folder / FILE).read_bytes())
        identity, sha256 = dict(content["identity"]), content["sha256"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / FILE} is damaged, or not of hpsearch") from None
    if sha256 != _digest(identity):
        raise ValueError(f"{folder / FILE} was changed: its SHA-256 is not the one of what it says")
    return identity


def _digest(identity: Identity) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
