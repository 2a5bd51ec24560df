"""The kernel distance between two sets of features: KID, when they are of the Inception network.

Binkowski et al. 2018, arXiv:1801.01401, section 4.
"""

from __future__ import annotations

import numpy as np

from gans.evaluation.metrics.features import check_pair

_AT_ONCE = 2**24  # numbers of a part of a kernel matrix


def distance(
    x: np.ndarray, y: np.ndarray, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Mean and deviation of `squared_mmd` between random subsets of two sets.

    The subsets are those that torch-fidelity draws, so that the numbers are comparable.

    Args:
      x: `[N, D]`.
      y: `[M, D]`.
      subsets: how many pairs of subsets, at least 1.
      size: images in each, at least 2, drawn without replacement.
      seed: of the draws.

    Raises:
      ValueError: a set has fewer images than a subset, there are no subsets, or the dimensions
        differ.
    """
    x, y = check_pair(x, y, 2)
    if not 2 <= size <= min(len(x), len(y)):
        raise ValueError(
            f"Subsets of {size} images cannot be drawn from sets of {len(x)} and {len(y)}; "
            f"choose a size from 2 to {min(len(x), len(y))}."
        )
    if subsets < 1:
        raise ValueError(f"There is no mean over {subsets} subsets.")
    random = np.random.RandomState(seed)
    found = [
        squared_mmd(
            x[random.choice(len(x), size, replace=False)],
            y[random.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(found)), float(np.std(found))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of `[N, D]` and `[M, D]`.

    The kernel is `(x.y / D + 1)^3`. It is about 0 between sets of one distribution, as often
    below as above. Gretton et al. 2012, A kernel two-sample test, lemma 6.

    Raises:
      ValueError: a set has fewer than 2 images, or the dimensions differ.
    """
    x, y = (features.astype(np.float64) for features in check_pair(x, y, 2))
    within = (
        (_total(z, z) - np.sum(_kernel(np.sum(z * z, 1), z.shape[1]))) / (len(z) * (len(z) - 1))
        for z in (x, y)
    )
    return float(sum(within) - 2 * _total(x, y) / (len(x) * len(y)))


def _total(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of the kernel over all pairs, some rows of its matrix at a time."""
    rows = max(1, _AT_ONCE // len(y))
    parts = (x[start : start + rows] @ y.T for start in range(0, len(x), rows))
    return sum(np.sum(_kernel(products, x.shape[1])) for products in parts)


def _kernel(products: np.ndarray, dimensions: int) -> np.ndarray:
    """Of inner products."""
    root = products / dimensions + 1
    return root * root * root  # a power of 3 takes longer than the matrix product
