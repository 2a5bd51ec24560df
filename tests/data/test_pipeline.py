"""The stream of batches: every image once an epoch, resident or streamed, from any position."""

import dataclasses

import jax
import numpy as np
import pytest

from gans.data import arrays, unpaired
from gans.data.pipeline import make_pipeline, order


def numbered(size):
    """Images of one value each, which is also their label."""
    images = np.broadcast_to(np.arange(size, dtype=np.uint8)[:, None, None, None], (size, 2, 2, 1))
    names = [str(i) for i in range(size)]
    return arrays.source(np.ascontiguousarray(images), np.arange(size), names)


def pipeline(size=7, batch_size=3, seed=5, labels=True, resident_mib=1):
    return make_pipeline(
        numbered(size),
        batch_size=batch_size,
        seed=seed,
        labels=labels,
        resident_mib=resident_mib,
    )


def values(stream, start, chunks):
    """The image values of each iteration, as the device sees them."""
    out = []
    for feed in stream.feeds(start, chunks):
        for i in range(len(jax.tree.leaves(feed)[0])):
            batch = stream.batch(stream.resident, jax.tree.map(lambda x, i=i: x[i], feed))
            image = np.asarray(batch["image"])
            values = np.round((image[:, 0, 0, 0] + 1) * 127.5).astype(int)
            np.testing.assert_array_equal(np.argmax(batch["label"], axis=1), values)
            out.append(values)
    return np.concatenate(out)


@pytest.mark.parametrize("size", [1, 7, 10])
def test_every_epoch_visits_every_image_once(size):
    stream = order(seed=3, size=size, start=0, count=4 * size).reshape(4, size)
    for epoch in stream:
        assert sorted(epoch) == list(range(size))


def test_epochs_and_seeds_are_shuffled_differently():
    first, second = order(0, 50, 0, 100).reshape(2, 50)
    assert (first != second).any()
    assert (order(1, 50, 0, 50) != first).any()


def test_a_part_of_the_stream_is_the_same_wherever_reading_starts():
    whole = order(0, 7, 0, 40)
    for start, count in [(0, 1), (6, 2), (7, 7), (13, 20), (39, 1)]:
        np.testing.assert_array_equal(order(0, 7, start, count), whole[start : start + count])


def test_images_and_labels_belong_together_and_match_the_order():
    got = values(pipeline(), 0, [2, 3])
    np.testing.assert_array_equal(got, order(5, 7, 0, 15))


@pytest.mark.parametrize("start, chunks", [(0, [5]), (2, [1, 2]), (4, [1])])
def test_streamed_batches_equal_resident_ones(start, chunks):
    streamed = pipeline(resident_mib=0)
    assert not streamed.resident["image"]
    np.testing.assert_array_equal(
        values(streamed, start, chunks), values(pipeline(), start, chunks)
    )


def test_a_batch_larger_than_the_data_set_goes_on_into_the_next_epoch():
    got = values(pipeline(size=3, batch_size=6), 0, [1])
    assert sorted(got) == [0, 0, 1, 1, 2, 2]


def test_pixels_are_scaled_to_minus_one_and_one():
    source = arrays.source(np.array([0, 255, 51], np.uint8).reshape(1, 1, 3, 1))
    stream = make_pipeline(source, batch_size=1, seed=0, labels=False, resident_mib=1)
    (feed,) = stream.feeds(0, [1])
    batch = stream.batch(stream.resident, jax.tree.map(lambda x: x[0], feed))
    np.testing.assert_allclose(batch["image"].reshape(-1), [-1.0, 1.0, -0.6], atol=1e-6)
    assert set(batch) == {"image"}


# Two domains, the second of another size.


def two_domains(sizes=(5, 7), side=2, image_size=2, flip=False):
    """Images of one value each: 0, 1, ... of domain a, 100, 101, ... of b."""
    shape = (side, side, 1)
    a, b = (
        np.broadcast_to(
            np.arange(first, first + size, dtype=np.uint8)[:, None, None, None], (size, *shape)
        ).copy()
        for first, size in zip((0, 100), sizes, strict=True)
    )
    return unpaired.source(a, b, image_size=image_size, flip=flip)


def unpaired_pipeline(source, batch_size=1, seed=5, resident_mib=1.0):
    return make_pipeline(
        source, batch_size=batch_size, seed=seed, labels=False, resident_mib=resident_mib
    )


def images(stream, start, chunks):
    """uint8 `{domain: [iterations, batch, H, W, C]}`, as the device makes them."""
    make = jax.jit(stream.batch)
    out = {"a": [], "b": []}
    for feed in stream.feeds(start, chunks):
        for i in range(len(jax.tree.leaves(feed)[0])):
            batch = make(stream.resident, jax.tree.map(lambda x, i=i: x[i], feed))
            for domain, x in batch.items():
                out[domain].append(np.round((np.asarray(x) + 1) * 127.5).astype(np.uint8))
    return {domain: np.stack(x) for domain, x in out.items()}


