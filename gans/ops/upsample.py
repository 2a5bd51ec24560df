"""Convolutions of an image of twice the size that is never made.

Whether that image repeats the pixels of a given one or has zeros between them, each output sees
few of them. There are two forms.

*Patches*, `doubling_conv`: each 2x2 pixels make the four outputs at their middle.

*Taps*, of transposed convolutions on the CPU: each pixel makes what it adds to the outputs around
it, one matrix product for each pixel of the kernel, with the kernel as it lies in memory. Where
pixels are few, as in the middle of a U-Net, most of the time goes into reading the kernel, and
putting it in order for patches took two to four times as long as the convolution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from gans.ops.convolution import convolution
from gans.ops.cpu.bilinear import Product, Shape
from gans.ops.cpu.winograd import interleave, overlapped

Split = Callable[[jax.Array], jax.Array]
"""From a kernel, `[k, ...]` along one axis, to `[2, 2, ...]`: the taps on pixels i-1 and i, for
the two outputs at their middle, 2i-1, which is odd, and 2i."""


def upsample_conv(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x` upsampled by repeating pixels, then convolved with a 3x3 kernel, zero padded.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[3, 3, C, F]`, of the dtype of `x`.
      bias: `[F]`, of the same dtype, or None.

    Returns:
      `[B, 2H, 2W, F]`.
    """
    return doubling_conv(x, kernel, bias, _split_upsampled)


