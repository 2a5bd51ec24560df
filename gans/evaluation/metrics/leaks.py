"""Marks of an augmentation in generated images: its generator takes them for a part of the data.

A generator whose discriminator sees nothing but augmented images may learn to make them so (Karras
et al. 2020, arXiv:2006.06676, section 2.2). Cutout leaves squares of middle grey, of half an
image's size, and translation lines of it along an edge; shifts of colour leave images whose
brightness, contrast or saturation vary more. Real images have some of all that, so that what counts
is how many more generated ones do.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

NAMES = ("hole", "border", "brightness", "contrast", "saturation")
"""Of the columns of `marks`."""

ERRORS = 4.0
LEAST = 0.01
"""A share is far above another if it exceeds it by that many standard errors, and by that much."""

_GREY = 13  # of twice the distance to 127.5: a twentieth of [-1, 1]
_ALL, _MOST = 0.95, 0.5  # of a hole's pixels at least, and of those outside at most
_SIDE = 64  # pixels along a side in which holes are looked for


def marks(images: jax.Array) -> jax.Array:
    """What augmentations would have left in images. Pure, runs inside `jit`.

    Args:
      images: uint8 `[N, H, W, C]`.

    Returns:
      float32 `[N, 5]`, in columns as `NAMES` says: 1 where there is a square as of cutout, or what
      of it lies inside of the image, all grey and most of what is outside not, and 0 elsewhere; 1
      where one of the four outermost lines is all grey and most of the image not; the mean of the
      image's numbers in [-1, 1]; their deviation; and the root mean square of how far they are from
      the mean of their pixel.
    """
    is_grey = (jnp.abs(2 * images.astype(jnp.int32) - 255) <= _GREY).all(axis=3)
    x = images.astype(jnp.float32) / 127.5 - 1.0
    apart = x - jnp.mean(x, axis=3, keepdims=True)
    columns = (
        _has_hole(is_grey),
        _has_border(is_grey),
        jnp.mean(x, axis=(1, 2, 3)),
        jnp.std(x, axis=(1, 2, 3)),
        jnp.sqrt(jnp.mean(jnp.square(apart), axis=(1, 2, 3))),
    )
    return jnp.stack([column.astype(jnp.float32) for column in columns], axis=1)


def is_far_above(found: float, number: int, usual: float, other: int) -> bool:
    """Whether a share is far above another by the test of two proportions.

    Args:
      found: the share of one kind.
      number: how many images it is the share of.
      usual: the share of the other.
      other: how many images that is the share of.
    """
    pooled = (found * number + usual * other) / (number + other)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / number + 1.0 / other))
    return found - usual > max(ERRORS * error, LEAST)


def _has_hole(is_grey: jax.Array) -> jax.Array:
    """Of masks `[N, H, W]`, whether all of a square's pixels are set, and few outside: `[N]`."""
    step = -(-max(is_grey.shape[1:]) // _SIDE)
    (top, bottom), (left, right) = (_squares(size, step) for size in is_grey.shape[1:])
    is_grey = is_grey[:, ::step, ::step]
    _, height, width = is_grey.shape
    # The number of set pixels above and to the left of each corner.
    sums = jnp.cumsum(jnp.cumsum(is_grey.astype(jnp.int32), axis=1), axis=2)
    sums = jnp.pad(sums, ((0, 0), (1, 0), (1, 0)))
    rows = sums[:, bottom] - sums[:, top]
    inside = rows[:, :, right] - rows[:, :, left]
    area = (bottom - top)[:, None] * (right - left)
    outside = sums[:, -1:, -1:] - inside
    around = height * width - area
    return ((inside >= _ALL * area) & (outside <= _MOST * around) & (around > 0)).any((1, 2))


def _squares(size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Where squares of half a side begin and end along it, of which half at least lies inside.

    Args:
      size: pixels of the side, of which every `step`-th is seen.
      step: see there; places are counted in pixels that are seen.
    """
    side, seen = int(size / 2 + 0.5) // step, -(-size // step)
    first = np.arange(-((side + 1) // 2), seen - side // 2 + 1)
    return np.maximum(first, 0), np.minimum(first + side, seen)


def _has_border(is_grey: jax.Array) -> jax.Array:
    """Of masks `[N, H, W]`, whether an outermost line is set, and few elsewhere: `[N]`."""
    rows = jnp.mean(is_grey[:, (0, -1)].astype(jnp.float32), axis=2)
    columns = jnp.mean(is_grey[:, :, (0, -1)].astype(jnp.float32), axis=1)
    lines = jnp.concatenate([rows, columns], axis=1)
    return (lines >= _ALL).any(axis=1) & (jnp.mean(is_grey, axis=(1, 2)) <= _MOST)
