"""Generated images against real ones, through one feature net."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from gans.config import build
from gans.core.types import Game
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.evaluation import alarms
from gans.evaluation.evaluators import comparisons
from gans.evaluation.evaluators.findings import Findings
from gans.evaluation.subject import Looking, Reference, Subject, require_latent


class Samples:
    """Compares samples of a generator with real images in as many ways as are named.

    Args:
      comparisons: functions in `gans.evaluation.evaluators`, as in "comparisons.frechet".
      net, weights, num_fake, num_real, split, averaged, seed: see
        `gans.evaluation.subject.Looking`.
    """

    def __init__(
        self,
        *,
        comparisons: Sequence[str],
        net: str = "classifier.load",
        weights: str = "cifar10",
        num_fake: int = 10_000,
        num_real: int = 10_000,
        split: str = "",
        averaged: bool = True,
        seed: int = 0,
    ):
        self.looking = Looking(net, weights, num_fake, num_real, split, averaged, seed)
        self._compare = {name: build.find("evaluators", name) for name in comparisons}
        for name, compare in self._compare.items():
            if not inspect.isfunction(compare):
                raise UserError(f"comparisons has {name!r}, which is no function of two views.")

    def prepare(self, game: Game, info: DataInfo, reference: Reference) -> None:
        """Raises UserError unless the game makes samples and the network can be loaded."""
        del info
        require_latent(game)
        reference.net(self.looking.net, self.looking.weights)

    def __call__(self, subject: Subject) -> tuple[dict[str, float], dict[str, Any]]:
        """The numbers, and the protocol they were found by.

        What these images do not allow is left out, and said so among the protocol's `cautions`.
        """
        real, fake = subject.real(self.looking), subject.fake(self.looking)
        findings = Findings(comparisons.cautions(real, fake))
        for name, compare in self._compare.items():
            findings.ask(name, compare, real, fake)
        findings.warn(list(filter(None, alarms.diversity(findings.numbers).values())))
        net = subject.reference.net(self.looking.net, self.looking.weights)
        has_average = subject.nets[require_latent(subject.game).net].ema_params is not None
        protocol = self.looking._asdict() | {
            "net": net.name,
            "weights": net.weights,
            "resize": net.resize,
            "num_real": len(real),
            "split": self.looking.split or subject.reference.config.data.get("split", ""),
            "averaged": self.looking.averaged and has_average,
        }
        return findings.numbers, protocol | findings.notes
