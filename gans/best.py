"""The checkpoint at which a metric was best, kept in `best/` beside the newest ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans import evaluation
from gans.checkpoints import Checkpoints
from gans.errors import UserError

FOLDER = "best"


class Best:
    """Saves a state whenever it beats all before it.

    Args:
      checkpoints: of the folder `best`.
      metric: an evaluator's name in the config, a slash, and one of its values.
      highest: whether more is better.
      record: the evaluations so far, as `evaluation.read` gives them.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        metric: str,
        highest: bool,
        record: Sequence[Mapping[str, Any]],
    ):
        self._checkpoints, self._sign = checkpoints, -1.0 if highest else 1.0
        self._evaluator, _, self._value = metric.partition("/")
        known = (line["values"].get(self._value) for line in self._of_evaluator(record))
        self._least = min((self._sign * x for x in known if x is not None), default=float("inf"))

    def offer(self, lines: Sequence[Mapping[str, Any]], state: Any, position: dict) -> None:
        """Saves `state` if the lines of its evaluation have a better value than any before.

        Raises:
          UserError: the evaluator has no such value.
        """
        for line in self._of_evaluator(lines):
            if self._value not in line["values"]:
                raise UserError(
                    f"checkpoint.best asks for {self._value!r}, which evaluators."
                    f"{self._evaluator} does not have: it has {', '.join(line['values'])}."
                )
            value = self._sign * line["values"][self._value]
            if value < self._least:
                self._least = value
                self._checkpoints.save(line["step"], state, position)

    def _of_evaluator(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        return (line for line in lines if line["evaluator"] == self._evaluator)


@contextlib.contextmanager
def keeping(workdir: Path, config: ConfigDict) -> Iterator[Best | None]:
    """The `Best` that a config's `checkpoint` section asks for, or None."""
    metric, way = config.checkpoint.best, config.checkpoint.best_is
    if not metric:
        yield None
        return
    if metric.partition("/")[0] not in config.evaluators:
        raise UserError(
            f"checkpoint.best is {metric!r}: it must name an entry of evaluators and one of its "
            f"values, as in quality/fcd; there are {', '.join(config.evaluators) or 'none'}."
        )
    if way not in ("lowest", "highest"):
        raise UserError(f"checkpoint.best_is is {way!r}: it must be lowest or highest.")
    with Checkpoints(workdir / FOLDER, keep=1) as checkpoints:
        yield Best(checkpoints, metric, way == "highest", evaluation.read(workdir))
