"""Translated test images against those of the other domain, and against what they were made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gans import parallel, views
from gans.data.source import DataInfo
from gans.evaluators import comparisons
from gans.metrics import colour
from gans.pixels import to_float, to_uint8
from gans.state import NetState
from gans.subject import Reference, Subject

_BLOCK = 8  # images at once

_WAYS = ("ab", "ba")  # from the one domain to the other


class Translations:
    """For both directions: distances, cycle and identity errors, and what became of the colours.

    `fid_ab` is of A's images, translated, to B's. `cycle_a` is the mean absolute error of A's
    images translated and back, `identity_b` of B's images that pass through the generator that
    makes B's, both in [-1, 1] as the losses are. `colour_ab` is the mean correlation of the
    luminances before and after, and `inverted_ab` the share of images where it is negative:
    an alarm, where it is not near 0.

    Args:
      net, weights: a loader in `gans.features` and what it loads; no distances if `net` is empty.
      num: test images of each domain, at most.
      averaged: whether the generators' averaged parameters are taken, where they have them.
    """

    def __init__(self, *, net: str = "", weights: str = "", num: int = 1000, averaged: bool = True):
        self.net, self.weights, self.num, self.averaged = net, weights, num, averaged

    def prepare(self, info: DataInfo, reference: Reference) -> None:
        """Raises UserError unless the network can be loaded, if there is one."""
        del info
        if self.net:
            reference.net(self.net, self.weights)

    def __call__(self, subject: Subject) -> tuple[dict[str, float], dict[str, Any]]:
        """The numbers, and the protocol they were found by."""
        images, numbers = subject.reference.test(self.num), {}
        has_average = subject.nets["generator_ab"].ema_params is not None
        protocol = {
            "num_a": len(images["a"]),
            "num_b": len(images["b"]),
            "split": "test images",
            "averaged": self.averaged and has_average,
        }
        made = {}
        for way in _WAYS:
            start = way[0]
            there, back = (self._generator(subject, w) for w in (way, way[::-1]))
            made[way], cycle, identity = _translated(
                there, back, images[start], subject.reference.mesh
            )
            numbers[f"cycle_{start}"], numbers[f"identity_{start}"] = cycle, identity
            numbers[f"colour_{way}"] = float(np.mean(colour.correlation(images[start], made[way])))
            numbers[f"inverted_{way}"] = colour.inverted(images[start], made[way])
        if self.net:
            distances, more = self._distances(subject.reference, images, made)
            numbers, protocol = distances | numbers, protocol | more
        return numbers, protocol

    def _generator(self, subject: Subject, way: str) -> NetState:
        net = subject.nets[f"generator_{way}"]
        net = net.averaged() if self.averaged else net
        return jax.device_put(net, parallel.replicated(subject.reference.mesh))

    def _distances(self, reference: Reference, images, made) -> tuple[dict, dict]:
        net, numbers, cautions = reference.net(self.net, self.weights), {}, []
        for way in _WAYS:
            real, fake = (
                views.look(net, views.of_array(x), reference.mesh)
                for x in (images[way[1]], made[way])
            )
            found = comparisons.frechet(real, fake) | comparisons.kernel(real, fake)
            for name, value in found.items():
                distance, *deviation = name.split("_")
                numbers["_".join([distance, way, *deviation])] = value
            cautions = comparisons.cautions(real, fake)
        about = {"net": net.name, "weights": net.weights, "resize": net.resize}
        return numbers, about | {"cautions": cautions}


def _translated(
    there: NetState, back: NetState, images: np.ndarray, mesh: parallel.Devices
) -> tuple[np.ndarray, float, float]:
    """The images translated, uint8, and the mean errors of the cycle and of the identity."""
    made, errors = [], []
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        full = np.concatenate([block, np.repeat(block[-1:], _BLOCK - len(block), axis=0)])
        fake, cycle, identity = parallel.fetch(_translate(there, back, full), mesh)
        made.append(fake[: len(block)])
        errors.append(np.stack([cycle, identity], axis=1)[: len(block)])
    cycle, identity = np.concatenate(errors).astype(np.float64).mean(axis=0)
    return np.concatenate(made), float(cycle), float(identity)


@jax.jit
def _translate(
    there: NetState, back: NetState, images: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The images translated, uint8, and of each the errors of its cycle and its identity."""
    real = to_float(images)
    fake, _ = there(real, train=False)
    cycled, _ = back(fake, train=False)
    same, _ = back(real, train=False)

    def error(x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.abs(x - real), axis=(1, 2, 3))

    return to_uint8(fake), error(cycled), error(same)
