"""Convolutions with a quarter to a half of the multiplications: Winograd's minimal filtering.

Lavin and Gray 2015, arXiv:1509.09308, section 4. A tile of t x t pixels makes m x m outputs of a
kernel of r x r with m + r - 1 = t: of tiles of 4x4 four outputs of a 3x3 kernel, or nine of a
2x2 one, of tiles of 6x6 sixteen, or twenty-five. Tile, kernel and outputs are each transformed
along rows and columns by the matrices below, `y = At [(G k Gt) * (Bt x B)] A`; what remains
between the transforms is one matrix product over the channels for each of the t * t places in a
tile. That takes (t / m)^2 multiplications an output instead of r^2: 4 or 2.25 for 9.

The gradients are the transposes of the same three transforms.

`convolve`, `image_gradient` and `kernel_gradient` are `gans.ops.cpu.bilinear.Forms` of a
convolution of stride 1 with kernels of 2x2 or 3x3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import Padding, Shape, dot, interleave, output_size, overlap_add
from gans.ops.cpu.materialise import materialise

Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[jax.Array]]
Between = Callable[[Grid], Grid]
"""What is done to all that one step of a transform has made before the next uses it."""

_SIZES = (2, 3)  # of kernels
# Where polynomials are evaluated for tiles of 4 and 6 pixels, beside infinity: rounding is that of
# plain sums to within a factor of 2 to 4, and of 8 to 20; with 2 for 1/2 2.7 times that.
_POINTS = {4: (0, 1, -1), 6: (0, 1, -1, Fraction(1, 2), -2)}
_STRIP = 1024  # tiles of 6x6 that are transformed at once, to be in a cache still when used


class _Filter(NamedTuple):
    """The transforms for one size of kernel, named as in the paper."""

    Bt: Matrix
    G: Matrix
    At: Matrix


@functools.cache
def _filter(size: int, tile: int) -> _Filter:
    """By Toom and Cook's method.

    Outputs times a kernel, as polynomials of degrees m - 1 and r - 1, are determined by their
    values at t points, of which infinity is one: `V^-1 (At^T y * G k)` with Vandermonde's matrices.
    A convolution is the transpose of that product in y.
    """
    points, outputs = _POINTS[tile], tile - size + 1
    bt, g, at = [], [], []
    for point in points:
        others = [p for p in points if p != point]
        scale = math.prod(point - p for p in others)
        bt.append((*_with_roots(others), 0))
        g.append([point**i / Fraction(scale) for i in range(size)])
        at.append([point**i for i in range(outputs)])
    bt.append(_with_roots(points))
    g.append([0] * (size - 1) + [1])
    at.append([0] * (outputs - 1) + [1])
    bt, g, at = (tuple(tuple(map(float, row)) for row in matrix) for matrix in (bt, g, at))
    return _Filter(bt, g, _transposed(at))


def _with_roots(roots: Sequence[Fraction | int]) -> list[Fraction | int]:
    """The coefficients of the polynomial with these roots, of the constant first."""
    product = [1]
    for root in roots:
        lower, higher = [*(-root * c for c in product), 0], [0, *product]
        product = [a + b for a, b in zip(lower, higher, strict=True)]
    return product


def _as_it_is(grid: Grid) -> Grid:
    return grid


class _Plan(NamedTuple):
    """How an image falls into tiles.

    Attributes:
      tile: pixels along each side of a tile, t.
      size: of the kernel, r.
      tiles: along height and width.
      before: zeros before the image's first row and column.
      outputs: height and width of the result.
    """

    tile: int
    size: int
    tiles: tuple[int, int]
    before: tuple[int, int]
    outputs: tuple[int, int]

    @property
    def step(self) -> int:
        """From one tile to the next, and outputs of a tile along one axis, m."""
        return self.tile - self.size + 1

    @property
    def matrices(self) -> _Filter:
        return _filter(self.size, self.tile)


def count_tiles(image: Shape, kernel: Shape, padding: Padding) -> int:
    """Tiles of 4x4 pixels in images of that shape; 0 for kernels that have no transforms here."""
    if kernel[0] != kernel[1] or kernel[0] not in _SIZES:
        return 0
    return image[0] * math.prod(_plan(4, image, kernel, padding).tiles)


def _plan(tile: int, image: Shape, kernel: Shape, padding: Padding) -> _Plan:
    size, outputs = kernel[0], output_size(image, kernel, 1, padding)
    tiles = tuple(-(-n // (tile - size + 1)) for n in outputs)
    return _Plan(tile, size, tiles, (padding[0][0], padding[1][0]), outputs)


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None, *, stride: int, padding: Padding
) -> jax.Array:
    """The result, `[B, H', W', F]`."""
    plan = _plan(6, x.shape, kernel.shape, padding)
    if math.prod(plan.tiles) >= _STRIP and plan.outputs[0] >= plan.step:
        return _in_strips(x, kernel, bias, plan)
    plan = _plan(4, x.shape, kernel.shape, padding)
    height, width = plan.outputs
    tiles = _tiles(_whole_tiles(x, plan), plan)
    return interleave(_outputs(tiles, _matrices(kernel, plan), bias, plan))[:, :height, :width]


def _in_strips(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, plan: _Plan) -> jax.Array:
    """A few rows of tiles at a time: what is between two steps is read from a cache.

    Large tiles make fewer multiplications and so many arrays that steps fused into one, or an
    image at once, would take longer than with small ones.
    """
    height, width = plan.outputs
    rows = min(max(1, _STRIP // (len(x) * plan.tiles[1])), height // plan.step)
    strip = rows * plan.step
    x, matrices = _whole_tiles(x, plan, height), _matrices(kernel, plan)
    between = functools.partial(materialise, anchor=kernel)

    def add(i: jax.Array, y: jax.Array) -> jax.Array:
        # The last strip ends where the image does, and repeats some of the one before.
        first = jnp.minimum(i * strip, height - strip)
        seen = jax.lax.dynamic_slice_in_dim(x, first, strip + plan.size - 1, axis=1)
        tiles = _tiles(between(seen), plan, between)
        made = interleave(between(_outputs(tiles, matrices, bias, plan, between)))
        return jax.lax.dynamic_update_slice_in_dim(y, made[:, :, :width], first, axis=1)

    # Of any numbers, but not before there is `x`: a network's would all be made at its start.
    y = jnp.broadcast_to(x[:, :1, :1, :1], (len(x), height, width, kernel.shape[-1]))
    return jax.lax.fori_loop(0, -(-height // strip), add, y)


def _outputs(
    tiles: Grid,
    matrices: Grid,
    bias: jax.Array | None,
    plan: _Plan,
    between: Between = _as_it_is,
) -> Grid:
    """For each of the m x m places of a tile's outputs `[B, tiles, tiles, F]`."""
    y = _both_ways(plan.matrices.At, _each(_product, tiles, matrices, (1, 0)), between)
    return y if bias is None else [[part + bias for part in row] for row in y]


