"""Derivatives forwards, backwards and of second order, through all forms of convolutions and norms.

Against the same network in XLA's own convolutions and the definition of normalisation.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gans.models import dcgan, resnet, unet
from gans.ops import convolution, normalisation, upsample
from gans.ops.cpu.bilinear import Forms, Product

RNG = np.random.default_rng(0)


def near(ours, theirs, rtol):
    """As far as the largest number of each array allows."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(np.abs(b).max()))


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def transposed(x, kernel):
    """The transposed convolution of stride 2 as XLA has it."""
    padding = ((2, 2), (2, 2)) if len(kernel) == 4 else ((1, 2), (1, 2))
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, (2, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def strided(function):
    return lambda *args: jnp.sin(function(*args, stride=2, padding=((1, 1), (0, 1))))


def whole(function):
    return lambda *args: jnp.sin(function(*args, stride=1, padding=((1, 1), (1, 1))))


def normalised(x, scale, bias):
    return jnp.sin(normalisation.normalised(x, scale, bias, (0, 1, 2), 1e-3, None)[0])


def as_defined(x, scale, bias):
    mean, var = normalisation.moments(x, (0, 1, 2), None)
    return jnp.sin(normalisation.scaled(x, mean, var, scale, bias, 1e-3))


CASES = {
    "strided": (
        strided(convolution.convolution),
        strided(convolution.xla_convolution),
        ((2, 6, 7, 3), (3, 3, 3, 4), (4,)),
    ),
    "tiled": (
        whole(convolution.convolution),
        whole(convolution.xla_convolution),
        ((1, 16, 16, 64), (3, 3, 64, 64), (64,)),
    ),
    "few pixels": (
        lambda x, kernel: jnp.sin(upsample.transposed_conv(x, kernel)),
        lambda x, kernel: jnp.sin(transposed(x, kernel)),
        ((1, 1, 2, 40), (4, 4, 40, 3)),
    ),
    "normalised": (normalised, as_defined, ((2, 4, 5, 3), (3,), (3,))),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_all_kinds_are_those_of_the_definition(case):
    ours, theirs, shapes = CASES[case]
    at, along, other = ([normal(*s) for s in shapes] for _ in range(3))

    def derivatives(function):
        def loss(*args):
            return jnp.sum(function(*args) * jnp.cos(function(*args)))

        gradient = jax.grad(loss, range(len(shapes)))

        def product(*args):
            return sum(jnp.vdot(a, b) for a, b in zip(gradient(*args), other, strict=True))

        return jax.jit(
            lambda *args: {
                "forwards": jax.jvp(function, args, tuple(along))[1],
                "backwards": gradient(*args),
                "forwards over backwards": jax.jvp(gradient, args, tuple(along))[1],
                "backwards over backwards": jax.grad(product, range(len(shapes)))(*args),
                "backwards over forwards": jax.grad(
                    lambda *x: jnp.sum(jnp.sin(jax.jvp(function, x, tuple(along))[1])),
                    range(len(shapes)),
                )(*args),
            }
        )(*at)

    found, expected = derivatives(ours), derivatives(theirs)
    for kind in expected:
        near(found[kind], expected[kind], 1e-3)


def test_the_hessian_of_a_network_is_the_same_forwards_and_backwards():
    module = dcgan.Discriminator(features=(4, 6), strides=(2, 1), hidden_features=(5,))
    images, label = normal(3, 8, 8, 2), jnp.eye(3)
    variables = module.init(jax.random.key(0), images, label, train=False)

    def loss(params):
        logits, _ = module.apply(
            variables | {"params": params}, images, label, train=True, mutable=["batch_stats"]
        )
        return jnp.mean(jnp.square(logits))

    params = variables["params"]
    along = jax.tree.map(lambda x: normal(*x.shape), params)

    def slope(params):
        parts = jax.tree.map(jnp.vdot, jax.grad(loss)(params), along)
        return sum(jax.tree.leaves(parts))

    forwards = jax.jit(lambda p: jax.jvp(jax.grad(loss), (p,), (along,))[1])(params)
    backwards = jax.jit(jax.grad(slope))(params)
    # Together: of biases before a normalisation there is nothing but rounding.
    near(ravel_pytree(forwards)[0], ravel_pytree(backwards)[0], 1e-3)


@pytest.mark.parametrize(
    "module", [unet.Generator(features=(4, 8, 64)), resnet.Generator(features=4, blocks=1)]
)
def test_generators_have_derivatives_forwards(module):
    image = normal(1, 8, 8, 3)
    variables = module.init(jax.random.key(0), image, train=False)

    def made(image):
        return module.apply(variables, image, train=False)

    along, weight = normal(*image.shape), normal(*image.shape)
    y, dy = jax.jit(lambda x: jax.jvp(made, (x,), (along,)))(image)
    dx = jax.jit(lambda x: jax.grad(lambda x: jnp.vdot(made(x), weight))(x))(image)
    assert jnp.vdot(dy, weight) == pytest.approx(float(jnp.vdot(dx, along)), rel=1e-3)


def test_a_batch_of_batches_is_each_batch_for_itself():
    x, kernel = normal(3, 2, 6, 6, 4), normal(3, 3, 3, 4, 5)

    def gradients(x, kernel):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolution.convolution(x, kernel)))

        return jax.grad(loss, (0, 1))(x, kernel)

    together = jax.jit(jax.vmap(gradients))(x, kernel)
    alone = [jax.jit(gradients)(x[i], kernel[i]) for i in range(3)]
    near(together, jax.tree.map(lambda *each: jnp.stack(each), *alone), 1e-5)


BY_HAND = Forms(lambda x, k: x * k, lambda dy, k, *, shape: dy * k, lambda x, dy, *, shape: x * dy)


@pytest.mark.parametrize("forms", [Forms(), BY_HAND], ids=["of XLA", "by hand"])
def test_each_of_the_three_is_the_gradient_of_the_others(forms):
    # The product of numbers, whose gradients are products too.
    product = Product("test_product", lambda x, k: x * k, lambda *_: forms)

    def f(x, k):
        return jnp.sum(product(x, k) ** 2)  # x^2 k^2

    x, k = jnp.float32(2), jnp.float32(3)
    assert jax.grad(f, (0, 1))(x, k) == (36, 24)
    assert jax.hessian(f)(x, k) == 18
    assert jax.jvp(jax.grad(f), (x, k), (jnp.float32(0), jnp.float32(1)))[1] == 24
