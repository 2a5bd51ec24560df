"""What a discriminator says of images, and what it pays for being steep: see `gans.games.critic`.

The penalties are those of `gans.losses.penalties` that are made of the gradient of an image's
logit. Where that is taken at images that are judged anyway, their logits are used for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from ml_collections import ConfigDict
from torch import nn

from gans.errors import UserError

Label = tuple[torch.Tensor, ...]
"""One-hot labels `[B, classes]`, or nothing."""


class Penalty(NamedTuple):
    """A penalty on gradients.

    Attributes:
      at: the images at which they are taken: "real", "fake", or "between" the two.
      cost: of their squared norms `[B]`, a scalar.
      every: it is computed in one of so many steps, times that number.
    """

    at: str
    cost: Callable[[torch.Tensor], torch.Tensor]
    every: int


class Judged(NamedTuple):
    """Logits `[B, 1]` of real and of generated images, and the penalties' terms by name."""

    of_real: torch.Tensor
    of_fake: torch.Tensor
    paid: dict[str, torch.Tensor]


class Critic:
    """A discriminator with the penalties of a config, which counts its steps."""

    def __init__(self, config: ConfigDict, net: nn.Module):
        self._net, self._penalties, self._steps = net, _penalties(config), 0

    @property
    def mixes(self) -> bool:
        """Whether it looks at images between real and generated ones."""
        return any(penalty.at == "between" for penalty in self._penalties.values())

    def __call__(
        self,
        real: torch.Tensor,
        fake: torch.Tensor,
        labels: tuple[Label, Label],
        share: torch.Tensor | None = None,
    ) -> Judged:
        """What it says in its next step.

        Args:
          real: real images.
          fake: generated ones, as constants.
          labels: of the real and of the generated images.
          share: `[B, 1, 1, 1]`, how much of the real image is in one between; needed if it `mixes`.
        """
        due = {name: p for name, p in self._penalties.items() if self._steps % p.every == 0}
        self._steps += 1
        steep = {penalty.at for penalty in due.values()}
        images = {"real": (real, labels[0]), "fake": (fake, labels[1])}
        if "between" in steep:
            images["between"] = torch.lerp(fake, real, share), labels[0]
        logits, slopes = {}, {}
        for at, (x, label) in images.items():
            if at in steep:
                logits[at], slopes[at] = self._with_slope(x, label)
            else:
                logits[at] = self._net(x, *label)
        paid = {name: torch.zeros((), device=real.device) for name in self._penalties}
        paid |= {name: p.every * p.cost(slopes[p.at]) for name, p in due.items()}
        return Judged(logits["real"], logits["fake"], paid)

    def _with_slope(self, x: torch.Tensor, label: Label) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the squared norm `[B]` of each one's gradient."""
        x = x.detach().requires_grad_()
        # Not the network itself: what is compiled has no second derivatives.
        logits = self._net.forward(x, *label)
        (gradients,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return logits, gradients.square().sum((1, 2, 3))


def _penalties(config: ConfigDict) -> dict[str, Penalty]:
    section = config.loss.get("penalties", {})
    for spec in section.values():
        if spec.name not in _KINDS:
            raise UserError(
                f"The penalty {spec.name} is not written in PyTorch here; {', '.join(_KINDS)} are."
            )
        if config.nets.discriminator.get("spectral"):
            raise UserError(
                "Penalties of a spectrally normalised discriminator are not written in PyTorch "
                "here: set nets.discriminator.spectral to False."
            )
    return {
        name: Penalty(*_KINDS[spec.name], every=spec.get("every", 1))
        for name, spec in section.items()
    }


def _half_mean(squares: torch.Tensor) -> torch.Tensor:
    return 0.5 * squares.mean()


def _from_one(squares: torch.Tensor) -> torch.Tensor:
    return ((squares + 1e-16).sqrt() - 1.0).square().mean()


_KINDS = {
    "penalties.R1": ("real", _half_mean),
    "penalties.R2": ("fake", _half_mean),
    "penalties.GradientPenalty": ("between", _from_one),
}
