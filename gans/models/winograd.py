"""Convolutions with 16 multiplications for 36: Winograd's minimal filtering.

Lavin and Gray 2015, arXiv:1509.09308, sections 4.1 and 4.2 for F(2x2, 3x3). A tile of 4x4
pixels makes `m x m` outputs of a kernel of `r x r` with m + r - 1 = 4: four of a 3x3 kernel,
nine of a 2x2 one. Tile, kernel and outputs are each transformed along rows and columns by
the matrices below, `y = At [(G k Gt) * (Bt x B)] A`; what remains between the transforms is
one matrix product over the channels for each of the 16 places in a tile. The constants are 0, 1
and 1/2, so that rounding is that of the plain sums to within a small factor.

The gradients are the transposes of the same three transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]
Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[jax.Array]]

TILE = 4  # pixels along each side of a tile


class _Filter(NamedTuple):
    """The transforms for one size of kernel, named as in the paper."""

    Bt: Matrix
    G: Matrix
    At: Matrix


_FILTERS = {
    3: _Filter(
        Bt=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        G=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        At=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    2: _Filter(
        Bt=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
        G=((1, 0), (0.5, 0.5), (0.5, -0.5), (0, 1)),
        At=((1, 1, 1, 0), (0, 1, -1, 0), (0, 1, 1, 1)),
    ),
}


class _Plan(NamedTuple):
    """How an image falls into tiles.

    Attributes:
      size: of the kernel, r.
      step: from one tile to the next, and outputs of a tile along one axis, m.
      tiles: along height and width.
      before: zeros before the image's first row and column.
      outputs: height and width of the result.
    """

    size: int
    step: int
    tiles: tuple[int, int]
    before: tuple[int, int]
    outputs: tuple[int, int]


def count_tiles(image: tuple[int, ...], kernel: tuple[int, ...], padding: Padding) -> int:
    """Tiles of images of that shape; 0 where there are no transforms for such a kernel."""
    if kernel[0] != kernel[1] or kernel[0] not in _FILTERS:
        return 0
    plan = _plan(image, kernel, padding)
    return image[0] * plan.tiles[0] * plan.tiles[1]


def _plan(image: tuple[int, ...], kernel: tuple[int, ...], padding: Padding) -> _Plan:
    size, step = kernel[0], TILE + 1 - kernel[0]
    height, width = (n + sum(p) - size + 1 for n, p in zip(image[1:3], padding, strict=True))
    tiles = -(-height // step), -(-width // step)
    return _Plan(size, step, tiles, (padding[0][0], padding[1][0]), (height, width))


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, padding: Padding
) -> jax.Array:
    """`[B, H, W, C]` with `[r, r, C, F]` to `[B, H', W', F]`, stride 1, r = 2 or 3."""
    plan = _plan(x.shape, kernel.shape, padding)
    products = [
        [_product(tile, matrix, (1, 0)) for tile, matrix in zip(*rows, strict=True)]
        for rows in zip(_tiles(x, plan), _matrices(kernel), strict=True)
    ]
    y = _both_ways(_FILTERS[plan.size].At, products)
    if bias is not None:
        y = [[part + bias for part in row] for row in y]
    height, width = plan.outputs
    return interleave(y)[:, :height, :width]


def image_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """The gradient of `x`, `[B, H, W, C]`, from that of the result, `[B, H', W', F]`."""
    plan = _plan(x.shape, kernel.shape, padding)
    products = [
        [_product(tile, matrix, (1, 1)) for tile, matrix in zip(*rows, strict=True)]
        for rows in zip(_spread(dy, plan), _matrices(kernel), strict=True)
    ]
    tiles = _both_ways(_transposed(_FILTERS[plan.size].Bt), products)
    rows = [_overlapped(row, 2, plan.step) for row in tiles]
    columns = [_overlapped(column, 1, plan.step) for column in zip(*rows, strict=True)]
    dx = interleave(list(zip(*columns, strict=True)))
    (top, left), (height, width) = plan.before, x.shape[1:3]
    return dx[:, top : top + height, left : left + width]


def kernel_gradient(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """The gradient of `kernel`, `[r, r, C, F]`."""
    plan = _plan(x.shape, kernel.shape, padding)
    products = [
        [dot(tile, gradient) for tile, gradient in zip(*rows, strict=True)]
        for rows in zip(_tiles(x, plan), _spread(dy, plan), strict=True)
    ]
    taps = _both_ways(_transposed(_FILTERS[plan.size].G), products)
    return jnp.stack([jnp.stack(row) for row in taps])


def interleave(parts: Sequence[Sequence[jax.Array]]) -> jax.Array:
    """`s x s` arrays `[B, h, w, F]` to `[B, h * s, w * s, F]`."""
    stride, (batch, height, width, features) = len(parts), parts[0][0].shape
    y = jnp.stack([jnp.stack(row, axis=3) for row in parts], axis=2)
    return y.reshape(batch, height * stride, width * stride, features)


def dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """`[..., C]` and `[..., F]` to `[C, F]` float32, summed over all that they have in common."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    return jax.lax.dot_general(x, y, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def _tiles(x: jax.Array, plan: _Plan) -> Grid:
    """Transformed tiles, for each of the 4x4 places `[B, tiles, tiles, C]`."""
    step, (down, across), (top, left) = plan.step, plan.tiles, plan.before
    below, right = (
        step * n + plan.size - 1 - before - length
        for n, before, length in zip(plan.tiles, plan.before, x.shape[1:3], strict=True)
    )
    # Where the image is larger than what outputs see, the excess is cut off.
    zero = jnp.zeros((), x.dtype)
    x = jax.lax.pad(x, zero, ((0, 0, 0), (top, below, 0), (left, right, 0), (0, 0, 0)))
    bt = _FILTERS[plan.size].Bt
    rows = _combined(bt, [x[:, i : i + step * (down - 1) + 1 : step] for i in range(TILE)])
    rows = jax.lax.optimization_barrier(rows)
    return [
        _combined(bt, [row[:, :, j : j + step * (across - 1) + 1 : step] for j in range(TILE)])
        for row in rows
    ]


