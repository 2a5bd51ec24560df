"""Convolutions and their gradients against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.models import convolution as module
from gans.models.convolution import convolution, plain

# Batch, height, width, channels in, height and width of the kernel, channels out, padding.
CASES = [
    (1, 1, 1, 1, 1, 1, 1, ((0, 0), (0, 0))),
    (2, 5, 4, 3, 3, 3, 7, ((1, 1), (1, 1))),  # as many pixels as before
    (2, 5, 4, 3, 2, 2, 8, ((1, 1), (1, 1))),  # one more
    (1, 6, 7, 5, 3, 3, 6, ((0, 0), (0, 0))),  # fewer
    (3, 4, 5, 2, 4, 4, 6, ((1, 2), (1, 2))),  # XLA's SAME with an even kernel
    (1, 7, 3, 2, 2, 3, 5, ((0, 1), (2, 0))),
    (2, 9, 8, 4, 7, 7, 3, ((0, 0), (0, 0))),  # few outputs
    (1, 4, 4, 6, 4, 4, 1, ((1, 1), (1, 1))),
    (2, 3, 6, 5, 3, 3, 3, ((1, 1), (1, 1))),
    (2, 5, 6, 64, 3, 3, 6, ((0, 0), (0, 0))),  # many channels without padding
]


def arrays(case, dtype=np.float32):
    batch, height, width, channels, rows, columns, features, padding = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, height, width, channels))
    kernel = rng.normal(size=(rows, columns, channels, features))
    shape = jax.eval_shape(lambda x, k: plain(x, k, padding), x, kernel).shape
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype), jnp.asarray(rng.normal(size=shape))


def with_gradients(function, x, kernel, padding, dy):
    y, backward = jax.vjp(lambda x, kernel: function(x, kernel, padding), x, kernel)
    return y, *backward(dy.astype(y.dtype))


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_xla(case):
    x, kernel, dy = arrays(case)
    expected = with_gradients(plain, x, kernel, case[-1], dy)
    for ours, theirs in zip(
        with_gradients(convolution, x, kernel, case[-1], dy), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))


@pytest.mark.parametrize("case", CASES[:6])
def test_without_room_for_patches_too(monkeypatch, case):
    monkeypatch.setattr(module, "_PATCHES", 0)
    test_values_and_gradients_are_those_of_xla(case)


@pytest.mark.parametrize("case", [CASES[1], CASES[6]])
def test_bfloat16_is_no_further_from_float32_than_of_xla(case):
    x, kernel, dy = arrays(case, jnp.bfloat16)
    exact = with_gradients(plain, x.astype(jnp.float32), kernel.astype(jnp.float32), case[-1], dy)
    ours = with_gradients(convolution, x, kernel, case[-1], dy)
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        # 8 bits of mantissa, of the result and of the gradient that came in.
        np.testing.assert_allclose(
            a.astype(jnp.float32), b, rtol=2**-7, atol=2**-7 * float(jnp.abs(b).max())
        )


@pytest.mark.parametrize("case", [CASES[2], CASES[8]])
def test_second_derivatives_are_those_of_xla(case):
    """As a penalty on the discriminator's gradient needs them."""
    x, kernel, dy = arrays(case)

    def penalty(function, x, kernel):
        gradient = jax.grad(lambda x: jnp.sum(dy * jnp.tanh(function(x, kernel, case[-1]))))(x)
        return jnp.sum(jnp.square(gradient))

    ours, expected = (
        jax.grad(lambda *a, f=f: penalty(f, *a), argnums=(0, 1))(x, kernel)
        for f in (convolution, plain)
    )
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(b).max()))


def test_an_accelerator_gets_convolutions_and_a_cpu_products():
    x, kernel, dy = arrays(CASES[1])

    def text(platform):
        step = jax.jit(lambda x, k, dy: with_gradients(convolution, x, k, CASES[1][-1], dy))
        return step.trace(x, kernel, dy).lower(lowering_platforms=(platform,)).as_text()

    assert text("cuda").count("stablehlo.convolution") == 3
    assert "dot_general" not in text("cuda")
    assert text("cpu").count("stablehlo.convolution") == 1
    # For the gradient of the image and that of the kernel.
    assert text("cpu").count("stablehlo.dot_general") == 2
