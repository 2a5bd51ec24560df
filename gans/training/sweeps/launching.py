"""Runs trainings in child processes, which save and end when they are asked to stop.

The output of a training goes into `train.log` in its run folder. Jobs of a batch system import this
module, so its imports are few.

A batch system, a terminal or a user may signal this process, its children or both, once or many
times. A child must receive just one signal, because a third one ends training without saving. So
children are started with SIGTERM, SIGUSR2 and SIGHUP blocked and in a session of their own, and are
sent one SIGINT, which makes a training save and end as SIGTERM does.
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
    """A training ended with an error: before its last step, and not because of a signal."""


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of a machine that one of several trainings uses.

    Attributes:
      environment: environment variables, added to those of this process.
      cores: the numbers of its CPU cores; empty for all cores.
    """

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cores: tuple[int, ...] = ()


WHOLE = Share()


@dataclasses.dataclass(frozen=True)
class Training:
    """A training as a callable, which a batch system can send to the node that runs it.

    Attributes:
      workdir: the run folder.
      command: the arguments of the Python interpreter.
    """

    workdir: Path
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.workdir.name

    def __str__(self) -> str:
        return shlex.join(["python", *self.command])

    def announce(self) -> None:
        """Makes the run folder with its log, so that a waiting training is visible.

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
        """Trains; to be called from the main thread of a job.

        Args:
          log: the file in the run folder to append to.

        Returns:
          Whether training reached its last step; False if a signal stopped it.

        Raises:
          Failed: training ended with an error.
        """
        processes = Processes()
        with _handled(processes.stop):
            status = processes.run(self, log)
        if status and not processes.are_stopped:
            raise Failed(f"{self} ended with status {status}; see {self.workdir / log}.")
        return status == 0


class Processes:
    """The running processes of trainings.

    Each of them receives one signal to save and end, however often `stop` is called.

    Attributes:
      are_stopped: whether `stop` has been called.
    """

    def __init__(self):
        self.are_stopped = False
        self._untold: list[subprocess.Popen] = []

    def stop(self) -> None:
        """Asks all to save and end, including any that is just being started.

        Any thread and any signal handler may call this.
        """
        self.are_stopped = True
        while self._untold:
            with contextlib.suppress(IndexError):  # another caller was faster
                self._untold.pop().send_signal(signal.SIGINT)

    def run(self, training: Training, log: str = LOG, share: Share = WHOLE) -> int | None:
        """Runs a training and waits for it.

        Returns:
          Its exit status, or None if `stop` was called before it began.

        Raises:
          OSError: the log cannot be written, or the process cannot be started.
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
    """Calls `stop` for signals that ask to stop, and ignores SIGINT, inside the context."""
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
    """The last lines of a run's log that its newest start wrote."""
    try:
        with reading.opened(workdir / LOG) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            text = file.read(_END).decode(errors="replace")
    except OSError:
        return []
    return text.rpartition("\n$ ")[2].splitlines()[1:][-lines:]
