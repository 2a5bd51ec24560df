"""The time that training itself takes, apart from all that the host does beside it."""

from __future__ import annotations

from typing import NamedTuple


class Lap(NamedTuple):
    """How fast a run has been.

    Attributes:
      training: seconds a step, of the chunks since the last lap.
      waiting: the share of them in which the host waited for data.
      whole: seconds a step with everything else that there was between the chunks of this start, as
        evaluations, as far as the devices stood still for it.
    """

    training: float
    waiting: float
    whole: float


class Stopwatch:
    """Adds up the seconds of chunks of steps.

    A chunk takes from when it could begin, which is when the host set about it or when the chunk
    before it ended, whichever was later, until its end on the device. So compiling, evaluations and
    pictures do not count, and waiting for data does. The first chunk of a start waits for the
    compiler, and is left out.
    """

    def __init__(self):
        self._ended: float | None = None
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        self._all_steps, self._idle = 0, 0.0

    def add(self, steps: int, begun: float, ended: float, waited: float) -> None:
        """Counts a chunk.

        Args:
          steps: how many it had.
          begun: when the host set about it, as `time.perf_counter` counts.
          ended: when its results were there.
          waited: for how many seconds the host waited for its data.
        """
        if self._ended is not None:
            start = max(self._ended, begun)
            self._steps += steps
            self._seconds += ended - start
            self._waited += waited
            self._all_steps += steps
            self._idle += start - self._ended
        self._ended = ended

    def lap(self) -> Lap | None:
        """Of the chunks since the last call; None if there were none."""
        steps, seconds, waited = self._steps, self._seconds, self._waited
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        if seconds <= 0:
            return None
        each = seconds / steps
        return Lap(each, min(1.0, waited / seconds), each + self._idle / self._all_steps)
