"""Convolutions through patches: what each output sees, laid side by side, in one matrix product.

The functions are `gans.ops.cpu.bilinear.Forms` of a convolution, for any stride. Patches take
`h * w / stride^2` times the memory of the image.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gans.ops.cpu.arrays import Padding, Shape, dot, matmul, output_size


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None, *, stride: int, padding: Padding
) -> jax.Array:
    """The result, `[B, H', W', F]`: patches times the kernel."""
    size = output_size(x.shape, kernel.shape, stride, padding)
    patches = _patches(x, kernel.shape, size, stride, padding)
    y = matmul(patches, kernel.reshape(-1, kernel.shape[-1])).astype(x.dtype)
    return y if bias is None else y + bias


def kernel_gradient(
    x: jax.Array, dy: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of the kernel: patches times the gradient of the outputs that saw them."""
    patches = _patches(x, shape, dy.shape[1:3], stride, padding)
    return dot(patches, dy).reshape(shape).astype(x.dtype)


def _patches(
    x: jax.Array, kernel: Shape, outputs: tuple[int, int], stride: int, padding: Padding
) -> jax.Array:
    """`[B, H', W', h * w * C]`: columns are put side by side first, which moves longer pieces."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = (stride * (n - 1) + 1 for n in outputs)
    x = jnp.concatenate([x[:, :, j : j + width : stride] for j in range(kernel[1])], axis=-1)
    return jnp.concatenate([x[:, i : i + height : stride] for i in range(kernel[0])], axis=-1)
