"""All that a config and its data make: the game, the stream of batches, the compiled programs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from gans import parallel
from gans.config import build
from gans.core.state import GanState
from gans.core.types import Game, Metrics
from gans.core.update import update
from gans.data.pipeline import Feed, Pipeline, make_pipeline
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.evaluation.runner import Judge
from gans.evaluation.subject import Reference
from gans.training.recorder import snapshot


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a config and its data make, before it is known where to begin.

    Attributes:
      config: as in `configs/`.
      info: the facts about the data.
      game: who plays.
      start: from a key to the state that a new run starts from.
      mesh: the devices.
      lives: where each array of the state does.
      everywhere: the sharding of what every device has.
      pipeline: the stream of feeds.
      resident: of the data, what stays on the devices.
      advance: `(state, feed) -> (state, metrics)`, a chunk of steps that donates the state.
      preview: makes the samples.
      show: `nets -> images`, the preview compiled.
      snapshot: see `gans.training.recorder.snapshot`.
      reference: the real images to the evaluators.
      judge: the evaluators.
    """

    config: ConfigDict
    info: DataInfo
    game: Game
    start: Callable[[jax.Array], GanState]
    mesh: parallel.Devices
    lives: GanState
    everywhere: jax.sharding.Sharding
    pipeline: Pipeline
    resident: Any
    advance: Callable[[GanState, Feed], tuple[GanState, Metrics]]
    preview: Callable
    show: Callable
    snapshot: Callable
    reference: Reference
    judge: Judge


def set_up(
    config: ConfigDict,
    mesh: parallel.Devices,
    source: Source | Unpaired,
    like: Setup | None = None,
) -> Setup:
    """Builds everything but the state.

    Args:
      config: as in `configs/`.
      mesh: the devices.
      source: the data.
      like: of another run on the same data, with which to share what does not differ.

    Raises:
      UserError: the config is not right, or does not fit the data.
    """
    info, game = source.info(config.data.labels), build.game(config)
    start = build.start(config, game, info)
    preview = build.preview(config, info, source.test)
    _check_fit(start, preview, info)
    shapes = jax.eval_shape(start, jax.random.key(0))
    lives = parallel.shardings(shapes, mesh, fsdp=config.mesh.fsdp)
    pipeline = make_pipeline(
        source,
        batch_size=config.data.batch_size,
        seed=config.seed,
        labels=config.data.labels,
        resident_mib=config.data.resident_mib,
        rows=parallel.share(config.data.batch_size, mesh),
    )
    chunk = parallel.jit_chunk(functools.partial(update, game=game), pipeline.batch, mesh, lives)
    everywhere = parallel.replicated(mesh)
    resident = like.resident if like else parallel.put(pipeline.resident, everywhere)
    reference = like.reference if like else Reference(config, mesh, source)

    def advance(state: GanState, feed: Feed) -> tuple[GanState, Metrics]:
        return chunk(state, resident, feed)

    return Setup(
        config=config,
        info=info,
        game=game,
        start=start,
        mesh=mesh,
        lives=lives,
        everywhere=everywhere,
        pipeline=pipeline,
        resident=resident,
        advance=advance,
        preview=preview,
        show=jax.jit(lambda nets: preview(parallel.gathered(nets, mesh)), out_shardings=everywhere),
        snapshot=jax.jit(snapshot, out_shardings=(lives, everywhere)),
        reference=reference,
        judge=Judge(config.evaluators, info, reference),
    )


def _check_fit(start: Callable, preview: Callable, info: DataInfo) -> None:
    """Raises UserError if the networks cannot be built for these images."""
    with build.fitting():
        state = jax.eval_shape(start, jax.random.key(0))
        made = jax.eval_shape(preview, state.nets)
    parallel.check_memory(state)
    if any(0 in leaf.shape for leaf in jax.tree.leaves(state.nets)):
        raise UserError("The networks do not fit: one of them has a layer without features.")
    if made.shape[1:] != info.image_shape:
        raise UserError(
            f"A generator makes images of shape {made.shape[1:]}, but the data has "
            f"{info.image_shape}; set data.image_size and data.channels, which the networks follow."
        )
