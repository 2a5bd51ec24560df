"""Convolutions and their gradients against XLA's, and both against XLA's in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import FACTOR, assert_no_further, exactly

from gans.ops.convolution import convolution, xla_convolution
from gans.ops.cpu import forms, taps, winograd

# Batch, height, width, channels in, height and width of the kernel, channels out, stride, padding.
CASES = [
    (1, 1, 1, 1, 1, 1, 1, 1, ((0, 0), (0, 0))),
    (2, 5, 4, 5, 3, 3, 7, 1, ((1, 1), (1, 1))),  # as many pixels as before
    (2, 5, 4, 3, 2, 2, 8, 1, ((1, 1), (1, 1))),  # one more
    (1, 6, 7, 5, 3, 3, 6, 1, ((0, 0), (0, 0))),  # fewer
    (3, 4, 5, 2, 4, 4, 6, 1, ((1, 2), (1, 2))),  # XLA's SAME with an even kernel
    (1, 7, 3, 2, 2, 3, 5, 1, ((0, 1), (2, 0))),
    (2, 9, 8, 4, 7, 7, 3, 1, ((0, 0), (0, 0))),  # few outputs
    (1, 4, 4, 6, 4, 4, 1, 1, ((1, 1), (1, 1))),
    (2, 3, 6, 5, 3, 3, 3, 1, ((1, 1), (1, 1))),
    (2, 5, 6, 64, 3, 3, 6, 1, ((0, 0), (0, 0))),  # many channels without padding
    (1, 2, 3, 9, 3, 3, 8, 1, ((1, 1), (1, 1))),  # a kernel larger than the image
    (2, 8, 6, 3, 3, 3, 5, 2, ((0, 1), (0, 1))),  # a stride: SAME
    (2, 7, 5, 6, 3, 3, 5, 2, ((1, 1), (1, 1))),  # of an odd size
    (3, 9, 8, 5, 4, 4, 6, 2, ((1, 1), (1, 1))),  # the last row unseen
    (1, 2, 2, 8, 4, 4, 7, 2, ((1, 1), (1, 1))),  # to a single pixel
    (2, 11, 10, 5, 3, 2, 4, 3, ((1, 0), (0, 2))),  # a stride wider than the kernel
    (2, 300, 145, 2, 7, 7, 1, 1, ((3, 2), (0, 0))),  # few outputs of a large image
    (2, 5, 4, 3, 2, 3, 6, 1, ((3, 2), (4, 3))),  # more padding than the kernel is large
    (2, 5, 4, 3, 2, 3, 2, 1, ((3, 2), (4, 3))),
    (2, 5, 4, 6, 2, 3, 5, 2, ((3, 2), (4, 3))),
    (4, 9, 8, 64, 3, 3, 64, 1, ((3, 4), (3, 3))),
    (2, 16, 18, 64, 3, 3, 64, 1, ((0, 0), (0, 0))),  # tiles that fit: see `gans.ops.cpu.winograd`
    (5, 11, 9, 64, 3, 3, 70, 1, ((1, 1), (2, 0))),  # and that do not
    (15, 8, 7, 64, 2, 2, 65, 1, ((1, 1), (1, 1))),
    (15, 9, 8, 70, 2, 2, 64, 1, ((0, 0), (1, 0))),
    (1, 35, 34, 64, 3, 3, 65, 1, ((0, 0), (1, 0))),  # strips of large tiles
    (2, 43, 42, 64, 2, 2, 64, 1, ((1, 1), (1, 1))),
    (1, 4, 260, 64, 3, 3, 64, 1, ((1, 1), (1, 1))),  # a single row of them
    (1, 3, 260, 64, 3, 3, 64, 1, ((1, 1), (1, 1))),  # not even one
]
TILED = CASES[-9:]
NAMES = ("convolve", "image_gradient", "kernel_gradient")


@pytest.fixture(autouse=True, scope="module")
def _large_tiles_for_small_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_STRIP", 64)
        yield


def arrays(case, dtype=np.float32):
    batch, height, width, channels, rows, columns, features = case[:7]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, height, width, channels))
    kernel = rng.normal(size=(rows, columns, channels, features))
    bias = rng.normal(size=features)
    shape = jax.eval_shape(functools.partial(xla_convolution, **how(case)), x, kernel).shape
    parameters = (jnp.asarray(a, dtype) for a in (x, kernel, bias))
    return tuple(parameters), jnp.asarray(rng.normal(size=shape))


def how(case):
    return {"stride": case[-2], "padding": case[-1]}


def with_gradients(function, parameters, case, dy):
    """The result and the gradients of all parameters, compiled as one program."""

    @jax.jit
    def both(parameters, dy):
        y, backward = jax.vjp(functools.partial(function, **how(case)), *parameters)
        return y, *backward(dy.astype(y.dtype))

    return both(tuple(parameters), dy)


@functools.cache
def of_xla(case):
    """XLA's values and gradients for `arrays` of a case."""
    parameters, dy = arrays(case)
    return with_gradients(xla_convolution, parameters, case, dy)


