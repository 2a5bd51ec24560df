"""Trainings in processes of their own, which save when they are told to stop.

What one prints goes into `train.log` in its run folder. Jobs import this module, so it is quick to.

Whoever runs this process - a batch system, a terminal, a user - may signal it, its children or
both, once or many times; a child must hear of it just once, because the third signal ends training
without saving. So children are started deaf to SIGTERM, SIGUSR2 and SIGHUP, out of reach of the
terminal, and are sent one SIGINT, which saves as SIGTERM does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gans.errors import UserError
from gans.files import reading

LOG = "train.log"

_END = 2**16  # bytes of a log that are looked at
_STOP = (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)


class Failed(Exception):
    """A training came to an end that is neither its last step nor what a signal asked for."""


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of a machine that one of several trainings has.

    Attributes:
      environment: variables for the training, beside those of this process.
      cores: numbers of CPU cores; all if empty.
    """

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cores: tuple[int, ...] = ()


WHOLE = Share()


@dataclasses.dataclass(frozen=True)
class Training:
    """A training to be called where it is to run.

    Attributes:
      workdir: the run folder.
      command: of the process, without the interpreter.
    """

    workdir: Path
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the run folder."""
        return self.workdir.name

    def __str__(self) -> str:
        return shlex.join(["python", *self.command])

    def announce(self) -> None:
        """Makes the run folder, so that a training that has not begun yet can be seen.

        Raises:
          UserError: it cannot be made.
        """
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            with (self.workdir / LOG).open("a") as log:
                log.write(f"$ {self}\n")
        except OSError as error:
            raise UserError(f"Cannot write to {self.workdir}: {error.strerror}.") from error

    def __call__(self, log: str = LOG) -> bool:
        """Trains, in a job whose main thread this is.

        Args:
          log: the file in the run folder to append to.

        Returns:
          Whether it came to its end; False if a signal stopped it, and it may go on later.

        Raises:
          Failed: neither.
        """
        processes = Processes()
        with _handled(processes.stop):
            status = processes.run(self, log)
        if status and not processes.are_stopped:
            raise Failed(f"{self} ended with status {status}; see {self.workdir / log}.")
        return status == 0


class Processes:
    """Of trainings; each is told to save and end just once, however often that is asked for.

    Attributes:
      are_stopped: whether it was asked for.
    """

    def __init__(self):
        self.are_stopped = False
        self._untold: list[subprocess.Popen] = []

    def stop(self) -> None:
        """Tells all, those too that are just being started. Any thread or signal may call this."""
        self.are_stopped = True
        while self._untold:
            with contextlib.suppress(IndexError):  # another caller was faster
                self._untold.pop().send_signal(signal.SIGINT)

    def run(self, training: Training, log: str = LOG, share: Share = WHOLE) -> int | None:
        """The exit status of a training, waited for; None if all were stopped before it began.

        Raises:
          OSError: there can be no log, or no process.
        """
        if self.are_stopped:
            return None
        if share.cores:
            os.sched_setaffinity(0, share.cores)  # of this thread, and of what it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        try:
            with (training.workdir / log).open("a") as file:
                child = subprocess.Popen(
                    [sys.executable, *training.command],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **share.environment},
                    start_new_session=True,  # Ctrl-C at the terminal is not for it
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._untold.append(child)
        if self.are_stopped:
            self.stop()
        return child.wait()


@contextlib.contextmanager
def _handled(stop: Callable[[], None]) -> Iterator[None]:
    """Has signals that ask to stop call a function, and SIGINT call none."""
    handlers = dict.fromkeys(_STOP, lambda number, frame: stop())
    # Not SIG_IGN: a process started where SIGINT is ignored would ignore it, too.
    handlers[signal.SIGINT] = lambda number, frame: None
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        del handlers[signal.SIGHUP]  # nohup ignores it, and that is to stay so
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tail(workdir: Path, lines: int = 10) -> list[str]:
    """The last lines of a run's log, as far as they are of its last start."""
    try:
        with reading.opened(workdir / LOG) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            text = file.read(_END).decode(errors="replace")
    except OSError:
        return []
    return text.rpartition("\n$ ")[2].splitlines()[1:][-lines:]
