"""Charts show what the numbers say, in a style that needs neither colours nor fonts."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection

from gans.reports import page, plots


def points(**groups):
    """Rows of step, mean, least and most by the name of the group."""
    rows = [(name, *row) for name, found in groups.items() for row in found]
    return pd.DataFrame(rows, columns=["group", "step", "mean", "min", "max"]).set_index(
        ["group", "step"]
    )


def lines(figure):
    """What joins points, and single points, as lists of pairs."""
    [axes] = figure.axes
    found = [x for x in axes.lines if x.get_marker() not in ("_", "|")]  # ends of bars
    joined = [x.get_xydata().tolist() for x in found if x.get_linestyle() != "None"]
    dots = [x.get_xydata().tolist() for x in found if x.get_linestyle() == "None"]
    return joined, dots


def names(figure):
    """Where ticks are on the axis, as shares of its width, and what they are called."""
    [axes] = figure.axes
    FigureCanvasAgg(figure).draw()
    ends = axes.transData + axes.transAxes.inverted()
    return [
        (ends.transform((x, 1))[0], label.get_text())
        for x, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    ]


def test_a_line_is_the_mean_a_band_the_reach_and_a_single_step_a_dot():
    curve = [(0, 1.0, 0.0, 2.0), (100, 3.0, 2.0, 4.0)]
    figure = plots.over_steps(
        points(second=curve, first=[(50, 4.0, 3.5, 4.0)]), ["first", "second", "third"]
    )
    assert lines(figure) == ([[[0, 1], [100, 3]]], [[[50, 4]]])
    [axes] = figure.axes
    [bar] = [x for x in axes.collections if isinstance(x, LineCollection)]
    assert bar.get_segments()[0].tolist() == [[50, 3.5], [50, 4]]
    [band] = [x for x in axes.collections if isinstance(x, PolyCollection)]
    corners = {tuple(x) for x in band.get_paths()[0].vertices}
    assert corners == {(0, 0), (0, 2), (100, 2), (100, 4)}
    [line] = [x for x in axes.lines if x.get_linestyle() != "None"]
    assert line.get_color() == plots.COLOURS[1]


def test_decades_stand_equally_far_apart_and_bars_show_deviations():
    figure = plots.against({"all": {1e-2: [3.0], 1e-4: [1.0], 1e-3: [2.0, 4.0]}})
    [line], dots = lines(figure)
    assert line == [[1e-4, 1], [1e-3, 3], [1e-2, 3]]
    assert sum(map(len, dots)) == 4
    (low, *_), (middle, *_), (high, *_) = found = names(figure)
    assert [name for _, name in found] == ["0.0001", "0.001", "0.01"]
    assert low < middle and middle - low == pytest.approx(high - middle)
    # 2 and 4 have mean 3 and deviation sqrt(2).
    [bar] = figure.axes[0].collections
    assert bar.get_segments()[0][:, 1] == pytest.approx([3 - 2**0.5, 3 + 2**0.5])


def test_with_a_zero_the_axis_is_linear_and_words_have_no_line():
    found = names(plots.against({"all": {0.0: [1.0], 5.0: [2.0], 10.0: [1.5]}}))
    (low, *_), (middle, *_), (high, *_) = found
    assert middle - low == pytest.approx(high - middle)
    words = {"a": {"hinge": [1.0], "minimax": [2.0]}, "b": {"hinge": [1.0]}}
    joined, dots = lines(plots.against(words))
    assert joined == []
    assert len({x for found in dots for x, _ in found}) == 3  # beside each other
    joined, dots = lines(plots.against({"all": {0: [2.0]}}))
    assert joined == [] and dots == [[[0, 2]]]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.against({"all": {f"(16, 32, 32, {k})": [1.0] for k in range(30)}}),
        lambda: plots.against({"all": {x: [1e-7 * x] for x in (0.1, 0.11, 0.5, 1.0)}}),
        lambda: plots.over_steps(points(a=[(0, 1e6, 0, 1), (10**6, -1e6, -2, 3)]), ["a"]),
    ],
)
def test_no_text_is_cut_off(draw):
    figure = draw()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    [axes] = figure.axes
    width, height = canvas.get_width_height()
    count = 0
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
            if low <= place <= high and label.get_text():
                box = label.get_window_extent()
                assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
                count += 1
    assert count > 4


def test_names_that_would_cover_each_other_are_left_out():
    close = plots.against({"all": {1.0: [1.0], 1.01: [1.0], 3.0: [1.0]}})
    assert [name for _, name in names(close)] == ["1", "", "3"]
    many = names(plots.against({"all": {f"(16, 32, 32, {k})": [1.0] for k in range(30)}}))
    assert len(many) == 30 and 5 < sum(bool(name) for _, name in many) < 30


def test_without_colours_lines_differ_in_dashes_or_markers():
    looks = [plots._look(place) for place in range(20)]
    assert len({(look["linestyle"], look["marker"]) for look in looks}) == 20
    lightness = [np.dot(colors.to_rgb(x), (0.2126, 0.7152, 0.0722)) for x in plots.COLOURS]
    assert max(lightness) < 0.7  # on white


def test_figures_need_no_fonts_and_no_address_and_are_the_same_again():
    def draw():
        return plots.svg(plots.against({"all": {"a < b": [1.0], "b": [2.0]}}))

    text = draw()
    assert text == draw()
    assert ET.fromstring(text).tag.endswith("svg") and "<text" not in text
    assert "<metadata" not in text and not re.search(r'href="(?!#)', text)


def test_a_figure_stands_in_a_page_as_an_image_of_its_own():
    source = page._svg(plots.svg(plots.key(3)))
    kind, _, content = source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert ET.parse(io.BytesIO(base64.b64decode(content)))
