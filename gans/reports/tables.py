"""Groups of runs side by side: their numbers, each table by one protocol, as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from gans.reports import alarms, markdown, results, stats
from gans.reports.groups import Group
from gans.reports.plain import Comparison, GroupNumbers, Table

_FIELDS = ("table", "group", "seeds", "step", "metric", "better", "mean", "deviation", "count")
_FIELDS += ("difference", "low", "high", "values")

Values = Mapping[tuple[str, str, str], list[float]]
"""The values of a group's seeds, in their order, by group, metric and class."""


def compare(groups: Sequence[Group]) -> Comparison:
    """A table for each protocol by which every group has numbers.

    Without such a protocol, one table, of the protocol that most runs share. Protocols whose
    numbers are in no table are listed, a sentence each.
    """
    found = results.evaluations({group.name: group.runs for group in groups})
    having = found.groupby("protocol", sort=False).agg(
        groups=("group", "nunique"), runs=("run", "nunique")
    )
    kept = list(having.index[having["groups"] == len(groups)]) or [having["runs"].idxmax()]
    return {
        "tables": [_table(groups, json.loads(key), of_protocol(found, key)) for key in kept],
        "left_out": [
            _left_out(json.loads(kept[0]), json.loads(key), of_protocol(found, key))
            for key in having.index
            if key not in kept
        ],
        "alarms": alarms.sentences(run for group in groups for run in group.runs),
    }


