"""Which form of a convolution a CPU uses: the table, and the choice below it.

The first line that applies is taken. F is a kernel's features and C its channels; sizes are counted
in numbers. "Tiled" is of stride 1, float32, kernels of 2x2 or 3x3, at least 64 channels, features
and tiles. The last column is how many times as fast as XLA's own form.

    what              when                               form                          gain
    result            stride 1, F <= 4, taps <= 2^22     taps.convolve                 1.9 to 16
                      stride 1, F <= 4                   few_features.convolve         14
                      tiled                              winograd.convolve             1.1 to 6.3
                      C <= 4, or patches <= the kernel   patches.convolve              0.96 to 2.1
                      stride 1, C >= 64, no padding      taps.convolve                 1.7
                      any other                          XLA's own                     1
    image's gradient  stride over 1                      taps.strided_image_gradient   0.95 to 13
                      F <= 4                             few_features.image_gradient   0.36 to 1.0
                      tiled                              winograd.image_gradient       1.2 to 1.5
                      any other                          taps.image_gradient           1.1 to 3.4
    kernel's gradient stride 1, F <= 4                   few_features.kernel_gradient  1.3 to 2.1
                      tiled                              winograd.kernel_gradient      1.1 to 2.0
                      C <= 4, or patches <= 2^22         patches.kernel_gradient       0.52 to 2.6
                      any other                          taps.kernel_gradient          0.94

Gains are of layers of the networks here, each alone and by turns with XLA's own, on two cores of
an AMD EPYC with jax 0.10.2: the least and the largest of the layers' medians. Well below 1 are the
image's gradient of a ResNet's last layer (0.36 for pictures of 256x256, 0.52 for 128x128) and the
kernels' gradients of PatchGAN's strided layers (0.52 to 0.55); 13 is the middle of a U-Net.

All forms leave the batch, the first axis of an image, whole and first, so that it can be divided
over devices. A bias is part of the result, not added to it: XLA's CPU compiler takes an addition
for cheap to repeat, and would compute the sum of many parts anew for everything that uses it.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from gans.ops.cpu import few_features, patches, taps, winograd
from gans.ops.cpu.arrays import Padding, Shape, output_size
from gans.ops.cpu.bilinear import Forms

_FEW = 4  # channels or features up to which a product of one tap would be a thin one
_MANY = 64  # channels from which on products are wide
_MEMORY = 2**26  # numbers that taps or patches of a result may have: 256 MiB of float32
_CACHE = 2**22  # numbers up to which all patches, or taps, fit into a cache; found by trying
# From which on Winograd's products pay. Alone, an image's gradient from so few tiles is no faster;
# in training it uses the transformed kernels of the result.
_TILES = 64


def choose(image: Shape, kernel: Shape, dtype: Any, *, stride: int, padding: Padding) -> Forms:
    """The forms for shapes and a dtype: see the table above.

    XLA's own where the image's sizes are not known, as in an exported program, or where there is
    no output.

    Args:
      image: its shape, `[B, H, W, C]`.
      kernel: its shape, `[h, w, C, F]`.
      dtype: of both.
      stride: along rows and columns.
      padding: zeros before and after rows, and columns.
    """
    if not all(isinstance(n, int) for n in image):
        return Forms()
    rows, columns, channels, features = kernel
    outputs = [max(0, n) for n in output_size(image, kernel, stride, padding)]
    of_patches = image[0] * math.prod(outputs) * rows * columns * channels
    if not of_patches:
        return Forms()
    has_few_channels = channels <= _FEW and of_patches <= _MEMORY
    # A kernel larger than what it is applied to is best read once, as it lies in memory.
    result = patches.convolve if has_few_channels or of_patches <= math.prod(kernel) else None
    kernel_gradient = (
        patches.kernel_gradient
        if has_few_channels or of_patches <= _CACHE
        else taps.kernel_gradient
    )
    if stride > 1:
        return Forms(result, taps.strided_image_gradient, kernel_gradient)
    of_taps = math.prod(image[:3]) * rows * columns * features
    if features <= _FEW:
        result = taps.convolve if of_taps <= _CACHE else few_features.convolve
        return Forms(result, few_features.image_gradient, few_features.kernel_gradient)
    if (
        dtype == jnp.float32
        and min(channels, features) >= _MANY
        and winograd.count_tiles(image, kernel, padding) >= _TILES
    ):
        return Forms(winograd.convolve, winograd.image_gradient, winograd.kernel_gradient)
    is_padded = any(map(any, padding))
    if result is None and channels >= _MANY and not is_padded and of_taps <= _MEMORY:
        result = taps.convolve
    return Forms(result, taps.image_gradient, kernel_gradient)
