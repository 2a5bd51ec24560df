"""Layers with the constants of the systems reproduced here.

Models use these and no convolution or normalisation of their own, so that a faster
form of one can be put here without touching a model. Images are NHWC. Layers compute
in `dtype` and keep their parameters and statistics in float32.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.ops import axis, normalisation, upsample
from gans.ops.convolution import Padding, convolution


class Conv(nn.Module):
    """A convolution: `[B, H, W, C] -> [B, H', W', F]`, with Keras' defaults.

    https://keras.io/api/layers/convolution_layers/convolution2d

    Attributes:
      features: channels of the output, F.
      kernel_size: height and width of the kernel.
      strides: along height and width alike.
      padding: "SAME", for an image of the input's size over the stride, rounded up; "VALID", for
        none; or zeros before and after rows, and columns.
      kernel_dilation: from one of the pixels that the kernel sees to the next, along height and
        width alike.
      feature_group_count: groups of channels, each of which makes its share of the features alone.
      use_bias: whether a bias is added.
      kernel_init: of the kernel, `[h, w, C / groups, F]`.
      dtype: of the computation.

    Raises:
      ValueError: when called, if channels or features are no multiple of the groups.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: str | Padding = "SAME"
    kernel_dilation: int = 1
    feature_group_count: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, groups = x.shape[-1], self.feature_group_count
        if channels % groups or self.features % groups:
            raise ValueError(
                f"{channels} channels and {self.features} features are not both multiples of "
                f"{groups} groups"
            )
        x, kernel, bias = _parameters(self, x, (*self.kernel_size, channels // groups))
        return convolution(
            x,
            kernel,
            bias,
            stride=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=groups,
        )


Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())

# CycleGAN's, of every kernel (arXiv:1703.10593, appendix 7.1).
NORMAL = nn.initializers.normal(0.02)


def reflect_pad(x: jax.Array, size: int) -> jax.Array:
    """`[B, H, W, C]` with `size` more pixels on each side, mirrored at the outermost pixel."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="reflect")


def check_multiple(image: jax.Array, multiple: int) -> None:
    """Raises ValueError unless height and width of `[B, H, W, C]` are multiples of `multiple`."""
    height, width = image.shape[1:3]
    if height % multiple or width % multiple:
        raise ValueError(
            f"images of {height}x{width} pixels cannot be halved and doubled to the same size "
            f"again, height and width must be multiples of {multiple}"
        )


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    The upsampled image is never made: see `gans.ops.upsample`. 4/9 of the multiplications, the
    same result to rounding.

    Attributes:
      features: channels of the output, F.
      use_bias: whether a bias is added.
      kernel_init: of the 3x3 kernel.
      dtype: of the computation.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return upsample.upsample_conv(*_parameters(self, x, (3, 3, x.shape[-1])))


class ConvTranspose(nn.Module):
    """The transposed convolution of stride 2: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    With a 4x4 kernel Keras' "same" padding, and PyTorch's padding 1; with a 3x3 kernel
    PyTorch's padding 1 and output padding 1. The kernel `[k, k, C, F]` is what slides over
    the input with zeros between its pixels: PyTorch's and Keras' turned by 180 degrees.

    Attributes:
      features: channels of the output, F.
      kernel_size: 3 or 4.
      use_bias: whether a bias is added.
      kernel_init: of the kernel.
      dtype: of the computation.
    """

    features: int
    kernel_size: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = NORMAL
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1])
        return upsample.transposed_conv(*_parameters(self, x, shape))


def _parameters(
    layer: Conv | UpsampleConv | ConvTranspose, x: jax.Array, shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Declares a kernel `[*shape, F]` and a bias; `x` and both in the layer's dtype."""
    kernel = layer.param("kernel", layer.kernel_init, (*shape, layer.features))
    zeros = nn.initializers.zeros
    bias = layer.param("bias", zeros, (layer.features,)) if layer.use_bias else None
    return nn.dtypes.promote_dtype(x, kernel, bias, dtype=layer.dtype)


def upsampling(
    name: str, features: int, *, kernel_size: int, use_bias: bool, dtype: Any
) -> nn.Module:
    """The layer by which a CycleGAN generator doubles an image.

    Args:
      name: "transposed", the papers' transposed convolution, or "resize", `UpsampleConv`,
        which lays no checkerboard over the image (Odena et al. 2016,
        https://doi.org/10.23915/distill.00003).
      features: channels of the output.
      kernel_size: of the transposed convolution.
      use_bias: whether a bias is added.
      dtype: of the computation.

    Raises:
      ValueError: there is no layer of that name.
    """
    layers = {
        "transposed": functools.partial(ConvTranspose, kernel_size=kernel_size),
        "resize": functools.partial(UpsampleConv, kernel_init=NORMAL),
    }
    if name not in layers:
        raise ValueError(f"upsampling is {name!r}, not one of {', '.join(layers)}")
    return layers[name](features, use_bias=use_bias, dtype=dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, arXiv:1502.03167).

    As Keras does it: the running variance averages the biased variance of the batch.

    Attributes:
      momentum: decay of the running statistics, `new = momentum * old + (1 - momentum) * batch`.
      epsilon: added to the variance.
      dtype: of the output; statistics are computed in float32.
    """

    momentum: float = 0.8
    epsilon: float = 1e-3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalises by the whole batch's statistics when `train`, else by the running ones."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        x = x.astype(jnp.float32)
        if not train:
            y = normalisation.scaled(
                x, running_mean.value, running_var.value, scale, bias, self.epsilon
            )
            return y.astype(self.dtype)
        axes = tuple(range(x.ndim - 1))
        y, mean, var = normalisation.normalised(x, scale, bias, axes, self.epsilon, axis.name())
        if not self.is_initializing():
            running_mean.value += (1.0 - self.momentum) * (mean.reshape(shape) - running_mean.value)
            running_var.value += (1.0 - self.momentum) * (var.reshape(shape) - running_var.value)
        return y.astype(self.dtype)


class InstanceNorm(nn.Module):
    """Normalisation of each channel of each image (Ulyanov et al. 2016, arXiv:1607.08022).

    Attributes:
      affine: whether a learned scale, from N(1, 0.02), and offset follow, as in the Keras
        tutorial; the paper's code has none.
      epsilon: added to the biased variance.
      dtype: of the output; statistics are computed in float32.
    """

    affine: bool = False
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, *, moments: tuple[jax.Array, jax.Array] | None = None
    ) -> jax.Array:
        """Normalises `[B, H, W, C]` by its own moments, or by given ones `[B, 1, 1, C]`."""
        x, shape = x.astype(jnp.float32), x.shape[-1:]
        scale = self.param("scale", _around_one, shape) if self.affine else None
        bias = self.param("bias", nn.initializers.zeros, shape) if self.affine else None
        if moments is None:
            y, _, _ = normalisation.normalised(x, scale, bias, (1, 2), self.epsilon, None)
        else:
            y = normalisation.scaled(x, *moments, scale, bias, self.epsilon)
        return y.astype(self.dtype)


def instance_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel of each image, `[B, 1, 1, C]`."""
    return normalisation.moments(x, (1, 2), None)


def _around_one(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


class Dropout(nn.Module):
    """Zeros a share of the numbers of each image while training, and scales up the rest.

    An image's mask depends on the key and on its place in the whole batch, so that it is the
    same on any number of devices.

    Attributes:
      rate: the share, in [0, 1).
    """

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Drops numbers when `train`, of each image by its place in the whole batch."""
        if not train or self.rate == 0.0:
            return x
        key, kept = self.make_rng("dropout"), 1.0 - self.rate
        mask = jax.vmap(
            lambda i: jax.random.bernoulli(jax.random.fold_in(key, i), kept, x.shape[1:])
        )(axis.places(len(x)))
        return jnp.where(mask, x / kept, 0).astype(x.dtype)
