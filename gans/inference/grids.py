"""Pictures for people: sample grids with captions. Nothing here touches a file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 2
_TEXT = 12
_MARGIN = 6


def grid(
    images: np.ndarray,
    columns: int,
    *,
    title: str = "",
    labels: Sequence[str] = (),
    cell: int = 64,
    side: int | None = None,
) -> Image.Image:
    """Images in rows, enlarged without smoothing, with a title above and a label over each column.

    Args:
      images: uint8 `[N, H, W, C]`, C being 1 or 3; row by row.
      columns: images in a row.
      title: a line at the top, if any.
      labels: one for each column, or none.
      cell: the least size of an image on screen, in pixels.
      side: the most pixels that all images together may have in width and in height, if there is
        a limit: they are enlarged less then, or made smaller.

    Returns:
      An RGB picture.
    """
    count, height, width, _ = images.shape
    rows = math.ceil(count / columns)
    zoom = max(1, math.ceil(cell / max(height, width)))
    if side is not None:
        room = min((side / columns - _GAP) / width, (side / rows - _GAP) / height)
        zoom = min(zoom, int(room) if room >= 1 else room)
    width, height = (max(1, int(x * zoom)) for x in (width, height))
    cell_w, cell_h = width + _GAP, height + _GAP
    font = ImageFont.load_default(_TEXT)
    line = _TEXT + _MARGIN
    top = line * bool(title) + line * bool(labels)
    size = max(columns * cell_w + _GAP, int(font.getlength(title)) + 2 * _MARGIN)
    picture = Image.new("RGB", (size, top + rows * cell_h + _GAP), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN // 2), title, fill="black", font=font)
    for column, label in enumerate(labels):
        centre = _GAP + column * cell_w + (cell_w - _GAP) / 2
        place = (centre, top - line + _MARGIN // 2)
        draw.text(place, _shortened(label, cell_w, font), fill="black", font=font, anchor="ma")
    for i, image in enumerate(images):
        tile = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
        method = Image.Resampling.NEAREST if zoom >= 1 else Image.Resampling.BOX
        tile = tile.resize((width, height), method)
        row, column = divmod(i, columns)
        picture.paste(tile, (_GAP + column * cell_w, top + _GAP + row * cell_h))
    return picture


def _shortened(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """The text, cut until it is no wider than `width` pixels."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1]
    return text
