import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from gans.data import digits
from gans.errors import UserError

ORIGINAL = sklearn.datasets.load_digits()


def load(split="train", image_size=8, channels=1):
    return digits.load(split=split, image_size=image_size, channels=channels)


def test_original_size_keeps_every_grey_level():
    source = load("train+test")
    np.testing.assert_array_equal(
        source.images[..., 0], np.round(ORIGINAL.images / 16 * 255).astype(np.uint8)
    )
    np.testing.assert_array_equal(source.labels, ORIGINAL.target)
    assert source.labels.dtype == np.int32
    assert source.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def test_splits_are_the_first_1500_and_the_rest():
    assert (len(load("train")), len(load("test"))) == (1500, 297)
    np.testing.assert_array_equal(load("test").labels, ORIGINAL.target[1500:])
    source = load("test[:2]+train[3:5]")
    np.testing.assert_array_equal(source.labels, ORIGINAL.target[[1500, 1501, 3, 4]])
    np.testing.assert_array_equal(source.images, load("train+test").images[[1500, 1501, 3, 4]])


def test_upscaling_is_bicubic():
    small, large = load("test"), load("test", image_size=32)
    assert large.images.dtype == np.uint8
    assert large.images.shape == (297, *large.image_shape) == (297, 32, 32, 1)
    for before, after in zip(small.images[:20, ..., 0], large.images[:20, ..., 0], strict=True):
        expected = Image.fromarray(before).resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(after, np.asarray(expected))
    np.testing.assert_array_equal(large.labels, small.labels)


def test_three_channels_are_equal():
    colour, grey = load("test", 16, 3).images, load("test", 16, 1).images
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))


@pytest.mark.parametrize(
    "arguments", [{"channels": 2}, {"image_size": 0}, {"split": "valid"}, {"split": "train[:1501]"}]
)
def test_bad_arguments(arguments):
    with pytest.raises(UserError):
        load(**arguments)
