"""When evaluators run, and the record of what they found.

evaluations.jsonl    in the run folder: one JSON object a line, with `step`, `time`, the
                     `evaluator`'s name in the config, `values`, the `protocol` they were
                     found by, and the `seconds` it took
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired

import jax
import pydantic
from ml_collections import ConfigDict
from typing_extensions import TypedDict

from gans import build, reading, records
from gans.data.source import DataInfo
from gans.evaluators.findings import Findings, Missing
from gans.schedule import is_due
from gans.state import NetState
from gans.subject import Reference, Subject

FILE = "evaluations.jsonl"


class _Protocol(TypedDict):
    """How numbers were found: fields of the evaluator, and these."""

    __pydantic_config__ = pydantic.ConfigDict(extra="allow")

    versions: NotRequired[dict[str, str]]
    device: NotRequired[str]
    cautions: NotRequired[list[str]]
    left_out: NotRequired[list[str]]


class Evaluation(TypedDict):
    """A line of the record, as it is read back."""

    __pydantic_config__ = pydantic.ConfigDict(extra="allow")

    step: records.Step
    evaluator: str
    values: records.Numbers
    protocol: _Protocol


_OURS = ("name", "every_steps")
_BESIDE = ("versions", "device", "cautions", "left_out")  # in a protocol without making it another


class Judge:
    """The evaluators of a config.

    Args:
      evaluators: the config's section: for each its `name`, as in "samples.Samples", its
        `every_steps`, 0 for never, and its fields.
      info: the facts about the data.
      reference: the real images.

    Raises:
      UserError: an evaluator or a field of it does not exist.
    """

    def __init__(self, evaluators: ConfigDict, info: DataInfo, reference: Reference):
        self._info, self._reference = info, reference
        self._every = {name: spec.every_steps for name, spec in evaluators.items()}
        self._evaluators = {}
        for name, spec in evaluators.items():
            fields = {key: value for key, value in spec.items() if key not in _OURS}
            make = build.find("evaluators", spec.name)
            self._evaluators[name] = build.call(make, f"evaluators.{name}", fields)

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
                evaluator.prepare(self._info, self._reference)

    def run(
        self, nets: Mapping[str, NetState], step: int, names: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """The lines of the record at a step, one for each evaluator; of all, if None.

        Their values are finite. What an evaluator cannot find is left out, and its protocol says
        so among the `cautions`; `left_out` names it.
        """
        subject, lines = Subject(nets, step, self._info, self._reference), []
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


def may_lack(line: Mapping[str, Any], value: str) -> bool:
    """Whether a line is without a value that its evaluator finds where images allow it."""
    left_out = line["protocol"].get("left_out", ())
    # A function or an evaluator that found nothing at all might have had any value.
    return value in left_out or any("." in name or name == line["evaluator"] for name in left_out)


def in_words(line: Mapping[str, Any]) -> str:
    """The numbers of a line of the record that are worth a line on the terminal."""

    # Those of single classes, and deviations, are for the record.
    def is_shown(name: str) -> bool:
        return "/" not in name and not name.endswith("_deviation")

    shown = [f"{name} {value:.4g}" for name, value in line["values"].items() if is_shown(name)]
    left_out = list(filter(is_shown, line["protocol"].get("left_out", ())))
    numbers = ", ".join(shown) or "no numbers"
    numbers += f", without {', '.join(left_out)}" if left_out else ""
    return f"step {line['step']}, {line['evaluator']}: {numbers} ({line['seconds']:.0f} s)"


def _versions() -> dict[str, Any]:
    """What else numbers may depend on."""
    names = ("jax", "flax", "numpy")
    return {
        "versions": {name: importlib.metadata.version(name) for name in names}
        | {"python": platform.python_version()},
        "device": jax.devices()[0].device_kind,
    }


def read(workdir: Path) -> list[Evaluation]:
    """The record of a run, in order of steps; the last of two alike counts.

    Raises:
      UserError: the file is there and cannot be read.
    """
    lines = [line for _, line in reading.read_lines(workdir / FILE, Evaluation)]
    latest = {(line["step"], line["evaluator"], _key(line)): line for line in lines}
    return sorted(latest.values(), key=lambda line: line["step"])


def essential(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a protocol from others."""
    return {name: value for name, value in protocol.items() if name not in _BESIDE}


def _key(line: Mapping[str, Any]) -> str:
    return json.dumps(essential(line["protocol"]), sort_keys=True)
