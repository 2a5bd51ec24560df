"""The vocabulary of the code: plain data, no logic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Batch = Mapping[str, jax.Array]
"""`image`: float32 `[B, H, W, C]` in [-1, 1]; `label`, if any: one-hot float32 `[B, classes]`.
Of two unpaired domains `a` and `b`, such images both."""

Metrics = dict[str, jax.Array]
"""Scalars by name."""

Nets = Mapping[str, Any]
"""A `gans.core.state.NetState` under each network's name."""

Given = Mapping[str, jax.Array]
"""What a player has beside the batch: `step`, the iterations done, and under names of the game's
own what was drawn at random for this iteration and what players before it made."""

Arguments = tuple[jax.Array, ...]
"""What a network is called with."""

Memory = Any
"""What a game keeps from one iteration to the next besides its networks: a pytree, or None."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one player's loss function found.

    Attributes:
      terms: scalar loss terms by name, not yet weighted.
      nets: the player's own networks after the forward passes, whose running
        statistics have moved. Other players' networks are left out: a frozen
        network's statistics stay as they are.
      metrics: further scalars to log.
      made: images that the players after this one are given, as constants to them.
    """

    terms: Metrics
    nets: Nets
    metrics: Metrics = dataclasses.field(default_factory=dict)
    made: Given = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Player:
    """One side of a game: it moves the parameters of its networks to lower its loss.

    Attributes:
      name: what its metrics are logged under.
      nets: names of the networks it moves; all others are constants to it.
      terms: names of the terms its loss is the weighted sum of.
      loss: `loss(nets, batch, given) -> Outcome`, a pure function.
      recall: `recall(memory, given) -> (memory, given)`, before the loss: what it looks up in the
        game's memory, and leaves there. Where devices share a batch, `given` has this device's
        images, and the memory must come out the same on every device: see `gans.ops.axis`.
      every: it moves in every so many iterations, from the first on. Between them its networks
        stay, and it makes nothing: `made` is zero. What it logs is zero then and `every` times
        what it found when it moves, so that the mean over iterations is that over its moves.
    """

    name: str
    nets: tuple[str, ...]
    terms: tuple[str, ...]
    loss: Callable[[Nets, Batch, Given], Outcome]
    recall: Callable[[Memory, Given], tuple[Memory, Given]] = lambda memory, given: (memory, given)
    every: int = 1


@dataclasses.dataclass(frozen=True)
class Latent:
    """A generator that makes images of latent vectors, and of labels where the data has classes.

    Attributes:
      net: its name among the networks, called with `[N, dim]` normal and, if there are classes,
        one-hot `[N, classes]`.
      dim: how many numbers a latent vector has.
    """

    net: str
    dim: int


@dataclasses.dataclass(frozen=True)
class Translation:
    """A generator that makes images of one domain of images of another.

    Attributes:
      net: its name among the networks, called with images `[N, H, W, C]`.
      source: the domain that it takes, by its name in a batch.
      target: the domain that it makes.
    """

    net: str
    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Game:
    """Who plays against whom, in which order.

    Attributes:
      rounds: played one after the other. The players of one round move at once: all their
        gradients are taken at the parameters that the round began with.
      draw: `draw(key, batch) -> Given`, the randomness of one iteration, shared by all players.
        `gans.ops.axis.normal` draws this device's share of what one device would draw for the
        whole batch.
      inputs: `inputs(batch, given) -> {net: arguments}`, what each network is first called with,
        to create its parameters. In place of arguments there may be a function of the networks
        that are made of arguments alone, which gives them: `nets -> arguments`.
      summary: `summary(metrics) -> Metrics`, the few numbers worth a progress line.
      makes: what there is when training is done: a `Latent` generator, or a `Translation` under
        the name of each direction, as in "a_to_b". All that samples, translates, shows, measures
        or exports asks this, and nothing else, about the kind of game.
      logits: `logits(nets, batch) -> [B]`, how real the discriminator calls the batch's images, in
        inference mode; None in a game with no discriminator of single images.
      memory: `memory(batch) -> Memory`, the memory to start with, for images like the batch's.
      after: `after(memory, metrics) -> Memory`, at the end of an iteration, whose metrics, by
        `player/name`, are those of the whole batch.
      weigh: `weigh(weights, step) -> weights` of the loss terms in an iteration, from those of the
        state and the iterations done.
    """

    rounds: tuple[tuple[Player, ...], ...]
    draw: Callable[[jax.Array, Batch], Given]
    inputs: Callable[[Batch, Given], Mapping[str, Arguments | Callable[[Nets], Arguments]]]
    summary: Callable[[Metrics], Metrics]
    makes: Latent | Mapping[str, Translation] = dataclasses.field(default_factory=dict, hash=False)
    logits: Callable[[Nets, Batch], jax.Array] | None = None
    memory: Callable[[Batch], Memory] = lambda batch: None
    after: Callable[[Memory, Metrics], Memory] = lambda memory, metrics: memory
    weigh: Callable[[Metrics, jax.Array], Metrics] = lambda weights, step: weights

    def back(self, way: Translation) -> Translation | None:
        """The translation that undoes another, if there is one."""
        ways = [] if isinstance(self.makes, Latent) else self.makes.values()
        there = (way.target, way.source)
        return next((other for other in ways if (other.source, other.target) == there), None)

    @property
    def generators(self) -> tuple[str, ...]:
        """The names of the networks that make images."""
        if isinstance(self.makes, Latent):
            return (self.makes.net,)
        return tuple(way.net for way in self.makes.values())

    @property
    def players(self) -> tuple[Player, ...]:
        """All players, in order."""
        return tuple(player for players in self.rounds for player in players)
