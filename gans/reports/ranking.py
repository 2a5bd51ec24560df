"""The runs of a sweep in order: what differs between them, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gans.config import schema
from gans.errors import UserError
from gans.reports import markdown, results
from gans.reports.groups import Run, read_run
from gans.runs import standing
from gans.training.sweeps import launching, plan

FINISHED, UNFINISHED, FAILED, WAITING = "trained", "unfinished", "failed", "not begun"


class Column(NamedTuple):
    """Numbers that may be compared.

    Attributes:
      evaluator: its name in the config.
      metric: what it found.
      protocol: how, as `results.protocol_key` gives it.
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
    """A run folder of a sweep.

    Attributes:
      name: of the folder.
      state: one of the four.
      why: what is to be said of a run that is not trained.
      step: of the newest checkpoint.
      evaluated: the step whose numbers count: the last of a trained run, of another the last one
        that was evaluated.
      run: what the folder says of itself; None where training did not come that far.
    """

    name: str
    state: str
    why: str
    step: int = 0
    evaluated: int = 0
    run: Run | None = None

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


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The runs of a sweep.

    Attributes:
      title: of the sweep.
      entries: the best first.
      fields: by a short name the fields that differ between the runs; those that change together
        are under one name.
      settings: the values of these fields, None where a run has none; a row for each entry that
        has a config, a column for each short name.
      columns: the metrics by their titles, the one that ranks first.
      numbers: a row for each entry, a column for each title; NaN where a run has no number.
      by: the title of the column that ranks; None if there are no numbers.
      best: "lower", "higher" or "near 1".
    """

    title: str
    entries: Sequence[Entry]
    fields: Mapping[str, Sequence[str]]
    settings: pd.DataFrame
    columns: Mapping[str, Column]
    numbers: pd.DataFrame
    by: str | None
    best: str

    @property
    def with_config(self) -> list[Entry]:
        """The entries that have something for a table."""
        return [entry for entry in self.entries if entry.run]


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
        return Entry(workdir.name, FAILED if error else WAITING, error)
    try:
        run, step = read_run(workdir), standing.step(workdir) or 0
    except UserError as damage:  # the others are worth a table all the same
        return Entry(workdir.name, FAILED, str(damage))
    total = run.config.train.num_steps
    if step >= total:
        return Entry(workdir.name, FINISHED, "", step, step, run)
    last = max((line["step"] for line in run.evaluations), default=0)
    state = FAILED if error or "Traceback (most recent call last):" in log else UNFINISHED
    why = error or f"at step {step:,} of {total:,}"
    return Entry(workdir.name, state, why, step, last, run)


def rank(title: str, entries: Sequence[Entry], metric: str | None, best: str | None) -> Ranking:
    """Trained runs, the best first, then the others.

    Args:
      title: of the sweep.
      entries: the runs.
      metric: what ranks them, as in "quality/fcd"; None for the first metric that can.
      best: "lower" or "higher"; None for what is known of the metric.

    Raises:
      UserError: there is no such metric, or it is not known which way it is better.
    """
    found = _found(entries)
    columns = _columns(found)
    by = _choose(columns, metric)
    way = best or (results.better(by.metric) if by else "lower")
    if not way:
        raise UserError(
            f"It is not known whether {by.name} is better lower or higher: say --best=lower or "
            "--best=higher, or choose another --metric."
        )
    columns.sort(key=lambda column: column != by)
    each = {name: found.xs(column, level=_KEYS) for name, column in titles(columns).items()}
    entries = _sorted(entries, found.xs(by, level=_KEYS).to_dict() if by else {}, way)
    fields = varied(entries)
    return Ranking(
        title=title,
        entries=entries,
        fields=fields,
        settings=_settings(entries, fields),
        columns=titles(columns),
        numbers=pd.DataFrame(each, index=[entry.name for entry in entries]),
        by=next(iter(each), None),
        best=way,
    )


_KEYS = ["evaluator", "metric", "protocol"]


def _found(entries: Sequence[Entry]) -> pd.Series:
    """The numbers that count, by entry, evaluator, metric and protocol."""
    rows = results.evaluations({entry.name: [entry.run] for entry in entries if entry.run})
    steps = rows["group"].map({entry.name: entry.evaluated for entry in entries})
    rows = rows[(rows["step"] == steps) & (rows["class"] == "")]
    # Where a run has two numbers that were found in the same way, the last counts.
    return rows.groupby(["group", *_KEYS], sort=False)["value"].last()


def _columns(found: pd.Series) -> list[Column]:
    """All metrics, those that most runs have first, then in the order of a comparison."""
    counts = {Column(*key): n for key, n in found.groupby(level=_KEYS, sort=False).size().items()}
    order = results.headlines(column.metric for column in counts)
    shown = [column for column in counts if column.metric in order]
    return sorted(
        shown, key=lambda x: (not results.better(x.metric), -counts[x], order.index(x.metric))
    )


def protocols(columns: Iterable[Column]) -> dict[str, int]:
    """A number for each protocol, from 1."""
    return {key: i for i, key in enumerate(dict.fromkeys(x.protocol for x in columns), 1)}


def titles(columns: Sequence[Column]) -> dict[str, Column]:
    """What to call each column: with its protocol's number where the name alone is not enough."""
    numbers, names = protocols(columns), [column.name for column in columns]
    return {
        f"{column.name} [{numbers[column.protocol]}]"
        if names.count(column.name) > 1
        else column.name: column
        for column in columns
    }


