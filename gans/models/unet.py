"""U-Nets that turn image into image (Ronneberger et al. 2015, arXiv:1505.04597).

Two are in use for CycleGAN, alike in sizes and different in detail: the one of the
TensorFlow tutorials, and the one of the paper's PyTorch code. Each halves the image as
often as `features` has entries, to a single pixel where the image has 2 to that power.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models import layers

Conv = functools.partial(
    layers.Conv, kernel_size=(4, 4), padding=((1, 1), (1, 1)), kernel_init=layers.NORMAL
)
_DROPOUT_BLOCKS = 3  # those next to the bottleneck


class Generator(nn.Module):
    """The U-Net of the tutorials, https://www.tensorflow.org/tutorials/generative/cyclegan.

    Attributes:
      channels: channels of the images made.
      features: channels after each halving.
      dropout: the rate of the first three blocks that double.
      slope: of the leaky ReLU on the way down, Keras' default.
      upsampling: "transposed" or "resize": see `layers.upsampling`.
      dtype: of the computation.
    """

    channels: int = 3
    features: Sequence[int] = (64, 128, 256, 512, 512, 512, 512, 512)
    dropout: float = 0.5
    slope: float = 0.3
    upsampling: str = "transposed"
    dtype: Any = jnp.float32

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return 2 ** len(self.features)

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Images float32 `[B, H, W, channels]` in [-1, 1].

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          train: whether numbers are dropped.

        Raises:
          ValueError: height or width are not multiples of `multiple`.
        """
        layers.check_multiple(image, self.multiple)
        norm = functools.partial(layers.InstanceNorm, affine=True, dtype=self.dtype)
        x, skips = image, []
        for i, features in enumerate(self.features):
            x = Conv(features, strides=2, use_bias=False, dtype=self.dtype)(x)
            x = nn.leaky_relu(norm()(x) if i else x, self.slope)
            skips.append(x)
        for i, skip in enumerate(reversed(skips[:-1])):
            x = self._double(x, skip.shape[-1], use_bias=False)
            x = norm()(x)
            if i < _DROPOUT_BLOCKS:
                x = layers.Dropout(self.dropout)(x, train=train)
            x = jnp.concatenate([nn.relu(x), skip], axis=-1)
        x = self._double(x, self.channels, use_bias=True)
        return jnp.tanh(x.astype(jnp.float32))

    def _double(self, x: jax.Array, features: int, use_bias: bool) -> jax.Array:
        return layers.upsampling(
            self.upsampling, features, kernel_size=4, use_bias=use_bias, dtype=self.dtype
        )(x)


class PaperGenerator(nn.Module):
    """The U-Net of the paper's code (`unet_256`, for 8 halvings).

    https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix. Activations stand before the
    convolutions, the bottleneck is not normalised, normalisation has no scale and offset,
    and every convolution has a bias.

    Attributes:
      channels: channels of the images made.
      features: channels after each halving.
      dropout: the rate of the three blocks above the innermost; CycleGAN uses none.
      upsampling: "transposed" or "resize": see `layers.upsampling`.
      dtype: of the computation.
    """

    channels: int = 3
    features: Sequence[int] = (64, 128, 256, 512, 512, 512, 512, 512)
    dropout: float = 0.0
    upsampling: str = "transposed"
    dtype: Any = jnp.float32

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return 2 ** len(self.features)

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Images float32 `[B, H, W, channels]` in [-1, 1].

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          train: whether numbers are dropped.

        Raises:
          ValueError: height or width are not multiples of `multiple`.
        """
        layers.check_multiple(image, self.multiple)
        norm = functools.partial(layers.InstanceNorm, dtype=self.dtype)
        innermost = len(self.features) - 1
        x, skips = image, []
        for i, features in enumerate(self.features):
            x = Conv(features, strides=2, dtype=self.dtype)(nn.leaky_relu(x, 0.2) if i else x)
            x = norm()(x) if 0 < i < innermost else x
            skips.append(x)
        for i, skip in enumerate(reversed(skips[:-1])):
            x = norm()(self._double(nn.relu(x), skip.shape[-1]))
            if 1 <= i <= _DROPOUT_BLOCKS:
                x = layers.Dropout(self.dropout)(x, train=train)
            x = jnp.concatenate([skip, x], axis=-1)
        x = self._double(nn.relu(x), self.channels)
        return jnp.tanh(x.astype(jnp.float32))

    def _double(self, x: jax.Array, features: int) -> jax.Array:
        return layers.upsampling(
            self.upsampling, features, kernel_size=4, use_bias=True, dtype=self.dtype
        )(x)
