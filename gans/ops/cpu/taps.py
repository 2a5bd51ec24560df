"""Convolutions through taps: a matrix product for each pixel of the kernel.

A convolution is the sum over the kernel's pixels, its taps, of the image shifted by as much and
multiplied by that tap's `[C, F]` matrix. All taps side by side are one matrix product, whose parts
are shifted and added afterwards.

The functions are `gans.ops.cpu.bilinear.Forms` of a convolution. The image's gradient has one for
stride 1 and one for larger strides; the result is for stride 1.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import (
    Padding,
    Shape,
    dot,
    interleave,
    matmul,
    output_size,
    sum_dtype,
    window,
)


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None, *, stride: int, padding: Padding
) -> jax.Array:
    """The result, `[B, H', W', F]`: all taps in one product, then shifted and added."""
    rows, columns, _, features = kernel.shape
    (top, _), (left, _) = padding
    parts = matmul(x, side_by_side(kernel)).reshape(*x.shape[:3], rows, columns, features)
    size = output_size(x.shape, kernel.shape, stride, padding)
    return _sum_of_shifted(parts, (-top, -left), 1, size, bias).astype(x.dtype)


def image_gradient(
    dy: jax.Array, kernel: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the image: each tap's product, added where that tap saw the image."""
    (top, _), (left, _) = padding
    # Pixel p of the image is seen by output p + top - i.
    parts = _of_each_tap(dy, kernel)
    return _sum_of_shifted(parts, (top, left), -1, shape[1:3]).astype(dy.dtype)


def strided_image_gradient(
    dy: jax.Array, kernel: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The same for a stride: pixels that are a stride apart are seen by the same taps."""
    of_taps = _of_each_tap(dy, kernel)
    # Padded pixel stride * n + r is seen by output n - i through tap stride * i + r.
    height, width = (
        n + -(-k // stride) for n, k in zip(dy.shape[1:3], kernel.shape[:2], strict=True)
    )
    parts = [
        [
            _sum_of_shifted(of_taps[..., i::stride, j::stride, :], (0, 0), -1, (height, width))
            for j in range(stride)
        ]
        for i in range(stride)
    ]
    (top, _), (left, _) = padding
    return window(interleave(parts), top, shape[1], left, shape[2]).astype(dy.dtype)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the kernel: for each tap, what it saw times the gradient of the outputs."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = (stride * (n - 1) + 1 for n in dy.shape[1:3])
    taps = [
        dot(x[:, i : i + height : stride, j : j + width : stride], dy)
        for i, j in itertools.product(*map(range, shape[:2]))
    ]
    return jnp.stack(taps).reshape(shape).astype(x.dtype)


def side_by_side(kernel: jax.Array) -> jax.Array:
    """`[h, w, C, F]` as `[C, h * w * F]`."""
    return kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


def _of_each_tap(dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[B, H', W', h, w, C]`: what each output adds to the gradient of the pixel a tap saw."""
    # Taps side by side as they lie in memory, [h * w * C, F].
    parts = matmul(dy, kernel.reshape(-1, kernel.shape[-1]).T)
    return parts.reshape(*dy.shape[:3], *kernel.shape[:3])


def _sum_of_shifted(
    parts: jax.Array,
    first: tuple[int, int],
    sign: int,
    size: tuple[int, int],
    bias: jax.Array | None = None,
) -> jax.Array:
    """The sum over taps `(i, j)` of `parts`, `[B, H, W, h, w, C]`, each from another corner on.

    Args:
      parts: float32.
      first: the corner of tap `(0, 0)`.
      sign: the corner of tap `(i, j)` is `first + sign * (i, j)`.
      size: height and width of the sum.
      bias: `[C]`, or None.
    """
    total = jnp.zeros((), jnp.float32) if bias is None else bias.astype(sum_dtype(bias.dtype))
    for i, j in itertools.product(*map(range, parts.shape[3:5])):
        top, left = first[0] + sign * i, first[1] + sign * j
        total += window(parts[..., i, j, :], top, size[0], left, size[1])
    # There are no taps, nor a sum, for some pixels where a stride is wider than the kernel.
    return jnp.broadcast_to(total, (parts.shape[0], *size, parts.shape[-1]))
