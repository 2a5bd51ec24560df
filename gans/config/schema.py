"""The fields of configs: as a tree, flat, as JSON, and what stored ones may lack.

A run folder's config.json has the fields that configs had when the run began. `Config` below is
what the code itself asks of them, whatever the game, the networks and the data; what it gives as a
default is how runs were before the field existed. A field that is added to all configs gets its
line here, with the value that leaves old runs as they are. Fields of components, as of
`nets.generator`, have their defaults where the component has its parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import pydantic
from ml_collections import ConfigDict

from gans.errors import UserError
from gans.files import reading


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class _Named(_Section):
    name: str


class _Data(_Named):
    batch_size: pydantic.PositiveInt
    data_dir: str = ""
    labels: bool = False
    flip: bool = False
    unreadable: str = "fail"
    resident_mib: reading.Number = 1024


class _Optimizer(_Named):
    learning_rate: reading.Number
    schedule: str = "constant"
    ema_decay: reading.Number = 0.0
    ema_warmup: reading.Number = 0.0
    shared_count: bool = False


class _Loss(_Section):
    adversarial: str
    weights: dict[str, reading.Number]


class _Train(_Section):
    num_steps: pydantic.PositiveInt
    steps_per_call: pydantic.PositiveInt = 1
    log_every: pydantic.NonNegativeInt = 100
    sample_every: pydantic.NonNegativeInt = 100
    remat: bool = False


class _Preview(_Section):
    name: str = "latent.Grid"


class _Checkpoint(_Section):
    every_steps: pydantic.NonNegativeInt = 0
    keep: pydantic.PositiveInt = 3
    best: str = ""
    best_is: str = "lowest"


class _Evaluator(_Named):
    every_steps: pydantic.NonNegativeInt = 0


class _Mesh(_Section):
    data: pydantic.NonNegativeInt = 0
    fsdp: bool = False


_Some = pydantic.Field(min_length=1)


class Config(_Section):
    """A config, as far as the code asks for fields by name."""

    seed: pydantic.NonNegativeInt
    data: _Data
    game: _Named
    nets: Annotated[dict[str, _Named], _Some]
    optim: Annotated[dict[str, _Optimizer], _Some]
    loss: _Loss
    train: _Train
    preview: _Preview = _Preview()
    checkpoint: _Checkpoint = _Checkpoint()
    evaluators: dict[str, _Evaluator] = {}
    mesh: _Mesh = _Mesh()


def _completed(tree: Any, validate: Callable[[Any], Config]) -> dict[str, Any]:
    return _merged(tree, validate(tree).model_dump())


Stored = Annotated[Config, pydantic.WrapValidator(_completed)]
"""What a config.json holds: a dict with the fields it has, in their order, and those it lacks."""


def from_plain(tree: Mapping[str, Any]) -> ConfigDict:
    """The config of plain data, lists as tuples: fields of flax modules must be hashable.

    Raises:
      UserError: a field has a name that none can have.
    """
    try:
        return ConfigDict(_with_tuples(tree))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"A field has a wrong name: {error}.") from None


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """A config as JSON would give it back: references resolved, tuples as lists."""
    return _with_lists(config.copy_and_resolve_references().to_dict())


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, its keys joined by dots."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_types(function: Callable, path: str, values: Mapping[str, Any]) -> None:
    """Raises UserError if a value that a config has for a parameter is of another type than that.

    Args:
      function: or class, whose parameters say their types.
      path: of the section.
      values: by the parameters' names. What no config could hold is not looked at.
    """
    try:
        kinds = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except NameError:  # of types that a module imports for type checkers alone
        return
    for name, value in values.items():
        if name in kinds and isinstance(value, _PLAIN):
            value = value.to_dict() if isinstance(value, ConfigDict) else value
            reading.check(value, kinds[name], f"{path}.{name}")


_PLAIN = (type(None), bool, int, float, str, tuple, list, dict, ConfigDict)


def _merged(tree: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The tree, with what else `more` has."""
    both = {
        key: _merged(value, more[key]) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    return both | {key: value for key, value in more.items() if key not in tree}


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value
