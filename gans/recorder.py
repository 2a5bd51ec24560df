"""What the host makes of training: metrics, pictures, checkpoints, and an alarm."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gans import evaluation
from gans.best import Best
from gans.checkpoints import Checkpoints
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.evaluation import Judge
from gans.progress import Progress
from gans.schedule import is_due
from gans.state import GanState, NetState
from gans.types import Metrics
from gans.writers import RunWriter


class Boundary(NamedTuple):
    """What the device leaves at the end of a chunk; the arrays may still be on their way.

    Attributes:
      step: iterations done.
      metrics: those of each of the chunk's steps, stacked.
      waited: seconds that the host waited for the chunk's data.
      images: samples, where some are due.
      snapshot: a copy of the state and which of its networks are finite, where a
        checkpoint or an evaluation is due.
      save: whether a checkpoint is due.
      evaluators: names of those that are due.
    """

    step: int
    metrics: Metrics
    waited: float
    images: jax.Array | None
    snapshot: tuple[GanState, Mapping[str, jax.Array]] | None
    save: bool
    evaluators: Sequence[str]


def snapshot(state: GanState) -> tuple[GanState, dict[str, jax.Array]]:
    """A copy that survives the donation of the state, and whether each network is finite."""

    def is_finite(net: NetState) -> jax.Array:
        numbers = [x for x in jax.tree.leaves(net) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))

    finite = {name: is_finite(net) for name, net in state.nets.items()}
    return jax.tree.map(jnp.copy, state), finite


class Recorder:
    """The host's side of a boundary: checks, logs, pictures, checkpoints."""

    def __init__(
        self,
        config: ConfigDict,
        info: DataInfo,
        summary: Callable[[Metrics], Metrics],
        preview: Any,
        checkpoints: Checkpoints,
        judge: Judge,
        best: Best | None,
        writer: RunWriter,
        progress: Progress,
    ):
        self._config, self._info, self._judge, self._best = config, info, judge, best
        self._summary, self._preview = summary, preview
        self._checkpoints, self._writer, self._progress = checkpoints, writer, progress
        # Sums over the steps since the last line of metrics, and how many they are.
        self._sums: dict[str, float] = {}
        self._count = 0
        self._waited = 0.0

    def resume(
        self, position: dict, copy: Callable[[], GanState], record: Sequence[Mapping[str, Any]]
    ) -> None:
        """Takes up what a checkpoint's position kept: sums, and evaluations that were cut off.

        Args:
          position: of the checkpoint.
          copy: makes a copy of its state.
          record: the evaluations so far, as `evaluation.read` gives them.
        """
        self._sums, self._count = dict(position.get("sums", {})), position.get("count", 0)
        step = position["iteration"]
        done = {line["evaluator"] for line in record if line["step"] == step}
        due = [
            name
            for name in position.get("evaluators", ())
            if name not in done and name in self._config.evaluators
        ]
        if due:
            self._evaluate(step, due, copy(), position)

    def record(self, boundary: Boundary) -> None:
        """Handles one boundary, in order; blocks until the device has come to it.

        Raises:
          UserError: a loss or a network is not finite. Nothing of it was saved.
        """
        step, metrics = boundary.step, jax.device_get(boundary.metrics)
        count = len(next(iter(metrics.values())))
        self._check_losses(step - count, metrics)
        self._progress.advance(step)
        self._count += count
        self._waited += boundary.waited
        for name, values in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(np.sum(values, dtype=np.float64))
        if is_due(step - count, step, self._config.train.log_every):
            self._log(step)
        if boundary.images is not None:
            picture = self._preview.picture(
                np.asarray(boundary.images), f"step {step:,}, epoch {self._epoch(step):.1f}"
            )
            self._writer.samples(step, self._epoch(step), picture)
        if boundary.snapshot is not None:
            self._handle(boundary, *boundary.snapshot)

    def _epoch(self, step: int) -> float:
        return step * self._config.data.batch_size / self._info.size

    def _log(self, step: int) -> None:
        """Writes the means of the steps since the last line."""
        means = {name: total / self._count for name, total in self._sums.items()}
        summary = self._summary(means)
        speed = self._progress.report(step, summary)
        extra = {"epoch": self._epoch(step)}
        if speed:
            seconds = self._count * self._config.data.batch_size / speed
            extra |= {"images_per_second": speed, "data_wait": min(1.0, self._waited / seconds)}
        self._writer.metrics(step, extra | summary | means)
        self._sums, self._count, self._waited = {}, 0, 0.0

    def _handle(self, boundary: Boundary, state: GanState, finite: Mapping[str, jax.Array]) -> None:
        """Saves and evaluates a state, as far as either is due."""
        for name, is_finite in finite.items():
            if not is_finite:
                raise UserError(self._diverged(f"a number in the {name}", boundary.step))
        position = {
            "iteration": boundary.step,
            "sums": self._sums,
            "count": self._count,
            "evaluators": list(boundary.evaluators),
        }
        if boundary.save:
            self._checkpoints.save(boundary.step, state, position)
        if boundary.evaluators:
            self._evaluate(boundary.step, boundary.evaluators, state, position)

    def _evaluate(
        self, step: int, evaluators: Sequence[str], state: GanState, position: dict
    ) -> None:
        start = time.perf_counter()
        lines = self._judge.run(state.nets, step, evaluators)
        self._progress.leave_out(time.perf_counter() - start)
        self._writer.evaluations(lines)
        self._progress.note(*map(evaluation.in_words, lines))
        if self._best is not None:
            self._best.offer(lines, state, position)

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
