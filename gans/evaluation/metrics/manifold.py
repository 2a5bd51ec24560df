"""How much of the generated images looks real, and how much of the real ones is generated.

A set of images stands for the union of balls about its features, each reaching to the k-th nearest
other one (Kynkaanniemi et al. 2019, arXiv:1904.06991, section 2).
"""

from __future__ import annotations

import numpy as np

from gans.evaluation.metrics.features import check_pair
from gans.evaluation.metrics.neighbours import nearest

_AT_ONCE = 2**24  # distances


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage.

    - precision: the share of fake images in the ball of a real one, and
    - recall: of real images in the ball of a fake one (arXiv:1904.06991, eq. 2 and 3);
    - density: in how many balls of real images a fake one is, over k; 1 is expected where both are
      of one distribution, and more is possible, and
    - coverage: the share of real images in whose ball there is a fake one (Naeem et al. 2020,
      arXiv:2002.09797, eq. 3 and 5).

    As in the code of the latter a ball is without its surface, so that none reaches the image that
    it is measured by.

    Args:
      real: `[N, D]`.
      fake: `[M, D]`.
      k: at least 1, less than N and M.

    Raises:
      ValueError: a set has not more than `k` images, or the dimensions differ.
    """
    if k < 1:
        raise ValueError(f"There is no {k}-th nearest neighbour.")
    real, fake = check_pair(real, fake, k + 1)
    real_radii, fake_radii = (nearest(z, z, k + 1)[0][:, k] for z in (real, fake))
    centre = np.mean(real, axis=0, dtype=np.float64)
    fake = fake - centre
    balls = np.zeros(len(fake), np.int64)  # of real images, that each fake one is in
    is_recalled, is_covered = [], []
    rows = max(1, _AT_ONCE // len(fake))
    for start in range(0, len(real), rows):
        part = slice(start, start + rows)
        distances = _distances(real[part] - centre, fake)
        is_inside = distances < real_radii[part, None]
        balls += np.sum(is_inside, axis=0)
        is_covered.append(np.any(is_inside, axis=1))
        is_recalled.append(np.any(distances < fake_radii, axis=1))
    return {
        "precision": float(np.mean(balls > 0)),
        "recall": float(np.mean(np.concatenate(is_recalled))),
        "density": float(np.mean(balls) / k),
        "coverage": float(np.mean(np.concatenate(is_covered))),
    }


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean ones, float32 `[n, m]`, of float64 `[n, D]` and `[m, D]`.

    By float64, and rounded as the radii are: a fake image may be a copy of a real one, even of
    that by which a radius was measured, and is as far then, not nearer.
    """
    squares = np.sum(x * x, 1)[:, None] + np.sum(y * y, 1) - 2 * (x @ y.T)
    return np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
