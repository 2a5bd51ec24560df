"""Convolutions in the form that is fastest on the platform at hand.

Everywhere but on the CPU that is XLA's own. There XLA multiplies matrices well and forms
gradients of convolutions badly, so that a CPU gets matrix products instead: the same sums in
another order.

*Taps.* A convolution is the sum of one matrix product for each pixel of the kernel, of the
image shifted by as much. All of them are one product with the kernel's pixels side by side,
whose parts are shifted and added afterwards.

*Patches.* The gradient of the kernel is the product of what each output saw and of its
gradient, over all outputs: one product for each pixel of the kernel, or, where the patches
that outputs saw fit into the caches side by side, one for all. The result itself is a product
of patches where the kernel is larger than they are, or channels are few.

*Tiles.* `gans.ops.cpu.winograd`, in float32: fewer multiplications, where there are tiles enough
to pay for the transforms.

A bias is part of the convolution, not added to its result, because XLA computes a sum of many
parts anew for everything that uses it once a bias has been added: the CPU's compiler regards
the addition as cheap to repeat, and then all that is only used by it.

All forms leave the first axis of an image, the batch, whole and first, so that they can be
divided over devices.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from gans.ops.cpu import winograd
from gans.ops.cpu.bilinear import Product, Shape
from gans.ops.cpu.winograd import Padding, dot, interleave

_NARROW = 4  # channels up to which a product of one tap would be a thin one
# Without padding the forward pass is a product of taps from so many channels on: XLA's own was 4
# times slower for 34x34 pixels of 256 channels, and as fast for 18x18.
_WIDE = 64
_MANY = 2**26  # numbers that taps or patches of a forward pass may have: 256 MiB of float32
_PATCHES = 2**22  # numbers up to which all patches, or taps, fit into a cache; found by trying
# From which on Winograd's products pay. Alone, an image's gradient from so few tiles is no faster;
# in training it uses the forward pass's kernels.
_TILES = 64


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def convolution(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, stride: int, padding: Padding
) -> jax.Array:
    """`[B, H, W, C]` with `[h, w, C, F]` to `[B, H', W', F]`.

    Args:
      x: the images.
      kernel: of the dtype of `x`.
      bias: `[F]`, of the same dtype, or None.
      stride: along rows and columns.
      padding: zeros added before and after rows, and columns; less than the kernel's size.
    """
    form = _forms(x, kernel, stride, padding).forward
    return _by_platform(form, plain, stride, padding, x, kernel, bias)


def plain(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, stride: int, padding: Padding
) -> jax.Array:
    """XLA's convolution."""
    y = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y if bias is None else y + bias


def _tangent(stride: int, padding: Padding, primals, tangents):
    (x, kernel, bias), (dx, dk, db) = primals, tangents
    y = convolution(x, kernel, bias, stride, padding)
    dy = _product.tangent(x, kernel, dx, dk, stride=stride, padding=padding)
    if bias is not None and not isinstance(db, SymbolicZero):
        # In float32, in which then the gradient is summed.
        db = jnp.broadcast_to(db.astype(jnp.float32), y.shape).astype(y.dtype)
        dy = db if dy is None else dy + db
    return y, jnp.zeros_like(y) if dy is None else dy


convolution.defjvp(_tangent, symbolic_zeros=True)


def _of_result(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding) -> jax.Array:
    form = _forms(x, kernel, stride, padding).forward
    return _by_platform(form, plain, stride, padding, x, kernel, None)


