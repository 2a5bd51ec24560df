"""Convolutions in groups of channels against XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.ops import cpu
from gans.ops.convolution import convolution, xla_convolution
from gans.ops.cpu import grouped
from gans.ops.cpu.bilinear import Forms, Product

# Batch, height, width, channels in, height and width of the kernel, channels out, stride, padding,
# groups.
CASES = [
    (2, 5, 7, 64, 3, 3, 64, 1, ((1, 1), (1, 1)), 4),  # one piece
    (1, 9, 8, 80, 3, 3, 80, 1, ((1, 1), (1, 1)), 5),  # pieces of three groups and of two
    (3, 1, 1, 32, 3, 3, 32, 1, ((1, 1), (1, 1)), 2),
    (2, 6, 5, 24, 2, 3, 48, 2, ((0, 1), (1, 1)), 3),
    (1, 4, 6, 32, 3, 3, 16, 1, ((0, 0), (0, 0)), 2),
    (1, 17, 16, 128, 3, 3, 128, 1, ((1, 1), (1, 1)), 8),  # tiled: see `gans.ops.cpu.winograd`
    (1, 4, 3, 144, 3, 3, 144, 1, ((1, 1), (1, 1)), 2),  # a group wider than a piece
    (1, 5, 4, 6, 3, 3, 12, 1, ((1, 1), (1, 1)), 3),  # two channels to four features
    (2, 5, 4, 9, 4, 4, 9, 1, ((0, 0), (0, 0)), 9),  # a channel each
]


def arrays(case, dtype=np.float32):
    batch, height, width, channels, rows, columns, features, *_, groups = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, height, width, channels))
    kernel = rng.normal(size=(rows, columns, channels // groups, features))
    kernel /= np.sqrt(kernel[..., 0].size)
    return tuple(jnp.asarray(a, dtype) for a in (x, kernel, rng.normal(size=features)))


def how(case):
    return dict(zip(("stride", "padding", "feature_group_count"), case[-3:], strict=True))


def derivatives(function, case):
    """The result and what can be derived from it, of all arguments and of second order too."""
    function = functools.partial(function, **how(case))

    def penalty(*args):
        def objective(*args):
            return jnp.sum(jnp.sin(function(*args)))

        slopes = jax.grad(objective, (0, 1, 2))(*args)
        return sum(jnp.sum(jnp.cos(slope)) for slope in slopes)

    def run(*args):
        y, dy = jax.jvp(function, args, tuple(jnp.cos(x) for x in args))
        first = jax.vjp(function, *args)[1](jnp.cos(y))
        return {"y": y, "dy": dy, "first": first, "second": jax.grad(penalty, (0, 1, 2))(*args)}

    return run


# The pieces alone, each as XLA has it, which does not round float64 to float32 as other forms do.
PLAIN = Product("test_plain", xla_convolution, lambda *_, **__: Forms())
PIECES = grouped.forms(PLAIN)
PRODUCT = Product("test_grouped", xla_convolution, lambda *_, **__: PIECES)


def in_pieces(x, kernel, bias, **how):
    return PRODUCT(x, kernel, **how) + bias


@pytest.mark.parametrize("case", CASES)
def test_pieces_are_the_convolution_with_its_derivatives_of_both_orders(case):
    ours, theirs = (
        exactly(derivatives(f, case))(*arrays(case)) for f in (in_pieces, xla_convolution)
    )
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        assert a.dtype == np.float64
        atol = 1e-10 * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("case", CASES)
def test_in_use_it_is_no_further_from_them_than_xla(case):
    ours, plain = (derivatives(f, case) for f in (convolution, xla_convolution))
    sides = jax.jit(ours), jax.jit(plain), exactly(plain)
    assert_no_further(*(side(*arrays(case)) for side in sides))


@pytest.mark.parametrize("case", CASES[:2])
def test_without_a_bias(case):
    x, kernel, _ = arrays(case)
    ours, plain = (
        functools.partial(f, bias=None, **how(case)) for f in (convolution, xla_convolution)
    )
    assert_no_further(*(f(x, kernel) for f in (jax.jit(ours), jax.jit(plain), exactly(plain))))


@pytest.mark.parametrize("case", CASES)
def test_groups_are_put_together_on_a_cpu_alone_and_with_the_forms_in_use(case):
    def convolutions(platform):
        # Another function each time, because which form it takes is found when it is traced.
        step = jax.jit(lambda *args: convolution(*args, **how(case)))
        text = step.trace(*arrays(case)).lower(lowering_platforms=(platform,)).as_text()
        return text.count(f"feature_group_count = {case[-1]} ")

    assert convolutions("cuda") == 1
    assert convolutions("cpu") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "ENABLED", False)
        assert convolutions("cpu") == 1


def test_pieces_are_as_few_as_can_be_and_of_nearly_one_size():
    assert grouped._sizes(12, 4) == [4, 4, 4]
    assert grouped._sizes(5, 4) == [3, 2]
    assert grouped._sizes(3, 4) == [3]


def test_bfloat16_is_no_further_from_float32_than_its_rounding():
    case = CASES[1]
    rounded = arrays(case, jnp.bfloat16)

    def run(*args):
        y, backward = jax.vjp(functools.partial(convolution, **how(case)), *args)
        return y, *backward(jnp.ones_like(y))

    found = jax.jit(run)(*rounded)
    exact = exactly(run)(*(a.astype(np.float32) for a in rounded))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        # 8 bits of mantissa, of the result and of sums of taps.
        atol = 2**-7 * float(np.abs(b).max())
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-7, atol=atol)


def test_a_batch_of_batches_is_each_batch_for_itself():
    case = CASES[1]
    x, kernel, bias = arrays(case)

    def run(x):
        return convolution(x, kernel, bias, **how(case))

    images = jnp.stack([x, 2 * x, -x])
    together = jax.jit(jax.vmap(run))(images)
    alone = jnp.stack([jax.jit(run)(image) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
