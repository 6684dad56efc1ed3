"""Our sampler under Optuna's own tests, and in studies whose best part is known; Optuna's samplers drawing for us."""

import math
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import TrialState

from hpsearch.orchestrator.sampler import CoarseToFineSampler, EdgeWarning, draw_by
from hpsearch.record.journal import open_storage
from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from hpsearch.space.space import SearchSpace

# The verdicts are others' to test; here it matters that a user is told.
pytestmark = pytest.mark.filterwarnings("ignore::hpsearch.orchestrator.sampler.EdgeWarning")

UNIT = FloatDistribution(0.0, 1.0)
SPACE = {
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "width": IntDistribution(1, 1024, log=True),
    "share": UNIT,
    "kind": CategoricalDistribution(["a", None, 1]),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.disable_default_handler()
    yield
    optuna.logging.enable_default_handler()


def make_study(seed: int | None = 0, direction: str = "maximize", **arguments: object) -> optuna.Study:
    return optuna.create_study(sampler=CoarseToFineSampler(seed, **arguments), direction=direction)


def loss(trial: optuna.Trial) -> float:
    """Least at rate 1e-3, width 32, share 0.3, kind a."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    width = trial.suggest_int("width", 1, 1024, log=True)
    share = trial.suggest_float("share", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", None, 1])
    distances = [math.log10(rate / 1e-3) / 5, math.log2(width / 32) / 10, share - 0.3]
    return sum(d * d for d in distances) + 0.1 * (kind != "a")


def params(study: optuna.Study) -> list[dict[str, object]]:
    return [trial.params for trial in study.trials]


def spread(study: optuna.Study, name: str, last: int = 32) -> float:
    """Mean distance of the last trials' values from 0.3, where they are best; 0.29 for uniform draws."""
    return fmean(abs(trial.params[name] - 0.3) for trial in study.trials[-last:])


class TestOptunasOwnSuite(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return CoarseToFineSampler


class TestNarrowing:
    @pytest.mark.parametrize("seed", range(3))
    def test_it_finds_the_best_part_sooner_than_random_search(self, seed: int) -> None:
        study = make_study(seed, "minimize")
        study.optimize(loss, n_trials=96)
        blind = optuna.create_study(sampler=RandomSampler(seed))
        blind.optimize(loss, n_trials=96)
        ours, others = (sorted(trial.value for trial in s.trials)[5] for s in (study, blind))
        assert ours < 0.5 * others
        assert spread(study, "share") < 0.2

    def test_minimising_is_maximising_the_negative(self) -> None:
        one, other = make_study(direction="minimize"), make_study(direction="maximize")
        one.optimize(loss, n_trials=40)
        other.optimize(lambda trial: -loss(trial), n_trials=40)
        assert params(one) == params(other)

    def test_a_known_number_of_trials_makes_the_stages_of_a_small_study_smaller(self) -> None:
        studies = [make_study(n_trials=n_trials) for n_trials in (32, None)]
        for study in studies:
            study.optimize(lambda trial: -abs(trial.suggest_float("share", 0, 1) - 0.3), n_trials=32)
        told, untold = (set(study.sampler.decisions(study)["stage"]) for study in studies)
        assert (told, untold) == ({0, 1, 2, 3}, {0, 1})

    def test_a_parameter_that_only_some_trials_have(self) -> None:
        study = make_study()

        def objective(trial: optuna.Trial) -> float:
            if trial.suggest_categorical("kind", ["with", "without"]) == "without":
                return -0.3
            return -abs(trial.suggest_float("share", 0, 1) - 0.3)

        study.optimize(objective, n_trials=160)
        shares = [trial.params["share"] for trial in study.trials if "share" in trial.params]
        assert fmean(abs(share - 0.3) for share in shares[-30:]) < 0.6 * fmean(abs(s - 0.3) for s in shares[:30])

    def test_of_a_range_that_changes_the_last_one_counts(self) -> None:
        study = make_study()
        for high, n_trials in [(1, 32), (10, 96)]:
            study.optimize(lambda trial, high=high: -abs(trial.suggest_float("x", 0, high) - 5), n_trials=n_trials)
        assert all(trial.params["x"] <= 1 for trial in study.trials[:32])
        assert fmean(abs(trial.params["x"] - 5) for trial in study.trials[-32:]) < 1.7  # uniform draws: 2.5

    def test_values_of_enqueued_and_foreign_trials_count(self) -> None:
        study = make_study()
        study.add_trials(
            optuna.create_trial(params={"x": k / 47}, distributions={"x": UNIT}, value=-abs(k / 47 - 0.3))
            for k in range(48)
        )
        study.enqueue_trial({"x": 0.77})
        study.optimize(lambda trial: -abs(trial.suggest_float("x", 0, 1) - 0.3), n_trials=16)
        assert study.trials[48].params == {"x": 0.77}
        assert spread(study, "x", 15) < 0.2

    def test_failed_trials(self) -> None:
        study = make_study()

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            if x > 0.6:
                raise ArithmeticError
            return -abs(x - 0.3)

        study.optimize(objective, n_trials=96, catch=ArithmeticError)
        failed = [trial.state == TrialState.FAIL for trial in study.trials]
        assert sum(failed[-32:]) < sum(failed[:32])
        assert spread(study, "x") < 0.2

    def test_a_study_of_which_every_trial_fails(self) -> None:
        study = make_study()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) * math.nan, n_trials=40)
        assert {trial.state for trial in study.trials} == {TrialState.FAIL}
        assert len({trial.params["x"] for trial in study.trials}) == 40


