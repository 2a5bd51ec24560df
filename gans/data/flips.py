"""Images mirrored at random: half of those that training sees, each time anew."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gans.data.source import Augment


def mirrored(image: jax.Array, key: jax.Array) -> jax.Array:
    """An image `[H, W, C]`, or with probability 1/2 its mirror image, left and right exchanged."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def augment(flip: bool) -> Augment | None:
    """What a source does to each image of a batch, if they are to be flipped."""
    return mirrored if flip else None
