"""From a data set to the batches of training: order, position, and the way to the device.

The stream of images is endless: one seeded shuffle of the data set after another, cut
into batches regardless of where an epoch ends, so that every epoch visits every image
once. Iteration `i` takes positions `[i * batch_size, (i + 1) * batch_size)` of it, so a
position is all that a checkpoint need keep.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gans.data.source import Source
from gans.types import Batch

Feed = Mapping[str, np.ndarray]
"""What the host sends for some iterations, the leading axis counting them."""

_READERS = 8  # threads that decode streamed images
_AHEAD = 16  # streamed batches held ready


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, size: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)


def order(seed: int, size: int, start: int, count: int) -> np.ndarray:
    """Image indices at positions `[start, start + count)` of the stream, int32 `[count]`."""
    first, last = start // size, (start + count - 1) // size
    epochs = [_permutation(seed, size, epoch) for epoch in range(first, last + 1)]
    return np.concatenate(epochs)[start - first * size :][:count]


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """The stream of batches of one data set.

    A data set that fits is sent to the device once, as uint8, and an iteration's feed
    is a list of indices; a larger one stays on the host, and the feed is the images.
    Both give the same batches.

    Attributes:
      resident: arrays that stay on the device, empty for a streamed data set.
      read: `read(indices) -> Feed` of one iteration, on the host.
      seed, size, batch_size: of the stream.
    """

    resident: Mapping[str, np.ndarray]
    read: Callable[[np.ndarray], Feed]
    seed: int
    size: int
    batch_size: int
    classes: int

    def feeds(self, start: int, chunks: Iterable[int]) -> Iterator[Feed]:
        """Arrays `[n, batch_size, ...]` for each chunk of `n` iterations from `start` on."""
        chunks = list(chunks)
        batches = self._batches(start, start + sum(chunks))
        for n in chunks:
            yield jax.tree.map(lambda *x: np.stack(x), *[next(batches) for _ in range(n)])

    def _batches(self, start: int, stop: int) -> Iterator[Feed]:
        def batch(i: int) -> Feed:
            return self.read(order(self.seed, self.size, i * self.batch_size, self.batch_size))

        if self.resident:
            return map(batch, range(start, stop))
        import grain

        options = grain.ReadOptions(num_threads=_READERS, prefetch_buffer_size=_AHEAD)
        return iter(grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(options))

    def batch(self, resident: Mapping[str, jax.Array], feed: Feed) -> Batch:
        """One iteration's batch, made on the device from its feed; pure, runs inside `jit`."""
        if resident:
            feed = {name: jnp.take(x, feed["index"], axis=0) for name, x in resident.items()}
        batch = {"image": feed["image"].astype(jnp.float32) / 127.5 - 1.0}
        if "label" in feed:
            batch["label"] = jax.nn.one_hot(feed["label"], self.classes)
        return batch


def make_pipeline(
    source: Source, *, batch_size: int, seed: int, labels: bool, resident_mib: float
) -> Pipeline:
    """The stream of batches of a source.

    Args:
      source: the data set.
      batch_size: images of an iteration, over all devices.
      seed: of the order.
      labels: whether the batches have labels.
      resident_mib: the largest data set to keep on the device, in MiB of uint8.
    """
    arrays = {"image": source.images}
    if labels:
        arrays["label"] = source.labels
    common = {
        "seed": seed,
        "size": len(source),
        "batch_size": batch_size,
        "classes": len(source.classes),
    }
    size = len(source) * int(np.prod(source.image_shape))
    if isinstance(source.images, np.ndarray) and size <= resident_mib * 2**20:
        return Pipeline(resident=arrays, read=lambda indices: {"index": indices}, **common)

    def read(indices: np.ndarray) -> Feed:
        return {name: np.stack([x[i] for i in indices]) for name, x in arrays.items()}

    return Pipeline(resident={}, read=read, **common)