def _matrices(kernel: jax.Array) -> Grid:
    """The transformed kernel, for each of the 4x4 places `[C, F]`."""
    return _both_ways(_FILTERS[len(kernel)].G, [list(row) for row in kernel])


def _spread(dy: jax.Array, plan: _Plan) -> Grid:
    """The result's gradient, transformed, for each of the 4x4 places `[B, tiles, tiles, F]`."""
    step, (down, across) = plan.step, plan.tiles
    borders = [(0, step * n - length) for n, length in zip(plan.tiles, dy.shape[1:3], strict=True)]
    dy = jnp.pad(dy, ((0, 0), *borders, (0, 0)))
    dy = dy.reshape(len(dy), down, step, across, step, -1)
    parts = [[dy[:, :, i, :, j] for j in range(step)] for i in range(step)]
    return _both_ways(_transposed(_FILTERS[plan.size].At), parts)


def _overlapped(parts: Sequence[jax.Array], axis: int, step: int) -> list[jax.Array]:
    """From the 4 pixels of each tile along an axis the sums that are `step` apart.

    A tile's last pixels are the next one's first, so that there is one more of each.
    """
    after, before = ([(0, 0)] * parts[0].ndim for _ in range(2))
    after[axis], before[axis] = (0, 1), (1, 0)
    sums = [jnp.pad(part, after) for part in parts[:step]]
    for i, part in enumerate(parts[step:]):
        sums[i] += jnp.pad(part, before)
    return sums


def _both_ways(matrix: Matrix, grid: Sequence[Sequence[jax.Array]]) -> Grid:
    """`matrix @ grid @ matrix.T`."""
    columns = [_combined(matrix, column) for column in zip(*grid, strict=True)]
    return [_combined(matrix, row) for row in zip(*columns, strict=True)]


def _combined(matrix: Matrix, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """`matrix @ parts`, without the multiplications by 0 and 1."""
    return [
        sum(
            part if factor == 1 else -part if factor == -1 else factor * part
            for factor, part in zip(row, parts, strict=True)
            if factor
        )
        for row in matrix
    ]


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _product(tiles: jax.Array, matrix: jax.Array, contracted: tuple[int, int]) -> jax.Array:
    """`[B, tiles, tiles, ...]` by a matrix, over the given axis of it."""
    flat = tiles.reshape(-1, tiles.shape[-1])
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    return jax.lax.dot_general(flat, matrix, dimensions).reshape(*tiles.shape[:3], -1)
