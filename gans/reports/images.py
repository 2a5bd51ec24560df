"""Pictures of what trained generators make, to be seen side by side.

Each is of one run: its newest checkpoint, with averaged parameters where it keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from gans import parallel
from gans.data.source import Source
from gans.errors import UserError
from gans.evaluation import views
from gans.evaluation.features.network import FeatureNet
from gans.evaluation.metrics import neighbours
from gans.evaluation.subject import Reference
from gans.inference import grids, sampling, translating
from gans.inference.sampling import Sampler
from gans.parallel import Devices
from gans.reports.groups import Group, Run

T = TypeVar("T")

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


class Pictures(NamedTuple):
    """What each group's generator makes, by the group's name, or a sentence why it makes nothing.

    Attributes:
      origin: the run and the step that the pictures are of.
      is_shared: whether all groups have latent vectors of one length, and so the same noise.
      translations: test images in the other domain, of runs that translate.
      samples: a grid; this and what follows, of runs that make images of noise.
      interpolations: a row.
      neighbours: samples above the real images nearest to them.
      classes: a strip of each class, of conditional generators only.
      real: a strip of each class of real images; or a sentence why there are none.
    """

    origin: Mapping[str, str]
    is_shared: bool
    translations: Mapping[str, Image.Image | str]
    samples: Mapping[str, Image.Image | str]
    interpolations: Mapping[str, Image.Image | str]
    neighbours: Mapping[str, Strips | str]
    classes: Mapping[str, Mapping[str, Image.Image]]
    real: Mapping[str, Image.Image] | str


def of_groups(groups: Sequence[Group]) -> Pictures:
    """Those of the run with the lowest seed of each group, as far as there are some to be had."""
    first = {group.name: group.runs[0] for group in groups}
    latent = {name: run for name, run in first.items() if run.is_latent}
    others = {name: run for name, run in first.items() if name not in latent}
    shown = {name: _or_why(translating.of_test_images, run.workdir) for name, run in others.items()}
    made = _of_latents(latent)
    at = {name: x[1] for name, x in shown.items() if not isinstance(x, str)}
    return made._replace(
        origin=made.origin | {name: _origin(others[name], step) for name, step in at.items()},
        translations={name: x if isinstance(x, str) else x[0] for name, x in shown.items()},
    )


def _of_latents(runs: Mapping[str, Run]) -> Pictures:
    mesh = parallel.make_mesh()
    samplers = {name: _or_why(sampling.load, run.workdir) for name, run in runs.items()}
    references = {name: Reference(run.config, mesh) for name, run in runs.items()}

    def each(make: Callable[..., T], *given: Mapping[str, Any]) -> dict[str, T | str]:
        """What is made of every group's sampler, or why nothing is."""
        return {
            name: sampler
            if isinstance(sampler, str)
            else _or_why(make, sampler, *(x[name] for x in given))
            for name, sampler in samplers.items()
        }

    loaded = {name: x for name, x in samplers.items() if not isinstance(x, str)}
    conditional = [name for name, sampler in loaded.items() if sampler.classes]
    return Pictures(
        origin={name: _origin(runs[name], sampler.step) for name, sampler in loaded.items()},
        is_shared=len({sampler.latent_dim for sampler in loaded.values()}) <= 1,
        translations={},
        samples=each(samples),
        interpolations=each(interpolation),
        neighbours=each(nearest_neighbours, runs, references),
        classes={name: by_class(loaded[name]) for name in conditional},
        real=_or_why(lambda: real_by_class(references[conditional[0]].source("")))
        if conditional
        else {},
    )


def _origin(run: Run, step: int) -> str:
    return f"{run.name}, step {step:,}"


def _or_why(make: Callable[..., T], *given: Any) -> T | str:
    """What a function gives, or the sentence that says why it gives nothing."""
    try:
        return make(*given)
    except UserError as error:
        return str(error)


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


def nearest_neighbours(sampler: Sampler, run: Run, reference: Reference) -> Strips:
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
