"""Web pages that need nothing but a browser. Nothing here touches a file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any


def page(title: str, sections: Iterable[str]) -> str:
    """A page of a report, for screens, phones and paper."""
    return _PAGE.format(title=text(title), sections="\n".join(sections))


def section(title: str, *parts: str) -> str:
    """Parts in HTML below a heading."""
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of HTML cells, in a box of its own that scrolls where it is too wide."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f"<div class='scroll'><table class='{kind}'>{top}<tbody>{body}</tbody></table></div>"


def two_lines(parts: tuple[str, str]) -> str:
    """A cell, its second line smaller."""
    return f"{text(parts[0])}<small>{text(parts[1])}</small>"


def bullets(sentences: Sequence[str]) -> str:
    """A list; nothing if there are no sentences."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def note(sentence: str) -> str:
    """A sentence below a heading or a table."""
    return f"<p class='note'>{text(sentence)}</p>"


def count(number: int, noun: str) -> str:
    """As in "1 seed" and "2 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def text(value: Any) -> str:
    """As HTML shows it; a byte of a file's name that is no UTF-8 becomes a question mark."""
    return html.escape(str(value).encode("utf-8", "replace").decode())


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
  .numbers th, .numbers td {{ padding: .3rem .35rem; }}
  th[scope=row] {{ text-align: left; padding-left: 0; }}
  tbody tr {{ border-top: 1px solid #ddd; }}
  td small, th small {{ display: block; font-weight: 400; }}
  .numbers td, .numbers th[scope=row] {{ white-space: nowrap; }}
  .numbers td small {{ white-space: normal; }}
  .fields td, .fields th, .strips td, .strips th {{ text-align: left; }}
  .strips {{ table-layout: fixed; width: 100%; }}
  .strips th:first-child {{ width: 6.5rem; overflow-wrap: anywhere; }}
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
