"""A discriminator's verdict, as every game takes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gans.losses.adversarial import Adversarial
from gans.state import NetState
from gans.types import Metrics


def judge(
    net: NetState, images: jax.Array, *label: jax.Array, adversarial: Adversarial, real: bool
) -> tuple[Metrics, NetState]:
    """The discriminator's mean loss and accuracy on images it should call real, or fake.

    A logit is called right where it costs less under the true answer than under the
    other one, whichever adversarial loss is in use.
    """
    logits, net = net(images, *label)
    losses = adversarial.discriminator(logits, real)
    right = losses < adversarial.discriminator(logits, not real)
    return {"loss": jnp.mean(losses), "accuracy": jnp.mean(right.astype(jnp.float32))}, net
