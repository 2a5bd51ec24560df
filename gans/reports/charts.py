"""Line charts as inline SVG: text stays text, and nothing is needed to draw them."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gans.reports.comparing import Point

# Okabe and Ito's colours, which the colour-blind tell apart, darkest first; and for print in grey,
# dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("none", "6 3", "2 2", "8 3 2 3")

_WIDTH, _HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 30, 28
_MARGIN = 0.1  # of the width, beside values that are named
_LETTER = 6  # width of one
_MOST = 300  # points of a line: no screen shows more


def chart(title: str, curves: Mapping[str, Sequence[Point]], order: Sequence[str]) -> str:
    """Of each group its mean as a line, and what lies between the least and the most as a band.

    Args:
      title: above the chart.
      curves: of some of the groups, by name; at least one point in all.
      order: all groups' names, whose places give the colours.
    """
    points = [point for curve in curves.values() for point in curve]
    frame = _Frame(
        ticks(0, max(point.step for point in points)),
        ticks(min(point.low for point in points), max(point.high for point in points)),
    )
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="chart">',
        f"<title>{html.escape(title)}</title>",
        f'<text x="{_LEFT}" y="16" class="title">{html.escape(title)}</text>',
        *frame.lines(),
        *(_curve(frame, curve, order.index(name)) for name, curve in curves.items()),
        "</svg>",
    ]
    return "\n".join(parts)


def against(
    title: str, curves: Mapping[str, Mapping[Any, Sequence[float]]], order: Sequence[str]
) -> str:
    """A metric against a field: dots for single values, a line and bars for means and deviations.

    Numbers over a decade or more stand on a logarithmic axis; what is no number, in a row without
    a line.

    Args:
      title: above the chart.
      curves: of some of the curves, by name, the values found at each of the field's.
      order: all curves' names, whose places give the colours.
    """
    places = _places(list(dict.fromkeys(x for curve in curves.values() for x in curve)))
    found = [y for curve in curves.values() for ys in curve.values() for y in ys]
    is_number = all(_is_number(x) for x in places)
    at = sorted(places.values())
    margin = _MARGIN * (at[-1] - at[0]) if is_number else 0.5
    frame = _Frame(at, ticks(min(found), max(found)), list(map(str, places)), margin or 1.0)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="chart">',
        f"<title>{html.escape(title)}</title>",
        f'<text x="{_LEFT}" y="16" class="title">{html.escape(title)}</text>',
        *frame.lines(),
    ]
    for i, (name, curve) in enumerate(curves.items()):
        # Curves without lines stand beside each other.
        shift = 0.0 if is_number else 0.5 * ((i + 0.5) / len(curves) - 0.5)
        pairs = sorted((places[x] + shift, ys) for x, ys in curve.items())
        at = dict(pairs)
        parts += _dots(frame, at, order.index(name), is_number)
    return "\n".join([*parts, "</svg>"])


def _places(values: Sequence[Any]) -> dict[Any, float]:
    """Where on the axis each value is, in order."""
    if not all(map(_is_number, values)):
        return {value: float(i) for i, value in enumerate(values)}
    values = sorted(values)
    is_log = values[0] > 0 and values[-1] / values[0] >= 10
    return {value: math.log10(value) if is_log else float(value) for value in values}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dots(
    frame: _Frame, curve: Mapping[float, Sequence[float]], place: int, joined: bool
) -> Iterator[str]:
    """The values, bars of a standard deviation where there are several, and a line of means."""
    colour = COLOURS[place % len(COLOURS)]
    means = {x: statistics.fmean(ys) for x, ys in curve.items()}
    if joined and len(means) > 1:
        points = " ".join(frame.at(x, y) for x, y in means.items())
        yield f'<polyline points="{points}" {_stroke(place)}/>'
    for x, ys in curve.items():
        if len(ys) > 1:
            reach = statistics.stdev(ys)
            low, high = (frame.at(x, means[x] + sign * reach) for sign in (-1, 1))
            yield f'<path d="M{low}L{high}" stroke="{colour}" stroke-width="4" opacity=".3"/>'
        for y in ys:
            cx, cy = frame.at(x, y).split(",")
            yield f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>'


def key(place: int) -> str:
    """A short line as a group's curves have it, for a legend."""
    line = f'<line x1="1" x2="31" y1="5" y2="5" {_stroke(place)}/>'
    return f'<svg viewBox="0 0 32 10" class="key" aria-hidden="true">{line}</svg>'


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, at least two, from at most `low` to at least `high`, 3 to 7 of them."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        reach = abs(low) / 2 or 1.0
        low, high = low - reach, high + reach
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(x for x in (1, 2, 5, 10) if x * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


class _Frame:
    """Where numbers are in the picture.

    Args:
      steps, values: the ticks along both axes.
      names: what to write at the ticks of the first.
      margin: on both sides of the first.
    """

    def __init__(
        self,
        steps: Sequence[float],
        values: Sequence[float],
        names: Sequence[str] | None = None,
        margin: float = 0.0,
    ):
        self._steps, self._values, self._names = steps, values, names
        self._first, self._last = steps[0] - margin, steps[-1] + margin

    def at(self, step: float, value: float) -> str:
        """The place of a point."""
        return f"{self._x(step):.1f},{self._y(value):.1f}"

    def _x(self, step: float) -> float:
        width = _WIDTH - _LEFT - _RIGHT
        return _LEFT + width * (step - self._first) / (self._last - self._first)

    def _y(self, value: float) -> float:
        first, last = self._values[0], self._values[-1]
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - first) / (last - first)

    def lines(self) -> Iterator[str]:
        """The grid and its labels."""
        for value in self._values:
            y, text = self._y(value), _label(value, self._values)
            yield f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" class="grid"/>'
            yield f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        if self._names is not None:
            yield from self._named()
            return
        for step in self._steps:
            x, text = self._x(step), _label(step, self._steps)
            anchor = "end" if step == self._steps[-1] else "middle"
            yield f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{text}</text>'

    def _named(self) -> Iterator[str]:
        """A mark at each tick, and as many names as have room."""
        free = 0.0
        for step, name in zip(self._steps, self._names, strict=True):
            x, reach = self._x(step), _LETTER * len(name) / 2
            yield f'<path d="M{x:.1f},{_HEIGHT - _BOTTOM}v4" stroke="#555"/>'
            if x - reach >= free:
                name = html.escape(name)
                yield f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{name}</text>'
                free = x + reach + _LETTER


def _curve(frame: _Frame, curve: Sequence[Point], place: int) -> str:
    """The band, the line above it, and a dot where there is a single point."""
    curve = curve[:: -(-len(curve) // _MOST)]
    colour = COLOURS[place % len(COLOURS)]
    if len(curve) == 1:
        x, y = frame.at(curve[0].step, curve[0].mean).split(",")
        low, high = (frame.at(curve[0].step, value) for value in curve[0][2:])
        bar = f'<path d="M{low}L{high}" stroke="{colour}"/>'
        return f'{bar}<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    there = [frame.at(point.step, point.high) for point in curve]
    back = [frame.at(point.step, point.low) for point in reversed(curve)]
    middle = [frame.at(point.step, point.mean) for point in curve]
    return (
        f'<polygon points="{" ".join(there + back)}" fill="{colour}" opacity=".15"/>'
        f'<polyline points="{" ".join(middle)}" {_stroke(place)}/>'
    )


def _stroke(place: int) -> str:
    colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    return f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'


def _label(value: float, among: Sequence[float]) -> str:
    """A tick's number, as many digits of it as tell it from its neighbours."""
    most, step = max(map(abs, among)), among[1] - among[0]
    if most >= 1e6 or most < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}".replace("-", "−")
