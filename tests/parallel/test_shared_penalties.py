"""Penalties of a discriminator whose devices share a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import shard_map_step

from gans import parallel
from gans.losses import penalties
from gans.losses.penalties import Judged
from gans.ops import axis

REAL, FAKE = np.random.default_rng(1).uniform(-1, 1, (2, 8, 5, 7, 2)).astype(np.float32)


def quadratic(x):
    """Its gradient at an image is three times the image."""
    return 1.5 * jnp.sum(jnp.square(x), axis=(1, 2, 3))


@pytest.mark.parametrize(
    "penalty",
    [penalties.R1(), penalties.R2(), penalties.GradientPenalty(), penalties.Dragan()],
)
def test_devices_that_share_a_batch_find_what_one_does(penalty):
    def value(state, batch):
        del state
        return penalty(_judged(*batch)), ()

    def mapped(state, batch):
        with axis.mapped(parallel.DATA):
            found, rest = value(state, batch)
            return axis.mean(found), rest

    alone, _ = value((), (REAL, FAKE))
    shared, _ = shard_map_step(mapped, parallel.make_mesh(2))((), (REAL, FAKE))
    assert float(shared) == pytest.approx(float(alone), rel=1e-6)


def _judged(real, fake):
    logits = quadratic(real), quadratic(fake)
    gradients = [lambda x=x: penalties.gradient(quadratic, x) for x in (real, fake)]
    return Judged(real, fake, *logits, *gradients, quadratic, quadratic, jax.random.key(3))
