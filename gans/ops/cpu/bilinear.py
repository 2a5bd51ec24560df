"""Products of an image and a kernel that a CPU computes in other forms than XLA's own.

Such a product is linear in both, and so are its gradients: each of the three, the result, the
image's gradient and the kernel's, is made of the other two. As three primitives that name each
other they can be differentiated forwards and backwards and as often as one likes, each derivative
being one of the three again. `jax.custom_vjp` would allow no derivative forwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from gans.ops.cpu.arrays import Shape


class Forms(NamedTuple):
    """Functions that compute a product and its two gradients; None stands for XLA's own.

    Attributes:
      result: `(image, kernel, **how)`.
      image_gradient: `(result's gradient, kernel, *, shape, **how)`, the shape being the image's.
      kernel_gradient: `(image, result's gradient, *, shape, **how)`, the shape being the kernel's.
    """

    result: Callable | None = None
    image_gradient: Callable | None = None
    kernel_gradient: Callable | None = None


class Product:
    """A product that is linear in an image and in a kernel.

    Args:
      name: of the product's primitives.
      xla: `(image, kernel, **how)`, the product in XLA's operations, whose transposes are its
        gradients. All platforms but the CPU use it.
      choose: `(image's shape, kernel's shape, dtype, **how) -> Forms`, what a CPU uses.

    All forms must give the same sums, in whatever order; `how` must be hashable.
    """

    def __init__(self, name: str, xla: Callable, choose: Callable[..., Forms]):
        self._xla, self._choose = with_transposes(xla), choose
        self._result = _primitive(name, self.result)
        self._image = _primitive(f"{name}_image", self._image_gradient)
        self._kernel = _primitive(f"{name}_kernel", self._kernel_gradient)
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
        """The product, which can be differentiated."""
        return self._result.bind(image, kernel, **how)

    def result(self, image: jax.Array, kernel: jax.Array, *bias: Any, **how: Any) -> jax.Array:
        """The product's number alone, and what else its forms may add to it, as a bias."""
        forms = self._choose(image.shape, kernel.shape, image.dtype, **how)
        return _by_platform(forms.result, self._xla.result, _fixed(how), image, kernel, *bias)

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

    def _image_gradient(
        self, dy: jax.Array, kernel: jax.Array, *, shape: Shape, **how: Any
    ) -> jax.Array:
        form = self._choose(shape, kernel.shape, kernel.dtype, **how).image_gradient
        return _by_platform(form, self._xla.image_gradient, _fixed(how, shape), dy, kernel)

    def _kernel_gradient(
        self, image: jax.Array, dy: jax.Array, *, shape: Shape, **how: Any
    ) -> jax.Array:
        form = self._choose(image.shape, shape, image.dtype, **how).kernel_gradient
        return _by_platform(form, self._xla.kernel_gradient, _fixed(how, shape), image, dy)


def with_transposes(product: Callable) -> Forms:
    """The product, with the gradients that JAX derives from it.

    Args:
      product: `(image, kernel, *bias, **how)`, linear in the image and in the kernel.
    """

    def image_gradient(dy, kernel, *, shape, **how):
        image = jax.ShapeDtypeStruct(shape, kernel.dtype)
        return jax.linear_transpose(lambda x: product(x, kernel, **how), image)(dy)[0]

    def kernel_gradient(image, dy, *, shape, **how):
        kernel = jax.ShapeDtypeStruct(shape, image.dtype)
        return jax.linear_transpose(lambda k: product(image, k, **how), kernel)(dy)[0]

    return Forms(product, image_gradient, kernel_gradient)


def _fixed(how: dict[str, Any], *shape: Shape) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments as jit can compare them."""
    return (*how.items(), *(("shape", s) for s in shape))


# Compiled on its own, because the forms of equal layers are then traced once.
@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _by_platform(
    on_cpu: Callable | None, elsewhere: Callable, how: tuple[tuple[str, Any], ...], *arrays: Any
) -> jax.Array:
    """One of two functions of the same arrays; the second where the first is None."""
    elsewhere = functools.partial(elsewhere, **dict(how))
    if on_cpu is None:
        return elsewhere(*arrays)
    on_cpu = functools.partial(on_cpu, **dict(how))
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


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
