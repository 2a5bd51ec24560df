"""PatchGAN discriminators: a logit for each patch (Isola et al. 2016, arXiv:1611.07004).

With the default fields the 70x70 discriminator of CycleGAN's PyTorch code (arXiv:1703.10593,
appendix 7.2); the TensorFlow tutorial's is `slope=0.3, affine=True, use_bias=False`.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.models import layers


class Discriminator(nn.Module):
    """`C64-C128-C256-C512` in the paper's notation, then a map of logits.

    A logit sees 70x70 pixels with depth 3, 34x34 with 2, 16x16 with 1.

    Attributes:
      features: channels of the first convolution; doubled by each layer, up to eightfold.
      depth: convolutions of stride 2; one of stride 1 follows them.
      slope: of the leaky ReLU.
      affine: whether the normalisation learns scale and offset.
      use_bias: whether the convolutions before the last have a bias.
      spectral: whether all kernels are divided by their spectral norm (arXiv:1802.05957).
      dtype: of the computation.
    """

    features: int = 64
    depth: int = 3
    slope: float = 0.2
    affine: bool = False
    use_bias: bool = True
    spectral: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Logits float32 `[B, h, w, 1]`, positive for what looks real; 30x30 for 256x256 pixels.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          train: makes no difference here.

        Raises:
          ValueError: no patch fits into the image.
        """
        del train
        conv = functools.partial(
            layers.Conv,
            kernel_size=(4, 4),
            padding=((1, 1), (1, 1)),
            spectral=self.spectral,
            kernel_init=layers.NORMAL,
            dtype=self.dtype,
        )
        x = image
        for i in range(self.depth + 1):
            stride = 2 if i < self.depth else 1
            x = conv(self.features * min(2**i, 8), strides=stride, use_bias=self.use_bias)(x)
            if i > 0:
                x = layers.InstanceNorm(affine=self.affine, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, self.slope)
        if min(x.shape[1:3]) < 2:  # 4x4 kernels, with one pixel added on each side
            raise ValueError(
                f"images of {image.shape[1]}x{image.shape[2]} pixels are too small for a "
                f"PatchGAN of depth {self.depth}"
            )
        return conv(1)(x).astype(jnp.float32)


class PixelDiscriminator(nn.Module):
    """The 1x1 "PixelGAN" (arXiv:1611.07004, section 6.1.2), which judges colours alone.

    Attributes:
      features: channels of the first convolution.
      slope: of the leaky ReLU.
      dtype: of the computation.
    """

    features: int = 64
    slope: float = 0.2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Logits float32 `[B, H, W, 1]`, positive for what looks real.

        Args:
          image: float `[B, H, W, C]` in [-1, 1].
          train: makes no difference here.
        """
        del train
        conv = functools.partial(
            layers.Conv, kernel_size=(1, 1), kernel_init=layers.NORMAL, dtype=self.dtype
        )
        x = nn.leaky_relu(conv(self.features)(image), self.slope)
        x = layers.InstanceNorm(dtype=self.dtype)(conv(2 * self.features)(x))
        return conv(1)(nn.leaky_relu(x, self.slope)).astype(jnp.float32)
