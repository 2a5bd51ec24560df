"""What a compiled program asks of a device: operations and memory, as XLA counts them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax


class Demand(NamedTuple):
    """Of one call of a program.

    Attributes:
      flop: floating-point operations, a multiplication and an addition being two.
      temporary_mib: memory for what it computes on the way.
      argument_mib: memory of what it is given.
    """

    flop: float
    temporary_mib: float
    argument_mib: float


def demand(function: Any, *args: Any, **options: Any) -> Demand:
    """Compiles a function for some arguments and asks what it takes.

    On the CPU the operations are those that are left when XLA has merged what is alike. Its
    programs for accelerators call libraries, of whose work it knows nothing; there the
    operations are counted before, and may be a few too many.

    Args:
      function: pure.
      *args: its arguments, or their shapes.
      **options: for `jax.jit`.
    """
    lowered = jax.jit(function, **options).lower(*args)
    compiled = lowered.compile()
    on_cpu = jax.default_backend() == "cpu"
    cost = (compiled if on_cpu else lowered).cost_analysis() or {}
    memory = compiled.memory_analysis()
    temporary = getattr(memory, "temp_size_in_bytes", 0)
    given = getattr(memory, "argument_size_in_bytes", 0)
    return Demand(float(cost.get("flops", 0.0)), temporary / 2**20, given / 2**20)
