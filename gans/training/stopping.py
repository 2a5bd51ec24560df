"""Signals that ask a run to stop; all its processes act on them at the same step.

SIGTERM, Ctrl-C and SIGHUP (sent by a terminal that is closed) ask a run to save and stop. Batch
systems may send a signal twice, so a second one changes nothing. A third one ends the program at
once, and so does a second Ctrl-C, because a person pressed it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gans import parallel
from gans.parallel import hosts

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PATIENCE = 2  # signals that do not end the program


class Abandoned(BaseException):
    """A signal interrupted work that the next start of the run can do again.

    It is no `Exception`, so that handlers do not take it for a failure of that work.
    """


class Watch:
    """The signals received so far.

    Attributes:
      asked: returns the number of the signal that asked any process to stop, or 0. All processes
        call it once after each chunk.
    """

    def __init__(self, numbers: list[int], asked: Callable[[], int], alone: bool):
        self._numbers, self.asked, self._alone = numbers, asked, alone
        self._is_abandoning = False

    def is_urgent(self) -> bool:
        """Whether this process was asked to stop and trains alone, so that it can stop at once."""
        return self._alone and bool(self._numbers)

    @contextlib.contextmanager
    def abandoning(self) -> Iterator[None]:
        """A context that a signal ends at once, unless other processes train along.

        Raises:
          Abandoned: a signal came, in the context or before it.
        """
        self._is_abandoning = self._alone
        try:
            self.interrupt()
            yield
        finally:
            self._is_abandoning = False

    def interrupt(self) -> None:
        """Raises Abandoned in an `abandoning` context if a signal has come."""
        if self._is_abandoning and self._numbers:
            raise Abandoned


@contextlib.contextmanager
def received(sentence: str, then: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Yields a list to which the numbers of received stop signals are added.

    The module's docstring says what a second and a third signal do.

    Args:
      sentence: printed when the first signal comes.
      then: called by the signal handler; an exception in it is raised where the program is at work.
    """
    numbers: list[int] = []
    previous: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        del frame
        numbers.append(number)
        if len(numbers) == _PATIENCE:
            let_end(*previous)
        elif number == signal.SIGINT:
            let_end(number)
        if len(numbers) == 1:
            # Not print, which must not be entered twice, and may be at work just now. And a
            # terminal that is closed takes no more lines.
            with contextlib.suppress(OSError):
                os.write(2, f"\n{sentence}\n".encode())
        then()

    def let_end(*chosen: int) -> None:
        for number in chosen:
            signal.signal(number, signal.SIG_DFL)

    # Python gives signals to the main thread alone; a run in another one is not interrupted.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            # nohup ignores SIGHUP for the program, and that is to stay so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, receive)
    try:
        yield numbers
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def watched(mesh: parallel.Devices) -> Iterator[Watch]:
    """Defers signals that ask to stop: the `Watch` that is yielded reports them.

    With several processes, all of them learn of a signal to any of them, one chunk later: its
    `asked` returns the answer of the chunk before, so that the devices do not wait for the
    exchange.
    """
    sentence = (
        "Stopping: the steps under way are finished and saved; a second Ctrl-C, or a third signal "
        "of another kind, ends the program at once."
    )
    watch: Watch | None = None

    def then() -> None:
        if watch is not None:
            watch.interrupt()

    with received(sentence, then) as numbers:
        if not hosts.are_several():
            watch = Watch(numbers, lambda: numbers[0] if numbers else 0, alone=True)
            yield watch
            return
        before = parallel.largest(0, mesh)

        def asked() -> int:
            nonlocal before
            answer, before = before, parallel.largest(numbers[0] if numbers else 0, mesh)
            return int(answer)

        watch = Watch(numbers, asked, alone=False)
        yield watch
