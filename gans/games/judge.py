"""A discriminator's verdict, as every game takes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gans.core.state import NetState
from gans.core.types import Metrics
from gans.losses.adversarial import Adversarial


def judge(
    net: NetState, images: jax.Array, *label: jax.Array, adversarial: Adversarial, real: bool
) -> tuple[Metrics, NetState]:
    """The `verdict` of a discriminator on images it should call real, or fake."""
    logits, net = net(images, *label)
    return verdict(logits, adversarial=adversarial, real=real), net


def told(adversarial: Adversarial, **accuracies: jax.Array) -> Metrics:
    """Accuracies for a summary, under "accuracy_<name>"; none where they say nothing."""
    if not adversarial.has_threshold:
        return {}
    return {f"accuracy_{name}": value for name, value in accuracies.items()}


def verdict(logits: jax.Array, *, adversarial: Adversarial, real: bool) -> Metrics:
    """The mean `loss` and `accuracy` of logits of images that are real, or that are not.

    A logit is called right where it costs less under the true answer than under the
    other one, whichever adversarial loss is in use.
    """
    losses = adversarial.discriminator(logits, real)
    right = losses < adversarial.discriminator(logits, not real)
    return {"loss": jnp.mean(losses), "accuracy": jnp.mean(right.astype(jnp.float32))}
