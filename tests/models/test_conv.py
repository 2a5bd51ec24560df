"""`Conv` beside `flax.linen.Conv`: strides, padding, groups and dilation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.models.layers import Conv

ROUNDING = 2**-7  # of bfloat16, which has 8 significant bits

# An image's shape, and the fields that both layers have.
CASES = {
    "plain": ((2, 5, 4, 6), {"features": 7, "kernel_size": (3, 3)}),
    "strided": ((3, 9, 7, 5), {"features": 4, "kernel_size": (4, 4), "strides": 2}),
    "grouped": ((2, 7, 5, 6), {"features": 9, "kernel_size": (3, 3), "feature_group_count": 3}),
    "depthwise": (
        (1, 5, 7, 4),
        {"features": 8, "kernel_size": (3, 3), "strides": 2, "feature_group_count": 4},
    ),
    "dilated": ((2, 9, 7, 5), {"features": 4, "kernel_size": (3, 3), "kernel_dilation": 2}),
    "dilated and strided": (
        (1, 11, 9, 4),
        {"features": 6, "kernel_size": (3, 2), "strides": 2, "kernel_dilation": 3},
    ),
    "dilated and grouped": (
        (1, 9, 11, 4),
        {
            "features": 6,
            "kernel_size": (3, 3),
            "padding": ((4, 1), (0, 2)),
            "kernel_dilation": 2,
            "feature_group_count": 2,
        },
    ),
    "dilated, without padding": (
        (1, 7, 6, 3),
        {"features": 2, "kernel_size": (3, 3), "padding": "VALID", "kernel_dilation": 2},
    ),
}


def both(case, dtype=jnp.float32):
    """Our layer and Flax's, with the same initialiser."""
    _, fields = CASES[case]
    init = nn.initializers.glorot_uniform()
    return Conv(**fields, dtype=dtype), nn.Conv(**fields, kernel_init=init)


def arguments(case):
    """Parameters, an image and the gradient of the result; all numbers are of bfloat16 too."""
    _, theirs = both(case)
    shape, _ = CASES[case]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    y, variables = jax.eval_shape(theirs.init_with_output, jax.random.key(0), x)
    trees = variables["params"], x, y
    draw = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.bfloat16), trees)
    return jax.tree.map(lambda a: a.astype(jnp.float32), draw)


def with_gradients(layer):
    def run(params, x, dy):
        y, backward = jax.vjp(lambda params, x: layer.apply({"params": params}, x), params, x)
        return y, *backward(dy.astype(y.dtype))

    return run


@pytest.mark.parametrize("case", CASES)
def test_parameters_start_as_those_of_flax(case):
    shape, _ = CASES[case]
    ours, theirs = (jax.jit(layer.init)(jax.random.key(1), jnp.ones(shape)) for layer in both(case))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_flax(case):
    ours, theirs = map(with_gradients, both(case))
    sides = jax.jit(ours), jax.jit(theirs), exactly(theirs)
    assert_no_further(*(side(*arguments(case)) for side in sides))


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_that_of_flax_rounded(case):
    ours, theirs = both(case, jnp.bfloat16)
    y, dparams, dx = jax.jit(with_gradients(ours))(*arguments(case))
    assert y.dtype == jnp.bfloat16
    # Parameters are float32, and so are their gradients.
    assert {leaf.dtype for leaf in jax.tree.leaves((dparams, dx))} == {jnp.dtype(jnp.float32)}
    expected = exactly(with_gradients(theirs))(*arguments(case))
    for a, b in zip(*map(jax.tree.leaves, ((y, dparams, dx), expected)), strict=True):
        atol = ROUNDING * float(np.abs(b).max())
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=ROUNDING, atol=atol)


@pytest.mark.parametrize(("channels", "features"), [(4, 6), (6, 4)])
def test_channels_and_features_must_be_multiples_of_the_groups(channels, features):
    layer = Conv(features, (3, 3), feature_group_count=3)
    sentence = f"{channels} channels and {features} features are not both multiples of 3 groups"
    with pytest.raises(ValueError, match=sentence):
        layer.init(jax.random.key(0), jnp.ones((1, 5, 5, channels)))