def of_protocol(found: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows whose numbers were found by one protocol."""
    return found[found["protocol"] == key]


def rounded(content: Comparison) -> Comparison:
    """With six digits in all numbers, and None for what is not finite, which JSON does not have."""
    tables = [
        {**table, "real": _rounded(table["real"]), "groups": _rounded(table["groups"])}
        for table in content["tables"]
    ]
    return {**content, "tables": tables}


def _rounded(x: Any) -> Any:
    if isinstance(x, dict):
        return {name: _rounded(value) for name, value in x.items()}
    if isinstance(x, list):
        return [_rounded(value) for value in x]
    if isinstance(x, float):
        return float(f"{x:.6g}") if math.isfinite(x) else None
    return x


def as_csv(content: Comparison) -> str:
    """A row for each table, group and metric."""
    rows = []
    for number, table in enumerate(content["tables"], 1):
        for group in table["groups"]:
            for metric, value in group["values"].items():
                difference = group["differences"].get(metric, {})
                row = {"table": number, "group": group["name"], "step": group["step"]}
                row |= {"metric": metric, "better": table["metrics"][metric], **value}
                row |= {"seeds": _spaced(group["seeds"]), "values": _spaced(value["values"])}
                row |= {"low": difference.get("low"), "high": difference.get("high")}
                rows.append(row | {"difference": difference.get("value")})
    # As objects, so that a step or a count beside a missing one stays an integer.
    frame = pd.DataFrame(rows, columns=_FIELDS, dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _spaced(items: Sequence[Any]) -> str:
    return " ".join(map(str, items))


def _left_out(kept: Mapping[str, Any], other: Mapping[str, Any], rows: pd.DataFrame) -> str:
    differences = ", ".join(
        f"{name} {markdown.short(other.get(name, 'none'))}, "
        f"not {markdown.short(kept.get(name, 'none'))}"
        for name in dict.fromkeys([*other, *kept])
        if other.get(name) != kept.get(name)
    )
    names = ", ".join(Path(workdir).resolve().name for workdir in rows["run"].unique())
    return f"Left out, as found by another protocol ({differences}): numbers of {names}."


def _table(groups: Sequence[Group], protocol: dict[str, Any], rows: pd.DataFrame) -> Table:
    """The table of the rows of one protocol."""
    steps = _common_steps(rows)
    chosen = rows[rows["step"] == rows["group"].map(steps)]
    keys = ["group", "metric", "class"]
    # Two evaluators of one protocol may have found the same number of a run: the last counts.
    of_runs = chosen.groupby([*keys, "run"], sort=False)["value"].last()
    values = of_runs.groupby(level=keys, sort=False).agg(list).to_dict()
    metrics = results.headlines(metric for _, metric, label in values if not label)
    return {
        "protocol": protocol,
        "versions": list(dict.fromkeys(chain(*chosen["versions"]))),
        "cautions": list(_cautions(groups, steps, rows, chosen)),
        "metrics": {metric: results.better(metric) for metric in metrics},
        "real": _real(groups, metrics, values),
        "groups": [
            _numbers(group, groups[0], steps.get(group.name), metrics, values) for group in groups
        ],
    }


def _common_steps(rows: pd.DataFrame) -> dict[str, int]:
    """The last step that all runs share; without one, the last that each group's runs share.

    Returns:
      A step by group; a group that has none is left out.
    """
    of_runs = rows.groupby(["group", "run"], sort=False)["step"].agg(set)
    of_groups = of_runs.groupby(level="group", sort=False).agg(lambda sets: set.intersection(*sets))
    shared = set.intersection(*of_groups)
    return {name: int(max(shared or own)) for name, own in of_groups.items() if shared or own}


def _real(groups: Sequence[Group], metrics: Sequence[str], values: Values) -> dict[str, float]:
    """What the real images themselves come to, where that was found."""
    found = {}
    for metric in metrics:
        each = [values.get((group.name, f"{metric}_real", "")) for group in groups]
        if there := [x[0] for x in each if x]:
            found[metric] = there[0]
    return found


def _numbers(
    group: Group, first: Group, step: int | None, metrics: Sequence[str], values: Values
) -> GroupNumbers:
    """A group's numbers, and its differences to the first group."""
    own, base = (
        {metric: values[name, metric, ""] for metric in metrics if (name, metric, "") in values}
        for name in (group.name, first.name)
    )
    compared = own if group is not first else ()
    classes: dict[str, Any] = {}
    for (name, metric, label), each in values.items():
        if name == group.name and label:
            classes.setdefault(label, {})[metric] = stats.summary(each)._asdict()
    return {
        "name": group.name,
        "runs": [run.name for run in group.runs],
        "seeds": list(group.seeds),
        "step": step,
        "values": {
            metric: {**stats.summary(each)._asdict(), "values": each}
            for metric, each in own.items()
        },
        "differences": {
            metric: stats.difference(own[metric], base[metric])._asdict()
            for metric in compared
            if metric in base
        },
        "classes": classes,
    }


def _cautions(
    groups: Sequence[Group], steps: Mapping[str, int], rows: pd.DataFrame, chosen: pd.DataFrame
) -> Iterator[str]:
    """What the evaluators say, and what the comparison itself must."""
    yield from dict.fromkeys(chain(*chosen["cautions"]))
    if len(set(steps.values())) > 1:
        each = ", ".join(f"{name} at {step:,}" for name, step in steps.items())
        yield f"The groups share no evaluated step: {each}. They may not be trained alike."
    latest = rows.groupby("run")["step"].max()
    for group in groups:
        having = [run for run in group.runs if str(run.workdir) in latest]
        if len(having) < len(group.runs):
            lacking = ", ".join(run.name for run in group.runs if run not in having)
            yield f"{lacking}: without numbers by this protocol."
        elif group.name not in steps:
            yield f"{group.name}: its runs were evaluated at no step in common."
        last = min((latest[str(run.workdir)] for run in having), default=0)
        if last > steps.get(group.name, last):
            yield f"{group.name} was also evaluated later, at step {last:,}, where not all were."
    if chosen["versions"].nunique() > 1:
        yield "Not all were evaluated with the same versions, or on the same kind of device."
    if len({run.averages for group in groups for run in group.runs}) > 1:
        names = ", ".join(group.name for group in groups if group.runs[0].averages)
        yield f"Only {names} samples with averaged parameters: the others keep no average."
