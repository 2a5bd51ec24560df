"""An image in overlapping tiles, and the image blended from them again.

Rows and columns are cut alike and on their own, so a tile is a pair of intervals and its
weight the product of two profiles. At every pixel the weights of all tiles sum to 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

_NEARLY_ZERO = 1e-6


@dataclasses.dataclass(frozen=True)
class Cut:
    """How the rows, or the columns, of an image are cut.

    Attributes:
      extent: pixels of the image.
      tile: pixels of each tile.
      starts: the first pixel of each tile, ascending from 0. The last tile may reach beyond the
        image, as far as the image had to be extended.
      weights: float64 `[len(starts), tile]`, what each pixel of each tile counts.
    """

    extent: int
    tile: int
    starts: tuple[int, ...]
    weights: np.ndarray

    def pixels(self, i: int) -> np.ndarray:
        """Where in the image the pixels of tile `i` are: beyond its end, it is reflected."""
        place = np.arange(self.starts[i], self.starts[i] + self.tile) % max(1, 2 * self.extent - 2)
        return np.minimum(place, 2 * self.extent - 2 - place)


def cut(extent: int, *, tile: int, overlap: int, unit: int, least: int) -> Cut:
    """Cuts `extent` pixels evenly; a single tile, as short as may be, where that suffices.

    Args:
      extent: pixels of the image.
      tile: the most pixels of a tile, a multiple of `unit`.
      overlap: the least that neighbours share. The outer quarter of it at a tile's edge counts
        nothing, being what knows least of its surroundings; the inner half fades.
      unit: tiles start at multiples of it, and the image is extended to one.
      least: the image is extended to this many pixels too, a multiple of `unit`.
    """
    extended = max(least, math.ceil(extent / unit) * unit)
    count = math.ceil(max(0, extended - tile) / (tile - overlap)) + 1
    tile = min(tile, extended)
    # Rounded down between multiples of the unit: neighbours share one unit less at most.
    steps = np.linspace(0, (extended - tile) // unit, count)
    starts = np.floor(steps).astype(int) * unit
    from_edge = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    # Not quite nothing, because at the edges of the image there is no other tile.
    profile = np.clip((from_edge - overlap / 4) / max(1, overlap / 2), _NEARLY_ZERO, 1)
    total = np.zeros(extended)
    for start in starts:
        total[start : start + tile] += profile
    weights = np.stack([profile / total[start : start + tile] for start in starts])
    return Cut(extent, tile, tuple(starts.tolist()), weights)


def blend(
    rows: Cut, columns: Cut, channels: int, tile_at: Callable[[int, int], np.ndarray]
) -> np.ndarray:
    """The image of which every tile is a part.

    Only one row of tiles is held as floating-point numbers at a time.

    Args:
      rows: its rows.
      columns: its columns.
      channels: C.
      tile_at: from a tile's place, counted in rows and columns of tiles, to float
        `[rows.tile, columns.tile, C]` in [-1, 1]. Called row by row, once for each.

    Returns:
      uint8 `[rows.extent, columns.extent, C]`.
    """
    image = np.empty((rows.extent, columns.extent, channels), np.uint8)
    width = columns.starts[-1] + columns.tile
    band = np.zeros((rows.tile, width, channels), np.float32)
    ends = (*rows.starts[1:], rows.starts[-1] + rows.tile)
    for i, (start, end) in enumerate(zip(rows.starts, ends, strict=True)):
        for j, left in enumerate(columns.starts):
            weight = np.outer(rows.weights[i], columns.weights[j]).astype(np.float32)
            band[:, left : left + columns.tile] += weight[..., None] * tile_at(i, j)
        # No later tile reaches the rows before the next one's start.
        done = image[start:end]
        done[...] = _to_uint8(band[: len(done), : columns.extent])
        band[: start - end] = band[end - start :].copy()
        band[start - end :] = 0
    return image


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """From [-1, 1] to [0, 255]."""
    return np.clip(np.round((image + 1.0) * 127.5), 0, 255).astype(np.uint8)