def image_gradient(
    dy: jax.Array, kernel: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the image, `[B, H, W, C]`."""
    plan = _plan(4, shape, kernel.shape, padding)
    products = _each(_product, _spread(dy, plan), _matrices(kernel, plan), (1, 1))
    tiles = _both_ways(_transposed(plan.matrices.Bt), products)
    rows = [overlap_add(row, 2, plan.step) for row in tiles]
    columns = [overlap_add(column, 1, plan.step) for column in zip(*rows, strict=True)]
    dx = interleave(list(zip(*columns, strict=True)))
    (top, left), (height, width) = plan.before, shape[1:3]
    return dx[:, top : top + height, left : left + width]


def kernel_gradient(
    x: jax.Array, dy: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the kernel, `[r, r, C, F]`."""
    plan = _plan(4, x.shape, shape, padding)
    products = _each(dot, _tiles(_whole_tiles(x, plan), plan), _spread(dy, plan))
    taps = _both_ways(_transposed(plan.matrices.G), products)
    return jnp.stack([jnp.stack(row) for row in taps])


def _whole_tiles(x: jax.Array, plan: _Plan, height: int | None = None) -> jax.Array:
    """What the tiles see: `x` with zeros before, and after it as many as make tiles whole.

    Where the image is larger than what outputs see, the excess is cut off. Of `height`, the rows
    that so many rows of outputs see.
    """
    rows, columns = (plan.step * n for n in plan.tiles)
    seen = (height or rows) + plan.size - 1, columns + plan.size - 1
    borders = [
        (before, n - before - length, 0)
        for n, before, length in zip(seen, plan.before, x.shape[1:3], strict=True)
    ]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *borders, (0, 0, 0)))


def _tiles(x: jax.Array, plan: _Plan, between: Between = _as_it_is) -> Grid:
    """Transformed tiles, for each of the t x t places `[B, tiles, tiles, C]`."""
    bt, step = plan.matrices.Bt, plan.step
    below, right = (n - plan.tile + 1 for n in x.shape[1:3])
    rows = between(_combined(bt, [x[:, i : i + below : step] for i in range(plan.tile)]))
    return [
        _combined(bt, [row[:, :, j : j + right : step] for j in range(plan.tile)]) for row in rows
    ]


def _matrices(kernel: jax.Array, plan: _Plan) -> Grid:
    """The transformed kernel, for each of the t x t places `[C, F]`."""
    return _both_ways(plan.matrices.G, [list(row) for row in kernel])


def _spread(dy: jax.Array, plan: _Plan) -> Grid:
    """The result's gradient, transformed, for each of the t x t places `[B, tiles, tiles, F]`."""
    step, (down, across) = plan.step, plan.tiles
    borders = [(0, step * n - length) for n, length in zip(plan.tiles, dy.shape[1:3], strict=True)]
    dy = jnp.pad(dy, ((0, 0), *borders, (0, 0)))
    dy = dy.reshape(len(dy), down, step, across, step, -1)
    parts = [[dy[:, :, i, :, j] for j in range(step)] for i in range(step)]
    return _both_ways(_transposed(plan.matrices.At), parts)


def _each(function: Callable, grid: Grid, other: Grid, *args) -> Grid:
    """`function` of both grids' parts, place by place."""
    return [
        [function(a, b, *args) for a, b in zip(*rows, strict=True)]
        for rows in zip(grid, other, strict=True)
    ]


def _both_ways(
    matrix: Matrix, grid: Sequence[Sequence[jax.Array]], between: Between = _as_it_is
) -> Grid:
    """`matrix @ grid @ matrix.T`, with something done to the product in between."""
    columns = between([_combined(matrix, column) for column in zip(*grid, strict=True)])
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
