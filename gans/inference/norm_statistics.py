"""What instance norms need to know of a whole image to normalise its parts.

An instance norm makes every output pixel depend on the mean and variance of each feature map
over the whole image. A part that used its own would be of another contrast than its
neighbours: a blue sky alone is stretched until its noise is as strong as the houses below.

So the moments of the whole are estimated. Patches from all over the image go through the
network as one batch, in which each norm pools the moments of all and normalises all alike.
It has to be one batch: patches that go through one after the other, each normalised by what
the last round found, come to the moments of the whole only in as many rounds as there are
norms, and stray far in between.

A small image is in that batch as a whole, each pixel counting once. Of a larger one there is
a sample, which is then corrected: all of the image, batch by batch, goes through with the
moments of the sample, which tells for each norm how the moments of the whole differ from the
sample's where all norms before it are alike. By these differences the sample's moments are
corrected as it goes through once more. Measured on photographs of 2.5 megapixels and a ResNet
of 9 blocks, the mean difference between the image painted in tiles of 512 and painted as a
whole was 1.6 to 2.2 grey levels with the sample as it is, and 0.2 to 0.3 with it corrected.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gans.core.pixels import to_float
from gans.core.state import NetState
from gans.inference.tiles import Cut
from gans.models import layers

_AT_ONCE = 2**20  # pixels of a batch
_ROUNDS = 1  # corrections of the sample
_TINY = 1e-5  # added to variances before they are compared, as by the norms themselves

Place = tuple[int, int]

Moments = Mapping[str, tuple[jax.Array, jax.Array]]
"""Mean and biased variance, `[B, 1, 1, C]` each, under the path of an `InstanceNorm`."""


class Estimate:
    """The work of estimating the moments of an image.

    Attributes:
      steps: how many batches go through the network.
    """

    def __init__(self, net: NetState, pixels: np.ndarray, rows: Cut, columns: Cut):
        """Prepares to cut `pixels` uint8 `[H, W, C]` into patches; a pixel counts their weights."""
        self._net, self._pixels, self._cuts = net, pixels, (rows, columns)
        counts = len(rows.starts), len(columns.starts)
        places = list(itertools.product(*map(range, counts)))
        most = max(1, _AT_ONCE // (rows.tile * columns.tile))
        self._sample = spread(*counts, most)
        is_whole = len(self._sample) == len(places)
        self._batches = (
            [] if is_whole else [places[i : i + most] for i in range(0, len(places), most)]
        )
        self.steps = 1 + (0 if is_whole else _ROUNDS * (len(self._batches) + 1))

    def run(self, report: Callable[[], None]) -> Moments:
        """The moments for each norm; `report` is called after each of the `steps`."""
        sample = self._gather(self._sample)
        correction = {}
        found = _pool(self._net, *sample, correction)
        report()
        for _ in range(_ROUNDS if self._batches else 0):
            noted = []
            for places in self._batches:
                patches, weight = self._gather(places)
                moments = _note(self._net, patches, weight, found)
                noted.append((jax.device_get(moments), weight.sum()))
                report()
            correction = _corrected_by(correction, joined(noted), jax.device_get(found))
            found = _pool(self._net, *sample, correction)
            report()
        return found

    def _gather(self, places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray]:
        """Patches uint8 `[B, h, w, C]` and what their pixels count, `[B, h, w]`."""
        rows, columns = self._cuts
        patches = [self._pixels[np.ix_(rows.pixels(i), columns.pixels(j))] for i, j in places]
        weights = [np.outer(rows.weights[i], columns.weights[j]) for i, j in places]
        return np.stack(patches), np.stack(weights).astype(np.float32)


@jax.jit
def _pool(net: NetState, patches: jax.Array, weight: jax.Array, correction: Moments) -> Moments:
    """The moments by which a batch is normalised that shares its own, corrected."""

    def choose(path, pooled):
        shift, ratio = correction.get(path, (0.0, 1.0))
        return pooled[0] + shift, pooled[1] * ratio

    with shared_moments(choose, weight) as pooled:
        net(to_float(patches), train=False)
    return {path: choose(path, moments) for path, moments in pooled.items()}


@jax.jit
def _note(net: NetState, patches: jax.Array, weight: jax.Array, moments: Moments) -> Moments:
    """The moments that a batch has at each norm when it is normalised by given ones."""
    with shared_moments(lambda path, pooled: moments[path], weight) as pooled:
        net(to_float(patches), train=False)
    return pooled


def joined(parts: Sequence[tuple[Moments, float]]) -> Moments:
    """The moments of all parts together, of the moments and the weight of each."""
    weights = np.array([weight for _, weight in parts], np.float64)
    weights = (weights / weights.sum()).reshape(-1, 1, 1, 1, 1)
    together = {}
    for path in parts[0][0]:
        means = np.stack([moments[path][0] for moments, _ in parts]).astype(np.float64)
        variances = np.stack([moments[path][1] for moments, _ in parts]).astype(np.float64)
        mean = np.sum(weights * means, 0)
        variance = np.sum(weights * (variances + np.square(means - mean)), 0)
        together[path] = mean.astype(np.float32), variance.astype(np.float32)
    return together


def _corrected_by(correction: Moments, whole: Moments, sample: Moments) -> Moments:
    """For each norm what is to be added to the mean, and the variance multiplied by."""
    better = {}
    for path, (mean, variance) in whole.items():
        shift, ratio = correction.get(path, (0.0, 1.0))
        more = (variance + _TINY) / (sample[path][1] + _TINY)
        better[path] = shift + mean - sample[path][0], ratio * more
    return better


def spread(rows: int, columns: int, most: int) -> list[Place]:
    """At most `most` places of a grid, in even rows and columns all over it."""
    if rows * columns <= most:
        return list(itertools.product(range(rows), range(columns)))
    kept_rows = min(rows, most, max(1, round((most * rows / columns) ** 0.5)))
    kept_columns = min(columns, most // kept_rows)
    kept_rows = min(rows, most // kept_columns)
    centres = [
        [(2 * i + 1) * count // (2 * kept) for i in range(kept)]
        for count, kept in ((rows, kept_rows), (columns, kept_columns))
    ]
    return list(itertools.product(*centres))


@contextlib.contextmanager
def shared_moments(
    choose: Callable[[str, tuple[jax.Array, jax.Array]], tuple[jax.Array, jax.Array] | None],
    weight: jax.Array,
) -> Iterator[dict[str, tuple[jax.Array, jax.Array]]]:
    """Makes the instance norms of a batch use moments of one's choice, the same for all images.

    For images that are parts of one, to be normalised as the whole. An input of single pixels
    keeps their own moments, which make it zero, at training too: a network has never learned
    what to do with anything else.

    Args:
      choose: given a norm's path and its input's moments, pooled over the batch, returns those
        to use, `[1, 1, 1, C]` each; None for those of each image.
      weight: `[B, H, W]` of the network's input, how much each pixel counts when moments are
        pooled. Height and width of every normalised map divide H and W.

    Yields:
      A dict that is filled with the pooled moments by path, as the network is applied.
    """
    pooled = {}

    def share(next_fun, args, kwargs, context):
        norm, x = context.module, args[0] if args else None
        is_concerned = isinstance(norm, layers.InstanceNorm) and context.method_name == "__call__"
        if is_concerned and x.shape[1:3] != (1, 1):
            path = "/".join(norm.path)
            pooled[path] = _weighted_moments(x.astype(jnp.float32), weight)
            kwargs = {**kwargs, "moments": choose(path, pooled[path])}
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(share):
        yield pooled


def _weighted_moments(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moments `[1, 1, 1, C]` of `[B, h, w, C]`, of which `weight` `[B, H, W]` is an enlargement."""
    batch, height, width = x.shape[:3]
    share = weight.reshape(batch, height, weight.shape[1] // height, width, -1).sum((2, 4))
    share = (share / share.sum())[..., None]
    mean = jnp.sum(share * x, (0, 1, 2), keepdims=True)
    return mean, jnp.sum(share * jnp.square(x - mean), (0, 1, 2), keepdims=True)
