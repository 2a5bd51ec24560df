"""The compiled program of a training: its initialisation, and its training step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun
from ml_collections import ConfigDict

from gans import parallel
from gans.config import build
from gans.config.build import Experiment
from gans.core.state import GanState
from gans.core.types import Metrics
from gans.core.update import update
from gans.data.pipeline import Feed, Pipeline, make_pipeline
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError


@dataclasses.dataclass(frozen=True)
class Program:
    """An experiment compiled for its data and devices, without a state to start from.

    Attributes:
      experiment: the experiment.
      info: the facts about the data.
      mesh: the devices.
      begin: `key -> state`, the state that a new run starts from, on the devices.
      shapes: the state as abstract arrays, each with its sharding.
      pipeline: the stream of feeds.
      resident: the part of the data that stays on the devices.
      advance: `(state, feed) -> (state, metrics)`, a chunk of steps that donates the state.
    """

    experiment: Experiment
    info: DataInfo
    mesh: parallel.Devices
    begin: Callable[[jax.Array], GanState]
    shapes: GanState
    pipeline: Pipeline
    resident: Any
    advance: Callable[[GanState, Feed], tuple[GanState, Metrics]]

    @property
    def config(self) -> ConfigDict:
        """As in `configs/`."""
        return self.experiment.config

    @property
    def shardings(self) -> GanState:
        """The sharding of each array of the state."""
        return shardings(self.shapes)


def make(
    experiment: Experiment,
    mesh: parallel.Devices,
    source: Source | Unpaired,
    resident: Any = None,
) -> Program:
    """The program of an experiment on some devices; initialisation is traced once.

    Args:
      experiment: the experiment.
      mesh: the devices.
      source: the data.
      resident: the `resident` of another program on the same data and devices, to share it; None
        sends the data to the devices.

    Raises:
      UserError: the experiment does not fit the data, or its state the memory.
    """
    config, info = experiment.config, source.info(experiment.config.data.labels)
    _check_shares(config.data.batch_size, experiment.game.shares, mesh)
    begin, shapes = _initialisation(experiment, info, mesh)
    pipeline = make_pipeline(
        source,
        batch_size=config.data.batch_size,
        seed=config.seed,
        labels=config.data.labels,
        resident_mib=config.data.resident_mib,
        rows=parallel.share(config.data.batch_size, mesh),
    )
    if resident is None:
        resident = parallel.put(pipeline.resident, parallel.replicated(mesh))
    step = functools.partial(update, game=experiment.game)
    chunk = parallel.jit_chunk(step, pipeline.batch, mesh, shardings(shapes))

    def advance(state: GanState, feed: Feed) -> tuple[GanState, Metrics]:
        return chunk(state, resident, feed)

    return Program(experiment, info, mesh, begin, shapes, pipeline, resident, advance)


def _check_shares(batch_size: int, shares: int, mesh: parallel.Devices) -> None:
    if batch_size % (shares * mesh.size):
        raise UserError(
            f"data.batch_size is {batch_size}, and {shares} steps of an iteration share it, on "
            f"{mesh.size} devices: it must be a multiple of {shares * mesh.size}."
        )


def placed(shapes: GanState, mesh: parallel.Devices, *, fsdp: bool) -> GanState:
    """An abstract state, each array with its sharding: see `gans.parallel.shardings`."""
    lives = parallel.shardings(shapes, mesh, fsdp=fsdp)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes, lives
    )


def shardings(shapes: GanState) -> GanState:
    """The sharding of each array of an abstract state."""
    return jax.tree.map(lambda x: x.sharding, shapes)


def _initialisation(
    experiment: Experiment, info: DataInfo, mesh: parallel.Devices
) -> tuple[Callable[[jax.Array], GanState], GanState]:
    """The compiled function that creates the state, each array with its sharding, and its shapes.

    Raises:
      UserError: the networks cannot be built for these images, or take more memory than there is.
    """
    with build.fitting():
        traced, shapes = jax.make_jaxpr(experiment.start(info), return_shape=True)(
            jax.random.key(0)
        )
    parallel.check_memory(shapes)
    experiment.game.check(shapes.nets)
    if any(0 in leaf.shape for leaf in jax.tree.leaves(shapes.nets)):
        raise UserError("The networks do not fit: one of them has a layer without features.")
    shapes = placed(shapes, mesh, fsdp=experiment.config.mesh.fsdp)
    kind = jax.tree.structure(shapes)

    def begin(key: jax.Array) -> GanState:
        return jax.tree.unflatten(kind, jaxpr_as_fun(traced)(key))

    return jax.jit(begin, out_shardings=shardings(shapes)), shapes
