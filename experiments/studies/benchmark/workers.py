"""Processes that each hold one side of a comparison, and wait for their turn.

Two frameworks in one process would disturb each other: each has threads for all cores that
spin for a while when their work is done, and an allocator of its own, and nobody could say
which of them took the memory. So each has a process, which sleeps on a pipe while the
other's is timed. Nothing is timed across the pipe: a process reads its own clock. Either
side inherits what the command has set: see `experiments.runtime`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from gans.errors import UserError


class Failed(Exception):
    """What a worker was to do failed, took too long, or killed it; the message says which."""


class Worker:
    """An object in a process of its own.

    Args:
      path: `module:attribute` of what makes the object.
      *args: what it is called with.
      environment: variables for the process.
    """

    def __init__(self, path: str, *args: Any, environment: Mapping[str, str] | None = None):
        # Spawned, not forked: threads of a framework do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, path, args, dict(environment or {})), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            self._receive(None)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """What a method of the object returns.

        Args:
          method: its name.
          *args: its arguments.
          timeout: seconds after which the process is given up.

        Raises:
          UserError: the method raised it.
          Failed: it raised something else, took too long, or the process died.
        """
        try:
            self._pipe.send((method, args))
        except OSError:
            raise Failed(self._end()) from None
        return self._receive(timeout)

    def _receive(self, timeout: float | None) -> Any:
        try:
            if not self._pipe.poll(timeout):
                self.close()
                raise Failed(f"took more than {timeout:.0f} seconds")
            outcome, value = self._pipe.recv()
        except (EOFError, OSError):
            raise Failed(self._end()) from None
        if outcome == "mistake":
            raise UserError(value)
        if outcome == "failure":
            raise Failed(value)
        return value

    def _end(self) -> str:
        self._process.join(5)
        return f"the process ended with status {self._process.exitcode}; was memory short?"

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(pipe: Connection, path: str, args: tuple, environment: Mapping[str, str]) -> None:
    """The life of a worker: makes the object and calls its methods, as the pipe says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ.update(environment)
    made = None

    def make() -> None:
        nonlocal made
        module, _, attribute = path.partition(":")
        made = getattr(importlib.import_module(module), attribute)(*args)

    pipe.send(_outcome(make))
    while True:
        try:
            method, given = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_outcome(lambda: getattr(made, method)(*given)))  # noqa: B023 called at once


def _outcome(function: Any) -> tuple[str, Any]:
    try:
        return "value", function()
    except UserError as error:
        return "mistake", str(error)
    except Exception as error:
        last = str(error).strip().splitlines()
        detail = f": {last[0][:200]}" if last else ""
        if os.environ.get("GANS_BENCHMARK_TRACEBACKS"):
            traceback.print_exc()
        return "failure", f"{type(error).__name__}{detail}"
