"""Any game whose discriminators see augmented images: Zhao et al. 2020, Karras et al. 2020.

Real images and generated ones pass through the augmentation before a discriminator sees them, in
the moves of all players (arXiv:2006.10738, section 3, and arXiv:2006.06676, section 2), and
gradients flow through it: also those of penalties, which are taken at the image before it. Every
pass is drawn apart. Where training does not call a discriminator, as for `Game.logits`, it sees
images as they are.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from gans.core.types import Batch, Extras, Game, Memory, Metrics, Nets, Outcome, Player
from gans.errors import UserError
from gans.ops import axis

Augment = Callable[[jax.Array, jax.Array, float | jax.Array], jax.Array]
"""`(images, key, probability) -> images`: see `gans.ops.augment`."""

# Folded into the key of an iteration, which games split: far from what that folds in.
_AUGMENT = 1 << 31


class Watch(struct.PyTreeNode):
    """What an adaptive probability goes by.

    Attributes:
      probability: float32 scalar, in the iteration that comes next.
      signs: float32 scalar, the sum of the mean signs of iterations since it was last moved.
      iterations: int32 scalar, how many these are.
      batch: int32 scalar, real images in an iteration.
    """

    probability: jax.Array
    signs: jax.Array
    iterations: jax.Array
    batch: jax.Array


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """A probability that grows while the discriminator overfits (arXiv:2006.06676, section 3).

    It starts at 0. After every so many iterations it is moved by `sign(r - target)` times the
    number of real images in them over `images`, r being the mean in these iterations of
    `E[sign(D(real))]`, which is `2 a - 1` for the share `a` of real images called so. It does
    not fall below 0, nor rise above 1, where each image is changed.

    Attributes:
      target: of r, in [-1, 1].
      images: real images in which it goes from 0 to 1.
      every: iterations from one move to the next. Where the discriminator itself moves once in
        some iterations, a multiple of those.
    """

    target: float = 0.6
    images: int = 500_000
    every: int = 4

    def begun(self) -> Watch:
        """What a training starts from."""
        zero, none = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)
        return Watch(zero, jnp.copy(zero), none, jnp.copy(none))

    def moved(self, watch: Watch, accuracy: jax.Array) -> Watch:
        """At the end of an iteration.

        Args:
          watch: what is known before.
          accuracy: the share of its real images that the discriminator called real.
        """
        signs, iterations = watch.signs + 2.0 * accuracy - 1.0, watch.iterations + 1
        step = self.every * watch.batch.astype(jnp.float32) / self.images
        moved = watch.probability + jnp.sign(signs / self.every - self.target) * step
        is_due = iterations == self.every
        return Watch(
            probability=jnp.where(is_due, jnp.clip(moved, 0.0, 1.0), watch.probability),
            signs=jnp.where(is_due, 0.0, signs),
            iterations=jnp.where(is_due, 0, iterations),
            batch=watch.batch,
        )


class Watched(struct.PyTreeNode):
    """A game's own memory, and what an adaptive probability goes by."""

    game: Memory
    watch: Watch


def augmented(
    game: Game,
    augment: Augment,
    *,
    discriminators: Sequence[str] = ("discriminator",),
    probability: float | Callable[[jax.Array], Any] | Adaptive = 1.0,
) -> Game:
    """The game, in which discriminators are called with augmented images while they train.

    The first argument of a discriminator is augmented, its others are left. The n-th call of any
    of them in a player's loss has a key of its own; so has not each turn of a loop that JAX
    traces once, such as `jax.lax.scan`.

    Args:
      game: any game.
      augment: as `gans.ops.augment` describes.
      discriminators: names of networks whose first argument are images.
      probability: a number in [0, 1], or the number as a function of the iterations done, or an
        `Adaptive`, for which the game's summary must have `accuracy_real`. What is no constant
        is logged as `augment_p`.

    Raises:
      UserError: the game does not have one of the discriminators.
    """
    _check(game, discriminators)
    chance = _chance(probability)
    if isinstance(probability, Adaptive):
        game = _watching(game, probability)

    def draw(key: jax.Array, batch: Batch) -> Extras:
        return {**game.draw(key, batch), "augment_key": jax.random.fold_in(key, _AUGMENT)}

    numbers = itertools.count()
    rounds = tuple(
        tuple(_seeing(player, next(numbers), augment, discriminators, chance) for player in players)
        for players in game.rounds
    )
    made = dataclasses.replace(game, rounds=rounds, draw=draw)
    return made if isinstance(probability, float | int) else _logging(made, chance)


