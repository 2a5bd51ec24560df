"""Work on many examples in threads, under a progress bar.

tqdm's `thread_map` would do it too, but its bar counts work that is dropped as done: at an error,
or at Ctrl-C, it would say 100 %.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator

import tqdm


def for_each_chunk(
    function: Callable[[int, int], None], count: int, *, chunk: int, description: str
) -> None:
    """Calls `function(start, stop)` on consecutive chunks of range(count), in threads.

    Args:
      function: the work on examples start to stop - 1; what it raises is raised
        here, and chunks not yet begun are then dropped.
      count: the number of examples.
      chunk: the largest number of examples in one call.
      description: what the progress bar says; without a terminal there is no bar.
    """
    starts = range(0, count, chunk)
    stops = [min(start + chunk, count) for start in starts]
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        tqdm.tqdm(total=count, desc=description, disable=None) as bar,
    ):
        for start, stop, _ in zip(starts, stops, pool.map(function, starts, stops), strict=True):
            bar.update(stop - start)


class Budget:
    """Something of which all threads together have a certain amount: memory, say."""

    def __init__(self, amount: int):
        self._amount, self._taken, self._changed = amount, 0, threading.Condition()

    @contextlib.contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Waits until so much is free; what is more than there is at all waits to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + amount <= self._amount)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()
