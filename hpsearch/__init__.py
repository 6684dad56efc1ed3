"""Hyperparameter search and ensembling of multi-layer perceptrons for tables. See `search`,
`SearchClassifier`, `SearchRegressor`, `MLPClassifier` and `MLPRegressor`.

The public names are loaded when they are first used (PEP 562), so that importing the package is quick.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "AllTrialsFailed": "hpsearch.study",
    "CLASSIC": "hpsearch.orchestrator.networks",
    "Choice": "hpsearch.space.distributions",
    "CoarseToFineSampler": "hpsearch.orchestrator.sampler",
    "EdgeWarning": "hpsearch.orchestrator.sampler",
    "Ensemble": "hpsearch.ensemble.ensemble",
    "Integer": "hpsearch.space.distributions",
    "Locked": "hpsearch.record.lock",
    "LogUniform": "hpsearch.space.distributions",
    "MLPClassifier": "hpsearch.estimators.mlp",
    "MLPRegressor": "hpsearch.estimators.mlp",
    "Plan": "hpsearch.orchestrator.plan",
    "Result": "hpsearch.api",
    "Rung": "hpsearch.orchestrator.halving",
    "SearchClassifier": "hpsearch.estimators.search",
    "SearchRegressor": "hpsearch.estimators.search",
    "Stage": "hpsearch.orchestrator.plan",
    "Uniform": "hpsearch.space.distributions",
    "load": "hpsearch.ensemble.ensemble",
    "open_storage": "hpsearch.record.journal",
    "search": "hpsearch.api",
}

__version__ = "0.1.0"
__all__ = [
    "CLASSIC",
    "AllTrialsFailed",
    "Choice",
    "CoarseToFineSampler",
    "EdgeWarning",
    "Ensemble",
    "Integer",
    "Locked",
    "LogUniform",
    "MLPClassifier",
    "MLPRegressor",
    "Plan",
    "Result",
    "Rung",
    "SearchClassifier",
    "SearchRegressor",
    "Stage",
    "Uniform",
    "load",
    "open_storage",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
