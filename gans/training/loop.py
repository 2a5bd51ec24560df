"""The device's side of training: chunk after chunk, the host one behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import jax
import numpy as np

from gans.core.due import is_due
from gans.core.state import GanState
from gans.core.types import Metrics
from gans.data.pipeline import Feed
from gans.training import stopping
from gans.training.recorder import Boundary
from gans.training.setup import Setup


class Loop:
    """Starts chunk after chunk of steps.

    Attributes:
      state: of the run, at the end of the last chunk that was started.
      step: iterations done by then; when stopped, those that are saved.
      stopped_by: the signal that the run was stopped by, or 0.
    """

    def __init__(self, setup: Setup, watch: stopping.Watch, state: GanState, step: int):
        self._setup, self._watch = setup, watch
        self.state, self.step, self.stopped_by = state, step, 0

    def boundaries(self) -> Iterator[Boundary]:
        """Yields what each chunk leaves once the next is on its way, without waiting for it.

        When a signal has asked to stop there is no next one: what the last chunk leaves is to be
        saved, and anything else that is due is left to the next start.
        """
        program = self._setup.program
        train = program.config.train
        stops = chunk_ends(self.step, train.num_steps, train.steps_per_call)
        feeds = program.pipeline.feeds(self.step, np.diff([self.step, *stops]).tolist())
        clock = ThreadPoolExecutor(1, thread_name_prefix="clock")
        waiting = None
        try:
            for step in stops:
                if waiting is not None and self._is_stopped():
                    yield self._to_be_saved(waiting)
                    return
                try:
                    following = self._begin(step, feeds, clock)
                except Exception:
                    if waiting is not None:
                        yield waiting
                    raise
                if waiting is None:
                    self._compile()
                else:
                    if waiting.evaluators:  # which would take longer beside a chunk, and it too
                        wait([following.ended])
                    yield waiting
                waiting = following
            if waiting is not None:
                yield waiting
        finally:
            clock.shutdown(wait=False)

    def stop(self, step: int) -> None:
        """Notes that the run ends here, because a signal cut short what was due at a boundary."""
        self.step, self.stopped_by = step, self._watch.asked()

    def _is_stopped(self) -> bool:
        self.stopped_by = self._watch.asked()
        return bool(self.stopped_by)

    def _begin(self, step: int, feeds: Iterator[Feed], clock: ThreadPoolExecutor) -> Boundary:
        """Starts the chunk that ends at `step`."""
        program = self._setup.program
        train, every = program.config.train, program.config.checkpoint.every_steps
        begun = time.perf_counter()
        feed = next(feeds)
        waited = time.perf_counter() - begun
        before, self.step = self.step, step
        self.state, metrics = program.advance(self.state, feed)
        last = step == train.num_steps
        is_sampled = last or is_due(before, step, train.sample_every)
        save = last or is_due(before, step, every)
        evaluators = self._setup.evaluation.due(before, step, last)
        return Boundary(
            step,
            metrics,
            begun,
            waited,
            clock.submit(_end, metrics),
            is_sampled,
            self._setup.show(self.state.nets) if is_sampled else None,
            self._setup.snapshot(self.state) if save or evaluators else None,
            save,
            evaluators,
            only_save=False,
        )

    def _to_be_saved(self, boundary: Boundary) -> Boundary:
        """The boundary of the newest chunk as one that is saved, and no more."""
        copy = boundary.snapshot or self._setup.snapshot(self.state)
        return boundary._replace(images=None, snapshot=copy, save=True, only_save=True)

    def _compile(self) -> None:
        """Compiles what is needed at boundaries, while no chunk is measured that it would slow."""
        self._setup.show(self.state.nets)
        self._setup.snapshot(self.state)


def _end(metrics: Metrics) -> float:
    """When metrics were there, as `time.perf_counter` counts."""
    jax.block_until_ready(metrics)
    return time.perf_counter()


def chunk_ends(first: int, total: int, size: int) -> list[int]:
    """Where chunks end: at the multiples of `size` after `first`, and at `total`.

    Always at the same steps, wherever a run was interrupted, so that a resumed run is cut
    as an uninterrupted one.
    """
    ends = list(range((first // size + 1) * size, total, size))
    return [*ends, total] if first < total else []
