"""How the cost of an image grows with the batch, with the image's size and with the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.studies.benchmark import cases, measure, run
from experiments.studies.benchmark.cases import Case
from experiments.studies.benchmark.run import How, Say
from experiments.studies.benchmark.workers import Worker
from gans.errors import UserError

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
IMAGE_SIZES = (16, 32, 64, 128)
WIDTHS = (0.25, 0.5, 1.0, 2.0)

AXES = {"batch size": BATCH_SIZES, "image size": IMAGE_SIZES, "width": WIDTHS}
_LABELS = {"width": "width, times the config's", "image size": "side of an image, pixels"}


def case(config: ConfigDict, axis: str, value: float) -> Case:
    """Training by a config of which one thing is changed."""
    name = f"{axis} {value:g}"
    if axis == "batch size":
        return cases.make(name, "train", config, {"data.batch_size": value})
    if axis == "image size":
        changes = {"data.image_size": value}
        if "load_size" in config.data:
            changes["data.load_size"] = round(value * 286 / 256)
        nets = config.nets.items()
        # The generators of latent vectors are told a size, which follows the data's in a config.
        changes |= {f"nets.{n}.image_size": value for n, net in nets if "image_size" in net}
        return cases.make(name, "train", config, changes)
    changes = {}
    for net, spec in config.nets.items():
        for field in ("features", "stem_features", "hidden_features"):
            if field in spec:
                changes[f"nets.{net}.{field}"] = _wider(spec[field], value)
    return cases.make(name, "train", config, changes)


def _wider(features: int | Sequence[int], factor: float) -> int | tuple[int, ...]:
    if isinstance(features, int):
        return max(1, round(features * factor))
    return tuple(_wider(each, factor) for each in features)


def sweep(
    path: str,
    config: ConfigDict,
    how: How,
    say: Say = lambda line: None,
    axes: Mapping[str, Sequence[float]] = AXES,
) -> list[dict[str, Any]]:
    """Times training along each axis.

    Args:
      path: of the config file, for the record.
      config: what is in it.
      how: how each point is measured; by ours alone.
      say: called with what is going on.
      axes: values by axis.

    Returns:
      For each axis its `points`, and the `power` of the value that the cost grows with: the
      slope of the line through them on log axes.
    """
    found = []
    for axis, values in axes.items():
        points, left_out = [], {}
        for value in values:
            try:
                with run.running(f"{axis} {value:g}"):
                    points.append({"value": value} | _point(case(config, axis, value), how))
                say(f"{axis} {value:g}: {points[-1]['seconds_per_image']:.4g} s an image")
            except UserError as error:  # as of images too small for the networks
                left_out[f"{value:g}"] = str(error)
                say(f"{axis} {value:g} is left out: {error}")
        if not points:
            raise UserError(f"No {axis} can be timed: {'; '.join(left_out.values())}")
        power = slope([p["value"] for p in points], [p["seconds_per_image"] for p in points])
        found.append({"config": path, "axis": axis, "points": points, "power": power})
        found[-1] |= {"left_out": left_out} if left_out else {}
    return run.rounded(found)


def _point(of: Case, how: How) -> dict[str, Any]:
    with Worker(run.OURS, of) as side:
        first = run.begin(side)
        count = measure.count_for(how.seconds, first["of_one"], first["grain"])
        blocks = [side.call("block", count)[0] / count for _ in range(how.rounds)]
        spread = measure.quartiles(blocks)
        demand = side.call("demand")
    return {
        "seconds_per_image": spread.median / of.images,
        "low": spread.low / of.images,
        "high": spread.high / of.images,
        "flop_per_image": demand.flop / of.images,
        "peak_memory_mib": first["peak_device_memory_mib"] or first["peak_memory_mib"],
    }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the line through points on log axes, by least squares; 0 through a single one."""
    if len(x) < 2:
        return 0.0
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def draw(growth: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One figure, an axis in each panel, both of its scales logarithmic.

    Raises:
      UserError: the file cannot be written, or is of a kind that is not known.
    """
    from matplotlib.figure import Figure

    from gans.files.writing import atomic
    from gans.reports import plots

    with plots.style():
        figure = Figure((3.4 * len(growth), 3.0))
        panels = figure.subplots(1, len(growth), sharey=True, squeeze=False)[0]
        for place, (axes, each) in enumerate(zip(panels, growth, strict=True)):
            _panel(axes, each, plots.COLOURS[place % len(plots.COLOURS)])
        panels[0].set_ylabel("milliseconds for an image")
        with atomic(path) as file:
            if check(path) == "svg":
                file.write(plots.svg(figure).encode())
            else:
                figure.savefig(file, format="png", dpi=150)


def check(path: Path) -> str:
    """The format that a figure's name asks for.

    Raises:
      UserError: it is none that figures are written in.
    """
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"--figure={path} must end in .svg or .png.")
    return path.suffix[1:]


def _panel(axes: Any, each: Mapping[str, Any], colour: str) -> None:
    values = [point["value"] for point in each["points"]]
    middle, low, high = (
        np.array([1e3 * point[name] for point in each["points"]])
        for name in ("seconds_per_image", "low", "high")
    )
    axes.fill_between(values, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(values, middle, "o-", color=colour)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel(_LABELS.get(each["axis"], each["axis"]))
    axes.set_title(f"as the power {each['power']:.2f}")
