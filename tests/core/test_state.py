"""Networks' states: how they start, how they are called, how their averages move."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from closeness import assert_no_further, exactly, of_layer

from gans.core.state import create_net, create_state
from gans.games import latent
from gans.losses import adversarial
from gans.models.layers import BatchNorm


class Tiny(nn.Module):
    """A scalar weight, a normalisation, a dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        weight = self.param("weight", nn.initializers.normal(), ())
        x = BatchNorm()(weight * x, train=train)
        return nn.Dropout(0.5, deterministic=not train)(x)


X = jnp.arange(8.0).reshape(8, 1)


@pytest.fixture(scope="module")
def net():
    return create_net(jax.random.key(0), Tiny(), (X,), optax.sgd(0.1), ema_decay=0.9)


def test_a_call_in_training_mode_moves_statistics_of_the_result_alone(net):
    _, moved = net(X, key=jax.random.key(1))
    before, after = (n.model_state["batch_stats"]["BatchNorm_0"]["mean"] for n in (net, moved))
    mean = 3.5 * float(net.params["weight"])
    np.testing.assert_allclose(after, [0.2 * mean], rtol=1e-5)
    np.testing.assert_array_equal(before, [0.0])
    assert moved.params is net.params


def test_a_call_in_inference_mode_moves_nothing_and_drops_nothing(net):
    y, same = net(X, train=False)
    assert same is net
    expected = float(net.params["weight"]) * X / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-7)