def transposed_conv(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x` with zeros between its pixels, convolved: see `gans.models.layers.ConvTranspose`.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[k, k, C, F]` with k 3 or 4, of the dtype of `x`.
      bias: `[F]`, of the same dtype, or None.

    Returns:
      `[B, 2H, 2W, F]`.
    """
    if not _has_few_pixels(x, kernel):
        return doubling_conv(x, kernel, bias, _split_transposed)
    y = _of_few_pixels(x, kernel)
    return y if bias is None else y + bias


def doubling_conv(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, split: Split
) -> jax.Array:
    """A convolution over an image of twice the size that need not be made.

    Whether that image is `x` with its pixels repeated or with zeros between them, each output
    sees at most 2x2 pixels of `x`, through a kernel of its own that is made of taps of `kernel`.
    So it is one convolution of `x` with 2x2 kernels for four times the features: each patch of
    2x2 pixels makes the four outputs at its middle.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[k, k, C, F]`.
      bias: `[F]`, or None.
      split: how taps fall on pixels, along rows and columns alike.

    Returns:
      `[B, 2H, 2W, F]`.
    """
    batch, height, width, channels = x.shape
    features = kernel.shape[-1]
    columns = split(jnp.swapaxes(kernel, 0, 1))  # [2, 2, k, C, F]
    both = split(jnp.moveaxis(columns, 2, 0))  # [2, 2, 2, 2, C, F], rows first
    both = both.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, channels, 4 * features)
    bias = None if bias is None else jnp.tile(bias, 4)
    y = convolution(x, both, bias, 1, ((1, 1), (1, 1)))
    y = y.reshape(batch, height + 1, width + 1, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
    # The outer half of what patches at the border make lies outside the image.
    return y.reshape(batch, 2 * height + 2, 2 * width + 2, features)[:, 1:-1, 1:-1]


def _split_upsampled(kernel: jax.Array) -> jax.Array:
    """2i-1 sees upsampled pixels 2i-2, 2i-1, 2i: pixels i-1, i-1, i. 2i sees i-1, i, i."""
    first, middle, last = _taps(kernel)
    return _grid([[first + middle, first], [last, middle + last]])


def _split_transposed(kernel: jax.Array) -> jax.Array:
    if len(kernel) == 4:
        # 2i-1 sees 0, pixel i-1, 0, pixel i; 2i sees pixel i-1, 0, pixel i, 0.
        return jnp.flip(kernel.reshape(2, 2, *kernel.shape[1:]), axis=1)
    # 2i-1 sees pixel i-1, 0, pixel i; 2i sees 0, pixel i, 0.
    first, middle, last = _taps(kernel)
    return _grid([[first, jnp.zeros_like(middle)], [last, middle]])


def _taps(kernel: jax.Array) -> list[jax.Array]:
    # Not by indexing, whose gradients are whole kernels of zeros with one tap in them.
    return [jnp.squeeze(tap, 0) for tap in jax.lax.split(kernel, (1,) * len(kernel))]


def _grid(rows: Sequence[Sequence[jax.Array]]) -> jax.Array:
    return jnp.stack([jnp.stack(row) for row in rows])


def _has_few_pixels(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether all that taps make is no more than what one of them is made of."""
    if not all(isinstance(n, int) for n in x.shape):
        return False
    return math.prod(x.shape[:3]) * math.prod(kernel.shape[:2]) <= x.shape[3]


def _of_result(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.platform_dependent(x, kernel, cpu=_through_taps, default=_through_patches)


def _of_image(dy: jax.Array, kernel: jax.Array, *, shape: Shape) -> jax.Array:
    x = jax.ShapeDtypeStruct(shape, kernel.dtype)
    return jax.lax.platform_dependent(
        dy,
        kernel,
        cpu=functools.partial(_taps_dx, shape=shape),
        default=lambda dy, k: jax.linear_transpose(lambda x: _through_patches(x, k), x)(dy)[0],
    )


def _of_kernel(x: jax.Array, dy: jax.Array, *, shape: Shape) -> jax.Array:
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    return jax.lax.platform_dependent(
        x,
        dy,
        cpu=functools.partial(_taps_dk, shape=shape),
        default=lambda x, dy: jax.linear_transpose(lambda k: _through_patches(x, k), kernel)(dy)[0],
    )


_of_few_pixels = Product("gans_few_pixels", _of_result, _of_image, _of_kernel)


def _through_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return doubling_conv(x, kernel, None, _split_transposed)


def _through_taps(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Pixel i and tap t make a part of output 2i + k - 2 - t, along rows and columns alike."""
    size = len(kernel)
    # [k * k, B, H, W, F]: without a transposition of the kernel, each tap a product of its own.
    made = _dot(_for_each_tap(x, kernel), _flat(kernel), (4,), (1,))
    taps = [[made[i * size + j] for j in reversed(range(size))] for i in reversed(range(size))]
    rows = [overlapped(row, 2, 2) for row in taps]
    columns = [overlapped(column, 1, 2) for column in zip(*rows, strict=True)]
    y = interleave(list(zip(*columns, strict=True)))  # from output -1 on
    return y[:, 1:-1, 1:-1].astype(x.dtype)


def _taps_dx(dy: jax.Array, kernel: jax.Array, *, shape: Shape) -> jax.Array:
    # Part by part: XLA's CPU adds along a first axis with one thread, and took twice as long.
    return sum(_dot(_seen(dy, len(kernel), shape), _flat(kernel), (4,), (2,))).astype(dy.dtype)


def _taps_dk(x: jax.Array, dy: jax.Array, *, shape: Shape) -> jax.Array:
    images = jnp.broadcast_to(x, (shape[0] * shape[1], *x.shape))
    dk = _dot(images, _seen(dy, shape[0], x.shape), (1, 2, 3), (1, 2, 3))
    return dk.reshape(shape).astype(dy.dtype)


def _seen(dy: jax.Array, size: int, image: Shape) -> jax.Array:
    """`[k * k, B, H, W, F]`: the gradient of what each tap made of each pixel."""
    height, width = image[1:3]
    dy = jnp.pad(dy, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = itertools.product(reversed(range(size)), repeat=2)
    seen = [dy[:, i : i + 2 * height : 2, j : j + 2 * width : 2] for i, j in starts]
    return jnp.stack(seen)


def _flat(kernel: jax.Array) -> jax.Array:
    """`[k * k, C, F]`."""
    return kernel.reshape(-1, *kernel.shape[2:])


def _for_each_tap(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[k * k, B, H, W, C]`."""
    return jnp.broadcast_to(x, (len(_flat(kernel)), *x.shape))


def _dot(x: jax.Array, y: jax.Array, of_x: tuple[int, ...], of_y: tuple[int, ...]) -> jax.Array:
    """A product for each tap, the first axis of both, over the given axes, left in float32."""
    dimensions = ((of_x, of_y), ((0,), (0,)))
    return jax.lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32)
