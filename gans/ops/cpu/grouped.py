"""Convolutions in groups of channels: neighbouring groups together, as one convolution of a piece.

A group of few channels makes thin products, and XLA's CPU compiler computes the gradient of a
grouped kernel number by number. Here as many groups as fill a wide product have their kernels on
the diagonal of one kernel, which is zero elsewhere: most of what is multiplied is zeros, and all of
it in the forms that are fast for plain convolutions.

Beside XLA's own, on two cores of an AMD EPYC, 32 images of 32x32x192 in groups of 16 are 1.5 to 3.4
times as fast, the images' gradient 1.1 to 2.9 and the kernel's 35 to 44 times; of 16x16x64 in
groups of 1 to 16 the result is 1.7 to 6 times as fast, and the kernel's gradient 1.8 to 150 times.
A batched product for each tap, or of patches, was slower than this.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import Padding
from gans.ops.cpu.bilinear import Forms, Product, with_transposes

_PIECE = 64  # channels, and features, from which on products are wide; found by trying


def forms(plain: Product) -> Forms:
    """The forms of convolutions in groups, in terms of the product for those without.

    Args:
      plain: `(image, kernel, *, stride, padding)`.
    """
    return with_transposes(functools.partial(_in_pieces, plain))


def _in_pieces(
    plain: Product,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: int,
    padding: Padding,
    feature_group_count: int,
) -> jax.Array:
    """The result, `[B, H', W', F]`."""
    groups, (channels, features) = feature_group_count, (kernel.shape[2], kernel.shape[3])
    features //= groups
    sizes = _sizes(groups, -(-_PIECE // min(channels, features)))
    images = jax.lax.split(x, [n * channels for n in sizes], axis=3)
    kernels = jax.lax.split(kernel, [n * features for n in sizes], axis=3)
    kernels = [_diagonal(k, n) for k, n in zip(kernels, sizes, strict=True)]
    if bias is None:
        run, rest = plain, [()] * len(sizes)
    else:
        run, rest = plain.result, [(b,) for b in jax.lax.split(bias, [n * features for n in sizes])]
    parts = [
        run(*both, *more, stride=stride, padding=padding)
        for *both, more in zip(images, kernels, rest, strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def _sizes(groups: int, most: int) -> list[int]:
    """Groups of each piece: as few pieces as there can be, of nearly one size."""
    pieces = math.ceil(groups / most)
    return [groups // pieces + (i < groups % pieces) for i in range(pieces)]


def _diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """`[h, w, C / groups, F]` as `[h, w, C, F]`, with zeros from each group to the others."""
    rows, columns, channels, features = kernel.shape
    kernel = kernel.reshape(rows, columns, 1, channels, groups, features // groups)
    among = jnp.eye(groups, dtype=kernel.dtype)[:, None, :, None]
    return (kernel * among).reshape(rows, columns, groups * channels, features)
