"""The numbers of groups of runs side by side, as far as they were found in the same way."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gans.reports import stats
from gans.reports.groups import Group, Lines, Run
from gans.reports.stats import Difference, Summary
from gans.runs import evaluation_record

# In the order of the columns, with which way is better; the rest follow.
_BETTER = {
    "fid": "lower",
    "kid": "lower",
    "fcd": "lower",
    "kcd": "lower",
    "inception_score": "higher",
    "classifier_score": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "vendi": "higher",
    "copied": "lower",
    "nearest_low_ratio": "near 1",
    "class_accuracy": "higher",
    "fid_by_class": "lower",
    "fcd_by_class": "lower",
    "cycle": "lower",
    "identity": "lower",
    "colour": "higher",
    "inverted": "lower",
}
_NO_LOSSES = ("step", "time", "epoch", "images_per_second", "data_wait")

Values = Mapping[str, tuple[float, ...]]
"""Of each metric the values that a group's seeds have, in their order."""

Record = Mapping[Path, Lines]
"""The lines of each run, by its folder."""


class Point(NamedTuple):
    """Of a curve: at a step the mean over seeds, the least and the most of them."""

    step: int
    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Table:
    """What one protocol says of the groups.

    Attributes:
      protocol: what was done to find the numbers. Its `averaged` says that averaged parameters
        were taken where a run keeps them.
      versions: of libraries and kinds of devices, a phrase each; more than one of a kind if the
        runs were evaluated by different ones.
      cautions: what to mind when the numbers are read, a sentence each.
      groups: all of them, the first being the one the others are compared with.
      steps: of each group, by name, the step of its values; a group without any is left out.
      values: of each group, by name.
      curves: of each metric and each group, by name.
    """

    protocol: Mapping[str, Any]
    versions: tuple[str, ...]
    cautions: tuple[str, ...]
    groups: tuple[Group, ...]
    steps: Mapping[str, int]
    values: Mapping[str, Values]
    curves: Mapping[str, Mapping[str, Sequence[Point]]]

    @property
    def metrics(self) -> list[str]:
        """The metrics that any group has, but for deviations, single classes and real images."""
        names = dict.fromkeys(name for values in self.values.values() for name in values)
        return headlines(names)

    def summary(self, group: str, metric: str) -> Summary | None:
        """Of a metric over a group's seeds, None if the group does not have it."""
        values = self.values[group].get(metric)
        return stats.summary(values) if values else None

    def difference(self, group: str, metric: str) -> Difference | None:
        """Of a group to the first, None if one of them does not have the metric."""
        values = self.values[group].get(metric)
        others = self.values[self.groups[0].name].get(metric)
        return stats.difference(values, others) if values and others else None

    def real(self, metric: str) -> float | None:
        """What the real images themselves come to, where that was found."""
        found = [x for values in self.values.values() for x in values.get(f"{metric}_real", ())]
        return found[0] if found else None

    def by_class(self, group: str) -> dict[str, dict[str, Summary]]:
        """Of each class the metrics found for it alone."""
        found: dict[str, dict[str, Summary]] = {}
        for name, values in self.values[group].items():
            metric, slash, label = name.partition("/")
            if slash:
                found.setdefault(label, {})[metric] = stats.summary(values)
        return found


def headlines(names: Iterable[str]) -> list[str]:
    """Of the names of values the metrics, the known ones first."""
    names = dict.fromkeys(names)
    shown = [name for name in names if _is_headline(name, names)]
    order = list(_BETTER)
    return sorted(shown, key=lambda x: order.index(_kind(x)) if better(x) else len(order))


def better(metric: str) -> str:
    """Which way a metric is better: "lower", "higher", "near 1", or "" if that is not known."""
    return _BETTER.get(_kind(metric), "")


def tables(groups: Sequence[Group]) -> tuple[list[Table], list[str]]:
    """A table for each protocol by which every group has numbers.

    Without such a protocol, one table, of the protocol that most runs share.

    Returns:
      The tables, and a sentence for each protocol whose numbers are in none of them.
    """
    found: dict[str, Record] = {}
    for run in _runs(groups):
        for line in run.evaluations:
            found.setdefault(protocol_key(run, line), {}).setdefault(run.workdir, []).append(line)

    def is_shared(lines: Record) -> bool:
        return all(any(run.workdir in lines for run in group.runs) for group in groups)

    most = max(found, key=lambda key: len(found[key]))
    kept = [key for key in found if is_shared(found[key])] or [most]
    left_out = [
        _left_out(json.loads(kept[0]), json.loads(key), list(lines))
        for key, lines in found.items()
        if key not in kept
    ]
    return [_table(groups, json.loads(key), found[key]) for key in kept], left_out


def losses(groups: Sequence[Group]) -> dict[str, dict[str, list[Point]]]:
    """Curves of what the groups' runs log in training, of each metric and each group."""
    return _curves(
        groups,
        {
            run.workdir: [
                (line["step"], {k: x for k, x in line.items() if k not in _NO_LOSSES})
                for line in run.metrics
            ]
            for run in _runs(groups)
        },
    )


def _runs(groups: Sequence[Group]) -> Iterator[Run]:
    return (run for group in groups for run in group.runs)


def protocol_key(run: Run, line: Mapping[str, Any]) -> str:
    """The same for lines whose numbers may stand in one column."""
    protocol = evaluation_record.essential(line["protocol"])
    if not run.averages and "averaged" in protocol:
        # Without an average, the parameters are the ones that stand for it.
        protocol["averaged"] = True
    return json.dumps(protocol, sort_keys=True)


