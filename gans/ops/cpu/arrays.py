"""What several forms do with images: products, windows, and putting pixels in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]
"""Zeros added before and after the rows of an image, and its columns."""

Shape = tuple[int, ...]


def output_size(image: Shape, kernel: Shape, stride: int, padding: Padding) -> tuple[int, int]:
    """Height and width of a convolution's result; not positive if the image is too small.

    Args:
      image: its shape, `[B, H, W, C]`.
      kernel: its shape, `[h, w, C, F]`.
      stride: along rows and columns.
      padding: see `Padding`.
    """
    height, width = (
        (n + sum(zeros) - k) // stride + 1
        for n, zeros, k in zip(image[1:3], padding, kernel[:2], strict=True)
    )
    return height, width


def sum_dtype(dtype: Any) -> Any:
    """What products of numbers of a dtype are summed in: float32, or that of wider numbers."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """`[B, H, W, C]` by `[C, F]`, summed, and left in what they are summed in."""
    y = jnp.matmul(x.reshape(-1, x.shape[-1]), matrix, preferred_element_type=sum_dtype(x.dtype))
    return y.reshape(*x.shape[:3], -1)


def dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """`[..., C]` and `[..., F]` to `[C, F]`, summed over all axes but the last."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    return jax.lax.dot_general(
        x, y, (((0,), (0,)), ((), ())), preferred_element_type=sum_dtype(x.dtype)
    )


def window(x: jax.Array, top: int, height: int, left: int, width: int, axis: int = 1) -> jax.Array:
    """Rows `[top, top + height)` and columns `[left, left + width)`, zero beyond the image.

    Rows are along the axis, and columns along the next one.
    """
    low, high = (top, left), (top + height - x.shape[axis], left + width - x.shape[axis + 1])
    borders = [(0, 0, 0)] * x.ndim
    borders[axis : axis + 2] = [(-a, b, 0) for a, b in zip(low, high, strict=True)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), borders)


def interleave(parts: Sequence[Sequence[jax.Array]]) -> jax.Array:
    """`s x s` arrays `[B, h, w, F]` to `[B, h * s, w * s, F]`: array `(i, j)` has every s-th pixel.

    Its first is pixel `(i, j)` of the result.
    """
    stride, (batch, height, width, features) = len(parts), parts[0][0].shape
    y = jnp.stack([jnp.stack(row, axis=3) for row in parts], axis=2)
    return y.reshape(batch, height * stride, width * stride, features)


def overlap_add(parts: Sequence[jax.Array], axis: int, step: int) -> list[jax.Array]:
    """Adds tiles that overlap along an axis.

    Tiles are `step` pixels apart and at most twice as wide, so the last pixels of a tile are the
    first of the next one.

    Args:
      parts: for each pixel of a tile along the axis, that pixel of all tiles.
      axis: of each part, along which the tiles lie.
      step: from one tile to the next.

    Returns:
      For each pixel of a step, that pixel of all steps, of which there is one more than tiles.
    """
    after, before = ([(0, 0)] * parts[0].ndim for _ in range(2))
    after[axis], before[axis] = (0, 1), (1, 0)
    sums = [jnp.pad(part, after) for part in parts[:step]]
    for i, part in enumerate(parts[step:]):
        sums[i] += jnp.pad(part, before)
    return sums
