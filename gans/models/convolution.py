"""Convolutions of stride 1 in the form that is fastest on the platform at hand.

Everywhere but on the CPU that is XLA's own. There XLA multiplies matrices well and forms
gradients of convolutions badly, so that a CPU gets matrix products instead: the same sums in
another order.

*Taps.* A convolution is the sum of one matrix product for each pixel of the kernel, of the
image shifted by as much. All of them are one product with the kernel's pixels side by side,
whose parts are shifted and added afterwards.

*Patches.* The gradient of the kernel is the product of what each output saw and of its
gradient, over all outputs: one product for each pixel of the kernel, or, where the patches
that outputs saw fit into the caches side by side, one for all.

All forms leave the first axis of an image, the batch, whole and first, so that they can be
divided over devices.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]

_NARROW = 4  # channels of the result up to which the forward pass is a product of taps
# Without padding it is one too, from so many channels on, while its parts are no more numbers than
# this: XLA's own was 4 times slower for 34x34 pixels of 256 channels, and as fast for 18x18.
_WIDE, _PARTS = 64, 2**26
_PATCHES = 2**22  # numbers up to which all patches are one product, found by trying


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolution(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """`[B, H, W, C]` with `[h, w, C, F]` to `[B, H', W', F]`, stride 1.

    Args:
      x: the images.
      kernel: of the dtype of `x`.
      padding: zeros added before and after rows, and columns; less than the kernel's size.
    """
    rows, columns, channels, features = kernel.shape
    parts = math.prod(x.shape[:3]) * rows * columns * features
    suits = channels >= _WIDE and not any(map(any, padding)) and parts <= _PARTS
    form = _taps if features <= _NARROW or suits else plain
    return _by_platform(form, plain, padding, x, kernel)


def plain(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """XLA's convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _forward(x: jax.Array, kernel: jax.Array, padding: Padding):
    return convolution(x, kernel, padding), (x, kernel)


def _backward(padding: Padding, saved: tuple[jax.Array, jax.Array], dy: jax.Array):
    x, kernel = saved
    dx_form, dk_form = _fastest(kernel.shape, math.prod(dy.shape[:3]))
    dx = _by_platform(dx_form, _plain_dx, padding, x, kernel, dy)
    dk = _by_platform(dk_form, _plain_dk, padding, x, kernel, dy)
    return dx, dk


def _fastest(kernel: tuple[int, ...], outputs: int) -> tuple[Callable, Callable]:
    """The forms of both gradients for the shape of a kernel and a number of output pixels."""
    if kernel[-1] <= _NARROW:
        return _narrow_dx, _narrow_dk
    return _taps_dx, _patches_dk if outputs * math.prod(kernel[:3]) <= _PATCHES else _taps_dk


convolution.defvjp(_forward, _backward)


# Compiled on its own, because the forms of equal layers are then traced once.
@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _by_platform(on_cpu: Callable, elsewhere: Callable, padding: Padding, *args: jax.Array):
    return jax.lax.platform_dependent(
        *args,
        cpu=functools.partial(on_cpu, padding=padding),
        default=functools.partial(elsewhere, padding=padding),
    )


def _plain_dx(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    return jax.vjp(lambda x: plain(x, kernel, padding), x)[1](dy)[0]


def _plain_dk(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    return jax.vjp(lambda kernel: plain(x, kernel, padding), kernel)[1](dy)[0]


def _taps_dx(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """The gradient of the image: each tap's product, added where that tap saw the image."""
    (top, _), (left, _) = padding
    # Taps side by side as they lie in memory, [h * w * C, F].
    seen = _matmul(dy, kernel.reshape(-1, kernel.shape[-1]).T)
    seen = seen.reshape(*dy.shape[:3], *kernel.shape[:3])
    # Pixel p of x is seen by output p + top - i.
    return _sum_of_shifted(seen, (top, left), -1, x.shape[1:3]).astype(x.dtype)


def _sum_of_shifted(
    seen: jax.Array, first: tuple[int, int], sign: int, size: tuple[int, int]
) -> jax.Array:
    """The sum over taps `(i, j)` of `seen`, `[B, H, W, h, w, C]`, each from another corner on."""
    total = jnp.zeros((), jnp.float32)
    for i, j in itertools.product(*map(range, seen.shape[3:5])):
        top, left = first[0] + sign * i, first[1] + sign * j
        total += _window(seen[..., i, j, :], top, size[0], left, size[1])
    return total


def _window(x: jax.Array, top: int, height: int, left: int, width: int) -> jax.Array:
    """Rows `[top, top + height)` and columns `[left, left + width)`, zero beyond the image."""
    low, high = (top, left), (top + height - x.shape[1], left + width - x.shape[2])
    borders = ((0, 0, 0), *((-a, b, 0) for a, b in zip(low, high, strict=True)), (0, 0, 0))
    return jax.lax.pad(x, jnp.zeros((), x.dtype), borders)


def _patches_dk(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """The gradient of the kernel: what each output saw, times its gradient."""
    seen = jnp.concatenate(_seen(x, kernel, dy, padding), axis=-1)
    return _dot(seen, dy).reshape(kernel.shape).astype(kernel.dtype)


def _taps_dk(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    """The same with one product for each pixel of the kernel."""
    taps = [_dot(seen, dy) for seen in _seen(x, kernel, dy, padding)]
    return jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype)


def _seen(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> list[jax.Array]:
    """For each pixel of the kernel the image that it saw, `[B, H', W', C]`."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = dy.shape[1:3]
    taps = itertools.product(*map(range, kernel.shape[:2]))
    return [x[:, i : i + height, j : j + width] for i, j in taps]


def _taps(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """The convolution: all taps in one product, then shifted and added."""
    (top, bottom), (left, right) = padding
    rows, columns, _, features = kernel.shape
    height = x.shape[1] + top + bottom - rows + 1
    width = x.shape[2] + left + right - columns + 1
    seen = _matmul(x, _side_by_side(kernel)).reshape(*x.shape[:3], rows, columns, features)
    return _sum_of_shifted(seen, (-top, -left), 1, (height, width)).astype(x.dtype)


def _narrow_dx(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    return _matmul(_shifted(x, kernel, dy, padding), _side_by_side(kernel).T).astype(x.dtype)


def _narrow_dk(x: jax.Array, kernel: jax.Array, dy: jax.Array, padding: Padding) -> jax.Array:
    shifted = _shifted(x, kernel, dy, padding)
    dk = _dot(x, shifted)
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


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """`[..., C]` and `[..., F]` to `[C, F]` float32, summed over all that they have in common."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    return jax.lax.dot_general(x, y, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)