class TestPruners:
    def test_a_pruned_trial_ranks_below_those_that_got_further(self) -> None:
        study = make_study()

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            trial.report(5.0 + x, 0)
            if abs(x - 0.3) > 0.3:
                raise optuna.TrialPruned
            trial.report(1.0, 1)
            return -abs(x - 0.3)

        study.optimize(objective, n_trials=96)
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
        assert spread(study, "x") < 0.2

    def test_a_study_of_pruned_trials_only(self) -> None:
        study = make_study()

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            if trial.number % 2:
                trial.report(-abs(x - 0.3), 3)
            raise optuna.TrialPruned

        study.optimize(objective, n_trials=128)
        assert spread(study, "x") < 0.2

    @pytest.mark.parametrize(
        "pruner",
        [optuna.pruners.MedianPruner(), optuna.pruners.HyperbandPruner(1, 9), optuna.pruners.SuccessiveHalvingPruner()],
        ids=lambda pruner: type(pruner).__name__,
    )
    def test_optunas_pruners(self, pruner: optuna.pruners.BasePruner) -> None:
        study = optuna.create_study(sampler=CoarseToFineSampler(0), pruner=pruner)

        def objective(trial: optuna.Trial) -> float:
            final = loss(trial)
            for step in range(1, 10):
                trial.report(final + 1 / step, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return final

        study.optimize(objective, n_trials=96)
        assert TrialState.PRUNED in {trial.state for trial in study.trials}
        assert spread(study, "share") < 0.22


class TestPureDraws:
    def test_one_by_one_in_batches_and_by_another_sampler_midway(self) -> None:
        def tell(study: optuna.Study, trials: list[optuna.Trial]) -> None:
            for trial in trials:
                study.tell(trial, loss(trial))

        single, batches, other = (make_study(direction="minimize") for _ in range(3))
        for _ in range(64):
            tell(single, [single.ask()])
        for _ in range(4):
            trials = [batches.ask(SPACE) for _ in range(16)]
            tell(batches, trials[::-1])
        for number in range(64):
            if number in (5, 16, 40):
                other.sampler = CoarseToFineSampler(0) if number < 40 else pickle.loads(pickle.dumps(other.sampler))
            tell(other, [other.ask()])
        assert params(single) == params(batches) == params(other)
        assert len({str(trial) for trial in params(single)}) == 64

    def test_seeds(self) -> None:
        drawn = [make_study(seed).ask(SPACE).params for seed in (1, 1, 2, None, None, 2**64 - 1)]
        assert drawn[0] == drawn[1]
        assert len({str(config) for config in drawn}) == 5

    def test_late_results_count_from_then_on(self) -> None:
        study = make_study()
        first = sorted((study.ask({"x": UNIT}) for _ in range(16)), key=lambda trial: trial.params["x"])
        for trial in first[5:]:
            study.tell(trial, trial.params["x"])
        second = [study.ask({"x": UNIT}).params for _ in range(16)]
        for trial in first[:5]:
            study.tell(trial, 100.0)

        def suggested(sampler: BaseSampler) -> list[dict[str, object]]:
            spaces = [sampler.infer_relative_search_space(study, trial) for trial in study.trials[16:]]
            return [
                sampler.sample_relative(study, trial, space)
                for trial, space in zip(study.trials[16:], spaces, strict=True)
            ]

        assert suggested(study.sampler) == suggested(CoarseToFineSampler(0)) != second

    def test_one_sampler_for_two_studies(self) -> None:
        sampler = CoarseToFineSampler(0)
        studies = [optuna.create_study(sampler=sampler, direction=d) for d in ("minimize", "maximize")]
        for _ in range(40):
            for study in studies:
                study.optimize(loss, n_trials=1)
        alone = make_study(direction="minimize")
        alone.optimize(loss, n_trials=40)
        assert params(studies[0]) == params(alone) != params(studies[1])

    def test_threads(self) -> None:
        study = make_study(direction="minimize")
        study.optimize(loss, n_trials=96, n_jobs=2)
        assert len({str(trial) for trial in params(study)}) == 96
        assert spread(study, "share") < 0.2

    def test_processes_that_share_a_study(self, tmp_path: Path) -> None:
        script = """
import sys, warnings, optuna
from hpsearch import CoarseToFineSampler, EdgeWarning, open_storage
warnings.simplefilter("ignore", EdgeWarning)
optuna.logging.disable_default_handler()
study = optuna.create_study(
    storage=open_storage(sys.argv[1]), study_name="s", sampler=CoarseToFineSampler(0), load_if_exists=True
)
for _ in range(32):
    trial = study.ask()
    study.tell(trial, abs(trial.suggest_float("x", 0, 1) - 0.3) + 0.1 * trial.suggest_categorical("y", [0, 1]))
    print(trial.number)
"""
        command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "study.db")]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        numbers = [int(number) for worker in workers for number in worker.communicate()[0].split()]
        assert [worker.returncode for worker in workers] == [0] * 3
        study = optuna.load_study(storage=open_storage(tmp_path / "study.db"), study_name="s")
        assert sorted(numbers) == [trial.number for trial in study.trials] == list(range(96))
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
        assert len({trial.params["x"] for trial in study.trials}) == 96
        assert all(0 <= trial.params["x"] <= 1 for trial in study.trials)
        assert spread(study, "x") < 0.2


