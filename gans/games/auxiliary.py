"""The game of Odena et al. 2017 (arXiv:1610.09585): the discriminator also finds the class.

The generator is told the class, as in the conditional `latent` game, and the discriminator is
not: it answers with two logits, of being real and of each class. Both players want it to find
the class, of real and of generated images alike.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from gans.core.state import NetState
from gans.core.types import Batch, Extras, Game, Latent, Metrics, Nets, Outcome, Player
from gans.errors import UserError
from gans.games.judge import told, verdict
from gans.games.latent import draw, generate
from gans.losses.adversarial import Adversarial


def two_step(*, adversarial: Adversarial, latent_dim: int) -> Game:
    """As `latent.two_step`: a step on real images, one on generated ones, the generator's.

    Loss terms: `real` and `class_real` of `d_real`, `fake` and `class_fake` of `d_fake`,
    `adversarial` and `class_made` of `generator`.
    """

    def d_real(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        del noise
        return _judged(nets["discriminator"], batch["image"], batch, adversarial, real=True)

    def d_fake(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        images = generate(nets, batch, noise)
        return _judged(nets["discriminator"], images, batch, adversarial, real=False)

    def generator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        images, net = nets["generator"](noise["latent"], batch["label"])
        (logits, classes), judge = nets["discriminator"](images)
        terms = {
            "adversarial": jnp.mean(adversarial.generator(logits)),
            "class_made": _class_loss(classes, batch),
        }
        return Outcome(
            terms,
            {"generator": net, "discriminator": judge},
            {"class_accuracy": _found(classes, batch)},
        )

    def inputs(batch: Batch, noise: Extras) -> Mapping[str, tuple[jax.Array, ...]]:
        return {
            "generator": (noise["latent"], batch["label"]),
            "discriminator": (batch["image"],),
        }

    def summary(metrics: Metrics) -> Metrics:
        return {
            "d_loss": 0.5 * (metrics["d_real/real"] + metrics["d_fake/fake"]),
            "g_loss": metrics["generator/adversarial"],
            **told(
                adversarial,
                real=metrics["d_real/accuracy"],
                fake=metrics["d_fake/accuracy"],
            ),
            "accuracy_class": metrics["d_real/class_accuracy"],
        }

    players = (
        Player("d_real", ("discriminator",), ("real", "class_real"), d_real),
        Player("d_fake", ("discriminator",), ("fake", "class_fake"), d_fake),
        Player("generator", ("generator",), ("adversarial", "class_made"), generator),
    )
    return Game(
        rounds=tuple((player,) for player in players),
        draw=functools.partial(draw, latent_dim),
        inputs=inputs,
        summary=summary,
        makes=Latent("generator", latent_dim),
        logits=_logits,
    )


def _logits(nets: Nets, batch: Batch) -> jax.Array:
    (logits, _), _ = nets["discriminator"](batch["image"], train=False)
    return jnp.ravel(logits)


def _judged(
    net: NetState, images: jax.Array, batch: Batch, adversarial: Adversarial, *, real: bool
) -> Outcome:
    """The discriminator's move on images that are real, or that are not."""
    (logits, classes), net = net(images)
    found = verdict(logits, adversarial=adversarial, real=real)
    name = "real" if real else "fake"
    return Outcome(
        {name: found["loss"], f"class_{name}": _class_loss(classes, batch)},
        {"discriminator": net},
        {"accuracy": found["accuracy"], "class_accuracy": _found(classes, batch)},
    )


def _class_loss(logits: jax.Array, batch: Batch) -> jax.Array:
    told, known = logits.shape[-1], batch["label"].shape[-1]
    if told != known:
        raise UserError(
            f"The discriminator tells {told} classes, and the data has {known}: set "
            f"nets.discriminator.classes to {known}."
        )
    return jnp.mean(optax.softmax_cross_entropy(logits, batch["label"]))


def _found(logits: jax.Array, batch: Batch) -> jax.Array:
    """The share of images whose class has the largest logit."""
    right = jnp.argmax(logits, axis=-1) == jnp.argmax(batch["label"], axis=-1)
    return jnp.mean(right.astype(jnp.float32))
