"""Whole trainings in the fast forms of layers against the same in XLA's own convolutions."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from closeness import FACTOR, FLOOR, exactly

from gans.core.state import create_net, create_state
from gans.core.update import update
from gans.games import latent
from gans.losses import adversarial
from gans.models import dcgan, resnet, unet
from gans.ops import cpu
from gans.ops.cpu import forms

STEPS = 100


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def of_dcgan(compile=jax.jit):
    """The losses of a game, `[STEPS, 3]`."""
    game = latent.two_step(adversarial=adversarial.non_saturating, latent_dim=8)
    feed = [{"image": image} for image in images(STEPS, 4, 8, 8, 1)]
    nets = {
        "generator": dcgan.Generator(image_size=8, channels=1, stem_features=8, features=(8,)),
        "discriminator": dcgan.Discriminator(features=(8, 8), strides=(2, 1)),
    }
    start = jax.jit(
        lambda key: create_state(
            key,
            game,
            feed[0],
            nets=nets,
            optimizers=dict.fromkeys(nets, optax.adam(1e-3, b1=0.5)),
            weights=dict.fromkeys(("real", "fake", "adversarial"), 1.0),
        )
    )
    state = start(jax.random.key(0))
    step, losses = compile(functools.partial(update, game=game)), []
    for batch in feed:
        state, metrics = step(state, batch)
        losses.append([metrics[f"{player.name}/loss"] for player in game.players])
    return np.asarray(losses)


def of_generator(net, size, compile=jax.jit):
    """Of CycleGAN's generator alone, towards given images: its game is chaotic when so small."""
    given, wanted = images(2, STEPS, 1, size, size, 1)
    start = jax.jit(lambda key: create_net(key, net, (given[0],), optax.adam(1e-3)))
    state = start(jax.random.key(0))

    @compile
    def step(state, x, y):
        def loss(params):
            return jnp.square(state.replace(params=params)(x)[0] - y).mean()

        value, grads = jax.value_and_grad(loss)(state.params)
        return state.descend(grads), value

    losses = []
    for x, y in zip(given, wanted, strict=True):
        state, value = step(state, x, y)
        losses.append(value)
    return np.asarray(losses)


of_resnet = functools.partial(of_generator, resnet.Generator(features=4, blocks=1, channels=1), 16)
# So many features that there are few pixels where the image is smallest.
of_unet = functools.partial(of_generator, unet.PaperGenerator(features=(8, 32, 64), channels=1), 8)


def smooth(x, slope=0.0):
    """For both kinds of ReLU: with no corner, from which rounding would go either way."""
    return x * (slope + (1 - slope) * nn.sigmoid(4 * x))


@pytest.mark.parametrize(
    "training", [of_dcgan, of_resnet, of_unet], ids=["dcgan", "resnet", "unet"]
)
def test_fast_and_plain_forms_train_alike_for_100_steps(monkeypatch, training):
    # So small networks would do without some of the fast forms.
    monkeypatch.setattr(forms, "_MANY", 4)
    monkeypatch.setattr(forms, "_TILES", 1)
    for name in ("relu", "leaky_relu"):
        monkeypatch.setattr(nn, name, smooth)
    fast = training()
    monkeypatch.setattr(cpu, "ENABLED", False)
    plain, exact = training(), training(exactly)
    assert np.ptp(fast, axis=0).min() > 0.05  # far more than rounding
    # All that rounding has done until a step: it grows with the steps.
    sides = (np.maximum.accumulate(np.abs(x - exact), axis=0) for x in (fast, plain))
    of_fast, of_plain = sides
    assert (of_fast <= FACTOR * of_plain + FLOOR * np.maximum(1, np.abs(exact))).all()
