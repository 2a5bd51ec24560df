"""Devices that share a batch augment it as one does, whatever compiles the step."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from by_hand import pmap_step, shard_map_step
from jax.sharding import NamedSharding, PartitionSpec

from gans import parallel
from gans.core.state import create_state
from gans.core.update import update
from gans.games import latent
from gans.games.augmented import Adaptive, augmented
from gans.losses import adversarial
from gans.ops.augment.diffaugment import DiffAugment

BATCH, STEPS = 8, 3


class Generator(nn.Module):
    """Images of 6x5 pixels."""

    @nn.compact
    def __call__(self, z, *, train):
        del train
        return jnp.tanh(nn.Dense(6 * 5 * 3)(z)).reshape(-1, 6, 5, 3)


class Discriminator(nn.Module):
    """A logit for each image, of all its pixels."""

    @nn.compact
    def __call__(self, image, *, train):
        del train
        return nn.Dense(1)(image.reshape(len(image), -1))


GAME = augmented(
    latent.joint(adversarial=adversarial.non_saturating, latent_dim=3),
    DiffAugment(),
    probability=Adaptive(target=0.0, images=2 * BATCH, every=1),
)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (STEPS, BATCH, 6, 5, 3)).astype(np.float32)


def start():
    return create_state(
        jax.random.key(1),
        GAME,
        {"image": IMAGES[0]},
        nets={"generator": Generator(), "discriminator": Discriminator()},
        optimizers=dict.fromkeys(("generator", "discriminator"), optax.sgd(0.05)),
        weights={"real": 1.0, "fake": 1.0, "adversarial": 1.0},
    )


def train(step, put=lambda x: x):
    state, logged = start(), []
    for images in IMAGES:
        state, metrics = step(state, put({"image": images}))
        logged.append(metrics)
    params = {name: net.params for name, net in state.nets.items()}
    return jax.device_get((params, state.memory.watch, logged))


@functools.cache
def alone():
    return train(jax.jit(functools.partial(update, game=GAME)))


def over_mesh(devices):
    mesh = parallel.make_mesh(devices)
    split = NamedSharding(mesh, PartitionSpec(parallel.DATA))
    return train(
        jax.jit(functools.partial(update, game=GAME)), lambda batch: jax.device_put(batch, split)
    )


MAPPED = functools.partial(update, game=GAME, axis_name=parallel.DATA)
FORMS = {
    "shard_map": lambda n: train(shard_map_step(MAPPED, parallel.make_mesh(n))),
    "pmap": lambda n: train(pmap_step(MAPPED, jax.devices()[:n])),
    "jit": over_mesh,
}


@pytest.mark.parametrize(
    ("form", "devices"), [("shard_map", 2), ("shard_map", 8), ("pmap", 8), ("jit", 2), ("jit", 8)]
)
def test_many_devices_augment_a_batch_as_one_does(form, devices):
    ours, expected = FORMS[form](devices), alone()
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    # A thousand roundings of numbers near 1; another draw would change the first digit.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=2e-5), ours, expected
    )


def test_the_probability_moved_and_draws_matter():
    _, watch, logged = alone()
    assert watch.batch == BATCH
    assert {float(x["discriminator/augment_p"]) > 0 for x in logged} == {False, True}


def test_augmented_images_stay_divided_over_the_devices():
    mesh = parallel.make_mesh(8)
    split = NamedSharding(mesh, PartitionSpec(parallel.DATA))
    found = []

    @jax.jit
    def augment(images):
        images = DiffAugment()(images, jax.random.key(0), 0.5)
        jax.debug.inspect_array_sharding(images, callback=found.append)
        return images

    augment(jax.device_put(IMAGES[0], split))
    assert found[0].shard_shape(IMAGES[0].shape) == (1, 6, 5, 3)
