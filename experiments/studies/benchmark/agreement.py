"""Whether two implementations compute the same, before anyone says which is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gans.errors import UserError

EXACT = 1e-3
"""Tolerance of float32, where both sides have the same parameters."""

TRAINED = (EXACT, 0.02, 0.02)
"""Of the losses in three iterations. Adam's first moves are of one size whatever the gradient, so
that rounding moves parameters: of the full-size conditional GAN two forms of our own were 0.0014
apart in the third iteration, and PyTorch 0.0043. Another learning rate, momentum or epsilon, or a
wrong gradient, differs by more than this."""

ROUNDED = 0.1
"""Of bfloat16, whose own numbers are 1/256 apart."""


class Differs(UserError):
    """Two sides do not compute the same; the message says in what."""


Answers = Mapping[str, np.ndarray]
"""By name: a loss term in each iteration, or images."""


def compare(ours: Answers, theirs: Answers, tolerance: float | Sequence[float]) -> dict[str, Any]:
    """How far answers to the same question are apart.

    Args:
      ours: our answers.
      theirs: those of the other side.
      tolerance: the largest difference, as a share of the largest number under a name; of each
        entry of the first axis, or of all.

    Returns:
      The `tolerance`, the `largest` difference found, as such a share, and under `terms` of
      each name our last number and theirs.

    Raises:
      Differs: they do; the message names the first that does and both values.
    """
    if set(ours) != set(theirs):
        raise Differs(
            f"The two sides do not compute the same, so nothing was timed: ours has "
            f"{', '.join(sorted(ours))}, the other {', '.join(sorted(theirs))}."
        )
    largest, terms = 0.0, {}
    for name in sorted(ours):
        a, b = np.asarray(ours[name], np.float64), np.asarray(theirs[name], np.float64)
        if a.shape != b.shape:
            raise Differs(
                f"The two sides do not compute the same, so nothing was timed: {name} has shape "
                f"{a.shape} here, {b.shape} there."
            )
        share = np.abs(a - b) / max(np.abs(a).max(), 1e-12)
        allowed = np.broadcast_to(np.array(tolerance).T, a.shape[::-1]).T  # along the first axis
        excess = np.where(np.isfinite(share), share / allowed, np.inf)
        worst = np.unravel_index(np.argmax(excess), a.shape)
        if excess[worst] > 1:
            place = "".join(f"[{i}]" for i in worst)
            raise Differs(
                f"The two sides do not compute the same, so nothing was timed: {name}{place} is "
                f"{a[worst]:.7g} here and {b[worst]:.7g} there, {share[worst]:.3g} of its size "
                f"apart where {allowed[worst]:.2g} is allowed."
            )
        largest = max(largest, float(share.max()))
        terms[name] = [float(f"{x.ravel()[-1]:.7g}") for x in (a, b)]
    return {"tolerance": tolerance, "largest": float(f"{largest:.2g}"), "terms": terms}