def _check(game: Game, discriminators: Sequence[str]) -> None:
    nets = dict.fromkeys(net for player in game.players for net in player.nets)
    known = [name for name in nets if name not in game.generators]
    if not discriminators:
        raise UserError(
            f"augment.discriminators is empty: give names, of {', '.join(known)}, or leave it out."
        )
    for name in discriminators:
        if name not in known:
            raise UserError(
                f"augment.discriminators has {name!r}, which is no discriminator of the game; it "
                f"has {', '.join(known)}."
            )


def _chance(probability: Any) -> Callable[[Extras], Any]:
    """The probability in an iteration."""
    if isinstance(probability, Adaptive):
        return lambda extras: extras["augment_probability"]
    if callable(probability):
        return lambda extras: probability(extras["step"])
    return lambda extras: probability


def _seeing(
    player: Player,
    number: int,
    augment: Augment,
    discriminators: Sequence[str],
    chance: Callable[[Extras], Any],
) -> Player:
    """The player, in whose loss the discriminators see augmented images."""

    def loss(nets: Nets, batch: Batch, extras: Extras) -> Outcome:
        key = jax.random.fold_in(extras["augment_key"], number)
        keys = (jax.random.fold_in(key, call) for call in itertools.count())
        seeing = {
            name: nets[name].replace(
                apply_fn=_after(augment, keys, chance(extras), nets[name].apply_fn)
            )
            for name in discriminators
        }
        outcome = player.loss({**nets, **seeing}, batch, extras)
        plain = {
            name: net.replace(apply_fn=nets[name].apply_fn) for name, net in outcome.nets.items()
        }
        return dataclasses.replace(outcome, nets=plain)

    return dataclasses.replace(player, loss=loss)


def _after(augment: Augment, keys: Iterator[jax.Array], chance: Any, apply_fn: Callable):
    """A network's function, which in training is called with augmented images."""

    def apply(variables: Any, images: jax.Array, *others: jax.Array, train: bool, **settings: Any):
        if train:
            images = augment(images, next(keys), chance)
        return apply_fn(variables, images, *others, train=train, **settings)

    return apply


def _watching(game: Game, adaptive: Adaptive) -> Game:
    """The game, whose memory has an adaptive probability, and whose extras tell it."""

    def draw(key: jax.Array, batch: Batch) -> Extras:
        images = axis.total(len(next(iter(batch.values()))))
        return {**game.draw(key, batch), "augment_images": jnp.asarray(images, jnp.int32)}

    def recalling(player: Player) -> Player:
        def recall(memory: Watched, extras: Extras) -> tuple[Watched, Extras]:
            own, extras = player.recall(memory.game, extras)
            watch = memory.watch.replace(batch=extras["augment_images"])
            return Watched(own, watch), {**extras, "augment_probability": watch.probability}

        return dataclasses.replace(player, recall=recall)

    # Of metrics that are all 0: a summary says of what it is one.
    if "accuracy_real" not in game.summary(collections.defaultdict(float)):
        raise UserError(
            "augment.adaptive goes by how many real images the discriminator calls so, "
            "accuracy_real, which this game does not report with this loss: give "
            "augment.probability instead."
        )

    def after(memory: Watched, metrics: Metrics) -> Watched:
        watch = adaptive.moved(memory.watch, game.summary(metrics)["accuracy_real"])
        return Watched(game.after(memory.game, metrics), watch)

    return dataclasses.replace(
        game,
        rounds=tuple(tuple(map(recalling, players)) for players in game.rounds),
        draw=draw,
        memory=lambda batch: Watched(game.memory(batch), adaptive.begun()),
        after=after,
    )


def _logging(game: Game, chance: Callable[[Extras], Any]) -> Game:
    """The game, whose first player reports the probability, and whose summary has it."""
    (first, *others), *rest = game.rounds

    def loss(nets: Nets, batch: Batch, extras: Extras) -> Outcome:
        outcome = first.loss(nets, batch, extras)
        now = jnp.asarray(chance(extras), jnp.float32)
        return dataclasses.replace(outcome, metrics={**outcome.metrics, "augment_p": now})

    def summary(metrics: Metrics) -> Metrics:
        return {**game.summary(metrics), "augment_p": metrics[f"{first.name}/augment_p"]}

    players = (dataclasses.replace(first, loss=loss), *others)
    return dataclasses.replace(game, rounds=(players, *rest), summary=summary)
