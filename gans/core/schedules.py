"""Schedules: values that follow the iterations, or the moves of a network, that are done."""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from gans.errors import UserError


def schedule(
    name: str, *, steps: int, begin: float = 1.0, end: float = 1.0, warmup: int = 0
) -> Callable[[jax.Array], jax.Array | float]:
    """A value as a function of the steps done, such as a factor of a loss term's weight.

    Args:
      name: "constant", "linear", or "cosine", of which the last moves slowly at first and at last
        (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, without restarts).
      steps: from `begin` to `end`, those of `warmup` included; `end` from then on.
      begin: the value at first.
      end: the value at last.
      warmup: steps in which the value first rises linearly from 0 to `begin`.

    Raises:
      UserError: there is no schedule of that name.
    """
    length = max(1, steps - warmup)
    known = {
        "constant": lambda step: begin,
        "linear": optax.linear_schedule(begin, end, length),
        "cosine": lambda step: end + (begin - end) * optax.cosine_decay_schedule(1.0, length)(step),
    }
    if name not in known:
        raise UserError(f"No schedule is called {name!r}; choose one of {', '.join(known)}.")
    if not warmup:
        return known[name]
    return optax.join_schedules([optax.linear_schedule(0.0, begin, warmup), known[name]], [warmup])
