"""The checkpoint at which a metric was best, kept in `best/` beside the newest ones.

The checkpoint is on disk before the evaluation that chose it is recorded. A run that is killed in
between lacks that evaluation when it resumes, makes it again from the same state, and chooses the
same checkpoint.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.errors import UserError
from gans.runs import evaluation_record
from gans.runs.checkpoints import Checkpoints

FOLDER = "best"

_HELD = "best"  # key in a checkpoint's position: {metric: its value for the saved state}


class Best:
    """Saves a state whenever its metric is better than that of every state before it.

    Args:
      checkpoints: the checkpoints in the folder `best`.
      metric: an evaluator's name in the config, a slash, and the name of one of its values.
      highest: whether higher values are better.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        metric: str,
        highest: bool,
    ):
        self._checkpoints, self._sign = checkpoints, -1.0 if highest else 1.0
        self._metric = metric
        self._evaluator, _, self._value = metric.partition("/")
        # What the folder holds is what counts: the record also has numbers of other protocols.
        held = (checkpoints.position() or {}).get(_HELD, {}).get(metric)
        self._least = self._sign * held if held is not None and math.isfinite(held) else math.inf

    def offer(self, lines: Sequence[Mapping[str, Any]], state: Any, position: dict) -> None:
        """Saves `state` if the lines of its evaluation have a better value than any before.

        Returns once it is on disk. A value that is not finite is never better.

        Raises:
          UserError: the evaluator has no such value, or the checkpoint cannot be written.
        """
        for line in self._of_evaluator(lines):
            self._require(line)
            if self._beats(line):
                value = line["values"][self._value]
                self._least = self._sign * value
                self._checkpoints.save(
                    line["step"], state, position | {_HELD: {self._metric: value}}
                )
                self._checkpoints.wait()

    def lacks(self, lines: Sequence[Mapping[str, Any]]) -> list[str]:
        """The evaluator's name in a list, if the lines have a better value than the saved one."""
        return [line["evaluator"] for line in self._of_evaluator(lines) if self._beats(line)][:1]

    def _beats(self, line: Mapping[str, Any]) -> bool:
        value = line["values"].get(self._value, math.nan)
        return math.isfinite(value) and self._sign * value < self._least

    def _require(self, line: Mapping[str, Any]) -> None:
        if self._value not in line["values"] and not evaluation_record.may_lack(line, self._value):
            raise UserError(
                f"checkpoint.best asks for {self._value!r}, which evaluators."
                f"{self._evaluator} does not have: it has {', '.join(line['values'])}."
            )

    def _of_evaluator(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        return (line for line in lines if line["evaluator"] == self._evaluator)


@contextlib.contextmanager
def keeping(workdir: Path, config: ConfigDict) -> Iterator[Best | None]:
    """The `Best` that a config's `checkpoint` section asks for, or None."""
    metric, way = config.checkpoint.best, config.checkpoint.best_is
    if not metric:
        yield None
        return
    with Checkpoints(workdir / FOLDER, keep=1) as checkpoints:
        yield Best(checkpoints, metric, way == "highest")
