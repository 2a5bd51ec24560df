"""A run folder that is being trained into: everything that is written there, in one context."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.data.source import DataInfo
from gans.parallel import hosts
from gans.runs import best, evaluation_record, run_folder
from gans.runs.best import Best
from gans.runs.checkpoints import Checkpoints
from gans.runs.evaluation_record import Evaluation
from gans.runs.writers import NoWriter, RunWriter


class OpenRun:
    """One run's checkpoints, best checkpoint, record and pictures.

    Attributes:
      workdir: the run folder.
      checkpoints: the newest ones.
      best: the best one, or None if no metric says which.
      writer: of the record and the pictures, from `begin` on.
      progress: what the person at the keyboard sees of it, from `begin` on.
    """

    writer: RunWriter | NoWriter
    progress: Any

    def __init__(self, workdir: Path, checkpoints: Checkpoints, kept: Best | None):
        self.workdir, self.checkpoints, self.best = workdir, checkpoints, kept
        self._stack = contextlib.ExitStack()

    def begin(self, step: int, progress: Any) -> None:
        """Opens the record where training begins or goes on; the first process alone writes.

        Args:
          step: where the run starts from.
          progress: a context, whose `note` is given a sentence about files that are left out.

        Raises:
          UserError: the record cannot be written.
        """
        self.progress = self._stack.enter_context(progress)
        first = hosts.is_first()
        writer = RunWriter(self.workdir, step, progress.note) if first else NoWriter()
        self.writer = self._stack.enter_context(writer)

    def evaluations(self) -> list[Evaluation]:
        """The record of evaluations so far, the same to every process."""
        return hosts.of_first(evaluation_record.read(self.workdir) if hosts.is_first() else None)

    def close(self) -> None:
        """Closes the record."""
        self._stack.close()


@contextlib.contextmanager
def opened(workdir: Path, config: ConfigDict, info: DataInfo) -> Iterator[OpenRun]:
    """The run folder, kept from others, with its config and data noted, for all processes.

    Raises:
      UserError: another process trains in it, it is of another run or other data, not all processes
        see it, or it cannot be written.
    """
    with (
        run_folder.opened(workdir, config, info),
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints,
        best.keeping(workdir, config) as kept,
        contextlib.closing(OpenRun(workdir, checkpoints, kept)) as run,
    ):
        yield run
