"""What every data set looks like to the rest of the code: images, labels, class names."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gans.core.types import Batch
from gans.errors import UserError

Augment = Callable[[jax.Array, jax.Array], jax.Array]
"""`(image uint8 [H, W, C], key) -> image uint8`: a random change, made on the device."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set in a fixed order.

    Attributes:
      images: uint8 `[N, H, W, C]` array when the data set is held in memory,
        otherwise a sequence of length N whose items are uint8 `[H, W, C]`.
        Items may be read from several threads at once.
      labels: int32 `[N]` in `[0, len(classes))`, or None when there are none.
      classes: the names of the classes in label order, empty without labels.
      image_shape: `(H, W, C)`, after `augment`.
      augment: applied to every image of a batch, or None.
    """

    images: Sequence[np.ndarray] | np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    augment: Augment | None = None

    def digests(self, places: Iterable[int] | None = None) -> set[bytes]:
        """What tells the images at some places, or all of them, from others: their SHA-256."""
        places = range(len(self)) if places is None else places
        return {hashlib.sha256(self.images[i].tobytes()).digest() for i in places}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def domains(self) -> Mapping[str, Source]:
        """Itself, under the name its images have in a batch."""
        return {"image": self}

    @property
    def test(self) -> Mapping[str, np.ndarray]:
        """Images to watch the training on: none, since here networks make theirs of noise."""
        return {}

    def info(self, labels: bool) -> DataInfo:
        """What outlives the images in the run folder; no classes unless `labels` are used.

        Raises:
          UserError: there are no labels to use.
        """
        if labels and self.labels is None:
            raise UserError(
                "data.labels asks for labels, but the images have none: sort them into one "
                "sub-folder a class, or set data.labels to False."
            )
        return DataInfo(len(self), self.image_shape, self.classes if labels else ())


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """What the networks, and those who sample from them, must know of the data.

    Attributes:
      size: number of images in an epoch.
      image_shape: `(H, W, C)`.
      classes: names of the classes that the networks are conditioned on, or empty.
      domains: names of the two domains of unpaired images, or empty.
      domain_sizes: numbers of their images, or empty.
    """

    size: int
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    domain_sizes: tuple[int, ...] = ()

    def batch(self) -> Batch:
        """A batch of one black image, to create networks with."""
        image = jnp.zeros((1, *self.image_shape))
        if self.domains:
            return {"a": image, "b": image}
        return {"image": image} | (
            {"label": jnp.zeros((1, len(self.classes)))} if self.classes else {}
        )
