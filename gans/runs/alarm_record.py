"""The record of alarms: when each began, what it said, and when it ended.

alarms.jsonl    in the run folder: one JSON object a line, with `step`, `time`, the `alarm`'s name
                and a `sentence`, which is empty where the alarm ends
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
from typing_extensions import TypedDict

from gans.files import reading
from gans.runs import records

FILE = "alarms.jsonl"


class Line(TypedDict):
    """A line of the record, as it is read back."""

    __pydantic_config__ = pydantic.ConfigDict(extra="allow")

    step: records.Step
    alarm: str
    sentence: str


class Alarm(NamedTuple):
    """An alarm from its beginning to its end.

    Attributes:
      name: what tells it from others.
      sentence: what it says.
      begun: the step at which it was first seen.
      ended: the step at which it was no longer seen; None if it lasts.
    """

    name: str
    sentence: str
    begun: int
    ended: int | None


def read(workdir: Path) -> list[Alarm]:
    """The alarms of a run, in the order in which they began.

    Raises:
      UserError: the file is there and cannot be read.
    """
    return spans(line for _, line in reading.read_lines(workdir / FILE, Line))


def spans(lines: Iterable[Any]) -> list[Alarm]:
    """Alarms from lines in order; the end of one that never began is passed over."""
    found: list[Alarm] = []
    lasting: dict[str, int] = {}
    for line in lines:
        name = line["alarm"]
        if line["sentence"] and name not in lasting:
            lasting[name] = len(found)
            found.append(Alarm(name, line["sentence"], line["step"], None))
        elif not line["sentence"] and name in lasting:
            place = lasting.pop(name)
            found[place] = found[place]._replace(ended=line["step"])
    return found


def in_words(alarm: Alarm) -> str:
    """When it was, and what it says."""
    if alarm.ended is None:
        return f"from step {alarm.begun:,} on: {alarm.sentence}"
    return f"from step {alarm.begun:,} to {alarm.ended:,}: {alarm.sentence}"
