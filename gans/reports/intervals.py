"""What several seeds say together: means, deviations, and differences with their confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


class Summary(NamedTuple):
    """Of one number over seeds.

    Attributes:
      mean: over the seeds.
      deviation: of the sample, its sum of squares divided by one less than `count`; None of one.
      count: how many seeds.
    """

    mean: float
    deviation: float | None
    count: int


class Difference(NamedTuple):
    """Of two means, and the ends of its confidence interval, None where a side has one seed."""

    value: float
    low: float | None
    high: float | None


def summary(values: Sequence[float]) -> Summary:
    """Mean and deviation of at least one value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(float(np.mean(values)), deviation, len(values))


def difference(values: Sequence[float], others: Sequence[float]) -> Difference:
    """How far the mean of `values` lies above that of `others`, with Welch's interval.

    The two may vary differently (Welch 1947, Biometrika 34). It is an interval for one number:
    of twenty of them, one is expected to miss.
    """
    value = float(np.mean(values) - np.mean(others))
    if min(len(values), len(others)) < 2:
        return Difference(value, None, None)
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (values, others)]
    squares = [part**2 / (len(x) - 1) for part, x in zip(parts, (values, others), strict=True)]
    if sum(squares) == 0:  # no spread, or one too small for a number
        return Difference(value, value, value)
    freedom = sum(parts) ** 2 / sum(squares)
    reach = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(sum(parts))
    return Difference(value, value - reach, value + reach)
