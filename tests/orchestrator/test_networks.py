import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hpsearch.data.dataset import prepare
from hpsearch.mlp.recipe import HYPERPARAMETERS, Recipe
from hpsearch.orchestrator.networks import WEIGHTS, MLPLearner, Network, default_space, largest_batch
from hpsearch.space.distributions import Choice, Integer
from hpsearch.space.space import SearchSpace


@pytest.fixture(scope="module")
def dataset():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 5))
    return prepare(X, (X[:, 0] > 0).astype(int), random_state=1)


@pytest.fixture(scope="module")
def learner(dataset):
    return MLPLearner.of(dataset, order_seed=1, horizon=9)


@pytest.fixture(scope="module")
def fit(learner, dataset):
    configs = [{"hidden_layer_sizes": (8,), "learning_rate_init": rate} for rate in (1e-2, 1e-1, 1e20)]
    return learner.advance(learner.start(configs, [1, 2, 3]), dataset, 3, lambda: False)


def test_a_saved_model_comes_back_bit_by_bit(learner, dataset, fit):
    for model in range(3):
        one = learner.take(fit, [model])
        again = learner.load(*learner.save(one))
        assert again.recipes == one.recipes and again.outcomes == one.outcomes
        for tensor, wanted in zip(learner.save(again)[0].values(), learner.save(one)[0].values(), strict=True):
            assert_array_equal(tensor, wanted)
        further, wanted_further = (learner.advance(each, dataset, 5, lambda: False) for each in (again, one))
        assert_array_equal(further.stack.weights, wanted_further.stack.weights)


@pytest.mark.parametrize("name", ["weights", "moments", "average", "watch"])
def test_a_saved_model_of_another_size_is_refused(learner, fit, name):
    tensors, meta = learner.save(learner.take(fit, [0]))
    with pytest.raises(ValueError, match=f"{name} must have the shape"):
        learner.load(tensors | {name: tensors[name][:-1]}, meta)


def test_a_saved_network_of_another_size_is_refused(learner, fit):
    tensors, meta = learner.predictor(learner.take(fit, [0]), "raw").save()
    with pytest.raises(ValueError, match="weights must have the shape"):
        Network.load({"weights": tensors["weights"][:-1]}, meta)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_predictor_predicts_what_the_fit_does_also_after_saving(learner, dataset, fit, weights):
    network = learner.predictor(learner.take(fit, [1]), weights)
    wanted = learner.predict(fit, dataset, np.arange(200), weights)[1]
    assert_array_equal(network.predict(dataset.inputs), wanted)
    assert_array_equal(Network.load(*network.save()).predict(dataset.inputs), wanted)
    assert network.save()[1]["architecture"]["activation"] == "relu"
    assert wanted.sum(axis=1) == pytest.approx(1)


def test_raw_and_averaged_weights_differ(learner, dataset, fit):
    raw, ema = (learner.predict(fit, dataset, dataset.rows.valid, weights) for weights in WEIGHTS)
    assert not np.array_equal(raw[0], ema[0])


KEEPING = {
    "hidden_layer_sizes": [8, 8],
    "activation": "prelu",
    "batch_norm": True,
    "residual": True,
    "loss": "binary_logistic",
    "swa_share": 0.5,
    "n_checkpoints": 2,
    "patience": 3,
    "schedule": "plateau",
    "mixup": 0.2,
}


def test_a_fit_that_keeps_all_it_can_is_saved_and_goes_on_bit_by_bit(learner, dataset):
    fit = learner.advance(learner.start([KEEPING], [4]), dataset, 2, lambda: False)
    again = learner.load(*learner.save(fit))
    for one, other in zip(learner.save(fit)[0].values(), learner.save(again)[0].values(), strict=True):
        assert_array_equal(one, other)
    assert again.recipes == fit.recipes and again.stack.architecture == fit.stack.architecture
    further, wanted = (learner.advance(each, dataset, 5, lambda: False) for each in (again, fit))
    for one, other in zip(learner.save(further)[0].values(), learner.save(wanted)[0].values(), strict=True):
        assert_array_equal(one, other)
    network = learner.predictor(further, "ema")
    assert_array_equal(network.stack.weights, further.stack_of("best").weights)
    assert not network.stack.architecture.batch_norm and network.loss == "binary_logistic"
    assert_array_equal(
        Network.load(*network.save()).predict(dataset.inputs),
        learner.predict(further, dataset, np.arange(200), "ema")[0],
    )


def test_a_loss_of_another_task_is_refused(learner):
    with pytest.raises(
        ValueError, match="loss must be one of softmax_cross_entropy, .* for this task, but got 'huber'"
    ):
        learner.recipe({"loss": "huber"})


def test_keys_tell_who_can_share_a_stack(learner):
    small, deep = {"hidden_layer_sizes": (8,)}, {"hidden_layer_sizes": (8, 8)}
    assert learner.key(small | {"dropout": 0.3}) == learner.key(small)
    assert learner.key(small) != learner.key(deep) != learner.key(deep | {"batch_size": 7})


def test_cost_grows_with_the_network(learner, dataset):
    costs = [learner.cost({"hidden_layer_sizes": sizes}, dataset) for sizes in [(), (8,), (64,), (64, 64)]]
    assert costs == sorted(costs) and costs[0] > 0


@pytest.mark.parametrize("n_train", [50, 900, 3_000, 10_000, 10**6])
def test_every_default_config_is_a_recipe(n_train):
    space = default_space(n_train)
    space.check_names(HYPERPARAMETERS)
    for number in range(50):
        assert isinstance(Recipe.from_config(space.draw(0, 0, number), "squared_error"), Recipe)


@pytest.mark.parametrize(
    ("entries", "largest"),
    [({}, 128), ({"batch_size": 50}, 50), ({"batch_size": Choice([16, 64])}, 64), ({"batch_size": Integer(8, 99)}, 99)],
)
def test_the_largest_batch_of_a_space(entries, largest):
    assert largest_batch(SearchSpace.of(entries)) == largest


def test_a_checkpoint_of_an_earlier_version_is_refused_in_words(learner, fit):
    tensors, meta = learner.save(learner.take(fit, [0]))
    with pytest.raises(ValueError, match="checkpoints are those of an earlier version"):
        learner.load(tensors, {name: value for name, value in meta.items() if name not in ("updates", "architecture")})
