"""`materialise`: the same numbers, and nothing fused across it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.ops.cpu.materialise import materialise

pytestmark = pytest.mark.as_in_use

ROWS, COLUMNS = 40, 300


def sums(between):
    """In two steps, the second of which uses each number of the first three times."""

    def function(x, anchor):
        first = between([x * x, 3.0 * x], anchor)
        shifted = [jnp.roll(part, i, axis=1) for part in first for i in range(3)]
        return sum(shifted)

    return function


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).normal(size=(ROWS, COLUMNS)), jnp.float32)


@pytest.mark.parametrize("number", [0.5, np.nan])
def test_numbers_and_derivatives_are_unchanged_whatever_the_anchor(x, number):
    anchor = jnp.full((2, 3), number)
    plain = sums(lambda arrays, _: arrays)
    for order in (lambda f: f, lambda f: jax.grad(lambda x, w: jnp.sum(f(x, w) ** 2))):
        for wrap in (lambda f: f, jax.jit):
            found = wrap(order(sums(materialise)))(x, anchor)
            expected, exact = (f(order(plain))(x, anchor) for f in (jax.jit, exactly))
            assert_no_further(found, expected, exact)


def test_nothing_is_fused_across_it(x):
    def fused(between):
        """How many of the compiled program's parts both multiply and add arrays."""
        text = jax.jit(sums(between)).lower(x, x).compile().as_text()
        return sum(" multiply(" in part and " add(" in part for part in text.split("\n\n"))

    assert fused(lambda arrays, _: arrays) == 1  # as without it
    assert fused(materialise) == 0
