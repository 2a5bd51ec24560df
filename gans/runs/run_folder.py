"""A run folder: what it says of itself, its config and the facts about its data, and its state.

Its record, in lines, is read by `gans.runs.records`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
from ml_collections import ConfigDict

from gans.config import build, schema
from gans.config.build import Experiment
from gans.config.names import find
from gans.config.schema import flatten, to_plain
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.files import finite, locks, reading
from gans.files.writing import write_json
from gans.parallel import hosts
from gans.runs.checkpoints import Checkpoints, Restored

# What may change between two starts of a run without making it another run.
_FREE = (
    "train.num_steps",
    "train.log_every",
    "train.sample_every",
    "checkpoint.",
    "train.remat",
    "preview.",
    "data.data_dir",
    "data.resident_mib",
    "data.max_megapixels",
    "mesh.",
    "evaluators.",
)
# Sections and fields that a config may be without, and that change a training.
_ADDED = re.compile(
    r"augment\.|loss\.(penalties|schedule)\.|optim\.\w+\.(schedules\.|ema_half_life$)"
)
# Sections whose fields have their defaults where a component has its parameters: see `schema`.
_COMPONENTS = {"nets": "models", "game": "games"}
_LARGEST = 2**27  # numbers of an image, which makes a batch of one half a gigabyte
_OURS = ("checkpoints", "data.json", "metrics.jsonl", "alarms.jsonl")
_OURS += ("samples", "samples.gif", "samples.html")


def check(workdir: Path, config: ConfigDict) -> None:
    """Raises UserError if the folder holds a run with another config, or no run but something else.

    The message lists the fields that differ. A field that a run from before it existed does
    not have was what `schema.Config` says, or else is no difference.
    """
    path = workdir / "config.json"
    if os.path.lexists(path):
        old, new = reading.read_json(path, schema.Stored), flatten(to_plain(config))
        before = flatten(reading.read_json(path))
        # A field that neither has is not to be missed in the new one.
        old = {name: x for name, x in flatten(old).items() if name in new or name in before}
        old |= {name: _without(name, new) for name in new if name not in before | old}
        _check_same(workdir, old, new)
    elif workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; choose another --workdir.")
    elif found := [name for name in _OURS if os.path.lexists(workdir / name)]:
        raise UserError(
            f"{workdir} has {', '.join(found)} but no config.json, so it is not known what run "
            "they are of; choose another --workdir."
        )


def _without(name: str, config: dict[str, Any]) -> Any:
    """What a run was that does not have this field of a config; the same, if that is not known."""
    section, _, field = name.rpartition(".")
    kind, value = _COMPONENTS.get(section.partition(".")[0]), config[name]
    if _ADDED.match(name):
        return None if value else value
    if kind is None or section.count(".") > 1:
        return value
    parameters = inspect.signature(find(kind, config[f"{section}.name"])).parameters
    default = parameters[field].default if field in parameters else value
    default = list(default) if isinstance(default, tuple) else default
    return None if default is inspect.Parameter.empty else default


def note(workdir: Path, config: ConfigDict, info: DataInfo) -> None:
    """Notes the config and the facts about the data in the run folder.

    Raises:
      UserError: the data has changed since the run began.
    """
    path = workdir / "data.json"
    # Of no size in a folder of imported weights, which has seen no data.
    if os.path.lexists(path) and (old := read_info(workdir)).size and old != info:
        raise UserError(
            f"The data has changed since the run in {workdir} began: {old} then, {info} now; "
            "restore it to resume, or use another --workdir to start anew."
        )
    # The config first: a folder with anything else and no config is refused.
    write_json(workdir / "config.json", to_plain(config))
    write_json(path, dataclasses.asdict(info))


@contextlib.contextmanager
def opened(workdir: Path, config: ConfigDict, info: DataInfo) -> Iterator[None]:
    """The run folder, kept from others, with its config and data noted, for all processes.

    Raises:
      UserError: see `locked` and `note`, or not all processes see the folder.
    """
    with locked(workdir) if hosts.is_first() else contextlib.nullcontext():
        with hosts.first_ahead():
            if hosts.is_first():
                note(workdir, config, info)
            hosts.require_shared(workdir / "config.json")
        yield


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder; a process that dies lets go of it.

    Raises:
      UserError: another process is training in it, or it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.locked(workdir / ".lock", _refuse(workdir)))
        except OSError as error:
            raise UserError(f"Cannot write to {workdir}: {error.strerror or error}.") from error
        yield


def _refuse(workdir: Path) -> Callable[[], None]:
    def refuse() -> None:
        raise UserError(f"Another process is training in {workdir}; let it end.")

    return refuse


def _check_same(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = [
        f"  {name}: {value!r} there, {new.get(name)!r} now"
        for name, value in sorted(old.items())
        if (name not in new or value != new[name]) and not _may_change(name, new)
    ]
    if changed:
        raise UserError(
            f"{workdir} holds a run with another config:\n"
            + "\n".join(changed)
            + "\nUse the same values to resume it, or another --workdir to start anew."
        )


def _may_change(name: str, config: dict[str, Any]) -> bool:
    if name == "train.num_steps":
        # A falling learning rate ends where the run does, so its length is part of the run.
        schedules = [value for key, value in config.items() if _ends_with_run(key, config)]
        return all(value == "constant" for value in schedules)
    return name.startswith(_FREE)


def _ends_with_run(name: str, config: dict[str, Any]) -> bool:
    """Whether a field is the name of a schedule that has no length of its own."""
    section, _, field = name.rpartition(".")
    is_named = field == "name" and ".schedule" in section
    return field == "schedule" or (is_named and f"{section}.steps" not in config)


def identity(config: ConfigDict) -> dict[str, Any]:
    """The fields that may not change between two starts of a run, flat."""
    flat = flatten(to_plain(config))
    return {name: value for name, value in flat.items() if not _may_change(name, flat)}


def read_config(workdir: Path) -> ConfigDict:
    """The config of a run, with defaults for fields that are younger than it.

    Raises:
      UserError: the folder holds no run, or its config.json is damaged.
    """
    path = workdir / "config.json"
    if not os.path.lexists(path):
        raise UserError(f"There is no run in {workdir}: {path} is missing.")
    stored = reading.read_json(path, schema.Stored)
    with _naming(path):
        return schema.from_plain(stored)


def younger(workdir: Path, config: ConfigDict) -> list[str]:
    """The fields of a config, flat, that did not exist yet when the run in a folder began."""
    stored = flatten(reading.read_json(workdir / "config.json"))
    return [field for field in flatten(config.to_dict()) if field not in stored]


def read_info(workdir: Path) -> DataInfo:
    """The facts about the data of a run.

    Raises:
      UserError: its data.json lacks or is damaged.
    """
    path = workdir / "data.json"
    info = reading.read_json(path, DataInfo)
    wrong = {
        "size": info.size < 0,
        "image_shape": min(info.image_shape) < 1 or math.prod(info.image_shape) > _LARGEST,
        "domains": len(info.domains) not in (0, 2),
        "domain_sizes": len(info.domain_sizes) not in (0, 2)
        or min(info.domain_sizes, default=0) < 0,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise UserError(f"{path}: {name} is {getattr(info, name)!r}, which it cannot be.")
    return info


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names the file in errors that come of what it holds."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


Step = int | Literal["best"] | None
"""Of a checkpoint: its number, the one that `checkpoint.best` asked for, or the newest."""


def experiment(workdir: Path) -> Experiment:
    """The experiment of a run, with defaults for fields that are younger than it.

    Raises:
      UserError: the folder holds no run, or its config.json is damaged or makes no experiment.
    """
    config = read_config(workdir)
    with _naming(workdir / "config.json"):
        return build.of_run(config)


def restore(workdir: Path, made: Experiment, info: DataInfo, step: Step) -> Restored:
    """A run's state at a step.

    Args:
      workdir: the run folder.
      made: the run's experiment.
      info: the facts about its data.
      step: of the checkpoint.

    Raises:
      UserError: there is no such checkpoint, the config makes no state, or a network has numbers
        that are not finite.
    """
    with _naming(workdir / "config.json"), build.fitting():
        target = jax.eval_shape(made.start(info), jax.random.key(0))
    folder, step = ("best", None) if step == "best" else ("checkpoints", step)
    restored = Checkpoints(workdir / folder, read_only=True).restore(target, step=step)
    if restored is None and folder == "best":
        raise UserError(
            f"The run in {workdir} has no best checkpoint: --config.checkpoint.best says in "
            "training what is to be best."
        )
    if restored is None:
        raise UserError(f"The run in {workdir} has no checkpoint yet; train it for longer.")
    for name, net in restored.state.nets.items():
        net = net.averaged()
        finite.require(
            {"params": net.params, "model_state": net.model_state},
            f"The {name} of step {restored.step} in {workdir}",
            "choose an earlier --step, or train it anew.",
        )
    return restored
