"""Spectral norms on two simulated devices: every device has the vectors that one would have."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from by_hand import pmap_step
from closeness import assert_no_further, exactly, of_layer
from jax.sharding import NamedSharding, PartitionSpec

from gans import parallel
from gans.core.state import create_state
from gans.core.update import update
from gans.games import latent
from gans.losses import adversarial
from gans.models import resnet_gan

DEVICES = 2
GAME = latent.joint(adversarial=adversarial.non_saturating, latent_dim=3)
NETS = {
    "generator": resnet_gan.Generator(8, 1, stem_features=4, features=(4,)),
    "discriminator": resnet_gan.Discriminator(features=(4,), downsample=(True,)),
}


@functools.cache
def setting():
    rng = np.random.default_rng(0)
    # Every device's share is of a scale of its own.
    scale = np.array([0.2, 0.3, 0.8, 1.0])[:, None, None, None]
    images = (scale * rng.normal(size=(4, 8, 8, 1))).astype(np.float32)
    batch = {"image": images, "label": np.eye(3, dtype=np.float32)[[0, 2, 2, 1]]}
    start = jax.jit(
        lambda key: create_state(
            key,
            GAME,
            batch,
            nets=NETS,
            optimizers={name: optax.sgd(0.05) for name in NETS},
            weights={"real": 0.5, "fake": 0.5, "adversarial": 1.0},
        )
    )
    return start(jax.random.key(1)), batch


def steps(step, state, batch):
    """Parameters, statistics and vectors of both networks after two steps."""
    for _ in range(2):
        state, _ = step(state, batch)
    return {name: (net.params, net.model_state) for name, net in state.nets.items()}


@functools.cache
def alone():
    state, batch = setting()
    step = functools.partial(update, game=GAME)
    return steps(jax.jit(step), state, batch), steps(exactly(step), state, batch)


def over_a_mesh(fsdp, state, batch):
    mesh = parallel.make_mesh(DEVICES)
    lives = parallel.shardings(state, mesh, fsdp=fsdp)
    split = NamedSharding(mesh, PartitionSpec(parallel.DATA))
    step = jax.jit(functools.partial(update, game=GAME), out_shardings=(lives, None))
    return steps(step, jax.device_put(state, lives), jax.device_put(batch, split))


def by_hand(state, batch):
    step = functools.partial(update, game=GAME, axis_name=parallel.DATA)
    return steps(pmap_step(step, jax.devices()[:DEVICES]), state, batch)


FORMS = {
    "jit": functools.partial(over_a_mesh, False),
    "fsdp": functools.partial(over_a_mesh, True),
    "pmap": by_hand,
}


@pytest.mark.parametrize("form", FORMS)
def test_two_devices_have_the_vectors_of_one(monkeypatch, form):
    monkeypatch.setattr("gans.parallel.mesh._SMALL", 2)
    state, batch = setting()
    assert_no_further(FORMS[form](state, batch), *alone(), size=of_layer)


def test_two_steps_move_vectors_far_more_than_the_tolerance():
    state, _ = setting()
    before = state.nets["discriminator"].model_state["spectral"]
    _, after = alone()[0]["discriminator"]
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, after["spectral"])
    assert max(jax.tree.leaves(moved)) > 0.1
