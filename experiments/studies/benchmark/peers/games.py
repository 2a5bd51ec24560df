"""The iterations of `gans.games` as a training loop in PyTorch has them.

An iteration is an object called with a batch and the noise that its method `draw` gives for one; it
moves the networks and returns every loss term, by our names, on the device.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers import build
from experiments.studies.benchmark.peers.critic import Critic, Label
from gans.errors import UserError

Tensors = Mapping[str, torch.Tensor]
Noise = Mapping[str, Any]
"""Tensors by name, or by name and name: what an iteration's `draw` gives."""


def iteration(config: ConfigDict, nets: Mapping[str, nn.Module]) -> OfNoise | Cycle:
    """The iteration of a config's game.

    Raises:
      UserError: the game, or what the config adds to it, is not written in PyTorch here.
    """
    games = {
        "latent.two_step": TwoStep,
        "latent.joint": Joint,
        "latent.repeated": Repeated,
        "relativistic.paired": Paired,
        "cycle.game": Cycle,
    }
    if config.game.name not in games:
        raise UserError(
            f"The game {config.game.name} is not written in PyTorch here, so it can be timed but "
            "not compared: leave --against out."
        )
    if "augment" in config:
        raise UserError("PyTorch's side augments no images: leave augment out of the config.")
    if config.loss.get("schedule"):
        raise UserError("PyTorch's side keeps the weights of its losses: leave loss.schedule out.")
    return games[config.game.name](config, nets)


class OfNoise:
    """What the games of one generator and one discriminator share."""

    def __init__(self, config: ConfigDict, nets: Mapping[str, nn.Module]):
        self._generator, self._discriminator = nets["generator"], nets["discriminator"]
        self._optimizers = {
            name: build.optimizer(net.parameters(), config.optim[name])
            for name, net in nets.items()
        }
        self._criterion = build.criterion(config.loss.adversarial)
        self._critic = Critic(config, self._discriminator)
        self._weights, self._game = config.loss.weights, config.game

    def draw(self, batch: Tensors) -> Noise:
        """The noise of an iteration on a batch: "latent" `[B, latent_dim]`, and see `_shares`."""
        images = batch["image"]
        return {"latent": self._latent(images, len(images)), **self._shares(images, 1, len(images))}

    def _latent(self, like: torch.Tensor, count: int) -> torch.Tensor:
        return torch.randn((count, self._game.latent_dim), device=like.device)

    def _shares(self, like: torch.Tensor, steps: int, count: int) -> Noise:
        """The "share" `[steps, count, 1, 1, 1]` that the critic needs in its steps, if it does."""
        if not self._critic.mixes:
            return {}
        return {"share": torch.rand((steps, count, 1, 1, 1), device=like.device)}

    def _judge(
        self,
        player: str,
        real: torch.Tensor,
        fake: torch.Tensor,
        labels: tuple[Label, Label],
        noise: Noise,
        k: int = 0,
    ) -> Tensors:
        """A step of the discriminator, the `k`-th of an iteration, on both."""
        judged = self._critic(real, fake, labels, noise["share"][k] if "share" in noise else None)
        terms = {
            "real": self._criterion.discriminator(judged.of_real, True),
            "fake": self._criterion.discriminator(judged.of_fake, False),
        }
        return self._step(player, "discriminator", terms | judged.paid)

    def _fool(self, fakes: torch.Tensor, label: Label) -> Tensors:
        """A step of the generator that made these."""
        with frozen(self._discriminator):
            found = self._criterion.generator(self._discriminator(fakes, *label))
            return self._step("generator", "generator", {"adversarial": found})

    def _step(self, player: str, net: str, terms: Tensors) -> Tensors:
        """A step of a network down the terms of a player, which come back by our names."""
        step(weighted(terms, self._weights), self._optimizers[net])
        return named(player, terms)


class Joint(OfNoise):
    """`gans.games.latent.joint`: fakes are made once in an iteration, and used by both networks."""

    def __call__(self, batch: Tensors, noise: Noise) -> Tensors:
        label = condition(batch)
        fakes = self._generator(noise["latent"], *label)
        found = self._discriminate(batch["image"], fakes.detach(), label, noise)
        return {**found, **self._fool(fakes, label)}

    def _discriminate(
        self, real: torch.Tensor, fake: torch.Tensor, label: Label, noise: Noise
    ) -> Tensors:
        return self._judge("discriminator", real, fake, (label, label), noise)


class TwoStep(Joint):
    """`gans.games.latent.two_step`: one step on real images and one on fakes."""

    def _discriminate(
        self, real: torch.Tensor, fake: torch.Tensor, label: Label, noise: Noise
    ) -> Tensors:
        found = {}
        for kind, images in (("real", real), ("fake", fake)):
            logits = self._discriminator(images, *label)
            loss = self._criterion.discriminator(logits, kind == "real")
            found |= self._step(f"d_{kind}", "discriminator", {kind: loss})
        return found


