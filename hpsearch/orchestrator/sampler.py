"""Optuna, both ways: coarse to fine as a sampler for anybody's study, and any sampler of Optuna's for a stage of ours.

`CoarseToFineSampler` hands Optuna's trials to `space/refine.py` as a table, and its draws back. `draw_by` hands our
table to a study in memory and takes a stage's configs from its sampler.
"""

import math
import secrets
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.space.conversion import from_optuna_value, to_optuna
from hpsearch.space.distributions import (
    Choice,
    Distribution,
    Integer,
    LogUniform,
    Plain,
    Uniform,
    Value,
    as_stored,
    conditions,
)
from hpsearch.space.edges import DECISION_COLUMNS, EDGE
from hpsearch.space.proposal import Proposal
from hpsearch.space.refine import refine
from hpsearch.space.space import Config, SearchSpace, uniforms

# A stage has at least this share of the trials before it, so that what refining costs per trial does not grow.
GROWTH = 0.1

# A study whose number of trials is known has at least so many stages.
FEWEST_STAGES = 4


class EdgeWarning(UserWarning):
    """The best trials crowd at an end of a given range: the optimum may lie beyond it."""


class CoarseToFineSampler(BaseSampler):
    """Draws trials in stages: the first over the whole ranges, each later one mostly where the best trials lie.

    For `optuna.create_study(sampler=...)`, one objective, minimised or maximised. Values never leave the ranges given;
    where the best trials crowd at an end of one, an `EdgeWarning` says so, once for each parameter and side, and
    `decisions` gives the figures.

    What a trial is given is a function of the seed, its number and the trials of *earlier stages* that are finished by
    then. So the trials of a stage may be asked for one by one, in a batch, by threads or by processes that share the
    study (give all of them the same seed), and a result that comes in late counts from then on. Stages are counted in
    trial numbers: `stage_size` trials, or a tenth of those before it where that is more.

    Failed trials count as failed, pruned ones with their last report: a trial that got further ranks higher, one that
    is complete has got as far as any. Parameters that only some trials have are judged among those. Of a parameter
    whose range changes, the last range counts. New parameters, those of the first stage, and the few that cannot be
    refined (choices that look alike, whole numbers beyond 1e12) are drawn from their whole range.

    seed: in [0, 2**64); None for another one each time.
    n_trials: how many trials the study is to have, if that is known: a small study then has stages small enough for
        four of them.
    stage_size: trials of a stage, at least 1.

    Raises ValueError when an argument breaks these rules, and for a study of several objectives.
    """

    def __init__(self, seed: int | None = None, n_trials: int | None = None, stage_size: int = 16) -> None:
        if seed is not None and not 0 <= seed < 2**64:
            raise ValueError(f"`seed` must be None or in [0, 2**64), but got {seed!r}.")
        for argument, value in {"n_trials": n_trials, "stage_size": stage_size}.items():
            if value is not None and value < 1:
                raise ValueError(f"`{argument}` must be at least 1, but got {value!r}.")
        self._seed = secrets.randbits(64) if seed is None else seed
        self._stage_size = stage_size if n_trials is None else min(stage_size, max(1, n_trials // FEWEST_STAGES))
        self._latest = _Drawn()

    def decisions(self, study: optuna.Study) -> pd.DataFrame:
        """What each stage that is over has shown, computed from the trials: the columns of DECISION_COLUMNS.

        One row per stage, numeric parameter and side, and rows for what was narrowed, each with a sentence. Ranges are
        as they were given; a step's values are judged as points of its range, choices are named by their texts.
        """
        trials = study.get_trials(deepcopy=False)
        starts = _starts(self._stage_size, len(trials))
        found = [_History.of(study, trials, starts[: stage + 1]).refined()[1] for stage in range(1, len(starts))]
        judged = [decisions for decisions in found if len(decisions)]
        return pd.concat(judged, ignore_index=True) if judged else _no_decisions()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Optuna's hook: the parameters that finished trials of earlier stages have, also those only some have."""
        return dict(self._drawn(study, trial.number).distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Optuna's hook: the values of these parameters."""
        drawn = self._drawn(study, trial.number)
        return {
            name: drawn.value(trial.number, name)
            if drawn.distributions.get(name) == distribution
            else self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Optuna's hook: a value from the whole range; stratified, each `stage_size` trials, where ours can hold it."""
        self._raise_error_if_multi_objective(study)
        ours = _as_ours(param_distribution)
        if ours is None:
            seed = _seed32(self._seed, trial.number, param_name)
            return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)
        batch, position = divmod(trial.number, self._stage_size)
        configs = Proposal.of(SearchSpace({param_name: ours})).draw(self._seed, batch, self._stage_size)
        return _as_theirs(configs[position][param_name], ours, param_distribution)

    def _drawn(self, study: optuna.Study, number: int) -> "_Drawn":
        """The draws of the stage that trial `number` belongs to, kept until a trial of an earlier stage finishes."""
        self._raise_error_if_multi_objective(study)
        starts = _starts(self._stage_size, number)
        latest, about = self._latest, (study._storage, study._study_id, len(starts) - 1)
        if latest.about == about and latest.n_finished == starts[-1]:
            return latest
        # Not study.get_trials: with a HyperbandPruner that is one bracket's, and brackets are but fidelities to us.
        history = _History.of(study, study._storage.get_all_trials(study._study_id, deepcopy=False), starts)
        if latest.about == about and latest.n_finished == len(history.trials):
            return latest
        proposal, decisions = history.refined()
        warned = latest.warned if latest.about[:2] == about[:2] else frozenset()
        self._latest = _Drawn(
            about,
            len(history.trials),
            starts[-1],
            history.distributions,
            proposal,
            proposal.draw(self._seed, len(starts) - 1, _size(self._stage_size, starts[-1])),
            warned | _warn(decisions, warned),
        )
        return self._latest

    def __getstate__(self) -> dict[str, Any]:
        # What is kept belongs to a storage, which may not be pickled.
        return {**self.__dict__, "_latest": _Drawn()}


@dataclass(frozen=True)
class _Drawn:
    """The draws of one stage of one study.

    about: storage, study and stage.
    n_finished: finished trials of earlier stages, from which they were drawn.
    start: number of the stage's first trial.
    distributions: name → Optuna's distribution.
    warned: the (name, side) that the user has been warned about.
    """

    about: tuple[BaseStorage | None, int, int] = (None, 0, 0)
    n_finished: int = 0
    start: int = 0
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    proposal: Proposal = field(default_factory=lambda: Proposal.of(SearchSpace({})))
    configs: Sequence[Config] = ()
    warned: frozenset[tuple[str, str]] = frozenset()

    def value(self, number: int, name: str) -> Any:
        """What trial `number` is given for a parameter."""
        ours = self.proposal.space.distributions[name]
        return _as_theirs(self.configs[number - self.start][name], ours, self.distributions[name])


@dataclass(frozen=True)
class _History:
    """The finished trials before the last of the stages that begin at the trial numbers `starts`.

    sign: 1 where greater is better, else -1.
    """

    trials: Sequence[FrozenTrial]
    starts: Sequence[int]
    sign: int

    @classmethod
    def of(cls, study: optuna.Study, trials: Sequence[FrozenTrial], starts: Sequence[int]) -> "_History":
        finished = [trial for trial in trials if trial.number < starts[-1] and trial.state.is_finished()]
        return cls(finished, starts, 1 if study.direction == StudyDirection.MAXIMIZE else -1)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The latest distribution of each parameter, of those that ours can hold."""
        latest: dict[str, BaseDistribution] = {}
        for trial in self.trials:
            latest.update(trial.distributions)
        return {name: distribution for name, distribution in latest.items() if _as_ours(distribution) is not None}

    def refined(self) -> tuple[Proposal, pd.DataFrame]:
        """What the last stage draws from, and the decisions that led there."""
        theirs = self.distributions
        space = SearchSpace({name: ours for name, d in theirs.items() if (ours := _as_ours(d)) is not None})
        if not theirs:
            return Proposal.of(space), _no_decisions()
        return refine(self._table(theirs, space), Proposal.of(space), len(self.starts) - 2)

    def _table(self, theirs: Mapping[str, BaseDistribution], space: SearchSpace) -> pd.DataFrame:
        """One row per trial as `refine` wants it, choices as text, what is absent or outside its range as None."""
        number = [trial.number for trial in self.trials]
        epochs = np.array([1 + (trial.last_step or 0) for trial in self.trials])
        complete = [trial.state == TrialState.COMPLETE for trial in self.trials]
        columns: dict[str, Any] = {
            "number": number,
            "stage": np.searchsorted(self.starts, number, side="right") - 1,
            "value": [self.sign * _value(trial) for trial in self.trials],
            "epochs": np.where(complete, epochs.max(), epochs),
        }
        for name, ours in space.distributions.items():
            columns[f"params_{name}"] = [_as_given(trial, name, ours, theirs[name]) for trial in self.trials]
        return pd.DataFrame(columns)


def _starts(stage_size: int, number: int) -> list[int]:
    """The trial numbers at which stages begin, up to that of trial `number`."""
    starts = [0]
    while (following := starts[-1] + _size(stage_size, starts[-1])) <= number:
        starts.append(following)
    return starts


def _size(stage_size: int, start: int) -> int:
    return max(stage_size, int(GROWTH * start))


def _value(trial: FrozenTrial) -> float:
    """The trial's value, or where it was pruned its last report; NaN if it failed or reported nothing."""
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return trial.value
    if trial.state == TrialState.PRUNED and trial.last_step is not None:
        return trial.intermediate_values[trial.last_step]
    return float("nan")


def _no_decisions() -> pd.DataFrame:
    return pd.DataFrame(columns=list(DECISION_COLUMNS)).astype(DECISION_COLUMNS)


def _warn(decisions: pd.DataFrame, warned: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Warn of edges that were not warned of; returns which."""
    edges = decisions[decisions["verdict"] == EDGE]
    found = {(name, side): text for name, side, text in edges[["name", "side", "sentence"]].itertuples(index=False)}
    for side, sentence in found.items():
        if side not in warned:
            warnings.warn(sentence, EdgeWarning, stacklevel=2)
    return frozenset(found)


def _as_ours(distribution: BaseDistribution) -> Distribution | None:
    """The distribution as one of ours, None for a single value and for what ours cannot hold.

    It may become no wider. Choices are their texts (`str`, or `repr` where only that tells them apart). Steps are
    points of their whole range: the first and the last stand at its ends, and the values that `_as_theirs` makes of
    equal parts of it are equally likely.
    """
    if distribution.single():
        return None
    try:
        if isinstance(distribution, CategoricalDistribution):
            texts = [str(choice) for choice in distribution.choices]
            return Choice(texts if len(set(texts)) == len(texts) else [repr(choice) for choice in distribution.choices])
        if isinstance(distribution, IntDistribution) and distribution.step == 1:
            whole = (distribution.low, distribution.high)
            return Integer(*whole, log=distribution.log, limits=whole)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        limits = (distribution.low, distribution.high)
        return (LogUniform if distribution.log else Uniform)(*limits, limits=limits)
    except ValueError:
        return None


def _as_theirs(value: Value, ours: Distribution, theirs: BaseDistribution) -> Any:
    """A value of ours as Optuna's distribution has it."""
    if isinstance(theirs, CategoricalDistribution):
        assert isinstance(ours, Choice)
        return theirs.choices[ours.values.index(value)]
    assert isinstance(theirs, FloatDistribution | IntDistribution)
    if theirs.step is None or not isinstance(ours, Uniform):
        return value
    assert isinstance(value, float)
    n_values = round((theirs.high - theirs.low) / theirs.step) + 1
    part = min(int(ours.to_unit(value) * n_values), n_values - 1)
    return min(theirs.low + part * theirs.step, theirs.high)


def _as_given(trial: FrozenTrial, name: str, ours: Distribution, theirs: BaseDistribution) -> Value:
    """A trial's value in terms of ours, None where it has none in the range."""
    if name not in trial.params:
        return None
    internal = theirs.to_internal_repr(trial.params[name])
    if not theirs._contains(internal):
        return None
    return ours.values[int(internal)] if isinstance(ours, Choice) else trial.params[name]


def _seed32(seed: int, number: int, name: str) -> int:
    """A seed of 32 bits, as NumPy's older generators want it, from (seed, number, name)."""
    return int(uniforms(seed, number, name, 1)[0] * 2**32)


def check_factory(factory: object) -> None:
    """ValueError unless this is a function of a seed that gives a sampler of Optuna's.

    A class is none: most samplers take something else as their first argument, and would not be seeded.
    """
    if isinstance(factory, type) or not callable(factory) or not isinstance(factory(0), BaseSampler):
        raise ValueError(f"sampler must be a function of a seed that gives a sampler of Optuna's, but got {factory!r}")


def draw_by(
    factory: Callable[[int], BaseSampler],
    space: SearchSpace,
    trials: pd.DataFrame,
    n_trials: int,
    seed: int,
    stage: int,
) -> list[Config]:
    """The configs of a stage from a sampler of Optuna's, all asked for at once.

    The sampler sees a study in memory that is maximised, over the ranges of `space` (not their limits). A conditional
    hyperparameter is asked for where its condition holds. Trials that got to the greatest number of epochs are
    complete, others with a value pruned at theirs; those without failed.

    factory: makes the sampler from a seed in [0, 2**32), such as `lambda seed: TPESampler(seed=seed)`. A QMCSampler
        must scramble, for without it every stage would begin the same sequence anew.
    trials: one row per finished trial drawn from `space`, with `number`, `value` (greater is better, NaN: failed),
        `epochs` and `params_<name>` (choices that are tuples also as their JSON text).
    n_trials: how many to draw.
    seed, stage: in [0, 2**64); the sampler's seed is a function of the two.

    Returns configs as `SearchSpace.draw` does. Raises ValueError for a trial outside `space` and an unscrambled
    QMCSampler, and whatever the sampler raises.
    """
    sampler = factory(_seed32(seed, stage, "sampler"))
    if isinstance(sampler, QMCSampler) and not sampler._scramble:
        raise ValueError("A QMCSampler must be made with `scramble=True`, else all stages draw the same configs.")
    study = _study_in_memory(sampler)
    distributions = {name: to_optuna(space.distributions[name], limits=False) for name in _dependency_order(space)}
    if len(trials):
        max_epochs = trials["epochs"].max()
        study.add_trials(_told(row, space, distributions, max_epochs) for row in trials.to_dict("records"))
    return [_asked(study.ask(), space, distributions) for _ in range(n_trials)]


def _study_in_memory(sampler: BaseSampler) -> optuna.Study:
    """A study that is maximised; Optuna's remark about it is not for our users."""
    storage, verbosity = InMemoryStorage(), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage.create_new_study([StudyDirection.MAXIMIZE], "stage")
    finally:
        optuna.logging.set_verbosity(verbosity)
    return optuna.Study("stage", storage, sampler)


def _dependency_order(space: SearchSpace) -> list[str]:
    """The searched hyperparameters, each after those that its condition names."""
    parents = {name: conditions(distribution) for name, distribution in space.distributions.items()}
    return [name for name in TopologicalSorter(parents).static_order() if name in space.distributions]


def _config(space: SearchSpace, order: Iterable[str], stored: Callable[[str], Plain]) -> Config:
    """The config of what Optuna has stored, looked up in `order` and only where conditions hold."""
    config = dict(space.fixed)
    for name in order:
        distribution = space.distributions[name]
        if all(p in config and config[p] in allowed for p, allowed in conditions(distribution).items()):
            config[name] = from_optuna_value(distribution, stored(name))
    return {name: config[name] for name in space.entries if name in config}


def _told(
    row: Mapping[Hashable, Any], space: SearchSpace, distributions: Mapping[str, BaseDistribution], max_epochs: int
) -> FrozenTrial:
    """The trial that a row of the table tells of."""
    config = _config(space, distributions, lambda name: _stored(row, name, distributions[name]))
    value, epochs = float(row["value"]), int(row["epochs"])
    failed, complete = not math.isfinite(value), epochs == max_epochs
    return create_trial(
        state=TrialState.FAIL if failed else TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=value if complete and not failed else None,
        intermediate_values={} if failed else {epochs: value},
        params=space.optuna_values(config),
        distributions={name: distributions[name] for name in config if name in distributions},
    )


def _stored(row: Mapping[Hashable, Any], name: str, theirs: BaseDistribution) -> Plain:
    """A row's value as Optuna stores it, the nearest of the range. Raises ValueError where there is none."""
    raw: Any = as_stored(row.get(f"params_{name}"))
    if isinstance(theirs, IntDistribution):
        return min(max(int(raw), theirs.low), theirs.high)  # a column with gaps holds floats
    if isinstance(theirs, FloatDistribution) and not pd.isna(raw):
        return min(max(float(raw), theirs.low), theirs.high)
    value: Plain = None if isinstance(theirs, CategoricalDistribution) and pd.isna(raw) else raw
    theirs.to_internal_repr(value)
    return value


def _asked(trial: optuna.Trial, space: SearchSpace, distributions: Mapping[str, BaseDistribution]) -> Config:
    """The config that the sampler suggests."""
    return _config(space, distributions, lambda name: _suggested(trial, name, distributions[name]))


def _suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Plain:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
