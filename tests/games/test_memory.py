"""The history pool against plain Python, its odds, and the same on four devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gans import parallel
from gans.games import memory
from gans.ops import axis

SHAPE = (1, 2, 1)


def shared_query(pool, images, key):
    """`query` on one of the devices that share a batch."""
    with axis.mapped(parallel.DATA):
        return memory.query(pool, images, key)


def numbered(start, count):
    """Images of one value each, that no other image has; never 0, which an empty pool holds."""
    values = np.arange(start + 1, start + 1 + count, dtype=np.float32)
    return np.broadcast_to(values.reshape(-1, 1, 1, 1), (count, *SHAPE)).copy()


def numbers(images):
    """The numbers of such images, all of whose pixels must have them."""
    images = np.asarray(images)
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].astype(int).tolist()


class ImagePool:
    """The pool of the paper's PyTorch code, given its decisions instead of drawing them."""

    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, decisions):
        returned = []
        for image, (is_swapped, place) in zip(images, decisions, strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                returned.append(image)
            elif is_swapped:
                returned.append(self.images[place])
                self.images[place] = image
            else:
                returned.append(image)
        return returned


@functools.partial(jax.jit, static_argnums=(1, 2))
def decide(key, count, size):
    """Whether each image of a query is swapped once the pool is full, and where to."""

    def one(index):
        swap_key, place_key = jax.random.split(jax.random.fold_in(key, index))
        return jax.random.bernoulli(swap_key), jax.random.randint(place_key, (), 0, size)

    return jax.vmap(one)(jnp.arange(count))


def decisions(key, count, size):
    return [(bool(swap), int(place)) for swap, place in zip(*decide(key, count, size), strict=True)]


query = jax.jit(memory.query)


@pytest.mark.parametrize(
    "size, batch",
    [
        pytest.param(3, 1, id="batch of 1"),
        pytest.param(3, 2, id="size no multiple of the batch"),
        pytest.param(2, 5, id="batch larger than the pool"),
        pytest.param(1, 3, id="pool of 1"),
    ],
)
def test_the_pool_does_as_the_reference_given_the_same_decisions(size, batch):
    pool, reference = memory.create(size, SHAPE), ImagePool(size)
    for i in range(12):
        key, images = jax.random.key(i), numbered(i * batch, batch)
        pool, returned = query(pool, images, key)
        expected = reference.query(numbers(images), decisions(key, batch, size))
        assert numbers(returned) == expected
        assert numbers(pool.images[: len(reference.images)]) == reference.images
        assert int(pool.count) == len(reference.images)
        # What is not filled yet stays as it was.
        assert not np.asarray(pool.images[len(reference.images) :]).any()
    assert returned.shape == images.shape and returned.dtype == jnp.float32


def test_an_empty_pool_fills_and_returns_the_images_themselves():
    pool, images = memory.create(5, SHAPE), numbered(0, 5)
    assert int(pool.count) == 0 and pool.count.dtype == jnp.int32
    after, returned = query(pool, images, jax.random.key(0))
    np.testing.assert_array_equal(returned, images)
    np.testing.assert_array_equal(after.images, images)
    assert int(after.count) == 5
    # The pool it was asked of is the same as before.
    assert int(pool.count) == 0 and not np.asarray(pool.images).any()


@pytest.fixture(scope="module")
def long():
    """4000 images through a pool of 4: what came back, and what stayed."""
    pool, returned = query(memory.create(4, SHAPE), numbered(0, 4000), jax.random.key(1))
    return numbers(returned), numbers(pool.images)


def test_half_of_the_images_are_swapped_for_older_ones(long):
    returned, _ = long
    images = range(1, 4001)
    assert returned[:4] == [1, 2, 3, 4]
    swapped = [old != new for old, new in zip(returned, images, strict=True)][4:]
    # The share strays by 0.008.
    assert np.mean(swapped) == pytest.approx(0.5, abs=0.035)
    # And one image's swap says nothing about the next one's.
    assert np.mean(np.equal(swapped[1:], swapped[:-1])) == pytest.approx(0.5, abs=0.035)
    assert all(old <= new for old, new in zip(returned, images, strict=True))


def test_no_image_is_lost_or_made_up(long):
    returned, kept = long
    # Each comes back once, now or later, or is still there; the first four came back at once too.
    assert sorted(returned + kept) == sorted([*range(1, 4001), 1, 2, 3, 4])


def test_every_place_of_the_pool_is_as_likely(long):
    returned, kept = long
    stored, counts = [1, 2, 3, 4], np.zeros(4)
    for new, old in zip(range(5, 4001), returned[4:], strict=True):
        if old != new:
            place = stored.index(old)
            stored[place] = new
            counts[place] += 1
    assert stored == kept
    # About 500 each, straying by 19.
    assert np.abs(counts - counts.mean()).max() < 100


def test_another_key_decides_otherwise():
    pool, _ = query(memory.create(8, SHAPE), numbered(0, 8), jax.random.key(0))
    one, two = (query(pool, numbered(8, 8), jax.random.key(seed))[1] for seed in (1, 2))
    assert numbers(one) != numbers(two)


# On four devices, two images each.
DEVICES, BATCH, SIZE, QUERIES = 4, 8, 5, 4


def in_pmap():
    """A query in `pmap`; the pool of every device."""
    mapped = jax.pmap(
        shared_query,
        axis_name=parallel.DATA,
        in_axes=(None, 0, None),
        devices=jax.devices()[:DEVICES],
    )

    def run(pool, images, key):
        pools, images = mapped(pool, images.reshape(DEVICES, -1, *SHAPE), key)
        return [jax.tree.map(lambda x, i=i: x[i], pools) for i in range(DEVICES)], images

    return run


def in_shard_map():
    mesh = parallel.make_mesh(DEVICES)
    whole, split = PartitionSpec(), PartitionSpec(parallel.DATA)
    mapped = jax.jit(
        jax.shard_map(
            shared_query,
            mesh=mesh,
            in_specs=(whole, split, whole),
            out_specs=(whole, split),
            check_vma=False,
        )
    )
    return by_device(mapped)


def in_jit():
    mesh = parallel.make_mesh(DEVICES)
    whole = parallel.replicated(mesh)
    split = NamedSharding(mesh, PartitionSpec(parallel.DATA))
    mapped = jax.jit(memory.query, in_shardings=(whole, split, whole), out_shardings=(whole, split))
    return by_device(mapped)


def by_device(mapped):
    """Of a function that gives a pool the same on all devices, what each of them has."""

    def run(pool, images, key):
        pool, images = mapped(pool, images, key)
        copies = [
            jax.tree.map(lambda x, i=i: jnp.asarray(np.asarray(x.addressable_shards[i].data)), pool)
            for i in range(DEVICES)
        ]
        return copies, images

    return run


@pytest.mark.parametrize("form", [in_pmap, in_shard_map, in_jit])
def test_four_devices_exchange_as_one_does_bit_for_bit(form):
    run = form()
    expected = pool = memory.create(SIZE, SHAPE)
    images = np.random.default_rng(0).normal(size=(QUERIES, BATCH, *SHAPE)).astype(np.float32)
    swapped = 0
    for i, batch in enumerate(images):
        key = jax.random.key(i)
        expected, returned = query(expected, batch, key)
        pools, shared = run(pool, batch, key)
        np.testing.assert_array_equal(np.asarray(shared).reshape(batch.shape), returned)
        for pool in pools:
            jax.tree.map(np.testing.assert_array_equal, pool, expected)
        swapped += int((np.asarray(returned) != batch).any((1, 2, 3)).sum())
        assert int(expected.count) == SIZE
    assert swapped > 4
