"""Images made of noise, of the shapes that a config is for: no data set is needed to be timed."""

from __future__ import annotations

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from gans.data import arrays, flips, unpaired
from gans.data.source import Source
from gans.data.unpaired import Unpaired

_IMAGES = 2048
_OF_A_DOMAIN = 64
_CLASSES = 10


def source(config: ConfigDict) -> Source | Unpaired:
    """A data set as the config's, of one domain or of two."""
    rng = np.random.default_rng(config.seed)
    data = config.data

    def noise(count: int, size: int) -> np.ndarray:
        # Blots of four sizes, so that the images differ as photographs do and not in every pixel.
        shape = (count, size, size, data.channels)
        images = np.zeros(shape, np.float32)
        for cells in (1, 2, 4, 8):
            side = -(-size // cells)
            coarse = rng.normal(size=(count, cells, cells, data.channels)).astype(np.float32)
            images += coarse.repeat(side, 1).repeat(side, 2)[:, :size, :size]
        return np.clip(127.5 + 40.0 * images, 0, 255).astype(np.uint8)

    if "load_size" in data:
        a, b = (noise(_OF_A_DOMAIN, data.load_size) for _ in "ab")
        return unpaired.source(a, b, image_size=data.image_size, flip=data.flip)
    labels = rng.integers(_CLASSES, size=_IMAGES) if data.labels else None
    classes = [str(i) for i in range(_CLASSES)] if data.labels else None
    made = arrays.source(noise(_IMAGES, data.image_size), labels, classes)
    return dataclasses.replace(made, augment=flips.augment(data.flip))


def photograph(height: int, width: int, channels: int) -> np.ndarray:
    """A picture uint8 `[height, width, channels]` with waves of all lengths in it."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = sum(
        np.sin(2 * np.pi * (2.0**i * (x * (i + 1) + y) + 0.3 * i)) / (i + 1) for i in range(8)
    )
    grey = 127.5 + 50.0 * waves
    shades = [np.roll(grey, 7 * c, axis=1) for c in range(channels)]
    return np.clip(np.stack(shades, -1), 0, 255).astype(np.uint8)
