"""Translated test images against those of the other domain, and against what they were made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gans import parallel
from gans.core.pixels import to_float, to_uint8
from gans.core.state import NetState
from gans.core.types import Game, Latent, Translation
from gans.data.source import DataInfo
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.evaluation import views
from gans.evaluation.evaluators import comparisons
from gans.evaluation.evaluators.findings import Findings, Numbers
from gans.evaluation.metrics import colour
from gans.evaluation.subject import Reference, Subject
from gans.evaluation.views import View

_BLOCK = 8  # images at once


class Translations:
    """For every direction: distances, cycle and identity errors, and what became of the colours.

    `fid_ab` is of A's images, translated, to B's. `cycle_a` is the mean absolute error of A's
    images translated and back, `identity_a` of A's images that pass through the generator that
    makes A's, both in [-1, 1] as the losses are; they are left out where nothing translates back.
    `colour_ab` is the mean correlation of the
    luminances before and after, and `inverted_ab` the share of images where it is negative:
    an alarm, where it is not near 0.

    Args:
      net, weights: a loader in `gans.evaluation.features` and what it loads; no distances if
        `net` is empty.
      num: test images of each domain, at most; where there are none, centres of as many of those
        trained on.
      averaged: whether the generators' averaged parameters are taken, where they have them.
    """

    def __init__(self, *, net: str = "", weights: str = "", num: int = 1000, averaged: bool = True):
        self.net, self.weights, self.num, self.averaged = net, weights, num, averaged

    def prepare(self, game: Game, info: DataInfo, reference: Reference) -> None:
        """Raises UserError unless the game translates and the network, if any, can be loaded."""
        del info
        if isinstance(game.makes, Latent):
            raise UserError("Translations are measured in games that translate, which this is not.")
        if self.net:
            reference.net(self.net, self.weights)

    def __call__(self, subject: Subject) -> tuple[dict[str, float], dict[str, Any]]:
        """The numbers, and the protocol they were found by."""
        reference, findings = subject.reference, Findings()
        data = reference.unpaired(self.num)
        images, made = data.test, {}
        ways = {way.source + way.target: way for way in subject.game.makes.values()}
        has_average = any(subject.nets[way.net].ema_params is not None for way in ways.values())
        protocol = {
            "num_a": len(images["a"]),
            "num_b": len(images["b"]),
            "split": _split(data),
            "averaged": self.averaged and has_average,
        }
        for name, way in ways.items():
            before, back = images[way.source], subject.game.back(way)
            nets = (self._generator(subject, w) for w in (way, back))
            made[name], errors = _translated(*nets, before, reference.mesh)
            findings.take({f"{error}_{way.source}": x for error, x in errors.items()})
            findings.ask(f"colour_{name}", _colours, name, before, made[name])
        if self.net:
            net = reference.net(self.net, self.weights)
            protocol |= {"net": net.name, "weights": net.weights, "resize": net.resize}
            for name, way in ways.items():
                real, fake = (
                    views.look(net, views.of_array(x), reference.mesh)
                    for x in (images[way.target], made[name])
                )
                for compare in (comparisons.frechet, comparisons.kernel):
                    findings.ask(
                        f"comparisons.{compare.__name__}", _one_way, name, compare, real, fake
                    )
                findings.warn(comparisons.cautions(real, fake))
        if data.shown:
            findings.warn(["Numbers of images trained on say nothing of others."])
        return findings.numbers, protocol | findings.notes

    def _generator(self, subject: Subject, way: Translation | None) -> NetState | None:
        if way is None:
            return None
        net = subject.nets[way.net]
        net = net.averaged() if self.averaged else net
        return jax.device_put(net, parallel.replicated(subject.reference.mesh))


def _split(data: Unpaired) -> str:
    """What the images are that are translated."""
    names = dict.fromkeys(data.shown, "centres of training images")
    a, b = (names.get(domain, "test images") for domain in data.domains)
    return a if a == b else f"{a} of A, {b} of B"


def _colours(way: str, before: np.ndarray, after: np.ndarray) -> Numbers:
    return {
        f"colour_{way}": float(np.mean(colour.correlation(before, after))),
        f"inverted_{way}": colour.inverted(before, after),
    }


def _one_way(way: str, compare: Callable[..., Numbers], real: View, fake: View) -> Numbers:
    """What a comparison finds, the way after the name of each distance."""
    found = {}
    for name, value in compare(real, fake).items():
        distance, *deviation = name.split("_")
        found["_".join([distance, way, *deviation])] = value
    return found


def _translated(
    there: NetState, back: NetState | None, images: np.ndarray, mesh: parallel.Devices
) -> tuple[np.ndarray, dict[str, float]]:
    """The images translated, uint8, and the mean errors of the "cycle" and of the "identity".

    Without a network that translates back there are no errors.
    """
    made, errors = [], []
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        full = np.concatenate([block, np.repeat(block[-1:], _BLOCK - len(block), axis=0)])
        fake, found = parallel.fetch(_translate(there, back, full), mesh)
        made.append(fake[: len(block)])
        errors.append({name: x[: len(block)] for name, x in found.items()})
    whole = {name: np.concatenate([block[name] for block in errors]) for name in errors[0]}
    means = {name: float(x.astype(np.float64).mean()) for name, x in whole.items()}
    return np.concatenate(made), means


@jax.jit
def _translate(
    there: NetState, back: NetState | None, images: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The images translated, uint8, and of each the errors of its cycle and its identity."""
    real = to_float(images)
    fake, _ = there(real, train=False)
    if back is None:
        return to_uint8(fake), {}
    cycled, _ = back(fake, train=False)
    same, _ = back(real, train=False)

    def error(x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.abs(x - real), axis=(1, 2, 3))

    return to_uint8(fake), {"cycle": error(cycled), "identity": error(same)}
