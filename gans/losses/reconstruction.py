"""How far an image is from the one it should be."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def l1(images: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean absolute difference, a scalar. Zhu et al. 2017, arXiv:1703.10593, eq. 2."""
    return jnp.mean(jnp.abs(images - targets))