@st.composite
def distributions(draw: st.DrawFn) -> BaseDistribution:
    kind = draw(st.sampled_from(["float", "log", "float step", "int", "log int", "int step", "choice"]))
    if kind == "choice":
        choices = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
        return CategoricalDistribution(draw(st.lists(choices, min_size=1, max_size=5)))
    if "int" in kind:
        low = draw(st.integers(1 if kind == "log int" else -(10**15), 10**4))
        step = 7 if kind == "int step" else 1
        return IntDistribution(low, low + step * draw(st.integers(0, 10**14)), kind == "log int", step)
    low = draw(st.floats(1e-300, 1.0) if kind == "log" else st.floats(-1e9, 1e9))
    if kind == "float step":
        step = draw(st.sampled_from([0.25, 3.0]))
        return FloatDistribution(round(low), round(low) + step * draw(st.integers(0, 99)), step=step)
    return FloatDistribution(low, draw(st.floats(low, 1e9)), kind == "log")


class TestRanges:
    @settings(max_examples=40)
    @given(distributions(), distributions(), st.integers(0, 9))
    def test_no_value_leaves_its_range(self, x: BaseDistribution, y: BaseDistribution, seed: int) -> None:
        study = make_study(seed, stage_size=8)
        for number in range(28):
            trial = study.ask({"x": x, "y": y})
            study.tell(trial, number * 0.618 % 1)
        for trial in study.trials:
            for name, distribution in {"x": x, "y": y}.items():
                assert distribution._contains(distribution.to_internal_repr(trial.params[name]))

    @pytest.mark.parametrize(
        "distribution",
        [
            IntDistribution(0, 10, step=5),
            FloatDistribution(-0.3, 0.3, step=0.3),
            IntDistribution(4, 6),
            CategoricalDistribution(["1", 1, None]),
        ],
        ids=str,
    )
    def test_the_first_stage_is_spread_evenly(self, distribution: BaseDistribution) -> None:
        study = make_study(stage_size=48)
        drawn = Counter(study.ask({"x": distribution}).params["x"] for _ in range(48))
        assert list(drawn.values()) == [16, 16, 16]

    def test_an_edge_is_warned_of_once(self) -> None:
        study = make_study()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1) - trial.suggest_float("y", 0, 1), n_trials=160)
        said = [str(warning.message) for warning in caught]
        assert {warning.category for warning in caught} == {EdgeWarning}
        assert sorted(sentence.split(":")[0] for sentence in said) == ["x", "y"]
        decisions = study.sampler.decisions(study)
        edges = decisions[decisions["verdict"] == "edge: widen"]
        assert set(edges[["name", "side"]].itertuples(index=False, name=None)) == {("x", "high"), ("y", "low")}
        assert set(said) <= set(decisions["sentence"])
        whole = decisions[decisions["side"].isin(["low", "high"])]
        assert (whole[["new_low", "new_high"]].to_numpy() == [0, 1]).all()
        assert all(0 <= value <= 1 for trial in study.trials for value in trial.params.values())

    def test_no_decisions_before_the_first_stage_is_over(self) -> None:
        study = make_study()
        study.optimize(loss, n_trials=15)
        before = study.sampler.decisions(study)
        study.optimize(loss, n_trials=17)
        after = study.sampler.decisions(study)
        assert before.empty and list(before.columns) == list(after.columns)
        assert set(after["stage"]) == {0, 1}
        assert {"rate", "width", "share"} <= set(after["name"])


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 2**64}, {"n_trials": 0}, {"stage_size": 0}])
def test_arguments_that_make_no_sense(arguments: dict[str, int]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        CoarseToFineSampler(**arguments)


OURS = SearchSpace.of(
    {
        "rate": LogUniform(1e-4, 1e-1),
        "momentum": Uniform(0.0, 0.9, when={"rule": "sgd"}),
        "rule": Choice(["adam", "sgd"], when={"depth": [(64,), (32, 32)]}),
        "depth": Choice([None, (64,), (32, 32)]),
        "batch_size": Integer(16, 256, log=True),
        "bins": Integer(2, 5),
        "epochs": 9,
    }
)
FACTORIES = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "qmc": lambda seed: QMCSampler(seed=seed, scramble=True),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "ours": lambda seed: CoarseToFineSampler(seed),
}


