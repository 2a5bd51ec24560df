"""The Frechet distance between two sets of features: FID, when they are of the Inception network.

Heusel et al. 2017, arXiv:1706.08500, eq. 6, of Gaussians fitted to the features (Dowson and
Landau 1982, The Frechet distance between multivariate normal distributions).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gans.evaluation.metrics.features import check, check_dimensions


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What the distance needs to know of a set of features; the sum of two is that of both sets.

    Attributes:
      count: how many images there are.
      mean: float64 `[D]`.
      scatter: float64 `[D, D]`, the sum over images of the outer products of what deviates
        from the mean.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Those of features `[N, D]`, N at least 1; they are copied to float64.

        Raises:
          ValueError: there are none, or they are of another shape or not finite.
        """
        features = check(features, 1)
        mean = np.mean(features, axis=0, dtype=np.float64)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets together, as if taken at once (Chan et al. 1979, eq. 2.1).

        Raises:
          ValueError: their dimensions differ.
        """
        check_dimensions(len(self.mean), len(other.mean))
        count = self.count + other.count
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(
            count,
            self.mean + shift * (other.count / count),
            self.scatter + other.scatter + between,
        )

    @property
    def covariance(self) -> np.ndarray:
        """float64 `[D, D]`, unbiased: the scatter over N - 1, for N at least 2."""
        return self.scatter / (self.count - 1)


def distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`, at least 0 but for rounding.

    With factors `C = F F^T`, the eigenvalues of `C_a C_b` are the squares of the singular values
    of `F_a^T F_b`, so that the last trace is the sum of these. No root is taken of a product:
    where a covariance is singular, as that of fewer images than dimensions, the root of a matrix
    that is nearly so would turn rounding of 1e-16 into 1e-8 for each dimension too many.

    Raises:
      ValueError: either is of fewer than 2 images, or their dimensions differ.
    """
    check_dimensions(len(a.mean), len(b.mean))
    if min(a.count, b.count) < 2:
        raise ValueError("A covariance needs at least 2 images in each set.")
    roots = np.linalg.svd(_factor(a).T @ _factor(b), compute_uv=False)
    shift = a.mean - b.mean
    traces = (np.trace(moments.covariance) for moments in (a, b))
    return float(shift @ shift + sum(traces) - 2 * np.sum(roots))


def _factor(moments: Moments) -> np.ndarray:
    """`[D, rank]`, whose product with its own transpose is the covariance."""
    values, vectors = np.linalg.eigh(moments.covariance)
    # As in `numpy.linalg.matrix_rank`: what is smaller than this is rounding of nothing.
    is_real = values > values[-1] * len(values) * np.finfo(values.dtype).eps
    is_real[: max(0, len(values) - (moments.count - 1))] = False
    return vectors[:, is_real] * np.sqrt(values[is_real])
