"""From a config to the objects it names.

`nets.generator.name = "dcgan.Generator"` is `gans.models.dcgan.Generator`, called with the
other fields of `nets.generator`. Nothing is registered anywhere: a new model, game or
data set is a new file.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from gans.config import ranges, schema
from gans.core import optim
from gans.core.state import GanState, create_state
from gans.core.types import Game
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.losses.adversarial import LOSSES

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


def check_numbers(config: ConfigDict) -> None:
    """Raises UserError for a number that is out of range: see `gans.config.ranges`."""
    ranges.check(schema.flatten(config.to_dict()))


def data_source(data: ConfigDict) -> Source | Unpaired:
    """Loads the data set that a config's `data` section names.

    A data set is a module `gans.data.<name>` whose `load` takes the fields it needs.
    """
    load = find("data", f"{data.name}.load")
    return call(load, "data", _wanted(load, data))


def preview(config: ConfigDict, info: DataInfo, test: Mapping[str, np.ndarray]) -> Any:
    """What shows the progress of a run: `gans.inference.previews.<preview.name>`.

    An object called with the networks gives the images to show, on the device, and its method
    `picture` makes them one picture. It is made of the fields of `preview`, and of what it wants
    of the facts about the data, the test images and the fields of `game`.
    """
    make = find("previews", config.preview.name)
    known = _wanted(make, {"info": info, "test": test, **config.game})
    fields = {key: value for key, value in config.preview.items() if key != "name"}
    return call(make, "preview", {**known, **fields})


def _wanted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in offered.items() if takes(function, name)}


def takes(function: Any, name: str) -> bool:
    """Whether a function, or a class, has a parameter of that name."""
    return name in inspect.signature(function).parameters


def game(config: ConfigDict) -> Game:
    """The game of a config with its adversarial loss; `loss.weights` must name its terms."""
    name = config.loss.adversarial
    if name not in LOSSES:
        raise UserError(
            f"No adversarial loss is called {name!r}; choose one of {', '.join(LOSSES)}."
        )
    fields = {key: value for key, value in config.game.items() if key != "name"}
    made = call(find("games", config.game.name), "game", {"adversarial": LOSSES[name], **fields})
    if not isinstance(made, Game):
        raise UserError(f"game.name is {config.game.name!r}, which makes no game.")
    terms = {term for player in made.players for term in player.terms}
    if terms != set(config.loss.weights):
        raise UserError(
            f"loss.weights has {sorted(config.loss.weights)}, "
            f"but the terms of the game {config.game.name} are {sorted(terms)}."
        )
    return made


def nets(config: ConfigDict) -> dict[str, nn.Module]:
    """The module of each network of a config."""
    modules = {}
    for name, spec in config.nets.items():
        fields = {key: value for key, value in spec.items() if key != "name"}
        make = find("models", spec.name)
        if not (isinstance(make, type) and issubclass(make, nn.Module)):
            raise UserError(f"nets.{name}.name is {spec.name!r}, which is no network.")
        modules[name] = call(make, f"nets.{name}", fields)
    return modules


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Raises UserError where networks that are being built or called say that shapes do not fit."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"The networks do not fit: {error}.") from error


def start(config: ConfigDict, game: Game, info: DataInfo) -> Callable[[jax.Array], GanState]:
    """A pure function from a PRNG key to the state that training starts from."""
    _check_images(config, game, info)
    sections = _optim_of_nets(config, game)
    return functools.partial(
        create_state,
        game=game,
        batch=info.batch(),
        nets=nets(config),
        optimizers=optimizers(config, game),
        weights=config.loss.weights.to_dict(),
        ema_decays={name: config.optim[section].ema_decay for name, section in sections.items()},
        ema_warmups={
            name: config.optim[section].get("ema_warmup", 0.0) for name, section in sections.items()
        },
        remat=config.train.remat,
    )


_NOT_ITS = ("ema_decay", "ema_warmup", "shared_count")  # fields of `optim` for others


def optimizers(
    config: ConfigDict, game: Game, rates: Mapping[str, Any] | None = None
) -> dict[str, optax.GradientTransformation]:
    """The optimizer of each network.

    Args:
      config: of the run.
      game: which says how often a network moves in an iteration.
      rates: learning rates in place of the config's, by section of `optim`; they may be traced.
    """
    made = {}
    for name, section in _optim_of_nets(config, game).items():
        spec = {key: value for key, value in config.optim[section].items() if key not in _NOT_ITS}
        if rates and section in rates:
            spec["learning_rate"] = rates[section]
        places = tuple(i for i, player in enumerate(game.players, 1) if name in player.nets)
        if config.optim[section].get("shared_count", False):
            spec["turns"] = optim.Turns(places, len(game.players))
        # A schedule counts the network's own moves, of which an iteration may have two.
        made[name] = optim.optimizer(**spec, num_steps=config.train.num_steps * len(places))
    return made


def _check_images(config: ConfigDict, game: Game, info: DataInfo) -> None:
    """Raises UserError if the game is for images of other names than the data has."""
    batch = info.batch()
    try:
        jax.eval_shape(
            lambda key: game.inputs(batch, game.draw(key, batch, None)), jax.random.key(0)
        )
    except KeyError as error:
        lacking = error.args[0]
        remedy = f"choose a data set of {'one domain' if info.domains else 'two domains'}"
        raise UserError(
            f"The game {config.game.name} is played with {lacking!r}, but the data has "
            f"{', '.join(map(repr, batch))}; "
            f"{'set data.labels to True' if lacking == 'label' else remedy}."
        ) from None


def _optim_of_nets(config: ConfigDict, game: Game) -> dict[str, str]:
    """The section of `optim` for each network: its own, or that of the player who moves it.

    One optimizer over all networks of a player is what one for each of them is, as long as it
    works on each number alone, as all of `optim.OPTIMIZERS` do.
    """
    sections = {}
    for player in game.players:
        for net in player.nets:
            if net not in config.optim and player.name not in config.optim:
                raise UserError(f"The config has neither optim.{net} nor optim.{player.name}.")
            sections[net] = net if net in config.optim else player.name
    return sections
