"""What a set of features must be to be judged."""

from __future__ import annotations

import numpy as np


def check(features: np.ndarray, least: int) -> np.ndarray:
    """The features `[N, D]` of images, as they came.

    Raises:
      ValueError: they are of another shape, of fewer than `least` images, or not all finite.
    """
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"Features must be [images, dimensions], not of shape {features.shape}.")
    if len(features) < least:
        raise ValueError(f"{len(features)} images are too few; the least is {least}.")
    if not np.isfinite(features).all():
        raise ValueError("The features hold values that are not finite.")
    return features


def check_pair(x: np.ndarray, y: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """`check` for the features `[N, D]` and `[M, D]` of two sets that are to be compared.

    Raises:
      ValueError: either is not what `check` wants, or their dimensions differ.
    """
    x, y = check(x, least), check(y, least)
    check_dimensions(x.shape[1], y.shape[1])
    return x, y


def check_dimensions(x: int, y: int) -> None:
    """Raises ValueError unless features of `x` and of `y` dimensions can be compared."""
    if x != y:
        raise ValueError(f"Features of {x} and of {y} dimensions cannot be compared.")
