"""Sweeps: the variants of an experiment that its config file names, and their product.

    def sweep_identity():
        for weight in (0.0, 0.5, 5.0):
            yield {"loss.identity": weight}

in a config file is the sweep `identity`: each point a dict of fields and their values.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import itertools
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ml_collections import ConfigDict

from gans.config import schema
from gans.errors import UserError

Overrides = Mapping[str, Any]
"""Values of fields, by names as in "optim.generator.learning_rate"."""

_PREFIX = "sweep_"
_LONGEST = 150  # characters of a folder's name; file systems take 255 bytes


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: made of the overrides alone, so that it is the same each time; good for a folder.
      overrides: what it sets.
      config: the whole of it.
    """

    name: str
    overrides: Overrides
    config: ConfigDict


def read(path: Path, names: Sequence[str]) -> dict[str, list[Overrides]]:
    """The points of sweeps that a config file defines, by the sweeps' names.

    Raises:
      UserError: none is named, the file has no such sweep, or one does not yield dicts.
    """
    found: dict[str, Callable[[], Iterable[Overrides]]] = {
        name.removeprefix(_PREFIX): value
        for name, value in runpy.run_path(str(path)).items()
        if name.startswith(_PREFIX)
    }
    known = ", ".join(sorted(found)) or "none"
    if not names:
        raise UserError(f"Name a sweep; {path} has {known}.")
    for name in names:
        if name not in found:
            raise UserError(f"{path} has no sweep {name!r}; it has {known}.")
    sweeps = {name: list(found[name]()) for name in dict.fromkeys(names)}
    for name, points in sweeps.items():
        if not points or not all(isinstance(point, Mapping) for point in points):
            raise UserError(f"{_PREFIX}{name} in {path} must yield dicts of fields and values.")
    return sweeps


def points(
    config: ConfigDict, sweeps: Mapping[str, Sequence[Overrides]], fixed: Iterable[str] = ()
) -> list[Point]:
    """The product of sweeps, the last one varying fastest.

    Args:
      config: what they vary; left as it is.
      sweeps: by name.
      fixed: fields that were set for all points.

    Raises:
      UserError: a field does not exist or is of another type, two sweeps set one field, or one
        sets what is fixed.
    """
    setters = _setters(sweeps, fixed)
    found: dict[str, Point] = {}
    for chosen in itertools.product(*sweeps.values()):
        overrides = {field: value for part in chosen for field, value in part.items()}
        varied = _varied(config, overrides, setters)
        point = Point(name(_values(varied, overrides)), overrides, varied)
        same = found.setdefault(point.name, point)
        if _values(same.config, same.overrides) != _values(varied, overrides):
            raise UserError(
                f"Two points would be called {point.name}: {dict(same.overrides)} and {overrides}; "
                "set the same fields in all points of a sweep."
            )
    return list(found.values())


def name(values: Overrides) -> str:
    """What to call the folder of a point, as in `learning_rate=0.001,seed=2`.

    Fields of one last component and one value are named once. A name that would be too long is
    cut, and ends in a hash of the whole.
    """
    kept = {(field.rpartition(".")[2], repr(value)): field for field, value in values.items()}
    short = short_names(list(kept.values()))
    whole = ",".join(f"{short[field]}={written(values[field])}" for field in short)
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[: _LONGEST - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Of each field as many of its last components as tell it from the others."""
    names = {}
    for field in fields:
        parts = field.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        names[field] = next(
            (
                end
                for end in ends
                if not any(f".{x}".endswith(f".{end}") for x in fields if x != field)
            ),
            field,
        )
    return names


def written(value: Any) -> str:
    """A value in a name: letters, digits and -+._, and %, which stands for the rest."""
    if isinstance(value, tuple | list):
        return "-".join(map(written, value)) or "none"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return quote(str(value), safe="+") or "none"


def _setters(sweeps: Mapping[str, Sequence[Overrides]], fixed: Iterable[str]) -> dict[str, str]:
    """Who sets each field that is set.

    Raises:
      UserError: two do.
    """
    setters = {field: f"--config.{field}" for field in fixed}
    for sweep, chosen in sweeps.items():
        for field in dict.fromkeys(field for point in chosen for field in point):
            if field in setters:
                raise UserError(f"Both {setters[field]} and {_PREFIX}{sweep} set {field}.")
        setters |= {field: _PREFIX + sweep for point in chosen for field in point}
    return setters


def _varied(config: ConfigDict, overrides: Overrides, setters: Mapping[str, str]) -> ConfigDict:
    """A copy with other values.

    Raises:
      UserError: a field does not exist, the nearest being named, or is of another type.
    """
    varied = copy.deepcopy(config)
    known = list(schema.flatten(config.to_dict()))
    for field, value in overrides.items():
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UserError(f"{setters[field]}: the config has no field {field!r}{hint}")
        try:
            varied.update_from_flattened_dict({field: value})
        except (TypeError, ValueError):
            kind = type(_get(config, field)).__name__
            raise UserError(
                f"{setters[field]}: {field} is of type {kind}, so not {value!r}."
            ) from None
    return varied


def _values(config: ConfigDict, fields: Iterable[str]) -> dict[str, Any]:
    """Of some fields: an int that was given for a float is one."""
    return {field: _get(config, field) for field in fields}


def _get(config: ConfigDict, field: str) -> Any:
    for part in field.split("."):
        config = config[part]
    return config
