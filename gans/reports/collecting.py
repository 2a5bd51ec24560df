"""The run folders of a sweep, side by side: what differs between them, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gans.config import schema
from gans.errors import UserError
from gans.reports import comparing
from gans.reports.groups import Run, read_run
from gans.runs import standing
from gans.training.sweeps import launching, plan

FINISHED, UNFINISHED, FAILED, WAITING = "trained", "unfinished", "failed", "not begun"


class Column(NamedTuple):
    """Numbers that one evaluator found in one way.

    Attributes:
      evaluator: its name in the config.
      metric: the value's name.
      protocol: the same for numbers that may stand in one column.
    """

    evaluator: str
    metric: str
    protocol: str

    @property
    def name(self) -> str:
        """As in "quality/fcd"."""
        return f"{self.evaluator}/{self.metric}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A run folder.

    Attributes:
      name: of the folder.
      state: one of the four.
      why: what is to be said of a run that is not trained.
      step: of the newest checkpoint.
      run: what the folder says of itself; None where training did not come that far.
      values: its numbers at the step; of an unfinished run, at the last one that was evaluated.
    """

    name: str
    state: str
    why: str
    step: int
    run: Run | None
    values: Mapping[Column, float]

    @property
    def seconds(self) -> float | None:
        """Of training, without what comes before the first line of metrics; None if not known."""
        if self.run is None:
            return None
        lines, batch = self.run.metrics, self.run.config.data.batch_size
        known = [
            (line["step"] - before["step"]) * batch / line["images_per_second"]
            for before, line in zip([{"step": 0}, *lines], lines, strict=False)
            if line.get("images_per_second", 0) > 0
        ]
        return sum(known) if known else None


def read(folder: Path) -> list[Entry]:
    """The runs in the folders in `folder`, by name.

    Raises:
      UserError: there are none.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give that of a sweep.")
    found = [
        path
        for path in sorted(folder.iterdir())
        if any(os.path.lexists(path / name) for name in ("config.json", launching.LOG))
    ]
    if not found:
        raise UserError(f"{folder} holds no run folders; give the --workdir of a sweep.")
    return [_entry(path) for path in found]


def _entry(workdir: Path) -> Entry:
    log = launching.tail(workdir)
    error = next((x.removeprefix("error: ") for x in log if x.startswith("error: ")), "")
    if not os.path.lexists(workdir / "data.json"):
        return Entry(workdir.name, FAILED if error else WAITING, error, 0, None, {})
    try:
        run, step = read_run(workdir), standing.step(workdir) or 0
    except UserError as damage:  # the others are worth a table all the same
        return Entry(workdir.name, FAILED, str(damage), 0, None, {})
    total = run.config.train.num_steps
    if step >= total:
        return Entry(workdir.name, FINISHED, "", step, run, _values(run, step))
    last = max((line["step"] for line in run.evaluations), default=0)
    state = FAILED if error or "Traceback (most recent call last):" in log else UNFINISHED
    why = error or f"at step {step:,} of {total:,}"
    return Entry(workdir.name, state, why, step, run, _values(run, last))


def _values(run: Run, step: int) -> dict[Column, float]:
    return {
        Column(line["evaluator"], metric, comparing.protocol_key(run, line)): value
        for line in run.evaluations
        if line["step"] == step
        for metric, value in line["values"].items()
    }


def columns(entries: Iterable[Entry]) -> list[Column]:
    """All metrics, those that most runs have first, then in the order of a comparison."""
    counts: dict[Column, int] = {}
    for entry in entries:
        for column in entry.values:
            counts[column] = counts.get(column, 0) + 1
    order = comparing.headlines(column.metric for column in counts)
    shown = [column for column in counts if column.metric in order]
    return sorted(
        shown, key=lambda x: (not comparing.better(x.metric), -counts[x], order.index(x.metric))
    )


def protocols(found: Sequence[Column]) -> dict[str, int]:
    """A number for each protocol, from 1."""
    return {key: i for i, key in enumerate(dict.fromkeys(x.protocol for x in found), 1)}


def titles(found: Sequence[Column]) -> dict[Column, str]:
    """What to call each column: with its protocol's number where the name alone is not enough."""
    numbers, names = protocols(found), [column.name for column in found]
    return {
        column: f"{column.name} [{numbers[column.protocol]}]"
        if names.count(column.name) > 1
        else column.name
        for column in found
    }


