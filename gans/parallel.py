"""Devices: the mesh, where arrays live on it, and the compiled forms of a training step.

The default form is `jax.jit` over a mesh whose one axis splits the batch; on one device
it is plain `jit`. The `shard_map` and `pmap` forms do the same by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gans.errors import UserError

DATA = "data"

Devices = Mesh
"""A mesh, to those who only pass it on."""

Step = Callable[[Any, Any], tuple[Any, Any]]
"""`(state, batch) -> (state, metrics)`."""

ToBatch = Callable[[Any, Any], Any]
"""`(resident arrays, feed of one step) -> batch`."""

Chunk = Callable[[Any, Any, Any], tuple[Any, Any]]
"""`(state, resident arrays, feed of n steps) -> (state, metrics of n steps)`; donates the state."""


def make_mesh(devices: int = 0) -> Mesh:
    """A mesh of the first `devices` devices, all of them if 0, along the axis `data`.

    Raises:
      UserError: fewer devices are there.
    """
    count = devices or jax.device_count()
    if count > jax.device_count():
        raise UserError(
            f"mesh.data asks for {count} devices, but JAX sees {jax.device_count()}; "
            "lower it, or set it to 0 for all there are."
        )
    # Auto, because explicit axes refuse to concatenate a batch with an unsharded array.
    return jax.make_mesh(
        (count,), (DATA,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError unless the devices can share a batch evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"data.batch_size {batch_size} cannot be split evenly over {mesh.size} devices; "
            f"use a multiple of {mesh.size}, or fewer devices with mesh.data."
        )


def jit_chunk(step: Step, to_batch: ToBatch, mesh: Mesh) -> Chunk:
    """Many steps in one call, in the form that suits the devices of the mesh.

    Args:
      step: one step, pure.
      to_batch: makes a batch of one step's feed and the resident data; pure.
      mesh: its devices share each batch.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return (loop_chunk if on_cpu else scan_chunk)(step, to_batch, mesh)


def scan_chunk(step: Step, to_batch: ToBatch, mesh: Mesh) -> Chunk:
    """Steps as one compiled `lax.scan`: the host is not asked in between."""

    def chunk(state, resident, feed):
        return jax.lax.scan(lambda s, x: step(s, to_batch(resident, x)), state, feed)

    return _compile(chunk, mesh, PartitionSpec(None, DATA))


def loop_chunk(step: Step, to_batch: ToBatch, mesh: Mesh) -> Chunk:
    """Steps compiled one by one.

    For the CPU, which does not feel the calls: inside a compiled loop XLA computes the weight
    gradients of convolutions there in a form that was measured 25 times slower.
    """
    one = _compile(lambda s, resident, x: step(s, to_batch(resident, x)), mesh, PartitionSpec(DATA))

    def chunk(state, resident, feed):
        metrics = []
        for i in range(len(jax.tree.leaves(feed)[0])):
            state, report = one(state, resident, jax.tree.map(lambda x, i=i: x[i], feed))
            metrics.append(report)
        return state, jax.tree.map(lambda *x: jnp.stack(x), *metrics)

    return chunk


def _compile(function: Chunk, mesh: Mesh, feed: PartitionSpec) -> Chunk:
    whole = replicated(mesh)
    return jax.jit(
        function,
        in_shardings=(whole, whole, NamedSharding(mesh, feed)),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )


def shard_map_step(step: Step, mesh: Mesh) -> Step:
    """A step given `axis_name=DATA`, for whole batches that the devices of the mesh share."""
    return jax.jit(
        jax.shard_map(
            step,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(DATA)),
            out_specs=(PartitionSpec(), PartitionSpec()),
            # With the check on, pmean of gradients leaves them too large by the number of devices.
            check_vma=False,
        )
    )


def pmap_step(step: Step, devices: list[jax.Device]) -> Step:
    """A step given `axis_name=DATA`, for whole batches that `jax.pmap` splits over devices."""
    mapped = jax.pmap(
        step, axis_name=DATA, in_axes=(None, 0), out_axes=(None, None), devices=devices
    )

    def run(state, batch):
        count = len(devices)
        shares = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
        return mapped(state, shares)

    return run


def share_out(images: np.ndarray | jax.Array, mesh: Mesh) -> jax.Array:
    """A batch of any size, spread over the devices; the last image fills it up to a multiple."""
    more = -len(images) % mesh.size
    if more:
        images = jnp.concatenate([images, jnp.repeat(images[-1:], more, axis=0)])
    return jax.device_put(images, NamedSharding(mesh, PartitionSpec(DATA)))


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Sends a tree of host arrays to the devices."""
    return jax.tree.map(lambda x: jax.device_put(np.asarray(x), sharding), tree)
