"""A comparison as plain data: what `experiments.compare --out=results.json` writes and reads back.

Of a table `groups` stand in their order, the first being the one to whose numbers the others'
`differences` are. Numbers have six digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import pydantic
from typing_extensions import TypedDict

from gans.errors import UserError
from gans.files import reading
from gans.files.reading import Number


class Value(TypedDict):
    """A metric over a group's seeds; `values` are those of single seeds, unless of one class."""

    mean: Number | None
    deviation: Number | None
    count: int
    values: NotRequired[list[Number | None]]


class Difference(TypedDict):
    """The difference of a mean to that of the first group, and its interval."""

    value: Number | None
    low: Number | None
    high: Number | None


class GroupNumbers(TypedDict):
    """Numbers of a group at one step, by metric, and of each class alone."""

    name: str
    runs: list[str]
    seeds: list[int]
    step: int | None
    values: dict[str, Value]
    differences: dict[str, Difference]
    classes: dict[str, dict[str, Value]]


class Table(TypedDict):
    """What one protocol says of the groups.

    `averaged` of the protocol says that averaged parameters were taken where a run keeps them;
    `metrics` says which way each is better; `real` is what real images come to.
    """

    protocol: dict[str, Any]
    versions: list[str]
    cautions: list[str]
    metrics: dict[str, Literal["lower", "higher", "near 1", ""]]
    real: dict[str, Number]
    groups: Annotated[list[GroupNumbers], pydantic.Field(min_length=1)]


class Comparison(TypedDict):
    """The tables, and a sentence for each protocol whose numbers are in none of them.

    `alarms` are sentences on what was wrong in training; files of earlier versions have none.
    """

    tables: list[Table]
    left_out: list[str]
    alarms: NotRequired[list[str]]


def read(path: Path) -> Comparison:
    """The plain data of an earlier comparison.

    Raises:
      UserError: the file cannot be read, or holds something else.
    """
    try:
        return reading.read_json(path, Comparison)
    except UserError as error:
        raise UserError(f"{error} It must be one that experiments.compare wrote.") from None
