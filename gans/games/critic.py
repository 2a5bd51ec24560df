"""A discriminator's step on real and generated images at once, with what it pays besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gans.core.state import NetState
from gans.core.types import Extras, Memory, Metrics, Outcome
from gans.errors import UserError
from gans.games.judge import verdict
from gans.losses.adversarial import Adversarial
from gans.losses.penalties import Judged, Penalty

Penalties = Mapping[str, Penalty]
"""The discriminator's penalties by the names of their terms."""

# Folded into the key of an iteration, which games split and draw from: far from what that folds in.
_PENALTIES = 1 << 30


def step(
    net: NetState,
    real: jax.Array,
    fake: jax.Array,
    labels: tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]],
    extras: Extras,
    *,
    adversarial: Adversarial,
    penalties: Penalties,
    done: jax.Array,
) -> Outcome:
    """Terms `real` and `fake`, and one for each penalty.

    Args:
      net: the discriminator, under the name "discriminator" in the outcome.
      real: real images `[B, H, W, C]`.
      fake: generated ones.
      labels: of the real and of the generated images, one-hot `[B, classes]`; empty without.
      extras: of the iteration; with penalties as `draw` and `recall` make them.
      adversarial: the adversarial loss.
      penalties: by name.
      done: the discriminator's steps before this one, an int scalar.
    """
    of_real, after = seen(net, real, labels[0], penalties)
    of_fake, after = seen(after, fake, labels[1], penalties)
    told_real = verdict(of_real.logits, adversarial=adversarial, real=True)
    told_fake = verdict(of_fake.logits, adversarial=adversarial, real=False)
    paid, metrics = pay(net, (real, fake), (of_real, of_fake), labels, extras, penalties, done)
    return Outcome(
        terms={"real": told_real["loss"], "fake": told_fake["loss"], **paid},
        nets={"discriminator": after},
        metrics={
            "accuracy_real": told_real["accuracy"],
            "accuracy_fake": told_fake["accuracy"],
            **metrics,
        },
    )


class Seen(NamedTuple):
    """A discriminator's pass over images.

    Attributes:
      logits: `[B, ...]`.
      gradient: `() -> [B, H, W, C]`, that of each image's logits, summed; None without penalties.
    """

    logits: jax.Array
    gradient: Callable[[], jax.Array] | None


def seen(
    net: NetState, images: jax.Array, label: tuple[jax.Array, ...], penalties: Penalties
) -> tuple[Seen, NetState]:
    """A pass in training mode, and the network after it.

    Raises:
      UserError: see `check`.
    """
    if not penalties:
        logits, after = net(images, *label)
        return Seen(logits, None), after
    check(net, penalties)
    logits, pull, after = jax.vjp(lambda x: net(x, *label), images, has_aux=True)
    return Seen(logits, lambda: pull(jnp.ones_like(logits))[0]), after


def check(net: NetState, penalties: Penalties) -> None:
    """Raises UserError if there are penalties, and the discriminator normalises by a batch.

    Its logit for one image then has a gradient with respect to all others.
    """
    if penalties and "batch_stats" in net.model_state:
        raise UserError(
            f"The discriminator has batch normalisation, under which an image has no gradient of "
            f"its own for the penalties {', '.join(penalties)}: set nets.discriminator.normalise "
            "to False, or take a network without it."
        )


def pay(
    net: NetState,
    images: tuple[jax.Array, jax.Array],
    passes: tuple[Seen, Seen],
    labels: tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]],
    extras: Extras,
    penalties: Penalties,
    done: jax.Array,
) -> tuple[Metrics, Metrics]:
    """The penalties' terms by name, and the metrics that those with a memory follow."""
    if not penalties:
        return {}, {}
    logits, gradients = zip(*passes, strict=True)

    def critic(label: tuple[jax.Array, ...]) -> Callable[[jax.Array], jax.Array]:
        return lambda x: net(x, *label)[0]

    found = {}
    for number, (name, penalty) in enumerate(penalties.items()):
        key = jax.random.fold_in(extras["penalties"], number)
        judges, memory = map(critic, labels), extras["anchors"].get(name)
        found[name] = penalty(Judged(*images, *logits, *gradients, *judges, key, memory), done)
    metrics = {
        f"logit_{kind}": jnp.mean(x) for kind, x in zip(("real", "fake"), logits, strict=True)
    }
    return found, metrics if extras["anchors"] else {}


def draw(key: jax.Array, penalties: Penalties) -> Extras:
    """A key for the penalties of an iteration, if there are any."""
    return {"penalties": jax.random.fold_in(key, _PENALTIES)} if penalties else {}


def of_game(players: Sequence[str], penalties: Penalties) -> dict[str, Any]:
    """The fields of a `Game` that penalties ask for: its check, and a memory where one has it.

    Args:
      players: the names of those who take the discriminator's steps.
      penalties: by name.
    """
    suits = {"check": lambda nets: check(nets["discriminator"], penalties)}
    kept = {name: p.function for name, p in penalties.items() if hasattr(p.function, "begin")}
    if not kept:
        return suits

    def after(memory: Memory, metrics: Metrics) -> Memory:
        for player in players:
            logits = [metrics[f"{player}/logit_{kind}"] for kind in ("real", "fake")]
            memory = {name: p.follow(memory[name], *logits) for name, p in kept.items()}
        return memory

    memory = {"memory": lambda batch: {name: p.begin() for name, p in kept.items()}}
    return {**suits, **memory, "after": after}


def recall(memory: Memory, extras: Extras) -> tuple[Memory, Extras]:
    """Gives the penalties what they keep."""
    return memory, {**extras, "anchors": memory or {}}
