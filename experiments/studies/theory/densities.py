"""Densities on a line and what theory says of them, in float64 by quadrature on a grid.

Of a game between data with density p and a generator with density q (Goodfellow et al. 2014,
arXiv:1406.2661, section 4.1): the best discriminator is `D* = p / (p + q)`, and with it the
value of the game is `-log 4 + 2 JSD(p || q)`.

All arrays here are float64 `[N]`: points `x` in rising order, or values at these points.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

LOG_4 = float(np.log(4.0))


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians, one entry of each field a component; the weights add up to 1."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def density(self, x: np.ndarray) -> np.ndarray:
        """The density at the points `x`."""
        z = (x[:, None] - np.array(self.means)) / np.array(self.deviations)
        return normal(z) @ (np.array(self.weights) / np.array(self.deviations))

    def sample(self, key: jax.Array, count: int) -> jax.Array:
        """`count` independent draws, float32 `[count]`."""
        which, noise = jax.random.split(key)
        component = jax.random.choice(
            which, len(self.weights), (count,), p=jnp.array(self.weights, jnp.float32)
        )
        z = jax.random.normal(noise, (count,))
        return jnp.array(self.means)[component] + jnp.array(self.deviations)[component] * z


def normal(z: np.ndarray) -> np.ndarray:
    """The standard normal density."""
    return np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)


def change_of_variables(x: np.ndarray, z: np.ndarray, image: np.ndarray, slope: np.ndarray):
    """The density at `x` of `G(z)`, z standard normal and G rising: `normal(z) / G'(z)`.

    Args:
      x: where it is wanted.
      z: a grid of latent numbers, from one far tail of the normal distribution to the other.
      image: `G(z)`, which rises strictly.
      slope: `G'(z)`.

    Returns:
      The density; 0 beyond the images of the grid, where less than the tails is left.
    """
    # Of the logarithm, which is nearly a parabola and so interpolates well far down the tails.
    log_density = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(slope)
    return np.exp(np.interp(x, image, log_density, left=-np.inf, right=-np.inf))


def optimal_logit(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The logit of `D* = p / (p + q)`, which is `log(p / q)`: infinite where one is 0.

    Where both are 0, and any D is as good, D* is 1/2.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(p), np.log(q)
    nowhere = (p == 0) & (q == 0)
    return np.subtract(*logs, out=np.zeros_like(p), where=~nowhere)


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """The probability that a logit stands for."""
    return np.exp(-np.logaddexp(0.0, -logit))


def value(x: np.ndarray, p: np.ndarray, q: np.ndarray, logit: np.ndarray) -> float:
    """`V(D, G)`: the mean of `log D` under p plus that of `log(1 - D)` under q; at most 0."""
    cost = _where_dense(p, np.logaddexp(0.0, -logit)) + _where_dense(q, np.logaddexp(0.0, logit))
    return -float(np.trapezoid(cost, x))


def jensen_shannon(x: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """The Jensen-Shannon divergence of two densities, in nats: from 0 to log 2."""
    mean = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = _where_dense(p, np.log(p / mean)) + _where_dense(q, np.log(q / mean))
    return 0.5 * float(np.trapezoid(rise, x))


def best_value(x: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """`V(D*, G) = -log 4 + 2 JSD(p || q)`."""
    return -LOG_4 + 2.0 * jensen_shannon(x, p, q)


def central(x: np.ndarray, density: np.ndarray, mass: float) -> np.ndarray:
    """Which points hold the middle `mass` of a density, as bool `[N]`; the tails share the rest."""
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
    below = np.concatenate([[0.0], np.cumsum(steps)])
    tail = 0.5 * (1.0 - mass)
    return (below >= tail) & (below <= 1.0 - tail)


def _where_dense(density: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """`density * amount`, and 0 where the density is 0, whatever the amount."""
    return np.multiply(density, amount, out=np.zeros_like(density), where=density > 0)
