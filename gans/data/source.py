"""What every data set looks like to the rest of the code: images, labels, class names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from gans.errors import UserError


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set in a fixed order.

    Attributes:
      images: uint8 `[N, H, W, C]` array when the data set is held in memory,
        otherwise a sequence of length N whose items are uint8 `[H, W, C]`.
        Items may be read from several threads at once.
      labels: int32 `[N]` in `[0, len(classes))`, or None when there are none.
      classes: the names of the classes in label order, empty without labels.
      image_shape: `(H, W, C)`.
    """

    images: Sequence[np.ndarray] | np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.images)

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
      size: number of images.
      image_shape: `(H, W, C)`.
      classes: names of the classes that the networks are conditioned on, or empty.
    """

    size: int
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
