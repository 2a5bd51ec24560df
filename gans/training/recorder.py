"""Records a training on the host: checks for NaN, metrics, checkpoints, pictures, evaluations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

from gans.core.due import is_due
from gans.core.state import GanState
from gans.core.types import Metrics
from gans.errors import UserError
from gans.parallel import hosts
from gans.runs import evaluation_record
from gans.runs.open_run import OpenRun
from gans.runs.standing import unjudged
from gans.training.alarms import Alarms
from gans.training.setup import Setup
from gans.training.stopping import Abandoned, Watch
from gans.training.stopwatch import Stopwatch


class Boundary(NamedTuple):
    """The results at the end of a chunk; the arrays may not be computed yet.

    Attributes:
      step: the number of iterations done.
      metrics: the metrics of each step of the chunk, stacked.
      begun: the time at which the host began the chunk, from `time.perf_counter`.
      waited: seconds that the host waited for the chunk's data.
      ended: a future with the time at which the metrics were computed, from `time.perf_counter`.
      is_sampled: whether samples are due.
      images: the samples, if they are due and made.
      snapshot: a copy of the state, and which of its networks are finite; None where neither a
        checkpoint nor an evaluation is due.
      save: whether a checkpoint is due.
      evaluators: the names of the evaluators that are due.
      only_save: whether the run stops here, and leaves other work that is due to its next start.
    """

    step: int
    metrics: Metrics
    begun: float
    waited: float
    ended: Future[float]
    is_sampled: bool
    images: jax.Array | None
    snapshot: tuple[GanState, Mapping[str, jax.Array]] | None
    save: bool
    evaluators: Sequence[str]
    only_save: bool


class Recorder:
    """Handles the boundaries of a training on the host: checks, logs, checkpoints, pictures.

    A checkpoint is saved before work that takes longer, and its position says which work was due.
    So the next start can do it if the run ends in between.

    Args:
      setup: the setup of the training.
      run: the open run folder.
      watch: reports signals that ask to stop.
      say: is given a sentence where an alarm begins; what shows the run's progress, if None.
    """

    def __init__(
        self, setup: Setup, run: OpenRun, watch: Watch, say: Callable[[str], None] | None = None
    ):
        program = setup.program
        self._config, self._info = program.config, program.info
        self._summary, self._preview = program.experiment.game.summary, setup.preview
        self._evaluation, self._watch = setup.evaluation, watch
        self._checkpoints, self._best = run.checkpoints, run.best
        self._writer, self._progress = run.writer, run.progress
        self._reference, self._alarms = setup.reference, Alarms(run, say or run.progress.note)
        # Sums over the steps since the last line of metrics, and how many they are.
        self._sums: dict[str, float] = {}
        self._count = 0
        self._stopwatch = Stopwatch()

    def resume(
        self,
        position: dict,
        copy: Callable[[], GanState],
        show: Callable[[GanState], jax.Array],
        record: Sequence[Mapping[str, Any]],
    ) -> bool:
        """Restores the sums of a checkpoint's position, and does the work that was due there.

        Args:
          position: the position of the checkpoint.
          copy: makes a copy of the checkpoint's state.
          show: makes samples from a state.
          record: the evaluations so far, as `evaluation_record.read` returns them.

        Returns:
          Whether a signal interrupted this work, so that the next start has to do it.
        """
        self._sums, self._count = dict(position.get("sums", {})), position.get("count", 0)
        step = position["iteration"]
        self._alarms.resume(step, self._reference.pixels)
        # The first process alone knows what pictures there are, and all have to make them.
        missing = position.get("picture", False) and not self._writer.has_samples(step)
        if hosts.of_first(missing):
            self._picture(step, show(copy()))
        due = unjudged(position, record, self._config.evaluators)
        if self._best is not None and step:
            here = [line for line in record if line["step"] == step]
            due += [name for name in self._best.lacks(here) if name not in due]
        return bool(due) and not self._evaluate(step, due, copy(), position)

    def record(self, boundary: Boundary) -> bool:
        """Handles one boundary, in order; blocks until the device has come to it.

        Returns:
          Whether the run is to end here, with this state, because a signal came.

        Raises:
          UserError: a loss or a network is not finite, and nothing of it was saved; or the record
            or a checkpoint cannot be written.
        """
        step, metrics = boundary.step, jax.device_get(boundary.metrics)
        count = len(next(iter(metrics.values())))
        self._check_losses(step - count, metrics)
        self._stopwatch.add(count, boundary.begun, boundary.ended.result(), boundary.waited)
        self._progress.advance(step)
        self._count += count
        for name, values in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(np.sum(values, dtype=np.float64))
        if is_due(step - count, step, self._config.train.log_every):
            self._log(step)
        if boundary.save:
            self.keep(boundary)
        elif boundary.snapshot is not None:
            self._check_networks(boundary)
        if boundary.only_save:
            return False
        if boundary.save and self._watch.is_urgent():
            return True
        if boundary.images is not None:
            self._picture(step, boundary.images)
        if not boundary.evaluators:
            return False
        position = self._position(boundary)
        return not self._evaluate(step, boundary.evaluators, boundary.snapshot[0], position)

    def keep(self, boundary: Boundary) -> None:
        """Saves the state of a boundary, unless it has been.

        Raises:
          UserError: a network is not finite, or the checkpoint before could not be written.
        """
        self._check_networks(boundary)
        self._checkpoints.save(boundary.step, boundary.snapshot[0], self._position(boundary))

    def _position(self, boundary: Boundary) -> dict:
        return {
            "iteration": boundary.step,
            "sums": self._sums,
            "count": self._count,
            "picture": boundary.is_sampled,
            "evaluators": list(boundary.evaluators),
        }

    def _epoch(self, step: int) -> float:
        return step * self._config.data.batch_size / self._info.size

    def _log(self, step: int) -> None:
        """Writes the means of the steps since the last line."""
        means = {name: total / self._count for name, total in self._sums.items()}
        summary = self._summary(means)
        lap = self._stopwatch.lap()
        extra = {"epoch": self._epoch(step)}
        if lap is not None:
            speed = self._config.data.batch_size / lap.training
            extra |= {"images_per_second": speed, "data_wait": lap.waiting}
        self._progress.report(step, summary, lap)
        self._writer.metrics(step, extra | summary | means)
        self._alarms.logged(step, summary)
        self._sums, self._count = {}, 0

    def _picture(self, step: int, images: jax.Array) -> None:
        epoch, images = self._epoch(step), np.asarray(images)
        # First, because the next start looks again only where there is no picture.
        if (made := getattr(self._preview, "made", None)) is not None:
            self._alarms.shown(step, made(images))
        title = f"step {step:,}, epoch {epoch:.1f}"
        self._writer.samples(step, epoch, self._preview.picture(images, title))

    def _check_networks(self, boundary: Boundary) -> None:
        for name, is_finite in boundary.snapshot[1].items():
            if not is_finite:
                raise UserError(self._diverged(f"a number in the {name}", boundary.step))

    def _evaluate(
        self, step: int, evaluators: Sequence[str], state: GanState, position: dict
    ) -> bool:
        """Evaluates, and keeps what is best; False if a signal came before the end."""
        try:
            with self._watch.abandoning():
                lines = self._evaluation.run(state.nets, step, evaluators)
        except Abandoned:
            return False
        if self._best is not None:
            self._best.offer(lines, state, position)
        self._alarms.evaluated(step, lines)  # first, as with pictures
        self._writer.evaluations(lines)
        self._progress.note(*map(evaluation_record.in_words, lines))
        return True

    def _check_losses(self, before: int, metrics: Mapping[str, np.ndarray]) -> None:
        wrong = {name: np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
        first = min((where[0] for where in wrong.values() if len(where)), default=None)
        if first is None:
            return
        if self._count:
            self._log(before)  # the last numbers before the end are the ones of interest
        names = [name for name, where in wrong.items() if len(where) and where[0] == first]
        # A term is a better clue than the weighted sum it spoiled.
        terms = [name for name in names if not name.endswith(("/loss", "_weighted"))]
        raise UserError(self._diverged(" and ".join(terms or names), before + int(first) + 1))

    def _diverged(self, what: str, step: int) -> str:
        with contextlib.suppress(UserError):  # a save that failed is no checkpoint either
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