def _of_image(
    dy: jax.Array, kernel: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    x = jnp.zeros(shape, kernel.dtype)  # of which the shape alone is used
    form = _forms(x, kernel, stride, padding).dx
    return _by_platform(form, _plain_dx, stride, padding, x, kernel, dy)


def _of_kernel(
    x: jax.Array, dy: jax.Array, *, shape: Shape, stride: int, padding: Padding
) -> jax.Array:
    kernel = jnp.zeros(shape, x.dtype)
    form = _forms(x, kernel, stride, padding).dk
    return _by_platform(form, _plain_dk, stride, padding, x, kernel, dy)


_product = Product("gans_convolution", _of_result, _of_image, _of_kernel)


class _Forms(NamedTuple):
    """How a CPU computes the result and both gradients."""

    forward: Callable
    dx: Callable
    dk: Callable


def _forms(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> _Forms:
    """The fastest forms for the shapes; XLA's own where they are not known, or there is nothing."""
    if not all(isinstance(n, int) for n in x.shape):
        return _PLAIN
    rows, columns, channels, features = kernel.shape
    outputs = x.shape[0] * math.prod(
        max(0, (n + sum(p) - k) // stride + 1)
        for n, p, k in zip(x.shape[1:3], padding, kernel.shape[:2], strict=True)
    )
    if not outputs:
        return _PLAIN
    patches = outputs * rows * columns * channels
    narrow = channels <= _NARROW and patches <= _MANY
    dk = _patches_dk if narrow or patches <= _PATCHES else _taps_dk
    # A kernel larger than what it is applied to is best read once, as it lies in memory.
    as_patches = narrow or patches <= kernel.size
    if stride > 1:
        return _Forms(_patches if as_patches else plain, _strided_dx, dk)
    parts = math.prod(x.shape[:3]) * rows * columns * features
    if features <= _NARROW:
        return _Forms(_taps if parts <= _PATCHES else _narrow, _narrow_dx, _narrow_dk)
    tiles = winograd.count_tiles(x.shape, kernel.shape, padding)
    if tiles >= _TILES and min(channels, features) >= _WIDE and x.dtype == jnp.float32:
        return _Forms(_tiles, _tiles_dx, _tiles_dk)
    if as_patches:
        return _Forms(_patches, _taps_dx, dk)
    suits = channels >= _WIDE and not any(map(any, padding)) and parts <= _MANY
    return _Forms(_taps if suits else plain, _taps_dx, dk)


# Compiled on its own, because the forms of equal layers are then traced once.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _by_platform(on_cpu: Callable, elsewhere: Callable, stride: int, padding: Padding, *args):
    return jax.lax.platform_dependent(
        *args,
        cpu=functools.partial(on_cpu, stride=stride, padding=padding),
        default=functools.partial(elsewhere, stride=stride, padding=padding),
    )


def _plain_dx(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    return jax.linear_transpose(lambda x: plain(x, kernel, None, stride, padding), x)(dy)[0]


def _plain_dk(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    return jax.linear_transpose(lambda k: plain(x, k, None, stride, padding), kernel)(dy)[0]


_PLAIN = _Forms(plain, _plain_dx, _plain_dk)


def _tiles(x, kernel, bias, stride: int, padding: Padding) -> jax.Array:
    return winograd.convolve(x, kernel, bias, padding)


def _tiles_dx(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    return winograd.image_gradient(x, kernel, dy, padding)


def _tiles_dk(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    return winograd.kernel_gradient(x, kernel, dy, padding)


def _taps_dx(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    """The gradient of the image: each tap's product, added where that tap saw the image."""
    (top, _), (left, _) = padding
    seen = _through_taps(dy, kernel)
    # Pixel p of x is seen by output p + top - i.
    return _sum_of_shifted(seen, (top, left), -1, x.shape[1:3]).astype(x.dtype)


def _strided_dx(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    """The same for a stride: pixels that are a stride apart are seen by the same taps."""
    seen = _through_taps(dy, kernel)
    # Padded pixel stride * n + r is seen by output n - i through tap stride * i + r.
    height, width = (
        n + -(-k // stride) for n, k in zip(dy.shape[1:3], kernel.shape[:2], strict=True)
    )
    parts = [
        [
            _sum_of_shifted(seen[..., i::stride, j::stride, :], (0, 0), -1, (height, width))
            for j in range(stride)
        ]
        for i in range(stride)
    ]
    (top, _), (left, _) = padding
    dx = interleave(parts)
    return _window(dx, top, x.shape[1], left, x.shape[2]).astype(x.dtype)


def _through_taps(dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[B, H', W', h, w, C]`: what each output's gradient is to what each tap showed it."""
    # Taps side by side as they lie in memory, [h * w * C, F].
    seen = _matmul(dy, kernel.reshape(-1, kernel.shape[-1]).T)
    return seen.reshape(*dy.shape[:3], *kernel.shape[:3])


def _sum_of_shifted(
    seen: jax.Array,
    first: tuple[int, int],
    sign: int,
    size: tuple[int, int],
    bias: jax.Array | None = None,
) -> jax.Array:
    """The sum over taps `(i, j)` of `seen`, `[B, H, W, h, w, C]`, each from another corner on."""
    total = jnp.zeros((), jnp.float32) if bias is None else bias.astype(jnp.float32)
    for i, j in itertools.product(*map(range, seen.shape[3:5])):
        top, left = first[0] + sign * i, first[1] + sign * j
        total += _window(seen[..., i, j, :], top, size[0], left, size[1])
    # There are no taps, nor a sum, for some pixels where a stride is wider than the kernel.
    return jnp.broadcast_to(total, (seen.shape[0], *size, seen.shape[-1]))


def _window(x: jax.Array, top: int, height: int, left: int, width: int, axis: int = 1) -> jax.Array:
    """Rows `[top, top + height)` and columns `[left, left + width)`, zero beyond the image.

    Rows are along the axis, and columns along the next one.
    """
    low, high = (top, left), (top + height - x.shape[axis], left + width - x.shape[axis + 1])
    borders = [(0, 0, 0)] * x.ndim
    borders[axis : axis + 2] = [(-a, b, 0) for a, b in zip(low, high, strict=True)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), borders)


def _patches_dk(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    """The gradient of the kernel: what each output saw, times its gradient."""
    seen = _what_outputs_see(x, kernel.shape, dy.shape, stride, padding)
    return dot(seen, dy).reshape(kernel.shape).astype(kernel.dtype)


def _patches(x, kernel, bias, stride: int, padding: Padding) -> jax.Array:
    """The convolution: what each output sees, times the kernel."""
    shape = jax.eval_shape(lambda x, k: plain(x, k, None, stride, padding), x, kernel).shape
    seen = _what_outputs_see(x, kernel.shape, shape, stride, padding)
    y = _matmul(seen, kernel.reshape(-1, kernel.shape[-1])).astype(x.dtype)
    return y if bias is None else y + bias


def _what_outputs_see(
    x: jax.Array,
    kernel: tuple[int, ...],
    outputs: tuple[int, ...],
    stride: int,
    padding: Padding,
) -> jax.Array:
    """`[B, H', W', h * w * C]`: columns are put side by side first, which moves longer pieces."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = (stride * (n - 1) + 1 for n in outputs[1:3])
    x = jnp.concatenate([x[:, :, j : j + width : stride] for j in range(kernel[1])], axis=-1)
    return jnp.concatenate([x[:, i : i + height : stride] for i in range(kernel[0])], axis=-1)


def _taps_dk(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    """The same with one product for each pixel of the kernel."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = (stride * (n - 1) + 1 for n in dy.shape[1:3])
    taps = [
        dot(x[:, i : i + height : stride, j : j + width : stride], dy)
        for i, j in itertools.product(*map(range, kernel.shape[:2]))
    ]
    return jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype)


def _taps(x, kernel, bias, stride: int, padding: Padding) -> jax.Array:
    """The convolution: all taps in one product, then shifted and added."""
    rows, columns, _, features = kernel.shape
    (top, _), (left, _) = padding
    seen = _matmul(x, _side_by_side(kernel)).reshape(*x.shape[:3], rows, columns, features)
    size = _size(x.shape, kernel.shape, padding)
    return _sum_of_shifted(seen, (-top, -left), 1, size, bias).astype(x.dtype)


def _narrow(x, kernel, bias, stride: int, padding: Padding) -> jax.Array:
    """The same for few features of large images: pixels last, so that many are added at once."""
    rows, columns, channels, features = kernel.shape
    (top, _), (left, _) = padding
    taps, pixels = kernel.transpose(0, 1, 3, 2).reshape(-1, channels), x.reshape(-1, channels)
    contracted = (((1,), (1,)), ((), ()))
    seen = jax.lax.dot_general(taps, pixels, contracted, preferred_element_type=jnp.float32)
    seen = seen.reshape(rows, columns, features, *x.shape[:3])
    height, width = _size(x.shape, kernel.shape, padding)
    total = jnp.zeros((1,)) if bias is None else bias.astype(jnp.float32)
    total = total[:, None, None, None]
    for i, j in itertools.product(range(rows), range(columns)):
        total += _window(seen[i, j], i - top, height, j - left, width, axis=2)
    return jnp.moveaxis(total, 0, -1).astype(x.dtype)


def _size(image: tuple[int, ...], kernel: tuple[int, ...], padding: Padding) -> tuple[int, int]:
    """Height and width of the result of stride 1."""
    height, width = (
        n + sum(p) - k + 1 for n, p, k in zip(image[1:3], padding, kernel[:2], strict=True)
    )
    return height, width


def _narrow_dx(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    return _matmul(_shifted(x, kernel, dy, padding), _side_by_side(kernel).T).astype(x.dtype)


def _narrow_dk(x, kernel, dy, stride: int, padding: Padding) -> jax.Array:
    shifted = _shifted(x, kernel, dy, padding)
    dk = dot(x, shifted)
    rows, columns, channels, features = kernel.shape
    dk = dk.reshape(channels, rows, columns, features).transpose(1, 2, 0, 3)
    return dk.astype(kernel.dtype)


def _side_by_side(kernel: jax.Array) -> jax.Array:
    """`[h, w, C, F]` as `[C, h * w * F]`."""
    return kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


def _shifted(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """`[B, H, W, h * w * F]`: for each pixel of `x` the gradients of all outputs that saw it."""
    (top, _), (left, _) = padding
    height, width = x.shape[1:3]
    taps = itertools.product(*map(range, kernel.shape[:2]))
    parts = [_window(dy, top - i, height, left - j, width) for i, j in taps]
    return jnp.concatenate(parts, axis=-1)


def _matmul(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """`[B, H, W, C]` by `[C, F]`, summed and left in float32."""
    y = jnp.matmul(x.reshape(-1, x.shape[-1]), matrix, preferred_element_type=jnp.float32)
    return y.reshape(*x.shape[:3], -1)
