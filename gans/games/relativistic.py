"""The game of R3GAN: whether a real image looks more real than a generated one beside it.

Huang et al. 2024, arXiv:2501.05441, section 2, with the pairing of Jolicoeur-Martineau 2018,
arXiv:1807.00734. The discriminator's loss is that of the difference of two logits, so that it
cannot be content with a generated image while a real one is further off. It converges with
gradient penalties at real and at generated images together:
`loss.penalties = {"r1": {"name": "penalties.R1"}, "r2": {"name": "penalties.R2"}}`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gans.core.types import Batch, Extras, Game, Latent, Metrics, Nets, Outcome, Player
from gans.games import critic, latent
from gans.games.critic import Penalties
from gans.games.latent import NONE, condition, generate
from gans.games.rounds import rows
from gans.losses.adversarial import Adversarial


def paired(*, adversarial: Adversarial, latent_dim: int, penalties: Penalties = NONE) -> Game:
    """A step of the discriminator, then one of the generator, on different halves of the batch.

    So `data.batch_size` is twice the images of a step. The i-th real image is paired with the i-th
    generated one, which is of its class where there are classes.

    Loss terms: `paired` of the discriminator and one for each of its `penalties`, `adversarial` of
    the generator. With the loss `non_saturating` they are `softplus(D(G(z)) - D(x))` and
    `softplus(D(x) - D(G(z)))`.
    """

    def discriminator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        batch, own = rows(batch, 0, 2), rows({"latent": noise["latent"]}, 0, 2)
        real, fake, label = batch["image"], generate(nets, batch, own), condition(batch)
        on_real, net = critic.seen(nets["discriminator"], real, label, penalties)
        on_fake, net = critic.seen(net, fake, label, penalties)
        paid, metrics = critic.pay(
            nets["discriminator"],
            (real, fake),
            (on_real, on_fake),
            (label, label),
            noise,
            penalties,
            noise["step"],
        )
        lead = on_real.logits - on_fake.logits
        return Outcome(
            terms={"paired": jnp.mean(adversarial.discriminator(lead, True)), **paid},
            nets={"discriminator": net},
            metrics={"accuracy": jnp.mean((lead > 0).astype(jnp.float32)), **metrics},
        )

    def generator(nets: Nets, batch: Batch, noise: Extras) -> Outcome:
        batch, own = rows(batch, 1, 2), rows({"latent": noise["latent"]}, 1, 2)
        label = condition(batch)
        fake, net = nets["generator"](own["latent"], *label)
        of_real, judge = nets["discriminator"](batch["image"], *label)
        of_fake, judge = judge(fake, *label)
        loss = jnp.mean(adversarial.generator(of_fake - of_real))
        return Outcome({"adversarial": loss}, {"generator": net, "discriminator": judge})

    def draw(key: jax.Array, batch: Batch) -> Extras:
        return {**latent.draw(latent_dim, key, batch), **critic.draw(key, penalties)}

    def summary(metrics: Metrics) -> Metrics:
        return {
            "d_loss": metrics["discriminator/loss"],
            "g_loss": metrics["generator/loss"],
            "accuracy": metrics["discriminator/accuracy"],
        }

    d_terms = ("paired", *penalties)
    players = (
        Player("discriminator", ("discriminator",), d_terms, discriminator, critic.recall),
        Player("generator", ("generator",), ("adversarial",), generator),
    )
    game = Game(
        rounds=tuple((player,) for player in players),
        draw=draw,
        inputs=latent.inputs_of,
        summary=summary,
        makes=Latent("generator", latent_dim),
        logits=latent.logits,
        shares=2,
    )
    return dataclasses.replace(game, **critic.of_game(("discriminator",), penalties))
