"""Transposed convolutions of stride 2 of so few pixels that most time goes into reading the kernel.

Each pixel makes what it adds to the outputs around it: one matrix product for each tap of the
kernel, with the kernel as it lies in memory. To split it for `gans.ops.upsample.doubling_conv`
takes two to four times as long as the whole convolution in the middle of a U-Net. Beside XLA's own,
on two cores of an AMD EPYC, 2x2 pixels of 512 channels to 512 are 13 times as fast, their gradients
3.4.
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import Shape, interleave, overlap_add, sum_dtype
from gans.ops.cpu.bilinear import Forms


def suits(image: Shape, kernel: Shape) -> bool:
    """Whether all that taps make is no more than what one of them is made of.

    Args:
      image: its shape, `[B, H, W, C]`; symbolic sizes suit nothing.
      kernel: its shape, `[k, k, C, F]`.
    """
    if not all(isinstance(n, int) for n in image):
        return False
    return math.prod(image[:3]) * math.prod(kernel[:2]) <= image[3]


def _result(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Pixel i and tap t make a part of output 2i + k - 2 - t, along rows and columns alike."""
    size = len(kernel)
    # [k * k, B, H, W, F]: without a transposition of the kernel, each tap a product of its own.
    made = _dot(_for_each_tap(x, kernel), _flat(kernel), (4,), (1,))
    taps = [[made[i * size + j] for j in reversed(range(size))] for i in reversed(range(size))]
    rows = [overlap_add(row, 2, 2) for row in taps]
    columns = [overlap_add(column, 1, 2) for column in zip(*rows, strict=True)]
    y = interleave(list(zip(*columns, strict=True)))  # from output -1 on
    return y[:, 1:-1, 1:-1].astype(x.dtype)


def _image_gradient(dy: jax.Array, kernel: jax.Array, *, shape: Shape) -> jax.Array:
    # Part by part: XLA's CPU adds along a first axis with one thread, and took twice as long.
    parts = _dot(_of_each_tap(dy, len(kernel), shape), _flat(kernel), (4,), (2,))
    return sum(parts).astype(dy.dtype)


def _kernel_gradient(x: jax.Array, dy: jax.Array, *, shape: Shape) -> jax.Array:
    images = jnp.broadcast_to(x, (shape[0] * shape[1], *x.shape))
    dk = _dot(images, _of_each_tap(dy, shape[0], x.shape), (1, 2, 3), (1, 2, 3))
    return dk.reshape(shape).astype(dy.dtype)


FORMS = Forms(_result, _image_gradient, _kernel_gradient)


def _of_each_tap(dy: jax.Array, size: int, image: Shape) -> jax.Array:
    """`[k * k, B, H, W, F]`: the gradient of what each tap made of each pixel."""
    height, width = image[1:3]
    dy = jnp.pad(dy, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = itertools.product(reversed(range(size)), repeat=2)
    return jnp.stack([dy[:, i : i + 2 * height : 2, j : j + 2 * width : 2] for i, j in starts])


def _flat(kernel: jax.Array) -> jax.Array:
    """`[k * k, C, F]`."""
    return kernel.reshape(-1, *kernel.shape[2:])


def _for_each_tap(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[k * k, B, H, W, C]`."""
    return jnp.broadcast_to(x, (len(_flat(kernel)), *x.shape))


def _dot(x: jax.Array, y: jax.Array, of_x: tuple[int, ...], of_y: tuple[int, ...]) -> jax.Array:
    """A product for each tap, the first axis of both, over the given axes, left in float32."""
    dimensions = ((of_x, of_y), ((0,), (0,)))
    return jax.lax.dot_general(x, y, dimensions, preferred_element_type=sum_dtype(x.dtype))
