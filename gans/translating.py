"""Pictures of one domain turned into pictures of the other: photographs into paintings.

import gans
translator = gans.load_translator("runs/monet", direction="b_to_a")
painted = translator.translate(PIL.Image.open("photo.jpg"))

A picture of any size keeps it. One that is larger than a tile is translated in overlapping
tiles, blended where they meet, so that memory holds one tile's feature maps, one row of
tiles as float32, and the picture itself.

*Normalisation.* Instance normalisation makes every output pixel depend on the mean and
variance of each feature map over the whole image. A tile that used its own would be of
another contrast than its neighbour: a blue sky alone is stretched until its noise is as
strong as the houses below. So all tiles are given the moments of the whole image, which no
tile knows, and which therefore are estimated before anything is painted: the tiles are sent
through the network, the moments of each norm's input noted in every tile, and pooled. In
the first pass each tile is still normalised by its own moments, so only the first norm's are
right; given them, the second's become right in the next pass, and so on. It need not go on
for as many passes as there are norms: see `_PASSES`.

*Networks that see the whole image.* A U-Net halves its training images to a single pixel:
its innermost units know the whole image and touch its borders, and of larger images they
would make what they never met in training. Its tiles have the size of training images and
overlap by half. A ResNet works on neighbourhoods, at a quarter of the size at least, and
takes larger tiles. What tells one from the other is how many pixels wide the innermost
feature map was in training.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gans import build, runs, tiles
from gans.data import images
from gans.errors import UserError
from gans.models import layers
from gans.sampling import restore
from gans.state import NetState

DIRECTIONS = {"a_to_b": "generator_ab", "b_to_a": "generator_ba"}
"""The generator of each direction."""

_TILE = 512  # pixels of a local network's tiles
_OVERLAP = 64  # what neighbours share of them
_WHOLE = 4  # a network whose innermost map is at most this wide in training sees whole images
_LEAST = 8  # the least width of the innermost map of any other
_PASSES = 3
_SAMPLE = 24  # the most tiles that a pass goes through


class Translator:
    """A generator that is ready to translate pictures.

    Attributes:
      net: the generator.
      channels: of its images: 1 for grey, 3 for RGB.
      multiple: what its images' height and width must be multiples of.
      step: iterations it was trained for.
      tile: height and width of the largest image it is given at once.
      overlap: the least that neighbouring tiles share.
    """

    def __init__(
        self, net: NetState, *, channels: int, multiple: int, image_size: int, step: int = 0
    ):
        """`image_size` is the side of the images it was trained on."""
        # What training alone needs would take three times the memory of the parameters.
        net = net.averaged()
        self.net = net.replace(opt_state=(), ema_params=None, ema_model_state=None)
        self.channels, self.multiple, self.step = channels, multiple, step
        if image_size <= _WHOLE * multiple:
            self.tile, self.overlap = image_size, image_size // 2
            self._unit, self._least = 1, image_size
        else:
            self.tile, self.overlap = max(_TILE, image_size), _OVERLAP
            self._unit, self._least = multiple, _LEAST * multiple

    def translate(
        self,
        picture: Image.Image | np.ndarray,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> np.ndarray:
        """The picture in the other domain, uint8 `[H, W, C]`, at its own size.

        Args:
          picture: of any mode and size, transparency showing white, turned the way its EXIF
            orientation says; or uint8 `[H, W]` or `[H, W, C]`, C being 1, 3 or 4.
          progress: called with how many tiles are done, and of how many.

        Raises:
          UserError: it is no such picture.
        """
        pixels = _pixels(picture, self.channels)
        cut = functools.partial(
            tiles.cut, tile=self.tile, overlap=self.overlap, unit=self._unit, least=self._least
        )
        rows, columns = cut(pixels.shape[0]), cut(pixels.shape[1])
        places = list(itertools.product(range(len(rows.starts)), range(len(columns.starts))))
        sample = _spread(rows, columns) if len(places) > 1 else []
        total = _PASSES * len(sample) + len(places)
        count = itertools.count(1)

        def run(i: int, j: int, moments: layers.Moments):
            tile = pixels[np.ix_(rows.pixels(i), columns.pixels(j))]
            weight = np.outer(rows.weights[i], columns.weights[j]).astype(np.float32)
            painted, seen = _paint(self.net, tile, weight, moments)
            painted, seen = np.asarray(painted), jax.device_get(seen)
            progress(next(count), total)
            return painted, seen, weight.sum()

        moments = {}
        for _ in range(_PASSES if sample else 0):
            moments = _pooled([run(i, j, moments)[1:] for i, j in sample])
        return tiles.blend(rows, columns, self.channels, lambda i, j: run(i, j, moments)[0])


@jax.jit
def _paint(
    net: NetState, pixels: jax.Array, weight: jax.Array, moments: layers.Moments
) -> tuple[jax.Array, layers.Moments]:
    """One tile uint8 `[H, W, C]` as float32 `[H, W, C]` in [-1, 1], and its own moments."""
    image = pixels.astype(jnp.float32)[None] / 127.5 - 1.0
    with layers.shared_moments(moments, weight) as seen:
        painted, _ = net(image, train=False)
    return painted[0], seen


def _pooled(parts: list[tuple[layers.Moments, float]]) -> layers.Moments:
    """The moments of all parts together, of the moments and the weight of each."""
    weights = np.array([weight for _, weight in parts], np.float64)
    weights = (weights / weights.sum())[:, None, None, None, None]
    pooled = {}
    for path in parts[0][0]:
        means = np.stack([moments[path][0] for moments, _ in parts]).astype(np.float64)
        variances = np.stack([moments[path][1] for moments, _ in parts]).astype(np.float64)
        mean = np.sum(weights * means, 0)
        variance = np.sum(weights * (variances + np.square(means - mean)), 0)
        pooled[path] = mean.astype(np.float32), variance.astype(np.float32)
    return pooled


def _spread(rows: tiles.Cut, columns: tiles.Cut) -> list[tuple[int, int]]:
    """Places of at most `_SAMPLE` tiles, or so, in even rows and columns all over the image."""
    counts = len(rows.starts), len(columns.starts)
    share = min(1.0, (_SAMPLE / (counts[0] * counts[1])) ** 0.5)

    def some(count: int) -> list[int]:
        kept = max(1, round(share * count))
        return [(2 * i + 1) * count // (2 * kept) for i in range(kept)]

    return list(itertools.product(some(counts[0]), some(counts[1])))


def _pixels(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """uint8 `[H, W, channels]` of a picture of any kind."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in (
            (), (1,), (3,), (4,)
        ):  # fmt: skip
            raise UserError(
                f"A picture has uint8 [H, W, C] with 1, 3 or 4 channels, not {picture.dtype} "
                f"of shape {picture.shape}."
            )
        if picture.shape[2:] == (channels,) and picture.size:
            return picture
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    try:
        pixels = np.asarray(images.upright(picture, channels))
    except (OSError, ValueError) as error:
        raise UserError(f"The picture cannot be read: {error}.") from error
    return pixels[..., None] if channels == 1 else pixels


def load(workdir: str | Path, *, direction: str = "b_to_a", step: int | None = None) -> Translator:
    """A translator by a generator in a run folder, which may still be training.

    Args:
      workdir: the folder given to training.
      direction: "a_to_b" or "b_to_a".
      step: of the checkpoint; the newest if None.

    Raises:
      UserError: there is no such direction, no run that translates, or no such checkpoint.
    """
    if direction not in DIRECTIONS:
        raise UserError(f"direction is {direction!r}: give one of {', '.join(DIRECTIONS)}.")
    workdir, name = Path(workdir), DIRECTIONS[direction]
    config = runs.read_config(workdir)
    if name not in config.nets:
        raise UserError(
            f"The run in {workdir} trains {config.game.name}, which translates no images: use "
            "gans.load, or experiments.sample."
        )
    info, restored = restore(workdir, config, step)
    return Translator(
        restored.state.nets[name],
        channels=info.image_shape[-1],
        multiple=build.nets(config)[name].multiple,
        image_size=info.image_shape[0],
        step=restored.step,
    )
