"""A source made of arrays that the caller already holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gans.data.source import Source
from gans.errors import UserError


def source(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Checks arrays and wraps them as a `Source`, without copying the images.

    Args:
      images: uint8 `[N, H, W, C]` in [0, 255], C being 1 or 3.
      labels: integer `[N]` in `[0, len(classes))`, or None.
      classes: the names of the classes in label order; by default the labels'
        own numbers, "0" to the largest label.

    Returns:
      The source, in the order of the arrays.

    Raises:
      UserError: if a shape, dtype or range is not as above.
    """
    images = np.asarray(images)
    _check_images(images)
    if labels is None:
        if classes is not None:
            raise UserError("classes are given without labels: give both or neither.")
        return Source(images, None, (), images.shape[1:])
    labels = np.asarray(labels)
    _check_labels(labels, len(images))
    if classes is None:
        classes = [str(label) for label in range(labels.max() + 1)]
    if labels.max() >= len(classes):
        raise UserError(
            f"labels go up to {labels.max()} but there are {len(classes)} class names: "
            "every label must be smaller than their number."
        )
    return Source(images, labels.astype(np.int32), tuple(classes), images.shape[1:])


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(
            f"images have shape {images.shape}: give [N, H, W, C] with 1 or 3 channels last."
        )
    if 0 in images.shape:
        raise UserError(f"images have shape {images.shape}: give at least one image.")
    if np.issubdtype(images.dtype, np.floating):
        raise UserError(
            f"images are {images.dtype} but must be uint8 in [0, 255]: convert them with "
            "np.round(images * 255).astype(np.uint8) from [0, 1], or with "
            "np.round((images + 1) * 127.5).astype(np.uint8) from [-1, 1]."
        )
    if images.dtype != np.uint8:
        raise UserError(f"images are {images.dtype}: give uint8 in [0, 255].")


def _check_labels(labels: np.ndarray, count: int) -> None:
    if labels.shape != (count,):
        raise UserError(
            f"labels have shape {labels.shape} for {count} images: give one label an image, "
            f"that is shape ({count},)."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels are {labels.dtype}: give integers.")
    if labels.min() < 0:
        raise UserError(f"labels go down to {labels.min()}: number the classes from 0.")
