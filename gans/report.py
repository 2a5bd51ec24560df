"""The page of a comparison: one HTML file that needs nothing else. Nothing here touches a file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from gans import charts, digest
from gans.comparing import Point
from gans.exhibits import Strips
from gans.groups import Group, differing

Curves = Mapping[str, Mapping[str, Sequence[Point]]]

_SIDE = 64  # pixels on screen of a small image, at most
_ARROWS = "↓ lower is better, ↑ higher is better, → 1 best near 1."


class Pictures(NamedTuple):
    """What each group's generator makes, by the group's name, or a sentence why it makes nothing.

    Attributes:
      origin: the run and the step that the pictures are of.
      is_shared: whether all groups have latent vectors of one length, and so the same noise.
      samples: a grid.
      interpolations: a row.
      memories: samples above the real images nearest to them.
      classes: a strip of each class, of conditional generators only.
      real: a strip of each class of real images; or a sentence why there are none.
    """

    origin: Mapping[str, str]
    is_shared: bool
    samples: Mapping[str, Image.Image | str]
    interpolations: Mapping[str, Image.Image | str]
    memories: Mapping[str, Strips | str]
    classes: Mapping[str, Mapping[str, Image.Image]]
    real: Mapping[str, Image.Image] | str


def page(
    groups: Sequence[Group],
    content: digest.Plain,
    curves: Sequence[Curves],
    losses: Curves,
    pictures: Pictures | None,
) -> str:
    """The whole page.

    Args:
      groups: of runs.
      content: `digest.digest` of their tables.
      curves: of each table.
      losses: what was logged in training.
      pictures: None for a page of numbers alone.
    """
    names = [group.name for group in groups]
    sections = [
        _introduction(groups),
        _in_short(content),
        _section("Numbers", "".join(map(_numbers, content["tables"])), _left_out(content)),
        *(_classes(table, pictures, groups) for table in content["tables"][:1]),
    ]
    if pictures is not None:
        sections += [
            _samples(pictures, groups),
            _memories(pictures, groups),
            _interpolations(pictures, groups),
        ]
    sections += [
        _section("Numbers over training", *(_charts(each, names) for each in curves)),
        _section("Losses and accuracies in training", _charts(losses, names)),
        _configs(groups),
    ]
    title = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return _PAGE.format(title=_text(title), sections="\n".join(sections))


def _introduction(groups: Sequence[Group]) -> str:
    first = groups[0].runs[0]
    data = f"{first.config.data.name} {first.config.data.get('dataset', '')}".strip()
    shape = "×".join(map(str, first.info.image_shape))
    items = [
        f"<li>{charts.key(place)} <b>{_text(group.name)}</b>: "
        f"{_text(_count(len(group.runs), 'seed'))} "
        f"({_text(', '.join(f'{run.name}: {run.config.seed}' for run in group.runs))})</li>"
        for place, group in enumerate(groups)
    ]
    return f"<p>Data: {_text(data)}, {shape}.</p><ul class='groups'>{''.join(items)}</ul>"


def _in_short(content: digest.Plain) -> str:
    sentences = [x for table in content["tables"] for x in digest.in_short(table)]
    if not sentences:
        return ""
    note = (
        "“Better” and “worse” are said where the 95% interval of the difference leaves out 0. The "
        "interval is Welch's, over seeds, for one number at a time: of twenty one is expected to "
        "miss."
    )
    return _section("In short", _list(sentences), _sentence(note))


def _numbers(table: digest.Plain) -> str:
    """The table, its protocol and cautions, and what each seed came to."""
    # Long names may be broken after a "_".
    names = (_text(metric).replace("_", "_<wbr>") for metric in table["metrics"])
    arrows = (digest.ARROWS[way].replace(" ", "&nbsp;") for way in table["metrics"].values())
    head = ["", *(f"{name}&nbsp;{arrow}" for name, arrow in zip(names, arrows, strict=True))]
    rules = "".join(
        f"<dt>{_text(label)}</dt><dd>{_text(value)}</dd>" for label, value in digest.protocol(table)
    )
    return (
        _table(head, _number_rows(table), "numbers")
        + _sentence(f"{_ARROWS} Mean ± standard deviation over seeds.")
        + f"<h3>Protocol</h3><dl>{rules}</dl>"
        + _list(table["cautions"])
        + f"<details><summary>Each seed's value</summary>{_each_seed(table)}</details>"
    )


def _number_rows(table: digest.Plain) -> Iterator[list[str]]:
    first, metrics = table["groups"][0]["name"], table["metrics"]
    for group in table["groups"]:
        seeds = _count(len(group["seeds"]), "seed")
        cells = [_two_lines(digest.mean(group["values"].get(metric))) for metric in metrics]
        yield [_two_lines((group["name"], seeds)), *cells]
    if table["real"]:
        cells = [_text(digest.written(table["real"].get(metric))) for metric in metrics]
        yield ["real images", *cells]
    for group in table["groups"][1:]:
        cells = [_two_lines(digest.change(group["differences"].get(metric))) for metric in metrics]
        yield [_two_lines((f"{group['name']} − {first}", "95% interval")), *cells]


def _each_seed(table: digest.Plain) -> str:
    rows = []
    for metric in table["metrics"]:
        each = [group["values"].get(metric, {}).get("values", ()) for group in table["groups"]]
        rows.append([_text(metric), *(_text(", ".join(map(str, x)) or digest.NONE) for x in each)])
    return _table(["", *(_text(group["name"]) for group in table["groups"])], rows)


def _left_out(content: digest.Plain) -> str:
    return _list(content["left_out"])


def _classes(table: digest.Plain, pictures: Pictures | None, groups: Sequence[Group]) -> str:
    """Samples of each class beside real images of it, with the numbers of that class."""
    strips = pictures.classes if pictures else {}
    real = pictures.real if pictures else {}
    numbers = {group["name"]: group["classes"] for group in table["groups"]}
    names = [group.name for group in groups if numbers[group.name] or group.name in strips]
    if not names:
        return ""
    real, why = ({}, _sentence(real)) if isinstance(real, str) else (real, "")
    labels = dict.fromkeys(x for name in names for x in (*strips.get(name, ()), *numbers[name]))
    side = groups[0].runs[0].info.image_shape[1]
    rows = [
        [
            _text(label),
            *([_image(real.get(label), side, f"real images: {label}")] if real else ()),
            *(
                _image(strips.get(name, {}).get(label), side, f"{name}: {label}")
                + _class_numbers(numbers[name].get(label, {}))
                for name in names
            ),
        ]
        for label in labels
    ]
    head = ["", *(["real"] if real else ()), *map(_text, names)]
    note = (
        "How often the classifier finds the class in samples of it, and how far these are from "
        "real images of it. Samples below each other have the same latent vector."
    )
    return _section("Class by class", _sentence(note), why, _table(head, rows, "strips"))


def _class_numbers(numbers: Mapping[str, Any]) -> str:
    found = [f"{name} {' '.join(digest.mean(value))}" for name, value in numbers.items()]
    return f"<small>{_text('; '.join(found))}</small>"


def _samples(pictures: Pictures, groups: Sequence[Group]) -> str:
    shared = (
        "The same latent vectors for all groups, which need not mean the same to them."
        if pictures.is_shared
        else "The groups' latent vectors differ in length, so their noise is not the same."
    )
    return _section("Samples", _sentence(shared), _figures(pictures.samples, pictures, groups))


def _memories(pictures: Pictures, groups: Sequence[Group]) -> str:
    note = (
        "Of many samples the ones that come nearest to images trained on, in the feature space of "
        "the evaluator, and below each the real images nearest to it: a generator that memorises "
        "repeats them."
    )
    return _section(
        "Nearest neighbours",
        _sentence(note),
        _figures(pictures.memories, pictures, groups),
    )


def _interpolations(pictures: Pictures, groups: Sequence[Group]) -> str:
    note = (
        "From one latent vector to another along a great circle, by the same two seeds for all "
        "groups; where there are classes, of the first."
    )
    return _section(
        "Interpolations",
        _sentence(note),
        _figures(pictures.interpolations, pictures, groups, "wide"),
    )


def _figures(
    made: Mapping[str, Image.Image | Strips | str],
    pictures: Pictures,
    groups: Sequence[Group],
    kind: str = "",
) -> str:
    """One figure for each group, and once each sentence that says why there is none."""
    side = groups[0].runs[0].info.image_shape[1]
    figures = []
    for name, shown in made.items():
        if not isinstance(shown, str):
            caption = f"<b>{_text(name)}</b> ({_text(pictures.origin[name])})"
            inner = _strips(shown, side) if isinstance(shown, Strips) else _image(shown, side, name)
            figures.append(f"<figure><figcaption>{caption}</figcaption>{inner}</figure>")
    whys = dict.fromkeys(shown for shown in made.values() if isinstance(shown, str))
    return f"<div class='figures {kind}'>{''.join(figures)}</div>" + "".join(map(_sentence, whys))


def _strips(strips: Strips, side: int) -> str:
    rows = [
        [_text(label), _image(picture, side, label)]
        for label, picture in zip(strips.labels, strips.pictures, strict=True)
    ]
    return _table([], rows, "strips one")


def _image(picture: Image.Image | None, side: int, about: str) -> str:
    """Embedded, small images enlarged without smoothing; nothing if there is none."""
    if picture is None:
        return ""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    zoom = max(1, _SIDE // side)
    width, height = picture.width * zoom, picture.height * zoom
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{_text(about)}" width="{width}" '
        f'height="{height}">'
    )


def _charts(curves: Curves, names: Sequence[str]) -> str:
    """A chart for each metric, below what tells the groups' lines apart."""
    if not curves:
        return _sentence("There are no numbers to draw.")
    keys = "".join(f"<li>{charts.key(i)} {_text(name)}</li>" for i, name in enumerate(names))
    drawn = "".join(
        f"<figure>{charts.chart(metric, each, names)}</figure>" for metric, each in curves.items()
    )
    note = "The line is the mean over seeds at each step, the band all of them."
    return f"{_sentence(note)}<ul class='groups'>{keys}</ul><div class='charts'>{drawn}</div>"