def choose(found: Sequence[Column], metric: str | None) -> Column | None:
    """The column to rank by: the one named, or the first; None if there is none at all.

    Raises:
      UserError: there is no such metric.
    """
    if metric is None:
        return found[0] if found else None
    for column, title in titles(found).items():
        if metric in (title, column.name):
            return column
    known = ", ".join(dict.fromkeys(titles(found).values())) or "no metrics at all"
    raise UserError(f"The runs have no metric {metric!r}; they have {known}.")


def varied(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """The fields that differ between the runs, those of equal values together, by a short name."""
    configs = [schema.flatten(schema.to_plain(x.run.config)) for x in entries if x.run]
    rows: dict[str, list[str]] = {}
    for field in dict.fromkeys(field for config in configs for field in config):
        values = [json.dumps(config.get(field)) for config in configs]
        if len(set(values)) > 1:
            rows.setdefault(json.dumps(values), []).append(field)
    together = [sorted(fields, key=lambda x: (x.count("."), len(x))) for fields in rows.values()]
    names = plan.short_names([fields[0] for fields in together])
    return {names[fields[0]]: tuple(fields) for fields in together}


def value(entry: Entry, field: str) -> Any:
    """Of a field of a run's config, lists as text; None where it has none."""
    found = schema.flatten(schema.to_plain(entry.run.config)).get(field) if entry.run else None
    return ", ".join(map(str, found)) or "none" if isinstance(found, list) else found


def ranked(entries: Sequence[Entry], by: Column | None, best: str) -> list[Entry]:
    """Trained runs, the best first, then the others.

    Args:
      entries: the runs.
      by: what ranks them.
      best: "lower", "higher" or "near 1".
    """
    order = (FINISHED, UNFINISHED, FAILED, WAITING)

    def place(entry: Entry) -> tuple[int, bool, float]:
        x = entry.values.get(by) if by else None
        if x is None or x != x:
            return order.index(entry.state), True, 0.0
        distance = {"lower": x, "higher": -x, "near 1": abs(x - 1)}[best]
        return order.index(entry.state), False, distance

    return sorted(entries, key=place)


def axes(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """What was varied but for seeds, by short names; fields that change together are one axis."""
    runs_there = [entry for entry in entries if entry.run]
    found: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[int, ...]] = set()
    for name, fields in varied(entries).items():
        values = [value(entry, fields[0]) for entry in runs_there]
        pattern = tuple(values.index(x) for x in values)
        if name != "seed" and pattern not in seen:
            seen.add(pattern)
            found[name] = fields
    return found or {name: x for name, x in varied(entries).items() if name == "seed"}


def curves(entries: Sequence[Entry], by: Column, axis: str) -> dict[str, dict[Any, list[float]]]:
    """A metric of the trained runs against one axis, a curve for each setting of the others."""
    every = axes(entries)
    found: dict[str, dict[Any, list[float]]] = {}
    for entry in sorted(entries, key=lambda entry: _in_order(entry, every)):
        if entry.state == FINISHED and by in entry.values:
            others = [f"{x} {value(entry, every[x][0])}" for x in every if x != axis]
            curve = found.setdefault(", ".join(others) or "all", {})
            curve.setdefault(value(entry, every[axis][0]), []).append(entry.values[by])
    return found


def _in_order(entry: Entry, fields: Mapping[str, Sequence[str]]) -> list[tuple[bool, Any]]:
    """Such that numbers stand in their order, and before words."""
    values = [value(entry, names[0]) for names in fields.values()]
    return [
        (False, x) if isinstance(x, int | float) else (True, "" if x is None else str(x))
        for x in values
    ]
