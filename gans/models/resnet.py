"""CycleGAN's generator: image to image through residual blocks at a quarter of the size.

Zhu et al. 2017, arXiv:1703.10593, appendix 7.2, after Johnson et al. 2016, arXiv:1603.08155,
as the authors' PyTorch code builds it: https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models import layers

Conv = functools.partial(layers.Conv, padding="VALID", kernel_init=layers.NORMAL)


class Generator(nn.Module):
    """`c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3` in the paper's notation.

    Attributes:
      channels: channels of the images made.
      features: channels of the first convolution, 64 in the paper.
      blocks: residual blocks: 9 for images of 256 pixels and more, 6 for 128.
      upsampling: "transposed" or "resize": see `layers.upsampling`.
      dtype: of the computation.
    """

    channels: int = 3
    features: int = 64
    blocks: int = 9
    upsampling: str = "transposed"
    dtype: Any = jnp.float32

    multiple = 4  # what height and width must be multiples of

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Images float32 `[B, H, W, channels]` in [-1, 1].

        Args:
          image: float `[B, H, W, C]` in [-1, 1], H and W multiples of 4.
          train: makes no difference here.

        Raises:
          ValueError: height or width are not multiples of 4.
        """
        del train
        layers.check_multiple(image, self.multiple)
        norm = functools.partial(layers.InstanceNorm, dtype=self.dtype)
        x = layers.reflect_pad(image, 3)
        x = nn.relu(norm()(Conv(self.features, (7, 7), dtype=self.dtype)(x)))
        for factor in (2, 4):
            x = Conv(
                factor * self.features,
                (3, 3),
                strides=2,
                padding=((1, 1), (1, 1)),
                dtype=self.dtype,
            )(x)
            x = nn.relu(norm()(x))
        for _ in range(self.blocks):
            x = ResidualBlock(dtype=self.dtype)(x)
        for factor in (2, 1):
            x = layers.upsampling(
                self.upsampling,
                factor * self.features,
                kernel_size=3,
                use_bias=True,
                dtype=self.dtype,
            )(x)
            x = nn.relu(norm()(x))
        x = Conv(self.channels, (7, 7), dtype=self.dtype)(layers.reflect_pad(x, 3))
        return jnp.tanh(x.astype(jnp.float32))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity (He et al. 2015, arXiv:1512.03385).

    Attributes:
      dtype: of the computation.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = Conv(x.shape[-1], (3, 3), dtype=self.dtype)(layers.reflect_pad(x, 1))
        y = nn.relu(layers.InstanceNorm(dtype=self.dtype)(y))
        y = Conv(x.shape[-1], (3, 3), dtype=self.dtype)(layers.reflect_pad(y, 1))
        return x + layers.InstanceNorm(dtype=self.dtype)(y)
