"""Where configs come from, and what is said of it."""

import numpy as np
import pandas as pd
from optuna.samplers import RandomSampler

from hpsearch.orchestrator.drawing import Drawing
from hpsearch.space.distributions import LogUniform
from hpsearch.space.edges import EDGE
from hpsearch.space.proposal import Proposal
from hpsearch.space.refine import NARROWED
from hpsearch.space.space import SearchSpace


def test_a_sampler_draws_from_the_whole_of_ranges_that_are_widened_but_not_narrowed():
    space = SearchSpace.of({"rate": LogUniform(1e-4, 1.0)})
    rates = np.logspace(-4, 0, 60)
    trials = pd.DataFrame({"number": range(60), "value": rates, "epochs": 1, "params_rate": rates})
    ours, said = Drawing(space, 0).decide(Proposal.of(space), 0, trials)
    assert ours.focus and {EDGE, NARROWED} <= set(said["verdict"])
    theirs, said = Drawing(space, 0, sampler=RandomSampler).decide(Proposal.of(space), 0, trials)
    assert not theirs.focus and theirs.space == ours.space and EDGE in set(said["verdict"])
    assert NARROWED not in set(said["verdict"])
