"""Networks for numbers instead of images: a number is an image of one pixel, `[B, 1, 1, 1]`."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


class Rising(nn.Module):
    """A generator `x = G(z)` that rises strictly, so that the density of x is known exactly.

    `G(z) = shift + scale z + sum_k height_k tanh(steepness_k (z - centre_k))`, all factors
    positive. Before training it is nearly the straight line: x is nearly Gaussian.

    Attributes:
      shift: mean of x before training.
      scale: its standard deviation.
      steps: how many tanh there are.
    """

    shift: float = 0.0
    scale: float = 1.0
    steps: int = 8

    @nn.compact
    def __call__(self, latent: jax.Array, *, train: bool) -> jax.Array:
        """Float `[B, 1, 1, 1]` of latent `[B, 1]`."""
        del train
        shift = self.param("shift", nn.initializers.constant(self.shift), ())
        line = self.param("log_scale", nn.initializers.constant(jnp.log(self.scale)), ())
        height = self.param("log_height", nn.initializers.constant(jnp.log(0.02)), (self.steps,))
        steepness = self.param("log_steepness", nn.initializers.constant(1.0), (self.steps,))
        centre = self.param("centre", lambda _: jnp.linspace(-2.0, 2.0, self.steps))
        bends = jnp.exp(height) * jnp.tanh(jnp.exp(steepness) * (latent - centre))
        x = shift + jnp.exp(line) * latent[:, 0] + jnp.sum(bends, axis=-1)
        return x.reshape(-1, 1, 1, 1)


class Discriminator(nn.Module):
    """A small dense network.

    Attributes:
      features: widths of its hidden layers.
    """

    features: Sequence[int] = (64, 64)

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Logits float32 `[B, 1]` of numbers `[B, 1, 1, 1]`."""
        del train
        x = image.reshape(-1, 1)
        for features in self.features:
            # Biases spread over the line, so that the layer bends everywhere, not at 0 alone.
            x = nn.tanh(nn.Dense(features, bias_init=nn.initializers.normal(1.0))(x))
        return nn.Dense(1)(x)
