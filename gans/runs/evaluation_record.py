"""The record of what evaluators found.

evaluations.jsonl    in the run folder: one JSON object a line, with `step`, `time`, the
                     `evaluator`'s name in the config, `values`, the `protocol` they were
                     found by, and the `seconds` it took
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired

import pydantic
from typing_extensions import TypedDict

from gans.files import reading
from gans.runs import records

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


_BESIDE = ("versions", "device", "cautions", "left_out")  # in a protocol without making it another


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
