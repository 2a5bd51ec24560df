"""The game of Goodfellow et al. 2014 (arXiv:1406.2661): noise to images, judged real or fake.

A label in the batch makes it conditional (Mirza and Osindero 2014, arXiv:1411.1784):
both networks are then given the label of the real image, the generator beside a fresh
latent vector.

One latent vector is drawn for each image of an iteration, and all players see the
same. Real and generated images pass through the discriminator separately, each with
batch statistics of their own. Generated images come from the generator in training
mode everywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gans.core.types import Batch, Extras, Game, Latent, Metrics, Nets, Outcome, Player
from gans.games.judge import judge
from gans.losses.adversarial import Adversarial
from gans.ops import axis


def joint(*, adversarial: Adversarial, latent_dim: int) -> Game:
    """The usual form: one step on real and fake together, then one of the generator.

    Loss terms: `real` and `fake` of the discriminator, `adversarial` of the generator.
    """

    def discriminator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        real, net = judge(
            nets["discriminator"],
            batch["image"],
            *condition(batch),
            adversarial=adversarial,
            real=True,
        )
        fake, net = judge(
            net,
            generate(nets, batch, noise),
            *condition(batch),
            adversarial=adversarial,
            real=False,
        )
        return Outcome(
            terms={"real": real["loss"], "fake": fake["loss"]},
            nets={"discriminator": net},
            metrics={"accuracy_real": real["accuracy"], "accuracy_fake": fake["accuracy"]},
        )

    def summary(metrics: Metrics) -> Metrics:
        return {
            "d_loss": metrics["discriminator/loss"],
            "g_loss": metrics["generator/loss"],
            "accuracy_real": metrics["discriminator/accuracy_real"],
            "accuracy_fake": metrics["discriminator/accuracy_fake"],
        }

    players = (Player("discriminator", ("discriminator",), ("real", "fake"), discriminator),)
    return _game(players, adversarial, latent_dim, summary)


def two_step(*, adversarial: Adversarial, latent_dim: int) -> Game:
    """The Keras tutorials' form: a step on real images, one on generated ones, the generator's.

    Loss terms: `real` of `d_real`, `fake` of `d_fake`, `adversarial` of `generator`.
    The summary's `d_loss` is half the sum of the first two, as the tutorials print it.
    """

    def d_real(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        del noise
        real, net = judge(
            nets["discriminator"],
            batch["image"],
            *condition(batch),
            adversarial=adversarial,
            real=True,
        )
        return Outcome(
            {"real": real["loss"]}, {"discriminator": net}, {"accuracy": real["accuracy"]}
        )

    def d_fake(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        images = generate(nets, batch, noise)
        fake, net = judge(
            nets["discriminator"], images, *condition(batch), adversarial=adversarial, real=False
        )
        return Outcome(
            {"fake": fake["loss"]}, {"discriminator": net}, {"accuracy": fake["accuracy"]}
        )

    def summary(metrics: Metrics) -> Metrics:
        return {
            "d_loss": 0.5 * (metrics["d_real/loss"] + metrics["d_fake/loss"]),
            "g_loss": metrics["generator/loss"],
            "accuracy_real": metrics["d_real/accuracy"],
            "accuracy_fake": metrics["d_fake/accuracy"],
        }

    players = (
        Player("d_real", ("discriminator",), ("real",), d_real),
        Player("d_fake", ("discriminator",), ("fake",), d_fake),
    )
    return _game(players, adversarial, latent_dim, summary)


def _game(players, adversarial: Adversarial, latent_dim: int, summary) -> Game:
    """What both forms share: the noise, the generator's move, and how networks are first called."""

    def generator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        images, net = nets["generator"](noise["latent"], *condition(batch))
        logits, _ = nets["discriminator"](images, *condition(batch))
        loss = jnp.mean(adversarial.generator(logits))
        return Outcome({"adversarial": loss}, {"generator": net})

    def inputs(batch: Batch, noise: Extras) -> Mapping[str, tuple[jax.Array, ...]]:
        label = condition(batch)
        return {
            "generator": (noise["latent"], *label),
            "discriminator": (batch["image"], *label),
        }

    def logits(nets: Nets, batch: Batch) -> jax.Array:
        found, _ = nets["discriminator"](batch["image"], *condition(batch), train=False)
        return jnp.ravel(found)

    players = (*players, Player("generator", ("generator",), ("adversarial",), generator))
    return Game(
        rounds=tuple((player,) for player in players),
        draw=functools.partial(draw, latent_dim),
        inputs=inputs,
        summary=summary,
        makes=Latent("generator", latent_dim),
        logits=logits,
    )


def draw(latent_dim: int, key: jax.Array, batch: Batch) -> Extras:
    """A normal latent vector `[B, latent_dim]` for each image of the batch, under "latent"."""
    return {"latent": axis.normal(key, (len(batch["image"]), latent_dim))}


def condition(batch: Batch) -> tuple[jax.Array, ...]:
    """The batch's one-hot labels `[B, classes]` as a tuple, empty where it has none."""
    return (batch["label"],) if "label" in batch else ()


def generate(nets: Nets, batch: Batch, noise: Extras) -> jax.Array:
    """Images `[B, H, W, C]` of the generator in training mode, its statistics left alone."""
    images, _ = nets["generator"](noise["latent"], *condition(batch))
    return images
