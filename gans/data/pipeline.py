"""From a data set to the batches of training: order, position, and the way to the device.

The stream of a domain's images is endless: one seeded shuffle after another, cut into
batches regardless of where an epoch ends, so that every epoch visits every image once.
Iteration `i` takes positions `[i * batch_size, (i + 1) * batch_size)` of it, so a position
is all that a checkpoint need keep. Two domains have a stream each.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gans.core.pixels import to_float
from gans.core.types import Batch
from gans.data.source import Augment, Source
from gans.data.unpaired import Unpaired

Feed = Mapping[str, Any]
"""What the host sends for some iterations, by domain; the leading axis counts them."""

_READERS = 8  # threads that decode streamed images
_AHEAD = 16  # streamed batches held ready
# Folded into the seed's key. The run's own keys are split off the same one, which is to fold in
# 0, 1, 2 and so on: far from those.
_AUGMENT = 1 << 31


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, size: int, epoch: int, domain: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, domain]).permutation(size).astype(np.int32)


def order(seed: int, size: int, start: int, count: int, domain: int = 0) -> np.ndarray:
    """Image indices at positions `[start, start + count)` of the stream, int32 `[count]`."""
    first, last = start // size, (start + count - 1) // size
    epochs = [_permutation(seed, size, epoch, domain) for epoch in range(first, last + 1)]
    return np.concatenate(epochs)[start - first * size :][:count]


@dataclasses.dataclass(frozen=True)
class Stream:
    """The endless images of one domain.

    A data set that fits is sent to the device once, as uint8, and an iteration's feed
    is a list of indices; a larger one stays on the host, and the feed is the images.
    Both give the same batches.

    Attributes:
      resident: arrays that stay on the device, empty for a streamed data set.
      read: `read(indices) -> Feed` of one iteration, on the host.
      seed: of the order, and of what is random in `augment`.
      domain: number of the domain.
      size: of the data set.
      classes: how many there are.
      augment: applied to every image, or None.
    """

    resident: Mapping[str, np.ndarray]
    read: Callable[[np.ndarray], Feed]
    seed: int
    domain: int
    size: int
    classes: int
    augment: Augment | None

    def feed(self, start: int, count: int) -> Feed:
        """What the device needs of positions `[start, start + count)`."""
        feed = self.read(order(self.seed, self.size, start, count, self.domain))
        if self.augment is None:
            return feed
        return {**feed, "position": np.arange(start, start + count, dtype=np.uint32)}

    def batch(self, resident: Mapping[str, jax.Array], feed: Feed) -> dict[str, jax.Array]:
        """`image` and, if any, `label`; pure, runs inside `jit`."""
        arrays = feed
        if resident:
            arrays = {name: jnp.take(x, feed["index"], axis=0) for name, x in resident.items()}
        images = arrays["image"]
        if self.augment is not None:
            key = jax.random.fold_in(jax.random.key(self.seed), _AUGMENT + self.domain)
            keys = jax.vmap(functools.partial(jax.random.fold_in, key))(feed["position"])
            images = jax.vmap(self.augment)(images, keys)
        batch = {"image": to_float(images)}
        if "label" in arrays:
            batch["label"] = jax.nn.one_hot(arrays["label"], self.classes)
        return batch


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """The stream of batches of one data set.

    Attributes:
      streams: of each domain, under the name its images have in a batch.
      batch_size: images of each domain in an iteration, over all devices.
      rows: those of a batch that this process feeds; all of them, if it is alone.
    """

    streams: Mapping[str, Stream]
    batch_size: int
    rows: slice

    @property
    def resident(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """The arrays that stay on the device, by domain."""
        return {name: stream.resident for name, stream in self.streams.items()}

    def feeds(self, start: int, chunks: Iterable[int]) -> Iterator[Feed]:
        """Arrays `[n, rows, ...]` for each chunk of `n` iterations from `start` on."""
        chunks = list(chunks)
        batches = self._batches(start, start + sum(chunks))
        for n in chunks:
            yield jax.tree.map(lambda *x: np.stack(x), *[next(batches) for _ in range(n)])

    def _batches(self, start: int, stop: int) -> Iterator[Feed]:
        rows = self.rows

        def batch(i: int) -> Feed:
            first, count = i * self.batch_size + rows.start, rows.stop - rows.start
            return {name: stream.feed(first, count) for name, stream in self.streams.items()}

        if all(self.resident.values()):
            return map(batch, range(start, stop))
        import grain

        options = grain.ReadOptions(num_threads=_READERS, prefetch_buffer_size=_AHEAD)
        return iter(grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(options))

    def batch(self, resident: Mapping[str, Mapping[str, jax.Array]], feed: Feed) -> Batch:
        """One iteration's batch, made on the device from its feed; pure, runs inside `jit`."""
        batch = {}
        for name, stream in self.streams.items():
            made = stream.batch(resident[name], feed[name])
            batch[name] = made.pop("image")
            batch |= made
        return batch


def make_pipeline(
    source: Source | Unpaired,
    *,
    batch_size: int,
    seed: int,
    labels: bool,
    resident_mib: float,
    rows: slice | None = None,
) -> Pipeline:
    """The stream of batches of a source.

    Args:
      source: the data set.
      batch_size: images of an iteration, over all devices; of each domain, if there are two.
      seed: of the order, and of random crops.
      labels: whether the batches have labels.
      resident_mib: the most of a domain to keep on the device, in MiB of uint8.
      rows: those of a batch that this process feeds; all if None.
    """
    streams = {
        name: _stream(domain, number, seed, labels, resident_mib)
        for number, (name, domain) in enumerate(source.domains.items())
    }
    return Pipeline(streams, batch_size, slice(0, batch_size) if rows is None else rows)


def _stream(source: Source, number: int, seed: int, labels: bool, resident_mib: float) -> Stream:
    arrays = {"image": source.images}
    if labels:
        arrays["label"] = source.labels

    def read(indices: np.ndarray) -> Feed:
        return {name: np.stack([x[i] for i in indices]) for name, x in arrays.items()}

    images = source.images
    fits = isinstance(images, np.ndarray) and images.nbytes <= resident_mib * 2**20
    return Stream(
        resident=arrays if fits else {},
        read=(lambda indices: {"index": indices}) if fits else read,
        seed=seed,
        domain=number,
        size=len(source),
        classes=len(source.classes),
        augment=source.augment,
    )
