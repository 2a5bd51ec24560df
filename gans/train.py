"""The training loop: chunks of steps on the device, and what is made of them on the host.

The host stays one chunk behind. While the device runs a chunk, the host writes what came
out of the one before: metrics, sample grids, checkpoints. So the device never waits for a
disk or a picture.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gans import build, parallel, runs
from gans.checkpoints import Checkpoints
from gans.data.pipeline import Pipeline, make_pipeline
from gans.data.source import DataInfo, Source
from gans.errors import UserError
from gans.progress import Progress
from gans.sampling import Preview
from gans.state import GanState
from gans.types import Metrics
from gans.update import update
from gans.writers import RunWriter


class Interrupted(Exception):
    """A signal asked the run to stop, and its state is saved. `number` is the signal's."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


class Boundary(NamedTuple):
    """What the device leaves at the end of a chunk; the arrays may still be on their way.

    Attributes:
      step: iterations done.
      metrics: those of each of the chunk's steps, stacked.
      images: samples, where some are due.
      snapshot: a copy of the state and which of its networks are finite, where a
        checkpoint is due.
    """

    step: int
    metrics: Metrics
    images: jax.Array | None
    snapshot: tuple[GanState, Mapping[str, jax.Array]] | None


def run(config: ConfigDict, workdir: str | Path, *, source: Source | None = None) -> GanState:
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
    build.check_counts(config)
    mesh = parallel.make_mesh(config.mesh.data)
    parallel.check_batch_size(config.data.batch_size, mesh)
    game = build.game(config)
    build.nets(config)

    source = source or build.data_source(config.data)
    info = source.info(config.data.labels)
    start = build.start(config, game, info)
    preview = Preview(
        config.game.latent_dim, info, config.train.sample_rows, config.train.sample_columns
    )
    _check_fit(start, preview, info)
    runs.note(workdir, config, info)
    pipeline = make_pipeline(
        source,
        batch_size=config.data.batch_size,
        seed=config.seed,
        labels=config.data.labels,
        resident_mib=config.data.resident_mib,
    )
    step = functools.partial(update, game=game)
    chunk = parallel.jit_chunk(step, pipeline.batch, mesh)
    resident = parallel.put(pipeline.resident, parallel.replicated(mesh))

    with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints:
        state, first = _start_or_resume(start, config.seed, parallel.replicated(mesh), checkpoints)
        progress = Progress(
            workdir.name, first, config.train.num_steps, config.data.batch_size, info.size
        )
        with RunWriter(workdir, first) as writer, progress, _signals() as interrupt:
            recorder = Recorder(config, info, game.summary, preview, checkpoints, writer, progress)

            def advance(state, feed):
                return chunk(state, resident, feed)

            state = _loop(config, state, first, advance, pipeline, preview, recorder, interrupt)
            writer.animation()
    return state


def _check_fit(start: Callable, preview: Preview, info: DataInfo) -> None:
    """Raises UserError if the networks cannot be built for these images."""
    try:
        made = jax.eval_shape(lambda key: preview(start(key).nets["generator"]), jax.random.key(0))
    except ValueError as error:
        raise UserError(f"The networks do not fit the data: {error}.") from error
    if made.shape[1:] != info.image_shape:
        raise UserError(
            f"The generator makes images of shape {made.shape[1:]}, but the data has "
            f"{info.image_shape}; set data.image_size and data.channels, which the networks follow."
        )


def _start_or_resume(
    start: Callable, seed: int, sharding: jax.sharding.Sharding, checkpoints: Checkpoints
) -> tuple[GanState, int]:
    """The newest checkpoint's state, or a new one, and the iteration the data goes on from."""
    key = jax.random.key(seed)
    shapes = jax.eval_shape(start, key)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )
    restored = checkpoints.restore(target)
    if restored is None:
        return jax.jit(start, out_shardings=sharding)(key), 0
    return restored.state, restored.position["iteration"]


def _loop(
    config: ConfigDict,
    state: GanState,
    first: int,
    advance: Callable,
    pipeline: Pipeline,
    preview: Preview,
    recorder: Recorder,
    interrupt: list[int],
) -> GanState:
    """Runs chunk after chunk, handing each boundary to the recorder while the next one runs."""
    total, size = config.train.num_steps, config.train.steps_per_call
    stops = chunk_ends(first, total, size)
    lengths = np.diff([first, *stops]).tolist()
    before, waiting = first, None
    for step, feed in zip(stops, pipeline.feeds(first, lengths), strict=True):
        state, metrics = advance(state, feed)
        last = step == total or bool(interrupt)
        boundary = Boundary(
            step,
            metrics,
            preview(state.nets["generator"])
            if last or is_due(before, step, config.train.sample_every)
            else None,
            snapshot(state)
            if last or is_due(before, step, config.checkpoint.every_steps)
            else None,
        )
        before = step
        if waiting is not None:
            recorder.record(waiting)
        waiting = boundary
        if last:
            break
    if waiting is not None:
        recorder.record(waiting)
        recorder.finish()
    if before < total:
        raise Interrupted(
            f"Stopped by {signal.Signals(interrupt[0]).name} at step {before} of {total}, which is "
            "saved; the same command goes on from there.",
            interrupt[0],
        )
    return state


