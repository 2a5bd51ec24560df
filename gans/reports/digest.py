"""A comparison as plain data, and what is written of it in words, as Markdown and as CSV.

The plain data is what `experiments.compare --out=results.json` writes: `tables`, one for each
protocol, and `left_out`, sentences on what is in none. Of a table `groups` stand in their order,
the first being the one whose numbers the others' `differences` are to. All its numbers have six
digits.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pydantic
from typing_extensions import TypedDict

from gans.errors import UserError
from gans.files import reading
from gans.files.reading import Number
from gans.reports.comparing import Table, better, short
from gans.reports.groups import Group

ARROWS = {"lower": "↓", "higher": "↑", "near 1": "→ 1", "": ""}
NONE = "–"
_SPACE = "\u00a0"  # where no line may end

_LABELS = {
    "net": "Feature net",
    "weights": "Its weights",
    "resize": "Resizing",
    "num_fake": "Generated images",
    "num_real": "Real images",
    "num_a": "Images of A",
    "num_b": "Images of B",
    "split": "Split of these",
    "averaged": "Parameters",
    "seed": "Seed of the samples",
}
_FIELDS = ("table", "group", "seeds", "step", "metric", "better", "mean", "deviation", "count")
_FIELDS += ("difference", "low", "high", "values")

Plain = Mapping[str, Any]


class _Value(TypedDict):
    mean: Number | None
    deviation: Number | None
    count: int
    values: NotRequired[list[Number | None]]


class _Difference(TypedDict):
    value: Number | None
    low: Number | None
    high: Number | None


class _Group(TypedDict):
    name: str
    runs: list[str]
    seeds: list[int]
    step: int | None
    values: dict[str, _Value]
    differences: dict[str, _Difference]
    classes: dict[str, dict[str, _Value]]


class _Table(TypedDict):
    protocol: dict[str, Any]
    versions: list[str]
    cautions: list[str]
    metrics: dict[str, Literal["lower", "higher", "near 1", ""]]
    real: dict[str, Number]
    groups: Annotated[list[_Group], pydantic.Field(min_length=1)]


class _Content(TypedDict):
    tables: list[_Table]
    left_out: list[str]


def read(path: Path) -> Plain:
    """The plain data of an earlier comparison.

    Raises:
      UserError: the file cannot be read, or holds something else.
    """
    try:
        return reading.read_json(path, _Content)
    except UserError as error:
        raise UserError(f"{error} It must be one that experiments.compare wrote.") from None


def digest(tables: Sequence[Table], left_out: Sequence[str]) -> dict[str, Any]:
    """The plain data of a comparison."""
    return {"tables": [_plain(table) for table in tables], "left_out": list(left_out)}


def _plain(table: Table) -> dict[str, Any]:
    real = {metric: table.real(metric) for metric in table.metrics}
    return {
        "protocol": dict(table.protocol),
        "versions": list(table.versions),
        "cautions": list(table.cautions),
        "metrics": {metric: better(metric) for metric in table.metrics},
        "real": {metric: _number(x) for metric, x in real.items() if x is not None},
        "groups": [_plain_group(table, group) for group in table.groups],
    }


def _plain_group(table: Table, group: Group) -> dict[str, Any]:
    values, differences = {}, {}
    for metric in table.metrics:
        if summary := table.summary(group.name, metric):
            values[metric] = _plain_tuple(summary)
            values[metric]["values"] = [_number(x) for x in table.values[group.name][metric]]
        difference = table.difference(group.name, metric)
        if difference and group is not table.groups[0]:
            differences[metric] = _plain_tuple(difference)
    return {
        "name": group.name,
        "runs": [run.name for run in group.runs],
        "seeds": list(group.seeds),
        "step": table.steps.get(group.name),
        "values": values,
        "differences": differences,
        "classes": {
            label: {metric: _plain_tuple(summary) for metric, summary in each.items()}
            for label, each in table.by_class(group.name).items()
        },
    }


def _plain_tuple(numbers: NamedTuple) -> dict[str, Any]:
    return {name: _number(x) for name, x in numbers._asdict().items()}


def _number(x: float | None) -> float | None:
    """With six digits; None also for what is not finite, which JSON does not have."""
    if x is None or isinstance(x, int):
        return x
    return float(f"{x:.6g}") if math.isfinite(x) else None


def mean(value: Plain | None) -> tuple[str, str]:
    """A mean and its deviation, as many digits of the one as the other makes worth reading."""
    if value is None:
        return NONE, ""
    middle, spread = value["mean"], value["deviation"]
    if middle is None or spread is None:
        return written(middle), ""
    if spread <= 1e-6 * abs(middle):  # below the digits that the record has
        return written(middle), f"±{_SPACE}0"
    return written(middle, spread), f"±{_SPACE}{written(spread, spread)}"


def change(value: Plain | None) -> tuple[str, str]:
    """A difference with its sign, and its interval."""
    if value is None or value["value"] is None:
        return NONE, ""
    low, high = value["low"], value["high"]
    if low is None or high is None:
        return _signed(value["value"], None), "(one seed: no interval)"
    reach = (high - low) / 2
    return _signed(value["value"], reach), f"[{_signed(low, reach)}, {_signed(high, reach)}]"


def _signed(x: float, spread: float | None) -> str:
    return f"+{written(x, spread)}" if x > 0 else written(x, spread)


def written(x: float | None, spread: float | None = None) -> str:
    """Up to two digits of the spread, or to four of the number if there is none."""
    if x is None:
        return NONE
    if x and abs(x) < 1e-5:
        return f"{x:.2g}".replace("-", "−")
    places = _places(x, 6)
    places = min(places, _places(spread, 2)) if spread else min(places, _places(x, 4))
    return f"{x:,.{places}f}".replace("-", "−")


def _places(x: float, digits: int) -> int:
    """After the point, for so many digits of a number."""
    return max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else digits - 1


def protocol(table: Plain) -> list[tuple[str, str]]:
    """What was done to find the numbers, as labels and values."""
    known = table["protocol"]
    order = [name for name in dict.fromkeys([*_LABELS, *known]) if name in known]
    rows = [
        (_LABELS.get(name, name), short(known[name]) if known[name] != "" else "all")
        for name in order
        if name != "averaged"
    ]
    averaged = "averaged where a run keeps an average" if known.get("averaged") else ""
    rows.append((_LABELS["averaged"], averaged or "those of training, no average"))
    groups = [group for group in table["groups"] if group["step"] is not None]
    steps = {group["step"] for group in groups}
    each = ", ".join(f"{group['name']} {group['step']:,}" for group in groups)
    rows.append(("Step", f"{steps.pop():,}" if len(steps) == 1 else each))
    rows.append(("Seeds", "; ".join(f"{g['name']}: {_list(g['seeds'])}" for g in table["groups"])))
    return [*rows, ("Versions", ", ".join(table["versions"]))]


def _list(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items))


def in_short(table: Plain) -> list[str]:
    """What the table says, a sentence for each group beside the first, and on classes."""
    first, *others = table["groups"]
    found = [_verdict(first["name"], group, table["metrics"]) for group in others]
    for group in table["groups"]:
        accuracy = group["values"].get("class_accuracy")
        if accuracy and accuracy["mean"] is not None:
            real, chance = table["real"].get("class_accuracy"), 1 / max(1, len(group["classes"]))
            of_real = "" if real is None else f"of real images: {real:.1%}; "
            found.append(
                f"{group['name']}: the classifier finds the class asked for in "
                f"{accuracy['mean']:.1%} of the samples ({of_real}by chance: {chance:.1%})."
            )
    return found


def _verdict(first: str, group: Plain, metrics: Mapping[str, str]) -> str:
    """In which metrics a group is better than the first, and in which worse."""
    names: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for metric, way in metrics.items():
        difference = group["differences"].get(metric)
        if way not in ("lower", "higher") or not difference or difference["low"] is None:
            continue
        low, high = sorted((-1 if way == "lower" else 1) * difference[x] for x in ("low", "high"))
        names["better" if low > 0 else "worse" if high < 0 else "not told apart"].append(metric)
    parts = [f"{how} in {_list(which)}" for how, which in names.items() if which]
    if not parts:
        return (
            f"{group['name']} against {first}: without two seeds of both there is no interval, and "
            "a difference may be chance."
        )
    return f"{group['name']} against {first}: {'; '.join(parts)}."


def markdown(content: Plain) -> str:
    """The tables, their protocols below them."""
    parts = []
    for table in content["tables"]:
        words = "; ".join(f"{label.lower()}: {value}" for label, value in protocol(table))
        lines = [*aligned(list(_rows(table))), "", f"Protocol: {words}."]
        parts.append("\n".join([*lines, *(f"- {x}" for x in table["cautions"])]))
    return "\n\n".join([*parts, *content["left_out"]]) + "\n"


def _rows(table: Plain) -> Iterator[list[str]]:
    """Of the Markdown table, the head first."""
    metrics = table["metrics"]
    yield ["", *(f"{metric} {ARROWS[way]}".strip() for metric, way in metrics.items())]
    for group in table["groups"]:
        cells = [" ".join(mean(group["values"].get(metric))).strip() for metric in metrics]
        yield [f"{group['name']} (n = {counted(group)})", *cells]
    if table["real"]:
        yield ["real images", *(written(table["real"].get(m)) for m in metrics)]
    for group in table["groups"][1:]:
        found = [change(group["differences"].get(metric)) for metric in metrics]
        cells = [f"{value} {rest}".strip() for value, rest in found]
        yield [f"{group['name']} − {table['groups'][0]['name']}, 95% interval", *cells]


def counted(group: Plain) -> str:
    """How many seeds have numbers; as in "2 to 3" if not all have all metrics."""
    counts = {value["count"] for value in group["values"].values()} or {0}
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def aligned(rows: list[list[str]]) -> list[str]:
    """As lines of a Markdown table, which can be read as they are, too."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    rule = " | ".join("-" * width for width in widths)
    return [f"| {line} |" for line in (head, rule, *body)]


def as_csv(content: Plain) -> str:
    """A row for each table, group and metric."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for number, table in enumerate(content["tables"], 1):
        for group in table["groups"]:
            for metric, value in group["values"].items():
                difference = group["differences"].get(metric, {})
                row = {"table": number, "group": group["name"], "step": group["step"]}
                row |= {"metric": metric, "better": table["metrics"][metric], **value}
                row |= {
                    "seeds": " ".join(map(str, group["seeds"])),
                    "values": " ".join(map(str, value["values"])),
                    "difference": difference.get("value"),
                    "low": difference.get("low"),
                    "high": difference.get("high"),
                }
                writer.writerow(row)
    return text.getvalue()
