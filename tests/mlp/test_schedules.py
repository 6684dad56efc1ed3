import numpy as np
import pytest

from hpsearch.mlp.initialisers import INITIALISERS, OUTPUT_SCALE, initial_stack
from hpsearch.mlp.schedules import SCHEDULES
from hpsearch.mlp.updates import ema_step


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_the_initial_rate_and_never_exceeds_it(name):
    rates = SCHEDULES[name](np.linspace(0, 1.2, 50), 0.3)
    assert rates[0] == 0.3
    assert (rates <= 0.3).all() and (rates >= 0).all()


def test_cosine_ends_at_zero_and_stays_there():
    assert SCHEDULES["cosine"](np.array([0.5, 1.0, 1.5]), 0.2) == pytest.approx([0.1, 0, 0])


def test_the_average_first_copies_then_slows_to_its_decay():
    steps = ema_step(0.99, np.array([0, 7, 10**6]))
    assert steps == pytest.approx([1, 1 / 4, 0.01])


@pytest.mark.parametrize("name", INITIALISERS)
def test_initial_weights_depend_on_the_seed_alone(name):
    sizes = (30, 200, 100, 5)
    stack = initial_stack(sizes, "relu", [name] * 2, np.array([3, 9], dtype=np.uint64))
    alone = initial_stack(sizes, "relu", [name], np.array([9], dtype=np.uint64))
    np.testing.assert_array_equal(stack.weights[1], alone.weights[0])
    assert not np.array_equal(stack.weights[0], stack.weights[1])
    assert all((bias == 0).all() for bias in stack.biases())


def test_he_normal_has_its_deviation():
    stack = initial_stack((100, 400, 10), "relu", ["he_normal"], np.array([1], dtype=np.uint64))
    hidden, output = stack.matrices()
    assert hidden.std() == pytest.approx(np.sqrt(2 / 100), rel=0.02)
    assert output.std() == pytest.approx(OUTPUT_SCALE * np.sqrt(2 / 400), rel=0.05)
