"""The one check that numbers are finite, of weights wherever they come from."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gans.errors import UserError


def require(tree: Any, what: str, advice: str) -> None:
    """Raises UserError if a number in a tree of arrays is NaN or infinite.

    Args:
      tree: of arrays of any type; those of other than floating-point numbers are finite.
      what: what the message begins with, the name of the tree.
      advice: what to do, which ends the message.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        values = np.asarray(leaf)
        # In numpy, the types that it does not know itself, such as bfloat16, are of kind V.
        if values.dtype.kind not in "fcV":
            continue
        wrong = values.size - np.count_nonzero(np.isfinite(values))
        if wrong:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(
                f"{what}: {wrong:,} of the {values.size:,} numbers in {name} are not finite; "
                f"{advice}"
            )
