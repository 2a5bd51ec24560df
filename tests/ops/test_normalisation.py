"""The written-down gradient against the one that JAX derives from the definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly, largest

from gans.ops.normalisation import moments, normalised, scaled

EPSILON = 1e-3

# Shape, axes, whether there is a scale and a bias.
CASES = [
    ((4, 5, 3, 6), (0, 1, 2), True),
    ((3, 5, 7, 4), (1, 2), True),
    ((1, 3, 3, 5), (1, 2), False),
    ((7, 9), (0,), True),
    ((2, 1, 1, 3), (1, 2), False),  # one number each: its own mean
]


def by_definition(x, scale, bias, axes):
    return scaled(x, *moments(x, axes, None), scale, bias, EPSILON)


def written_down(x, scale, bias, axes):
    return normalised(x, scale, bias, axes, EPSILON, None)[0]


def arrays(shape, has_scale):
    keys = jax.random.split(jax.random.key(0), 4)
    # A mean that is not small, and gradients that are no multiple of the result.
    x = 3.0 + 2.0 * jax.random.normal(keys[0], shape)
    scale, bias = (jax.random.normal(key, shape[-1:]) for key in keys[1:3])
    dy = jax.random.normal(keys[3], shape)
    return (x, scale, bias) if has_scale else (x, None, None), dy


def size(exact, path):
    """Of sums of numbers of the order of one, which cancel where there is a single number."""
    return max(1.0, largest(exact, path))


@pytest.mark.parametrize(("shape", "axes", "has_scale"), CASES)
def test_gradients_are_those_of_the_definition(shape, axes, has_scale):
    given, dy = arrays(shape, has_scale)

    def with_gradients(f, given, dy):
        y, pullback = jax.vjp(lambda *given: f(*given, axes), *given)
        return y, pullback(dy)

    ours, defined = (functools.partial(with_gradients, f) for f in (written_down, by_definition))
    assert_no_further(
        *(f(given, dy) for f in (jax.jit(ours), jax.jit(defined), exactly(defined))), size=size
    )


@pytest.mark.parametrize(("shape", "axes", "has_scale"), CASES)
def test_second_derivatives_are_those_of_the_definition(shape, axes, has_scale):
    given, dy = arrays(shape, has_scale)

    def squared(f, *given):
        dx = jax.grad(lambda *given: jnp.sum(dy * jnp.sin(f(*given, axes))))(*given)
        return jnp.sum(jnp.square(dx))

    ours, defined = (jax.grad(functools.partial(squared, f)) for f in (written_down, by_definition))
    assert_no_further(
        *(f(*given) for f in (jax.jit(ours), jax.jit(defined), exactly(defined))), size=size
    )


def test_the_result_has_the_moments_asked_for():
    (x, scale, bias), _ = arrays((8, 6, 6, 4), True)
    y, mean, var = normalised(x, scale, bias, (0, 1, 2), 1e-12, None)
    np.testing.assert_allclose(mean.ravel(), np.mean(np.float64(x), (0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var.ravel(), np.var(np.float64(x), (0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), bias, atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), np.abs(scale), rtol=1e-4)
