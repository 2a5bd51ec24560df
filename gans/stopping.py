"""Signals that ask a run to stop, seen by all its processes at the same step."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jax.experimental import multihost_utils

from gans import hosts

Asked = Callable[[], int]
"""Called once after each chunk: the number of the signal that asked to stop, or 0."""


def watched() -> contextlib.AbstractContextManager[Asked]:
    """A context in which SIGTERM and Ctrl-C do not end the program, but are told of."""
    return _by_runtime() if hosts.are_several() else _by_handler()


@contextlib.contextmanager
def _by_handler() -> Iterator[Asked]:
    """The first signal is told of; a second one acts as it always does."""
    received = [0]
    previous: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        del frame
        received[0] = number
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
        yield lambda: received[0]
    finally:
        restore()


@contextlib.contextmanager
def _by_runtime() -> Iterator[Asked]:
    """JAX's runtime watches for SIGTERM, and lets all processes agree on when to stop."""
    calls = itertools.count()

    def asked() -> int:
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(next(calls)) else 0

    def pass_on(number: int, frame: Any) -> None:
        del number, frame
        signal.signal(signal.SIGINT, previous)
        # Whoever started this process may have held SIGTERM back.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)

    previous = signal.signal(signal.SIGINT, pass_on)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)
