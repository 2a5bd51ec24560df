"""Two domains of images of which none belongs to another: photographs and paintings, say.

The domains may differ in size: each is shuffled and repeated on its own, and an epoch has
as many images as the larger (Zhu et al. 2017, arXiv:1703.10593).

What loads such domains takes, and raises UserError for what is out of range:

  image_size: side in pixels of the random crop that training sees, and of test images.
  load_size: side of the training images that it is cut from.
  channels: 1 for grey, 3 for RGB.
  resize: the filter that brings images to size, one of `images.FILTERS`.
  flip: whether half of the crops are mirrored.
  test_images: the largest number of test images of each domain, the first ones.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gans.data import arrays, flips
from gans.data.io.images import check_shape
from gans.data.source import DataInfo, Source
from gans.errors import UserError


@dataclasses.dataclass(frozen=True)
class Unpaired:
    """Training images of the domains A and B, and fixed ones to watch the training on.

    Attributes:
      a, b: the training images, their `augment` being the random crop and flip.
      names: what the domains show: "Monet", "photo".
      test: under "a" and "b" uint8 `[n, image_size, image_size, C]`, not augmented.
      shown: the domains, "a" or "b", whose test images are the centres of training images.
    """

    a: Source
    b: Source
    names: tuple[str, str]
    test: Mapping[str, np.ndarray]
    shown: tuple[str, ...] = ()

    @property
    def domains(self) -> Mapping[str, Source]:
        """The training images under the names they have in a batch."""
        return {"a": self.a, "b": self.b}

    def info(self, labels: bool) -> DataInfo:
        """What outlives the images in the run folder.

        Raises:
          UserError: `labels` are asked for.
        """
        if labels:
            raise UserError("Unpaired images have no labels: set data.labels to False.")
        sizes = len(self.a), len(self.b)
        return DataInfo(max(sizes), self.a.image_shape, domains=self.names, domain_sizes=sizes)


def check_sizes(*, image_size: int, load_size: int, channels: int, test_images: int) -> None:
    """Raises UserError if one is out of range, before anything is loaded; see the module."""
    check_shape(image_size, channels)
    if load_size < image_size:
        raise UserError(
            f"load_size is {load_size}, smaller than the crops of {image_size}: raise it to at "
            "least image_size."
        )
    if test_images < 1:
        raise UserError(f"test_images is {test_images}: give at least 1.")


def source(
    a: np.ndarray | Sequence[np.ndarray],
    b: np.ndarray | Sequence[np.ndarray],
    *,
    image_size: int,
    flip: bool = True,
    names: tuple[str, str] = ("A", "B"),
    test_a: np.ndarray | None = None,
    test_b: np.ndarray | None = None,
    test_images: int = 4,
) -> Unpaired:
    """Two domains of images that the caller already holds.

    Args:
      a: uint8 `[N, H, W, C]` in [0, 255], C being 1 or 3, H and W at least `image_size`; or
        a sequence of length N that gives such images and that threads may read at once.
      b: of the other domain; another N, the same C.
      image_size: side of the random crop that training sees.
      flip: whether half of the crops are mirrored.
      names: of the domains.
      test_a: uint8 `[n, image_size, image_size, C]` to show progress on; by default the
        centres of the first training images.
      test_b: of the other domain.
      test_images: how many of them.

    Raises:
      UserError: a shape or dtype is not as above.
    """
    domains, test = {}, {}
    for key, images, shown in (("a", a, test_a), ("b", b, test_b)):
        domains[key] = _domain(key, images, image_size, flip)
        if shown is None:
            shown = centres(images, image_size, test_images)
        else:
            shown = arrays.source(shown).images
        if shown.shape[1:] != domains[key].image_shape:
            raise UserError(
                f"The test images of domain {key} have shape {shown.shape}, "
                f"not [n, {', '.join(map(str, domains[key].image_shape))}]."
            )
        test[key] = shown
    shapes = {key: domain.image_shape for key, domain in domains.items()}
    if shapes["a"] != shapes["b"]:
        raise UserError(f"The domains differ in channels: {shapes['a']} and {shapes['b']}.")
    trained = tuple(key for key, given in (("a", test_a), ("b", test_b)) if given is None)
    return Unpaired(domains["a"], domains["b"], names, test, trained)


def _domain(key: str, images, image_size: int, flip: bool) -> Source:
    if isinstance(images, np.ndarray):
        images = arrays.source(images).images
    elif not len(images):
        raise UserError(f"Domain {key} has no images.")
    height, width, channels = images[0].shape
    if min(height, width) < image_size:
        raise UserError(
            f"The images of domain {key} have {height}x{width} pixels, fewer than the crops of "
            f"{image_size}: load them larger, or lower image_size."
        )
    return Source(
        images,
        None,
        (),
        (image_size, image_size, channels),
        functools.partial(crop_and_flip, size=image_size, flip=flip),
    )


def centres(images: Sequence[np.ndarray], size: int, count: int = 4) -> np.ndarray:
    """The centres of the first `count` images, uint8 `[count, size, size, C]`."""
    shown = np.stack([images[i] for i in range(min(count, len(images)))])
    top, left = ((extent - size) // 2 for extent in shown.shape[1:3])
    return shown[:, top : top + size, left : left + size]


def crop_and_flip(image: jax.Array, key: jax.Array, *, size: int, flip: bool) -> jax.Array:
    """A square of `size` at a random place of `image` `[H, W, C]`, half of them mirrored."""
    place_key, flip_key = jax.random.split(key)
    height, width, channels = image.shape
    room = jnp.array([height - size, width - size])
    top, left = jax.random.randint(place_key, (2,), 0, room + 1)
    crop = jax.lax.dynamic_slice(image, (top, left, 0), (size, size, channels))
    return flips.mirrored(crop, flip_key) if flip else crop
