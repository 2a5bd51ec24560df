"""The handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gans.data import flips
from gans.data.io import images, splits
from gans.data.source import Source

_TRAIN = 1500
_CLASSES = tuple(str(digit) for digit in range(10))


def load(*, split: str, image_size: int, channels: int, flip: bool = False) -> Source:
    """Loads 8x8 digits of 0..9, scaled up with a bicubic filter.

    The test set of the UCI "Optical Recognition of Handwritten Digits" data,
    1,797 images: the first 1,500 are `train` and the other 297 `test`.
    https://archive.ics.uci.edu/dataset/80

    Args:
      split: a split expression over `train` and `test`.
      image_size: side of the images in pixels.
      channels: 1, or 3 for three equal channels.
      flip: whether training sees half of the images mirrored, drawn anew each time.

    Returns:
      The source: uint8 `[N, image_size, image_size, channels]` in [0, 255],
      strokes light on black, labelled "0" to "9".

    Raises:
      UserError: if an argument is out of range or the split cannot be resolved.
    """
    from sklearn import datasets  # Takes a second to import.

    images.check_shape(image_size, channels)
    digits = datasets.load_digits()
    sizes = {"train": _TRAIN, "test": len(digits.target) - _TRAIN}
    first = {"train": 0, "test": _TRAIN}
    index = np.concatenate(
        [
            first[name] + np.arange(part.start, part.stop)
            for name, part in splits.resolve(split, sizes)
        ]
    )
    # The grey levels are 0..16.
    pixels = np.round(digits.images[index] * (255 / 16)).astype(np.uint8)
    pixels = images.resize_all(
        pixels[..., None],
        image_size=image_size,
        channels=channels,
        resample=Image.Resampling.BICUBIC,
    )
    labels = digits.target[index].astype(np.int32)
    return Source(pixels, labels, _CLASSES, pixels.shape[1:], flips.augment(flip))