@functools.cache
def in_float64(case):
    """The same by numpy in float64: XLA's own takes minutes there."""
    (x, kernel, bias), dy = arrays(case)
    stride, padding = case[-2:]
    x, kernel, dy = (np.float64(a) for a in (x, kernel, dy))
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    y, dx, dk = np.zeros(dy.shape) + np.float64(bias), np.zeros(x.shape), np.zeros(kernel.shape)
    height, width = (stride * n for n in dy.shape[1:3])
    for i, j in np.ndindex(kernel.shape[:2]):
        seen = np.s_[:, i : i + height : stride, j : j + width : stride]
        y += x[seen] @ kernel[i, j]
        dx[seen] += dy @ kernel[i, j].T
        dk[i, j] = np.tensordot(x[seen], dy, ((0, 1, 2), (0, 1, 2)))
    (top, _), (left, _) = padding
    return y, dx[:, top:][:, : case[1], left:][:, :, : case[2]], dk, dy.sum((0, 1, 2))


def amplification(size, tile):
    """How many times plain sums' rounding that of tiles is, for a kernel of that size.

    Along one axis an output is `sum_p At[o, p] (G k)[p] (Bt x)[p]`. Of random numbers of size 1
    term p has the size `|At[o, p]| |G[p]| |Bt[p]|`, and is rounded by a share of that; a plain sum
    of the kernel's size has that size's root. Both axes square it.
    """
    bt, g, at = map(np.array, winograd._filter(size, tile))
    terms = at**2 * (g**2).sum(1) * (bt**2).sum(1)
    return terms.sum(1).max() / size


def tile_size(case):
    """Of the tiles by which a case is computed; 0 without."""
    (x, kernel, _), _ = arrays(case)
    if chosen(case).result is not winograd.convolve:
        return 0
    plan = winograd._plan(6, x.shape, kernel.shape, case[-1])
    return 6 if np.prod(plan.tiles) >= winograd._STRIP and plan.outputs[0] >= plan.step else 4


def test_both_sizes_of_tiles_are_among_the_cases():
    assert [tile_size(case) for case in TILED] == [4, 4, 4, 4, 4, 6, 6, 6, 4]


def chosen(case):
    (x, kernel, _), _ = arrays(case)
    return forms.choose(x.shape, kernel.shape, x.dtype, **how(case))


def test_all_forms_are_among_the_cases():
    tried = {form and (form.__module__, form.__name__) for case in CASES for form in chosen(case)}
    assert {form and f"{form[0].rpartition('.')[2]}.{form[1]}" for form in tried} == {
        *("patches.convolve", "patches.kernel_gradient"),
        *("taps.convolve", "taps.image_gradient", "taps.strided_image_gradient"),
        *(f"few_features.{name}" for name in NAMES),
        *(f"winograd.{name}" for name in NAMES),
        None,  # XLA's own; and taps.kernel_gradient, without room for patches
    }


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_xla(case):
    parameters, dy = arrays(case)
    ours = with_gradients(convolution, parameters, case, dy)
    tile = tile_size(case)
    factors = [FACTOR * amplification(case[4], tile) if tile else FACTOR, *[FACTOR] * 3]
    for *three, factor in zip(ours, of_xla(case), in_float64(case), factors, strict=True):
        assert_no_further(*three, factor=factor)


