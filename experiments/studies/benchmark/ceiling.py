"""The most a device was seen to do: matrix products, and moving numbers through memory.

What a program reaches is told as a share of this, and not of what a data sheet promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_REPEATS = 5
SMALL = (1024, 2048)  # square matrices, on the CPU
LARGE = (4096, 8192)  # and on accelerators
_FEW, _MANY = 2**25, 2**28  # numbers that are moved


class Ours:
    """By jax."""

    def measure(self, dtype: str) -> dict[str, Any]:
        """FLOP/s of matrix products in `dtype`, and bytes/s, each the best of some tries."""
        on_cpu = jax.default_backend() == "cpu"
        product, move = jax.jit(jnp.matmul), jax.jit(lambda x: 2.0 * x + 1.0)
        rates = []
        for size in SMALL if on_cpu else LARGE:
            x = jnp.ones((size, size), dtype)
            seconds = best(lambda x=x: jax.block_until_ready(product(x, x)))
            rates.append(2.0 * size**3 / seconds)
        x = jnp.ones(_FEW if on_cpu else _MANY, jnp.float32)
        seconds = best(lambda: jax.block_until_ready(move(x)))
        return {
            "dtype": dtype,
            "device": jax.devices()[0].device_kind,
            "flop_per_second": max(rates),
            "bytes_per_second": 2 * x.nbytes / seconds,
        }


def best(function: Callable[[], Any]) -> float:
    """The least seconds of some calls, after one to compile."""
    function()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
