"""A sweep, from the names of its parts to trained runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.config import ranges, schema
from gans.errors import UserError
from gans.files import paths
from gans.runs import standing
from gans.training.sweeps import plan
from gans.training.sweeps.launching import Training
from gans.training.sweeps.plan import Point

FOLDER = ".launcher"

Launch = Callable[[Sequence[Training], Path, int], int]
"""`(trainings, folder for its files, how many others are trained) -> exit status`."""


def run(
    config: ConfigDict,
    path: str,
    fixed: Mapping[str, Any],
    names: Sequence[str],
    workdir: Path,
    launch: Launch,
    *,
    dry_run: bool = False,
) -> int:
    """Trains the product of the sweeps `names` of a config file, each point in its own run folder.

    Points that are trained already are left alone, and those begun go on.

    Args:
      config: what the points vary, with what was set for all of them.
      path: of the config file, and the form, as in "configs/cgan_digits.py:test".
      fixed: what was set for all points.
      names: of sweeps.
      workdir: holds the run folders.
      launch: where and how they are trained.
      dry_run: whether to print the points and commands only, and write nothing.

    Returns:
      The exit status.

    Raises:
      UserError: there is no such sweep, or it is not right; or nothing can be launched.
    """
    workdir = paths.expanded(workdir)
    # The file is what is before the form's colon, if any.
    file = path if paths.expanded(path).is_file() else path.rpartition(":")[0]
    points = plan.points(config, plan.read(paths.expanded(file), names), fixed)
    for point in points:
        ranges.check(schema.flatten(point.config.to_dict()))
    if workdir.is_file():
        raise UserError(f"{workdir} is a file; choose another --workdir.")
    finished = [x.name for x in points if standing.is_finished(workdir / x.name, x.config)]
    trainings = {
        point.name: Training(workdir / point.name, command(path, fixed, point, workdir))
        for point in points
    }
    if dry_run:
        for name, training in trainings.items():
            print(f"{name}{' (trained)' if name in finished else ''}\n  {training}")
        return 0
    left = [training for name, training in trainings.items() if name not in finished]
    if not left:
        print(f"All {len(points)} points are trained already.")
        return 0
    return launch(left, workdir / FOLDER, len(finished))


def command(path: str, fixed: Mapping[str, Any], point: Point, workdir: Path) -> tuple[str, ...]:
    """What trains a point, without the interpreter."""
    overrides = {**fixed, **point.overrides}
    return (
        *("-m", "experiments.train", f"--config={path}", f"--workdir={workdir / point.name}"),
        *(f"--config.{field}={value}" for field, value in overrides.items()),
    )
