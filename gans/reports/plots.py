"""Every figure of the project in one style: matplotlib, as SVG text.

Colours are Okabe and Ito's, which the colour-blind tell apart; in grey, dashes and markers tell
lines apart. Letters are drawn as shapes, so that no font is needed to see them, and a layout engine
gives labels their room. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
import numbers
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
BLACK = "#222222"
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#56b4e9", "#e69f00", BLACK)
DASHES = ("-", (0, (3, 1.5)), (0, (1, 1)), (0, (4, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "gans",  # for ids that do not change from one run to the next
    "font.size": 10,
    "mathtext.fontset": "cm",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
}
_SIZE = (3.9, 2.3)  # inches, of a chart of which a page shows three beside each other
_LETTERS = 44  # that have room below it
_MOST = 300  # points of a line: no screen shows more


def style() -> AbstractContextManager[None]:
    """In its block figures are made in the project's style."""
    return matplotlib.rc_context(_STYLE)


def svg(figure: Figure, **how: Any) -> str:
    """A figure as SVG text; `how` is passed on to `Figure.savefig`."""
    file = io.StringIO()
    with style():
        # Without the date, which would make every page another one, and without addresses.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing, **how)
    return file.getvalue()


def over_steps(points: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Each group's mean as a line, and what lies between the least and the most as a band.

    Args:
      points: `mean`, `min` and `max` by group and step, at least one.
      order: all groups' names, whose places give the colours.
    """
    with style():
        figure = Figure(_SIZE)
        axes = figure.subplots()
        for place, name in enumerate(order):
            if name in points.index:
                _curve(axes, points.loc[name], place)
        last = max(points.index.get_level_values("step").max(), 1)
        axes.set_xlim(-0.02 * last, 1.04 * last)  # room for markers at the ends
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params("x", integer=True, nbins=5)
        _finish(axes)
        return figure


def _curve(axes: Axes, points: pd.DataFrame, place: int) -> None:
    points = points.iloc[:: -(-len(points) // _MOST)]
    look = _look(place)
    if len(points) == 1:
        axes.plot(points.index, points["mean"], **look | {"linestyle": "none"})
        axes.vlines(points.index, points["min"], points["max"], look["color"])
        return
    axes.fill_between(
        points.index, points["min"], points["max"], color=look["color"], alpha=0.15, linewidth=0
    )
    look["markevery"] = max(1, len(points) // 5)
    axes.plot(points.index, points["mean"], **look)


def against(curves: Mapping[str, Mapping[Any, Sequence[float]]]) -> Figure:
    """A metric against a field: dots for single values, a line and bars for means and deviations.

    Numbers over a decade or more stand on a logarithmic axis; what is no number, in a row without
    a line.

    Args:
      curves: by name, the values that were found at each value of the field.
    """
    values = list(dict.fromkeys(x for curve in curves.values() for x in curve))
    joined = all(map(_is_number, values))
    values = sorted(values) if joined else values
    with style():
        figure = Figure(_SIZE)
        axes = figure.subplots()
        for i, curve in enumerate(curves.values()):
            # Curves without lines stand beside each other.
            shift = 0.0 if joined else 0.5 * ((i + 0.5) / len(curves) - 0.5)
            at = {x if joined else values.index(x) + shift: ys for x, ys in curve.items()}
            _dots(axes, at, i, joined)
        _finish(axes)
        axes.margins(x=0.1)
        if joined and values[0] > 0 and values[-1] / values[0] >= 10:
            axes.set_xscale("log")
        _name(axes, values if joined else range(len(values)), [_named(x) for x in values])
        return figure


def _named(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _name(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """Ticks with names, slanted where they are long; without a name where there is no room."""
    # Shares of the axis's width.
    shares = axes.transAxes.inverted().transform(
        axes.transData.transform([(x, axes.get_ylim()[0]) for x in places])
    )[:, 0]
    slanted = sum(map(len, names)) > _LETTERS
    shown, free = [], -1.0
    for share, name in zip(shares, names, strict=True):
        reach = (3 if slanted else len(name) + 2) / _LETTERS / 2
        has_room = share - reach >= free
        shown.append(name if has_room else "")
        free = share + reach if has_room else free
    how = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(places, shown, **how)
    axes.set_xticks([], minor=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _dots(axes: Axes, curve: Mapping[float, Sequence[float]], place: int, joined: bool) -> None:
    """The values, bars of a standard deviation where there are several, and a line of means."""
    look = _look(place)
    places = sorted(curve)
    means = {x: np.mean(curve[x]) for x in places}
    if joined and len(places) > 1:
        axes.plot(places, [means[x] for x in places], **look | {"marker": ""})
    for x in places:
        axes.plot([x] * len(curve[x]), curve[x], **look | {"linestyle": "none"})
        if len(curve[x]) > 1:
            reach = np.std(curve[x], ddof=1)
            axes.vlines(x, means[x] - reach, means[x] + reach, look["color"], alpha=0.3, lw=4)


def key(place: int) -> Figure:
    """A short line with a marker, as a group's curves have it, for a legend."""
    with style():
        figure = Figure((0.5, 0.16), layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.plot([0, 1, 2], [0, 0, 0], **_look(place) | {"markevery": [1]})
        axes.set_axis_off()
        return figure


def _look(place: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 4.5,
    }


def _finish(axes: Axes) -> None:
    """A faint grid, and few ticks."""
    axes.locator_params("y", nbins=5)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
