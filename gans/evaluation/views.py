"""The features of many images, computed block by block on all devices.

The features of real images are kept in the cache folder, under a hash of everything that they
depend on, including the images themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gans import parallel
from gans.data.source import Source
from gans.errors import UserError
from gans.evaluation.features.network import FeatureNet
from gans.evaluation.metrics import leaks
from gans.evaluation.metrics.frechet import Moments
from gans.files import archives, cache
from gans.files.writing import atomic
from gans.inference.sampling import Sampler, latents, render
from gans.parallel import hosts

BLOCK = 200  # images at once on a device


class Block(NamedTuple):
    """A few images, uint8 `[B, H, W, C]`, and their labels, int32 `[B]`, if there are any."""

    images: np.ndarray | jax.Array
    labels: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class View:
    """The outputs of a feature network for a set of images.

    Attributes:
      net: the name of the feature network.
      told: the class names that the network's logits stand for; empty if they stand for no classes
        of a data set.
      classes: the class names that the labels stand for; empty without labels.
      features: float32 `[N, D]`.
      logits: float32 `[N, K]`.
      labels: int32 `[N]`, or None.
      share: for real images, the share of all training images that is among them; None where it is
        not known.
      marks: float32 `[N, 5]`, what `gans.evaluation.metrics.leaks.marks` finds in the images; None
        where they were not looked at.
    """

    net: str
    told: tuple[str, ...]
    classes: tuple[str, ...]
    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray | None
    share: float | None = 1.0
    marks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    @functools.cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the features."""
        parts = np.array_split(self.features, max(1, len(self) // 1024))
        return functools.reduce(lambda a, b: a + b, map(Moments.of, parts))

    def of_class(self, number: int) -> View:
        """The images that have one label."""
        chosen = self.labels == number
        return dataclasses.replace(
            self,
            features=self.features[chosen],
            logits=self.logits[chosen],
            labels=self.labels[chosen],
            marks=None if self.marks is None else self.marks[chosen],
        )


def look(
    net: FeatureNet,
    blocks: Iterable[Block],
    mesh: parallel.Devices,
    classes: tuple[str, ...] = (),
) -> View:
    """Computes the features of blocks of images; the devices of a mesh share each block."""
    variables = jax.device_put(net.variables, parallel.replicated(mesh))
    seen, labels = [], []
    for block in blocks:
        images = parallel.share_out(block.images, mesh)
        part = parallel.fetch(_see(net.apply, variables, images), mesh)
        size = len(block.images)
        seen.append([x[:size] for x in part])
        labels.append(block.labels)
    features, logits, marks = map(np.concatenate, zip(*seen, strict=True))
    together = np.concatenate(labels) if classes else None
    return View(net.name, net.classes, classes, features, logits, together, marks=marks)


@functools.partial(jax.jit, static_argnums=0)
def _see(apply: Callable, variables: Any, images: jax.Array) -> tuple[jax.Array, ...]:
    """The features, the logits and the marks of images."""
    return *apply(variables, images), leaks.marks(images)


def generated(
    sampler: Sampler, count: int, *, seed: int, mesh: parallel.Devices
) -> Iterator[Block]:
    """The first `count` samples of a seed, their labels going through the classes in turn."""
    net = jax.device_put(sampler.net, parallel.replicated(mesh))
    classes = len(sampler.classes)
    for start in range(0, count, BLOCK):
        latent = latents(seed, start, BLOCK, sampler.latent_dim)
        labels = np.arange(start, start + BLOCK, dtype=np.int32) % classes if classes else None
        one_hot = parallel.share_out(jax.nn.one_hot(labels, classes), mesh) if classes else None
        images = render(net, parallel.share_out(latent, mesh), one_hot)
        size = min(BLOCK, count - start)  # of the last, the rest is cut, so as to compile once
        yield Block(images[:size], None if labels is None else labels[:size])


def real(source: Source, count: int, *, seed: int) -> Iterator[Block]:
    """The real images that `choice` selects from a data set."""
    chosen = choice(source, count, seed=seed)
    for start in range(0, len(chosen), BLOCK):
        index = chosen[start : start + BLOCK]
        images = np.stack([source.images[i] for i in index])
        yield Block(images, None if source.labels is None else source.labels[index])


def choice(source: Source, count: int, *, seed: int) -> np.ndarray:
    """The sorted indices of at most `count` images, drawn without repetition; of all if 0."""
    if not count:
        return np.arange(len(source))
    return np.sort(np.random.default_rng(seed).permutation(len(source))[:count])


def of_array(images: np.ndarray) -> Iterator[Block]:
    """Images uint8 `[N, H, W, C]` without labels."""
    for start in range(0, len(images), BLOCK):
        yield Block(images[start : start + BLOCK], None)


def reference(
    net: FeatureNet, source: Source, count: int, *, seed: int, mesh: parallel.Devices
) -> View:
    """The features of real images, computed once and then read from the cache folder."""
    digest = hashlib.sha256(f"{net.name} {net.weights} {net.resize}".encode())
    for block in real(source, count, seed=seed):
        digest.update(np.ascontiguousarray(block.images))
        digest.update(b"" if block.labels is None else np.ascontiguousarray(block.labels))
    path = cache.folder() / "views" / f"{digest.hexdigest()[:32]}.npz"
    view = _cached(path, net, source, len(choice(source, count, seed=seed)))
    if hosts.all_agree(view is not None):
        return view
    view = look(net, real(source, count, seed=seed), mesh, source.classes)
    arrays = {name: x for name, x in vars(view).items() if isinstance(x, np.ndarray)}
    try:
        with atomic(path) as file:
            np.savez(file, **arrays)
    except UserError as error:  # what cannot be kept is computed again next time
        warnings.warn(f"Features of real images are not kept: {error}", stacklevel=2)
    return view


def _cached(path: Path, net: FeatureNet, source: Source, count: int) -> View | None:
    """The features in a cache file, or None if the file is absent or does not fit the request."""
    try:
        arrays = archives.load_npz(path)
    except (FileNotFoundError, UserError):
        return None
    image = jax.ShapeDtypeStruct((1, *source.images[0].shape), np.uint8)
    seen = jax.eval_shape(net.apply, net.variables, image)
    wanted = {name: ((count, x.shape[1]), np.float32) for name, x in seen._asdict().items()}
    wanted["marks"] = ((count, len(leaks.NAMES)), np.float32)
    if source.classes:
        wanted["labels"] = ((count,), np.int32)
    if {name: (x.shape, x.dtype) for name, x in arrays.items()} != wanted:
        return None
    if not all(np.isfinite(x).all() for x in arrays.values()):
        return None
    return View(net.name, net.classes, source.classes, **{"labels": None, **arrays})
