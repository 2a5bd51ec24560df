"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): colour, translation and cutout.

Each operation is a pure function of images and of what was drawn for each of them; `OPERATIONS`
says how it is drawn. All are differentiable with respect to the images, any number of times, and
what lies outside of an image is 0, which is middle grey.

It may leak: where few images are trained on, cutout's grey squares appear in samples. With a
probability below 1, or without cutout, they seldom do; `comparisons.leaks` looks for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gans.errors import UserError
from gans.ops import axis

Draws = tuple[jax.Array, ...]
"""What is drawn for an operation: arrays `[B]`, a number for each image."""


def brightness(images: jax.Array, shift: jax.Array) -> jax.Array:
    """`x + shift`. Arguments as of all operations here.

    Args:
      images: float `[B, H, W, C]`.
      shift: float `[B]`, in [-0.5, 0.5) where it is drawn.

    Returns:
      Images of the same shape and dtype.
    """
    return images + _each(shift, images)


def saturation(images: jax.Array, factor: jax.Array) -> jax.Array:
    """Scales how far a pixel is from the mean of its channels; `factor` is drawn from [0, 2)."""
    mean = jnp.mean(images, axis=3, keepdims=True)
    return (images - mean) * _each(factor, images) + mean


def contrast(images: jax.Array, factor: jax.Array) -> jax.Array:
    """Scales how far a number is from the mean of its image; `factor` is drawn from [0.5, 1.5)."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * _each(factor, images) + mean


def translation(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Pixel `(i, j)` is that of `(i + rows, j + columns)`, and 0 where this lies outside.

    Args:
      rows: integer `[B]`, of a magnitude of at most `reach(H)`, from which it is drawn.
      columns: the same of W.
    """
    _, height, width, channels = images.shape
    tall, wide = reach(height), reach(width)
    padded = jnp.pad(images, ((0, 0), (tall, tall), (wide, wide), (0, 0)))

    def one(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        start = row + tall, column + wide, 0
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    # On a CPU a tenth of the time that products with shifted identities take.
    return jax.vmap(one)(padded, rows, columns)


def cutout(images: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """0 in a square of half the image's size, or in what of it lies inside of the image.

    Args:
      row: integer `[B]`, from which the square begins half its size above; drawn from 0 to H, and
        to H - 1 where the square has an odd number of rows.
      column: the same of W.
    """
    _, height, width, _ = images.shape
    rows, columns = _hole(row, height), _hole(column, width)
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.0, images)


def reach(size: int) -> int:
    """How many pixels of `size` an image is moved at most: an eighth, rounded."""
    return int(size / 8 + 0.5)


def hole(size: int) -> int:
    """How many pixels of `size` the square of `cutout` has: a half, rounded."""
    return int(size / 2 + 0.5)


class Operation(NamedTuple):
    """A change to images, and how it is drawn.

    Attributes:
      draw: `draw(key, shape of the images) -> Draws`; of this device's images where several share
        a batch, what one device would draw for them.
      apply: `apply(images, *draws) -> images`.
    """

    draw: Callable[[jax.Array, tuple[int, ...]], Draws]
    apply: Callable[..., jax.Array]


def _number(low: float, high: float) -> Callable[[jax.Array, tuple[int, ...]], Draws]:
    return lambda key, shape: (axis.uniform(key, shape[:1], low, high),)


def _move(key: jax.Array, shape: tuple[int, ...]) -> Draws:
    return _two(key, shape, lambda size: (-reach(size), reach(size) + 1))


def _centre(key: jax.Array, shape: tuple[int, ...]) -> Draws:
    return _two(key, shape, lambda size: (0, size + 1 - hole(size) % 2))


def _two(key: jax.Array, shape: tuple[int, ...], bounds: Callable[[int], tuple]) -> Draws:
    """A whole number for the rows, and one for the columns, of each image."""
    keys, sizes = jax.random.split(key), shape[1:3]
    return tuple(
        axis.integers(one, shape[:1], *bounds(size)) for one, size in zip(keys, sizes, strict=True)
    )


OPERATIONS: Mapping[str, Operation] = {
    "brightness": Operation(_number(-0.5, 0.5), brightness),
    "saturation": Operation(_number(0.0, 2.0), saturation),
    "contrast": Operation(_number(0.5, 1.5), contrast),
    "translation": Operation(_move, translation),
    "cutout": Operation(_centre, cutout),
}
POLICIES: Mapping[str, tuple[str, ...]] = {
    "colour": ("brightness", "saturation", "contrast"),
    "translation": ("translation",),
    "cutout": ("cutout",),
}
"""The operations of each entry of a policy, in their order."""


@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """The operations of a policy, one after the other, each drawn for each image.

    Attributes:
      policy: names of `POLICIES`, each once. The paper has "translation" and "cutout" for CIFAR-10,
        and all three where there are few images.

    Raises:
      UserError: the policy is another.
    """

    policy: tuple[str, ...] = ("colour", "translation", "cutout")

    def __post_init__(self):
        if not self.policy or len({*self.policy} & POLICIES.keys()) < len(self.policy):
            raise UserError(
                f"The policy of DiffAugment is {self.policy!r}; it must be of "
                f"{', '.join(POLICIES)}, each at most once."
            )

    def __call__(
        self, images: jax.Array, key: jax.Array, probability: float | jax.Array = 1.0
    ) -> jax.Array:
        """Changes each image with a probability, by all operations, or leaves it as it is.

        Args:
          images: float `[B, H, W, C]` in [-1, 1], C being 1 or 3; what comes out may exceed that.
          key: the same on every device.
          probability: a number, or a scalar array, in [0, 1].
        """
        chance, drawn = jax.random.split(key)
        changed = self.apply(images, self.draw(drawn, images.shape))
        chosen = axis.uniform(chance, images.shape[:1]) < probability
        return jnp.where(chosen[:, None, None, None], changed, images)

    def draw(self, key: jax.Array, shape: tuple[int, ...]) -> dict[str, Draws]:
        """What is drawn for images of a shape, by the names of the operations in their order."""
        names = [name for entry in self.policy for name in POLICIES[entry]]
        keys = jax.random.split(key, len(names))
        return {name: OPERATIONS[name].draw(k, shape) for name, k in zip(names, keys, strict=True)}

    def apply(self, images: jax.Array, drawn: Mapping[str, Draws]) -> jax.Array:
        """The images `[B, H, W, C]` after the operations, given what was drawn."""
        for name, draws in drawn.items():
            images = OPERATIONS[name].apply(images, *draws)
        return images


def _each(x: jax.Array, images: jax.Array) -> jax.Array:
    """A number for each image, to be combined with all of it."""
    return x.astype(images.dtype)[:, None, None, None]


def _hole(start: jax.Array, size: int) -> jax.Array:
    """Which of `size` rows, or columns, are in the square: bool `[B, size]`."""
    places, first = jnp.arange(size), start[:, None] - hole(size) // 2
    return (places >= first) & (places < first + hole(size))
