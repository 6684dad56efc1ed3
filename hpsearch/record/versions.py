"""Versions of what shapes the bits of a model."""

from functools import cache
from importlib.metadata import version

from hpsearch import __version__

SHAPING = ("numpy", "scipy", "numba", "scikit-learn", "skops")


@cache
def versions() -> dict[str, str]:
    """Ours and those of the packages `SHAPING`, as they are now."""
    return {"hpsearch": __version__} | {name: version(name) for name in SHAPING}
