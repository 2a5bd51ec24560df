"""The mapped axis whose devices share one batch, to whatever draws or averages over a whole batch.

Under `jax.pmap` and `jax.shard_map` a function sees its device's share of a batch; under `jax.jit`,
on one device or a mesh, the batch is one array and there is no such axis. `gans.core.update` says
which it is while the iteration is traced, so that games and networks need not pass it on.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

_NAME: contextvars.ContextVar[str | None] = contextvars.ContextVar("axis", default=None)


@contextlib.contextmanager
def mapped(name: str | None) -> Iterator[None]:
    """While it is open, what is traced sees its device's share of a batch along this axis."""
    token = _NAME.set(name)
    try:
        yield
    finally:
        _NAME.reset(token)


def name() -> str | None:
    """The axis, or None where the whole batch is seen."""
    return _NAME.get()


def mean(x: jax.Array) -> jax.Array:
    """The mean over the devices that share a batch, of what is a mean over each device's share."""
    return x if name() is None else jax.lax.pmean(x, name())


def gathered(x: jax.Array) -> jax.Array:
    """The whole batch's rows `[B, ...]`, of this device's `[b, ...]`."""
    return x if name() is None else jax.lax.all_gather(x, name(), tiled=True)


def own(x: jax.Array, rows: int) -> jax.Array:
    """This device's rows `[rows, ...]`, of the whole batch's."""
    if name() is None:
        return x
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(name()) * rows, rows)


def total(rows: int) -> int:
    """How many rows the whole batch has, of this device's."""
    return rows if name() is None else rows * jax.lax.axis_size(name())


def places(rows: int) -> jax.Array:
    """Where this device's rows stand in the whole batch, int `[rows]`."""
    return own(jnp.arange(total(rows)), rows)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Normal noise for this device's rows: what one device would draw for the whole batch.

    Args:
      key: the same on every device.
      shape: `(rows of this device, ...)`.
    """
    return _drawn(functools.partial(jax.random.normal, key), shape)


def uniform(
    key: jax.Array, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0
) -> jax.Array:
    """As `normal`, numbers in [low, high)."""
    draw = functools.partial(jax.random.uniform, key, minval=low, maxval=high)
    return _drawn(draw, shape)


def integers(key: jax.Array, shape: tuple[int, ...], low: int, high: int) -> jax.Array:
    """As `normal`, int32 in [low, high)."""
    draw = functools.partial(jax.random.randint, key, minval=low, maxval=high)
    return _drawn(draw, shape)


def _drawn(draw: Callable[[tuple[int, ...]], jax.Array], shape: tuple[int, ...]) -> jax.Array:
    """This device's rows of what is drawn for the whole batch."""
    rows, *rest = shape
    return own(draw(shape=(total(rows), *rest)), rows)