def _left_out(kept: Mapping[str, Any], other: Mapping[str, Any], runs: Sequence[Path]) -> str:
    differences = ", ".join(
        f"{name} {short(other.get(name, 'none'))}, not {short(kept.get(name, 'none'))}"
        for name in dict.fromkeys([*other, *kept])
        if other.get(name) != kept.get(name)
    )
    return (
        f"Left out, as found by another protocol ({differences}): numbers of "
        f"{', '.join(path.resolve().name for path in runs)}."
    )


def short(value: Any) -> str:
    """A protocol's value, of a hash its beginning."""
    text = f"{value:,}" if type(value) is int else str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:12]}…" if is_hash else text


def _table(groups: Sequence[Group], protocol: Mapping[str, Any], lines: Record) -> Table:
    steps = _common_steps(groups, lines)
    values: dict[str, Values] = {group.name: {} for group in groups}
    chosen = []
    for group in groups:
        at = [_at(lines.get(run.workdir, ()), steps.get(group.name)) for run in group.runs]
        chosen += [line for found in at for line in found]
        each = [_merged(found) for found in at]
        names = dict.fromkeys(name for numbers in each for name in numbers)
        values[group.name] = {
            name: tuple(numbers[name] for numbers in each if name in numbers) for name in names
        }
    series = {
        workdir: [(line["step"], line["values"]) for line in found]
        for workdir, found in lines.items()
    }
    return Table(
        protocol,
        tuple(dict.fromkeys(phrase for line in chosen for phrase in _versions(line["protocol"]))),
        tuple(_cautions(groups, steps, lines, chosen)),
        tuple(groups),
        steps,
        values,
        _curves(groups, series),
    )


def _common_steps(groups: Sequence[Group], lines: Record) -> dict[str, int]:
    """The last step that all runs share; without one, the last that each group's runs share."""
    each = {
        group.name: [
            {line["step"] for line in lines[run.workdir]}
            for run in group.runs
            if run.workdir in lines
        ]
        for group in groups
    }
    each = {name: steps for name, steps in each.items() if steps}
    everywhere = set.intersection(*(steps for group in each.values() for steps in group))
    if everywhere:
        return dict.fromkeys(each, max(everywhere))
    shared = {name: set.intersection(*steps) for name, steps in each.items()}
    return {name: max(steps) for name, steps in shared.items() if steps}


def _at(lines: Lines, step: int | None) -> Lines:
    return [line for line in lines if line["step"] == step]


def _merged(lines: Lines) -> dict[str, float]:
    """All values, of evaluators that had the same protocol."""
    return {name: value for line in lines for name, value in line["values"].items()}


def _versions(protocol: Mapping[str, Any]) -> list[str]:
    versions = [f"{name} {version}" for name, version in protocol.get("versions", {}).items()]
    return [*versions, *([f"on {protocol['device']}"] if "device" in protocol else ())]


def _cautions(
    groups: Sequence[Group], steps: Mapping[str, int], lines: Record, chosen: Lines
) -> Iterator[str]:
    """What the evaluators say, and what the comparison itself must."""
    yield from dict.fromkeys(x for line in chosen for x in line["protocol"].get("cautions", ()))
    if len(set(steps.values())) > 1:
        each = ", ".join(f"{name} at {step:,}" for name, step in steps.items())
        yield f"The groups share no evaluated step: {each}. They may not be trained alike."
    for group in groups:
        having = [run for run in group.runs if run.workdir in lines]
        if len(having) < len(group.runs):
            lacking = ", ".join(run.name for run in group.runs if run not in having)
            yield f"{lacking}: without numbers by this protocol."
        elif group.name not in steps:
            yield f"{group.name}: its runs were evaluated at no step in common."
        last = min((max(x["step"] for x in lines[r.workdir]) for r in having), default=0)
        if last > steps.get(group.name, last):
            yield f"{group.name} was also evaluated later, at step {last:,}, where not all were."
    versions = {json.dumps(_versions(line["protocol"])) for line in chosen}
    if len(versions) > 1:
        yield "Not all were evaluated with the same versions, or on the same kind of device."
    kinds = {run.averages for run in _runs(groups)}
    if len(kinds) > 1:
        names = ", ".join(group.name for group in groups if group.runs[0].averages)
        yield f"Only {names} samples with averaged parameters: the others keep no average."


def _curves(
    groups: Sequence[Group], series: Mapping[Path, Sequence[tuple[int, Mapping[str, float]]]]
) -> dict[str, dict[str, list[Point]]]:
    """Of each metric and group, from the steps and values of each run."""
    found: dict[str, dict[str, dict[int, list[float]]]] = {}
    for group in groups:
        for run in group.runs:
            for step, values in series.get(run.workdir, ()):
                for name, value in values.items():
                    if _is_headline(name, values) and math.isfinite(value):
                        steps = found.setdefault(name, {}).setdefault(group.name, {})
                        steps.setdefault(step, []).append(value)
    return {
        name: {
            group: [
                Point(step, sum(values) / len(values), min(values), max(values))
                for step, values in sorted(steps.items())
            ]
            for group, steps in each.items()
        }
        for name, each in found.items()
    }


def _is_headline(name: str, names: Mapping[str, Any]) -> bool:
    """Whether a value is of all generated images, and no companion of another value."""
    if "/" in name:
        return False
    base, _, last = name.rpartition("_")
    return not (last in ("deviation", "real") and base in names)


def _kind(metric: str) -> str:
    """A metric's name without the direction, the domain or the feature net it is of."""
    base, _, last = metric.rpartition("_")
    return base if last in ("a", "b", "ab", "ba") else metric
