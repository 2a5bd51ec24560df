"""The largest singular value of a matrix, followed by one step of power iteration at a time.

Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957, algorithm 1) divides a layer's weights
by it. Training moves them little from one pass to the next, so that a step for each pass is enough
to keep up with it.

A matrix W is `[out, rest]`, float32, and u `[out]` the estimate of its first left singular vector,
of norm 1. Both functions give sigma `u . W v` with a gradient through W alone: u and v are taken
as constants, as they are at the end of the iteration, where they do not add to it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

COLLECTION = "spectral"
"""Of variables of networks: where each layer's u is kept."""


def start(key: jax.Array, out: int) -> jax.Array:
    """A random u to begin with, float32 `[out]`, of any direction with the same probability."""
    return _unit(jax.random.normal(key, (out,)))


def moved(matrix: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sigma after one step of power iteration, and the next u: `v = n(W^T u)`, `u' = n(W v)`.

    Of a matrix of zeros, which has no directions, u stays: it would never be anything but 0 again.
    """
    v = _unit(_times(jax.lax.stop_gradient(matrix).T, u))
    product = _times(matrix, v)
    u = jax.lax.stop_gradient(jnp.where(jnp.any(product != 0), _unit(product), u))
    return _times(u, product), u


def still(matrix: jax.Array, u: jax.Array) -> jax.Array:
    """Sigma by u as it is, of which an average over time may have left a norm below 1."""
    product = _times(matrix.T, _unit(u))
    return _times(jax.lax.stop_gradient(_unit(product)), product)


def _unit(a: jax.Array) -> jax.Array:
    return a / jnp.maximum(jnp.linalg.norm(a), 1e-12)


def _times(a: jax.Array, b: jax.Array) -> jax.Array:
    # Accelerators would round the factors to fewer bits, and reading them takes most of the time.
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)
