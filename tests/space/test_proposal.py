import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.space.distributions import Choice, Integer, LogUniform, Uniform
from hpsearch.space.proposal import FRESH_SHARE, WHOLE_SHARE, Focus, Proposal, Strip
from hpsearch.space.space import SearchSpace

SPACE = SearchSpace.of(
    {
        "learning_rate_init": LogUniform(1e-5, 1e-1),
        "dropout": Uniform(0.0, 0.5, natural=(0.0, 1.0)),
        "depth": Integer(1, 4),
        "hidden_layer_sizes": Choice([(64,), (128, 128), (256,)]),
        "schedule": Choice(["constant", "cosine"]),
        "warmup": Uniform(0.0, 0.2, natural=(0.0, 1.0), when={"schedule": "cosine"}),
        "batch_size": 32,
    }
)


@pytest.mark.parametrize("n", [1, 2, 16, 100])
def test_a_stage_is_a_latin_hypercube_of_the_space(n: int) -> None:
    configs = Proposal.of(SPACE).draw(3, 1, n)
    assert len(configs) == n
    for name, distribution in SPACE.distributions.items():
        if isinstance(distribution, LogUniform | Uniform) and not distribution.when:
            strata = sorted(int(distribution.to_unit(config[name]) * n) for config in configs)  # type: ignore[arg-type]
            assert strata == list(range(n))
    assert all(("warmup" in config) == (config["schedule"] == "cosine") for config in configs)
    assert all(config["batch_size"] == 32 for config in configs)


def test_roles_share_a_stage() -> None:
    space = SearchSpace.of({"rate": Uniform(0.0, 1.0), "loss": Choice(["a", "b", "c"])})
    proposal = Proposal(space, {"rate": Focus(0.3, 0.01)}, {"loss": (0.0, 1.0, 0.0)}, (Strip("rate", 0.8, 1.0),))
    configs = proposal.draw(0, 1, 400)
    rates = np.array([config["rate"] for config in configs], float)
    kept = np.array([config["loss"] == "b" for config in configs])
    whole = np.flatnonzero(~kept)
    assert len(whole) / 400 == pytest.approx(WHOLE_SHARE * 2 / 3, abs=0.02)
    assert (rates[kept] > 0.8).mean() == pytest.approx(FRESH_SHARE, abs=0.05)
    assert (np.abs(rates - 0.3) < 0.05).mean() == pytest.approx((1 - WHOLE_SHARE) * (1 - FRESH_SHARE), abs=0.04)


@given(st.floats(0, 1), st.floats(1e-3, 3))
def test_a_focus_folds_its_normal_distribution_into_the_range(centre: float, width: float) -> None:
    positions = Focus(centre, width).positions((np.arange(1000) + 0.5) / 1000)
    assert positions.min() >= 0 and positions.max() <= 1
    if 4 * width < min(centre, 1 - centre):
        assert positions.std() == pytest.approx(width, rel=0.02)


def test_choices_are_drawn_by_their_shares() -> None:
    space = SearchSpace.of({"loss": Choice(["a", "b", "c"])})
    drawn = [config["loss"] for config in Proposal(space, shares={"loss": (0.2, 0.8, 0.0)}).draw(0, 1, 400)]
    for value, share in zip("abc", (0.2, 0.8, 0.0), strict=True):
        expected = (1 - WHOLE_SHARE) * share + WHOLE_SHARE / 3
        assert drawn.count(value) / 400 == pytest.approx(expected, abs=0.02)


def test_a_proposal_of_an_earlier_version_is_refused() -> None:
    record = Proposal.of(SPACE).to_json()
    earlier = {name: value for name, value in record.items() if name != "shares"} | {"kept": {}}
    with pytest.raises(ValueError, match="earlier version.*begin anew"):
        Proposal.from_json(earlier)
