"""Images of twice and of half the size through a blur, which keeps what cannot be told apart away.

The filter is [1, 3, 3, 1] / 8 along rows and columns: without a blur the pixels that are kept would
stand for those beside them, and what a network makes would depend on which they are (Zhang 2019,
arXiv:1904.11486; Karras et al. 2019, arXiv:1912.04958, appendix B). Beyond the image there is zero,
so that a constant image stays constant but for the outermost pixels.

Each is the other's transpose, but for a factor.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def upsample(x: jax.Array) -> jax.Array:
    """`[B, H, W, C]` to `[B, 2H, 2W, C]`: zeros between the pixels, then the filter, times 4.

    Along an axis pixel 2i is `(3 x[i] + x[i - 1]) / 4` and pixel 2i + 1 is
    `(3 x[i] + x[i + 1]) / 4`.

    Args:
      x: of a float dtype, which the result has; sums are at least float32.
    """
    y = x.astype(_summed_in(x.dtype))
    for axis in (1, 2):
        y = _doubled(y, axis)
    return y.astype(x.dtype)


def downsample(x: jax.Array) -> jax.Array:
    """`[B, H, W, C]` to `[B, H // 2, W // 2, C]`: every second pixel of the filtered image.

    Along an axis pixel i is `(x[2i - 1] + 3 x[2i] + 3 x[2i + 1] + x[2i + 2]) / 8`. The last pixel
    of an odd number is thus seen, but has no pixel of the result for itself.

    Args:
      x: of a float dtype, which the result has; sums are at least float32.
    """
    y = x.astype(_summed_in(x.dtype))
    for axis in (1, 2):
        y = _halved(y, axis)
    return y.astype(x.dtype)


def _doubled(x: jax.Array, axis: int) -> jax.Array:
    """Upsampled along one axis."""
    even = 0.75 * x + 0.25 * _moved(x, axis, 1)
    odd = 0.75 * x + 0.25 * _moved(x, axis, -1)
    shape = (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return jnp.stack([even, odd], axis + 1).reshape(shape)


def _halved(x: jax.Array, axis: int) -> jax.Array:
    """Downsampled along one axis."""
    padded = _padded(x, axis, 1, 1)
    size, before = x.shape[axis] // 2 * 2, (slice(None),) * axis
    outer, first, last, other = (padded[(*before, slice(i, i + size, 2))] for i in range(4))
    return 0.375 * (first + last) + 0.125 * (outer + other)


def _moved(x: jax.Array, axis: int, by: int) -> jax.Array:
    """Each pixel `by` further along an axis, and zeros where none comes from."""
    return _padded(x, axis, by, -by)


def _padded(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    borders = [(0, 0, 0)] * x.ndim
    borders[axis] = (before, after, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), borders)


def _summed_in(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.promote_types(dtype, jnp.float32)
