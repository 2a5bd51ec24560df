"""What several seeds say together: means, deviations, and differences with their confidence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Summary(NamedTuple):
    """One number over seeds.

    Attributes:
      mean: over the seeds.
      deviation: the sample's standard deviation, with one degree of freedom less than `count`;
        None for a single seed.
      count: the number of seeds.
    """

    mean: float
    deviation: float | None
    count: int


class Difference(NamedTuple):
    """The difference of two means and the ends of its interval, None where a side has one seed."""

    value: float
    low: float | None
    high: float | None


def summary(values: Sequence[float]) -> Summary:
    """The mean and the deviation of at least one value."""
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
    if np.std(values) == np.std(others) == 0:  # the test divides by the spread
        return Difference(value, value, value)
    from scipy import stats  # takes longer to import than a table to make

    with warnings.catch_warnings():  # about seeds that agree in nearly all their digits
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_ind(values, others, equal_var=False)
        low, high = test.confidence_interval(CONFIDENCE)
    return Difference(value, float(low), float(high))
