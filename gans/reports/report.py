"""The page of a comparison: one HTML file that needs nothing else. Nothing here touches a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from gans.reports import charts, digest, pages
from gans.reports.comparing import Point
from gans.reports.exhibits import Strips
from gans.reports.groups import Group, differing

Curves = Mapping[str, Mapping[str, Sequence[Point]]]

_SIDE = 64  # pixels on screen of a small image, at most
_ARROWS = "↓ lower is better, ↑ higher is better, → 1 best near 1."


class Pictures(NamedTuple):
    """What each group's generator makes, by the group's name, or a sentence why it makes nothing.

    Attributes:
      origin: the run and the step that the pictures are of.
      is_shared: whether all groups have latent vectors of one length, and so the same noise.
      translations: test images in the other domain, of runs that translate.
      samples: a grid; this and what follows, of runs that make images of noise.
      interpolations: a row.
      memories: samples above the real images nearest to them.
      classes: a strip of each class, of conditional generators only.
      real: a strip of each class of real images; or a sentence why there are none.
    """

    origin: Mapping[str, str]
    is_shared: bool
    translations: Mapping[str, Image.Image | str]
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
        pages.section("Numbers", "".join(map(_numbers, content["tables"])), _left_out(content)),
        *(_classes(table, pictures, groups) for table in content["tables"][:1]),
    ]
    if pictures is not None:
        sections += [
            _translations(pictures, groups),
            _samples(pictures, groups),
            _memories(pictures, groups),
            _interpolations(pictures, groups),
        ]
    sections += [
        pages.section("Numbers over training", *(_charts(each, names) for each in curves)),
        pages.section("Losses and accuracies in training", _charts(losses, names)),
        _configs(groups),
    ]
    title = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return pages.page(title, sections)


def _introduction(groups: Sequence[Group]) -> str:
    first = groups[0].runs[0]
    shape = "×".join(map(str, first.info.image_shape))
    items = [
        f"<li>{charts.key(place)} <b>{pages.text(group.name)}</b>: "
        f"{pages.text(pages.count(len(group.runs), 'seed'))} "
        f"({pages.text(', '.join(f'{run.name}: {run.config.seed}' for run in group.runs))})</li>"
        for place, group in enumerate(groups)
    ]
    about = pages.text(f"Data: {first.data_set}, {shape}.")
    return f"<p>{about}</p><ul class='groups'>{''.join(items)}</ul>"


def _in_short(content: digest.Plain) -> str:
    sentences = [x for table in content["tables"] for x in digest.in_short(table)]
    if not sentences:
        return ""
    note = (
        "“Better” and “worse” are said where the 95% interval of the difference leaves out 0. The "
        "interval is Welch's, over seeds, for one number at a time: of twenty one is expected to "
        "miss."
    )
    return pages.section("In short", pages.bullets(sentences), pages.note(note))


def _numbers(table: digest.Plain) -> str:
    """The table, its protocol and cautions, and what each seed came to."""
    # Long names may be broken after a "_".
    names = (pages.text(metric).replace("_", "_<wbr>") for metric in table["metrics"])
    arrows = (digest.ARROWS[way].replace(" ", "&nbsp;") for way in table["metrics"].values())
    head = ["", *(f"{name}&nbsp;{arrow}" for name, arrow in zip(names, arrows, strict=True))]
    rules = "".join(
        f"<dt>{pages.text(label)}</dt><dd>{pages.text(value)}</dd>"
        for label, value in digest.protocol(table)
    )
    return (
        pages.table(head, _number_rows(table), "numbers")
        + pages.note(f"{_ARROWS} Mean ± standard deviation over seeds.")
        + f"<h3>Protocol</h3><dl>{rules}</dl>"
        + pages.bullets(table["cautions"])
        + f"<details><summary>Each seed's value</summary>{_each_seed(table)}</details>"
    )


def _number_rows(table: digest.Plain) -> Iterator[list[str]]:
    first, metrics = table["groups"][0]["name"], table["metrics"]
    for group in table["groups"]:
        count = digest.counted(group)
        seeds = f"{count} seed{'s' * (count != '1')}"
        cells = [pages.two_lines(digest.mean(group["values"].get(metric))) for metric in metrics]
        yield [pages.two_lines((group["name"], seeds)), *cells]
    if table["real"]:
        cells = [pages.text(digest.written(table["real"].get(metric))) for metric in metrics]
        yield ["real images", *cells]
    for group in table["groups"][1:]:
        cells = [
            pages.two_lines(digest.change(group["differences"].get(metric))) for metric in metrics
        ]
        yield [pages.two_lines((f"{group['name']} − {first}", "95% interval")), *cells]


def _each_seed(table: digest.Plain) -> str:
    rows = []
    for metric in table["metrics"]:
        each = [group["values"].get(metric, {}).get("values", ()) for group in table["groups"]]
        rows.append(
            [pages.text(metric), *(pages.text(", ".join(map(str, x)) or digest.NONE) for x in each)]
        )
    return pages.table(["", *(pages.text(group["name"]) for group in table["groups"])], rows)


def _left_out(content: digest.Plain) -> str:
    return pages.bullets(content["left_out"])


def _classes(table: digest.Plain, pictures: Pictures | None, groups: Sequence[Group]) -> str:
    """Samples of each class beside real images of it, with the numbers of that class."""
    strips = pictures.classes if pictures else {}
    real = pictures.real if pictures else {}
    numbers = {group["name"]: group["classes"] for group in table["groups"]}
    names = [group.name for group in groups if numbers[group.name] or group.name in strips]
    if not names:
        return ""
    real, why = ({}, pages.note(real)) if isinstance(real, str) else (real, "")
    labels = dict.fromkeys(x for name in names for x in (*strips.get(name, ()), *numbers[name]))
    side = groups[0].runs[0].info.image_shape[1]
    rows = [
        [
            pages.text(label),
            *([_image(real.get(label), side, f"real images: {label}")] if real else ()),
            *(
                _image(strips.get(name, {}).get(label), side, f"{name}: {label}")
                + _class_numbers(numbers[name].get(label, {}))
                for name in names
            ),
        ]
        for label in labels
    ]
    head = ["", *(["real"] if real else ()), *map(pages.text, names)]
    note = (
        "How often the classifier finds the class in samples of it, and how far these are from "
        "real images of it. Samples below each other have the same latent vector."
    )
    return pages.section("Class by class", pages.note(note), why, pages.table(head, rows, "strips"))


def _class_numbers(numbers: Mapping[str, Any]) -> str:
    found = [f"{name} {' '.join(digest.mean(value))}" for name, value in numbers.items()]
    return f"<small>{pages.text('; '.join(found))}</small>"


def _translations(pictures: Pictures, groups: Sequence[Group]) -> str:
    if not pictures.translations:
        return ""
    note = "The same test images for all groups: as they are, translated, back, and the identity."
    figures = _figures(pictures.translations, pictures, "wide", _SIDE)
    return pages.section("Translations", pages.note(note), figures)


def _samples(pictures: Pictures, groups: Sequence[Group]) -> str:
    if not pictures.samples:
        return ""
    shared = (
        "The same latent vectors for all groups, which need not mean the same to them."
        if pictures.is_shared
        else "The groups' latent vectors differ in length, so their noise is not the same."
    )
    return pages.section(
        "Samples", pages.note(shared), _figures(pictures.samples, pictures, "", _side(groups))
    )


def _memories(pictures: Pictures, groups: Sequence[Group]) -> str:
    if not pictures.memories:
        return ""
    note = (
        "Of many samples the ones that come nearest to images trained on, in the feature space of "
        "the evaluator, and below each the real images nearest to it: a generator that memorises "
        "repeats them."
    )
    return pages.section(
        "Nearest neighbours",
        pages.note(note),
        _figures(pictures.memories, pictures, "", _side(groups)),
    )


def _interpolations(pictures: Pictures, groups: Sequence[Group]) -> str:
    if not pictures.interpolations:
        return ""
    note = (
        "From one latent vector to another along a great circle, by the same two seeds for all "
        "groups; where there are classes, of the first."
    )
    return pages.section(
        "Interpolations",
        pages.note(note),
        _figures(pictures.interpolations, pictures, "wide", _side(groups)),
    )


def _figures(
    made: Mapping[str, Image.Image | Strips | str],
    pictures: Pictures,
    kind: str,
    side: int,
) -> str:
    """One figure for each group, and once each sentence that says why there is none.

    Args:
      made: by group.
      pictures: all of them.
      kind: of the box around them.
      side: of one image in a figure, in pixels.
    """
    figures = []
    for name, shown in made.items():
        if not isinstance(shown, str):
            caption = f"<b>{pages.text(name)}</b> ({pages.text(pictures.origin[name])})"
            inner = _strips(shown, side) if isinstance(shown, Strips) else _image(shown, side, name)
            figures.append(f"<figure><figcaption>{caption}</figcaption>{inner}</figure>")
    whys = dict.fromkeys(shown for shown in made.values() if isinstance(shown, str))
    return f"<div class='figures {kind}'>{''.join(figures)}</div>" + "".join(map(pages.note, whys))


def _side(groups: Sequence[Group]) -> int:
    return groups[0].runs[0].info.image_shape[1]


def _strips(strips: Strips, side: int) -> str:
    rows = [
        [pages.text(label), _image(picture, side, label)]
        for label, picture in zip(strips.labels, strips.pictures, strict=True)
    ]
    return pages.table([], rows, "strips one")


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
        f'<img src="data:image/png;base64,{data}" alt="{pages.text(about)}" width="{width}" '
        f'height="{height}">'
    )


def _charts(curves: Curves, names: Sequence[str]) -> str:
    """A chart for each metric, below what tells the groups' lines apart."""
    if not curves:
        return pages.note("There are no numbers to draw.")
    keys = "".join(f"<li>{charts.key(i)} {pages.text(name)}</li>" for i, name in enumerate(names))
    drawn = "".join(
        f"<figure>{charts.chart(metric, each, names)}</figure>" for metric, each in curves.items()
    )
    note = "The line is the mean over seeds at each step, the band all of them."
    return f"{pages.note(note)}<ul class='groups'>{keys}</ul><div class='charts'>{drawn}</div>"


def _configs(groups: Sequence[Group]) -> str:
    """The fields in which the groups' configs differ."""
    rows = [
        [
            f"<code>{pages.text(field)}</code>",
            *(pages.text(digest.NONE if x is None else x) for x in row),
        ]
        for field, row in differing([group.runs for group in groups]).items()
    ]
    if not rows:
        return ""
    head = ["", *(pages.text(group.name) for group in groups)]
    return pages.section("How the configs differ", pages.table(head, rows, "fields"))