def test_dropout_follows_its_key(net):
    one, same, other = (net(X, key=jax.random.key(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (np.asarray(one) != np.asarray(other)).any()


def test_the_average_is_that_of_the_formula(net):
    decay, rate = 0.9, 0.1
    weight = average = float(net.params["weight"])
    state = net
    for gradient in (1.0, -3.0, 0.5):
        grads = jax.tree.map(lambda p, g=gradient: jnp.full_like(p, g), state.params)
        state = state.descend(grads)
        weight -= rate * gradient
        average = decay * average + (1 - decay) * weight
        assert float(state.params["weight"]) == pytest.approx(weight, rel=1e-5)
        assert float(state.ema_params["weight"]) == pytest.approx(average, rel=1e-5)
    assert float(state.averaged().params["weight"]) == pytest.approx(average, rel=1e-5)
    assert int(state.step) == 3


def averages(decay, warmup, moves):
    """What each of the first moves finds in an average: the average, where all weights are 1."""
    net = create_net(
        jax.random.key(0), Tiny(), (X,), optax.sgd(0.0), ema_decay=decay, ema_warmup=warmup
    )
    one = jax.tree.map(jnp.ones_like, net.params)
    begun = jax.tree.map(jnp.zeros_like, (net.params, net.model_state))
    net = net.replace(params=one, ema_params=begun[0], ema_model_state=begun[1])
    net = net.replace(model_state=jax.tree.map(jnp.ones_like, net.model_state))

    def move(net, _):
        net = net.descend(jax.tree.map(jnp.zeros_like, net.params))
        return net, (net.ema_params, net.ema_model_state)

    found = jax.tree.leaves(jax.lax.scan(move, net, length=moves)[1])
    return [np.reshape(x, (moves, -1))[:, 0] for x in found]


def test_a_warm_up_forgets_what_the_network_began_with():
    # What is left of the beginning is the product of all decays: at first (1 + t) / (10 + t), of
    # which the product over t < T is T! 9! / (T + 9)!.
    steps = np.arange(1, 41)
    left = np.array([math.factorial(t) * math.factorial(9) / math.factorial(t + 9) for t in steps])
    for average in averages(0.999, 10.0, 40):
        np.testing.assert_allclose(1 - average, left, rtol=1e-4, atol=1e-6)
    # (1 + t) / (10 + t) is 1/2 at t = 8, and from there on the decay is 1/2.
    left[9:] = left[8] * 0.5 ** np.arange(1, 32)
    for average in averages(0.5, 10.0, 40):
        np.testing.assert_allclose(1 - average, left, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_without_a_warm_up_the_beginning_fades_as_the_decay_says(warmup):
    average, *_ = averages(0.999, warmup, 1500)
    assert 1 - average[-1] == pytest.approx(0.999**1500, rel=1e-3)  # more than a fifth


def test_without_a_decay_no_average_is_kept():
    net = create_net(jax.random.key(0), Tiny(), (X,), optax.sgd(0.1))
    assert net.ema_params is None
    assert net.averaged() is net
    assert net.descend(net.params).ema_params is None


def test_the_average_starts_at_the_parameters_in_buffers_of_its_own(net):
    fresh = create_net(jax.random.key(0), Tiny(), (X,), optax.sgd(0.1), ema_decay=0.9)
    jax.tree.map(np.testing.assert_array_equal, fresh.ema_params, fresh.params)
    # A buffer that is given away twice in one call is an error.
    step = jax.jit(lambda n: n.descend(jax.tree.map(jnp.ones_like, n.params)), donate_argnums=0)
    step(fresh)


class Deep(nn.Module):
    """Layers enough to have something to keep for a gradient, statistics and a dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        for _ in range(6):
            x = nn.tanh(nn.Dense(16)(x))
        x = BatchNorm()(x, train=train)
        return nn.Dropout(0.5, deterministic=not train)(x)


INPUTS = jax.random.normal(jax.random.key(3), (3, 64, 16))


def three_passes(params, net):
    """A loss of three passes of a network; their outputs and the statistics after them."""
    outputs, net = [], net.replace(params=params)
    for i, x in enumerate(INPUTS):
        y, net = net(x, key=jax.random.key(i))
        outputs.append(y)
    return jnp.mean(jnp.square(jnp.stack(outputs))), (outputs, net.model_state)


def differentiate(net, compile=jax.jit):
    return compile(jax.grad(three_passes, has_aux=True))(net.params, net)


def test_computing_a_pass_anew_gives_the_same_gradient_masks_and_statistics():
    deep = jax.jit(lambda: create_net(jax.random.key(0), Deep(), (INPUTS[0],), optax.sgd(0.1)))()
    anew, kept, exact = (
        differentiate(deep.replace(remat=True)),
        differentiate(deep),
        differentiate(deep, exactly),
    )
    assert_no_further(anew, kept, exact, size=of_layer)
    (grads, (outputs, _)), (_, (outputs_anew, _)) = kept, anew
    assert max(np.abs(x).max() for x in jax.tree.leaves(grads)) > 0.01
    # Half of the numbers are dropped, in every pass others.
    masks = [np.asarray(y) == 0 for y in outputs]
    assert all(0.4 < mask.mean() < 0.6 for mask in masks)
    assert (masks[0] != masks[1]).any() and (masks[1] != masks[2]).any()
    for mask, y in zip(masks, outputs_anew, strict=True):
        np.testing.assert_array_equal(mask, np.asarray(y) == 0)


def test_computing_a_pass_anew_keeps_nothing_of_it_for_the_gradient():
    def kept(remat):
        """How many numbers stay from the passes to their gradient."""
        net = create_net(jax.random.key(0), Deep(), (INPUTS[0],), optax.sgd(0.1), remat=remat)

        def backward(params):
            return jax.vjp(lambda params: three_passes(params, net)[0], params)[1]

        return sum(x.size for x in jax.tree.leaves(jax.eval_shape(backward, net.params)))

    # Six layers' activations at the least, against parameters, statistics and the outputs.
    activations = INPUTS.size
    assert kept(False) > 6 * activations
    assert kept(True) < 3 * activations


class LatentNet(nn.Module):
    """Stands for both networks: takes an image or a latent vector, and a label."""

    @nn.compact
    def __call__(self, x, label, *, train):
        return nn.Dense(3)(jnp.concatenate([x.reshape(len(x), -1), label], -1))


GAME = latent.joint(adversarial=adversarial.hinge, latent_dim=5)
BATCH = {"image": jnp.zeros((2, 4, 4, 1)), "label": jnp.zeros((2, 7))}
WEIGHTS = {"real": 0.5, "fake": 0.25, "adversarial": 2}


def start(key, names=("generator", "discriminator")):
    return create_state(
        key,
        GAME,
        BATCH,
        nets={name: LatentNet() for name in names},
        optimizers={"generator": optax.sgd(0.1), "discriminator": optax.adam(0.1)},
        weights=WEIGHTS,
        averages={"generator": {"ema_decay": 0.5}},
    )


@pytest.fixture(scope="module")
def state():
    return jax.jit(start)(jax.random.key(0))


def test_a_run_starts_at_step_0_with_weights_as_float32_values(state):
    assert state.step.dtype == jnp.int32 and int(state.step) == 0
    assert {name: float(w) for name, w in state.weights.items()} == WEIGHTS
    assert {w.dtype for w in state.weights.values()} == {jnp.dtype("float32")}


def test_networks_are_shaped_by_what_the_game_gives_them(state):
    kernels = {name: net.params["Dense_0"]["kernel"].shape for name, net in state.nets.items()}
    assert kernels == {"generator": (5 + 7, 3), "discriminator": (4 * 4 + 7, 3)}


def test_averages_are_kept_for_those_asked(state):
    assert state.nets["generator"].ema_params is not None
    assert state.nets["generator"].ema_decay == 0.5
    assert state.nets["discriminator"].ema_params is None


def test_the_order_of_networks_in_a_config_changes_nothing(state):
    other = jax.jit(lambda key: start(key, ("discriminator", "generator")))(jax.random.key(0))
    for name, net in state.nets.items():
        jax.tree.map(np.testing.assert_array_equal, net.params, other.nets[name].params)


def test_the_seed_decides_parameters_and_the_run_key(state):
    other = jax.jit(start)(jax.random.key(1))
    assert (jax.random.key_data(other.key) != jax.random.key_data(state.key)).any()
    # The run's key is not the seed itself, from which the parameters come.
    seed = jax.random.key_data(jax.random.key(0))
    assert (jax.random.key_data(state.key) != seed).any()
    mine, theirs = (s.nets["generator"].params["Dense_0"]["kernel"] for s in (state, other))
    assert (np.asarray(mine) != np.asarray(theirs)).all()


def test_the_state_can_be_had_as_shapes_alone(state):
    shapes = jax.eval_shape(start, jax.random.key(0))
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, state)


def test_an_average_may_forget_by_a_half_life_that_follows_a_schedule():
    lives = jnp.asarray([0.0, 1.0, 2.0])
    net = create_net(
        jax.random.key(0),
        LatentNet(),
        (jnp.zeros((1, 3)), jnp.zeros((1, 2))),
        optax.sgd(1.0),
        ema_half_life=lambda step: lives[step],
    )
    kernel = np.float64(net.params["Dense_0"]["kernel"])
    expected, ones = kernel, jax.tree.map(jnp.ones_like, net.params)
    for share in (1.0, 0.5, 1 - 0.5**0.5):  # nothing is kept, half, and half after two moves
        net, kernel = net.descend(ones), kernel - 1.0
        expected = expected + share * (kernel - expected)
        np.testing.assert_allclose(net.ema_params["Dense_0"]["kernel"], expected, rtol=1e-6)
