"""A run folder's memory of itself: its config, and the facts about its data."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans import hosts
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.files import read_json, write_json

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
_OURS = ("checkpoints", "data.json", "metrics.jsonl", "samples", "samples.gif", "samples.html")


def check(workdir: Path, config: ConfigDict) -> None:
    """Raises UserError if the folder holds a run with another config, or no run but something else.

    The message lists the fields that differ. A field that a run from before it existed does
    not have is no difference.
    """
    path = workdir / "config.json"
    if path.exists():
        _check_same(workdir, flatten(read_json(path)), flatten(to_plain(config)))
    elif workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; choose another --workdir.")
    elif found := [name for name in _OURS if (workdir / name).exists()]:
        raise UserError(
            f"{workdir} has {', '.join(found)} but no config.json, so it is not known what run "
            "they are of; choose another --workdir."
        )


def note(workdir: Path, config: ConfigDict, info: DataInfo) -> None:
    """Notes the config and the facts about the data in the run folder.

    Raises:
      UserError: the data has changed since the run began.
    """
    path = workdir / "data.json"
    # Of no size in a folder of imported weights, which has seen no data.
    if path.exists() and (old := read_info(workdir)).size and old != info:
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
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("w")
    except OSError as error:
        raise UserError(f"Cannot write to {workdir}: {error.strerror or error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another process is training in {workdir}; let it end.") from None
        yield


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
        schedules = [value for key, value in config.items() if key.endswith(".schedule")]
        return all(value == "constant" for value in schedules)
    return name.startswith(_FREE)


def identity(config: ConfigDict) -> dict[str, Any]:
    """The fields that may not change between two starts of a run, flat."""
    flat = flatten(to_plain(config))
    return {name: value for name, value in flat.items() if not _may_change(name, flat)}


def read_config(workdir: Path) -> ConfigDict:
    """The config of a run.

    Raises:
      UserError: the folder holds no run.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"There is no run in {workdir}: {path} is missing.")
    return ConfigDict(_with_tuples(read_json(path)))


def read_info(workdir: Path) -> DataInfo:
    """The facts about the data of a run."""
    return DataInfo(**_with_tuples(read_json(workdir / "data.json")))


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """A config as JSON would give it back: references resolved, tuples as lists."""
    return _with_lists(config.copy_and_resolve_references().to_dict())


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, its keys joined by dots."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _with_tuples(value: Any) -> Any:
    # Fields of flax modules must be hashable, and JSON has no tuples.
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value
