"""Images under affine maps of the plane: by pixels where a map permutes them, else by filtering.

A map `[3, 3]` takes homogeneous coordinates `(x, y, 1)` of a pixel of the result to those of the
image it shows. Both are counted in pixels from the middle, x to the right and y downwards. Beyond
its edges an image goes on as its mirror image about the outermost pixels' middles.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

# The low-pass filter of the wavelet sym6 (Daubechies 1992, "Ten Lectures on Wavelets", chapter 8),
# whose sum is the root of 2. Its translates by even numbers are orthonormal, so that an image that
# is enlarged with it and reduced with it is the same again.
SYM6 = np.array(
    [
        0.015404109327027373,
        0.0034907120842174702,
        -0.11799011114819057,
        -0.048311742585633,
        0.4910559419267466,
        0.787641141030194,
        0.3379294217276218,
        -0.07263752278646252,
        -0.021060292512300564,
        0.04472490177066578,
        0.0017677118642428036,
        -0.007800708325034148,
    ]
)
_MARGIN = len(SYM6) // 2  # pixels of the enlarged result that reducing sees beyond either edge


def permuted(images: jax.Array, maps: jax.Array) -> jax.Array:
    """Each pixel is the one of the image that lies nearest to where its map takes it.

    So it is exact under mirrorings, quarter turns of squares, and moves by whole pixels.

    Args:
      images: float `[B, H, W, C]`.
      maps: float `[B, 3, 3]`.

    Returns:
      Images of the same shape and dtype.
    """
    _, height, width, _ = images.shape
    x, y = _mapped(maps, _centred(np.arange(height)), _centred(np.arange(width)))
    row = _folded(jnp.round(y + (height - 1) / 2), height).astype(jnp.int32)
    column = _folded(jnp.round(x + (width - 1) / 2), width).astype(jnp.int32)
    return _at(images, row, column)


def resampled(images: jax.Array, maps: jax.Array) -> jax.Array:
    """Images under maps, filtered as in Karras et al. 2020 (arXiv:2006.06676, appendix B).

    The image is enlarged to twice its size with the filter of the wavelet `SYM6`, sampled where the
    maps take the pixels of a result of twice the size, between four pixels bilinearly, and reduced
    with the same filter. Arguments and result as of `permuted`; computed in float32 at least.
    """
    _, height, width, _ = images.shape
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    large = _in_rows_and_columns(images.astype(dtype), enlarging(height), enlarging(width))
    x, y = _mapped(maps, *(_centred(_places(size), size) for size in (height, width)))
    # Where the pixel `i` of the image has its middle in the enlarged one: at 2 i + 1/2.
    row = 2 * _folded(y + (height - 1) / 2, height) + 0.5
    column = 2 * _folded(x + (width - 1) / 2, width) + 0.5
    sampled = _between(large, row.astype(dtype), column.astype(dtype))
    small = _in_rows_and_columns(sampled, reducing(height), reducing(width))
    return small.astype(images.dtype)


@functools.cache
def enlarging(size: int) -> np.ndarray:
    """The matrix `[2 size, size]` that enlarges a row of pixels: its rows sum to about 1."""
    matrix = np.zeros((2 * size, size))
    for place in range(2 * size):
        for k, weight in enumerate(SYM6 * np.sqrt(2)):
            pixel, between = divmod(place + _MARGIN - 1 - k, 2)
            if not between:
                matrix[place, _reflected(pixel, size)] += weight
    return matrix


@functools.cache
def reducing(size: int) -> np.ndarray:
    """The matrix `[size, 2 size + 12]` that reduces an enlarged row, which has a margin of 6."""
    matrix = np.zeros((size, 2 * size + 2 * _MARGIN))
    for place in range(size):
        matrix[place, 2 * place + 1 : 2 * place + 1 + len(SYM6)] = SYM6 / np.sqrt(2)
    return matrix


def _places(size: int) -> np.ndarray:
    """Where the pixels of an enlarged row with its margin lie, in pixels of the small one."""
    return np.arange(-_MARGIN, 2 * size + _MARGIN) / 2 - 0.25


def _centred(places: np.ndarray, size: int | None = None) -> np.ndarray:
    return places - ((len(places) if size is None else size) - 1) / 2


def _mapped(maps: jax.Array, y: np.ndarray, x: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Where maps take the pixels of rows `y` and columns `x`: x and y, `[B, rows, columns]`."""
    x, y = (jnp.asarray(z, maps.dtype)[None] for z in (x[None, :], y[:, None]))
    a = maps[:, :, :, None, None]
    return tuple(a[:, k, 0] * x + a[:, k, 1] * y + a[:, k, 2] for k in (0, 1))


def _folded(place: jax.Array, size: int) -> jax.Array:
    """A place in a row of `size` pixels that goes on as its mirror image: from 0 to `size - 1`."""
    if size == 1:
        return jnp.zeros_like(place)
    period = 2.0 * (size - 1)
    place = jnp.mod(place, period)
    return jnp.minimum(place, period - place)


def _reflected(pixel: int, size: int) -> int:
    if size == 1:
        return 0
    pixel %= 2 * (size - 1)
    return min(pixel, 2 * (size - 1) - pixel)


def _in_rows_and_columns(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """A matrix applied to the columns of images, and one to their rows."""
    rows, columns = (jnp.asarray(matrix, images.dtype) for matrix in (rows, columns))
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("pi,bijc,qj->bpqc", rows, images, columns, precision=highest)


def _at(images: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """The pixels `[B, h, w, C]` at rows and columns `[B, h, w]` of images."""
    return jax.vmap(lambda image, i, j: image[i, j])(images, row, column)


def _between(images: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """The same at places between pixels, bilinearly."""
    _, height, width, _ = images.shape
    top = jnp.clip(jnp.floor(row), 0, height - 2)
    left = jnp.clip(jnp.floor(column), 0, width - 2)
    down, right = ((row - top)[..., None], (column - left)[..., None])
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    upper = (1 - right) * _at(images, i, j) + right * _at(images, i, j + 1)
    lower = (1 - right) * _at(images, i + 1, j) + right * _at(images, i + 1, j + 1)
    return (1 - down) * upper + down * lower
