"""The stages of a plan as rows of a table, and how much of each rung is done."""

from collections import Counter
from collections.abc import Mapping

from hpsearch.orchestrator.plan import Plan, Step
from hpsearch.record.trials import StudyRecord

Kept = Mapping[int, set[int]]
"""The epochs at which each trial has a checkpoint, by trial number."""


def rung_name(plan: Plan, step: Step) -> tuple[str, str]:
    """A rung's first two cells, for the columns "stage" and "rung": "1/4 coarse", "2/3"."""
    stage = plan.stages[step.stage]
    return f"{step.stage + 1}/{len(plan.stages)} {stage.name}", f"{step.rung + 1}/{len(stage.rungs)}"


def trials_done(plan: Plan, kept: Kept) -> Counter[tuple[int, int]]:
    """How many trials have come to the end of each rung, by its stage and epochs.

    A survivor has come there in the first stage with such a rung, from its own on.
    """
    done: Counter[tuple[int, int]] = Counter()
    for trial, budgets in kept.items():
        own = plan.stage_of(trial)
        for epochs in budgets:
            stages = (
                number for number, stage in enumerate(plan.stages) if number == own or _is_joined(plan, own, number)
            )
            stage = next((n for n in stages if epochs in {rung.epochs for rung in plan.stages[n].rungs}), None)
            if stage is not None:
                done[stage, epochs] += 1
    return done


def _is_joined(plan: Plan, own: int, stage: int) -> bool:
    """May survivors of the stage `own` go on in this one?"""
    return stage > own and not plan.stages[stage].is_repeat


def epochs_done(kept: Kept) -> int:
    """Epochs of training of all trials, up to their last checkpoints."""
    return sum(max(budgets) for budgets in kept.values())


def state_of(record: StudyRecord | None, plan: Plan) -> str:
    """How far a study is, in words."""
    if record is None:
        return "not begun"
    return "finished" if record.is_over(plan.n_trials) else "begun, and a run continues it"
