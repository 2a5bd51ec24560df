"""What a run records over time, read back from its folder: JSON lines with a `step` in each.

A line that a kill cut short, that another hand spoilt, or that has no step, is passed over: what is
good is kept, and a run goes on. A number that is not finite, or beyond `reading.LARGEST`, is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from typing_extensions import TypedDict

from gans.files import reading

METRICS = "metrics.jsonl"


def _numbers(given: Mapping[str, Any]) -> dict[str, float]:
    """Those values that are numbers."""
    return {name: x for name, x in given.items() if _is_number(x)}


def _is_number(x: Any) -> bool:
    is_numeric = isinstance(x, int | float) and not isinstance(x, bool)
    return is_numeric and abs(x) <= reading.LARGEST


def _measured(line: dict[str, Any]) -> dict[str, float]:
    return _numbers(line) | {"step": line["step"]}


def recorded(values: Mapping[str, float]) -> dict[str, float]:
    """Numbers as a line of metrics has them: the finite ones, of six digits."""
    return {name: float(f"{x:.6g}") for name, x in values.items() if math.isfinite(x)}


Step = Annotated[int, pydantic.Field(ge=0, lt=2**53)]
"""Iterations done."""

Numbers = Annotated[dict[str, Any], pydantic.AfterValidator(_numbers)]
"""By name; what is no number is left out."""


class _Line(TypedDict):
    __pydantic_config__ = pydantic.ConfigDict(extra="allow")

    step: Step


_Metrics = Annotated[_Line, pydantic.AfterValidator(_measured)]


def metrics(workdir: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl: `step`, and what else are numbers.

    Raises:
      UserError: the file is there and cannot be read.
    """
    return [line for _, line in reading.read_lines(workdir / METRICS, _Metrics)]


def up_to(path: Path, step: int) -> list[bytes]:
    """The good lines of a record up to a step, as they are.

    Raises:
      UserError: the file is there and cannot be read.
    """
    return [raw for raw, line in reading.read_lines(path, _Line) if line["step"] <= step]
