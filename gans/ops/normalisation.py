"""Normalisation by an image's own moments, with a gradient that reads it as rarely as it can."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def normalised(
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    axes: tuple[int, ...],
    epsilon: float,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`x` with mean 0 and variance 1 over some axes, then scaled.

    The derivative is written down, because the one that follows from the definition reads the image
    twice as often: `dy = scale / std * (dx - mean(dx) - normalised * mean(dx * normalised))`, and
    the same of a gradient, with `dx` and `dy` exchanged (Ioffe and Szegedy 2015, arXiv:1502.03167,
    section 3).

    Args:
      x: float32 `[B, H, W, C]`, or of any rank.
      scale: `[C]`, or what is as well the same over pixels, as `[B, 1, 1, C]`; None for 1.
      bias: of the same shape; None where `scale` is.
      axes: which to normalise over; not the last.
      epsilon: added to the variance.
      axis_name: the mapped axis whose devices share one batch, if there is one.

    Returns:
      The result, and the moments it was normalised by, through which no gradient flows.
    """
    mean, var = moments(x, axes, axis_name)
    return scaled(x, mean, var, scale, bias, epsilon), mean, var


def moments(
    x: jax.Array, axes: tuple[int, ...], axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over axes, which are kept, and over all devices of `axis_name`."""
    mean = _mean(x, axes, axis_name)
    # Around the mean of all devices: E[x^2] - E[x]^2 would cancel in float32.
    return mean, _mean(jnp.square(x - mean), axes, axis_name)


def scaled(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    epsilon: float,
) -> jax.Array:
    """`scale * (x - mean) / sqrt(var + epsilon) + bias`."""
    y = (x - mean) * _factor(var, scale, epsilon)
    return y if bias is None else y + bias


def _mean(x: jax.Array, axes: tuple[int, ...], axis_name: str | None) -> jax.Array:
    mean = jnp.mean(x, axes, keepdims=True)
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


def _factor(var: jax.Array, scale: jax.Array | None, epsilon: float) -> jax.Array:
    factor = jax.lax.rsqrt(var + epsilon)
    return factor if scale is None else scale * factor


@normalised.defjvp
def _tangent(axes: tuple[int, ...], epsilon: float, axis_name: str | None, primals, tangents):
    (x, scale, bias), (dx, dscale, dbias) = primals, tangents
    # Not by calling `normalised`: second derivatives do flow through the moments.
    mean, var = moments(x, axes, axis_name)
    normal = (x - mean) * _factor(var, None, epsilon)
    factor = _factor(var, scale, epsilon)
    # What is the same for all pixels is put together first: of a gradient there are then two sums
    # over the image, which those of scale and bias share.
    constant = -factor * _mean(dx, axes, axis_name)
    slope = -factor * _mean(dx * normal, axes, axis_name)
    if scale is not None:
        constant, slope = constant + dbias, slope + dscale
    dy = factor * dx + normal * slope + constant
    moved = dy, jnp.zeros_like(mean), jnp.zeros_like(var)
    return (scaled(x, mean, var, scale, bias, epsilon), mean, var), moved
