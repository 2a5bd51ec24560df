"""Penalties of discriminators whose gradients are known, and against PyTorch's double backward."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from closeness import exactly

from gans.losses import penalties
from gans.losses.penalties import Judged, Penalty
from gans.models.layers import Conv
from gans.ops import axis

SHAPE = (3, 5, 7, 2)  # odd sides, three images
WEIGHTS = np.random.default_rng(0).normal(size=SHAPE[1:]).astype(np.float32) / 4
REAL, FAKE = np.random.default_rng(1).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
KEY = jax.random.key(3)


def linear(x):
    return jnp.sum(x * WEIGHTS, axis=(1, 2, 3))


def quadratic(x):
    """Its gradient at an image is three times the image."""
    return 1.5 * jnp.sum(jnp.square(x), axis=(1, 2, 3))


def judged(critic, real=REAL, fake=FAKE, **fields):
    gradients = [lambda x=x: penalties.gradient(critic, x) for x in (real, fake)]
    logits = critic(real), critic(fake)
    return Judged(real, fake, *logits, *gradients, critic, critic, KEY, **fields)


NORM = float(np.linalg.norm(np.float64(WEIGHTS)))


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (penalties.R1(), 0.5 * NORM**2),
        (penalties.R2(), 0.5 * NORM**2),
        (penalties.GradientPenalty(), (NORM - 1) ** 2),
        (penalties.Dragan(), (NORM - 1) ** 2),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_linear_discriminator_has_one_gradient_everywhere(penalty, expected, count):
    value = penalty(judged(linear, REAL[:count], FAKE[:count]))
    assert value == pytest.approx(expected, rel=1e-6)


def of_images(x):
    return np.square(np.float64(x)).sum(axis=(1, 2, 3))


def test_a_quadratic_discriminator_has_the_gradient_of_the_image_that_is_asked():
    r1, r2 = (p(judged(quadratic)) for p in (penalties.R1(), penalties.R2()))
    assert r1 == pytest.approx(0.5 * np.mean(9 * of_images(REAL)), rel=1e-6)
    assert r2 == pytest.approx(0.5 * np.mean(9 * of_images(FAKE)), rel=1e-6)


def test_the_gradient_penalty_is_taken_between_with_one_share_for_an_image():
    share = np.asarray(axis.uniform(KEY, (3, 1, 1, 1)), np.float64)
    between = share * REAL + (1 - share) * FAKE
    expected = np.mean((3 * np.sqrt(of_images(between)) - 1) ** 2)
    assert penalties.GradientPenalty()(judged(quadratic)) == pytest.approx(expected, rel=1e-6)
    assert len(np.unique(share)) == 3 and 0 <= share.min() <= share.max() <= 1


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_dragan_is_taken_beside_real_images_by_less_than_its_spread(spread):
    def distance(x):
        return jnp.sum(jnp.square(x - REAL), axis=(1, 2, 3))  # of which the gradient is twice that

    value = penalties.Dragan(spread=spread)(judged(linear)._replace(of_real=distance))
    of_image, of_number = jax.random.split(KEY)
    share = axis.uniform(of_image, (3, 1, 1, 1)) * axis.uniform(of_number, SHAPE)
    beside = spread * np.std(np.float64(REAL)) * np.asarray(share, np.float64)
    assert len(np.unique(share)) == REAL.size
    assert value == pytest.approx(np.mean((2 * np.sqrt(of_images(beside)) - 1) ** 2), rel=1e-5)


def test_a_map_of_logits_is_summed():
    def patches(x):
        return jnp.stack([linear(x), 2 * linear(x)], axis=-1)

    value = penalties.R1()(judged(patches))
    assert value == pytest.approx(0.5 * 9 * NORM**2, rel=1e-6)


@pytest.mark.parametrize("penalty", [penalties.GradientPenalty(), penalties.Dragan()])
def test_a_constant_discriminator_has_a_finite_gradient(penalty):
    def value(scale):
        return penalty(judged(lambda x: scale * linear(x)))

    found, slope = jax.value_and_grad(value)(jnp.float32(0.0))
    assert found == pytest.approx(1.0, rel=1e-6)
    assert np.isfinite(slope)


def test_a_lazy_penalty_has_the_mean_of_one_that_is_not():
    lazy, always = Penalty(penalties.R1(), every=4), Penalty(penalties.R1())
    values = [float(lazy(judged(quadratic), jnp.int32(step))) for step in range(8)]
    value = float(always(judged(quadratic), jnp.int32(0)))
    assert values == pytest.approx([4 * value, 0, 0, 0] * 2, rel=1e-6)


SLOPE = float(np.float32(0.2))  # as a program for float32 has it


class Critic(nn.Module):
    features: int = 6

    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(Conv(self.features, (3, 3))(x), 0.2)
        x = nn.leaky_relu(Conv(self.features, (4, 4), strides=2, padding=((1, 1), (1, 1)))(x), 0.2)
        return jnp.sum(Conv(1, (3, 3))(x), axis=(1, 2, 3))


def twin(params):
    """The same in PyTorch, and its parameters in float64, by name."""
    leaves = {}
    for name, layer in params.items():
        for kind, array in layer.items():
            array = np.float64(array)
            array = array.transpose(3, 2, 0, 1) if kind == "kernel" else array
            leaves[name, kind] = torch.tensor(array.copy(), requires_grad=True)

    def critic(x):
        for i, (stride, padding) in enumerate(((1, 1), (2, 1), (1, 1))):
            weight, bias = leaves[f"Conv_{i}", "kernel"], leaves[f"Conv_{i}", "bias"]
            x = torch.nn.functional.conv2d(x, weight, bias, stride=stride, padding=padding)
            x = torch.nn.functional.leaky_relu(x, SLOPE) if i < 2 else x
        return x.sum(dim=(1, 2, 3))

    return critic, leaves


def of_torch(kind, critic, real, fake, share):
    between = share * real + (1 - share) * fake
    x = {"R1": real, "R2": fake, "GradientPenalty": between}[kind].clone().requires_grad_()
    (grads,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    squares = grads.square().sum(dim=(1, 2, 3))
    if kind == "GradientPenalty":
        return ((squares + 1e-16).sqrt() - 1).square().mean()
    return 0.5 * squares.mean()


@pytest.mark.parametrize("kind", ["R1", "R2", "GradientPenalty"])
def test_gradients_of_parameters_are_those_of_pytorchs_double_backward(kind):
    net, penalty = Critic(), getattr(penalties, kind)()
    real, fake = (np.concatenate([x] * 2, axis=1)[:, :8, :6] for x in (REAL, FAKE))
    params = net.init(jax.random.key(0), real)["params"]

    def value(params):
        def critic(x):
            return net.apply({"params": params}, x)

        return penalty(judged(critic, jnp.asarray(real), jnp.asarray(fake)))

    found, grads = exactly(jax.value_and_grad(value))(params)
    critic, leaves = twin(params)
    share = torch.tensor(np.asarray(axis.uniform(KEY, (3, 1, 1, 1)), np.float64))
    images = (torch.tensor(np.float64(x).transpose(0, 3, 1, 2)) for x in (real, fake))
    expected = of_torch(kind, critic, *images, share)
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-12)
    for (name, leaf), tensor in leaves.items():
        if leaf == "bias" and tensor.grad is None:
            continue
        wanted = tensor.grad.numpy()
        wanted = wanted.transpose(2, 3, 1, 0) if leaf == "kernel" else wanted
        np.testing.assert_allclose(grads[name][leaf], wanted, atol=1e-12 * np.abs(wanted).max())


def test_lecam_pays_for_what_lies_beyond_the_averages():
    lecam = penalties.LeCam(decay=0.9, start=2)
    memory = lecam.begin()
    real, fake = jnp.array([[1.0], [3.0]]), jnp.array([[-1.0], [0.0]])
    seen = judged(lambda x: jnp.zeros(len(x)))._replace(real_logits=real, fake_logits=fake)
    assert float(lecam(seen._replace(memory=memory))) == 0.0
    memory = lecam.follow(memory, jnp.float32(2.0), jnp.float32(-0.5))
    assert (float(memory.real), float(memory.fake)) == (2.0, -0.5)  # not averaged yet
    assert float(lecam(seen._replace(memory=memory))) == 0.0
    memory = lecam.follow(memory, jnp.float32(1.0), jnp.float32(0.5))
    assert (float(memory.real), float(memory.fake)) == (1.0, 0.5)
    memory = lecam.follow(memory, jnp.float32(2.0), jnp.float32(-0.5))
    assert float(memory.real) == pytest.approx(1.1) and float(memory.fake) == pytest.approx(0.4)
    # relu(D(x) - a_F): 0.6 and 2.6; relu(a_R - D(G(z))): 2.1 and 1.1.
    expected = (0.6**2 + 2.6**2) / 2 + (2.1**2 + 1.1**2) / 2
    assert float(lecam(seen._replace(memory=memory))) == pytest.approx(expected, rel=1e-6)
