"""What the optional sections of a config make: penalties, schedules, an augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from gans.config.names import call, check, find, takes
from gans.core import schedules
from gans.core.types import Game, Metrics
from gans.errors import UserError
from gans.files import reading
from gans.games import augmented as augmenting
from gans.losses.penalties import Penalty


def penalties(config: ConfigDict) -> dict[str, Penalty]:
    """The penalties of the discriminator by name, of `loss.penalties`.

    Raises:
      UserError: there is no such penalty, or it has not these fields.
    """
    found = {}
    for name, spec in _entries(config.loss, "penalties", "loss.penalties").items():
        path = f"loss.penalties.{name}"
        if "name" not in spec:
            raise UserError(f"{path} has no name: give one, as in penalties.R1.")
        fields = {key: value for key, value in spec.items() if key not in ("name", "every")}
        function = call(find("losses", spec["name"]), path, fields)
        if not callable(function):
            raise UserError(f"{path}.name is {spec['name']!r}, which makes no penalty.")
        found[name] = Penalty(function, spec.get("every", 1))
    return found


def check_penalties(game: Game, make: Callable, config: ConfigDict) -> None:
    """Raises UserError if a game takes no penalties, or has terms of their names already.

    Args:
      game: the one without penalties.
      make: what makes it.
      config: with penalties.
    """
    if not takes(make, "penalties"):
        raise UserError(
            f"The game {config.game.name} takes no loss.penalties; latent.joint, latent.repeated "
            "and relativistic.paired do."
        )
    terms = {term for player in game.players for term in player.terms}
    if doubled := sorted(terms.intersection(config.loss.penalties)):
        raise UserError(
            f"loss.penalties.{doubled[0]} has the name of a term that the game has without it: "
            "choose another."
        )


def weigh(config: ConfigDict) -> Callable[[Metrics, jax.Array], Metrics]:
    """The weights of loss terms at a step, of those that `loss.weights` gives.

    Raises:
      UserError: `loss.schedule` is of a term that has no weight, or is no such schedule.
    """
    factors = {}
    for term, spec in _entries(config.loss, "schedule", "loss.schedule").items():
        if term not in config.loss.weights:
            raise UserError(f"loss.schedule.{term} is of a term that loss.weights does not have.")
        fields = {"steps": config.train.num_steps, **spec}
        factors[term] = call(schedules.schedule, f"loss.schedule.{term}", fields)

    def now(given: Metrics, step: jax.Array) -> Metrics:
        return {**given, **{term: given[term] * factor(step) for term, factor in factors.items()}}

    return now


def moving(
    config: ConfigDict, section: str, moves: int, fields: Mapping[str, Any]
) -> dict[str, optax.Schedule]:
    """How fields of an optimizer move, as `optim.<section>.schedules` says.

    Args:
      config: the config.
      section: of `optim`.
      moves: of the network in the whole training, the length of a schedule without one.
      fields: the values that schedules begin with, unless they say so; others are left out.

    Raises:
      UserError: it is no such schedule, or of a field that is neither the optimizer's nor
        `ema_half_life`.
    """
    path, found = f"optim.{section}.schedules", {}
    for field, spec in _entries(config.optim[section], "schedules", path).items():
        if field not in config.optim[section] and "begin" not in spec and field != "ema_half_life":
            raise UserError(f"{path}.{field} is of a field that optim.{section} does not have.")
        if field in fields:
            known = {"steps": moves, "begin": fields[field]}
            found[field] = call(schedules.schedule, f"{path}.{field}", known | spec)
    return found


def augmented(made: Game, config: ConfigDict) -> Game:
    """The game with the augmentation that `augment` names, of the other fields of that section.

    Raises:
      UserError: there is no such augmentation, a field is wrong, or two of them say when it
        changes an image.
    """
    spec = _plain(config, "augment")
    reading.check(spec, dict[str, Any], "augment")
    make = find("augment", spec.get("name"))
    fields = {key: value for key, value in spec.items() if key not in _OF_AUGMENTED}
    augment = call(make, "augment", fields)
    if not callable(augment):
        raise UserError(f"augment.name is {spec['name']!r}, which makes no augmentation.")
    others = {key: spec[key] for key in ("discriminators",) if key in spec}
    chance = {"augment": augment, "probability": _chance(spec, config.train.num_steps)}
    check(augmenting.augmented, "augment", {"game": made, **chance, **others})
    return augmenting.augmented(made, **chance, **others)


def _chance(spec: Mapping[str, Any], steps: int) -> Any:
    """When an augmentation changes an image: a number, times a schedule's factor, or `Adaptive`."""
    if "adaptive" in spec:
        reading.check(spec["adaptive"], dict[str, Any], "augment.adaptive")
        if given := [key for key in ("probability", "schedule") if key in spec]:
            raise UserError(
                f"augment has both adaptive and {given[0]}, and each says when an image is "
                "changed: leave one out."
            )
        return call(augmenting.Adaptive, "augment.adaptive", spec["adaptive"])
    most = spec.get("probability", 1.0)
    reading.check(most, reading.Number, "augment.probability")
    if "schedule" not in spec:
        return most
    reading.check(spec["schedule"], dict[str, Any], "augment.schedule")
    factor = call(schedules.schedule, "augment.schedule", {"steps": steps, **spec["schedule"]})
    return lambda step: most * factor(step)


def _entries(config: ConfigDict, section: str, path: str) -> dict[str, dict[str, Any]]:
    """A section of sections, empty where a config is without it.

    Raises:
      UserError: it is something else.
    """
    found = _plain(config, section) if section in config else {}
    reading.check(found, dict[str, dict[str, Any]], path)
    return found


def _plain(config: ConfigDict, section: str) -> Any:
    value = config[section]
    return value.to_dict() if isinstance(value, ConfigDict) else value


_OF_AUGMENTED = ("name", "discriminators", "probability", "schedule", "adaptive")
