"""Penalties: what a discriminator pays for being steep, or far from what it said before.

`loss.penalties.r1 = {"name": "penalties.R1"}` in a config adds the term `r1` to the discriminator's
loss, weighted by `loss.weights.r1` as every term is; `"every": 16` computes it in one of 16 steps,
with 16 times the weight (Karras et al. 2020, arXiv:1912.04958, section 3.1, without their change of
Adam's constants). One of your own is a class in a module of yours whose objects are called with
`Judged`. It may keep something from one iteration to the next, by methods `begin` and `follow` as
of `LeCam`.

Gradients are with respect to an image, before an augmentation if there is one; of a PatchGAN, of
the sum of its map, so that their size grows with the map. Passes that are made for a penalty alone
leave spectral normalisation where it is. A discriminator with batch normalisation has no gradient
of a single image, and is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gans.ops import axis

Critic = Callable[[jax.Array], jax.Array]
"""From images `[B, H, W, C]` to logits `[B, ...]`, by a discriminator in training mode."""


class Judged(NamedTuple):
    """What a penalty may depend on: this device's share of a step of the discriminator.

    Attributes:
      real: real images, float `[B, H, W, C]` in [-1, 1].
      fake: generated ones.
      real_logits: `[B, ...]`, of the real images.
      fake_logits: `[B, ...]`, of the generated ones.
      real_gradient: `() -> [B, H, W, C]`, the gradient of each real image's own logit, of the pass
        that gave the logits.
      fake_gradient: the same of the generated images.
      of_real: the discriminator, told the classes of the real images, if any.
      of_fake: the same, told those of the generated ones.
      key: for draws, the same on every device.
      memory: what the penalty keeps from one iteration to the next, or None.
    """

    real: jax.Array
    fake: jax.Array
    real_logits: jax.Array
    fake_logits: jax.Array
    real_gradient: Callable[[], jax.Array]
    fake_gradient: Callable[[], jax.Array]
    of_real: Critic
    of_fake: Critic
    key: jax.Array
    memory: Any = None


class Penalty(NamedTuple):
    """A penalty, and how often it is computed.

    Attributes:
      function: `Judged -> scalar`.
      every: it is computed in one of so many of the discriminator's steps, times that number.
    """

    function: Callable[[Judged], jax.Array]
    every: int = 1

    def __call__(self, judged: Judged, step: jax.Array) -> jax.Array:
        """The term's value in a step of the discriminator; 0 where it is not due."""
        if self.every == 1:
            return self.function(judged)
        return jax.lax.cond(
            step % self.every == 0,
            lambda: self.every * self.function(judged),
            lambda: jnp.zeros((), jax.eval_shape(lambda: self.function(judged)).dtype),
        )


def gradient(critic: Critic, images: jax.Array) -> jax.Array:
    """Of each image's own logit, summed over a map of them: `[B, H, W, C]`."""
    return jax.grad(lambda x: jnp.sum(critic(x)))(images)


def squared_norm(gradients: jax.Array) -> jax.Array:
    """Of each image's gradient over all its numbers, `[B]`."""
    return jnp.sum(jnp.square(gradients), axis=tuple(range(1, gradients.ndim)))


@dataclasses.dataclass(frozen=True)
class R1:
    """`1/2 E |grad D(x)|^2` at real images; its weight is gamma.

    Mescheder et al. 2018, arXiv:1801.04406, eq. 9.
    """

    def __call__(self, judged: Judged) -> jax.Array:
        return 0.5 * jnp.mean(squared_norm(judged.real_gradient()))


@dataclasses.dataclass(frozen=True)
class R2:
    """`1/2 E |grad D(G(z))|^2` at generated images; its weight is gamma. As `R1`, eq. 10."""

    def __call__(self, judged: Judged) -> jax.Array:
        return 0.5 * jnp.mean(squared_norm(judged.fake_gradient()))


@dataclasses.dataclass(frozen=True)
class GradientPenalty:
    """`E (|grad D(a x + (1 - a) G(z))| - 1)^2` with an `a` in [0, 1] for each image; weight 10.

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3. With classes, at that of the real image.
    """

    def __call__(self, judged: Judged) -> jax.Array:
        share = axis.uniform(judged.key, (len(judged.real), 1, 1, 1)).astype(judged.real.dtype)
        between = share * judged.real + (1.0 - share) * judged.fake
        return _from_one(gradient(judged.of_real, between))


@dataclasses.dataclass(frozen=True)
class Dragan:
    """`E (|grad D(x + r)| - 1)^2` beside real images, `r` uniform; weight 10.

    Kodali et al. 2017, arXiv:1705.07215, section 2.3.

    Attributes:
      spread: the largest number of `r` in standard deviations of all numbers of the batch. An image
        has a share of it in [0, 1], each of its numbers another.
    """

    spread: float = 0.5

    def __call__(self, judged: Judged) -> jax.Array:
        x = judged.real
        mean = axis.mean(jnp.mean(x))
        deviation = jnp.sqrt(axis.mean(jnp.mean(jnp.square(x - mean))))
        of_image, of_number = jax.random.split(judged.key)
        share = axis.uniform(of_image, (len(x), 1, 1, 1)) * axis.uniform(of_number, x.shape)
        beside = x + self.spread * deviation * share.astype(x.dtype)
        return _from_one(gradient(judged.of_real, beside))


def _from_one(gradients: jax.Array) -> jax.Array:
    # The root has no derivative at 0, where an untrained or a saturated discriminator may be.
    return jnp.mean(jnp.square(jnp.sqrt(squared_norm(gradients) + 1e-16) - 1.0))


class Anchors(NamedTuple):
    """Averages over time of a discriminator's mean logits, scalars, and the steps it has made."""

    real: jax.Array
    fake: jax.Array
    count: jax.Array


@dataclasses.dataclass(frozen=True)
class LeCam:
    """`E relu(D(x) - a_F)^2 + E relu(a_R - D(G(z)))^2`, where a_R and a_F are averages over time.

    Tseng et al. 2021, arXiv:2104.03310, eq. 5, in the one-sided form of the authors' code: the
    discriminator pays for telling the two apart by more than it has of late. For few images;
    weight 0.3.

    Attributes:
      decay: of the averages of the mean logits, a_R of real and a_F of generated images.
      start: steps of the discriminator before the first that pays; until then the averages are the
        last values.
    """

    decay: float = 0.99
    start: int = 1000

    def begin(self) -> Anchors:
        """The averages at first."""
        return Anchors(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), jnp.int32))

    def follow(self, memory: Anchors, real: jax.Array, fake: jax.Array) -> Anchors:
        """The averages after a step of the discriminator, of its mean logits in the whole batch."""
        share = jnp.where(memory.count < self.start, 1.0, 1.0 - self.decay)
        nearer = [a + share * (b - a) for a, b in ((memory.real, real), (memory.fake, fake))]
        return Anchors(*nearer, memory.count + 1)

    def __call__(self, judged: Judged) -> jax.Array:
        anchors = judged.memory
        over = jnp.square(jax.nn.relu(judged.real_logits - anchors.fake))
        under = jnp.square(jax.nn.relu(anchors.real - judged.fake_logits))
        cost = jnp.mean(over) + jnp.mean(under)
        return jnp.where(anchors.count < self.start, 0.0, cost)
