"""The same images translated again and again while training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gans.core.pixels import to_float, to_uint8
from gans.core.state import NetState
from gans.core.types import Game, Latent, Nets
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.inference.grids import grid
from gans.inference.previews import SIDE, Made

_CELL = 128  # pixels on screen, to see brush strokes
_MOST = 16  # rows


class Translations:
    """Images of each domain: as they are, translated, translated back, and the identity.

    The last two are left out where nothing translates back.

    Args:
      info: of the data.
      game: whose translations are shown.
      test: of each domain uint8 `[n, H, W, C]`; as many rows are shown as all have, 16 at most.
    """

    next_command = (
        "experiments.translate --workdir={workdir} --direction=b_to_a --out=translated FILES"
    )

    def __init__(self, *, info: DataInfo, game: Game, test: Mapping[str, np.ndarray]):
        if isinstance(game.makes, Latent):
            raise UserError("preview.name is cycle.Translations, but this game translates nothing.")
        rows = min(_MOST, *(len(images) for images in test.values()))
        self._images = {domain: jnp.asarray(images[:rows]) for domain, images in test.items()}
        self._names = list(game.makes)
        self._ways = [(way, game.back(way)) for way in game.makes.values()]
        names = dict(zip(test, info.domains, strict=True))
        self._labels = [
            label
            for way, back in self._ways
            for label in _labels(names[way.source], names[way.target], back is not None)
        ]

    def __call__(self, nets: Nets) -> jax.Array:
        """uint8 `[rows * columns, H, W, C]` on the device."""
        columns = [
            column
            for way, back in self._ways
            for column in _translate(
                nets[way.net], nets[back.net] if back else None, self._images[way.source]
            )
        ]
        images = jnp.stack(columns, axis=1)
        return images.reshape(-1, *images.shape[2:])

    def made(self, images: np.ndarray) -> list[Made]:
        """The translations of every way, beside what they were made of."""
        table = images.reshape(-1, len(self._labels), *images.shape[1:])
        found, column = [], 0
        for name, (way, back) in zip(self._names, self._ways, strict=True):
            sources, translated = table[:, column], table[:, column + 1]
            found.append(Made(way.target, translated, way=name, sources=sources))
            column += 4 if back else 2
        return found

    def picture(self, images: np.ndarray, title: str) -> Image.Image:
        """A row for each test image of each domain, the columns of every way beside each other."""
        columns = len(self._labels)
        return grid(images, columns, title=title, labels=self._labels, cell=_CELL, side=SIDE)


def _labels(name: str, other: str, is_cycle: bool) -> tuple[str, ...]:
    return (name, f"as {other}", *(("and back", "identity") if is_cycle else ()))


@jax.jit
def _translate(there: NetState, back: NetState | None, images: jax.Array) -> tuple[jax.Array, ...]:
    """uint8 images, translated, translated back, and what the other generator leaves of them."""
    real = to_float(images)
    translated, _ = there.averaged()(real, train=False)
    shown = images, to_uint8(translated)
    if back is None:
        return shown
    back = back.averaged()
    cycled, _ = back(translated, train=False)
    same, _ = back(real, train=False)
    return *shown, to_uint8(cycled), to_uint8(same)
