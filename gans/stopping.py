"""Signals that ask a run to stop, seen by all its processes at the same step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gans import hosts, parallel

Asked = Callable[[], int]
"""Called once after each chunk: the number of the signal that asked to stop, or 0."""


@contextlib.contextmanager
def received(sentence: str) -> Iterator[list[int]]:
    """A list to which the first SIGTERM or Ctrl-C is added; a second one acts as it always does.

    Args:
      sentence: printed when it comes.
    """
    numbers: list[int] = []
    previous: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        del frame
        numbers.append(number)
        restore()
        # Not print, which must not be entered twice, and may be at work just now.
        os.write(2, f"\n{sentence}\n".encode())

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    # Python gives signals to the main thread alone; a run in another one is not interrupted.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, receive)
    try:
        yield numbers
    finally:
        restore()


@contextlib.contextmanager
def watched(mesh: parallel.Devices) -> Iterator[Asked]:
    """A context in which SIGTERM and Ctrl-C do not end the program, but are told of.

    Several processes all hear of a signal to one of them, a chunk later: what they answered is
    looked at when the next chunk is on its way, so that the devices do not wait for it.
    """
    with received("Stopping: the steps under way are finished and saved.") as numbers:
        if not hosts.are_several():
            yield lambda: numbers[0] if numbers else 0
            return
        before = parallel.largest(0, mesh)

        def asked() -> int:
            nonlocal before
            answer, before = before, parallel.largest(numbers[0] if numbers else 0, mesh)
            return int(answer)

        yield asked
