"""Builds the experiment of a config: its game, networks, optimizers and evaluators.

Every mistake in a config that can be found without the data is found here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from gans.config import ranges, schema, sections
from gans.config.names import call, check, find, wanted
from gans.core import optim
from gans.core.state import GanState, create_state
from gans.core.types import Game
from gans.data.source import DataInfo, Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.losses import adversarial
from gans.losses.adversarial import Adversarial


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that is built from a config before its data is loaded.

    Attributes:
      config: a config as in `configs/`.
      game: the game, with its players.
      nets: the module of each network.
    """

    config: ConfigDict
    game: Game
    nets: Mapping[str, nn.Module]

    @functools.cached_property
    def evaluators(self) -> dict[str, Any]:
        """The evaluators by name: see `gans.evaluation.evaluators`.

        Raises:
          UserError: an evaluator or a field of it does not exist.
        """
        return {name: _evaluator(name, spec) for name, spec in self.config.evaluators.items()}

    def optimizers(
        self, rates: Mapping[str, Any] | None = None
    ) -> dict[str, optax.GradientTransformation]:
        """The optimizer of each network.

        Args:
          rates: learning rates in place of the config's, by section of `optim`; they may be traced.

        Raises:
          UserError: there is no such optimizer or schedule, or none for a network.
        """
        sections = self._sections().items()
        return {net: self._optimizer(net, section, rates or {}) for net, section in sections}

    def start(self, info: DataInfo) -> Callable[[jax.Array], GanState]:
        """A pure function from a PRNG key to the state that training starts from."""
        return functools.partial(
            create_state,
            game=_played_with(self.game, self.config.game.name, info),
            batch=info.batch(),
            nets=self.nets,
            optimizers=self.optimizers(),
            weights=self.config.loss.weights.to_dict(),
            averages={
                net: self._average(net, section) for net, section in self._sections().items()
            },
            remat=self.config.train.remat,
        )

    def lasting(self, config: ConfigDict) -> Experiment:
        """The same experiment with a config that differs in lengths alone."""
        if "schedule" in config.get("augment", ()):  # which the players' losses follow
            return dataclasses.replace(self, config=config, game=game(config))
        return dataclasses.replace(
            self, config=config, game=dataclasses.replace(self.game, weigh=sections.weigh(config))
        )

    def preview(self, info: DataInfo, test: Mapping[str, np.ndarray]) -> Any:
        """What shows the progress of a run: `gans.inference.previews.<preview.name>`.

        An object called with the networks gives the images to show, on the device, and its method
        `picture` makes them one picture. A method `made`, if there is one, says which generator
        made them, as a list of `gans.inference.previews.Made`, for alarms. The object is made of
        the fields of `preview`, and of what it wants of the `game`, the facts about the data
        (`info`) and the `test` images.
        """
        make = find("previews", self.config.preview.name)
        known = wanted(make, dict(zip(_OF_PREVIEWS, (self.game, info, test), strict=True)))
        return call(make, "preview", known | _fields(self.config.preview))

    def keeps_average(self) -> bool:
        """Whether averaged parameters of a network that makes images are kept."""
        sections = self._sections()
        kept = [self._average(net, sections[net]) for net in self.game.generators]
        return any(each["ema_decay"] > 0 or each["ema_half_life"] for each in kept)

    def _optimizer(
        self, net: str, section: str, rates: Mapping[str, Any]
    ) -> optax.GradientTransformation:
        spec = self.config.optim[section]
        fields = {key: value for key, value in spec.items() if key not in _NOT_ITS}
        if section in rates:
            fields["learning_rate"] = rates[section]
        players = self.game.players
        places = tuple(i for i, player in enumerate(players, 1) if net in player.nets)
        if spec.get("shared_count", False):
            fields["turns"] = optim.Turns(places, len(players))
        if isinstance(spec.name, str) and "." in spec.name:
            fields["name"] = find("optimizers", fields["name"])
        moves = self._moves(net)
        return optim.optimizer(
            **fields,
            num_steps=moves,
            schedules=sections.moving(self.config, section, moves, fields),
        )

    def _average(self, net: str, section: str) -> dict[str, Any]:
        """How the average of a network's parameters is kept: see `gans.core.state.NetState`."""
        spec, field = self.config.optim[section], "ema_half_life"
        half_life = spec.get(field, 0.0)
        moving = sections.moving(self.config, section, self._moves(net), {field: half_life})
        constant = {field: lambda step: half_life} if half_life else {}
        follows = {**constant, **moving}.get(field)
        if follows and spec.ema_decay:
            raise UserError(
                f"optim.{section} has both ema_decay and ema_half_life, and each says how fast the "
                "average forgets: set one of them to 0, or leave it out."
            )
        warmup = spec.get("ema_warmup", 0.0)
        return {"ema_decay": spec.ema_decay, "ema_warmup": warmup, field: follows}

    def _moves(self, net: str) -> int:
        """How often a network moves in the whole training, which is what its schedules count."""
        steps = self.config.train.num_steps
        players = [player for player in self.game.players if net in player.nets]
        return sum(-(-steps // player.every) for player in players)

    def _sections(self) -> dict[str, str]:
        """The section of `optim` for each network: its own, or that of the player who moves it.

        One optimizer over all networks of a player is what one for each of them is, as long as it
        works on each number alone, as all of `optim.OPTIMIZERS` do.
        """
        sections, there = {}, self.config.optim
        for player in self.game.players:
            for net in player.nets:
                if net not in there and player.name not in there:
                    raise UserError(f"The config has neither optim.{net} nor optim.{player.name}.")
                sections[net] = net if net in there else player.name
        return sections


def experiment(config: ConfigDict) -> Experiment:
    """The experiment of a config that is to be trained.

    Raises:
      UserError: something of it does not exist, does not fit together or is out of range; what
        depends on the data is found when that is there.
    """
    made = of_run(config)
    made.optimizers()
    _ = made.evaluators
    _check_best(config)
    make = find("previews", config.preview.name)
    later = wanted(make, dict.fromkeys(_OF_PREVIEWS, object()))  # what the data will make known
    check(make, "preview", later | _fields(config.preview))
    load = find("data", f"{config.data.name}.load")
    check(load, "data", wanted(load, config.data))
    return made


def _check_best(config: ConfigDict) -> None:
    metric, way = config.checkpoint.best, config.checkpoint.best_is
    if metric and metric.partition("/")[0] not in config.evaluators:
        raise UserError(
            f"checkpoint.best is {metric!r}: it must name an entry of evaluators and one of its "
            f"values, as in quality/fcd; there are {', '.join(config.evaluators) or 'none'}."
        )
    if metric and way not in ("lowest", "highest"):
        raise UserError(f"checkpoint.best_is is {way!r}: it must be lowest or highest.")


def of_run(config: ConfigDict) -> Experiment:
    """The experiment of a run: what its game and its networks need is looked at, and no more.

    Raises:
      UserError: its game or its networks cannot be built.
    """
    ranges.check(schema.flatten(config.to_dict()))
    return Experiment(config, game(config), nets(config))


def data_source(data: ConfigDict) -> Source | Unpaired:
    """Loads the data set that a config's `data` section names.

    A data set is a module `gans.data.<name>` whose `load` takes the fields it needs.
    """
    load = find("data", f"{data.name}.load")
    return call(load, "data", wanted(load, data))


def game(config: ConfigDict) -> Game:
    """The game of a config with its adversarial loss; `loss.weights` must name its terms.

    Where the config has an `augment`, the discriminators see augmented images: see
    `gans.games.augmented`.
    """
    make = find("games", config.game.name)
    fields = {"adversarial": _adversarial(config.loss.adversarial), **_fields(config.game)}
    # A game that can do without some of its terms is told which there are.
    fields = wanted(make, {"terms": tuple(config.loss.weights)}) | fields
    penalties = sections.penalties(config)
    made = call(make, "game", fields)
    if not isinstance(made, Game):
        raise UserError(f"game.name is {config.game.name!r}, which makes no game.")
    if penalties:
        sections.check_penalties(made, make, config)
        made = call(make, "game", fields | {"penalties": penalties})
    terms = {term for player in made.players for term in player.terms}
    if terms != set(config.loss.weights):
        raise UserError(
            f"loss.weights has {sorted(config.loss.weights)}, "
            f"but the terms of the game {config.game.name} are {sorted(terms)}."
        )
    made = dataclasses.replace(made, weigh=sections.weigh(config))
    return sections.augmented(made, config) if "augment" in config else made


def _adversarial(name: str) -> Adversarial:
    if isinstance(name, str) and "." in name:
        return find("losses", name, Adversarial)
    known = {key: x for key, x in vars(adversarial).items() if isinstance(x, Adversarial)}
    if name not in known:
        raise UserError(
            f"No adversarial loss is called {name!r}; choose one of {', '.join(known)}, or name "
            "your own as in my_project.losses.softened."
        )
    return known[name]


def nets(config: ConfigDict) -> dict[str, nn.Module]:
    """The module of each network of a config."""
    modules = {}
    for name, spec in config.nets.items():
        make = find("models", spec.name)
        if not (isinstance(make, type) and issubclass(make, nn.Module)):
            raise UserError(f"nets.{name}.name is {spec.name!r}, which is no network.")
        modules[name] = call(make, f"nets.{name}", _fields(spec))
    return modules


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Turns errors that networks raise about shapes, when built or called, into UserError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"The networks do not fit: {error}.") from error


_NOT_ITS = (
    "ema_decay",
    "ema_half_life",
    "ema_warmup",
    "schedules",
    "shared_count",
)  # fields of `optim` for others
_OF_PREVIEWS = ("game", "info", "test")  # what previews are given besides their fields
_OF_ALL = ("name", "every_steps")  # fields of `evaluators` that no evaluator takes


def _fields(spec: ConfigDict) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "name"}


def _evaluator(name: str, spec: ConfigDict) -> Any:
    fields = {key: value for key, value in spec.items() if key not in _OF_ALL}
    return call(find("evaluators", spec.name), f"evaluators.{name}", fields)


def _played_with(game: Game, name: str, info: DataInfo) -> Game:
    """The game, which says in a sentence if it is for images of other names than the data has."""
    batch = info.batch()

    def checked(function: Callable) -> Callable:
        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except KeyError as error:
                raise UserError(_lacking(error.args[0], name, info, batch)) from None

        return call

    return dataclasses.replace(game, draw=checked(game.draw), inputs=checked(game.inputs))


def _lacking(what: str, game: str, info: DataInfo, batch: Mapping[str, Any]) -> str:
    remedy = f"choose a data set of {'one domain' if info.domains else 'two domains'}"
    return (
        f"The game {game} is played with {what!r}, but the data has "
        f"{', '.join(map(repr, batch))}; "
        f"{'set data.labels to True' if what == 'label' else remedy}."
    )
