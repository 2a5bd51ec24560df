"""A training step mapped by hand over devices, which must do what `jax.jit` over a mesh does."""

import jax
from jax.sharding import PartitionSpec

from gans.parallel import DATA


def shard_map_step(step, mesh):
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


def pmap_step(step, devices):
    """A step given `axis_name=DATA`, for whole batches that `jax.pmap` splits over devices."""
    mapped = jax.pmap(
        step, axis_name=DATA, in_axes=(None, 0), out_axes=(None, None), devices=devices
    )

    def run(state, batch):
        count = len(devices)
        shares = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
        return mapped(state, shares)

    return run
