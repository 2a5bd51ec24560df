"""Line charts as inline SVG: text stays text, and nothing is needed to draw them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence

from gans.comparing import Point

# Okabe and Ito's colours, which the colour-blind tell apart, darkest first; and for print in grey,
# dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("none", "6 3", "2 2", "8 3 2 3")

_WIDTH, _HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 30, 28
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
    """

    def __init__(self, steps: Sequence[float], values: Sequence[float]):
        self._steps, self._values = steps, values

    def at(self, step: float, value: float) -> str:
        """The place of a point."""
        return f"{self._x(step):.1f},{self._y(value):.1f}"

    def _x(self, step: float) -> float:
        first, last = self._steps[0], self._steps[-1]
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (step - first) / (last - first)

    def _y(self, value: float) -> float:
        first, last = self._values[0], self._values[-1]
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - first) / (last - first)

    def lines(self) -> Iterator[str]:
        """The grid and its labels."""
        for value in self._values:
            y, text = self._y(value), _label(value, self._values)
            yield f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" class="grid"/>'
            yield f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for step in self._steps:
            x, text = self._x(step), _label(step, self._steps)
            anchor = "end" if step == self._steps[-1] else "middle"
            yield f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{text}</text>'


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
