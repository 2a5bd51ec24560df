"""The training loop.

The host stays one chunk of steps behind the device: while a chunk runs, the `Recorder` makes
metrics, pictures and checkpoints of the one before. So the device never waits for a disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gans import best, build, parallel, runs
from gans.checkpoints import Checkpoints
from gans.data.pipeline import Feed, Pipeline, make_pipeline
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.evaluation import Judge
from gans.progress import Progress
from gans.recorder import Boundary, Recorder, snapshot
from gans.schedule import is_due
from gans.state import GanState
from gans.subject import Reference
from gans.types import Metrics
from gans.update import update
from gans.writers import RunWriter


class Interrupted(Exception):
    """A signal asked the run to stop, and its state is saved. `number` is the signal's."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def run(
    config: ConfigDict, workdir: str | Path, *, source: Source | Unpaired | None = None
) -> GanState:
    """Trains as the config says, from where the run folder left off, up to `train.num_steps`.

    Args:
      config: as in `configs/`.
      workdir: the run folder, made if absent.
      source: the data, where it is not to be loaded as `config.data` says.

    Returns:
      The state at the end.

    Raises:
      UserError: the config, the data or the run folder is not right, or a loss became NaN.
      Interrupted: SIGTERM or Ctrl-C came.
    """
    workdir = Path(workdir)
    # Cheap checks first: data may take minutes to load.
    runs.check(workdir, config)
    build.check_numbers(config)
    mesh = parallel.make_mesh(config.mesh.data)
    parallel.check_batch_size(config.data.batch_size, mesh)
    game = build.game(config)
    build.nets(config)

    source = build.data_source(config.data) if source is None else source
    info = source.info(config.data.labels)
    start = build.start(config, game, info)
    preview = build.preview(config, info, source.test)
    _check_fit(start, preview, info)
    judge = Judge(config.evaluators, info, Reference(config, mesh, source))
    pipeline = make_pipeline(
        source,
        batch_size=config.data.batch_size,
        seed=config.seed,
        labels=config.data.labels,
        resident_mib=config.data.resident_mib,
    )
    chunk = parallel.jit_chunk(functools.partial(update, game=game), pipeline.batch, mesh)
    everywhere = parallel.replicated(mesh)
    resident = parallel.put(pipeline.resident, everywhere)

    def advance(state: GanState, feed: Feed) -> tuple[GanState, Metrics]:
        return chunk(state, resident, feed)

    with runs.locked(workdir):
        runs.note(workdir, config, info)
        with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints:
            state, position = _start_or_resume(start, config, everywhere, checkpoints)
            judge.prepare()
            first = position["iteration"]
            with (
                RunWriter(workdir, first) as writer,
                Progress(
                    workdir.name, first, config.train.num_steps, config.data.batch_size, info.size
                ) as progress,
                best.keeping(workdir, config) as kept,
                _signals() as interrupt,
            ):
                recorder = Recorder(
                    config, info, game.summary, preview, checkpoints, judge, kept, writer, progress
                )
                recorder.resume(position)
                loop = Loop(config, advance, pipeline, preview, judge, interrupt, state, first)
                try:
                    for boundary in one_behind(loop.boundaries()):
                        recorder.record(boundary)
                    checkpoints.wait()
                finally:
                    writer.animation()
    if loop.step < config.train.num_steps:
        raise Interrupted(
            f"Stopped by {signal.Signals(interrupt[0]).name} at step {loop.step} of "
            f"{config.train.num_steps}, which is saved; the same command goes on from there.",
            interrupt[0],
        )
    return loop.state


