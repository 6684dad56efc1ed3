import pytest

from hpsearch.orchestrator.plan import MIN_EPOCHS, MIN_UPDATES, Plan, default_max_epochs, random_stage


def test_a_plan_counts_its_trials_and_epochs():
    plan = Plan((random_stage(9, 9), random_stage(3, 9)))
    assert plan.n_trials == 12 and plan.max_epochs == 9
    # 9 trials × 1 epoch, 3 × 2 more, 1 × 6 more; then 3 × 1, 1 × 2, 1 × 6
    assert plan.n_epochs == 9 + 6 + 6 + 3 + 2 + 6
    assert [plan.first_trial(stage) for stage in (0, 1)] == [0, 9]


def test_a_plan_comes_back_from_its_record():
    plan = Plan((random_stage(64, 81), random_stage(5, 81)))
    assert Plan.from_json(plan.to_json()) == plan


def test_topping_up_appends_a_stage_and_leaves_what_was_decided():
    plan = Plan((random_stage(8, 27),))
    more = plan.topped_up(20)
    assert more.stages[0] == plan.stages[0]
    assert more.n_trials == 20 and more.stages[1].n_trials == 12
    assert plan.topped_up(8) is plan


def test_with_fewer_trials_than_planned_nothing_is_added():
    plan = Plan((random_stage(8, 9),))
    assert plan.topped_up(4) is plan and plan.topped_up(8) is plan


@pytest.mark.parametrize("steps", [1, 7, 100, 5000])
def test_the_longest_trials_see_enough_minibatches(steps):
    epochs = default_max_epochs(steps)
    assert epochs * steps >= MIN_UPDATES and epochs >= MIN_EPOCHS and epochs % 9 == 0
