"""Convolutions to a handful of features, as to the channels of a picture.

Like `gans.ops.cpu.taps`, with the taps of all features in one matrix product: a product of one tap
would be too thin to be fast. The functions are `gans.ops.cpu.bilinear.Forms` of a convolution of
stride 1.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import Padding, Shape, dot, matmul, output_size, sum_dtype, window
from gans.ops.cpu.taps import side_by_side


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None, *, stride: int, padding: Padding
) -> jax.Array:
    """The result, `[B, H', W', F]`: pixels are the last axis, so that many are added at once."""
    rows, columns, channels, features = kernel.shape
    (top, _), (left, _) = padding
    taps, pixels = kernel.transpose(0, 1, 3, 2).reshape(-1, channels), x.reshape(-1, channels)
    contracted = (((1,), (1,)), ((), ()))
    parts = jax.lax.dot_general(taps, pixels, contracted, preferred_element_type=sum_dtype(x.dtype))
    parts = parts.reshape(rows, columns, features, *x.shape[:3])
    height, width = output_size(x.shape, kernel.shape, stride, padding)
    total = jnp.zeros((1,)) if bias is None else bias.astype(sum_dtype(bias.dtype))
    total = total[:, None, None, None]
    for i, j in itertools.product(range(rows), range(columns)):
        total += window(parts[i, j], i - top, height, j - left, width, axis=2)
    return jnp.moveaxis(total, 0, -1).astype(x.dtype)


def image_gradient(
    dy: jax.Array, kernel: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the image: one product over taps and features."""
    seen_by = _gradients_of_outputs(dy, kernel.shape, shape, padding)
    return matmul(seen_by, side_by_side(kernel).T).astype(dy.dtype)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the kernel: one product over pixels."""
    dk = dot(x, _gradients_of_outputs(dy, shape, x.shape, padding))
    rows, columns, channels, features = shape
    dk = dk.reshape(channels, rows, columns, features).transpose(1, 2, 0, 3)
    return dk.astype(x.dtype)


def _gradients_of_outputs(
    dy: jax.Array, kernel: Shape, image: Shape, padding: Padding
) -> jax.Array:
    """`[B, H, W, h * w * F]`: for each pixel the gradients of all outputs that see it."""
    (top, _), (left, _) = padding
    height, width = image[1:3]
    taps = itertools.product(*map(range, kernel[:2]))
    parts = [window(dy, top - i, height, left - j, width) for i, j in taps]
    return jnp.concatenate(parts, axis=-1)
