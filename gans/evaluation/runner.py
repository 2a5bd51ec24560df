"""Runs evaluators when they are due, and makes lines for `gans.runs.evaluation_record`."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Mapping
from typing import Any

import jax

from gans.config.build import Experiment
from gans.core.due import is_due
from gans.core.state import NetState
from gans.data.source import DataInfo
from gans.evaluation.evaluators.findings import Findings, Missing
from gans.evaluation.subject import Reference, Subject


class EvaluationRunner:
    """The evaluators of an experiment, and when each is due.

    Args:
      experiment: whose config has for each evaluator its `name`, as in "samples.Samples", its
        `every_steps`, 0 for never, and its fields.
      info: the facts about the data.
      reference: the real images.

    Raises:
      UserError: an evaluator or a field of it does not exist.
    """

    def __init__(self, experiment: Experiment, info: DataInfo, reference: Reference):
        self._game, self._info, self._reference = experiment.game, info, reference
        self._evaluators = experiment.evaluators
        every = experiment.config.evaluators.items()
        self._every = {name: spec.every_steps for name, spec in every}

    def due(self, before: int, after: int, last: bool = False) -> list[str]:
        """Names of the evaluators to run at step `after`; at the last, of all that ever run."""
        return [
            name
            for name, every in self._every.items()
            if is_due(before, after, every) or (last and every > 0)
        ]

    def prepare(self) -> None:
        """Loads what the evaluators that are to run need, so that what lacks is known at once.

        Raises:
          UserError: something lacks.
        """
        for name, evaluator in self._evaluators.items():
            if self._every[name] > 0:
                evaluator.prepare(self._game, self._info, self._reference)

    def run(
        self, nets: Mapping[str, NetState], step: int, names: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """The lines of the record at a step, one for each evaluator; of all, if None.

        Their values are finite. What an evaluator cannot find is left out, and its protocol says
        so among the `cautions`; `left_out` names it.
        """
        subject, lines = Subject(nets, step, self._game, self._info, self._reference), []
        for name in self._evaluators if names is None else names:
            start = time.perf_counter()
            values, protocol = _found(name, self._evaluators[name], subject)
            lines.append(
                {
                    "step": step,
                    "time": round(time.time(), 3),
                    "evaluator": name,
                    "values": {key: float(f"{value:.6g}") for key, value in values.items()},
                    "protocol": protocol | _versions(),
                    "seconds": round(time.perf_counter() - start, 1),
                }
            )
        return lines


def _found(
    name: str, evaluator: Any, subject: Subject
) -> tuple[Mapping[str, float], Mapping[str, Any]]:
    """What an evaluator finds, and by which protocol, whatever becomes of it."""
    try:
        values, protocol = evaluator(subject)
    except ValueError as error:
        values, protocol = {name: Missing(error)}, {}
    findings = Findings(protocol.get("cautions", ()), protocol.get("left_out", ()))
    findings.take(values)
    return findings.numbers, protocol | findings.notes


def _versions() -> dict[str, Any]:
    """What else numbers may depend on."""
    names = ("jax", "flax", "numpy")
    return {
        "versions": {name: importlib.metadata.version(name) for name in names}
        | {"python": platform.python_version()},
        "device": jax.devices()[0].device_kind,
    }
