"""What the tests of several networks need."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def random_params():
    """`(module, size [H, W, C]) -> params`, of the size that keeps numbers of the order of one.

    Drawn by numpy: a program that draws them takes longer to compile than the network.
    """

    def draw(module, size):
        init = functools.partial(module.init, train=False)
        params = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *size)))["params"]
        rng = np.random.default_rng(0)

        def leaf(x):
            gain = 1.5 / np.prod(x.shape[:-1]) if x.ndim > 1 else 0.04
            return rng.normal(size=x.shape).astype(np.float32) * np.float32(np.sqrt(gain))

        return jax.tree.map(leaf, params)

    return draw
