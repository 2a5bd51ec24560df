"""Adversarial losses: what the discriminator and the generator each want of a logit.

All functions are elementwise on logits of any shape (one for an image, or a map of
them from a PatchGAN) and return losses of the same shape; the game takes the mean.

`loss.adversarial = "hinge"` in a config is the object `hinge` of this module; one of your own is an
`Adversarial` in a module of yours, as in `loss.adversarial = "my_project.losses.softened"`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Adversarial(NamedTuple):
    """The two sides of one adversarial loss.

    Attributes:
      discriminator: `(logits, real) -> losses`; `real` says whether these are the
        logits of real images or of generated ones.
      generator: `(logits of generated images) -> losses`.
      has_threshold: whether the sign of a logit, or its side of some number, says what the
        discriminator takes an image for.
    """

    discriminator: Callable[[jax.Array, bool], jax.Array]
    generator: Callable[[jax.Array], jax.Array]
    has_threshold: bool = True


def cross_entropy_discriminator(logits: jax.Array, real: bool) -> jax.Array:
    """`-log D(x)` for real, `-log(1 - D(G(z)))` for generated images; D is the logit's sigmoid.

    Goodfellow et al. 2014, arXiv:1406.2661, eq. 1.
    """
    return jax.nn.softplus(-logits if real else logits)


def non_saturating_generator(logits: jax.Array) -> jax.Array:
    """`-log D(G(z))`. Goodfellow et al. 2014, arXiv:1406.2661, section 3."""
    return jax.nn.softplus(-logits)


def minimax_generator(logits: jax.Array) -> jax.Array:
    """`log(1 - D(G(z)))`, the original. Goodfellow et al. 2014, arXiv:1406.2661, eq. 1."""
    return -jax.nn.softplus(logits)


def least_squares_discriminator(logits: jax.Array, real: bool) -> jax.Array:
    """`(D(x) - 1)^2` for real and `D(G(z))^2` for generated images.

    Mao et al. 2017, arXiv:1611.04076, eq. 9 (a = 0, b = 1), without its factor 1/2,
    as CycleGAN uses it (arXiv:1703.10593, section 4).
    """
    return jnp.square(logits - 1.0) if real else jnp.square(logits)


def least_squares_generator(logits: jax.Array) -> jax.Array:
    """`(D(G(z)) - 1)^2`. Mao et al. 2017, arXiv:1611.04076, eq. 9 (c = 1), without the 1/2."""
    return jnp.square(logits - 1.0)


def hinge_discriminator(logits: jax.Array, real: bool) -> jax.Array:
    """`max(0, 1 - D(x))`, `max(0, 1 + D(G(z)))`. Miyato et al. 2018, arXiv:1802.05957, eq. 16."""
    return jax.nn.relu(1.0 - logits if real else 1.0 + logits)


def wasserstein_discriminator(logits: jax.Array, real: bool) -> jax.Array:
    """`-D(x)` and `D(G(z))`, for a Lipschitz D. Arjovsky et al. 2017, arXiv:1701.07875, eq. 2.

    Nothing here keeps D Lipschitz: see `gans.losses.penalties.GradientPenalty`.
    """
    return -logits if real else logits


def negative_logit_generator(logits: jax.Array) -> jax.Array:
    """`-D(G(z))`. arXiv:1701.07875, eq. 2; with the hinge, arXiv:1802.05957, eq. 17."""
    return -logits


non_saturating = Adversarial(cross_entropy_discriminator, non_saturating_generator)
"""The usual one: arXiv:1406.2661, section 3."""

minimax = Adversarial(cross_entropy_discriminator, minimax_generator)
"""The original: arXiv:1406.2661, eq. 1."""

least_squares = Adversarial(least_squares_discriminator, least_squares_generator)
"""That of LSGAN and CycleGAN: arXiv:1611.04076, eq. 9."""

hinge = Adversarial(hinge_discriminator, negative_logit_generator)
"""That of SNGAN and BigGAN: arXiv:1802.05957, eq. 16 and 17."""

wasserstein = Adversarial(wasserstein_discriminator, negative_logit_generator, has_threshold=False)
"""That of WGAN: arXiv:1701.07875, eq. 2. Logits with any number added to all mean the same."""
