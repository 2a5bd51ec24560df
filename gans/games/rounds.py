"""Several rounds of one player in an iteration, each with images and noise of its own."""

from __future__ import annotations

from typing import TypeVar

import jax

from gans.errors import UserError
from gans.ops import axis

Tree = TypeVar("Tree")


def rows(arrays: Tree, k: int, n: int) -> Tree:
    """What the `k`-th of `n` rounds sees of a batch that is `n` times as large: every `n`-th row.

    The rows take turns, so that each device of a mesh keeps those that it has.

    Args:
      arrays: a pytree of `[n * B, ...]`, as a batch or noise.
      k: from 0 to n - 1.
      n: how many rounds share the rows.

    Returns:
      The same of `[B, ...]`.

    Raises:
      UserError: there are not as many rows for each round.
    """
    count = len(jax.tree.leaves(arrays)[0])
    if count % n:
        raise UserError(
            f"data.batch_size is {axis.total(count)}, and {n} steps of this game share a batch: it "
            f"must be a multiple of {n}, on each device."
        )
    return jax.tree.map(lambda x: x[k::n], arrays)
