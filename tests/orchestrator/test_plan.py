import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.orchestrator.effort import EFFORTS
from hpsearch.orchestrator.halving import Rung
from hpsearch.orchestrator.plan import (
    FEWEST_STAGED,
    MIN_EPOCHS,
    N_SEEDS,
    REPEAT,
    Plan,
    Stage,
    default_max_epochs,
    default_min_epochs,
)


def random_then(*stages: Plan) -> Plan:
    return Plan(tuple(stage for plan in stages for stage in plan.stages))


def test_a_plan_counts_its_trials_and_epochs():
    plan = random_then(Plan.random(9, 9), Plan.random(3, 9))
    assert plan.n_trials == 12 and plan.max_epochs == 9 and plan.budgets == (1, 3, 9)
    # 9 trials × 1 epoch, 3 × 2 more, 1 × 6 more; then 3 × 1, 1 × 2, 1 × 6
    assert plan.n_epochs == 9 + 6 + 6 + 3 + 2 + 6
    assert [plan.first_trial(stage) for stage in (0, 1)] == [0, 9]
    assert [plan.stage_of(trial) for trial in (0, 8, 9, 11)] == [0, 0, 1, 1]


def test_survivors_join_where_they_stand_or_are_trained_up_to_the_rung():
    plan = Plan(
        (
            Stage("coarse", 8, (Rung(2, 4),)),
            Stage("middle", 5, (Rung(2, 3), Rung(4, 2))),
            Stage("fine", 3, (Rung(9, 5),)),
        )
    )
    found = [(step.n_trained, step.n_contenders, step.keep, step.n_epochs) for step in plan.steps()]
    # of the coarse stage 4 stand at 2 epochs; of the middle one 2 at 4 epochs, which train 5 more
    assert found == [(8, 8, 4, 16), (5, 9, 3, 10), (3, 3, 2, 6), (5, 5, 5, 3 * 9 + 2 * 5)]
    assert [plan.is_last_for(stage, epochs) for stage, epochs in ((0, 2), (1, 4), (2, 9))] == [False, False, True]


@given(st.integers(1, 500), st.integers(1, 300), st.none() | st.integers(1, 400))
def test_the_default_plan_has_so_many_trials_and_its_longest_are_trained_to_the_end(n_trials, max_epochs, min_epochs):
    plan = Plan.of(n_trials, max_epochs, min_epochs)
    assert plan.n_trials == n_trials and plan.max_epochs == max_epochs
    assert Plan.from_json(plan.to_json()) == plan
    steps = list(plan.steps())
    assert all(step.n_trained >= 1 and step.keep <= step.n_contenders for step in steps)
    assert len(plan.stages) == 1 or [stage.name for stage in plan.stages] == ["coarse", "middle", "fine", REPEAT]


@pytest.mark.parametrize("n_trials", [FEWEST_STAGED, 64, 200])
def test_the_default_plan_costs_about_as_much_as_halving_in_one_stage(n_trials):
    assert 0.8 < Plan.of(n_trials, 81).n_epochs / Plan.random(n_trials, 81).n_epochs < 1.6
    repeat = Plan.of(n_trials, 81).stages[-1]
    assert repeat.is_repeat and repeat.n_trials % N_SEEDS == 0


def test_each_stage_goes_one_rung_further():
    plan = Plan.of(64, 81, min_epochs=3)
    found = [[rung.epochs for rung in stage.rungs] for stage in plan.stages]
    assert found == [[3, 9], [3, 9, 27], [3, 9, 27, 81], [81]]
    assert [[rung.epochs for rung in stage.rungs] for stage in Plan.of(64, 81).stages[:2]] == [[9], [9, 27]]


def test_repeats_meet_no_survivors():
    plan = Plan((Stage("fine", 4, (Rung(3, 4),)), Stage(REPEAT, 2, (Rung(9, 2),))))
    assert [(step.n_trained, step.n_contenders) for step in plan.steps()] == [(4, 4), (2, 2)]
    assert plan.is_last_for(0, 3), "repeats are for nobody to join"


def test_topping_up_appends_a_fine_stage_and_leaves_what_was_decided():
    plan = Plan.of(30, 27)
    more = plan.topped_up(38)
    assert more.stages[:-1] == plan.stages and more.n_trials == 38 and more.max_epochs == 27
    assert more.stages[-1].n_trials == 8 and more.stages[-1].name == "fine"
    assert plan.topped_up(30) is plan and plan.topped_up(4) is plan


def test_the_best_of_a_larger_top_up_are_trained_with_other_seeds_too():
    *before, fine, repeat = Plan.of(30, 27).topped_up(60).stages
    assert tuple(before) == Plan.of(30, 27).stages
    assert (fine.name, fine.n_trials) == ("fine", 26) and repeat.is_repeat and repeat.n_trials == 2 * N_SEEDS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage("", 3, (Rung(1, 1),)), "name must be text"),
        (lambda: Stage("a", 0, (Rung(1, 1),)), "one trial and one rung"),
        (lambda: Stage("a", 3, ()), "one trial and one rung"),
        (lambda: Stage("a", 3, (Rung(3, 1), Rung(3, 1))), "rising epochs"),
        (lambda: Stage("a", 3, (Rung(1, 0),)), "rising epochs"),
        (lambda: Stage("a", 2.5, (Rung(1, 1),)), "must be whole numbers"),
        (lambda: Stage("a", 3, (Rung("1", 1),)), "must be whole numbers"),
        (lambda: Stage("a", 3, (Rung(1, 1.5),)), "must be whole numbers"),
        (lambda: Stage("a", 3, ((1, 2),)), "a tuple of Rung"),
        (lambda: Stage("a", 3, Rung(1, 2)), "a tuple of Rung"),
        (lambda: Plan(()), "one Stage or more"),
        (lambda: Plan(("coarse",)), "one Stage or more"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_plan_of_lists_is_that_of_tuples():
    plan = Plan([Stage("a", 4, [Rung(1, 2)])])
    assert plan == Plan((Stage("a", 4, (Rung(1, 2),)),)) == Plan.from_json(plan.to_json())


@pytest.mark.parametrize("steps", [1, 7, 100, 5000])
@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
def test_the_longest_trials_see_enough_minibatches(steps, effort):
    epochs = default_max_epochs(steps, effort.n_updates)
    assert epochs * steps >= effort.n_updates and epochs >= MIN_EPOCHS and epochs % 9 == 0


def test_a_rung_is_as_short_as_its_minibatches_allow():
    assert default_min_epochs(90, 36) == 9, "a ninth of the longest makes 324 minibatches, three epochs would not do"
    assert default_min_epochs(27, 1000) == 1 and default_min_epochs(9, 10) == 1
