"""The mesh of devices: shardings of arrays, and transfers between host and devices.

With several processes, all of them make the same calls in the same order.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gans.core.state import GanState
from gans.errors import UserError

DATA = "data"

_SMALL = 1024  # numbers of an array that is not worth dividing

Devices = Mesh
"""The type of a mesh, for modules that pass one on without using JAX's sharding themselves."""


def make_mesh(devices: int = 0) -> Mesh:
    """A mesh of the first `devices` devices, all of them if 0, along the axis `data`.

    Raises:
      UserError: fewer devices are there, or those of some process would be left out.
    """
    count = devices or jax.device_count()
    if count > jax.device_count():
        raise UserError(
            f"mesh.data asks for {count} devices, but JAX sees {jax.device_count()}; "
            "lower it, or set it to 0 for all there are."
        )
    if jax.process_count() > 1 and count < jax.device_count():
        raise UserError(
            f"mesh.data is {count}, but {jax.process_count()} processes train together on "
            f"{jax.device_count()} devices: set it to 0."
        )
    # Auto, because explicit axes refuse to concatenate a batch with an unsharded array. Not
    # jax.make_mesh, which may choose another order: JAX counts devices process by process, and so
    # a process's share of a batch is one piece.
    return Mesh(np.asarray(jax.devices()[:count]), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def shardings(state: GanState, mesh: Mesh, *, fsdp: bool) -> GanState:
    """The sharding of each array of a state: whole on every device, or divided between them.

    Under `fsdp` every device keeps a part of the networks' parameters, optimizer states and
    averages, and the compiler gathers what a step needs (ZeRO, Rajbhandari et al. 2020,
    arXiv:1910.02054): an array is divided along its largest dimension that the number of devices
    divides. Small arrays stay whole.

    Args:
      state: of arrays, or of their shapes.
      mesh: the devices.
      fsdp: whether anything is divided at all.

    Returns:
      A `NamedSharding` in place of each array.
    """
    whole = jax.tree.map(lambda _: replicated(mesh), state)
    if not fsdp:
        return whole
    return whole.replace(nets=jax.tree.map(functools.partial(_divided, mesh), state.nets))


def _divided(mesh: Mesh, array: jax.ShapeDtypeStruct) -> NamedSharding:
    along = [i for i, size in enumerate(array.shape) if size % mesh.size == 0]
    if not along or array.size < _SMALL:
        return replicated(mesh)
    chosen = max(along, key=lambda i: array.shape[i])
    return NamedSharding(mesh, PartitionSpec(*[None] * chosen, DATA))


def gathered(tree: Any, mesh: Mesh) -> Any:
    """Inside compiled code: arrays that may be divided, whole on every device.

    What computes on networks asks for this first. Left to choose, the compiler divides a
    convolution as its kernel is, and that went wrong: on eight simulated devices gradients were
    10 % off.
    """
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


def share(batch_size: int, mesh: Mesh) -> slice:
    """The rows of a batch that this process feeds to its devices."""
    split = NamedSharding(mesh, PartitionSpec(DATA))
    rows = [index[0] for index in split.addressable_devices_indices_map((batch_size,)).values()]
    starts, stops = zip(*(row.indices(batch_size)[:2] for row in rows), strict=True)
    return slice(min(starts), max(stops))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError unless the devices can share a batch evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"data.batch_size {batch_size} cannot be split evenly over {mesh.size} devices; "
            f"use a multiple of {mesh.size}, or fewer devices with mesh.data."
        )


def check_memory(state: Any) -> None:
    """Raises UserError if a state alone takes more than the devices of this process have.

    Args:
      state: of ShapeDtypeStructs or arrays.
    """
    wanted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    devices = jax.local_devices()
    if devices[0].platform == "cpu":  # which all are of one memory
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        stats = [device.memory_stats() or {} for device in devices]
        there = sum(found.get("bytes_limit", wanted) for found in stats)
    there *= jax.process_count()
    if wanted > there:  # even if the devices divided it between them
        raise UserError(
            f"The networks with their optimizers take {wanted / 2**30:,.0f} GiB, and the devices "
            f"have {there / 2**30:,.0f} GiB: give the networks fewer features."
        )


def share_out(images: np.ndarray | jax.Array, mesh: Mesh) -> jax.Array:
    """A batch of any size, spread over the devices; the last image fills it up to a multiple."""
    more = -len(images) % mesh.size
    if more:
        images = jnp.concatenate([images, jnp.repeat(images[-1:], more, axis=0)])
    split = NamedSharding(mesh, PartitionSpec(DATA))
    # What lies on the mesh already is only moved; all else may be numpy, or on one device.
    on_mesh = isinstance(images, jax.Array) and images.sharding.device_set == split.device_set
    return jax.device_put(images, split) if on_mesh else put(images, split)


def fetch(tree: Any, mesh: Mesh) -> Any:
    """Arrays on the mesh as numpy, the whole of them in every process."""
    return jax.device_get(jax.device_put(tree, replicated(mesh)))


def largest(number: int, mesh: Mesh) -> jax.Array:
    """The largest of the numbers that processes give, int32; on its way, not waited for."""
    split = NamedSharding(mesh, PartitionSpec(DATA))
    own = np.full(jax.local_device_count(), number, np.int32)
    numbers = jax.make_array_from_process_local_data(split, own, (mesh.size,))
    return _largest(replicated(mesh))(numbers)


@functools.cache
def _largest(everywhere: NamedSharding) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(jnp.max, out_shardings=everywhere)


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Sends a tree of host arrays, of which every process has the whole, to the devices."""

    def send(array):
        array = np.asarray(array)
        # Not device_put, with which processes would compare the whole array with each other.
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(send, tree)
