"""The stream of batches: every image once an epoch, resident or streamed, from any position."""

import jax
import numpy as np
import pytest

from gans.data import arrays
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
