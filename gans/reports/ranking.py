"""The table of a sweep in words, as CSV and as a page. Nothing here touches a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from gans.reports import charts, collecting, comparing, digest, pages
from gans.reports.collecting import Column, Entry


class Ranking(NamedTuple):
    """Runs in order.

    Attributes:
      title: of the sweep.
      entries: the best first.
      columns: the metrics.
      by: the one that ranks; None if there is none.
      best: "lower", "higher" or "near 1".
    """

    title: str
    entries: Sequence[Entry]
    columns: Sequence[Column]
    by: Column | None
    best: str


def in_short(ranking: Ranking) -> list[str]:
    """Which point is best, and how many came to their end."""
    entries, by = ranking.entries, ranking.by
    states = [entry.state for entry in entries]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    sentences = [f"{pages.count(len(entries), 'point')}: {', '.join(counts)}."]
    first = entries[0]
    if by is None:
        return [*sentences, "No evaluations, so no order: see python -m experiments.evaluate."]
    if first.state == collecting.FINISHED and by in first.values:
        name, number = collecting.titles(ranking.columns)[by], digest.written(first.values[by])
        sentences.append(f"The best by {name} ({ranking.best} is better): {first.name}, {number}.")
    return sentences


def markdown(ranking: Ranking) -> str:
    """The metrics found in the same way as the one that ranks."""
    by = ranking.by
    shown = [x for x in ranking.columns if by and x[::2] == by[::2]]
    shown.sort(key=lambda column: column != by)
    rows = [_head(ranking, shown), *(_row(ranking, entry, shown) for entry in _shown(ranking))]
    lines = [*digest.aligned(rows), "", *in_short(ranking), *_not_trained(ranking)]
    return "\n".join(lines) + "\n"


def as_csv(ranking: Ranking) -> str:
    """A row for each run, all metrics."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = [names[0] for names in collecting.varied(ranking.entries).values()]
    titles = collecting.titles(ranking.columns).values()
    writer.writerow(["point", *fields, *titles, "step", "seconds", "state", "why"])
    for entry in ranking.entries:
        values = [collecting.value(entry, field) for field in fields]
        numbers = [entry.values.get(column) for column in ranking.columns]
        seconds = None if entry.seconds is None else round(entry.seconds, 1)
        row = [entry.name, *values, *numbers, entry.step, seconds, entry.state, entry.why]
        writer.writerow(row)
    return text.getvalue()


def page(ranking: Ranking) -> str:
    """One HTML file that needs nothing else."""
    sections = [pages.bullets(in_short(ranking)), *_charts(ranking), _tables(ranking)]
    others = _not_trained(ranking)
    if others:
        sections.append(pages.section("Not trained to the end", pages.bullets(others)))
    sections.append(_protocols(ranking))
    return pages.page(f"Sweep {ranking.title}", sections)


def _shown(ranking: Ranking) -> list[Entry]:
    """The runs that have something for the table."""
    return [entry for entry in ranking.entries if entry.run]


def _not_trained(ranking: Ranking) -> list[str]:
    return [
        f"{entry.name}: {entry.state}{', ' if entry.why else ''}{entry.why}"
        for entry in ranking.entries
        if entry.state != collecting.FINISHED
    ]


def _head(ranking: Ranking, columns: Sequence[Column]) -> list[str]:
    titles = collecting.titles(ranking.columns)
    arrows = {x: digest.ARROWS[comparing.better(x.metric)] for x in columns}
    metrics = [f"{titles[column]} {arrows[column]}".strip() for column in columns]
    return [*(collecting.varied(ranking.entries) or ["point"]), *metrics, "step", "seconds", ""]


def _row(ranking: Ranking, entry: Entry, columns: Sequence[Column]) -> list[str]:
    fields = collecting.varied(ranking.entries)
    values = [_written(collecting.value(entry, names[0])) for names in fields.values()]
    if not fields:
        values = [entry.name]
    seconds = digest.NONE if entry.seconds is None else f"{entry.seconds:.0f}"
    state = "" if entry.state == collecting.FINISHED else entry.state
    numbers = [digest.written(entry.values.get(column)) for column in columns]
    return [*values, *numbers, f"{entry.step:,}", seconds, state]


def _written(value: Any) -> str:
    return digest.NONE if value is None else str(value)


def _charts(ranking: Ranking) -> list[str]:
    """The metric that ranks against each field that was varied."""
    by, entries = ranking.by, ranking.entries
    if by is None:
        return []
    name = collecting.titles(ranking.columns)[by]
    figures = []
    for axis in collecting.axes(entries):
        curves = collecting.curves(entries, by, axis)
        if curves:
            chart = charts.against(f"against {axis}", curves, list(curves))
            keys = (f"<li>{charts.key(i)} {pages.text(name)}</li>" for i, name in enumerate(curves))
            legend = f"<ul class='groups'>{''.join(keys)}</ul>" if len(curves) > 1 else ""
            figures.append(f"<figure>{chart}{legend}</figure>")
    if not figures:
        return []
    note = "A dot is a trained run, the line the mean over seeds, a bar its standard deviation."
    return [pages.section(name, pages.note(note), f"<div class='charts'>{''.join(figures)}</div>")]


def _tables(ranking: Ranking) -> str:
    """A table for each protocol, the first with all runs that left any record."""
    tables = [_table(ranking, [], _shown(ranking))] if not ranking.columns else []
    for key in collecting.protocols(ranking.columns):
        columns = [column for column in ranking.columns if column.protocol == key]
        having = [x for x in _shown(ranking) if not tables or set(columns) & set(x.values)]
        tables.append(_table(ranking, columns, having))
    names = [
        f"{short}: {', '.join(fields)}"
        for short, fields in collecting.varied(ranking.entries).items()
        if fields != (short,)
    ]
    note = "↓ lower is better, ↑ higher is better, → 1 best near 1. Seconds are of training alone."
    return pages.section("All points", *tables, pages.note(note), pages.bullets(names))


def _table(ranking: Ranking, columns: Sequence[Column], entries: Sequence[Entry]) -> str:
    head = [pages.text(cell).replace("_", "_<wbr>") for cell in _head(ranking, columns)]
    rows = [map(pages.text, _row(ranking, entry, columns)) for entry in entries]
    return pages.table(head, rows, "numbers")


def _protocols(ranking: Ranking) -> str:
    """What was done to find the numbers."""
    parts = []
    for key, number in collecting.protocols(ranking.columns).items():
        names = [x.metric for x in ranking.columns if x.protocol == key]
        rules = "".join(
            f"<dt>{pages.text(name)}</dt><dd>{pages.text(comparing.short(value))}</dd>"
            for name, value in json.loads(key).items()
            if value != ""
        )
        title = f"<h3>[{number}] {pages.text(', '.join(names))}</h3>"
        parts.append(f"{title}<dl>{rules}</dl>")
    return pages.section("How the numbers were found", *parts) if parts else ""
