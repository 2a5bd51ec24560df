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

import dataclasses
import functools
import types
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gans.core.types import Batch, Extras, Game, Latent, Metrics, Nets, Outcome, Player
from gans.errors import UserError
from gans.games import critic
from gans.games.critic import Penalties
from gans.games.judge import judge, told
from gans.games.rounds import rows
from gans.losses.adversarial import Adversarial
from gans.ops import axis

NONE: Penalties = types.MappingProxyType({})


def joint(*, adversarial: Adversarial, latent_dim: int, penalties: Penalties = NONE) -> Game:
    """The usual form: one step on real and fake together, then one of the generator.

    Loss terms: `real` and `fake` of the discriminator and one for each of its `penalties`,
    `adversarial` of the generator.
    """

    def discriminator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        return critic.step(
            nets["discriminator"],
            batch["image"],
            generate(nets, batch, noise),
            (condition(batch), condition(batch)),
            noise,
            adversarial=adversarial,
            penalties=penalties,
            done=noise["step"],
        )

    def summary(metrics: Metrics) -> Metrics:
        return _summary(metrics, ("discriminator",), adversarial)

    def noise(key: jax.Array, batch: Batch) -> Extras:
        return {**draw(latent_dim, key, batch), **critic.draw(key, penalties)}

    terms = ("real", "fake", *penalties)
    player = Player("discriminator", ("discriminator",), terms, discriminator, critic.recall)
    made = _game((player,), adversarial, latent_dim, summary)
    return dataclasses.replace(made, draw=noise, **critic.of_game(("discriminator",), penalties))


