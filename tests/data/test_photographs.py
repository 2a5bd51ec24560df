import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from gans.data import photographs
from gans.errors import UserError

GOOD = {
    "image_size": 24,
    "load_size": 32,
    "channels": 3,
    "resize": "bicubic",
    "flip": True,
    "test_images": 3,
}


def load(**overrides):
    return photographs.load(**GOOD | overrides)


@pytest.fixture(scope="module")
def data():
    return load()


def test_domains_shapes_and_names(data):
    assert data.names == ("temple", "flower")
    for domain in data.domains.values():
        assert domain.images.dtype == np.uint8
        assert domain.images.shape == (200, 32, 32, 3)
        assert domain.image_shape == (24, 24, 3)
    assert {key: shown.shape for key, shown in data.test.items()} == {
        "a": (3, 24, 24, 3),
        "b": (3, 24, 24, 3),
    }


def test_the_same_images_every_time(data):
    again = load(test_images=2)
    for key, domain in data.domains.items():
        np.testing.assert_array_equal(domain.images, again.domains[key].images)
        np.testing.assert_array_equal(data.test[key][:2], again.test[key])


def test_images_differ_in_place_and_scale(data):
    for domain in data.domains.values():
        assert len({image.tobytes() for image in domain.images}) == 200


def paint(monkeypatch):
    """Photographs whose pixels tell their places: red is x and green y, each over 4."""
    x, y = np.meshgrid(np.arange(640), np.arange(427))
    painted = np.stack([x // 4, y // 4, np.zeros_like(x)], axis=-1).astype(np.uint8)
    monkeypatch.setattr(sklearn.datasets, "load_sample_image", lambda name: painted)


def test_squares_of_many_sizes_and_no_pixel_of_both_train_and_test(monkeypatch):
    paint(monkeypatch)
    data = load(resize="nearest", load_size=86, image_size=86, test_images=60)
    for key, domain in data.domains.items():
        train, test = domain.images[..., :2], data.test[key][..., :2]
        assert (train[..., 1].min(), train[..., 1].max()) == (0, 252 // 4)
        assert (test[..., 1].min(), test[..., 1].max()) == (256 // 4, 424 // 4)
        for part in (train, test):
            extents = (part.max(axis=(1, 2)) - part.min(axis=(1, 2))).astype(int)
            assert np.abs(extents[:, 0] - extents[:, 1]).max() <= 1  # Squares.
            assert extents.min() >= 96 // 4 - 2
            assert extents.max() <= 172 // 4
            assert extents.std() > 4.5  # 76 sides, equally likely: 22 pixels.
            assert part[..., 0].min() <= 60 // 4
            assert part[..., 0].max() >= 460 // 4


def test_the_domains_are_cut_at_different_places(monkeypatch):
    paint(monkeypatch)
    data = load()
    assert all((a != b).any() for a, b in zip(data.a.images, data.b.images, strict=True))


def test_grey(data):
    grey = load(channels=1)
    assert grey.a.images.shape == (200, 32, 32, 1)
    luma = data.a.images @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey.a.images[..., 0], luma, atol=3)


def test_filter_is_the_one_asked_for(monkeypatch):
    paint(monkeypatch)
    nearest, bicubic = (load(resize=name).a.images for name in ("nearest", "bicubic"))
    assert not np.array_equal(nearest, bicubic)
    monkeypatch.setattr(
        sklearn.datasets,
        "load_sample_image",
        lambda name: np.asarray(Image.new("RGB", (640, 427), (7, 8, 9))),
    )
    assert (load(resize="lanczos").b.images == [7, 8, 9]).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("image_size", 0), ("load_size", 23), ("channels", 2), ("resize", "area"), ("test_images", 0)],
)
def test_bad_arguments(field, value):
    with pytest.raises(UserError, match=f"{field} is"):
        load(**{field: value})
