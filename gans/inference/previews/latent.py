"""The same latent vectors rendered again and again while training goes on."""

from __future__ import annotations

import jax
import numpy as np
from PIL import Image

from gans.core.types import Game, Latent, Nets
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.inference.grids import grid
from gans.inference.previews import SIDE, Made
from gans.inference.sampling import latents, render

_MOST = 40  # rows, and columns


class Grid:
    """A grid of samples, of at most 40 rows and columns.

    Args:
      info: of the data; with classes, each column of the grid is a class. Of more than there may be
        columns, the first, the last and evenly spread ones between them are shown.
      game: whose generator makes images of latent vectors.
      rows: of the grid.
      columns: of the grid, where there are no classes.
    """

    next_command = "experiments.sample --workdir={workdir} --num=64 --out=samples.png"

    def __init__(self, *, info: DataInfo, game: Game, rows: int, columns: int):
        if not isinstance(game.makes, Latent):
            raise UserError("preview.name is latent.Grid, but this game makes no images of noise.")
        known, self._net = len(info.classes), game.makes.net
        self.columns, rows = min(known or columns, _MOST), min(rows, _MOST)
        count = rows * self.columns
        self.latent = latents(0, 0, count, game.makes.dim)
        self.classes, self.label, self._kinds = (), None, None
        if known:
            shown = np.linspace(0, known - 1, self.columns).round().astype(int)
            self.classes = tuple(info.classes[number] for number in shown)
            self._kinds = np.tile(shown, rows)
            self.label = jax.nn.one_hot(self._kinds, known)

    def __call__(self, nets: Nets) -> jax.Array:
        """uint8 `[rows * columns, H, W, C]` on the device."""
        return render(nets[self._net], self.latent, self.label)

    def made(self, images: np.ndarray) -> list[Made]:
        """All images, as those of one generator."""
        return [Made("image", images, self._kinds)]

    def picture(self, images: np.ndarray, title: str) -> Image.Image:
        """The grid, with the names of the classes above its columns."""
        return grid(images, self.columns, title=title, labels=self.classes, side=SIDE)
