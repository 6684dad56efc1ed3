"""What is asked: data, space, learner and score, checked against each other at the door."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from hpsearch.data.dataset import Dataset, prepare
from hpsearch.data.encoding import ENCODINGS
from hpsearch.data.scoring import guess_scores, scorers_of
from hpsearch.mlp.recipe import BOUNDS, HYPERPARAMETERS
from hpsearch.mlp.train import steps_per_epoch
from hpsearch.orchestrator.drawing import MODES, Drawing
from hpsearch.orchestrator.effort import effort_of
from hpsearch.orchestrator.estimators import EstimatorLearner
from hpsearch.orchestrator.knowledge import Like, check_like, first_configs, start_from
from hpsearch.orchestrator.learner import Learner
from hpsearch.orchestrator.networks import MLPLearner, default_config, default_space, largest_batch
from hpsearch.orchestrator.plan import MIN_EPOCHS, default_max_epochs, default_min_epochs
from hpsearch.orchestrator.run import Problem
from hpsearch.orchestrator.sampler import check_factory
from hpsearch.space.distributions import Choice, Distribution
from hpsearch.space.space import Config, SearchSpace

SCORES_OF_LABELS = ("accuracy", "balanced_accuracy")
"""For these, label smoothing is searched: it helps labels and hurts probabilities."""
FEW_ROWS = 4_000
"""Of fewer rows our networks get folds unless the user says otherwise: one split leaves too few to choose by."""
N_CHECKED = 64
"""Configs that are drawn at the door, to see whether values that are right alone go together."""


def problem_of(
    X: object, y: object, *, effort: str = "standard", space: Mapping[str, object] | None = None,
    estimator: object = None, max_epochs: int | None = None, random_state: int = 0, scoring: object = None,
    refine: Literal["off", "warn", "auto"] = "auto", first: Sequence[Mapping[str, object]] = (), like: Like = None,
    sampler: Callable[[int], Any] | None = None, error_score: float | str = math.nan,
    trial_timeout: float | None = None, trial_memory: float | None = None, trusted: Sequence[str] = (), **data: Any,
) -> tuple[Problem[Any], int]:  # fmt: skip
    """The problem, and the epochs of the longest trials; the arguments are those of `search`, `data` of `prepare`.

    Raises:
        ValueError: for the first thing that is wrong, naming argument, value and rule.
    """
    if not isinstance(space, Mapping | None):
        raise ValueError(f"space must be a dict of name → distribution or value, but got {space!r}")
    n_updates = effort_of(effort).n_updates
    if refine not in MODES:
        raise ValueError(f"refine must be one of {', '.join(MODES)}, but got {refine!r}")
    if sampler is not None:
        check_factory(sampler)
    if like is not None:
        check_like(like)
    if isinstance(trusted, str) or not all(isinstance(name, str) for name in trusted):
        raise ValueError(f'trusted must be a list of names, "package.module.Class", but got {trusted!r}')
    asked = SearchSpace.of(space or {})
    limits = {"error_score": error_score, "trial_timeout": trial_timeout, "trial_memory": trial_memory}
    if estimator is None:
        _refuse_limits(limits)
        asked.check_names(HYPERPARAMETERS)
    encodings = _encodings(asked) if estimator is None else ENCODINGS[:1]
    is_ours = estimator is None
    data |= {"encoded": is_ours, "encodings": encodings, "folds_below": FEW_ROWS if is_ours else 0}
    dataset = prepare(X, y, random_state=random_state, **data)
    seed = int(random_state)
    scorers = scorers_of(scoring, dataset.target)
    if estimator is None:
        # losses that a user names may know no smoothing
        of_labels = scorers[0].name in SCORES_OF_LABELS and "loss" not in asked.entries
        whole_space, default, learner, epochs = _networks(dataset, asked, seed, max_epochs, n_updates, of_labels)
    else:
        epochs = max_epochs or MIN_EPOCHS
        whole_space, default, learner = _estimators(estimator, dataset, asked, seed, epochs, trusted=trusted, **limits)
    configs = first_configs(first, whole_space, default)
    for config in configs:
        learner.check(config)
    for part in dataset.folds:
        guess_scores(scorers[0], part)
    start = None if like is None else partial(start_from, like, whole_space)
    drawing = Drawing(whole_space, seed, configs, refine, sampler, start)
    return Problem(dataset, drawing, learner, scorers, seed), epochs


def _refuse_limits(limits: Mapping[str, Any]) -> None:
    for name, value in limits.items():
        if not (value is None or (isinstance(value, float) and math.isnan(value))):
            raise ValueError(f"{name}={value!r} is for an estimator of your own: give estimator, or leave it out")


def _encodings(asked: SearchSpace) -> tuple[str, ...]:
    """What `encoding` may be; all of them unless the user names some, or one. Images stay images."""
    default = ENCODINGS[0] if asked.entries.get("image_shape") else Choice(ENCODINGS)
    entry = asked.entries.get("encoding", default)
    names = entry.values if isinstance(entry, Choice) else (entry,)
    for name in names:
        if name not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, but got {name!r}")
    return tuple(map(str, names))


def _networks(
    dataset: Dataset, asked: SearchSpace, seed: int, max_epochs: int | None, n_updates: int, of_labels: bool
) -> tuple[SearchSpace, Config, Learner[Any], int]:
    """The whole space of our networks, its default config, their learner, and the epochs of the longest trials."""
    n_train = min(len(part.rows.train) for part in dataset.parts)
    default = default_space(n_train, asked.entries.get("update"), dataset.distinct_encodings, of_labels)
    space = default.replace(asked.entries).with_natural_bounds(BOUNDS)
    _check_values(space)
    epochs = max_epochs or default_max_epochs(steps_per_epoch(n_train, largest_batch(space)), n_updates)
    learner = MLPLearner.of(dataset, order_seed=seed, horizon=epochs)
    for number in range(N_CHECKED):
        learner.check(space.draw(seed, 0, number))
    return space, default_config(space), learner, epochs


def shortest_rung(problem: Problem[Any], max_epochs: int) -> int | None:
    """Epochs of the shortest rung of our networks; None for estimators, which may know epochs of another kind."""
    if not isinstance(problem.learner, MLPLearner):
        return None
    n_train = min(len(part.rows.train) for part in problem.dataset.parts)
    return default_min_epochs(max_epochs, steps_per_epoch(n_train, largest_batch(problem.drawing.space)))


def _estimators(
    estimator: Any, dataset: Dataset, asked: SearchSpace, seed: int, epochs: int, **limits: Any
) -> tuple[SearchSpace, Config, Learner[Any]]:
    """The space of an estimator's parameters, its own as the default config, and its learner."""
    if not asked.distributions:
        raise ValueError("space must name one or more of the estimator's parameters to search, but names none")
    learner = EstimatorLearner.of(estimator, dataset, asked, order_seed=seed, horizon=epochs, **limits)
    return asked, asked.nearest(estimator.get_params(deep=True)), learner


def _check_values(space: SearchSpace) -> None:
    """ValueError if an end of a range, a choice or a fixed value is not one the engine takes, with the fixed values."""
    fixed = {name: entry for name, entry in space.entries.items() if not isinstance(entry, Distribution)}
    for name, entry in space.entries.items():
        if isinstance(entry, Choice):
            values: tuple[Any, ...] = tuple(entry.values)
        else:
            values = (entry.low, entry.high) if isinstance(entry, Distribution) else (entry,)
        for value in values:
            MLPLearner.check_recipe(fixed | {name: value})
