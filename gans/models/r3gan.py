"""R3GAN's networks: residual blocks without normalisation, resampled through a blur.

Huang et al. 2024, arXiv:2501.05441, "The GAN is dead; long live the GAN! A Modern GAN Baseline",
section 4 and appendix D, with the numbers of the authors' code:
https://github.com/brownvc/R3GAN. Both networks are the same blocks in stages, one for each size
from 4x4 pixels to the images', of twice the last one's height and width. Called with a label they
are the conditional ones.

With their default fields they are those of CIFAR-10: 20,781,952 and 21,280,512 parameters with ten
classes, 20,732,160 and 20,683,776 without labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models.layers import Conv
from gans.ops import resample

_SMALLEST = 4  # pixels of the stage that a latent vector, or a logit, is next to
_SLOPE = 0.2  # of the leaky rectifier


class Generator(nn.Module):
    """Latent vectors to images, from 4x4 pixels up.

    Attributes:
      image_size: height and width of the images, 4 times a power of 2.
      channels: channels of the images.
      features: channels of each stage, the 4x4 pixels' first; one number for the same in all.
      blocks: residual blocks of a stage.
      expansion: how many times as many channels there are within a block.
      group_features: channels in a group of the blocks' 3x3 convolutions.
      condition_features: length of the vector that a class is given beside the latent one.
      dtype: of the computation in stages larger than 4x4, where it is float32.
    """

    image_size: int = 32
    channels: int = 3
    features: int | Sequence[int] = 768
    blocks: int = 2
    expansion: int = 2
    group_features: int = 16
    condition_features: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latent: jax.Array, label: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images float32 `[B, image_size, image_size, channels]`, of any range: there is no tanh.

        Args:
          latent: float `[B, latent_dim]`, normal; 64 numbers in the paper.
          label: one-hot `[B, classes]`, or None for the unconditional network.
          train: makes no difference here.

        Raises:
          ValueError: `image_size` is not 4 times a power of 2, `features` are not one for each
            stage, or groups do not divide a block's channels.
        """
        del train
        widths = _widths(self.features, (self.image_size, self.image_size))
        x = latent.astype(jnp.float32)
        if label is not None:
            x = jnp.concatenate([x, _linear(self.condition_features, "embedding")(label)], axis=-1)
        shape = (_SMALLEST, _SMALLEST, widths[0])
        basis = self.param("basis", nn.initializers.normal(1.0), shape)
        x = basis * _linear(widths[0], "stem")(x)[:, None, None]
        dtype = jnp.float32
        for i, width in enumerate(widths):
            if i > 0:
                # A 1x1 convolution and a blur can be exchanged: here it is of fewer pixels.
                dtype = self.dtype
                x = resample.upsample(_to_width(x.astype(dtype), width))
            x = _stage(self, x, len(widths), dtype)
        return _pointwise(self.channels, dtype, "to_image")(x).astype(jnp.float32)


