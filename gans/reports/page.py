"""The pages of comparisons and sweeps: one HTML file each that needs nothing but a browser."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import Sequence
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from gans.reports import alarms, markdown, plots, ranking, results, tables
from gans.reports.groups import Group, differing
from gans.reports.images import Pictures
from gans.reports.plain import Comparison, GroupNumbers, Table
from gans.reports.ranking import Ranking

_SIDE = 64  # pixels on screen of a small image, at most


def comparison(groups: Sequence[Group], content: Comparison, pictures: Pictures | None) -> str:
    """The page of a comparison.

    Args:
      groups: of runs.
      content: their tables.
      pictures: None for a page of numbers alone.
    """
    names = [group.name for group in groups]
    runs = {group.name: group.runs for group in groups}
    found = results.evaluations(runs)
    keys = [json.dumps(table["protocol"], sort_keys=True) for table in content["tables"]]
    return render(
        "comparison.html",
        title=f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0],
        groups=groups,
        names=names,
        content=content,
        # Two protocols may say the same.
        in_short=dict.fromkeys(x for table in content["tables"] for x in markdown.in_short(table)),
        classes=_classes(content["tables"][0], pictures),
        pictures=pictures,
        side=groups[0].runs[0].info.image_shape[1],
        curves=[_charts(tables.of_protocol(found, key), names) for key in keys],
        losses=_charts(results.training(runs), names),
        differing=differing([group.runs for group in groups]),
    )


def _classes(table: Table, pictures: Pictures | None) -> dict[str, Any]:
    """Samples of each class beside real images of it, with the numbers of that class."""
    strips = pictures.classes if pictures else {}
    real = pictures.real if pictures else {}
    numbers = {group["name"]: group["classes"] for group in table["groups"]}
    names = [name for name in numbers if numbers[name] or name in strips]
    if not names:
        return {}
    return {
        "labels": list(dict.fromkeys(x for n in names for x in (*strips.get(n, ()), *numbers[n]))),
        "strips": {name: strips.get(name, {}) for name in names},
        "numbers": numbers,
        "real": {} if isinstance(real, str) else real,
        "why": real if isinstance(real, str) else "",
    }


def _charts(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    curves = results.curves(rows)
    return {metric: plots.svg(plots.over_steps(points, names)) for metric, points in curves.items()}


def sweep(found: Ranking) -> str:
    """The page of a sweep."""
    drawn = {}
    for axis in ranking.axes(found) if found.by else ():
        if curves := ranking.curves(found, axis):
            drawn[axis] = {"svg": plots.svg(plots.against(curves)), "names": list(curves)}
    return render(
        "sweep.html",
        title=f"Sweep {found.title}",
        ranking=found,
        in_short=ranking.in_short(found),
        drawn=drawn,
        tables=list(_tables(found)),
        names=[
            f"{short}: {', '.join(fields)}"
            for short, fields in found.fields.items()
            if fields != [short]
        ],
        alarms=alarms.sentences(entry.run for entry in found.with_config),
        not_trained=ranking.not_trained(found),
        protocols=_protocols(found),
    )


def _tables(found: Ranking) -> list[tuple[list[str], list[list[str]]]]:
    """Head and rows for each protocol, the first with all runs that left any record."""
    drawn = []
    for key in ranking.protocols(found.columns.values()) or [None]:
        shown = [title for title, column in found.columns.items() if column.protocol == key]
        having = found.numbers[shown].notna().any(axis=1)
        entries = [x for x in found.with_config if not drawn or having[x.name]]
        rows = [ranking.row(found, entry, shown) for entry in entries]
        drawn.append((ranking.head(found, shown), rows))
    return drawn


def _protocols(found: Ranking) -> list[dict[str, Any]]:
    """What was done to find the numbers."""
    return [
        {
            "metrics": dict.fromkeys(x.metric for x in found.columns.values() if x.protocol == key),
            "rules": [
                (name, markdown.short(value))
                for name, value in json.loads(key).items()
                if value != ""
            ],
        }
        for key in ranking.protocols(found.columns.values())
    ]


def render(template: str, package: str = "gans.reports", **values: Any) -> str:
    """A page from the templates of a package; text in `values` is shown as text."""
    text = _environment(package).get_template(template).render(values)
    # A byte of a file's name that is no UTF-8 becomes a question mark.
    return text.encode("utf-8", "replace").decode()


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "change": markdown.change,
        "count": markdown.count,
        "key": lambda place: _svg(plots.svg(plots.key(place))),
        "mean": markdown.mean,
        "png": _png,
        "protocol": markdown.protocol,
        "seeds": _seeds,
        "svg": _svg,
        "written": markdown.written,
        "zoom": lambda side: max(1, _SIDE // side),
    }
    environment.globals |= {"arrows": markdown.ARROWS, "none_there": markdown.NONE}
    return environment


def _seeds(group: GroupNumbers) -> str:
    counted = markdown.counted(group)
    return f"{counted} seed{'s' * (counted != '1')}"


def _png(picture: Image.Image) -> str:
    """The address of an image that stands in the page itself."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return _embedded("image/png", file.getvalue())


def _svg(text: str) -> str:
    # As an image, so that the ids of one figure cannot meet those of another.
    return _embedded("image/svg+xml", text.encode())


def _embedded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