def repeated(
    *,
    adversarial: Adversarial,
    latent_dim: int,
    discriminator_steps: int = 5,
    generator_batch: int = 0,
    penalties: Penalties = NONE,
) -> Game:
    """Several steps of the discriminator, then one of the generator, each on fresh images.

    The batch is that of all the discriminator's steps together, so `data.batch_size` is 320 for
    five steps of 64 images. Each step has latent vectors of its own, and where there are classes
    those of generated images are drawn, each with the same probability. Arjovsky et al. 2017,
    arXiv:1701.07875, algorithm 1, where the steps are n_critic; Miyato et al. 2018,
    arXiv:1802.05957, appendix B.3, where they are n_dis.

    Loss terms: as of `joint`, those of the discriminator in each of its steps.

    Args:
      adversarial: the adversarial loss.
      latent_dim: how many numbers a latent vector has.
      discriminator_steps: for one of the generator.
      generator_batch: how many images the generator makes in its step; 0 for as many as in one step
        of the discriminator.
      penalties: of the discriminator, by name.
    """
    n = discriminator_steps
    names = tuple(f"discriminator_{k}" for k in range(1, n + 1))

    def discriminator(k: int, nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        batch, drawn = rows(batch, k, n), rows(noise["fakes"], k, n)
        return critic.step(
            nets["discriminator"],
            batch["image"],
            generate(nets, drawn, drawn),
            (condition(batch), condition(drawn)),
            noise if not penalties else {**noise, "penalties": noise["penalties"][k]},
            adversarial=adversarial,
            penalties=penalties,
            done=n * noise["step"] + k,
        )

    def generator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        return generators_move(nets, noise["made"], noise["made"], adversarial)

    def noise(key: jax.Array, batch: Batch) -> Extras:
        count = len(batch["image"])
        of_fakes, of_made, of_penalties = jax.random.split(key, 3)
        made, rest = divmod(generator_batch * count, axis.total(count))
        if rest:
            raise UserError(
                f"game.generator_batch {generator_batch} cannot be shared equally by the devices."
            )
        made = made or max(1, count // n)
        keys = jax.random.split(of_penalties, n) if penalties else ()
        return {
            "fakes": drawn(latent_dim, of_fakes, batch, count),
            "made": drawn(latent_dim, of_made, batch, made),
            **({"penalties": keys} if penalties else {}),
        }

    def inputs(batch: Batch, noise: Extras) -> Mapping[str, tuple[jax.Array, ...]]:
        return inputs_of(batch, noise["fakes"])

    def summary(metrics: Metrics) -> Metrics:
        return _summary(metrics, names, adversarial)

    terms = ("real", "fake", *penalties)
    players = tuple(
        Player(
            name,
            ("discriminator",),
            terms,
            functools.partial(discriminator, k),
            critic.recall,
        )
        for k, name in enumerate(names)
    )
    made = _game(players, adversarial, latent_dim, summary, generator)
    return dataclasses.replace(
        made, draw=noise, inputs=inputs, shares=n, **critic.of_game(names, penalties)
    )


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
            **told(
                adversarial,
                real=metrics["d_real/accuracy"],
                fake=metrics["d_fake/accuracy"],
            ),
        }

    players = (
        Player("d_real", ("discriminator",), ("real",), d_real),
        Player("d_fake", ("discriminator",), ("fake",), d_fake),
    )
    return _game(players, adversarial, latent_dim, summary)


def _game(players, adversarial: Adversarial, latent_dim: int, summary, generator=None) -> Game:
    """What all forms share: the noise, the generator's move, and how networks are first called."""

    def on_the_same(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        return generators_move(nets, batch, noise, adversarial)

    move = generator or on_the_same
    players = (*players, Player("generator", ("generator",), ("adversarial",), move))
    return Game(
        rounds=tuple((player,) for player in players),
        draw=functools.partial(draw, latent_dim),
        inputs=inputs_of,
        summary=summary,
        makes=Latent("generator", latent_dim),
        logits=logits,
    )


def generators_move(nets: Nets, batch: Batch, noise: Extras, adversarial: Adversarial) -> Outcome:
    """The generator's move on the latent vectors of `noise` and the labels of `batch`, if any."""
    images, net = nets["generator"](noise["latent"], *condition(batch))
    found, judge = nets["discriminator"](images, *condition(batch))
    loss = jnp.mean(adversarial.generator(found))
    return Outcome({"adversarial": loss}, {"generator": net, "discriminator": judge})


def logits(nets: Nets, batch: Batch) -> jax.Array:
    """The discriminator's logits `[B]` for the batch's images, in inference mode."""
    found, _ = nets["discriminator"](batch["image"], *condition(batch), train=False)
    return jnp.ravel(found)


def inputs_of(batch: Batch, noise: Extras) -> Mapping[str, tuple[jax.Array, ...]]:
    """What the generator and the discriminator are first called with."""
    label = condition(batch)
    return {"generator": (noise["latent"], *label), "discriminator": (batch["image"], *label)}


def _summary(metrics: Metrics, names: tuple[str, ...], adversarial: Adversarial) -> Metrics:
    """The few numbers of a game whose discriminator sees real and generated images in one step."""

    def mean(what: str) -> jax.Array:
        return sum(metrics[f"{name}/{what}"] for name in names) / len(names)

    return {
        "d_loss": mean("loss"),
        "g_loss": metrics["generator/loss"],
        **told(adversarial, real=mean("accuracy_real"), fake=mean("accuracy_fake")),
    }


def draw(latent_dim: int, key: jax.Array, batch: Batch) -> Extras:
    """A normal latent vector `[B, latent_dim]` for each image of the batch, under "latent"."""
    return {"latent": axis.normal(key, (len(batch["image"]), latent_dim))}


def drawn(latent_dim: int, key: jax.Array, batch: Batch, count: int) -> Extras:
    """Latent vectors for `count` images of this device and, where there are classes, drawn labels.

    Returns:
      "latent" `[count, latent_dim]`, normal, and one-hot "label" `[count, classes]`, all classes
      with the same probability.
    """
    of_latents, of_labels = jax.random.split(key)
    made = {"latent": axis.normal(of_latents, (count, latent_dim))}
    if "label" in batch:
        classes = batch["label"].shape[-1]
        numbers = axis.integers(of_labels, (count,), 0, classes)
        made["label"] = jax.nn.one_hot(numbers, classes)
    return made


def condition(batch: Batch) -> tuple[jax.Array, ...]:
    """The batch's one-hot labels `[B, classes]` as a tuple, empty where it has none."""
    return (batch["label"],) if "label" in batch else ()


def generate(nets: Nets, batch: Batch, noise: Extras) -> jax.Array:
    """Images `[B, H, W, C]` of the generator in training mode, its statistics left alone."""
    images, _ = nets["generator"](noise["latent"], *condition(batch))
    return images
