"""The same latent vectors rendered again and again while training goes on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gans.data.source import DataInfo
from gans.pictures import grid
from gans.sampling import latents, render
from gans.types import Nets


class Grid:
    """A grid of samples.

    Args:
      info: of the data; with classes, each column of the grid is a class.
      latent_dim: of the generator.
      rows: of the grid.
      columns: of the grid, where there are no classes.
    """

    next_command = "experiments.sample --workdir={workdir} --num=64 --out=samples.png"

    def __init__(self, *, info: DataInfo, latent_dim: int, rows: int, columns: int):
        self.classes, self.columns = info.classes, len(info.classes) or columns
        count = rows * self.columns
        self.latent = latents(0, 0, count, latent_dim)
        numbers = jnp.arange(count) % self.columns
        self.label = jax.nn.one_hot(numbers, self.columns) if info.classes else None

    def __call__(self, nets: Nets) -> jax.Array:
        """uint8 `[rows * columns, H, W, C]` on the device."""
        return render(nets["generator"], self.latent, self.label)

    def picture(self, images: np.ndarray, title: str) -> Image.Image:
        """The grid, with the names of the classes above its columns."""
        return grid(images, self.columns, title=title, labels=self.classes)
