"""Pooling, and the convolution that is pooled without being made, against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.ops import cpu
from gans.ops.pooling import average_pool, conv_pool

# Batch, height, width, channels, features.
SIZES = [(1, 2, 2, 1, 1), (2, 4, 2, 3, 5), (3, 6, 8, 5, 2), (1, 2, 10, 7, 9)]


def definition(x, kernel, bias):
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = y + bias
    return (y[:, ::2, ::2] + y[:, 1::2, ::2] + y[:, ::2, 1::2] + y[:, 1::2, 1::2]) / 4


def with_gradients(function):
    def run(x, kernel, bias, dy):
        y, pullback = jax.vjp(function, x, kernel, bias)
        return y, *pullback(dy.astype(y.dtype))

    return run


def arguments(size):
    batch, height, width, channels, features = size
    rng = np.random.default_rng(0)
    shapes = (batch, height, width, channels), (3, 3, channels, features), (features,)
    shapes += ((batch, height // 2, width // 2, features),)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("forms", [True, False], ids=["cpu", "plain"])
@pytest.mark.parametrize("size", SIZES)
def test_a_pooled_convolution_is_one_that_is_pooled_with_its_gradients(monkeypatch, size, forms):
    monkeypatch.setattr(cpu, "ENABLED", forms)
    ours, theirs = with_gradients(conv_pool), with_gradients(definition)
    sides = jax.jit(ours), jax.jit(theirs), exactly(theirs)
    assert_no_further(*(side(*arguments(size)) for side in sides))


@pytest.mark.parametrize("forms", [True, False], ids=["cpu", "plain"])
def test_a_pooled_convolution_keeps_bfloat16_and_its_precision(monkeypatch, forms):
    monkeypatch.setattr(cpu, "ENABLED", forms)
    rounded = [a.astype(jnp.bfloat16) for a in arguments(SIZES[2])]
    found = jax.jit(with_gradients(conv_pool))(*rounded)
    exact = exactly(with_gradients(definition))(*(a.astype(np.float32) for a in rounded))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        # 8 bits of mantissa, of sums and of what is pooled, or of the mean of taps.
        atol = 2**-6 * float(np.abs(b).max())
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-6, atol=atol)


def test_without_a_bias_none_is_added():
    x, kernel, _, _ = arguments(SIZES[1])
    with_zeros = conv_pool(x, kernel, jnp.zeros(kernel.shape[-1]))
    np.testing.assert_allclose(conv_pool(x, kernel), with_zeros, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2, 2, 1), (1, 4, 6, 3), (3, 2, 8, 5)])
def test_average_pooling_takes_the_mean_of_squares_of_four(size):
    x = np.random.default_rng(0).normal(size=size).astype(np.float32)
    expected = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    np.testing.assert_allclose(average_pool(x), expected / 4, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 4), (4, 5), (1, 1)])
def test_odd_sizes_are_refused_in_a_sentence(size):
    x, kernel = jnp.zeros((1, *size, 2)), jnp.zeros((3, 3, 2, 4))
    for function in (average_pool, lambda x: conv_pool(x, kernel)):
        with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels .* must be even"):
            function(x)
