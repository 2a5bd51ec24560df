"""An animated GIF of a run's sample pictures, of bounded size however many and large they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gans.files.writing import atomic

_FRAME_MS = 150
_LAST_FRAME_MS = 2000
_SIDE = 800  # pixels, at most
_FRAMES = 500  # at most
_PIXELS = 30_000_000  # of all frames, at most; a byte each, before they are compressed


def save_animation(path: Path, pictures: Sequence[Path]) -> None:
    """Writes a GIF with a frame for each picture, in order; without pictures, nothing.

    Large pictures are made smaller, all by the same factor. Of too many, the first, the last and
    evenly spread ones between them are taken.

    Raises:
      UserError: it cannot be written.
    """
    if not pictures:
        return
    # A picture wider than the first, because its caption is longer, would be cut.
    sizes = [_size(path) for path in pictures]
    whole = (max(width for width, _ in sizes), max(height for _, height in sizes))
    scale = min(1.0, _SIDE / max(whole))
    size = tuple(max(1, round(side * scale)) for side in whole)
    chosen = _spread(pictures, min(_FRAMES, _PIXELS // (size[0] * size[1])))
    frames = (_frame(path, whole, size) for path in chosen)
    durations = [_FRAME_MS] * (len(chosen) - 1) + [_LAST_FRAME_MS]
    with atomic(path) as file:
        next(frames).save(
            file, "GIF", save_all=True, append_images=frames, duration=durations, loop=0
        )


def _spread(pictures: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of them, the first and the last included."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).round().astype(int)]


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=("PNG",)) as picture:
        return picture.size


def _frame(path: Path, whole: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", whole, "white")
    with Image.open(path, formats=("PNG",)) as picture:
        canvas.paste(picture)
    if size != whole:
        canvas = canvas.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return canvas.quantize(256)
