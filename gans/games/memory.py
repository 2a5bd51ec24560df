"""A history of generated images to judge besides the newest, against oscillation.

Shrivastava et al. 2016, arXiv:1612.07828, section 2.3, in the form that CycleGAN's PyTorch
code gave it (arXiv:1703.10593, section 4).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from gans.ops import axis


class Pool(struct.PyTreeNode):
    """The history of one domain's generated images.

    Attributes:
      images: float32 `[N, H, W, C]`.
      count: int32 scalar, how many of them are filled.
    """

    images: jax.Array
    count: jax.Array


def create(size: int, image_shape: tuple[int, int, int]) -> Pool:
    """An empty pool for `size` images, at least 1."""
    return Pool(jnp.zeros((size, *image_shape)), jnp.zeros((), jnp.int32))


def query(pool: Pool, images: jax.Array, key: jax.Array) -> tuple[Pool, jax.Array]:
    """Exchanges generated images for such as the discriminator should judge now.

    Until the pool is full each image is stored and returned. After that each is, with
    probability 1/2, either returned, or stored in place of one drawn at random that is returned.
    Where devices share a batch, each sees the whole batch's exchange, and keeps the same pool.

    Args:
      pool: the history.
      images: `[B, H, W, C]`, this device's.
      key: the same on every device.

    Returns:
      The pool afterwards, and `[B, H, W, C]`.
    """
    size, share = len(pool.images), len(images)
    images = axis.gathered(images)

    def exchange(pool: Pool, numbered: tuple[jax.Array, jax.Array]) -> tuple[Pool, jax.Array]:
        index, image = numbered
        swap_key, place_key = jax.random.split(jax.random.fold_in(key, index))
        is_filling = pool.count < size
        is_swapped = ~is_filling & jax.random.bernoulli(swap_key)
        place = jnp.where(is_filling, pool.count, jax.random.randint(place_key, (), 0, size))
        old = pool.images[place]
        kept = jnp.where(is_filling | is_swapped, image, old)
        pool = Pool(pool.images.at[place].set(kept), pool.count + is_filling)
        return pool, jnp.where(is_swapped, old, image)

    pool, images = jax.lax.scan(exchange, pool, (jnp.arange(len(images)), images))
    return pool, axis.own(images, share)
