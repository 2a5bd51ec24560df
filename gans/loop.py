"""The device's side of training: chunk after chunk, the host one behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from gans import stopping
from gans.recorder import Boundary
from gans.schedule import is_due
from gans.setup import Setup
from gans.state import GanState


class Loop:
    """Starts chunk after chunk of steps.

    Attributes:
      state: of the run, at the end of the last chunk that was started.
      step: iterations done by then.
      stopped_by: the signal that the run was stopped by, or 0.
    """

    def __init__(self, setup: Setup, asked: stopping.Asked, state: GanState, step: int):
        self._setup, self._asked = setup, asked
        self.state, self.step, self.stopped_by = state, step, 0

    def boundaries(self) -> Iterator[Boundary]:
        """Starts chunk after chunk, and yields what each will leave without waiting for it."""
        train, every = self._setup.config.train, self._setup.config.checkpoint.every_steps
        stops = chunk_ends(self.step, train.num_steps, train.steps_per_call)
        feeds = self._setup.pipeline.feeds(self.step, np.diff([self.step, *stops]).tolist())
        for step in stops:
            asked = time.perf_counter()
            feed = next(feeds)
            waited = time.perf_counter() - asked
            before, self.step = self.step, step
            self.state, metrics = self._setup.advance(self.state, feed)
            end = step == train.num_steps
            self.stopped_by = self._asked()
            last = end or bool(self.stopped_by)
            sample = last or is_due(before, step, train.sample_every)
            save = last or is_due(before, step, every)
            evaluators = self._setup.judge.due(before, step, end)
            yield Boundary(
                step,
                metrics,
                waited,
                self._setup.show(self.state.nets) if sample else None,
                self._setup.snapshot(self.state) if save or evaluators else None,
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
