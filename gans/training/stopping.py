"""Signals that ask a run to stop, seen by all its processes at the same step.

SIGTERM, Ctrl-C and SIGHUP, which a terminal sends when it is closed, all ask for it. Batch systems
send signals twice, so the second one changes nothing; the third ends the program at once, and so
does a second Ctrl-C, which somebody at the keyboard means.
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
    """A signal came while something was at work that is better done at the next start.

    Not an `Exception`, so that nobody takes it for a failure of that work.
    """


class Watch:
    """What is known of the signals so far.

    Attributes:
      asked: called once after each chunk, by all processes: the number of the signal that asked to
        stop, or 0.
    """

    def __init__(self, numbers: list[int], asked: Callable[[], int], alone: bool):
        self._numbers, self.asked, self._alone = numbers, asked, alone
        self._is_abandoning = False

    def is_urgent(self) -> bool:
        """Whether this process is to stop and no other has to be asked first."""
        return self._alone and bool(self._numbers)

    @contextlib.contextmanager
    def abandoning(self) -> Iterator[None]:
        """A context that a signal ends at once, wherever it is; not if there are other processes.

        Raises:
          Abandoned: a signal came, now or before.
        """
        self._is_abandoning = self._alone
        try:
            self.interrupt()
            yield
        finally:
            self._is_abandoning = False

    def interrupt(self) -> None:
        """Ends an abandoning context if a signal has come."""
        if self._is_abandoning and self._numbers:
            raise Abandoned


@contextlib.contextmanager
def received(sentence: str, then: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """A list to which signals that ask to stop are added. See the module on more than one of them.

    Args:
      sentence: printed when the first comes.
      then: called whenever one comes; what it raises is raised where the program is.
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
    """A context in which signals do not end the program, but are told of.

    Several processes all hear of a signal to one of them, a chunk later: what they answered is
    looked at when the next chunk is on its way, so that the devices do not wait for it.
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