def table(n_trials: int, space: SearchSpace = OURS) -> pd.DataFrame:
    """The better the nearer `rate` is to 1e-2; every fifth failed, every third of the others was cut."""
    rows = []
    for number in range(n_trials):
        config = space.draw(3, 0, number)
        value = math.nan if number % 5 == 0 else -abs(math.log10(config["rate"]) + 2)
        row = {"number": number, "value": value, "epochs": 3 if number % 3 == 0 else 9}
        rows.append(row | {f"params_{name}": v for name, v in space.optuna_values(config).items()})
    return pd.DataFrame(rows)


@contextmanager
def if_installed(name: str) -> Iterator[None]:
    if name == "gp":
        pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class TestDrawBy:
    @pytest.mark.parametrize("name", FACTORIES)
    @pytest.mark.parametrize("n_told", [0, 30])
    def test_configs_are_of_the_space_differ_and_repeat_with_the_seed(self, name: str, n_told: int) -> None:
        trials = table(n_told)
        with if_installed(name):
            drawn, again, other, later = (
                draw_by(FACTORIES[name], OURS, trials, 16, seed, stage)
                for seed, stage in [(2**63, 1), (2**63, 1), (1, 1), (1, 2)]
            )
        assert drawn == again != other != later
        assert len({str(config) for config in drawn}) == 16
        for config in drawn:
            assert config == OURS.present({"momentum": 0.1, "rule": "adam"} | config)
            for key, u in OURS.to_unit(config).items():
                assert OURS.distributions[key].from_unit(u) == pytest.approx(config[key])
            assert list(config) == [key for key in OURS.entries if key in config]

    def test_ranges_are_those_of_the_space_and_not_their_limits(self) -> None:
        space = SearchSpace.of({"x": Uniform(0.4, 0.6, limits=(0, 1)), "n": Integer(3, 5, limits=(1, 99))})
        drawn = draw_by(FACTORIES["random"], space, pd.DataFrame(), 50, 0, 0)
        assert all(0.4 <= config["x"] <= 0.6 and 3 <= config["n"] <= 5 for config in drawn)

    def test_the_sampler_learns_from_the_table(self) -> None:
        rates = [config["rate"] for config in draw_by(FACTORIES["tpe"], OURS, table(100), 32, 0, 1)]
        distance = np.abs(np.log10(rates) + 2)
        assert distance.mean() < 0.4  # uniform draws: 0.83

    def test_what_the_sampler_is_told(self) -> None:
        seen: list[optuna.trial.FrozenTrial] = []

        class Looking(RandomSampler):
            def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
                seen[:] = study.get_trials()[:-1]

        trials = table(30)
        draw_by(lambda seed: Looking(seed), OURS, trials, 1, 0, 1)
        assert len(seen) == 30
        for trial, row in zip(seen, trials.to_dict("records"), strict=True):
            config = OURS.draw(3, 0, trial.number)
            assert trial.params == OURS.optuna_values(config)
            state = TrialState.COMPLETE if row["epochs"] == 9 else TrialState.PRUNED
            assert trial.state == (TrialState.FAIL if math.isnan(row["value"]) else state)
            if trial.state != TrialState.FAIL:
                assert trial.intermediate_values == {row["epochs"]: row["value"]}
            assert trial.value == (row["value"] if trial.state == TrialState.COMPLETE else None)

    def test_tuples_may_be_given_as_such(self) -> None:
        trials = table(20)
        as_tuples = {"[64]": (64,), "[32, 32]": (32, 32)}
        given = trials.assign(params_depth=[as_tuples.get(text) for text in trials["params_depth"]])
        assert draw_by(FACTORIES["tpe"], OURS, given, 8, 0, 1) == draw_by(FACTORIES["tpe"], OURS, trials, 8, 0, 1)

    def test_a_trial_that_is_not_of_the_space(self) -> None:
        other = SearchSpace.of(OURS.entries | {"depth": Choice([None, (64,), (32, 32), (8,)])})
        with pytest.raises(ValueError, match=r"\[8\]"):
            draw_by(FACTORIES["tpe"], OURS, table(30, other), 1, 0, 1)

    def test_a_sequence_that_would_begin_anew_is_refused(self) -> None:
        with if_installed("qmc"), pytest.raises(ValueError, match="scramble=True"):
            draw_by(lambda seed: QMCSampler(seed=seed), OURS, table(5), 4, 0, 1)
