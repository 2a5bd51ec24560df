"""Layers with the constants of the systems reproduced here.

Models use these and no convolution or normalisation of their own, so that a faster
form of one can be put here without touching a model. Images are NHWC. Layers compute
in `dtype` and keep their parameters and statistics in float32.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# Keras' defaults: https://keras.io/api/layers/convolution_layers/convolution2d
Conv = functools.partial(nn.Conv, padding="SAME", kernel_init=nn.initializers.glorot_uniform())
Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    The upsampled image is never made. Each of the four output pixels over an input
    pixel sees a 2x2 patch of the input, through a 2x2 kernel that is a sum of taps of
    the 3x3 one: 4/9 of the multiplications, the same result to rounding.

    Attributes:
      features: channels of the output, F.
      dtype: of the computation.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return upsample_conv(x, kernel) + bias


def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x` `[B, H, W, C]` upsampled by 2, then convolved with `kernel` `[3, 3, C, F]`, zero padded.

    An output row 2i sees the upsampled rows 2i-1, 2i, 2i+1, which are the input rows
    i-1, i, i; an output row 2i+1 sees i, i, i+1. So two taps fall on one row and can be
    added beforehand. The same holds for columns.
    """
    top, middle, bottom = kernel
    even = jnp.stack([top, middle + bottom])
    odd = jnp.stack([top + middle, bottom])

    def columns(rows: jax.Array, pad_rows: tuple[int, int]) -> jax.Array:
        left, centre, right = rows[:, 0], rows[:, 1], rows[:, 2]
        kernels = jnp.stack([left, centre + right], 1), jnp.stack([left + centre, right], 1)
        outputs = [
            jax.lax.conv_general_dilated(
                x, k, (1, 1), (pad_rows, pad), dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            for k, pad in zip(kernels, ((1, 0), (0, 1)), strict=True)
        ]
        return jnp.stack(outputs, axis=3)  # [B, H, W, 2, F]

    y = jnp.stack([columns(even, (1, 0)), columns(odd, (0, 1))], axis=2)  # [B, H, 2, W, 2, F]
    batch, height, _, width, _, features = y.shape
    return y.reshape(batch, 2 * height, 2 * width, features)


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
    def __call__(self, x: jax.Array, *, train: bool, axis_name: str | None = None) -> jax.Array:
        """Normalises by the batch's statistics when `train`, else by the running ones.

        `axis_name` is the mapped axis whose devices share one batch: see `synchronised`.
        """
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        x = x.astype(jnp.float32)
        if train:
            mean, var = _moments(x, axis_name)
            if not self.is_initializing():
                running_mean.value += (1.0 - self.momentum) * (mean - running_mean.value)
                running_var.value += (1.0 - self.momentum) * (var - running_var.value)
        else:
            mean, var = running_mean.value, running_var.value
        y = (x - mean) * (scale * jax.lax.rsqrt(var + self.epsilon)) + bias
        return y.astype(self.dtype)


def _moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel, over all devices of the axis."""
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes)
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    # Around the mean of all devices: E[x^2] - E[x]^2 would cancel in float32.
    var = jnp.mean(jnp.square(x - mean), axes)
    if axis_name is not None:
        var = jax.lax.pmean(var, axis_name)
    return mean, var


def synchronised(axis_name: str | None) -> contextlib.AbstractContextManager:
    """Makes every `BatchNorm` called inside share its statistics over the mapped axis.

    Needed under `jax.pmap` and `jax.shard_map` alone: under `jax.jit` on a mesh the
    batch is one array, and its statistics are global as they stand.
    """
    if axis_name is None:
        return contextlib.nullcontext()

    def share(next_fun, args, kwargs, context):
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            kwargs = {**kwargs, "axis_name": axis_name}
        return next_fun(*args, **kwargs)

    return nn.intercept_methods(share)
