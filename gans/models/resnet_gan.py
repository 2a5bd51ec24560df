"""SNGAN's residual networks (Miyato et al. 2018, arXiv:1802.05957, appendix B.4, tables 3 to 5).

With their default fields they are those for 32x32 images. Called with a label they are the
conditional ones of Miyato and Koyama 2018, arXiv:1802.05637: the generator's normalisations scale
by class, and the discriminator's logit gains a projection.

Where a block changes the size of an image, its 1x1 convolution acts on the small one: it commutes
with repeating pixels and with taking their mean.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models.layers import (
    BatchNorm,
    ConditionalBatchNorm,
    Conv,
    ConvPool,
    Dense,
    Embed,
    UpsampleConv,
    stem_size,
)
from gans.ops.pooling import average_pool

_NORM = {"momentum": 0.9, "epsilon": 2e-5}  # Chainer's
_OF_BLOCKS = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # Glorot's, times sqrt 2
_POOLING = {"sum": jnp.sum, "mean": jnp.mean}


class Generator(nn.Module):
    """Latent vectors to images: a dense stem, then a block that doubles for each of `features`.

    Attributes:
      image_size: height and width of the images, a multiple of `2 ** len(features)`.
      channels: channels of the images.
      stem_features: channels of the smallest feature map.
      features: channels after each doubling; of 64x64 images usually (512, 256, 128, 64) after a
        stem of 1024.
      dtype: of the computation.
    """

    image_size: int = 32
    channels: int = 3
    stem_features: int = 256
    features: Sequence[int] = (256, 256, 256)
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
        x = Dense(size * size * self.stem_features, dtype=self.dtype)(latent)
        x = x.reshape(-1, size, size, self.stem_features)
        for features in self.features:
            x = GeneratorBlock(features, dtype=self.dtype)(x, label, train=train)
        x = nn.relu(BatchNorm(**_NORM, dtype=self.dtype)(x, train=train))
        x = Conv(self.channels, (3, 3), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))


class GeneratorBlock(nn.Module):
    """Doubles an image beside a 1x1 convolution of it: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    Attributes:
      features: channels of the output, F.
      dtype: of the computation.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, *, train: bool) -> jax.Array:
        """The block of images, with labels one-hot `[B, classes]` or None."""

        def normalised(x: jax.Array) -> jax.Array:
            if label is None:
                return BatchNorm(**_NORM, dtype=self.dtype)(x, train=train)
            return ConditionalBatchNorm(**_NORM, dtype=self.dtype)(x, label, train=train)

        y = nn.relu(normalised(x))
        y = UpsampleConv(self.features, kernel_init=_OF_BLOCKS, dtype=self.dtype)(y)
        y = nn.relu(normalised(y))
        y = Conv(self.features, (3, 3), kernel_init=_OF_BLOCKS, dtype=self.dtype)(y)
        return _plus_repeated(y, Conv(self.features, (1, 1), dtype=self.dtype)(x))


def _plus_repeated(y: jax.Array, x: jax.Array) -> jax.Array:
    """`y` `[B, 2H, 2W, C]` plus `x` `[B, H, W, C]` with each pixel repeated 2x2."""
    batch, height, width, channels = x.shape
    by_pixel = y.reshape(batch, height, 2, width, 2, channels)
    return (by_pixel + x[:, :, None, :, None]).reshape(y.shape)


class Discriminator(nn.Module):
    """Images to one logit: a block for each of `features`, then a sum or mean over the pixels.

    Attributes:
      features: channels after each block.
      downsample: whether each block halves height and width.
      spectral: whether all kernels and class vectors are divided by their spectral norm.
      pooling: "sum" as in the paper, or "mean", usual with penalties on the gradient.
      dtype: of the computation up to the pooling, from where on it is float32.
    """

    features: Sequence[int] = (128, 128, 128, 128)
    downsample: Sequence[bool] = (True, True, False, False)
    spectral: bool = True
    pooling: str = "sum"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: jax.Array, label: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits float32 `[B, 1]`, positive for what looks real and, with a label, of its class.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          label: one-hot `[B, classes]`, or None for the unconditional network.
          train: makes no difference here: u moves with its collection (`layers.Conv`).

        Raises:
          ValueError: `features` and `downsample` differ in length, the image cannot be halved as
            often, or there is no pooling of that name.
        """
        del train
        if len(self.features) != len(self.downsample):
            raise ValueError(
                f"features {self.features} and downsample {self.downsample} differ in length"
            )
        if self.pooling not in _POOLING:
            raise ValueError(f"pooling is {self.pooling!r}, not one of {', '.join(_POOLING)}")
        fields = {"spectral": self.spectral, "dtype": self.dtype}
        x = image
        for i, (features, halves) in enumerate(zip(self.features, self.downsample, strict=True)):
            x = DiscriminatorBlock(features, downsample=halves, is_first=i == 0, **fields)(x)
        # In float32, because a sum over pixels is large beside what the classes differ by.
        x = _POOLING[self.pooling](nn.relu(x).astype(jnp.float32), axis=(1, 2))
        logits = Dense(1, spectral=self.spectral)(x)
        if label is None:
            return logits
        of_class = Embed(x.shape[-1], spectral=self.spectral)(label)
        return logits + jnp.sum(of_class * x, axis=-1, keepdims=True)


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or a 1x1 one: `[B, H, W, C] -> [B, H', W', F]`.

    Attributes:
      features: channels of the output, F.
      downsample: whether height and width are halved.
      is_first: whether it is given an image, which no activation may cut off; the channels between
        its convolutions are then F, and C in all others.
      spectral, dtype: as of `Discriminator`.
    """

    features: int
    downsample: bool
    is_first: bool
    spectral: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        fields = {"spectral": self.spectral, "dtype": self.dtype}
        wide = functools.partial(Conv, kernel_size=(3, 3), kernel_init=_OF_BLOCKS, **fields)
        halving = functools.partial(ConvPool, kernel_init=_OF_BLOCKS, **fields)
        y = x if self.is_first else nn.relu(x)
        y = nn.relu(wide(self.features if self.is_first else x.shape[-1])(y))
        y = (halving if self.downsample else wide)(self.features)(y)
        if not self.downsample and x.shape[-1] == self.features:
            return y + x
        x = average_pool(x) if self.downsample else x
        return y + Conv(self.features, (1, 1), **fields)(x)
