"""The iterations of `gans.games` as a training loop in PyTorch has them.

An iteration is an object called with a batch and noise; it moves the networks and returns every
loss term, by our names, on the device.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping

import torch
from ml_collections import ConfigDict
from torch import nn

from experiments.studies.benchmark.peers import build
from gans.errors import UserError

Tensors = Mapping[str, torch.Tensor]


def iteration(config: ConfigDict, nets: Mapping[str, nn.Module]) -> Latent | Cycle:
    """The iteration of a config's game.

    Raises:
      UserError: the game is not written in PyTorch here.
    """
    games = {"latent.two_step": Latent, "latent.joint": Latent, "cycle.game": Cycle}
    if config.game.name not in games:
        raise UserError(
            f"The game {config.game.name} is not written in PyTorch here, so it can be timed but "
            "not compared: leave --against out."
        )
    return games[config.game.name](config, nets)


class Latent:
    """`gans.games.latent`: fakes are made once in an iteration, and used by both networks."""

    def __init__(self, config: ConfigDict, nets: Mapping[str, nn.Module]):
        self._generator, self._discriminator = nets["generator"], nets["discriminator"]
        self._optimizers = {
            name: build.optimizer(net.parameters(), config.optim[name])
            for name, net in nets.items()
        }
        self._criterion = build.criterion(config.loss.adversarial)
        self._weights = config.loss.weights
        self._is_joint = config.game.name == "latent.joint"

    def __call__(self, batch: Tensors, noise: Tensors) -> dict[str, torch.Tensor]:
        label = (batch["label"],) if "label" in batch else ()
        fakes = self._generator(noise["latent"], *label)
        real, fake = self._discriminate(batch["image"], fakes.detach(), label)
        with frozen(self._discriminator):
            made = self._criterion(self._discriminator(fakes, *label), True)
            self._step("generator", self._weights.adversarial * made)
        players = ("discriminator",) * 2 if self._is_joint else ("d_real", "d_fake")
        return {
            f"{players[0]}/real": real.detach(),
            f"{players[1]}/fake": fake.detach(),
            "generator/adversarial": made.detach(),
        }

    def _discriminate(
        self, images: torch.Tensor, fakes: torch.Tensor, label: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step on both, or one on each."""
        real = self._criterion(self._discriminator(images, *label), True)
        if not self._is_joint:
            self._step("discriminator", self._weights.real * real)
        fake = self._criterion(self._discriminator(fakes, *label), False)
        loss = self._weights.fake * fake
        self._step("discriminator", self._weights.real * real + loss if self._is_joint else loss)
        return real, fake

    def _step(self, net: str, loss: torch.Tensor) -> None:
        step(loss, self._optimizers[net])


class Cycle:
    """`gans.games.cycle`, in the order of the authors' code."""

    def __init__(self, config: ConfigDict, nets: Mapping[str, nn.Module]):
        self._nets, self._weights = nets, config.loss.weights
        self._criterion, self._l1 = build.criterion(config.loss.adversarial), nn.L1Loss()
        # One optimizer for each network, or for both of a player: the same on Adam's numbers.
        self._optimizers = {
            player: [
                build.optimizer(nets[name].parameters(), config.optim[name])
                for name in names
                if name in config.optim
            ]
            or [
                build.optimizer(
                    [p for name in names for p in nets[name].parameters()], config.optim[player]
                )
            ]
            for player, names in {
                "generators": ("generator_ab", "generator_ba"),
                "discriminators": ("discriminator_a", "discriminator_b"),
            }.items()
        }
        self._pools = {name: Pool(config.game.pool_size) for name in "ab"}

    def __call__(self, batch: Tensors, noise: Tensors) -> dict[str, torch.Tensor]:
        del noise
        a, b = batch["a"], batch["b"]
        with frozen(self._nets["discriminator_a"], self._nets["discriminator_b"]):
            fake_a, fake_b, made = self._generate(a, b)
            self._step("generators", made)
        judged = {}
        for domain, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            judge = self._nets[f"discriminator_{domain}"]
            judged[f"real_{domain}"] = self._criterion(judge(real), True)
            fake = self._pools[domain].query(fake.detach())
            judged[f"fake_{domain}"] = self._criterion(judge(fake), False)
        self._step("discriminators", judged)
        report = {"generators": made, "discriminators": judged}
        return {
            f"{player}/{name}": term.detach()
            for player, terms in report.items()
            for name, term in terms.items()
        }

    def _generate(
        self, a: torch.Tensor, b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """The fakes, and the generators' loss terms."""
        ab, ba = self._nets["generator_ab"], self._nets["generator_ba"]
        fake_b, fake_a = ab(a), ba(b)
        terms = {
            "adversarial_ab": self._criterion(self._nets["discriminator_b"](fake_b), True),
            "adversarial_ba": self._criterion(self._nets["discriminator_a"](fake_a), True),
            "cycle_a": self._l1(ba(fake_b), a),
            "cycle_b": self._l1(ab(fake_a), b),
            "identity_a": self._l1(ba(a), a),
            "identity_b": self._l1(ab(b), b),
        }
        return fake_a, fake_b, terms

    def _step(self, player: str, terms: Mapping[str, torch.Tensor]) -> None:
        loss = sum(self._weights[name] * term for name, term in terms.items())
        step(loss, *self._optimizers[player])


class Pool:
    """The history of fakes in the authors' form: see `gans.games.memory`."""

    def __init__(self, size: int):
        self._size, self._images = size, []

    def query(self, images: torch.Tensor) -> torch.Tensor:
        """Fakes to judge in place of these."""
        if self._size == 0:
            return images
        return torch.stack([self._exchanged(image) for image in images])

    def _exchanged(self, image: torch.Tensor) -> torch.Tensor:
        if len(self._images) < self._size:
            self._images.append(image.clone())
            return image
        if random.random() < 0.5:
            return image
        place = random.randrange(self._size)
        old, self._images[place] = self._images[place], image.clone()
        return old


def step(loss: torch.Tensor, *optimizers: torch.optim.Optimizer) -> None:
    """One step of optimizers down a loss."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


@contextlib.contextmanager
def frozen(*nets: nn.Module) -> Iterator[None]:
    """Spares the gradients of networks' parameters; those of their inputs are still taken."""
    parameters = [p for net in nets for p in net.parameters()]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