class Discriminator(nn.Module):
    """Images to one logit: the `Generator`'s stages, from the images down to 4x4 pixels.

    Attributes:
      features: channels of each stage, the largest images' first; one number for the same in all.
      blocks, expansion, group_features, dtype: as of `Generator`.
    """

    features: int | Sequence[int] = 768
    blocks: int = 2
    expansion: int = 2
    group_features: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: jax.Array, label: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Logits float32 `[B, 1]`, positive for what looks real, and of its class.

        Args:
          image: float `[B, H, H, C]`, H 4 times a power of 2.
          label: one-hot `[B, classes]`, or None for the unconditional network.
          train: makes no difference here.

        Raises:
          ValueError: the images are not squares of 4 times a power of 2, `features` are not one
            for each stage, or groups do not divide a block's channels.
        """
        del train
        widths = _widths(self.features, image.shape[1:3])
        dtype = self.dtype if len(widths) > 1 else jnp.float32
        x = _pointwise(widths[0], dtype, "from_image")(image)
        for i, width in enumerate(widths):
            if i > 0:
                x = _to_width(resample.downsample(x), width)
            if i == len(widths) - 1:
                dtype = jnp.float32
            x = _stage(self, x.astype(dtype), len(widths), dtype)
        # A 4x4 convolution of each channel for itself, which sees all pixels, is a weighted sum.
        basis = self.param("basis", _normal(1.0, in_axis=(0, 1)), x.shape[1:])
        x = jnp.sum(basis * x, axis=(1, 2))
        if label is None:
            return _linear(1, "logit")(x)
        width = x.shape[-1]
        of_class = _linear(width, "embedding", gain=1.0 / math.sqrt(width))(label)
        return jnp.sum(_linear(width, "head")(x) * of_class, axis=-1, keepdims=True)


class ResidualBlock(nn.Module):
    """An inverted bottleneck beside the identity, which is all of it until it has been trained.

    A 1x1 convolution to more channels, a 3x3 one in groups and a 1x1 one back, with biases and
    leaky rectifiers between them. The last starts at zero and the others by the number of blocks
    (Zhang et al. 2019, arXiv:1901.09321), so that no normalisation is needed.

    Attributes:
      depth: residual blocks of the whole network.
      expansion: how many times as many channels there are between.
      group_features: how many of them are in a group.
      dtype: of the computation.
    """

    depth: int
    expansion: int = 2
    group_features: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, H, W, C]` to the same.

        Raises:
          ValueError: the channels between are no multiple of `group_features`.
        """
        features = x.shape[-1] * self.expansion
        if min(features, self.group_features) < 1 or features % self.group_features:
            raise ValueError(
                f"{x.shape[-1]} features times expansion {self.expansion} are {features}, which "
                f"groups of {self.group_features} do not divide; choose a multiple or set "
                "group_features"
            )
        # Two layers are scaled, each by the root of depth^(-1/2).
        init = _normal(math.sqrt(2.0 / (1.0 + _SLOPE**2)) * self.depth**-0.25)
        y = Conv(features, (1, 1), kernel_init=init, dtype=self.dtype)(x)
        y = nn.leaky_relu(y, _SLOPE)
        groups = features // self.group_features
        grouped = Conv(
            features, (3, 3), feature_group_count=groups, kernel_init=init, dtype=self.dtype
        )
        y = nn.leaky_relu(grouped(y), _SLOPE)
        zeros = nn.initializers.zeros
        return x + Conv(x.shape[-1], (1, 1), use_bias=False, kernel_init=zeros, dtype=self.dtype)(y)


def _stage(net: Generator | Discriminator, x: jax.Array, stages: int, dtype: Any) -> jax.Array:
    """The blocks of one of a network's stages."""
    for _ in range(net.blocks):
        x = ResidualBlock(
            depth=stages * net.blocks,
            expansion=net.expansion,
            group_features=net.group_features,
            dtype=dtype,
        )(x)
    return x


def _widths(features: int | Sequence[int], size: tuple[int, int]) -> tuple[int, ...]:
    """The channels of each stage of a network for images of a size."""
    height, width = size
    stages = (height // _SMALLEST).bit_length()
    if height != width or height != _SMALLEST * 2**stages // 2 or not stages:
        raise ValueError(
            f"images of {height}x{width} pixels cannot be reached by doubling {_SMALLEST}x"
            f"{_SMALLEST} ones: height and width must both be the same {_SMALLEST} times a power "
            "of 2"
        )
    widths = (features,) * stages if isinstance(features, int) else tuple(features)
    if len(widths) != stages:
        raise ValueError(
            f"features {widths} are {len(widths)}, but images of {height}x{width} pixels have "
            f"{stages} stages: give one for each, or one number for all"
        )
    return widths


def _normal(gain: float, in_axis: Any = -2) -> nn.initializers.Initializer:
    """N(0, gain / sqrt(fan in))."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal", in_axis=in_axis)


def _linear(features: int, name: str, gain: float = 1.0) -> nn.Dense:
    return nn.Dense(features, use_bias=False, kernel_init=_normal(gain), name=name)


def _pointwise(features: int, dtype: Any, name: str | None = None) -> Conv:
    return Conv(features, (1, 1), use_bias=False, kernel_init=_normal(1.0), dtype=dtype, name=name)


def _to_width(x: jax.Array, width: int) -> jax.Array:
    """A 1x1 convolution to another number of channels; nothing where it is the same."""
    return x if x.shape[-1] == width else _pointwise(width, x.dtype)(x)
