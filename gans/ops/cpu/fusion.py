"""What the CPU's compiler must not fuse."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

Arrays = TypeVar("Arrays")


@jax.custom_jvp
def materialised(arrays: Arrays, witness: jax.Array) -> Arrays:
    """The same arrays, computed once and written to memory before anything uses them.

    XLA's CPU compiler makes what is cheap to repeat part of everything that uses it: with a
    transform in two steps, the first is computed anew for each output of the second. A
    `jax.lax.optimization_barrier` does not help, for it is gone before anything is fused. Nothing
    is fused across a loop, though, so this is a loop of no rounds, which the compiler cannot
    know to have none.

    Args:
      arrays: any tree of them, of floating dtypes.
      witness: a floating array that comes from outside of the compiled function, such as a
        parameter. Were its first number NaN there would be a round, which adds 0.
    """
    rounds = jnp.isnan(witness[(0,) * witness.ndim]).astype(jnp.int32)

    def add(i, arrays):
        return jax.tree.map(lambda a: a + i.astype(a.dtype), arrays)

    return jax.lax.fori_loop(0, rounds, add, arrays)


@materialised.defjvp
def _jvp(primals, tangents):
    return materialised(*primals), tangents[0]
