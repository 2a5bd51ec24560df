"""Trained runs, gathered into groups of the same config and different seeds."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.config import build
from gans.config.names import find, takes
from gans.core.types import Latent
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.runs import alarm_record, evaluation_record, records, run_folder
from gans.runs.alarm_record import Alarm

Lines = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says of itself.

    Attributes:
      workdir: the folder.
      config: what was asked for.
      info: the facts about its data.
      evaluations: the lines of its record, as `evaluation_record.read` gives them.
      metrics: the lines of metrics.jsonl.
      alarms: what was said to be wrong in training, and when.
    """

    workdir: Path
    config: ConfigDict
    info: DataInfo
    evaluations: Lines
    metrics: Lines
    alarms: Sequence[Alarm]

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.workdir.resolve().name

    @property
    def data_set(self) -> str:
        """What it learned of, as in "cycle_gan monet2photo"."""
        data = self.config.data
        try:
            load = find("data", f"{data.name}.load")
        except UserError:  # of an earlier version
            return data.name
        # A config may have the field for other data sets than the one it names.
        named = data.get("dataset", "") if takes(load, "dataset") else ""
        return f"{data.name} {named}".strip()

    @functools.cached_property
    def is_latent(self) -> bool:
        """Whether its generator makes images of latent vectors.

        Raises:
          UserError: its config makes no game.
        """
        return isinstance(build.game(self.config).makes, Latent)

    @functools.cached_property
    def averages(self) -> bool:
        """Whether it keeps averaged parameters of a generator.

        Raises:
          UserError: its config makes no game, or no networks.
        """
        return build.of_run(self.config).keeps_average()


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
      name: what tells it from the other groups.
      runs: by seed.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs."""
        return tuple(run.config.seed for run in self.runs)


def read(workdirs: Sequence[Path]) -> list[Group]:
    """The runs in these folders, in groups, which stand in the order of their first run.

    Raises:
      UserError: a folder holds no run, or one without evaluations; two are of one config and one
        seed; or they are of different data.
    """
    found = [_read(workdir) for workdir in {path.resolve(): path for path in workdirs}.values()]
    for run in found[1:]:
        _check_data(found[0], run)
    gathered: dict[str, list[Run]] = {}
    for run in found:
        fields = {key: value for key, value in _identity(run).items() if key != "seed"}
        gathered.setdefault(json.dumps(fields, sort_keys=True), []).append(run)
    members = [sorted(group, key=lambda run: run.config.seed) for group in gathered.values()]
    for group in members:
        _check_seeds(group)
    return [Group(name, tuple(group)) for name, group in zip(_names(members), members, strict=True)]


def differing(members: Sequence[Sequence[Run]]) -> dict[str, tuple[Any, ...]]:
    """The fields in which groups differ, and the value of each group, None where it has none."""
    configs = [_identity(group[0]) for group in members]
    fields = dict.fromkeys(field for config in configs for field in config if field != "seed")
    values = {field: tuple(config.get(field) for config in configs) for field in fields}
    return {field: row for field, row in values.items() if any(x != row[0] for x in row)}


def read_run(workdir: Path) -> Run:
    """What a run folder says of itself.

    Raises:
      UserError: it holds no run, or a damaged one.
    """
    config, info = run_folder.read_config(workdir), run_folder.read_info(workdir)
    # An evaluator that lacks something leaves a line without numbers.
    evaluations = [line for line in evaluation_record.read(workdir) if line["values"]]
    lines, alarms = records.metrics(workdir), alarm_record.read(workdir)
    return Run(workdir, config, info, evaluations, lines, alarms)


def _read(workdir: Path) -> Run:
    run = read_run(workdir)
    if not run.evaluations:
        raise UserError(
            f"The run in {workdir} has no evaluations to compare; make one by python -m "
            f"experiments.evaluate --workdir={workdir}"
        )
    return run


def _identity(run: Run) -> dict[str, Any]:
    return run_folder.identity(run.config)


def _check_data(first: Run, run: Run) -> None:
    """Raises UserError if the two learned of different data."""
    there, here = _data(first), _data(run)
    if there["split"] != here["split"]:  # another part of the same images is no other data
        del there["images"], here["images"]
    del there["split"], here["split"]
    for what, value in here.items():
        if there[what] != value:
            raise UserError(
                f"{first.workdir} and {run.workdir} are runs of different data ({what} "
                f"{there[what]} there, {value} here): compare runs of the same."
            )


def _data(run: Run) -> dict[str, Any]:
    data, info = run.config.data, run.info
    return {
        "data set": run.data_set,
        "shape": info.image_shape,
        "domains": info.domains,
        "images": info.domain_sizes or info.size,
        "split": data.get("split"),
    }


def _check_seeds(group: Sequence[Run]) -> None:
    """Raises UserError unless the runs are independent of each other."""
    for run, following in zip(group, group[1:], strict=False):
        if run.config.seed == following.config.seed:
            raise UserError(
                f"{run.workdir} and {following.workdir} have the same config and the same seed "
                f"{run.config.seed}, so they are no two samples: leave one of them out."
            )


def _names(members: Sequence[Sequence[Run]]) -> list[str]:
    """Of each group what its folders' names have in common, or else fields that tell them apart."""
    names = [_common_name(group) for group in members]
    if all(names) and len(set(names)) == len(names):
        return names
    parts: list[list[str]] = [[] for _ in members]
    for field, row in differing(members).items():
        more = [
            [*part, f"{field.rpartition('.')[2]} {value}"]
            for part, value in zip(parts, row, strict=True)
        ]
        if len(set(map(tuple, more))) > len(set(map(tuple, parts))):
            parts = more
    return [", ".join(part) or "all runs" for part in parts]


def _common_name(group: Sequence[Run]) -> str:
    stems = [
        re.sub(rf"[-_.](seed|s)?[-_.]?{run.config.seed}$", "", run.name, flags=re.IGNORECASE)
        for run in group
    ]
    if len(set(stems)) == 1:
        return stems[0]
    return re.sub(r"([-_.](seed|s|run)?)?[-_.]*$", "", os.path.commonprefix(stems))
