"""The same images translated again and again while training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gans.core.pixels import to_float, to_uint8
from gans.core.state import NetState
from gans.core.types import Nets
from gans.data.source import DataInfo
from gans.inference.grids import grid
from gans.inference.previews import SIDE

_CELL = 128  # pixels on screen, to see brush strokes
_MOST = 16  # rows


class Translations:
    """Images of both domains: as they are, translated, translated back, and the identity.

    Args:
      info: of the data.
      test: under "a" and "b" uint8 `[n, H, W, C]`; as many rows are shown as both have, 16 at
        most.
    """

    next_command = (
        "experiments.translate --workdir={workdir} --direction=b_to_a --out=translated FILES"
    )

    def __init__(self, *, info: DataInfo, test: Mapping[str, np.ndarray]):
        rows = min(_MOST, *(len(images) for images in test.values()))
        self._images = {domain: jnp.asarray(images[:rows]) for domain, images in test.items()}
        self._labels = [
            label for way in (info.domains, info.domains[::-1]) for label in _labels(*way)
        ]

    def __call__(self, nets: Nets) -> jax.Array:
        """uint8 `[rows * 8, H, W, C]` on the device."""
        ab, ba = nets["generator_ab"], nets["generator_ba"]
        columns = [*_translate(ab, ba, self._images["a"]), *_translate(ba, ab, self._images["b"])]
        images = jnp.stack(columns, axis=1)
        return images.reshape(-1, *images.shape[2:])

    def picture(self, images: np.ndarray, title: str) -> Image.Image:
        """A row for each test image of A and of B, four columns for each domain."""
        columns = len(self._labels)
        return grid(images, columns, title=title, labels=self._labels, cell=_CELL, side=SIDE)


def _labels(name: str, other: str) -> tuple[str, ...]:
    return name, f"as {other}", "and back", "identity"


@jax.jit
def _translate(there: NetState, back: NetState, images: jax.Array) -> tuple[jax.Array, ...]:
    """uint8 images, translated, translated back, and what the other generator leaves of them."""
    there, back = there.averaged(), back.averaged()
    real = to_float(images)
    translated, _ = there(real, train=False)
    cycled, _ = back(translated, train=False)
    same, _ = back(real, train=False)
    return images, to_uint8(translated), to_uint8(cycled), to_uint8(same)
