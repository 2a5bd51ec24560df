"""Pictures of what trained generators make, to be seen side by side. Nothing here touches a file.

Each of one run: its newest checkpoint, with averaged parameters where it keeps them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from gans.data.source import Source
from gans.errors import UserError
from gans.evaluation import views
from gans.evaluation.features.network import FeatureNet
from gans.evaluation.metrics import neighbours
from gans.evaluation.subject import Reference
from gans.inference import grids
from gans.inference.sampling import Sampler
from gans.parallel import Devices
from gans.reports.groups import Run

SEED = 0  # of the latent vectors, the same for all
COLUMNS = 8
STEPS = 12  # of an interpolation
EACH = 6  # images of a class
MOST_CLASSES = 20

_SAMPLES = 64
_ENDS = (1, 2)  # seeds of an interpolation's ends
_AMONG = 1000  # samples, of which the nearest to real images are shown
_DEPTH = 3  # neighbours of each


class Strips(NamedTuple):
    """Pictures of one row each, and what stands beside each."""

    labels: list[str]
    pictures: list[Image.Image]


def samples(sampler: Sampler) -> Image.Image:
    """The first images of the seed, the classes in turn."""
    return _row(sampler.sample(_SAMPLES, seed=SEED), COLUMNS)


def interpolation(sampler: Sampler) -> Image.Image:
    """From one latent vector to another; of the first class, if there are classes."""
    classes = [0] if sampler.classes else None
    return _row(sampler.interpolate(_ENDS, STEPS, classes=classes))


def by_class(sampler: Sampler) -> dict[str, Image.Image]:
    """A strip of each class, all of the same latent vectors."""
    return {
        label: _row(sampler.sample(EACH, seed=SEED, classes=[label]))
        for label in sampler.classes[:MOST_CLASSES]
    }


def real_by_class(source: Source) -> dict[str, Image.Image]:
    """A strip of each class of real images, chosen at random.

    Raises:
      UserError: the images have no labels.
    """
    if source.labels is None:
        raise UserError("The real images have no labels.")
    generator, strips = np.random.default_rng(SEED), {}
    for number, label in enumerate(source.classes[:MOST_CLASSES]):
        places = generator.permutation(np.flatnonzero(source.labels == number))[:EACH]
        if len(places):
            strips[label] = _row(np.stack([source.images[i] for i in places]))
    return strips


def memories(sampler: Sampler, run: Run, reference: Reference) -> Strips:
    """Of many samples those that are nearest to real images trained on, and their neighbours.

    They are found in the feature space of the run's first evaluator that has one.

    Raises:
      UserError: there is no such evaluator, or its network or the data cannot be loaded.
    """
    name, weights, num_real = _looking(run.config)
    net, source = reference.net(name, weights), reference.source("")
    fakes, features = _seen(sampler, net, reference.mesh)
    real = reference.view(name, weights, num_real, "", SEED)
    places = views.choice(source, num_real, seed=SEED)
    distances, found = neighbours.nearest(features, real.features, min(_DEPTH, len(real)))
    closest = np.argsort(distances[:, 0], kind="stable")[: COLUMNS + 2]
    rows = [fakes[closest]] + [
        np.stack([source.images[i] for i in places[found[closest, depth]]])
        for depth in range(found.shape[1])
    ]
    labels = ["generated", "nearest real", *("next" for _ in rows[2:])]
    return Strips(labels, [_row(row) for row in rows])


def _looking(config: ConfigDict) -> tuple[str, str, int]:
    """The first feature net of a config's evaluators, its weights, and how many real images."""
    for spec in config.get("evaluators", {}).values():
        if spec.get("net"):
            # A small classifier sees a whole data set in a minute; for Inception it would be hours
            # of a CPU, and the features of the evaluator's images are in the cache.
            is_small = spec.net.startswith("classifier.")
            return spec.net, spec.get("weights", ""), 0 if is_small else spec.get("num_real", 0)
    raise UserError("The run's config has no evaluator with a feature net to look through.")


def _seen(sampler: Sampler, net: FeatureNet, mesh: Devices) -> tuple[np.ndarray, np.ndarray]:
    """Samples, uint8, and their features."""
    blocks = list(views.generated(sampler, _AMONG, seed=SEED, mesh=mesh))
    features = views.look(net, blocks, mesh).features
    return np.concatenate([np.asarray(block.images) for block in blocks]), features


def _row(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """At their own size; the page enlarges them."""
    return grids.grid(images, columns or len(images), cell=1)
