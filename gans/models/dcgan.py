"""DCGAN (Radford et al. 2015, arXiv:1511.06434) as the Keras tutorials build it.

With their default fields the networks are those of the tutorials on 32x32x3 images.
Called with a label they are the conditional ones (Mirza and Osindero 2014, arXiv:1411.1784).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models.layers import BatchNorm, Conv, Dense, UpsampleConv, stem_size


class Generator(nn.Module):
    """Latent vectors to images: a dense stem, then upsampling by 2 for each entry of `features`.

    Attributes:
      image_size: height and width of the images, a multiple of `2 ** len(features)`.
      channels: channels of the images.
      stem_features: channels of the smallest feature map.
      features: channels after each upsampling.
      dtype: of the computation.
    """

    image_size: int = 32
    channels: int = 3
    stem_features: int = 128
    features: Sequence[int] = (128, 64)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latent: jax.Array, label: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images float32 `[B, image_size, image_size, channels]` in [-1, 1].

        Args:
          latent: float `[B, latent_dim]`, normal.
          label: one-hot `[B, classes]`, or None for the unconditional network.
          train: normalise by the batch's statistics; by running ones otherwise.

        Raises:
          ValueError: `image_size` cannot be reached by doubling.
        """
        size = stem_size(self.image_size, len(self.features))
        x = latent if label is None else jnp.concatenate([latent, label], axis=-1)
        x = nn.relu(Dense(size * size * self.stem_features, dtype=self.dtype)(x))
        x = x.reshape(-1, size, size, self.stem_features)
        for features in self.features:
            x = UpsampleConv(features, dtype=self.dtype)(x)
            x = nn.relu(BatchNorm(dtype=self.dtype)(x, train=train))
        x = Conv(self.channels, (3, 3), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Images to one logit: strided convolutions, then dense layers on the flattened features.

    Attributes:
      features: channels of each convolution.
      strides: stride of each convolution.
      hidden_features: widths of dense ReLU layers between the features, to which the
        label is appended, and the logit.
      normalise: whether batch normalisation follows every convolution but the first. Penalties on
        the gradient of an image ask for none: one image's logit would depend on the others.
      spectral: whether all kernels are divided by their spectral norm (arXiv:1802.05957).
      dtype: of the computation.
    """

    features: Sequence[int] = (32, 64, 128, 256)
    strides: Sequence[int] = (2, 2, 2, 1)
    hidden_features: Sequence[int] = ()
    normalise: bool = True
    spectral: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: jax.Array, label: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits float32 `[B, 1]`, positive for what looks real.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          label: one-hot `[B, classes]`, or None for the unconditional network.
          train: normalise by the batch's statistics; by running ones otherwise.

        Raises:
          ValueError: `features` and `strides` differ in length.
        """
        x = _flat_features(self, image, train=train)
        if label is not None:
            x = jnp.concatenate([x, label.astype(x.dtype)], axis=-1)
        for features in self.hidden_features:
            x = nn.relu(_dense(self, features)(x))
        return _dense(self, 1)(x).astype(jnp.float32)


class ProjectionDiscriminator(nn.Module):
    """The `Discriminator` whose logit gains the inner product of the features with the class.

    Miyato and Koyama 2018, arXiv:1802.05637, equation 3: each class has a learned vector.

    Attributes:
      features, strides, normalise, spectral, dtype: as of `Discriminator`.
    """

    features: Sequence[int] = (32, 64, 128, 256)
    strides: Sequence[int] = (2, 2, 2, 1)
    normalise: bool = True
    spectral: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
        """Logits float32 `[B, 1]`, positive for what looks real and of its class.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          label: one-hot `[B, classes]`.
          train: normalise by the batch's statistics; by running ones otherwise.

        Raises:
          ValueError: `features` and `strides` differ in length.
        """
        x = _flat_features(self, image, train=train)
        of_class = _dense(self, x.shape[-1], use_bias=False)(label)
        match = jnp.sum((of_class * x).astype(jnp.float32), axis=-1, keepdims=True)
        return _dense(self, 1)(x).astype(jnp.float32) + match


class AuxiliaryDiscriminator(nn.Module):
    """The `Discriminator` that is not told the class and has to find it as well.

    Odena et al. 2017, arXiv:1610.09585.

    Attributes:
      classes: how many there are.
      features, strides, normalise, spectral, dtype: as of `Discriminator`.
    """

    classes: int
    features: Sequence[int] = (32, 64, 128, 256)
    strides: Sequence[int] = (2, 2, 2, 1)
    normalise: bool = True
    spectral: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Logits float32 `[B, 1]`, positive for what looks real, and `[B, classes]`.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          train: normalise by the batch's statistics; by running ones otherwise.

        Raises:
          ValueError: `features` and `strides` differ in length.
        """
        x = _flat_features(self, image, train=train)
        real, classes = (_dense(self, n)(x) for n in (1, self.classes))
        return real.astype(jnp.float32), classes.astype(jnp.float32)


_Net = Discriminator | ProjectionDiscriminator | AuxiliaryDiscriminator


def _flat_features(net: _Net, image: jax.Array, *, train: bool) -> jax.Array:
    """`[B, D]`: what the strided convolutions make of images, normalised from the second on."""
    if len(net.features) != len(net.strides):
        raise ValueError(f"features {net.features} and strides {net.strides} differ in length")
    x = image
    for i, (features, stride) in enumerate(zip(net.features, net.strides, strict=True)):
        x = Conv(features, (3, 3), strides=stride, spectral=net.spectral, dtype=net.dtype)(x)
        if net.normalise and i > 0:
            x = BatchNorm(dtype=net.dtype)(x, train=train)
        x = nn.leaky_relu(x, 0.2)
    return x.reshape(len(x), -1)


def _dense(net: _Net, features: int, *, use_bias: bool = True) -> Dense:
    return Dense(features, use_bias=use_bias, spectral=net.spectral, dtype=net.dtype)
