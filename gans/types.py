"""The vocabulary of the code: plain data, no logic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Batch = Mapping[str, jax.Array]
"""`image`: float32 `[B, H, W, C]` in [-1, 1]; `label`, if any: one-hot float32 `[B, classes]`."""

Metrics = dict[str, jax.Array]
"""Scalars by name."""

Nets = Mapping[str, Any]
"""A `gans.state.NetState` under each network's name."""

Noise = Mapping[str, jax.Array]
"""What a game draws at random for one iteration, under names of its own."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one player's loss function found.

    Attributes:
      terms: scalar loss terms by name, not yet weighted.
      nets: the player's own networks after the forward passes, whose running
        statistics have moved. Other players' networks are left out: a frozen
        network's statistics stay as they are.
      metrics: further scalars to log.
    """

    terms: Metrics
    nets: Nets
    metrics: Metrics = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Player:
    """One side of a game: it moves the parameters of its networks to lower its loss.

    Attributes:
      name: what its metrics are logged under.
      nets: names of the networks it moves; all others are constants to it.
      terms: names of the terms its loss is the weighted sum of.
      loss: `loss(nets, batch, noise) -> Outcome`, a pure function.
    """

    name: str
    nets: tuple[str, ...]
    terms: tuple[str, ...]
    loss: Callable[[Nets, Batch, Noise], Outcome]


@dataclasses.dataclass(frozen=True)
class Game:
    """Who plays against whom, in which order.

    Attributes:
      players: moved one after the other, each seeing the moves before its own.
      draw: `draw(key, batch, axis_name) -> Noise`, the randomness of one iteration,
        shared by all players. Under `axis_name` it gives this device's share of the
        noise that one device would draw for the whole batch.
      inputs: `inputs(batch, noise) -> {net: arguments}`, what each network is
        first called with, to create its parameters.
      summary: `summary(metrics) -> Metrics`, the few numbers worth a progress line.
    """

    players: tuple[Player, ...]
    draw: Callable[[jax.Array, Batch, str | None], Noise]
    inputs: Callable[[Batch, Noise], Mapping[str, tuple[jax.Array, ...]]]
    summary: Callable[[Metrics], Metrics]
