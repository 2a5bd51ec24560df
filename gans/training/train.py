"""The training of one run.

The host stays one chunk of steps behind the device: while a chunk runs, the `Recorder` makes
metrics, pictures and checkpoints of the one before. So the device never waits for a disk.
"""

from __future__ import annotations

import functools
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gans import parallel
from gans.config import build, schema
from gans.core.state import GanState
from gans.data.source import Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.files import paths
from gans.parallel import hosts
from gans.runs import best, evaluation_record, lengths, run_folder
from gans.runs.checkpoints import Checkpoints
from gans.runs.writers import NoWriter, RunWriter, say
from gans.training import stopping
from gans.training.loop import Loop
from gans.training.progress import Progress
from gans.training.recorder import Recorder
from gans.training.setup import Setup, set_up


class Interrupted(Exception):
    """A signal asked the run to stop, and its state is saved. `number` is the signal's."""

    def __init__(self, loop: Loop, total: int):
        super().__init__(
            f"Stopped by {signal.Signals(loop.stopped_by).name} at step {loop.step} of {total}, "
            "which is saved; the same command goes on from there."
        )
        self.number = loop.stopped_by


def run(
    config: ConfigDict, workdir: str | Path, *, source: Source | Unpaired | None = None
) -> GanState:
    """Trains as the config says, from where the run folder left off, up to `train.num_steps`.

    With several processes, all of them call it alike.

    Args:
      config: as in `configs/`.
      workdir: the run folder, made if absent; one that all processes share.
      source: the data, where it is not to be loaded as `config.data` says.

    Returns:
      The state at the end.

    Raises:
      UserError: the config, the data or the run folder is not right, a loss became NaN, or a
        checkpoint or the record could not be written.
      Interrupted: SIGTERM, SIGHUP or Ctrl-C came.
    """
    workdir = paths.expanded(workdir)
    # Cheap checks first: data may take minutes to load.
    config = lengths.as_begun(workdir, config)
    hosts.require_same(schema.flatten(schema.to_plain(config)))
    run_folder.check(workdir, config)
    build.check_numbers(config)
    mesh = parallel.make_mesh(config.mesh.data)
    parallel.check_batch_size(config.data.batch_size, mesh)
    build.game(config)
    build.nets(config)

    if hosts.is_first():
        say(f"{workdir.name}: reading the data.")
    with hosts.first_ahead():  # which may have to download the data for all
        source = build.data_source(config.data) if source is None else source
    config = lengths.of_data(config, source)
    setup = set_up(config, mesh, source)
    with (
        run_folder.opened(workdir, config, setup.info),
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints,
    ):
        loop = _train(setup, workdir, checkpoints)
    if loop.stopped_by:
        raise Interrupted(loop, config.train.num_steps)
    return loop.state


def _train(setup: Setup, workdir: Path, checkpoints: Checkpoints) -> Loop:
    """Trains to the end, or until asked to stop."""
    config, info = setup.config, setup.info
    state, position = _start_or_resume(setup, checkpoints)
    setup.judge.prepare()
    first, total = position["iteration"], config.train.num_steps
    with (
        Progress(
            workdir.name,
            first,
            total,
            config.data.batch_size,
            info.size,
            shown=hosts.is_first(),
        ) as progress,
        RunWriter(workdir, first, progress.note) if hosts.is_first() else NoWriter() as writer,
        best.keeping(workdir, config) as kept,
    ):
        progress.begin(config.train.log_every)
        with stopping.watched(setup.mesh) as watch:
            recorder = Recorder(
                config,
                info,
                setup.game.summary,
                setup.preview,
                checkpoints,
                setup.judge,
                kept,
                writer,
                progress,
                watch,
            )
            loop = Loop(setup, watch, state, first)
            record = hosts.of_first(evaluation_record.read(workdir) if hosts.is_first() else None)
            copy = functools.partial(jax.tree.map, jnp.copy, state)
            if recorder.resume(position, copy, lambda state: setup.show(state.nets), record):
                loop.stop(first)
            else:
                _go_on(loop, recorder)
            checkpoints.wait()
        if not loop.stopped_by:
            writer.animation()
    return loop


def _go_on(loop: Loop, recorder: Recorder) -> None:
    for boundary in loop.boundaries():
        if recorder.record(boundary):
            recorder.keep(boundary)
            loop.stop(boundary.step)
            return


def _start_or_resume(setup: Setup, checkpoints: Checkpoints) -> tuple[GanState, dict]:
    """The newest checkpoint's state and position, or those of a new run.

    Every device is only ever given what is to live on it.

    Raises:
      UserError: the run is already beyond `train.num_steps`.
    """
    key, config = jax.random.key(setup.config.seed), setup.config
    target = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(setup.start, key),
        setup.lives,
    )
    restored = checkpoints.restore(target)
    if restored is None:
        return jax.jit(setup.start, out_shardings=setup.lives)(key), {"iteration": 0}
    if restored.step > config.train.num_steps:
        raise UserError(
            f"The run is at step {restored.step} already, beyond train.num_steps "
            f"{config.train.num_steps}; raise it to train on."
        )
    return restored.state, restored.position
