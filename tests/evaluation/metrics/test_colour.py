"""Whether light stays light."""

import numpy as np
import pytest
from PIL import Image

from gans.evaluation.metrics.colour import correlation, inverted


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), np.uint8)


def grey(*rows):
    return np.uint8(rows)[None, ..., None]


def test_an_image_is_like_itself_and_unlike_its_negative(images):
    np.testing.assert_allclose(correlation(images, images), 1)
    np.testing.assert_allclose(correlation(images, 255 - images), -1)
    np.testing.assert_allclose(correlation(images, images // 2), 1, atol=1e-3)
    assert inverted(images, images) == 0
    assert inverted(images, 255 - images) == 1
    assert inverted(images, np.concatenate([255 - images[:1], images[1:]])) == 1 / 4


def test_by_hand():
    # About their means (-1, 0, 1) and (-2, 1, 1): 3 / (2 * 6)^(1/2).
    assert correlation(grey([1, 2, 3]), grey([0, 3, 3])) == pytest.approx([3 / 12**0.5])


def test_it_is_numpys_of_pillows_luminance(images):
    def luminance(image):
        return np.ravel(Image.fromarray(image).convert("L"))

    after = np.random.default_rng(1).integers(0, 256, images.shape, np.uint8)
    expected = [
        np.corrcoef(luminance(x), luminance(y))[0, 1] for x, y in zip(images, after, strict=True)
    ]
    found = correlation(images, after)
    assert found.shape == (4,) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=0.01)  # Pillow rounds to whole levels


def test_a_grey_image_is_compared_with_one_in_colour(images):
    one = images[..., :1]
    np.testing.assert_allclose(correlation(one, np.repeat(255 - one, 3, -1)), -1)


def test_images_of_one_luminance_are_not_inverted(images):
    flat = np.full_like(images, (13, 200, 77))
    np.testing.assert_array_equal(correlation(images, flat), 0)
    np.testing.assert_array_equal(correlation(flat, images), 0)
    np.testing.assert_array_equal(correlation(flat, flat), 0)
    assert inverted(images, flat) == 0


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4, 3), np.uint8), "float32"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 2), np.uint8), "1 or 3"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8), "do not match"),
        (np.zeros((2, 2, 8, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8), "do not match"),
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8), "no images"),
    ],
)
def test_what_cannot_be_compared_is_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        inverted(before, after)