def chunk_ends(first: int, total: int, size: int) -> list[int]:
    """Where chunks end: at the multiples of `size` after `first`, and at `total`.

    Always at the same steps, wherever a run was interrupted, so that a resumed run is cut
    as an uninterrupted one.
    """
    ends = list(range((first // size + 1) * size, total, size))
    return [*ends, total] if first < total else []


def is_due(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in `(before, after]`; never, if `every` is 0."""
    return every > 0 and before // every < after // every


@jax.jit
def snapshot(state: GanState) -> tuple[GanState, dict[str, jax.Array]]:
    """A copy that survives the donation of the state, and whether each network is finite."""
    finite = {
        name: jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(net.params)]))
        for name, net in state.nets.items()
    }
    return jax.tree.map(jnp.copy, state), finite


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list to which the first SIGTERM or Ctrl-C is added; a second one acts as it always does."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        print("Stopping: the steps under way are finished and saved.", file=sys.stderr)
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Recorder:
    """The host's side of a boundary: checks, logs, pictures, checkpoints."""

    def __init__(
        self,
        config: ConfigDict,
        info: DataInfo,
        summary: Callable[[Metrics], Metrics],
        preview: Preview,
        checkpoints: Checkpoints,
        writer: RunWriter,
        progress: Progress,
    ):
        self._every, self._batch_size = config.train.log_every, config.data.batch_size
        self._info, self._summary, self._preview = info, summary, preview
        self._checkpoints, self._writer, self._progress = checkpoints, writer, progress
        self._window: list[dict[str, np.ndarray]] = []
        self._logged = 0

    def record(self, boundary: Boundary) -> None:
        """Handles one boundary, in order; blocks until the device has come to it.

        Raises:
          UserError: a loss or a network is not finite. Nothing of it was saved.
        """
        step, metrics = boundary.step, jax.device_get(boundary.metrics)
        count = len(next(iter(metrics.values())))
        self._check_losses(step - count, metrics)
        self._progress.advance(step)
        self._window.append(metrics)
        epoch = step * self._batch_size / self._info.size
        if is_due(step - count, step, self._every):
            self._log(step, epoch)
        if boundary.images is not None:
            title = f"step {step:,}, epoch {epoch:.1f}"
            picture = self._preview.picture(np.asarray(boundary.images), title)
            self._writer.samples(step, epoch, picture)
        if boundary.snapshot is not None:
            self._save(step, *boundary.snapshot)

    def finish(self) -> None:
        """Waits until the last checkpoint is on disk."""
        self._checkpoints.wait()

    def _log(self, step: int, epoch: float) -> None:
        means = {
            name: float(np.mean(np.concatenate([metrics[name] for metrics in self._window])))
            for name in self._window[0]
        }
        self._window.clear()
        summary = self._summary(means)
        speed = self._progress.report(step, summary)
        extra = {"epoch": epoch, "images_per_second": speed}
        self._writer.metrics(step, extra | summary | means)

    def _save(self, step: int, state: GanState, finite: Mapping[str, jax.Array]) -> None:
        for name, is_finite in finite.items():
            if not is_finite:
                raise UserError(self._diverged(f"a parameter of the {name}", step))
        self._checkpoints.save(step, state, {"iteration": step})

    def _check_losses(self, before: int, metrics: Mapping[str, np.ndarray]) -> None:
        wrong = {name: np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
        first = min((where[0] for where in wrong.values() if len(where)), default=None)
        if first is None:
            return
        names = [name for name, where in wrong.items() if len(where) and where[0] == first]
        # A term is a better clue than the weighted sum it spoiled.
        terms = [name for name in names if not name.endswith(("/loss", "_weighted"))]
        raise UserError(self._diverged(" and ".join(terms or names), before + int(first) + 1))

    def _diverged(self, what: str, step: int) -> str:
        self._checkpoints.wait()
        kept = self._checkpoints.latest_step()
        saved = (
            "there is no checkpoint yet"
            if kept is None
            else f"the checkpoint of step {kept} is good"
        )
        return (
            f"Training diverged: {what} became NaN or infinite at step {step}; {saved}. "
            "Start a new run with a lower learning rate or another loss.adversarial."
        )
