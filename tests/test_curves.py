"""Whole trainings in the fast forms of layers against the same in XLA's own convolutions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.games import latent
from gans.losses.adversarial import LOSSES
from gans.models import convolution, dcgan, doubling, layers, resnet, unet
from gans.state import create_net, create_state
from gans.update import update

STEPS = 300


def plainly_upsampled(x, kernel, bias):
    x = x.repeat(2, axis=1).repeat(2, axis=2)
    return convolution.plain(x, kernel, bias, 1, ((1, 1), (1, 1)))


def plainly_transposed(x, kernel, bias):
    return bias + jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        ((len(kernel) - 2, 2), (len(kernel) - 2, 2)),
        lhs_dilation=(2, 2),  # zeros between the pixels
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def images(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def of_dcgan(seed):
    """The losses of a game, `[STEPS, 3]`."""
    game = latent.two_step(adversarial=LOSSES["non_saturating"], latent_dim=8)
    feed = [{"image": image} for image in images(seed, STEPS, 4, 8, 8, 1)]
    nets = {
        "generator": dcgan.Generator(image_size=8, channels=1, stem_features=8, features=(8,)),
        "discriminator": dcgan.Discriminator(features=(8, 8), strides=(2, 1)),
    }
    state = create_state(
        jax.random.key(0),
        game,
        feed[0],
        nets=nets,
        optimizers=dict.fromkeys(nets, optax.adam(1e-3, b1=0.5)),
        weights=dict.fromkeys(("real", "fake", "adversarial"), 1.0),
        ema_decays={},
    )
    step, losses = jax.jit(functools.partial(update, game=game)), []
    for batch in feed:
        state, metrics = step(state, batch)
        losses.append([metrics[f"{player.name}/loss"] for player in game.players])
    return np.asarray(losses)


def of_generator(net, size, seed):
    """Of CycleGAN's generator alone, towards given images: its game is chaotic when so small."""
    given, wanted = images(seed, 2, STEPS, 1, size, size, 1)
    state = create_net(jax.random.key(0), net, (given[0],), optax.adam(1e-3))

    @jax.jit
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


@pytest.mark.parametrize(
    "training, seeds",
    [(of_dcgan, (0, 2, 3)), (of_resnet, (0,)), (of_unet, (0,))],
    ids=["dcgan", "resnet", "unet"],
)
def test_fast_and_plain_forms_train_alike_for_300_steps(monkeypatch, training, seeds):
    # So small networks would do without some of the fast forms.
    monkeypatch.setattr(convolution, "_WIDE", 4)
    monkeypatch.setattr(convolution, "_TILES", 1)
    fast = np.stack([training(seed) for seed in seeds])
    monkeypatch.setattr(doubling, "upsample_conv", plainly_upsampled)
    monkeypatch.setattr(doubling, "transposed_conv", plainly_transposed)
    monkeypatch.setattr(layers, "convolution", convolution.plain)
    plain = np.stack([training(seed) for seed in seeds])
    assert np.ptp(fast, axis=1).min() > 0.1  # far more than the tolerance
    # Once in some hundred steps a leaky ReLU of a DCGAN is given a zero, to rounding, and takes
    # the other side, after which all is different: one of three curves may end so, and late.
    apart = np.abs(fast - plain) / np.maximum(1.0, np.abs(plain))
    near = (apart < 1e-5).reshape(len(seeds), STEPS, -1).all(2)
    assert near[:, : STEPS // 2].all()
    assert near.all(1).sum() >= len(seeds) - (len(seeds) > 1)
