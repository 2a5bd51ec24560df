"""Products of an image and a kernel whose gradients are written down.

Such a product is linear in both, and so are its gradients: each of the three, the result, the
image's gradient and the kernel's, is made of the other two. As three primitives that name each
other they can be differentiated forwards and backwards and as often as one likes, each derivative
being one of the three again. `jax.custom_vjp` would allow no derivative forwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Shape = tuple[int, ...]


class Product:
    """A product that is linear in an image and in a kernel.

    Args:
      name: of the product.
      result: `(image, kernel, **how)`.
      of_image: `(result's gradient, kernel, shape, **how)`, the shape being the image's.
      of_kernel: `(image, result's gradient, shape, **how)`, the shape being the kernel's.

    The functions may be of any form that gives the same sums; `how` must be hashable.
    """

    def __init__(self, name: str, result: Callable, of_image: Callable, of_kernel: Callable):
        self._result = _primitive(name, result)
        self._image = _primitive(f"{name}_image", of_image)
        self._kernel = _primitive(f"{name}_kernel", of_kernel)
        # <dy, product(x, k)> is linear in all three: what one of them is multiplied by is made of
        # the other two, in the one way there is.
        ad.defbilinear(
            self._result,
            lambda dy, x, k, **how: self._image.bind(dy, k, shape=x.aval.shape, **how),
            lambda dy, x, k, **how: self._kernel.bind(x, dy, shape=k.aval.shape, **how),
        )
        ad.defbilinear(
            self._image,
            lambda dx, dy, k, shape, **how: self._result.bind(dx, k, **how),
            lambda dx, dy, k, shape, **how: self._kernel.bind(dx, dy, shape=k.aval.shape, **how),
        )
        ad.defbilinear(
            self._kernel,
            lambda dk, x, dy, shape, **how: self._image.bind(dy, dk, shape=x.aval.shape, **how),
            lambda dk, x, dy, shape, **how: self._result.bind(x, dk, **how),
        )

    def __call__(self, image: jax.Array, kernel: jax.Array, **how: Any) -> jax.Array:
        """The product."""
        return self._result.bind(image, kernel, **how)

    def tangent(
        self, image: jax.Array, kernel: jax.Array, of_image: Any, of_kernel: Any, **how: Any
    ) -> jax.Array | None:
        """What becomes of the product where image and kernel move; None where neither does.

        Args:
          image, kernel: where they are.
          of_image, of_kernel: how they move; a `SymbolicZero` for not at all.
          **how: of the product.
        """
        parts = []
        if not isinstance(of_image, SymbolicZero):
            parts.append(self(of_image, kernel, **how))
        if not isinstance(of_kernel, SymbolicZero):
            parts.append(self(image, of_kernel, **how))
        return functools.reduce(jax.numpy.add, parts) if parts else None


def _primitive(name: str, function: Callable) -> Primitive:
    """A primitive of two arrays that is computed by a function of jax."""
    made = Primitive(name)
    made.def_impl(function)

    def shape(*arrays, **how) -> jax.core.ShapedArray:
        structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
        y = jax.eval_shape(functools.partial(function, **how), *structs)
        return jax.core.ShapedArray(y.shape, y.dtype)

    def batched(arrays, axes, **how):
        return jax.vmap(functools.partial(function, **how), axes)(*arrays), 0

    made.def_abstract_eval(shape)
    batching.primitive_batchers[made] = batched
    mlir.register_lowering(made, mlir.lower_fun(function, multiple_results=False))
    return made
