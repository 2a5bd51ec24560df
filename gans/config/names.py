"""From a name in a config to the object it names, called with the fields beside it.

`nets.generator.name = "dcgan.Generator"` is `gans.models.dcgan.Generator`. Nothing is registered
anywhere: a new model, game or data set is a new file.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping
from typing import Any

from gans.config import schema
from gans.errors import UserError

_PACKAGES = {
    "evaluators": "gans.evaluation.evaluators",
    "features": "gans.evaluation.features",
    "previews": "gans.inference.previews",
}
"""Where the things of a kind are, if not in `gans.<kind>`."""

_NAME = re.compile(r"[a-z]\w*(\.[a-z]\w*)+", re.ASCII | re.IGNORECASE)


def find(kind: str, name: str) -> Any:
    """What is defined in the package of a kind, for `name` as in `module.attribute`.

    Raises:
      UserError: there is no such thing, or its module needs another that is not installed.
    """
    package = _PACKAGES.get(kind, f"gans.{kind}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"There is no {package}.{name}; the name has the form module.attribute, and "
            f"the modules are {', '.join(_modules(package))}."
        )
    module_name, _, attribute = name.rpartition(".")
    path = f"{package}.{module_name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not path.startswith(error.name or path):
            raise UserError(f"{path} needs {error.name}, which is not installed.") from None
        raise UserError(
            f"There is no {package}.{name}; the modules of {package} are "
            f"{', '.join(_modules(package))}."
        ) from None
    known = [
        key
        for key, value in vars(module).items()
        # What a module itself imports, another module among it, is none of its parts.
        if callable(value) and getattr(value, "__module__", None) == path and key[0] != "_"
    ]
    if attribute not in known:
        raise UserError(
            f"There is no {package}.{name}; {path} has {', '.join(known) or 'nothing to name'}."
        )
    return getattr(module, attribute)


def _modules(package: str) -> list[str]:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return [module.name for module in found if not module.ispkg]


def call(function: Any, path: str, fields: Mapping[str, Any]) -> Any:
    """Calls with the fields of one config section.

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
    return function(**fields)


def wanted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """What a function has parameters for, of all that is offered by name."""
    return {name: value for name, value in offered.items() if takes(function, name)}


def takes(function: Any, name: str) -> bool:
    """Whether a function, or a class, has a parameter of that name."""
    return name in inspect.signature(function).parameters
