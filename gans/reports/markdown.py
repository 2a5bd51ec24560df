"""Numbers, sentences and tables as a person reads them: in Markdown, and in the cells of a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gans.reports.plain import Comparison, Difference, GroupNumbers, Table, Value

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


def mean(value: Value | None) -> tuple[str, str]:
    """A mean and its deviation, as many digits of the one as the other makes worth reading."""
    if value is None:
        return NONE, ""
    middle, spread = value["mean"], value["deviation"]
    if middle is None or spread is None:
        return written(middle), ""
    if spread <= 1e-6 * abs(middle):  # below the digits that the record has
        return written(middle), f"±{_SPACE}0"
    return written(middle, spread), f"±{_SPACE}{written(spread, spread)}"


def change(value: Difference | None) -> tuple[str, str]:
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


def protocol(table: Table) -> list[tuple[str, str]]:
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


def short(value: Any) -> str:
    """A value of a protocol; of a hash its beginning."""
    text = f"{value:,}" if type(value) is int else str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:12]}…" if is_hash else text


def count(number: int, noun: str) -> str:
    """As in "1 seed" and "2 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _list(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items))


def in_short(table: Table) -> list[str]:
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


def _verdict(first: str, group: GroupNumbers, metrics: Mapping[str, str]) -> str:
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


def comparison(content: Comparison) -> str:
    """The tables, their protocols below them, and the alarms of the runs."""
    parts = []
    for table in content["tables"]:
        words = "; ".join(f"{label.lower()}: {value}" for label, value in protocol(table))
        lines = [*aligned(list(_rows(table))), "", f"Protocol: {words}."]
        parts.append("\n".join([*lines, *(f"- {x}" for x in table["cautions"])]))
    alarms = [f"- {x}" for x in content.get("alarms", [])]
    said = ["\n".join(["Alarms in training:", *alarms])] if alarms else []
    return "\n\n".join([*parts, *content["left_out"], *said]) + "\n"


def _rows(table: Table) -> Iterator[list[str]]:
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


def counted(group: GroupNumbers) -> str:
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
