"""Convolutions: XLA's own, or on a CPU the same sums in a form that is faster there."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from gans.ops import cpu
from gans.ops.cpu import forms, grouped
from gans.ops.cpu.arrays import Padding, sum_dtype
from gans.ops.cpu.bilinear import Product


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: int = 1,
    padding: str | Padding = "SAME",
    kernel_dilation: int = 1,
    feature_group_count: int = 1,
) -> jax.Array:
    """`[B, H, W, C]` with `[h, w, C / groups, F]` to `[B, H', W', F]`, of the dtype of `x`.

    Args:
      x: the images.
      kernel: of the dtype of `x`.
      bias: `[F]`, of the same dtype, or None.
      stride: along rows and columns.
      padding: "SAME", for an image of the input's size over the stride, rounded up; "VALID", for
        none; or zeros before and after rows, and columns.
      kernel_dilation: from one of the image's pixels that the kernel sees to the next, along rows
        and columns.
      feature_group_count: groups of channels, each of which makes its share of the features alone.
    """
    if isinstance(padding, str):
        size = [(taps - 1) * kernel_dilation + 1 for taps in kernel.shape[:2]]
        padding = jax.lax.padtype_to_pads(x.shape[1:3], size, (stride, stride), padding)
    padding = tuple(map(tuple, padding))
    if cpu.ENABLED and kernel_dilation == 1:
        how = {"stride": stride, "padding": padding}
        if feature_group_count == 1:
            return _in_forms(_product, tuple(how.items()), x, kernel, bias)
        how["feature_group_count"] = feature_group_count
        return _in_forms(_grouped_product, tuple(how.items()), x, kernel, bias)
    return xla_convolution(
        x,
        kernel,
        bias,
        stride=stride,
        padding=padding,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
    )


def xla_convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: int,
    padding: Padding,
    kernel_dilation: int = 1,
    feature_group_count: int = 1,
) -> jax.Array:
    """The same in XLA's own form on every platform."""
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        rhs_dilation=(kernel_dilation, kernel_dilation),
        feature_group_count=feature_group_count,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y if bias is None else add_bias(y, bias)


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """`y + bias`, with a gradient of the bias that is summed in float32 whatever the dtype."""
    return y + _like(bias, y)


def _like(bias: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.broadcast_to(bias.astype(sum_dtype(bias.dtype)), y.shape).astype(y.dtype)


_product = Product("gans_convolution", xla_convolution, forms.choose)
_OF_GROUPS = grouped.forms(_product)
_grouped_product = Product(
    "gans_grouped_convolution", xla_convolution, lambda *shapes, **how: _OF_GROUPS
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _in_forms(
    product: Product,
    how: tuple[tuple[str, Any], ...],
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
) -> jax.Array:
    return product.result(x, kernel, bias, **dict(how))


def _tangent(product: Product, how: tuple[tuple[str, Any], ...], primals, tangents):
    """`dy = dx * kernel + x * dk + db`, where `*` is the convolution."""
    (x, kernel, bias), (dx, dk, db) = primals, tangents
    y = _in_forms(product, how, x, kernel, bias)
    dy = product.tangent(x, kernel, dx, dk, **dict(how))
    if bias is not None and not isinstance(db, SymbolicZero):
        dy = _like(db, y) if dy is None else add_bias(dy, db)
    return y, jnp.zeros_like(y) if dy is None else dy


_in_forms.defjvp(_tangent, symbolic_zeros=True)