def assert_same_images(one, two):
    assert one.keys() == two.keys()
    for domain in one:
        np.testing.assert_array_equal(one[domain], two[domain])


def test_each_domain_visits_every_image_once_in_an_epoch_of_its_own():
    got = images(unpaired_pipeline(two_domains((3, 7))), 0, [21])
    a, b = (got[domain][:, 0, 0, 0, 0].reshape(-1, size) for domain, size in (("a", 3), ("b", 7)))
    # Seven rounds of the smaller, three of the larger, which is not cut to the smaller's length.
    assert [sorted(epoch) for epoch in a] == 7 * [[0, 1, 2]]
    assert [sorted(epoch) for epoch in b] == 3 * [list(range(100, 107))]
    for epochs in (a, b):
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_images_of_domains_of_one_size_do_not_come_in_pairs():
    got = images(unpaired_pipeline(two_domains((40, 40))), 0, [40])
    a, b = (got[domain].reshape(40, -1)[:, 0].astype(int) for domain in "ab")
    # Of 40 images in two independent orders one is expected to meet its number.
    assert (a == b - 100).sum() <= 5


@pytest.fixture(scope="module")
def cropped():
    """Noise to be cropped and mirrored, in a batch of 2 for 6 iterations."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (size, 12, 12, 3), np.uint8) for size in (5, 3))
    source = unpaired.source(a, b, image_size=8)
    return source, images(unpaired_pipeline(source, 2), 0, [6])


def test_streamed_crops_equal_resident_ones(cropped):
    source, whole = cropped
    streamed = unpaired_pipeline(source, 2, resident_mib=0)
    assert not any(streamed.resident.values())
    assert_same_images(images(streamed, 0, [2, 4]), whole)


def test_one_domain_may_be_streamed_and_the_other_resident(cropped):
    source, whole = cropped
    # 2160 bytes of a, 1296 of b.
    mixed = unpaired_pipeline(source, 2, resident_mib=1500 / 2**20)
    assert [bool(arrays) for arrays in mixed.resident.values()] == [False, True]
    assert_same_images(images(mixed, 0, [6]), whole)


def test_crops_from_the_middle_on_are_those_of_the_whole(cropped):
    source, whole = cropped
    for start in (1, 4):
        rest = images(unpaired_pipeline(source, 2), start, [6 - start])
        assert_same_images(rest, {domain: x[start:] for domain, x in whole.items()})


def test_crops_do_not_depend_on_how_positions_are_cut_into_batches(cropped):
    source, whole = cropped
    single = images(unpaired_pipeline(source, 1), 0, [12])
    assert_same_images(
        {domain: x.reshape(6, 2, *x.shape[2:]) for domain, x in single.items()}, whole
    )


def test_a_seed_crops_always_alike_and_another_otherwise():
    one = crops_of_one_image(seed=5)
    assert (one["a"] == crops_of_one_image(seed=5)["a"]).all()
    assert (one["a"] != crops_of_one_image(seed=6)["a"]).any()


def crops_of_one_image(seed):
    picture = np.arange(12 * 12, dtype=np.uint8).reshape(1, 12, 12, 1)
    return images(
        unpaired_pipeline(unpaired.source(picture, picture, image_size=8), 1, seed), 0, [40]
    )


def test_an_image_is_cropped_at_other_places_each_time_and_not_as_its_counterpart():
    got = crops_of_one_image(seed=5)
    # The first pixel says where a crop was cut, and the second whether it is mirrored.
    places = {domain: x[:, 0, 0, :2, 0].tolist() for domain, x in got.items()}
    for seen in places.values():
        # Of 25 places and two directions, 40 draws find about 28.
        assert len({tuple(place) for place in seen}) > 18
        assert 8 < sum(first > second for first, second in seen) < 32
    met = sum(a == b for a, b in zip(*places.values(), strict=True))
    assert met <= 5


def test_no_key_of_a_crop_is_one_of_the_runs():
    # Both come of one seed, and splitting a key gives what folding small numbers into it does.
    def bits(image, key):
        del image
        return jax.random.bits(key, (1, 16, 1), np.uint8)

    source = two_domains((1, 1))
    source = dataclasses.replace(
        source, **{name: dataclasses.replace(d, augment=bits) for name, d in source.domains.items()}
    )
    crops = images(unpaired_pipeline(source, 1, seed=5), 0, [4])
    drawn = {x.tobytes() for domain in crops.values() for x in domain}
    assert len(drawn) == 8
    of_run = [
        jax.random.fold_in(key, step)
        for key in jax.random.split(jax.random.key(5), 8)
        for step in range(4)
    ]
    assert not drawn & {np.asarray(bits(None, key)).tobytes() for key in of_run}
