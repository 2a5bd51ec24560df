"""Whether a translation keeps light and dark: CycleGAN may learn to exchange them.

Nothing in its losses forbids a pair of generators that both invert brightness: the cycle is closed,
and a discriminator that looks at texture is content.
"""

from __future__ import annotations

import numpy as np

# Of red, green and blue, in thousandths: ITU-R BT.601, as of Pillow's mode L.
_LUMA = np.array([299, 587, 114])


def correlation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Pearson's correlation over pixels of the luminances of images and their translations.

    Luminance is `0.299 R + 0.587 G + 0.114 B`, or the one channel there is.

    Args:
      before: uint8 `[N, H, W, C]`, C 1 or 3.
      after: uint8 `[N, H, W, C]`; its C may differ.

    Returns:
      float64 `[N]`, from -1 to 1; 0 where either is of one luminance all over.

    Raises:
      ValueError: the images are of other shapes or not uint8.
    """
    x, y = _luminance(before), _luminance(after)
    if x.shape != y.shape:
        raise ValueError(f"Images {np.shape(before)} and {np.shape(after)} do not match.")
    pixels = (1, 2)
    is_varied = (np.ptp(x, pixels) > 0) & (np.ptp(y, pixels) > 0)
    x, y = (z - np.mean(z, pixels, keepdims=True) for z in (x, y))
    spread = np.sqrt(np.sum(x * x, pixels) * np.sum(y * y, pixels))
    found = np.divide(np.sum(x * y, pixels), spread, out=np.zeros(len(x)), where=is_varied)
    return np.clip(found, -1.0, 1.0)


def inverted(before: np.ndarray, after: np.ndarray) -> float:
    """The share of images whose `correlation` is negative: light became dark and dark light.

    Raises:
      ValueError: there are no images, or they are not what `correlation` wants.
    """
    found = correlation(before, after)
    if not len(found):
        raise ValueError("There are no images.")
    return float(np.mean(found < 0))


def _luminance(images: np.ndarray) -> np.ndarray:
    """Integers `[N, H, W]`, in which equal colours are equal."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            "Images must be uint8 [images, height, width, 1 or 3], "
            f"not {images.dtype} {images.shape}."
        )
    weights = _LUMA if images.shape[3] == 3 else _LUMA[:1]
    return images @ weights
