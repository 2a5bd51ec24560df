import concurrent.futures

import jax
import numpy as np
import pytest

from gans.data import unpaired
from gans.errors import UserError

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (5, 9, 10, 3), np.uint8)
B = RNG.integers(0, 256, (7, 12, 11, 3), np.uint8)


def crops(image, count, **options):
    """`count` crops of one image, made as training makes them."""
    keys = jax.random.split(jax.random.key(0), count)
    crop = jax.jit(jax.vmap(lambda key: unpaired.crop_and_flip(image, key, **options)))
    return np.asarray(crop(keys))


def places(image, size):
    """`{bytes of a crop: (top, left, whether it is mirrored)}` for every crop there is."""
    height, width, _ = image.shape
    return {
        np.ascontiguousarray(cut[:, ::-1] if mirrored else cut).tobytes(): (top, left, mirrored)
        for top in range(height - size + 1)
        for left in range(width - size + 1)
        for mirrored in (False, True)
        for cut in [image[top : top + size, left : left + size]]
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_are_sub_images_of_which_half_are_mirrored(channels):
    image = A[0, ..., :channels]
    known = places(image, 7)
    count = 6000
    made = crops(image, count, size=7, flip=True)
    assert made.dtype == np.uint8
    assert made.shape == (count, 7, 7, channels)
    found = np.array([known[crop.tobytes()] for crop in made])
    # Three rows and four columns of places, each mirrored or not: 24 equally likely crops.
    tops, lefts, mirrored = found.T
    counts = np.zeros((3, 4, 2))
    np.add.at(counts, (tops, lefts, mirrored), 1)
    expected = count / 24
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    # The statistic has 23 degrees of freedom: mean 23, standard deviation 6.8.
    assert ((counts - expected) ** 2 / expected).sum() < 50
    assert abs(mirrored.mean() - 0.5) < 0.03


def test_without_flip_nothing_is_mirrored():
    image = A[0]
    known = places(image, 7)
    found = {known[crop.tobytes()] for crop in crops(image, 500, size=7, flip=False)}
    assert found == {(top, left, False) for top in range(3) for left in range(4)}


def test_crop_of_the_whole_image_is_the_image():
    image = A[0, :, :9]
    assert (crops(image, 20, size=9, flip=False) == image).all()
    found = {crop.tobytes() for crop in crops(image, 20, size=9, flip=True)}
    assert found == {image.tobytes(), image[:, ::-1].tobytes()}


def test_one_key_gives_one_crop():
    key = jax.random.key(3)
    first, second = (unpaired.crop_and_flip(A[0], key, size=5, flip=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_domains_of_different_sizes():
    data = unpaired.source(A, B, image_size=8, names=("Monet", "photo"))
    assert data.domains == {"a": data.a, "b": data.b}
    assert data.a.images is A
    assert data.b.images is B
    assert data.a.image_shape == data.b.image_shape == (8, 8, 3)
    assert (data.a.labels, data.a.classes) == (None, ())
    info = data.info(labels=False)
    assert (info.size, info.image_shape, info.classes) == (7, (8, 8, 3), ())
    assert (info.domains, info.domain_sizes) == (("Monet", "photo"), (5, 7))
    assert {name: image.shape for name, image in info.batch().items()} == {
        "a": (1, 8, 8, 3),
        "b": (1, 8, 8, 3),
    }


@pytest.mark.parametrize("flip", [False, True])
def test_augment_crops_to_image_size_and_flips_if_asked(flip):
    data = unpaired.source(A, B, image_size=8, flip=flip)
    for key, domain in data.domains.items():
        known, image = places(domain.images[1], 8), domain.images[1]
        keys = jax.random.split(jax.random.key(1), 100)
        made = np.asarray(jax.vmap(lambda key, i=image, f=domain.augment: f(i, key))(keys))
        mirrored = [known[crop.tobytes()][2] for crop in made]
        assert (30 < sum(mirrored) < 70) if flip else not any(mirrored), key


def test_labels_are_refused():
    with pytest.raises(UserError, match=r"no labels: set data\.labels to False"):
        unpaired.source(A, B, image_size=8).info(labels=True)


def test_centres_of_the_first_training_images_are_shown_by_default():
    data = unpaired.source(A, B[:2], image_size=5)
    assert set(data.test) == {"a", "b"}
    np.testing.assert_array_equal(data.test["a"], A[:4, 2:7, 2:7])
    np.testing.assert_array_equal(data.test["b"], B[:2, 3:8, 3:8])
    np.testing.assert_array_equal(unpaired.centres(A, 9, 3), A[:3, :, :9])


def test_test_images_of_the_caller_are_shown_as_they_are():
    shown = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
    data = unpaired.source(A, B, image_size=8, test_b=shown)
    np.testing.assert_array_equal(data.test["b"], shown)
    np.testing.assert_array_equal(data.test["a"], A[:4, :8, 1:9])


def test_sequences_are_read_on_access():
    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            Counted.reads += 1
            return super().__getitem__(index)

    data = unpaired.source(Counted(A), B, image_size=8)
    assert Counted.reads <= 5  # The shape of one, and the centres of four.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(data.a.images.__getitem__, range(5)), A, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": A.astype(np.float32)}, "images are float32 but must be uint8"),
        ({"b": A[0]}, r"give \[N, H, W, C\]"),
        ({"b": A[:0]}, "at least one image"),
        ({"a": []}, "Domain a has no images"),
        ({"image_size": 10}, "domain a have 9x10 pixels, fewer than the crops of 10"),
        ({"b": B[..., :1]}, r"differ in channels: \(8, 8, 3\) and \(8, 8, 1\)"),
        ({"test_a": A}, r"test images of domain a have shape \(5, 9, 10, 3\), not \[n, 8, 8, 3\]"),
        ({"test_b": A[:, :8, :8].astype(float)}, "images are float64"),
    ],
)
def test_wrong_images_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        unpaired.source(**{"a": A, "b": B, "image_size": 8} | arguments)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_size", 0, "image_size is 0"),
        ("load_size", 15, "load_size is 15, smaller than the crops of 16"),
        ("channels", 4, "channels is 4"),
        ("test_images", 0, "test_images is 0"),
    ],
)
def test_sizes_are_checked(field, value, message):
    good = {"image_size": 16, "load_size": 16, "channels": 3, "test_images": 1}
    unpaired.check_sizes(**good)
    with pytest.raises(UserError, match=message):
        unpaired.check_sizes(**good | {field: value})
