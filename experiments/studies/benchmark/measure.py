"""From times to numbers: medians, their spread, and how many times one is the other.

Two things are compared by turns, A B A B, for a machine is not as fast now as a minute ago:
what slows both slows their ratio little. A round is a block of iterations of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

_RESAMPLES = 2000


class Spread(NamedTuple):
    """A number with the range it may be in."""

    median: float
    low: float
    high: float


def quartiles(values: Sequence[float]) -> Spread:
    """The median, and between what lies the middle half."""
    low, median, high = np.quantile(np.asarray(values, np.float64), (0.25, 0.5, 0.75))
    return Spread(float(median), float(low), float(high))


def ratio(a: Sequence[float], b: Sequence[float]) -> Spread:
    """Median of `b` over median of `a`, with its 95 % interval.

    The interval is the bootstrap's (Efron 1979, https://doi.org/10.1214/aos/1176344552) over
    rounds: drawn anew with the two times of a round together, because they share what the
    machine was busy with. Of fewer than five rounds it is the range of the rounds' own ratios,
    there being too little to draw from.

    Args:
      a: seconds in each round.
      b: of the other, in the same rounds.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"rounds of {a.shape} and {b.shape} do not make pairs")
    middle = float(np.median(b) / np.median(a))
    if len(a) < 5:
        return Spread(middle, float(np.min(b / a)), float(np.max(b / a)))
    drawn = np.random.default_rng(0).integers(len(a), size=(_RESAMPLES, len(a)))
    ratios = np.median(b[drawn], axis=1) / np.median(a[drawn], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Spread(middle, float(low), float(high))


class Block(NamedTuple):
    """Seconds of an iteration, on average over a block of them, and of it the wait for data."""

    seconds: float
    waited: float


Timed = Callable[[int], tuple[float, float]]
"""From a number of iterations to the seconds they took, and of these the wait for data."""


def count_for(seconds: float, of_one: float, grain: int) -> int:
    """How many iterations take about `seconds`, a multiple of `grain`, once at least."""
    return grain * max(1, round(seconds / (of_one * grain)))


def alternate(
    sides: Mapping[str, tuple[Timed, int]],
    counts: Mapping[str, int],
    rounds: int,
    settle: Callable[[], None],
) -> dict[str, list[Block]]:
    """Times all sides by turns.

    Args:
      sides: by name, what runs iterations, and how many it runs at least.
      counts: iterations of a block.
      rounds: how many blocks of each.
      settle: called before each block, to let what ran before come to rest.
    """
    found: dict[str, list[Block]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (timed, grain) in sides.items():
            settle()
            timed(grain)  # brings caches and threads back
            seconds, waited = timed(counts[name])
            found[name].append(Block(seconds / counts[name], waited / counts[name]))
    return found
