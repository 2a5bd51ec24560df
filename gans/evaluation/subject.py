"""What evaluators are given: a run's networks at one step, its data, and the features of both.

Features and samples that several evaluators ask for are computed once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gans import parallel
from gans.config import build
from gans.core.state import NetState
from gans.core.types import Game, Latent
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.evaluation import alarms, views
from gans.evaluation.features.network import FeatureNet
from gans.evaluation.views import View
from gans.inference.sampling import Sampler


class Looking(NamedTuple):
    """The settings of a comparison: the feature network, and which images are compared.

    Attributes:
      net: the loader of the feature network in `gans.evaluation.features`, e.g. "classifier.load".
      weights: the weights that the loader is given.
      num_fake: the number of generated images.
      num_real: the largest number of real images; 0 takes all of the split.
      split: the split of the data set; empty for the images that the run is trained on.
      averaged: whether to use the generator's averaged parameters, where it has them.
      seed: the seed of the latent vectors, and of the choice among the real images.
    """

    net: str
    weights: str
    num_fake: int
    num_real: int
    split: str
    averaged: bool
    seed: int


_LOOKED_AT = 64  # images of a domain, to know what they look like


class Reference:
    """Real images and feature networks, cached from one evaluation of a run to the next.

    Args:
      config: the run's config.
      mesh: the devices that share the work.
      source: the images that the run is trained on, if they are loaded already.
    """

    def __init__(
        self, config: ConfigDict, mesh: parallel.Devices, source: Source | Unpaired | None = None
    ):
        self.config, self.mesh, self._source = config, mesh, source

    @functools.lru_cache(maxsize=4)  # noqa: B019 as long-lived as what it keeps
    def net(self, name: str, weights: str) -> FeatureNet:
        """The feature network that a loader makes from weights."""
        return build.find("features", name)(weights)

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def source(self, split: str) -> Source | Unpaired:
        """The images of a split, those trained on if it is empty."""
        if not split and self._source is not None:
            return self._source
        data = self.config.data.copy_and_resolve_references()
        if split:
            if "split" not in data:
                raise UserError(f"The data set {data.name} has no splits to choose from.")
            data.split = split
        return build.data_source(data)

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def unpaired(self, num: int) -> Unpaired:
        """The images of two domains, with at most `num` test images of each."""
        data = self.config.data.copy_and_resolve_references()
        data.test_images = num
        return build.data_source(data)

    @functools.cached_property
    def pixels(self) -> dict[str, alarms.Pixels]:
        """What a few of the images trained on look like, by their domain's name in a batch."""
        found = {}
        for name, source in self.source("").domains.items():
            places = views.choice(source, _LOOKED_AT, seed=0)
            few = np.stack([alarms.thinned(source.images[i]) for i in places])
            found[name] = alarms.look(few)
        return found

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def view(self, net: str, weights: str, num: int, split: str, seed: int) -> View:
        """The features of real images of one domain."""
        source = self.source(split)
        view = views.reference(self.net(net, weights), source, num, seed=seed, mesh=self.mesh)
        places = views.choice(source, num, seed=seed)
        return dataclasses.replace(view, share=self._share(source, split, places))

    def _share(self, source: Source, split: str, places: np.ndarray) -> float | None:
        """The share of all training images that is among these places of a source."""
        if not split or split == self.config.data.get("split"):
            return len(places) / len(source)
        try:
            trained = self.source("").digests()
        except UserError:  # as where only the split is at hand
            return None
        return len(trained & source.digests(places)) / len(trained)


def require_latent(game: Game) -> Latent:
    """The latent generator of a game.

    Raises:
      UserError: the game has no generator that takes latent vectors.
    """
    if not isinstance(game.makes, Latent):
        raise UserError("Samples are made of latent vectors, which this game has none of.")
    return game.makes


class Subject:
    """A run at one step, as evaluators are given it.

    Attributes:
      nets: the run's networks.
      step: the number of iterations done.
      game: the run's game; `game.makes` says what its generators make.
      info: the facts about the run's data.
      reference: the real images and feature networks.
    """

    def __init__(
        self,
        nets: Mapping[str, NetState],
        step: int,
        game: Game,
        info: DataInfo,
        reference: Reference,
    ):
        self.nets, self.step, self.game = nets, step, game
        self.info, self.reference = info, reference
        self._fake: dict[Looking, View] = {}

    def real(self, at: Looking) -> View:
        """The features of real images."""
        return self.reference.view(at.net, at.weights, at.num_real, at.split, at.seed)

    def fake(self, at: Looking) -> View:
        """The features of generated images, whose labels go through the classes in turn."""
        key = at._replace(num_real=0, split="")
        if key not in self._fake:
            blocks = views.generated(
                self.sampler(at.averaged), at.num_fake, seed=at.seed, mesh=self.reference.mesh
            )
            net = self.reference.net(at.net, at.weights)
            self._fake[key] = views.look(net, blocks, self.reference.mesh, self.info.classes)
        return self._fake[key]

    def sampler(self, averaged: bool) -> Sampler:
        """The generator as a sampler.

        Args:
          averaged: whether to use its averaged parameters, where it has them.
        """
        makes = require_latent(self.game)
        net = self.nets[makes.net]
        return Sampler(
            net if averaged else net.replace(ema_params=None, ema_model_state=None),
            latent_dim=makes.dim,
            classes=self.info.classes,
            image_shape=self.info.image_shape,
            step=self.step,
        )
