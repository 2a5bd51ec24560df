"""The compiled forms of a training step.

`jax.jit` over a mesh whose one axis splits the batch, and under `fsdp` the networks; on one device
it is plain `jit`. `gans.core.update` may be mapped by hand as well, with `axis_name`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gans.parallel.mesh import DATA, gathered, replicated

Step = Callable[[Any, Any], tuple[Any, Any]]
"""`(state, batch) -> (state, metrics)`."""

ToBatch = Callable[[Any, Any], Any]
"""`(resident arrays, feed of one step) -> batch`."""

Chunk = Callable[[Any, Any, Any], tuple[Any, Any]]
"""`(state, resident arrays, feed of n steps) -> (state, metrics of n steps)`; donates the state."""


def jit_chunk(step: Step, to_batch: ToBatch, mesh: Mesh, lives: Any = None) -> Chunk:
    """Many steps in one call: `scan_chunk` on accelerators, `loop_chunk` on the CPU.

    Args:
      step: one step, pure.
      to_batch: makes a batch of one step's feed and the resident data; pure.
      mesh: its devices share each batch.
      lives: the sharding of each array of the state, from `shardings`; None keeps every array whole
        on every device.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return (loop_chunk if on_cpu else scan_chunk)(step, to_batch, mesh, lives)


def scan_chunk(step: Step, to_batch: ToBatch, mesh: Mesh, lives: Any = None) -> Chunk:
    """Steps as one compiled `lax.scan`: the host is not asked in between."""
    step = step if lives is None else _on_whole_networks(step, mesh)

    @functools.partial(_compile, mesh=mesh, lives=lives, feed=PartitionSpec(None, DATA))
    def compiled(state, resident, feed):
        return jax.lax.scan(lambda s, x: step(s, to_batch(resident, x)), state, feed)

    def chunk(state, resident, feed):
        return compiled(state, resident, _whole_batch(feed, mesh, PartitionSpec(None, DATA)))

    return chunk


def loop_chunk(step: Step, to_batch: ToBatch, mesh: Mesh, lives: Any = None) -> Chunk:
    """Steps compiled one by one.

    For the CPU, which does not feel the calls: inside a compiled loop XLA computes the weight
    gradients of convolutions there in a form that was measured 25 times slower.
    """
    step = step if lives is None else _on_whole_networks(step, mesh)

    @functools.partial(_compile, mesh=mesh, lives=lives, feed=PartitionSpec(DATA))
    def one(state, resident, feed):
        return step(state, to_batch(resident, feed))

    def chunk(state, resident, feed):
        metrics = []
        for i in range(len(jax.tree.leaves(feed)[0])):
            row = jax.tree.map(lambda x, i=i: x[i], feed)
            state, report = one(state, resident, _whole_batch(row, mesh, PartitionSpec(DATA)))
            metrics.append(report)
        return state, jax.tree.map(lambda *x: jnp.stack(x), *metrics)

    return chunk


def _on_whole_networks(step: Step, mesh: Mesh) -> Step:
    """The step with divided networks gathered where they compute, and their gradients with them.

    What they compute on is divided: all that a network takes begins with the axis of images. Noise
    is drawn whole, and left to choose, the compiler let every device make all fakes of it.
    """
    split = NamedSharding(mesh, PartitionSpec(DATA))

    def compute(apply_fn, variables, *inputs, **options):
        inputs = jax.lax.with_sharding_constraint(inputs, split)
        return apply_fn(gathered(variables, mesh), *inputs, **options)

    def run(state, batch):
        nets = {
            name: net.replace(apply_fn=functools.partial(compute, net.apply_fn))
            for name, net in state.nets.items()
        }
        after, metrics = step(state.replace(nets=nets), batch)
        nets = {n: net.replace(apply_fn=state.nets[n].apply_fn) for n, net in after.nets.items()}
        return after.replace(nets=nets), metrics

    return run


def _compile(function: Chunk, *, mesh: Mesh, lives: Any, feed: PartitionSpec) -> Chunk:
    whole = replicated(mesh)
    lives = whole if lives is None else lives
    return jax.jit(
        function,
        in_shardings=(lives, whole, NamedSharding(mesh, feed)),
        out_shardings=(lives, whole),
        donate_argnums=0,
    )


def _whole_batch(feed: Any, mesh: Mesh, split: PartitionSpec) -> Any:
    """The batch of all processes, put together from this one's rows: see `share`."""
    if jax.process_count() == 1:
        return feed
    sharding = NamedSharding(mesh, split)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), feed)
