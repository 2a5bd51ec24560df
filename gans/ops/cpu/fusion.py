"""Keeps XLA's CPU compiler from fusing arrays into everything that uses them."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

Arrays = TypeVar("Arrays")


@jax.custom_jvp
def materialised(arrays: Arrays, witness: jax.Array) -> Arrays:
    """The same arrays, computed once and stored before anything uses them.

    XLA's CPU compiler copies cheap computations into everything that uses their result. In a
    transform of two stages, the first stage is then computed again for each output of the second.
    `jax.lax.optimization_barrier` does not help, because XLA drops it before it fuses. XLA never
    fuses across a loop, so the arrays go through a loop of zero iterations. Their number depends
    on `witness`, which is known only at run time, so the compiler cannot remove the loop.

    Args:
      arrays: any tree of arrays with floating dtypes.
      witness: a floating array from outside the compiled function, such as a parameter. If its
        first number were NaN, there would be one iteration, which adds 0.
    """
    rounds = jnp.isnan(witness[(0,) * witness.ndim]).astype(jnp.int32)

    def add(i, arrays):
        return jax.tree.map(lambda a: a + i.astype(a.dtype), arrays)

    return jax.lax.fori_loop(0, rounds, add, arrays)


@materialised.defjvp
def _jvp(primals, tangents):
    return materialised(*primals), tangents[0]
