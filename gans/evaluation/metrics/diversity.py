"""The Vendi score: how many different images there are in effect.

Friedman and Dieng 2022, arXiv:2210.02410, definition 3.1, with the cosine kernel.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from gans.evaluation.metrics.features import check

_AT_ONCE = 2**24  # numbers in float64


def vendi(features: np.ndarray) -> float:
    """Between 1, of images all alike, and min(N, D), of features `[N, D]` that are orthogonal.

    The exponential of the entropy of the eigenvalues of `X X^T / N`, X being the features
    divided by their norms. They are also those of `X^T X / N`, which is `[D, D]`.

    Raises:
      ValueError: there are no images, or one has features that are all 0 or not finite.
    """
    features = check(features, 1)
    rows = max(1, _AT_ONCE // features.shape[1])
    total = 0.0
    for start in range(0, len(features), rows):
        directions = features[start : start + rows].astype(np.float64)
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        if not norms.all():
            raise ValueError("An image whose features are all 0 has no angle with others.")
        directions /= norms
        total += directions.T @ directions
    values = np.linalg.eigvalsh(total / len(features))
    return float(np.exp(np.sum(entr(np.maximum(values, 0.0)))))
