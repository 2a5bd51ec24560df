"""One training as a job: a process of its own, which saves when the job is told to stop.

What it prints goes into `train.log` in its run folder. Jobs import this module, so it is quick to.

Whoever runs the job - a batch system, or `gans.training.sweeps.local` - may signal this process,
its child or both, once or many times; the child must hear of it just once, because the third signal
ends training without saving. So the child is started deaf to SIGTERM, SIGUSR2 and SIGHUP, and is
sent one SIGINT, which saves as SIGTERM does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
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
      environment: variables for the training, None for those it must not have.
      cores: numbers of CPU cores; all if empty.
    """

    environment: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    cores: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Training:
    """A training to be called where it is to run.

    Attributes:
      workdir: the run folder.
      command: of the process, without the interpreter.
      share: of the machine.
    """

    workdir: Path
    command: tuple[str, ...]
    share: Share = dataclasses.field(default_factory=Share)

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
        """Trains.

        Args:
          log: the file in the run folder to append to.

        Returns:
          Whether it came to its end; False if a signal stopped it, and it may go on later.

        Raises:
          Failed: neither.
        """
        if self.share.cores:
            os.sched_setaffinity(0, self.share.cores)
        environment = dict(os.environ) | self.share.environment
        environment = {name: value for name, value in environment.items() if value is not None}
        with (self.workdir / log).open("a") as file, _deaf() as listen:
            child = subprocess.Popen(
                [sys.executable, *self.command],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C at the terminal is not for it
            )
            with listen(child) as received:
                status = child.wait()
        if status and not received:
            raise Failed(f"{self} ended with status {status}; see {self.workdir / log}.")
        return status == 0


@contextlib.contextmanager
def _deaf() -> Iterator[types.FunctionType]:
    """Holds signals back, also from children started now, until the function yielded is entered."""

    @contextlib.contextmanager
    def listen(child: subprocess.Popen) -> Iterator[list[int]]:
        received: list[int] = []

        def receive(number: int, frame: types.FrameType | None) -> None:
            del frame
            if not received:
                child.send_signal(signal.SIGINT)
            received.append(number)

        # nohup ignores SIGHUP, and that is to stay so.
        heard = [n for n in _STOP if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, receive) for number in heard}
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)
        try:
            yield received
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    # A process started where SIGINT is ignored would ignore it, too, until training begins.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


def tail(workdir: Path, lines: int = 10) -> list[str]:
    """The last lines of a run's log, as far as they are of its last start."""
    try:
        with reading.opened(workdir / LOG) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            text = file.read(_END).decode(errors="replace")
    except OSError:
        return []
    return text.rpartition("\n$ ")[2].splitlines()[1:][-lines:]
