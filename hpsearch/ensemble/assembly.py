"""From members to an `Ensemble` of their models: as they were chosen, or trained again on all rows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpsearch.data.as_given import rows_of
from hpsearch.ensemble.average import Average
from hpsearch.ensemble.conformal import Residuals
from hpsearch.ensemble.ensemble import Ensemble
from hpsearch.ensemble.evidence import Evidence, loses_clearly_more
from hpsearch.ensemble.members import Member
from hpsearch.orchestrator.networks import Network
from hpsearch.orchestrator.run import Problem
from hpsearch.orchestrator.training import score_rows
from hpsearch.record.checkpoints import Checkpoints
from hpsearch.record.versions import versions

Refits = Mapping[tuple[int, int], Any]
"""Trial number and epochs → the fit on all rows but the test rows."""


@dataclass(frozen=True)
class Assembly:
    """Knows where the models of members are, and puts ensembles together from them.

    Attributes:
        problem: the data, the learner and the scores.
        checkpoints: of all trials at the ends of their rungs.
        refits: members that are among them vote by these.
    """

    problem: Problem[Any]
    checkpoints: Checkpoints
    refits: Refits = field(default_factory=dict)

    def kept(self, member: Member, fold: int) -> Any:
        """The model of a member that was trained without a fold; of a soup, the mean of its ingredients' weights."""
        if member.ingredients:
            return Network.mean([self.kept(one, fold) for one in member.ingredients])
        number, budget = member.result.number, member.result.budget
        saved = self.checkpoints.load(number, budget, fold)
        if saved is None:
            raise FileNotFoundError(f"the checkpoint of trial {number} at {budget} epochs has disappeared")
        return self.problem.learner.predictor(self.problem.learner.load(*saved), member.weights)

    def of_folds(self, member: Member) -> list[Any]:
        """The kept models of a member, one per part of the dataset."""
        return [self.kept(member, part.fold) for part in self.problem.dataset.parts]

    def with_refits(self, refits: Refits, chosen: Average) -> "Assembly":
        """With those that do not lose clearly more, or twice as much, on held-out rows than their members did.

        They have seen these rows, and the members had not. A learning rate that was right for the training rows can
        kill a network on all rows.
        """
        dataset, learner = self.problem.dataset, self.problem.learner
        all_of_them = replace(self, refits=refits)
        spoiled = set()
        for member in chosen.members:
            if all_of_them.is_refitted(member):
                key, weights = _key(member), member.weights
                (predictions,) = learner.predict(refits[key], dataset, dataset.rows.heldout, weights)
                again = replace(member, result=replace(member.result, predictions={weights: predictions}))
                before, after = Evidence.of([member, again], dataset).row_losses
                if not after.mean() <= 2 * before.mean() or loses_clearly_more(after, before):
                    spoiled.add(key)
        return replace(self, refits={key: fit for key, fit in refits.items() if key not in spoiled})

    def is_refitted(self, member: Member) -> bool:
        """Are its weights among the refits? Patience may have ended one before the epoch of a checkpoint."""
        fit = self.refits.get(_key(member))
        return fit is not None and member.weights in self.problem.learner.kinds(fit)

    def ensemble(self, chosen: Average) -> Ensemble:
        """The members as they were chosen, each with the models of its folds, but for those in `refits`.

        Beside refits, which cost their user one model each, others vote with the model of one fold.
        """
        dataset, learner = self.problem.dataset, self.problem.learner
        parts = dataset.parts[:1] if self.refits else dataset.parts
        predictors: list[Any] = []
        votes, places = [], []
        encodings: dict[Any, int] = {}
        for member, vote in zip(chosen.members, chosen.votes, strict=True):
            is_refitted = self.is_refitted(member)
            for part in (dataset,) if is_refitted else parts:
                if is_refitted:
                    predictors.append(learner.predictor(self.refits[_key(member)], member.weights))
                else:
                    predictors.append(self.kept(member, part.fold))
                votes.append(vote if is_refitted else vote / len(parts))
                encoding = learner.view(member.result.config, part).encoding
                places.append(encodings.setdefault(encoding, len(encodings)))
        return Ensemble(
            name=chosen.name,
            encodings=tuple(encodings),
            target=dataset.target,
            networks=tuple(predictors),
            votes=np.array(votes),
            about=self._about(chosen),
            places=tuple(places),
            temperature=chosen.temperature,
            residuals=self._residuals(chosen),
        )

    def tested(self, average: Average) -> Average:
        """With its score on the test rows, if there are any: the last thing they are for, and the only one."""
        dataset = self.problem.dataset
        rows = dataset.rows.test
        if len(rows) == 0:
            return average
        ensemble = self.ensemble(average)
        parts = (dataset, *dataset.folds)
        views = [part.encoded_as(name) for part in parts for name in dataset.encodings]
        inputs = {view.encoding: view.inputs for view in views}
        outputs = ensemble.outputs(*(rows_of(inputs[encoding], rows) for encoding in ensemble.encodings))
        return replace(average, test_score=score_rows(self.problem.scorer, dataset, rows, outputs))

    def _residuals(self, chosen: Average) -> Residuals | None:
        dataset = self.problem.dataset
        if dataset.task != "regression":
            return None
        select, weights = dataset.rows.select, dataset.sample_weight
        predicted = np.asarray(dataset.target.decode(chosen.honest_predictions), dtype=np.float64)
        return Residuals.of(
            predicted, dataset.y[select].astype(np.float64), None if weights is None else weights[select]
        )

    def _about(self, chosen: Average) -> dict[str, Any]:
        scores = {
            "valid_value": chosen.valid_value,
            "honest_score": chosen.honest_score,
            "test_score": chosen.test_score,
        }
        return {
            "scoring": self.problem.scorer.name,
            **{name: score if math.isfinite(score) else None for name, score in scores.items()},
            "random_state": self.problem.seed,
            "versions": versions(),
            "members": [
                {
                    "trial_number": member.result.number,
                    "epoch": member.epoch,
                    "weights": member.kind,
                    "seed": member.result.seed,
                    "refit": self.is_refitted(member),
                    "config": member.result.config,
                }
                for member in chosen.members
            ],
        }


def _key(member: Member) -> tuple[int, int]:
    return member.result.number, member.result.epochs
