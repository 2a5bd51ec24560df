"""The numbers of a pixel: uint8 in files, [-1, 1] in networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def to_float(pixels: jax.Array) -> jax.Array:
    """[0, 255] to float32 [-1, 1]."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(images: jax.Array) -> jax.Array:
    """[-1, 1] to uint8 [0, 255], rounded to the nearest; what lies outside becomes the bound."""
    return jnp.clip(jnp.round((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
