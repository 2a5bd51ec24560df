"""From a name in a config to what it names, called with the fields beside it.

`nets.generator.name = "dcgan.Generator"` is `gans.models.dcgan.Generator`. A name whose module is
none of ours is one of yours: `"my_project.models.Generator"` is that class, imported from where
Python finds it. Nothing is registered anywhere.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from gans.config import schema
from gans.errors import UserError

_PACKAGES = {
    "augment": "gans.ops.augment",
    "evaluators": "gans.evaluation.evaluators",
    "features": "gans.evaluation.features",
    "optimizers": "gans.core",
    "previews": "gans.inference.previews",
}
"""Where the things of a kind are, if not in `gans.<kind>`."""

_NAME = re.compile(r"[a-z]\w*(\.[a-z]\w*)+", re.ASCII | re.IGNORECASE)


def find(kind: str, name: str, instance_of: type | None = None) -> Any:
    """What is defined in a module, for `name` as in `module.attribute`.

    The module is one of the kind's package, or else one that Python can import; but none of the
    standard library, whose functions a run folder from elsewhere could name.

    Args:
      kind: "models", "games", "losses", "data", "augment", "evaluators", "features", "previews"
        or "optimizers".
      name: as in a config.
      instance_of: what it must be an instance of; if None, it must be callable.

    Raises:
      UserError: there is no such thing, or its module cannot be imported.
    """
    package = _PACKAGES.get(kind, f"gans.{kind}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"There is no {package}.{name}; the name has the form module.attribute, and "
            f"the modules are {_modules(package)}."
        )
    module_name, _, attribute = name.rpartition(".")
    module = _imported(f"{package}.{module_name}") or _imported_from_elsewhere(module_name)
    if module is None:
        raise UserError(
            f"There is no {package}.{name}, nor a module {module_name} of your own; the modules of "
            f"{package} are {_modules(package)}."
        )
    known = [key for key, value in vars(module).items() if _is_of(module, key, value, instance_of)]
    if attribute not in known:
        raise UserError(
            f"There is no {module.__name__}.{attribute}; {module.__name__} has "
            f"{', '.join(known) or 'nothing to name'}."
        )
    return getattr(module, attribute)


def _is_of(module: ModuleType, name: str, value: Any, instance_of: type | None) -> bool:
    """Whether something is one of a module's own parts."""
    if name.startswith("_"):
        return False
    if instance_of is not None:
        return isinstance(value, instance_of)
    # What a module itself imports, another module among it, is none of its parts.
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _imported(path: str) -> ModuleType | None:
    """A module, None if there is none of that name."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if path == error.name or path.startswith(f"{error.name}."):
            return None
        raise UserError(f"{path} needs {error.name}, which is not installed.") from None


def _imported_from_elsewhere(path: str) -> ModuleType | None:
    if path.partition(".")[0] in sys.stdlib_module_names:
        return None
    try:
        return _imported(path)
    except UserError:
        raise
    except Exception as error:  # whatever is wrong with a module of the user's
        raise UserError(f"{path} cannot be imported ({type(error).__name__}: {error}).") from error


def _modules(package: str) -> str:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return ", ".join(module.name for module in found if not module.ispkg)


def call(function: Any, path: str, fields: Mapping[str, Any]) -> Any:
    """Calls with the fields of one config section.

    Raises:
      UserError: see `check`.
    """
    check(function, path, fields)
    return function(**fields)


def check(function: Any, path: str, fields: Mapping[str, Any]) -> None:
    """Compares the fields of one config section with a function's parameters.

    Raises:
      UserError: a field is unknown, the nearest known one being named, one is lacking, or a value
        is of another type than the function wants.
    """
    parameters = inspect.signature(function).parameters
    known = list(parameters)
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}."
            raise UserError(f"{path}.name has no field {field!r}: {hint}")
    needed = [name for name in known if parameters[name].default is inspect.Parameter.empty]
    if lacking := [name for name in needed if name not in fields]:
        raise UserError(
            f"{path}.name needs {', '.join(lacking)}, which this config does not have; choose "
            f"another {path}.name, or a config made for this one."
        )
    schema.check_types(function, path, fields)


def wanted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """What a function has parameters for, of all that is offered by name."""
    return {name: value for name, value in offered.items() if takes(function, name)}


def takes(function: Any, name: str) -> bool:
    """Whether a function, or a class, has a parameter of that name."""
    return name in inspect.signature(function).parameters
