"""Blurred resampling against scipy's, PyTorch's depthwise convolutions, and what a blur keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.signal import upfirdn

from gans.ops.resample import downsample, upsample

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 2), (1, 4, 6, 5), (2, 8, 3, 1)]
FILTER = np.array([1.0, 3.0, 3.0, 1.0]) / 8


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def of_scipy(name, x):
    """Filtered along rows and columns with zeros beyond the image."""
    for axis in (1, 2):
        n = x.shape[axis]
        if name == "upsample":
            # Its result is longer by one at each end.
            x = upfirdn(2 * FILTER, x, up=2, axis=axis).take(np.arange(1, 2 * n + 1), axis)
        else:
            x = upfirdn(FILTER, x, down=2, axis=axis).take(np.arange(1, n // 2 + 1), axis)
    return x


def of_torch(name, x):
    """The same as a convolution of each channel for itself: `[B, H, W, C]` of torch."""
    channels = x.shape[-1]
    kernel = torch.from_numpy(np.tile(np.outer(FILTER, FILTER), (channels, 1, 1, 1)))
    x = x.permute(0, 3, 1, 2)
    if name == "upsample":
        y = torch.nn.functional.conv_transpose2d(
            x, 4 * kernel, stride=2, padding=1, groups=channels
        )
    else:
        y = torch.nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=channels)
    return y.permute(0, 2, 3, 1)


OURS = {"upsample": upsample, "downsample": downsample}


def cases(name):
    """Shapes that leave a pixel."""
    return [s for s in SHAPES if name == "upsample" or min(s[1:3]) > 1]


CASES = [(name, shape) for name in OURS for shape in cases(name)]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_values_are_those_of_scipy(name, shape):
    x = normal(*shape)
    with jax.enable_x64(True):
        found = jax.jit(OURS[name])(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, of_scipy(name, x), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_values_and_first_and_second_derivatives_are_those_of_torch(name, shape):
    x, along = normal(2, *shape)

    def penalty(x):
        def objective(x):
            return jnp.sum(jnp.sin(OURS[name](x)))

        return jnp.sum(along * jax.grad(objective)(x) ** 2), OURS[name](x)

    with jax.enable_x64(True):
        (found, value), gradient = jax.jit(jax.value_and_grad(penalty, has_aux=True))(x)

    x = torch.from_numpy(x).requires_grad_()
    y = of_torch(name, x)
    (slope,) = torch.autograd.grad(torch.sin(y).sum(), x, create_graph=True)
    expected = (torch.from_numpy(along) * slope**2).sum()
    expected.backward()
    np.testing.assert_allclose(value, y.detach(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(found, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, x.grad, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_derivatives_forwards_are_the_function_itself(name, shape):
    x, dx = normal(2, *shape)
    with jax.enable_x64(True):
        y, dy = jax.jit(lambda x, dx: jax.jvp(OURS[name], (x,), (dx,)))(x, dx)
        expected = OURS[name](dx)
    np.testing.assert_allclose(dy, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", OURS)
def test_a_constant_stays_one_but_for_the_outermost_pixels(name):
    y = OURS[name](jnp.ones((1, 8, 6, 2)))
    np.testing.assert_array_equal(y[:, 1:-1, 1:-1], 1)
    # There the filter reaches one zero, of a weight of 1/4 upwards and of 1/8 downwards.
    edge = {"upsample": 3 / 4, "downsample": 7 / 8}[name]
    np.testing.assert_array_equal(y[:, [0, -1], 1:-1], edge)
    np.testing.assert_array_equal(y[:, 1:-1, [0, -1]], edge)
    np.testing.assert_array_equal(y[:, [0, -1, 0, -1], [0, 0, -1, -1]], edge**2)


def test_an_image_of_one_pixel_cannot_be_halved_and_leaves_none():
    assert downsample(jnp.ones((2, 1, 4, 3))).shape == (2, 0, 2, 3)


@pytest.mark.parametrize("name", OURS)
def test_bfloat16_is_rounded_once(name):
    x = jnp.asarray(normal(2, 6, 4, 3), jnp.bfloat16)
    y = jax.jit(OURS[name])(x)
    assert y.dtype == jnp.bfloat16
    exact = of_scipy(name, np.asarray(x, np.float64))
    # Half of the last of 8 bits; a sum in float32 may be on the other side of a tie.
    np.testing.assert_allclose(np.float64(y), exact, rtol=2**-8 + 1e-5, atol=1e-6)
