"""What the classifier that comes with the code says of real digits, whole and degraded."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gans import parallel
from gans.data import digits
from gans.evaluation import views
from gans.evaluation.evaluators import comparisons
from gans.evaluation.features import classifier
from gans.evaluation.views import Block


@pytest.fixture(scope="module")
def net():
    return classifier.load("digits")


@pytest.fixture(scope="module")
def source():
    return digits.load(split="test", image_size=32, channels=1)


def look(net, source, images=None, labels=None):
    images = source.images if images is None else images
    block = Block(images, source.labels if labels is None else labels)
    return views.look(net, [block], parallel.make_mesh(1), source.classes)


@pytest.fixture(scope="module")
def real(net, source):
    return look(net, source)


def noisy(images, deviation):
    noise = np.random.default_rng(0).normal(size=images.shape)
    return np.uint8(np.clip(images + deviation * noise, 0, 255).round())


def blurred(images, radius):
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(x[..., 0]).filter(blur)) for x in images])[
        ..., None
    ]


@pytest.mark.parametrize("degrade, amounts", [(noisy, (8, 16, 32, 64)), (blurred, (1, 2, 3, 5))])
def test_images_are_farther_the_more_they_are_degraded(net, source, real, degrade, amounts):
    assert comparisons.frechet(real, real)["fcd"] == pytest.approx(0, abs=1e-6)
    degraded = [look(net, source, degrade(source.images, amount)) for amount in amounts]
    for distance in (comparisons.frechet, comparisons.kernel):
        name = distance.__name__[0] + "cd"
        found = [distance(real, view)[name] for view in degraded]
        assert np.all(np.diff(found) > 0), (name, found)
        assert found[0] > 0 or name == "kcd"  # which is unbiased, and may fall below


def test_class_accuracy_of_real_images_is_that_of_the_classifier(net, source, real):
    about, _ = classifier.read(classifier.WEIGHTS / "digits.npz")
    found = comparisons.accuracy(real, real)
    assert found["class_accuracy"] == found["class_accuracy_real"]
    # Another processor may round an image on the edge the other way.
    assert found["class_accuracy"] == pytest.approx(about["accuracy"], abs=1.01 / len(source))


def test_class_accuracy_of_shuffled_labels_is_chance(net, source):
    shuffled = look(net, source, labels=np.random.default_rng(0).permutation(source.labels))
    found = comparisons.accuracy(shuffled, shuffled)["class_accuracy"]
    assert found == pytest.approx(0.1, abs=3 * 0.3 / np.sqrt(len(source)))
