"""Marks of augmentation against a search by hand, and when a share is far above another."""

import numpy as np
import pytest

from gans.evaluation.metrics import leaks

HOLE, BORDER = leaks.NAMES.index("hole"), leaks.NAMES.index("border")


def noise(shape, seed=0):
    """Without a grey pixel."""
    return np.random.default_rng(seed).choice(np.uint8([10, 90, 160, 250]), shape)


def found(images):
    return np.asarray(leaks.marks(images))


@pytest.mark.parametrize("shape", [(32, 32, 3), (9, 14, 1), (7, 7, 3), (130, 130, 3)], ids=str)
def test_every_square_that_cutout_draws_is_found(shape):
    height, width, _ = shape
    sides = [int(size / 2 + 0.5) for size in (height, width)]
    rows, columns = (
        np.unique(np.linspace(0, size - side % 2, 5).astype(int))
        for size, side in zip((height, width), sides, strict=True)
    )
    images = []
    for row in rows:
        for column in columns:
            image = noise(shape, row + column)
            top, left = row - sides[0] // 2, column - sides[1] // 2
            bottom, right = top + sides[0], left + sides[1]
            image[max(top, 0) : bottom, max(left, 0) : right] = 128
            images.append(image)
    marks = found(np.stack(images))
    assert marks.shape == (len(images), 5) and marks.dtype == np.float32
    assert marks[:, HOLE].all()
    assert not marks[:, BORDER].any()


def test_what_is_no_square_of_grey_is_none():
    plain = noise((32, 32, 3))
    small, dark, all_grey, stripes, tinted = (plain.copy() for _ in range(5))
    small[10:17, 10:17] = 128
    dark[8:24, 8:24] = 60
    all_grey[:] = 128
    stripes[:, 1:-1:2] = 128
    tinted[8:24, 8:24] = (128, 128, 150)
    marks = found(np.stack([plain, small, dark, all_grey, stripes, tinted]))
    assert not marks[:, [HOLE, BORDER]].any()


def test_a_square_may_be_nearly_grey():
    image = noise((32, 32, 3))
    image[8:24, 8:24] = np.random.default_rng(1).integers(122, 134, (16, 16, 3))
    image[10, 8:18] = 200  # 10 of 256 pixels
    assert found(image[None])[0, HOLE] == 1
    image[11, 8:18] = 200
    assert found(image[None])[0, HOLE] == 0


@pytest.mark.parametrize("line", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]], ids=str)
def test_a_grey_line_along_an_edge_is_a_border_and_another_is_not(line):
    image = noise((20, 24, 3))
    image[line] = 127
    inner = noise((20, 24, 3))
    inner[5], inner[:, 9] = 127, 127
    marks = found(np.stack([image, inner]))
    assert marks[:, BORDER].tolist() == [1, 0]
    assert not marks[:, HOLE].any()


def test_the_statistics_are_those_of_numbers_between_minus_one_and_one():
    images = noise((3, 5, 7, 3))
    x = images / 127.5 - 1
    _, _, brightness, contrast, saturation = found(images).T
    np.testing.assert_allclose(brightness, x.mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(contrast, x.std((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(saturation, np.sqrt(x.var(3).mean((1, 2))), atol=1e-6)
    np.testing.assert_array_equal(found(images[..., :1])[:, -1], 0)


@pytest.mark.parametrize(
    ("share", "number", "usual", "other", "expected"),
    [
        (0.10, 1000, 0.00, 1000, True),
        (0.00, 1000, 0.10, 1000, False),  # below
        (0.10, 50, 0.00, 50, False),  # 5 of 50 may be luck
        (0.009, 100_000, 0.0, 100_000, False),  # sure, and too little to matter
        (0.012, 100_000, 0.0, 100_000, True),
        (0.30, 1000, 0.25, 1000, False),  # 2.5 errors
        (0.34, 1000, 0.25, 1000, True),  # 4.4
        (0.0, 10, 0.0, 10, False),
        (1.0, 10, 1.0, 10, False),
    ],
)
def test_a_share_is_far_above_by_four_errors_and_a_hundredth(share, number, usual, other, expected):
    assert leaks.is_far_above(share, number, usual, other) is expected
