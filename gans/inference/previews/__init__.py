"""What a run shows of itself while it trains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIDE = 3000
"""Pixels that the images of a picture take up in width and in height, at most."""


class Made(NamedTuple):
    """What one generator made for a preview.

    Attributes:
      domain: of the images, by its name in a batch.
      images: uint8 `[N, H, W, C]`.
      kinds: int `[N]`, the class that the generator was told for each; None without classes.
      way: the direction of a translation, as in "a_to_b"; "" of images made of noise.
      sources: the images that were translated, uint8 `[N, H, W, C]`; None of images made of noise.
    """

    domain: str
    images: np.ndarray
    kinds: np.ndarray | None = None
    way: str = ""
    sources: np.ndarray | None = None
