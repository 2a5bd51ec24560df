import numpy as np
import pytest

from gans.data import arrays
from gans.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
LABELS = np.array([2, 0, 1, 2, 0], np.int64)


def test_images_alone():
    source = arrays.source(IMAGES)
    assert source.images is IMAGES
    assert (source.labels, source.classes, source.image_shape) == (None, (), (8, 6, 3))
    assert len(source) == 5


def test_labels_become_int32_with_numbers_for_names():
    source = arrays.source(IMAGES, LABELS)
    assert source.labels.dtype == np.int32
    np.testing.assert_array_equal(source.labels, LABELS)
    assert source.classes == ("0", "1", "2")


def test_classes_may_outnumber_the_labels():
    assert arrays.source(IMAGES, LABELS, ["a", "b", "c", "d"]).classes == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"shape \(8, 6, 3\)"),
        (IMAGES.transpose(0, 3, 1, 2), "channels last"),
        (IMAGES[..., :2], "1 or 3 channels"),
        (IMAGES[:0], "at least one"),
        (IMAGES.astype(np.int32), "int32: give uint8"),
        (IMAGES / 255, r"float64 .* np.round\(images \* 255\).astype\(np.uint8\)"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(UserError, match=message):
        arrays.source(images)


def test_conversions_that_the_message_gives_are_right():
    """Both give back the very pixels that were scaled."""
    np.testing.assert_array_equal(np.round(IMAGES / 255 * 255).astype(np.uint8), IMAGES)
    scaled = IMAGES / 127.5 - 1
    np.testing.assert_array_equal(np.round((scaled + 1) * 127.5).astype(np.uint8), IMAGES)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (LABELS[:4], None, "one label an image"),
        (LABELS[:, None], None, "one label an image"),
        (LABELS.astype(np.float32), None, "integers"),
        (LABELS > 0, None, "integers"),
        (LABELS - 1, None, "from 0"),
        (LABELS, ["a", "b"], "go up to 2 but there are 2"),
        (None, ["a"], "without labels"),
    ],
)
def test_bad_labels(labels, classes, message):
    with pytest.raises(UserError, match=message):
        arrays.source(IMAGES, labels, classes)
