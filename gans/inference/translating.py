"""Pictures of one domain turned into pictures of the other: photographs into paintings.

import gans
translator = gans.load_translator("runs/monet", direction="b_to_a")
painted = translator.translate(PIL.Image.open("photo.jpg"))

A picture of any size keeps it. One of up to two megapixels is given to the network whole: as it
is, if its sides are multiples of what the network halves and it is no smaller than the images of
training, or than 8 pixels at the network's innermost map; otherwise mirrored up to that. A larger
one is translated in overlapping tiles, blended where they meet, so that memory holds
the feature maps of a megapixel, one row of tiles as float32, and the picture itself twice: for
50 megapixels 0.4 GB, and the maps, 0.3 GB each in the paper's ResNet.

*Normalisation.* Tiles that were normalised each by itself would differ in contrast, so all
are normalised by the moments of the whole picture: see `gans.inference.norm_statistics`.

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
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gans.config import build
from gans.core.pixels import to_float
from gans.core.state import NetState
from gans.core.types import Latent
from gans.data.io import images
from gans.errors import UserError
from gans.files import paths
from gans.inference import tiles
from gans.inference.norm_statistics import Estimate, Moments, shared_moments
from gans.runs import run_folder

_AT_ONCE = 2**21  # pixels of a picture that a local network is given as it is
_TILE = 512  # pixels of a local network's tiles
_OVERLAP = 64  # what neighbours share of them
_WHOLE = 2  # a network whose innermost map is at most this wide in training sees whole images
_LEAST = 8  # the least width of the innermost map of any other, unless training had less
_PATCH = 256  # pixels of the patches that a local network's moments are pooled from


class Translator:
    """A generator that is ready to translate pictures.

    Attributes:
      net: the generator.
      channels: of its images: 1 for grey, 3 for RGB.
      multiple: what its images' height and width must be multiples of.
      step: iterations it was trained for.
      whole: whether it sees all of an image at once, and wants none but those of its training.
      at_once: pixels up to which a picture is not cut into tiles, whatever its shape.
      tile: height and width of the tiles of a larger one.
      patch: height and width of the parts that its norms' moments are pooled from.
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
        self.whole = image_size <= _WHOLE * multiple
        if self.whole:
            self.tile, self.patch, self.overlap = image_size, image_size, image_size // 2
            self.at_once, self._unit, self._least = 0, 1, image_size
        else:
            self.tile, self.patch, self.overlap = max(_TILE, image_size), _PATCH, _OVERLAP
            self.at_once, self._unit = _AT_ONCE, multiple
            self._least = min(_LEAST * multiple, image_size)

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
          progress: called with how many steps are done, and of how many; a tile is one.

        Raises:
          UserError: it is no such picture.
        """
        pixels = _pixels(picture, self.channels)
        rows, columns = self._cuts(pixels, self._side(*pixels.shape[:2]))
        tile_count = len(rows.starts) * len(columns.starts)
        estimate = Estimate(self.net, pixels, *self._cuts(pixels, self.patch))
        total = tile_count + (estimate.steps if tile_count > 1 else 0)
        done = itertools.count(1)

        def report() -> None:
            progress(next(done), total)

        moments = estimate.run(report) if tile_count > 1 else {}

        def tile_at(i: int, j: int) -> np.ndarray:
            tile = pixels[np.ix_(rows.pixels(i), columns.pixels(j))]
            painted = np.asarray(_paint(self.net, tile, moments))
            report()
            return painted

        return tiles.blend(rows, columns, self.channels, tile_at)

    def _side(self, height: int, width: int) -> int:
        """Of the tiles of a picture: so long that it is a single one, where that is allowed."""
        if max(height, self._least) * max(width, self._least) > self.at_once:
            return self.tile
        return max(self.tile, math.ceil(max(height, width) / self._unit) * self._unit)

    def _cuts(self, pixels: np.ndarray, tile: int) -> tuple[tiles.Cut, tiles.Cut]:
        """How rows and columns are cut into tiles of this size."""
        cut = functools.partial(
            tiles.cut, tile=tile, overlap=self.overlap, unit=self._unit, least=self._least
        )
        return cut(pixels.shape[0]), cut(pixels.shape[1])


@jax.jit
def _paint(net: NetState, pixels: jax.Array, moments: Moments) -> jax.Array:
    """A tile uint8 `[H, W, C]` as float32 in [-1, 1]. Without `moments`, by its own."""
    weight = jnp.ones((1, *pixels.shape[:2]))
    with shared_moments(lambda path, own: moments.get(path), weight):
        painted, _ = net(to_float(pixels)[None], train=False)
    return painted[0]


def _pixels(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """uint8 `[H, W, channels]` of a picture of any kind."""
    if isinstance(picture, np.ndarray):
        shape = picture.shape
        is_picture = len(shape) in (2, 3) and picture.size and shape[2:] in ((), (1,), (3,), (4,))
        if picture.dtype != np.uint8 or not is_picture:
            raise UserError(
                "A picture has uint8 [H, W, C] with 1, 3 or 4 channels and a pixel at least, not "
                f"{picture.dtype} {list(shape)}."
            )
        if shape[2:] == (channels,):
            return picture
        picture = Image.fromarray(picture[..., 0] if shape[2:] == (1,) else picture)
    if not (picture.width and picture.height):
        raise UserError(f"The picture has no pixel: it is {picture.width} x {picture.height}.")
    try:
        pixels = np.asarray(images.upright(picture, channels))
    except Exception as error:  # Pillow raises errors of many types for bad files.
        raise UserError(f"The picture cannot be read: {error}.") from error
    return pixels[..., None] if channels == 1 else pixels


def load(
    workdir: str | Path, *, direction: str = "b_to_a", step: run_folder.Step = None
) -> Translator:
    """A translator by a generator in a run folder, which may still be training.

    Args:
      workdir: the folder given to training.
      direction: as the game calls it: "a_to_b" or "b_to_a" of a CycleGAN.
      step: of the checkpoint; the newest if None.

    Raises:
      UserError: there is no run that translates, no such direction, or no such checkpoint.
    """
    workdir = paths.expanded(workdir)
    made = run_folder.experiment(workdir)
    ways = made.game.makes
    if isinstance(ways, Latent):
        raise UserError(
            f"The run in {workdir} trains {made.config.game.name}, which translates no images: use "
            "gans.load, or experiments.sample."
        )
    if direction not in ways:
        raise UserError(f"direction is {direction!r}: give one of {', '.join(ways)}.")
    name = ways[direction].net
    info = run_folder.read_info(workdir)
    restored = run_folder.restore(workdir, made, info, step)
    return Translator(
        restored.state.nets[name],
        channels=info.image_shape[-1],
        multiple=getattr(made.nets[name], "multiple", 1),
        image_size=info.image_shape[0],
        step=restored.step,
    )


def of_test_images(workdir: Path, *, step: run_folder.Step = None) -> tuple[Image.Image, int]:
    """The picture that training shows, of a checkpoint, and the checkpoint's step.

    Raises:
      UserError: there is no such checkpoint, or the data cannot be loaded.
    """
    made = run_folder.experiment(workdir)
    source = build.data_source(made.config.data)
    info = source.info(made.config.data.labels)
    restored = run_folder.restore(workdir, made, info, step)
    preview = made.preview(info, source.test)
    images = np.asarray(preview(restored.state.nets))
    return preview.picture(images, f"step {restored.step:,}"), restored.step
