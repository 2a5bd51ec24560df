"""Devices that share a batch train SNGAN and R3GAN as one does, to the rounding of float32."""

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
from gans.games import latent, relativistic
from gans.losses import adversarial, penalties
from gans.losses.penalties import Penalty
from gans.models import r3gan, resnet_gan
from gans.ops import cpu

BATCH, STEPS, RATE = 16, 2, 0.05


def sngan():
    """Two steps of the discriminator, by class, with LeCam's memory."""
    game = latent.repeated(
        adversarial=adversarial.hinge,
        latent_dim=3,
        discriminator_steps=2,
        generator_batch=8,
        penalties={"lecam": Penalty(penalties.LeCam(decay=0.5, start=1))},
    )
    nets = {
        "generator": resnet_gan.Generator(8, 1, stem_features=4, features=(4,)),
        "discriminator": resnet_gan.Discriminator((4,), (True,)),
    }
    return game, nets, {"real": 1.0, "fake": 1.0, "adversarial": 1.0, "lecam": 0.3}


def critic():
    """A gradient penalty on a map of logits' mean, without spectral normalisation."""
    game, nets, weights = sngan()
    game = latent.repeated(
        adversarial=adversarial.wasserstein,
        latent_dim=3,
        discriminator_steps=2,
        penalties={"lecam": Penalty(penalties.GradientPenalty())},
    )
    judge = resnet_gan.Discriminator((4,), (True,), spectral=False, pooling="mean")
    return game, nets | {"discriminator": judge}, weights


def pairs():
    """Both penalties, one of them every second step."""
    game = relativistic.paired(
        adversarial=adversarial.non_saturating,
        latent_dim=3,
        penalties={"r1": Penalty(penalties.R1(), every=2), "r2": Penalty(penalties.R2())},
    )
    fields = {"blocks": 1, "group_features": 2}
    nets = {
        "generator": r3gan.Generator(8, 1, features=4, condition_features=2, **fields),
        "discriminator": r3gan.Discriminator(features=4, **fields),
    }
    return game, nets, {"paired": 1.0, "adversarial": 1.0, "r1": 0.1, "r2": 0.1}


def images():
    rng = np.random.default_rng(0)
    scale = np.linspace(0.2, 1.0, BATCH).reshape(BATCH, 1, 1, 1)
    return {
        "image": (scale * rng.uniform(-1, 1, (STEPS, BATCH, 8, 8, 1))).astype(np.float32),
        "label": np.eye(3, dtype=np.float32)[rng.integers(3, size=(STEPS, BATCH))],
    }


FEED = images()


@functools.cache
def start(make):
    game, nets, weights = make()
    init = jax.jit(
        lambda key: create_state(
            key,
            game,
            jax.tree.map(lambda x: x[0], FEED),
            nets=nets,
            optimizers={name: optax.sgd(RATE) for name in nets},
            weights=weights,
            averages={"generator": {"ema_half_life": lambda step: jnp.float32(step)}},
        )
    )
    return game, init(jax.random.key(1))


def run(step, state):
    metrics = []
    for i in range(STEPS):
        state, report = step(state, jax.tree.map(lambda x, i=i: x[i], FEED))
        metrics.append(report)
    return state, jax.tree.map(lambda *x: np.stack(x), *metrics)


@functools.cache
def sides(make):
    """One device, and the same in float64."""
    game, state = start(make)
    step = functools.partial(update, game=game)
    return run(jax.jit(step), state), run(exactly(step), state)


def on_a_mesh(make, devices):
    game, state = start(make)
    mesh = parallel.make_mesh(devices)
    lives = parallel.shardings(state, mesh, fsdp=False)
    chunk = parallel.jit_chunk(
        functools.partial(update, game=game), lambda resident, x: x, mesh, lives
    )
    split = NamedSharding(mesh, PartitionSpec(None, parallel.DATA))
    state = jax.device_put(jax.tree.map(jnp.copy, state), lives)
    return chunk(state, (), parallel.put(FEED, split))


def mapped(make, devices):
    game, state = start(make)
    step = functools.partial(update, game=game, axis_name=parallel.DATA)
    return run(pmap_step(step, jax.devices()[:devices]), state)


def assert_same(ours, make):
    for part in (
        lambda side: {n: (x.params, x.model_state) for n, x in side[0].nets.items()},
        lambda side: side[0].nets["generator"].ema_params,
    ):
        assert_no_further(*map(part, (ours, *sides(make))), size=of_layer)
    assert_no_further(*(side[0].memory for side in (ours, *sides(make))))
    assert_no_further(*(side[1] for side in (ours, *sides(make))))


@pytest.mark.parametrize("make", [sngan, critic, pairs])
@pytest.mark.parametrize(("form", "devices"), [(on_a_mesh, 8), (mapped, 2)])
def test_devices_give_what_one_does(make, form, devices):
    assert_same(form(make, devices), make)


@pytest.mark.parametrize("make", [sngan, critic, pairs])
def test_the_plain_forms_give_what_those_of_the_cpu_do(make, monkeypatch):
    sides(make)
    monkeypatch.setattr(cpu, "ENABLED", False)
    game, state = start(make)
    assert_same(run(jax.jit(functools.partial(update, game=game)), state), make)


@pytest.mark.parametrize("make", [sngan, critic, pairs])
def test_two_steps_move_far_more_than_rounding(make):
    _, before = start(make)
    (after, _), _ = sides(make)
    for name, net in before.nets.items():
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), net.params, after.nets[name].params)
        assert max(jax.tree.leaves(moved)) > 1e-4
