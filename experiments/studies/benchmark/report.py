"""The results as Markdown, from the plain data that is written as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pydantic
from typing_extensions import TypedDict

from gans.errors import UserError
from gans.files import reading
from gans.files.reading import Number

NONE = "–"

Plain = Mapping[str, Any]


class _Spread(TypedDict):
    low: Number
    median: Number
    high: Number


class _Side(TypedDict):
    steps_per_second: Number
    images_per_second: Number
    first_seconds: Number
    seconds: _Spread
    data_wait: Number
    peak_memory_mib: Number
    peak_device_memory_mib: Number | None
    flop_per_second: NotRequired[Number | None]
    share: NotRequired[Number]


class _Other(_Side):
    variant: str


class _Case(TypedDict):
    name: str
    task: str
    ours: _Side
    torch: NotRequired[_Other]
    ratio: NotRequired[_Spread]


class _Start(TypedDict):
    config: str
    cold_seconds: Number
    warm_seconds: Number


class _Point(TypedDict):
    value: Number
    seconds_per_image: Number
    low: Number
    high: Number


class _Growth(TypedDict):
    config: str
    axis: str
    points: Annotated[list[_Point], pydantic.Field(min_length=1)]
    power: Number


class _Ceiling(TypedDict):
    dtype: str
    device: str
    flop_per_second: Number
    bytes_per_second: Number
    by: str


class _Machine(TypedDict):
    processor: str
    cores: int
    memory_gib: Number
    python: str
    versions: dict[str, str]
    date: str
    environment: dict[str, str]


class _How(TypedDict):
    rounds: int
    seconds: Number
    against: str


class _Content(TypedDict):
    machine: _Machine
    how: _How
    cautions: list[str]
    cases: NotRequired[list[_Case]]
    startup: NotRequired[list[_Start]]
    growth: NotRequired[list[_Growth]]
    ceilings: NotRequired[list[_Ceiling]]


def read(path: Path) -> Plain:
    """The results of an earlier benchmark.

    Raises:
      UserError: the file cannot be read, or holds something else.
    """
    try:
        reading.read_json(path, _Content)
        return reading.read_json(path)  # with all that is not read here
    except UserError as error:
        raise UserError(f"{error} It must be one that experiments.benchmark wrote.") from None


def markdown(content: Plain) -> str:
    """What a file of results holds, as tables."""
    return "\n\n".join(_parts(content)) + "\n"


def _parts(content: Plain) -> Iterator[str]:
    if content.get("cases"):
        rows = [_row(case) for case in content["cases"]]
        yield _table(_HEAD, rows)
        other = content["how"]["against"]
        if compared := [x for x in content["cases"] if "ratio" in x and other in x]:
            rows = [_compared(case, other) for case in compared]
            name = _TITLES.get(other, other)
            yield _table([column.format(name) for column in _COMPARED], rows)
    if content.get("startup"):
        yield _table(_STARTUP, [_startup_row(each) for each in content["startup"]])
    if content.get("growth"):
        yield _table(_GROWTH, [_growth_row(each) for each in content["growth"]])
    yield _machine(content)
    yield from content["cautions"]


_TITLES = {"torch": "PyTorch"}
_HEAD = ["", "iterations/s", "images/s", "first, s", "peak MiB"]
_HEAD += ["GFLOP/s", "of the ceiling", "wait for data"]
_COMPARED = ["", "ours, s", "{}, s", "its variant", "times as fast", "its peak MiB", "its first, s"]
_STARTUP = ["start to the first step", "first time, s", "again, s"]
_GROWTH = ["cost of an image", "grows with", "from", "to", "as the power"]


def _row(case: Plain) -> list[str]:
    ours = case["ours"]
    flops = ours.get("flop_per_second")
    return [
        case["name"],
        _number(ours["steps_per_second"]),
        _number(ours["images_per_second"]),
        _number(ours["first_seconds"]),
        _peak(ours),
        _number(flops / 1e9) if flops else NONE,
        f"{ours['share']:.0%}" if "share" in ours else NONE,
        f"{ours['data_wait']:.1%}" if case["task"] == "train" else NONE,
    ]


def _compared(case: Plain, other: str) -> list[str]:
    theirs, ratio = case[other], case["ratio"]
    return [
        case["name"],
        _seconds(case["ours"]["seconds"]),
        _seconds(theirs["seconds"]),
        theirs["variant"],
        f"**{ratio['median']:.2f}** ({ratio['low']:.2f} to {ratio['high']:.2f})",
        _peak(theirs),
        _number(theirs["first_seconds"]),
    ]


def _startup_row(each: Plain) -> list[str]:
    return [each["config"], _number(each["cold_seconds"]), _number(each["warm_seconds"])]


def _growth_row(each: Plain) -> list[str]:
    first, last = each["points"][0], each["points"][-1]
    ends = [f"{x['value']:g}: {_number(1e3 * x['seconds_per_image'])} ms" for x in (first, last)]
    return [each["config"], each["axis"], *ends, f"{each['power']:.2f}"]


def _machine(content: Plain) -> str:
    about = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts = [
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']:g} GiB",
        f"Python {about['python']}, {versions}",
        about["date"],
    ]
    for limit in content.get("ceilings", ()):
        reached = f"{limit['flop_per_second'] / 1e9:,.0f} GFLOP/s in {limit['dtype']}"
        moved = f"{limit['bytes_per_second'] / 2**30:,.1f} GiB/s of memory"
        parts.append(f"ceiling of {limit['device']}: {reached} by {limit['by']}, {moved}")
    if content.get("cases") or content.get("growth"):
        how = content["how"]
        parts.append(f"{how['rounds']} rounds of about {how['seconds']:g} s")
    parts += [f"{name}={value}" for name, value in about["environment"].items()]
    return "Measured on: " + "; ".join(parts) + "."


def _peak(side: Plain) -> str:
    """Of the device's own memory, where it has some, or else of the process."""
    return f"{side['peak_device_memory_mib'] or side['peak_memory_mib']:,}"


def _seconds(spread: Plain) -> str:
    low, median, high = (_number(spread[name]) for name in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _number(value: float) -> str:
    """Three digits, and all of whole thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rows = [list(head), ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
