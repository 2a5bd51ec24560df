"""Whether the discriminator knows the images it was trained on from others like them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from gans import parallel
from gans.core.pixels import to_float
from gans.core.types import Game
from gans.data.source import DataInfo, Source
from gans.errors import UserError
from gans.evaluation import views
from gans.evaluation.subject import Reference, Subject
from gans.evaluation.views import Block


class Overfitting:
    """The discriminator's mean logit on images trained on, held out, and generated.

    `overfitting` is r_v of Karras et al. 2020 (arXiv:2006.06676, eq. 1): how far the held-out
    images lie from those trained on, towards the generated ones. 0 where the discriminator cannot
    tell held-out images from those it was trained on, 1 where it takes them for generated.

    Args:
      held_out: a split of the data set that was not trained on.
      num: images of each kind, at most.
      seed: of the latent vectors, and of the choice among real images.
    """

    def __init__(self, *, held_out: str = "test", num: int = 2000, seed: int = 0):
        self.held_out, self.num, self.seed = held_out, num, seed

    def prepare(self, game: Game, info: DataInfo, reference: Reference) -> None:
        """Raises UserError unless the game has one discriminator, and there are held-out images."""
        del info
        if game.logits is None:
            raise UserError("Overfitting is measured in games with one discriminator of images.")
        self._held_out(reference)

    def __call__(self, subject: Subject) -> tuple[dict[str, float], dict[str, Any]]:
        """The numbers, and the protocol they were found by; none if nothing is held out."""
        reference = subject.reference
        protocol = {"num": self.num, "held_out": self.held_out, "seed": self.seed, "cautions": []}
        try:
            held_out = self._held_out(reference)
        except UserError as error:
            return {}, protocol | {"cautions": [f"Overfitting is left out: {error}"]}
        kinds = {
            "trained": views.real(reference.source(""), self.num, seed=self.seed),
            "held_out": views.real(held_out, self.num, seed=self.seed),
            "generated": views.generated(
                subject.sampler(averaged=False), self.num, seed=self.seed, mesh=reference.mesh
            ),
        }
        means = {name: _mean_logit(subject, blocks) for name, blocks in kinds.items()}
        numbers = {f"logit_{name}": mean for name, mean in means.items()}
        apart = means["trained"] - means["generated"]
        if apart > 0:
            numbers["overfitting"] = (means["trained"] - means["held_out"]) / apart
        else:
            protocol["cautions"].append("The discriminator does not know real images from made.")
        return numbers, protocol

    def _held_out(self, reference: Reference) -> Source:
        source = reference.source(self.held_out)
        common = len(source.digests() & reference.source("").digests())
        if common > len(source) // 100:  # CIFAR-10 itself has a few images twice
            raise UserError(
                f"{common:,} of the {len(source):,} images of the split {self.held_out!r} are "
                "trained on, so they are not held out: set data.split to images without them."
            )
        return source


def _mean_logit(subject: Subject, blocks: Iterable[Block]) -> float:
    """Of the discriminator in inference mode, which is told the class where training tells it."""
    mesh = subject.reference.mesh
    nets = jax.device_put(dict(subject.nets), parallel.replicated(mesh))
    found = []
    for block in blocks:
        batch = {"image": to_float(parallel.share_out(block.images, mesh))}
        if subject.info.classes:
            label = jax.nn.one_hot(block.labels, len(subject.info.classes))
            batch["label"] = parallel.share_out(label, mesh)
        logits = _logits(subject.game.logits, nets, batch)
        found.append(parallel.fetch(logits, mesh)[: len(block.images)])
    return float(np.concatenate(found).mean(dtype=np.float64))


_logits = jax.jit(lambda logits, nets, batch: logits(nets, batch), static_argnums=0)