def _configs(groups: Sequence[Group]) -> str:
    """The fields in which the groups' configs differ."""
    rows = [
        [f"<code>{_text(field)}</code>", *(_text(digest.NONE if x is None else x) for x in row)]
        for field, row in differing([group.runs for group in groups]).items()
    ]
    if not rows:
        return ""
    head = ["", *(_text(group.name) for group in groups)]
    return _section("How the configs differ", _table(head, rows, "fields"))


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{''.join(parts)}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of HTML cells, in a box of its own that scrolls where it is too wide."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f"<div class='scroll'><table class='{kind}'>{top}<tbody>{body}</tbody></table></div>"


def _two_lines(parts: tuple[str, str]) -> str:
    return f"{_text(parts[0])}<small>{_text(parts[1])}</small>"


def _list(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _sentence(text: str) -> str:
    return f"<p class='note'>{_text(text)}</p>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _text(value: Any) -> str:
    return html.escape(str(value))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; }}
  body {{ max-width: 1160px; margin: 0 auto; padding: 1rem; background: #fff; }}
  h1 {{ font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }}
  h2 {{ margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ccc; }}
  h3 {{ margin: 1.25rem 0 .25rem; font-size: 1rem; }}
  small, .note, dl, figcaption {{ font-size: .85em; }}
  .note, small {{ color: #555; }}
  ul {{ padding-left: 1.2rem; overflow-wrap: anywhere; }}
  ul.groups {{ list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0 2rem; }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0; }}
  dt {{ color: #555; }}
  dd {{ margin: 0; overflow-wrap: anywhere; }}
  .scroll {{ overflow-x: auto; margin: .75rem 0; }}
  table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
  th, td {{ padding: .3rem .6rem; text-align: right; vertical-align: top; }}
  th {{ font-weight: 600; }}
  th[scope=row] {{ text-align: left; padding-left: 0; }}
  tbody tr {{ border-top: 1px solid #ddd; }}
  td small, th small {{ display: block; font-weight: 400; }}
  .numbers td, .numbers th[scope=row] {{ white-space: nowrap; }}
  .numbers td small {{ white-space: normal; }}
  .fields td, .fields th, .strips td, .strips th {{ text-align: left; }}
  .strips {{ table-layout: fixed; width: 100%; }}
  .strips th:first-child {{ width: 5.5rem; overflow-wrap: anywhere; }}
  .strips:has(th:nth-child(4)) {{ min-width: 600px; }}
  .strips.one th:first-child {{ font-weight: 400; }}
  img {{ max-width: 100%; height: auto; image-rendering: pixelated; display: block; }}
  figure {{ margin: 0; min-width: 0; }}
  .figures {{ display: grid; gap: 1.25rem;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }}
  .figures.wide {{ grid-template-columns: 1fr; }}
  .charts {{ display: grid; gap: 1rem;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }}
  .chart {{ width: 100%; height: auto; display: block; font-size: 11px; }}
  .chart .title {{ font-size: 13px; font-weight: 600; }}
  .chart .grid {{ stroke: #ddd; }}
  .key {{ width: 32px; height: 10px; vertical-align: middle; }}
  @media print {{
    body {{ max-width: none; padding: 0; font-size: 9pt; }}
    .scroll {{ overflow: visible; }}
    .numbers {{ font-size: 7pt; }}
    .numbers small {{ font-size: 1em; }}
    .numbers th, .numbers td {{ padding: .15rem .2rem; white-space: normal; }}
    .figures:not(.wide), .charts {{ grid-template-columns: 1fr 1fr; }}
    .strips:has(th:nth-child(4)) {{ min-width: 0; }}
    figure, tr, dl, .note {{ break-inside: avoid; }}
    h2, h3, .note, ul.groups {{ break-after: avoid; }}
  }}
</style>
</head>
<body>
<h1>{title}</h1>
{sections}
</body>
</html>
"""
