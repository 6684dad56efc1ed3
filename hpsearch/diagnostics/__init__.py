"""What a careful person checks while networks train.

`check_gradients` is loaded when it is first used (PEP 562): whoever reads curves needs no engine.
"""

from importlib import import_module
from typing import Any

_HOMES = {"GradientCheck": "hpsearch.diagnostics.gradients", "check_gradients": "hpsearch.diagnostics.gradients"}

__all__ = ["GradientCheck", "check_gradients"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