@pytest.mark.parametrize("case", [CASES[5], CASES[11]])
def test_without_a_bias(case):
    parameters, dy = arrays(case)
    y, dx, dk, none = with_gradients(convolution, (*parameters[:2], None), case, dy)
    assert none is None
    found = y + parameters[2], dx, dk
    for three in zip(found, of_xla(case), in_float64(case), strict=False):
        assert_no_further(*three)


@pytest.mark.parametrize("case", TILED)
def test_tiles_make_the_result_of_either_kernel(case):
    parameters, _ = arrays(case)
    found = winograd.convolve(*parameters, **how(case))
    factor = FACTOR * amplification(case[4], 6)
    assert_no_further(found, of_xla(case)[0], in_float64(case)[0], factor=factor)


@pytest.mark.parametrize("case", [*CASES[:6], CASES[12]])
def test_without_room_for_patches_too(monkeypatch, case):
    monkeypatch.setattr(forms, "_CACHE", 0)
    monkeypatch.setattr(forms, "_FEW", 0)
    assert chosen(case).kernel_gradient is taps.kernel_gradient
    test_values_and_gradients_are_those_of_xla(case)


@pytest.mark.parametrize("case", [CASES[1], CASES[6], CASES[12], TILED[1]])
def test_bfloat16_is_no_further_from_float32_than_of_xla(case):
    parameters, dy = arrays(case, jnp.bfloat16)
    exact = with_gradients(xla_convolution, [a.astype(jnp.float32) for a in parameters], case, dy)
    ours = with_gradients(convolution, parameters, case, dy)
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        # 8 bits of mantissa, of the result and of the gradient that came in.
        np.testing.assert_allclose(
            a.astype(jnp.float32), b, rtol=2**-7, atol=2**-7 * float(jnp.abs(b).max())
        )


@pytest.mark.parametrize("case", [CASES[2], CASES[8], CASES[12], TILED[1], TILED[3]])
def test_second_derivatives_are_those_of_xla(case):
    """As a penalty on the discriminator's gradient needs them."""
    parameters, dy = arrays(case)

    def penalty(function, x, kernel, bias):
        def objective(x):
            # Divided, for a tanh of large numbers has no second derivative to speak of.
            y = function(x, kernel, bias, **how(case)) / np.sqrt(kernel[..., 0].size)
            return jnp.sum(dy * jnp.tanh(y))

        return jnp.sum(jnp.square(jax.grad(objective)(x)))

    ours, theirs = (
        jax.grad(functools.partial(penalty, f), argnums=(0, 1, 2))
        for f in (convolution, xla_convolution)
    )
    sides = jax.jit(ours), jax.jit(theirs), exactly(theirs)
    found, expected, exact = (side(*parameters) for side in sides)
    for three in zip(found, expected, exact, strict=True):
        assert_no_further(*three)


def test_an_accelerator_gets_convolutions_and_a_cpu_products():
    case = CASES[1]
    parameters, dy = arrays(case)

    def text(platform):
        step = jax.jit(lambda *a: with_gradients(convolution, a[:3], case, a[3]))
        return step.trace(*parameters, dy).lower(lowering_platforms=(platform,)).as_text()

    assert text("cuda").count("stablehlo.convolution") == 3
    assert "dot_general" not in text("cuda")
    assert text("cpu").count("stablehlo.convolution") == 1
    # For the gradient of the image and that of the kernel.
    assert text("cpu").count("stablehlo.dot_general") == 2