class Repeated(OfNoise):
    """`gans.games.latent.repeated`: several steps of the discriminator for one of the generator."""

    def draw(self, batch: Tensors) -> Noise:
        """Latent vectors, and labels if any, of the "fakes" to be judged and of those "made"."""
        images, steps = batch["image"], self._game.discriminator_steps
        count = len(images) // steps
        return {
            "fakes": self._drawn(batch, len(images)),
            "made": self._drawn(batch, self._game.generator_batch or count),
            **self._shares(images, steps, count),
        }

    def _drawn(self, batch: Tensors, count: int) -> Tensors:
        found = {"latent": self._latent(batch["image"], count)}
        for label in condition(batch):
            classes = label.shape[1]
            numbers = torch.randint(classes, (count,), device=label.device)
            found["label"] = functional.one_hot(numbers, classes).float()
        return found

    def __call__(self, batch: Tensors, noise: Noise) -> Tensors:
        found, steps = {}, self._game.discriminator_steps
        for k in range(steps):
            own, drawn = rows(batch, k, steps), rows(noise["fakes"], k, steps)
            with torch.no_grad():
                fake = self._generator(drawn["latent"], *condition(drawn))
            labels = condition(own), condition(drawn)
            found |= self._judge(f"discriminator_{k + 1}", own["image"], fake, labels, noise, k)
        label = condition(noise["made"])
        return {**found, **self._fool(self._generator(noise["made"]["latent"], *label), label)}


class Paired(OfNoise):
    """`gans.games.relativistic.paired`: a half of the batch for each of two steps."""

    def draw(self, batch: Tensors) -> Noise:
        """As of `OfNoise`, for these steps."""
        images = batch["image"]
        shares = self._shares(images, 1, len(images) // 2)
        return {"latent": self._latent(images, len(images)), **shares}

    def __call__(self, batch: Tensors, noise: Noise) -> Tensors:
        given = {**batch, "latent": noise["latent"]}
        own = rows(given, 0, 2)
        label = condition(own)
        with torch.no_grad():
            fake = self._generator(own["latent"], *label)
        share = noise["share"][0] if "share" in noise else None
        judged = self._critic(own["image"], fake, (label, label), share)
        lead = judged.of_real - judged.of_fake
        terms = {"paired": self._criterion.discriminator(lead, True), **judged.paid}
        found = self._step("discriminator", "discriminator", terms)

        own = rows(given, 1, 2)
        label = condition(own)
        with frozen(self._discriminator):
            fake = self._generator(own["latent"], *label)
            of_real, of_fake = (self._discriminator(x, *label) for x in (own["image"], fake))
            made = {"adversarial": self._criterion.generator(of_fake - of_real)}
            return {**found, **self._step("generator", "generator", made)}


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

    def draw(self, batch: Tensors) -> Noise:
        """Nothing: what is drawn, is drawn where it is used."""
        del batch
        return {}

    def __call__(self, batch: Tensors, noise: Noise) -> Tensors:
        del noise
        a, b = batch["a"], batch["b"]
        with frozen(self._nets["discriminator_a"], self._nets["discriminator_b"]):
            fake_a, fake_b, made = self._generate(a, b)
            self._step("generators", made)
        judged = {}
        for domain, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            judge = self._nets[f"discriminator_{domain}"]
            judged[f"real_{domain}"] = self._criterion.discriminator(judge(real), True)
            fake = self._pools[domain].query(fake.detach())
            judged[f"fake_{domain}"] = self._criterion.discriminator(judge(fake), False)
        self._step("discriminators", judged)
        return {**named("generators", made), **named("discriminators", judged)}

    def _generate(
        self, a: torch.Tensor, b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """The fakes, and the generators' loss terms."""
        ab, ba = self._nets["generator_ab"], self._nets["generator_ba"]
        fake_b, fake_a = ab(a), ba(b)
        terms = {
            "adversarial_ab": self._criterion.generator(self._nets["discriminator_b"](fake_b)),
            "adversarial_ba": self._criterion.generator(self._nets["discriminator_a"](fake_a)),
            "cycle_a": self._l1(ba(fake_b), a),
            "cycle_b": self._l1(ab(fake_a), b),
            "identity_a": self._l1(ba(a), a),
            "identity_b": self._l1(ab(b), b),
        }
        return fake_a, fake_b, terms

    def _step(self, player: str, terms: Mapping[str, torch.Tensor]) -> None:
        step(weighted(terms, self._weights), *self._optimizers[player])


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


def rows(arrays: Tensors, k: int, n: int) -> Tensors:
    """What the `k`-th of `n` steps sees: see `gans.games.rounds.rows`."""
    return {name: x[k::n] for name, x in arrays.items()}


def condition(batch: Tensors) -> Label:
    """The labels of a batch, if it has any."""
    return (batch["label"],) if "label" in batch else ()


def weighted(terms: Tensors, weights: Mapping[str, float]) -> torch.Tensor:
    """What a player's terms add up to."""
    return sum(weights[name] * term for name, term in terms.items())


def named(player: str, terms: Tensors) -> Tensors:
    """A player's terms as our metrics have them."""
    return {f"{player}/{name}": term.detach() for name, term in terms.items()}


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
