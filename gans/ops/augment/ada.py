"""The augmentations of Karras et al. 2020 (arXiv:2006.06676, appendix B), each with a probability.

What moves pixels is one affine map for each image, and what changes colours one matrix. An image
that is mirrored, turned by quarters and moved by whole pixels alone keeps its pixels to the bit;
any other is resampled once, between enlarging it and reducing it with the wavelet of the paper:
see `gans.ops.augment.warp`. The paper's filters of frequencies and its noise are not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gans.ops import axis
from gans.ops.augment import warp

Drawn = Mapping[str, jax.Array]
"""By the name of an operation float `[B, ...]`, what was drawn for each image, or what changes
nothing: see `OPERATIONS`."""

HOLE = 0.5
"""The side of the square that is cut out, in sides of the image."""

_GREY = np.full((3, 3), 1 / 3)  # onto the axis of greys
_TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)  # about it, by a small angle


def _bits(key: jax.Array, rows: int) -> jax.Array:
    return axis.integers(key, (rows, 1), 0, 2).astype(jnp.float32)


def _quarters(key: jax.Array, rows: int) -> jax.Array:
    return axis.integers(key, (rows, 1), 0, 4).astype(jnp.float32)


def _around(reach: float, count: int = 1) -> Callable[[jax.Array, int], jax.Array]:
    return lambda key, rows: axis.uniform(key, (rows, count), -reach, reach)


def _factor(deviation: float) -> Callable[[jax.Array, int], jax.Array]:
    return lambda key, rows: jnp.exp2(deviation * axis.normal(key, (rows, 1)))


def _normal(deviation: float, count: int = 1) -> Callable[[jax.Array, int], jax.Array]:
    return lambda key, rows: deviation * axis.normal(key, (rows, count))


def _centre(key: jax.Array, rows: int) -> jax.Array:
    return axis.uniform(key, (rows, 2))


@dataclasses.dataclass(frozen=True)
class Operation:
    """How an operation is drawn.

    Attributes:
      draw: `draw(key, number of images) -> [B, n]`.
      nothing: what changes nothing.
    """

    draw: Callable[[jax.Array, int], jax.Array]
    nothing: float = 0.0


OPERATIONS: Mapping[str, Operation] = {
    "xflip": Operation(_bits),  # 1 to exchange left and right
    "rotate90": Operation(_quarters),  # quarter turns; of images that are no square, two or none
    "xint": Operation(_around(0.125, 2)),  # x and y, in widths and heights, rounded to pixels
    "scale": Operation(_factor(0.2), 1.0),
    "rotate": Operation(_around(np.pi)),  # radians, before `aniso`
    "aniso": Operation(_factor(0.2), 1.0),  # of the width, and one over it of the height
    "rotate_after": Operation(_around(np.pi)),
    "xfrac": Operation(_normal(0.125, 2)),  # x and y, in widths and heights
    "brightness": Operation(_normal(0.2)),
    "contrast": Operation(_factor(0.5), 1.0),
    "lumaflip": Operation(_bits),  # 1 to exchange light and dark
    "hue": Operation(_around(np.pi)),  # radians
    "saturation": Operation(_factor(1.0), 1.0),
    "cutout": Operation(_centre, np.inf),  # x and y of the middle, in widths and heights
}
EXACT = ("xflip", "rotate90", "xint")
BENDING = ("scale", "rotate", "aniso", "rotate_after", "xfrac")
COLOURS = ("brightness", "contrast", "lumaflip", "hue", "saturation")


@dataclasses.dataclass(frozen=True)
class Ada:
    """The paper's operations, each applied to an image with `probability` times its number here.

    What is 0 is not computed. As they are, the paper's "bgc"; rotations are two, before and after
    `aniso`, of which one or both are drawn with the probability for `rotate`.

    Attributes:
      xflip, rotate90, xint: mirror, quarter turns, moves by whole pixels of up to an eighth.
      scale, rotate, aniso, xfrac: both sides by 2^N(0, 0.2), any angle, one side by that and the
        other by one over it, moves of N(0, 1/8) of a side.
      brightness, contrast, lumaflip, hue, saturation: plus N(0, 0.2), times 2^N(0, 0.5), light and
        dark exchanged, any angle about the axis of greys, distance to it times 2^N(0, 1).
      cutout: 0 in a square of half a side about a place in the image.
    """

    xflip: float = 1.0
    rotate90: float = 1.0
    xint: float = 1.0
    scale: float = 1.0
    rotate: float = 1.0
    aniso: float = 1.0
    xfrac: float = 1.0
    brightness: float = 1.0
    contrast: float = 1.0
    lumaflip: float = 1.0
    hue: float = 1.0
    saturation: float = 1.0
    cutout: float = 0.0

    def __call__(
        self, images: jax.Array, key: jax.Array, probability: float | jax.Array = 1.0
    ) -> jax.Array:
        """Changes images by what is drawn for each.

        Args:
          images: float `[B, H, W, C]` in [-1, 1], C being 1 or 3; what comes out may exceed that.
          key: the same on every device.
          probability: a number, or a scalar array, in [0, 1].
        """
        return apply(images, self.draw(key, len(images), probability))

    def draw(self, key: jax.Array, rows: int, probability: float | jax.Array) -> Drawn:
        """What is drawn for so many images, by names of `OPERATIONS`."""
        drawn = {}
        for number, (name, operation) in enumerate(OPERATIONS.items()):
            factor = getattr(self, "rotate" if name == "rotate_after" else name)
            if not factor:
                continue
            chance = jnp.minimum(jnp.asarray(factor * probability, jnp.float32), 1.0)
            if name.startswith("rotate") and name != "rotate90":
                chance = 1.0 - jnp.sqrt(1.0 - chance)  # so that either is with `chance`
            which, what = jax.random.split(jax.random.fold_in(key, number))
            chosen = axis.uniform(which, (rows, 1)) < chance
            drawn[name] = jnp.where(chosen, operation.draw(what, rows), operation.nothing)
        return drawn


def apply(images: jax.Array, drawn: Drawn) -> jax.Array:
    """Images `[B, H, W, C]` after the operations, given what was drawn for each."""
    if any(name in drawn for name in EXACT + BENDING):
        images = moved(images, drawn)
    if any(name in drawn for name in COLOURS):
        images = coloured(images, colours(drawn))
    return cut_out(images, drawn["cutout"]) if "cutout" in drawn else images


def moved(images: jax.Array, drawn: Drawn) -> jax.Array:
    """Images under their maps: by pixels where nothing bends them, else resampled."""
    maps = affine(drawn, images.shape[1:3])
    bending = [name for name in BENDING if name in drawn]
    whole = warp.permuted(images, maps)
    if not bending:
        return whole
    is_bent = [(drawn[name] != OPERATIONS[name].nothing).any(axis=1) for name in bending]
    is_bent = jnp.stack(is_bent).any(axis=0)[:, None, None, None]
    return jnp.where(is_bent, warp.resampled(images, maps), whole)


def affine(drawn: Drawn, size: tuple[int, int]) -> jax.Array:
    """The map `[B, 3, 3]` of each image of a height and a width: see `gans.ops.augment.warp`.

    The image is changed by one operation after the other, in the order of `OPERATIONS`, so the
    place in the result is undone by the last first.
    """
    height, width = size
    sides = np.float32([width, height])

    def undone(name: str, x: jax.Array) -> jax.Array:
        first = x[:, 0]
        if name == "xflip":
            return _matrix(1 - 2 * first, 0, 0, 1)
        if name == "rotate90":
            quarters = (first if height == width else 2 * (first % 2)).astype(jnp.int32)
            # From a table, for the cosine of a quarter turn is not 0 to the bit.
            cos, sin = (jnp.asarray(table)[quarters] for table in _QUARTERS)
            return _matrix(cos, -sin, sin, cos)
        if name == "xint":
            return _matrix(1, 0, 0, 1, -jnp.round(x * sides))
        if name == "xfrac":
            return _matrix(1, 0, 0, 1, -x * sides)
        if name == "scale":
            return _matrix(1 / first, 0, 0, 1 / first)
        if name == "aniso":
            return _matrix(1 / first, 0, 0, first)
        cos, sin = jnp.cos(first), jnp.sin(first)
        return _matrix(cos, -sin, sin, cos)

    names = [name for name in EXACT + BENDING if name in drawn]
    return _product([undone(name, drawn[name]) for name in names])


def colours(drawn: Drawn) -> jax.Array:
    """The matrix `[B, 3, 4]` of each image, to be multiplied with `(red, green, blue, 1)`."""
    eye = np.eye(3)

    def matrix(name: str, x: jax.Array) -> jax.Array:
        x = x[:, :, None]
        if name == "brightness":
            return _padded(jnp.broadcast_to(eye, (len(x), 3, 3)), jnp.repeat(x, 3, axis=1))
        if name == "contrast":
            return _padded(x * eye)
        if name == "lumaflip":
            return _padded(eye - 2 * x * _GREY)
        if name == "hue":
            return _padded(jnp.cos(x) * eye + jnp.sin(x) * _TURN + (1 - jnp.cos(x)) * _GREY)
        return _padded(x * eye + (1 - x) * _GREY)

    names = [name for name in reversed(COLOURS) if name in drawn]
    return _product([matrix(name, drawn[name]) for name in names])[:, :3]


def coloured(images: jax.Array, matrices: jax.Array) -> jax.Array:
    """Images `[B, H, W, C]` after matrices `[B, 3, 4]`: of a grey image, of which all three are it,
    the mean of the three.
    """
    highest = jax.lax.Precision.HIGHEST
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    if images.shape[3] == 1:
        mean = matrices.mean(axis=1).astype(dtype)[:, None, None]
        made = images * mean[..., :3].sum(axis=-1, keepdims=True) + mean[..., 3:]
    else:
        turn, shift = matrices[:, :, :3].astype(dtype), matrices[:, None, None, :, 3].astype(dtype)
        made = jnp.einsum("bhwc,bdc->bhwd", images.astype(dtype), turn, precision=highest) + shift
    return made.astype(images.dtype)


def cut_out(images: jax.Array, centres: jax.Array) -> jax.Array:
    """0 in a square about centres `[B, 2]`, x and y in widths and heights."""
    _, height, width, _ = images.shape

    def near(centre: jax.Array, size: int) -> jax.Array:
        places = (jnp.arange(size) + 0.5) / size
        return jnp.abs(places - centre[:, None]) < HOLE / 2

    columns, rows = near(centres[:, 0], width), near(centres[:, 1], height)
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.0, images)


_QUARTERS = np.float32([1, 0, -1, 0]), np.float32([0, 1, 0, -1])  # cosine and sine


def _matrix(a, b, c, d, shift: jax.Array | None = None) -> jax.Array:
    """The maps `[B, 3, 3]` of `(x, y)` to `(a x + b y, c x + d y)`, and a shift `[B, 2]`."""
    e, f = (0.0, 0.0) if shift is None else (shift[:, 0], shift[:, 1])
    parts = jnp.broadcast_arrays(*(jnp.asarray(z, jnp.float32) for z in (a, b, e, c, d, f)))
    rows = jnp.stack(parts, axis=-1).reshape(-1, 2, 3)
    last = jnp.broadcast_to(jnp.float32([0, 0, 1]), (len(rows), 1, 3))
    return jnp.concatenate([rows, last], axis=1)


def _padded(matrix: jax.Array, shift: jax.Array | None = None) -> jax.Array:
    """`[B, 3, 3]` and a shift `[B, 3, 1]` as `[B, 4, 4]`."""
    matrix = matrix.astype(jnp.float32)
    shift = jnp.zeros((len(matrix), 3, 1)) if shift is None else shift
    upper = jnp.concatenate([matrix, shift], axis=2)
    last = jnp.broadcast_to(jnp.float32([0, 0, 0, 1]), (len(matrix), 1, 4))
    return jnp.concatenate([upper, last], axis=1)


def _product(matrices: list[jax.Array]) -> jax.Array:
    """Of matrices `[B, n, n]`, from the first on."""
    product, *rest = matrices
    for matrix in rest:
        product = jnp.matmul(product, matrix, precision=jax.lax.Precision.HIGHEST)
    return product
