"""The types that describe a game: plain data, without logic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Batch = Mapping[str, jax.Array]
"""One batch of training data. `image` is float32 `[B, H, W, C]` in [-1, 1], and `label`, where
there are labels, is one-hot float32 `[B, classes]`. Data of two unpaired domains has such images
under `a` and `b` instead."""

Metrics = dict[str, jax.Array]
"""Scalars by name."""

Nets = Mapping[str, Any]
"""A `gans.core.state.NetState` under each network's name."""

Extras = Mapping[str, jax.Array]
"""Inputs of an iteration besides the batch: `step`, the number of iterations done, and under names
that the game chooses its random draws (latent vectors, PRNG keys) and the images that earlier
players made."""

Arguments = tuple[jax.Array, ...]
"""The arguments that a network is called with."""

Memory = Any
"""State of a game besides its networks, such as a history of generated images: a pytree, or
None."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one player's loss function.

    Attributes:
      terms: scalar loss terms by name, not yet weighted.
      nets: the player's own networks after the forward passes, whose running
        statistics have moved. Of other players' networks, which may be left out,
        the statistics stay as they are; but the vectors by which spectral
        normalisation estimates a kernel's norm move with every pass, whoever's
        turn it is.
      metrics: further scalars to log.
      made: images that later players of the iteration are given, as constants.
    """

    terms: Metrics
    nets: Nets
    metrics: Metrics = dataclasses.field(default_factory=dict)
    made: Extras = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Player:
    """One side of a game: it moves the parameters of its networks to lower its loss.

    Attributes:
      name: what its metrics are logged under.
      nets: names of the networks it moves; all others are constants to it.
      terms: names of the terms its loss is the weighted sum of.
      loss: `loss(nets, batch, extras) -> Outcome`, a pure function.
      recall: `recall(memory, extras) -> (memory, extras)`, called before the loss. It reads the
        game's memory and adds to it: CycleGAN's discriminators swap new fakes for older ones
        there. Where devices share a batch, `extras` has this device's images, and the memory must
        come out the same on every device: see `gans.ops.axis`.
      every: the player moves once in this many iterations, from the first on. In between its
        networks stay as they are, and what it would make is zero. Its metrics are zero then, and
        multiplied by `every` when it moves, so that their mean over all iterations is the mean
        over its moves.
    """

    name: str
    nets: tuple[str, ...]
    terms: tuple[str, ...]
    loss: Callable[[Nets, Batch, Extras], Outcome]
    recall: Callable[[Memory, Extras], tuple[Memory, Extras]] = lambda *both: both
    every: int = 1


@dataclasses.dataclass(frozen=True)
class Latent:
    """A generator from latent vectors, and from labels where the data has classes, to images.

    Attributes:
      net: its name among the networks, called with `[N, dim]` normal and, if there are classes,
        one-hot `[N, classes]`.
      dim: how many numbers a latent vector has.
    """

    net: str
    dim: int


@dataclasses.dataclass(frozen=True)
class Translation:
    """A generator that turns images of one domain into images of another.

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
      rounds: groups of players, which move one group after the other. The players of a round move
        together: all their gradients are taken at the parameters that the round began with.
      draw: `draw(key, batch) -> Extras`, the randomness of one iteration, shared by all players.
        `gans.ops.axis.normal` draws this device's share of what one device would draw for the
        whole batch.
      inputs: `inputs(batch, extras) -> {net: arguments}`, the arguments that each network's
        parameters are created with. An entry may also be a function `nets -> arguments`; it is
        given the networks that were created from plain arguments.
      summary: `summary(metrics) -> Metrics`, the few numbers worth a progress line.
      makes: the generators that training is for: a `Latent`, or a `Translation` under the name of
        each direction, e.g. "a_to_b". Sampling, translating, previews, evaluators and export learn
        the kind of game from this field and from nothing else.
      logits: `logits(nets, batch) -> [B]`, the discriminator's logits for the batch's images in
        inference mode; None in a game without a discriminator of single images.
      memory: `memory(batch) -> Memory`, the memory that training starts with; `batch` gives the
        shape of the images.
      after: `after(memory, metrics) -> Memory`, called at the end of an iteration with the metrics
        of the whole batch, named `player/name`.
      shares: how many steps of one iteration take rows of the batch of their own: see
        `gans.games.rounds`.
      check: `check(nets)`, which raises UserError for networks that do not suit the game; their
        arrays may be abstract.
      weigh: `weigh(weights, step) -> weights`, the weights of the loss terms in one iteration, from
        the weights in the state and the number of iterations done.
    """

    rounds: tuple[tuple[Player, ...], ...]
    draw: Callable[[jax.Array, Batch], Extras]
    inputs: Callable[[Batch, Extras], Mapping[str, Arguments | Callable[[Nets], Arguments]]]
    summary: Callable[[Metrics], Metrics]
    makes: Latent | Mapping[str, Translation] = dataclasses.field(default_factory=dict, hash=False)
    logits: Callable[[Nets, Batch], jax.Array] | None = None
    memory: Callable[[Batch], Memory] = lambda batch: None
    after: Callable[[Memory, Metrics], Memory] = lambda memory, metrics: memory
    shares: int = 1
    check: Callable[[Nets], None] = lambda nets: None
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