def _check_fit(start: Callable, preview: Callable, info: DataInfo) -> None:
    """Raises UserError if the networks cannot be built for these images."""
    with build.fitting():
        state = jax.eval_shape(start, jax.random.key(0))
        made = jax.eval_shape(preview, state.nets)
    if any(0 in leaf.shape for leaf in jax.tree.leaves(state.nets)):
        raise UserError("The networks do not fit: one of them has a layer without features.")
    if made.shape[1:] != info.image_shape:
        raise UserError(
            f"A generator makes images of shape {made.shape[1:]}, but the data has "
            f"{info.image_shape}; set data.image_size and data.channels, which the networks follow."
        )


def _start_or_resume(
    start: Callable, config: ConfigDict, sharding: jax.sharding.Sharding, checkpoints: Checkpoints
) -> tuple[GanState, dict]:
    """The newest checkpoint's state and position, or those of a new run.

    Raises:
      UserError: the run is already beyond `train.num_steps`.
    """
    key = jax.random.key(config.seed)
    shapes = jax.eval_shape(start, key)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )
    restored = checkpoints.restore(target)
    if restored is None:
        return jax.jit(start, out_shardings=sharding)(key), {"iteration": 0}
    if restored.step > config.train.num_steps:
        raise UserError(
            f"The run is at step {restored.step} already, beyond train.num_steps "
            f"{config.train.num_steps}; raise it to train on."
        )
    return restored.state, restored.position


@dataclasses.dataclass
class Loop:
    """The device's side of training.

    Attributes:
      config: as in `configs/`.
      advance: `(state, feed) -> (state, metrics)`, a chunk of steps that donates the state.
      pipeline: the stream of feeds.
      preview: makes the samples.
      judge: knows which evaluations are due.
      interrupt: the run stops after the chunk in which something was added to it.
      state: of the run, at the end of the last chunk that was started.
      step: iterations done by then.
    """

    config: ConfigDict
    advance: Callable[[GanState, Feed], tuple[GanState, Metrics]]
    pipeline: Pipeline
    preview: Callable
    judge: Judge
    interrupt: list[int]
    state: GanState
    step: int

    def boundaries(self) -> Iterator[Boundary]:
        """Starts chunk after chunk, and yields what each will leave without waiting for it."""
        train, every = self.config.train, self.config.checkpoint.every_steps
        stops = chunk_ends(self.step, train.num_steps, train.steps_per_call)
        feeds = self.pipeline.feeds(self.step, np.diff([self.step, *stops]).tolist())
        for step in stops:
            asked = time.perf_counter()
            feed = next(feeds)
            waited = time.perf_counter() - asked
            before, self.step = self.step, step
            self.state, metrics = self.advance(self.state, feed)
            end = step == train.num_steps
            last = end or bool(self.interrupt)
            sample = last or is_due(before, step, train.sample_every)
            save = last or is_due(before, step, every)
            evaluators = self.judge.due(before, step, end)
            yield Boundary(
                step,
                metrics,
                waited,
                self.preview(self.state.nets) if sample else None,
                snapshot(self.state) if save or evaluators else None,
                save,
                evaluators,
            )
            if last:
                return


def one_behind(boundaries: Iterator[Boundary]) -> Iterator[Boundary]:
    """Yields each boundary when the next chunk is on its way, and the last also if that fails."""
    waiting = next(boundaries, None)
    while waiting is not None:
        try:
            following = next(boundaries, None)
        except Exception:
            yield waiting
            raise
        yield waiting
        waiting = following


def chunk_ends(first: int, total: int, size: int) -> list[int]:
    """Where chunks end: at the multiples of `size` after `first`, and at `total`.

    Always at the same steps, wherever a run was interrupted, so that a resumed run is cut
    as an uninterrupted one.
    """
    ends = list(range((first // size + 1) * size, total, size))
    return [*ends, total] if first < total else []


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list to which the first SIGTERM or Ctrl-C is added; a second one acts as it always does."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        restore()
        # Not print, which must not be entered twice, and may be at work just now.
        os.write(2, b"\nStopping: the steps under way are finished and saved.\n")

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    # Python gives signals to the main thread alone; a run in another one is not interrupted.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        restore()