def _choose(columns: Sequence[Column], metric: str | None) -> Column | None:
    """The column to rank by: the one named, or the first; None if there is none at all.

    Raises:
      UserError: there is no such metric.
    """
    if metric is None:
        return columns[0] if columns else None
    for title, column in titles(columns).items():
        if metric in (title, column.name):
            return column
    known = ", ".join(titles(columns)) or "no metrics at all"
    raise UserError(f"The runs have no metric {metric!r}; they have {known}.")


def _sorted(entries: Sequence[Entry], values: Mapping[str, float], best: str) -> list[Entry]:
    order = (FINISHED, UNFINISHED, FAILED, WAITING)

    def place(entry: Entry) -> tuple[int, bool, float]:
        x = values.get(entry.name)
        if x is None:
            return order.index(entry.state), True, 0.0
        distance = {"lower": x, "higher": -x, "near 1": abs(x - 1)}[best]
        return order.index(entry.state), False, distance

    return sorted(entries, key=place)


def varied(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The fields that differ between the runs, those of equal values together, by a short name."""
    configs = [_flat(entry.run) for entry in entries if entry.run]
    rows: dict[str, list[str]] = {}
    for field in dict.fromkeys(field for config in configs for field in config):
        values = [json.dumps(config.get(field)) for config in configs]
        if len(set(values)) > 1:
            rows.setdefault(json.dumps(values), []).append(field)
    together = [sorted(fields, key=lambda x: (x.count("."), len(x))) for fields in rows.values()]
    names = plan.short_names([fields[0] for fields in together])
    return {names[fields[0]]: fields for fields in together}


def _flat(run: Run) -> dict[str, Any]:
    return schema.flatten(schema.to_plain(run.config))


def _settings(entries: Sequence[Entry], fields: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """As in a `Ranking`; lists as text."""

    def shown(x: Any) -> Any:
        return ", ".join(map(str, x)) or "none" if isinstance(x, list) else x

    configs = {entry.name: _flat(entry.run) for entry in entries if entry.run}
    rows = [[shown(config.get(each[0])) for each in fields.values()] for config in configs.values()]
    # As objects: a seed beside a missing one stays an integer, and None is None.
    return pd.DataFrame(rows, index=list(configs), columns=list(fields), dtype=object)


def axes(ranking: Ranking) -> list[str]:
    """What was varied but for seeds, by short names; fields that change together are one axis."""
    found: dict[tuple[int, ...], str] = {}
    for name in ranking.settings:
        values = list(ranking.settings[name])
        if name != "seed":
            found.setdefault(tuple(values.index(x) for x in values), name)
    return list(found.values()) or [name for name in ranking.settings if name == "seed"]


def curves(ranking: Ranking, axis: str) -> dict[str, dict[Any, list[float]]]:
    """The metric that ranks, of trained runs, against one axis.

    Returns:
      For each setting of the other axes a curve: its values by the axis's.
    """
    every = axes(ranking)
    names = [entry.name for entry in ranking.entries if entry.state == FINISHED]
    values = ranking.numbers[ranking.by][names].dropna()
    settings = ranking.settings.loc[values.index]
    found: dict[str, dict[Any, list[float]]] = {}
    for name, of_run in sorted(settings.iterrows(), key=lambda item: _in_order(item[1][every])):
        others = ", ".join(f"{x} {of_run[x]}" for x in every if x != axis)
        curve = found.setdefault(others or "all", {})
        curve.setdefault(of_run[axis], []).append(float(values[name]))
    return found


def _in_order(row: Iterable[Any]) -> list[tuple[bool, Any]]:
    """Such that numbers stand in their order, and before words."""
    return [
        (False, x) if isinstance(x, int | float) else (True, "" if x is None else str(x))
        for x in row
    ]


def in_short(ranking: Ranking) -> list[str]:
    """Which point is best, and how many came to their end."""
    entries, by = ranking.entries, ranking.by
    states = [entry.state for entry in entries]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    sentences = [f"{markdown.count(len(entries), 'point')}: {', '.join(counts)}."]
    if alarmed := [entry.name for entry in ranking.with_config if entry.run.alarms]:
        sentences.append(f"With alarms in training: {', '.join(alarmed)}.")
    first = entries[0]
    if by is None:
        return [*sentences, "No evaluations, so no order: see python -m experiments.evaluate."]
    value = ranking.numbers.at[first.name, by]
    if first.state == FINISHED and pd.notna(value):
        number = markdown.written(value)
        sentences.append(f"The best by {by} ({ranking.best} is better): {first.name}, {number}.")
    return sentences


def not_trained(ranking: Ranking) -> list[str]:
    """Of each run that did not come to its end, why."""
    return [
        f"{entry.name}: {entry.state}{', ' if entry.why else ''}{entry.why}"
        for entry in ranking.entries
        if entry.state != FINISHED
    ]


def as_markdown(ranking: Ranking) -> str:
    """The metrics found in the same way as the one that ranks."""
    by = ranking.columns.get(ranking.by)
    shown = [title for title, x in ranking.columns.items() if x[::2] == by[::2]]
    rows = [head(ranking, shown), *(row(ranking, entry, shown) for entry in ranking.with_config)]
    lines = [*markdown.aligned(rows), "", *in_short(ranking), *not_trained(ranking)]
    return "\n".join(lines) + "\n"


def head(ranking: Ranking, shown: Sequence[str]) -> list[str]:
    """The head of a table of some of the columns, by title."""
    arrows = [markdown.ARROWS[results.better(ranking.columns[title].metric)] for title in shown]
    metrics = [f"{title} {arrow}".strip() for title, arrow in zip(shown, arrows, strict=True)]
    return [*(ranking.fields or ["point"]), *metrics, "step", "seconds", ""]


def row(ranking: Ranking, entry: Entry, shown: Sequence[str]) -> list[str]:
    """The row of a run in a table of some of the columns, by title."""
    settings = ranking.settings.loc[entry.name]
    values = [markdown.NONE if x is None else str(x) for x in settings] or [entry.name]
    found = ranking.numbers.loc[entry.name, list(shown)]
    numbers = [markdown.written(None if pd.isna(x) else x) for x in found]
    seconds = markdown.NONE if entry.seconds is None else f"{entry.seconds:.0f}"
    state = "" if entry.state == FINISHED else entry.state
    return [*values, *numbers, f"{entry.step:,}", seconds, state]


def as_csv(ranking: Ranking) -> str:
    """A row for each run, all metrics."""
    seconds = [None if x.seconds is None else round(x.seconds, 1) for x in ranking.entries]
    beside = pd.DataFrame(
        [(x.step, s, x.state, x.why) for x, s in zip(ranking.entries, seconds, strict=True)],
        index=ranking.numbers.index,
        columns=["step", "seconds", "state", "why"],
    )
    settings = ranking.settings.rename(columns={x: y[0] for x, y in ranking.fields.items()})
    table = pd.concat([settings.reindex(beside.index), ranking.numbers, beside], axis=1)
    return table.to_csv(index_label="point", lineterminator="\n")
