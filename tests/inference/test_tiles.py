"""Cuts and blends: every pixel once, however many tiles share it."""

import numpy as np
import pytest

from gans.inference import tiles

CUT = {"tile": 64, "overlap": 16, "unit": 4, "least": 32}


@pytest.mark.parametrize("extent", [1, 2, 16, 31, 33, 64, 65, 100, 112, 113, 1021])
def test_weights_sum_to_one_and_tiles_lie_as_promised(extent):
    cut = tiles.cut(extent, **CUT)
    end = cut.starts[-1] + cut.tile
    assert end == max(32, -(-extent // 4) * 4)
    assert cut.starts[0] == 0 and all(start % 4 == 0 for start in cut.starts)
    assert cut.tile == min(64, end) and (len(cut.starts) == 1) == (end <= 64)
    shared = cut.tile - np.diff(cut.starts)
    assert (shared >= 12).all() and (shared < 64).all()
    total = np.zeros(end)
    for start, weights in zip(cut.starts, cut.weights, strict=True):
        total[start : start + cut.tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-12)


def test_a_tile_fades_out_before_its_edge_where_another_goes_on():
    cut = tiles.cut(112, **CUT)
    assert cut.starts == (0, 48)
    first, second = cut.weights
    np.testing.assert_allclose(first[:52], 1, atol=1e-5)
    np.testing.assert_allclose(first[60:], 0, atol=1e-5)
    np.testing.assert_allclose(first[52:60], np.arange(15, 0, -2) / 16, atol=1e-5)
    np.testing.assert_allclose(second[::-1], first, atol=1e-12)


@pytest.mark.parametrize("extent", [1, 2, 5, 31, 70])
def test_beyond_its_end_an_image_is_reflected_as_often_as_needed(extent):
    cut = tiles.cut(extent, **CUT)
    size = cut.starts[-1] + cut.tile
    whole = np.pad(np.arange(extent), (0, size - extent), mode="reflect")
    for i, start in enumerate(cut.starts):
        np.testing.assert_array_equal(cut.pixels(i), whole[start : start + cut.tile])


@pytest.mark.parametrize("height, width", [(1, 1), (37, 1021), (200, 150)])
def test_blending_the_tiles_of_an_image_gives_the_image(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = tiles.cut(height, **CUT), tiles.cut(width, **CUT)

    def tile_at(i, j):
        return image[np.ix_(rows.pixels(i), columns.pixels(j))] / 127.5 - 1

    np.testing.assert_array_equal(tiles.blend(rows, columns, 3, tile_at), image)


def test_where_tiles_disagree_the_image_goes_over_from_one_to_the_other():
    rows, columns = tiles.cut(40, **CUT), tiles.cut(112, **CUT)
    values = {(0, 0): -1.0, (0, 1): 1.0}
    image = tiles.blend(
        rows, columns, 1, lambda i, j: np.full((rows.tile, columns.tile, 1), values[i, j])
    )
    line = image[0, :, 0].astype(int)
    assert (image == image[:1]).all() and (np.diff(line) >= 0).all() and np.diff(line).max() < 40
    assert (line[:52] == 0).all() and (line[60:] == 255).all()


def test_an_image_no_larger_than_the_overlap_is_one_tile():
    cut = tiles.cut(15, tile=64, overlap=16, unit=4, least=4)
    assert (cut.tile, cut.starts) == (16, (0,)) and (cut.weights == 1).all()
