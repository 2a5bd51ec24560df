"""The nearest neighbours of points among others."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gans.evaluation.metrics.features import check_pair

_AT_ONCE = 2**24  # numbers of a block of points, of distances, or of differences
_QUERIES = 2**11  # points of a block
_SPARE = 8  # candidates more than neighbours, as rounding may take them for nearer


def nearest(queries: np.ndarray, database: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` points of a database that are nearest to each query, nearest first.

    Candidates, some more than neighbours, are chosen on the device by products of matrices, in
    blocks, of which memory holds one beside the database. The distances to these are then computed
    by differences, so that they are right for points that nearly coincide, and the neighbours are
    chosen by them. Of more points than there are candidates, whose squared distances from a query
    differ by less than float32's rounding of their squared norms, others may be missing.

    Args:
      queries: `[Q, D]`.
      database: `[N, D]`.
      count: 1 to N. A query that is in the database is the nearest to itself.

    Returns:
      Euclidean distances, float32 `[Q, count]`, and places in the database, int32 `[Q, count]`.
      Of candidates equally far the first in the database comes first.

    Raises:
      ValueError: the database has fewer points than `count`, or the dimensions differ.
    """
    queries, database = check_pair(queries, database, 1)
    if not 1 <= count <= len(database):
        raise ValueError(f"There are no {count} nearest of {len(database)} points.")
    kept = min(count + _SPARE, len(database))
    most = max(1, _AT_ONCE // database.shape[1])
    # About the centre, where squares are small and their differences lose little.
    centre = np.mean(database, axis=0, dtype=np.float64).astype(np.float32)
    points = jnp.asarray(_blocks(database - centre, min(most, _AT_ONCE // _QUERIES)))
    # What only fills up the last block is infinitely far.
    is_point = np.arange(points.shape[0] * points.shape[1]) < len(database)
    offsets = jnp.where(is_point.reshape(points.shape[:2]), 0.0, jnp.inf)
    norms = jnp.sum(jnp.square(points), -1) + offsets
    found, start = [], 0
    for block in _blocks(queries - centre, max(1, min(_QUERIES, most // kept))):
        part = queries[start : start + len(block)]
        candidates = np.asarray(_candidates(block, points, norms, kept))[: len(part)]
        found.append(_nearest_of(part, database, candidates, count))
        start += len(block)
    distances, places = zip(*found, strict=True)
    return np.concatenate(distances), np.concatenate(places)


def _blocks(points: np.ndarray, most: int) -> np.ndarray:
    """`[N, D]` as float32 `[B, n, D]` of at most `most` rows each, filled up with zeros."""
    blocks = -(-len(points) // most)
    rows = -(-len(points) // blocks)
    filled = np.zeros((blocks, rows, points.shape[1]), np.float32)
    filled.reshape(blocks * rows, -1)[: len(points)] = points
    return filled


@partial(jax.jit, static_argnames="count")
def _candidates(queries: jax.Array, blocks: jax.Array, norms: jax.Array, count: int) -> jax.Array:
    """Places, int32 `[n, count]`, of the points nearest to `[n, D]` as float32 can tell.

    Args:
      queries: `[n, D]`.
      blocks: `[B, m, D]`, of at least `count` points.
      norms: `[B, m]`, their squared norms.
      count: how many.
    """
    rows, columns = len(queries), blocks.shape[1]

    def take_in(best, block):
        start, points, norms = block
        # Minus the squared distances, but for what is the same for all points.
        nearness = 2 * jnp.matmul(queries, points.T, precision=jax.lax.Precision.HIGHEST) - norms
        nearness, chosen = jax.lax.top_k(nearness, min(count, columns))
        places = jnp.concatenate([best[1], start + chosen], 1)
        nearness, order = jax.lax.top_k(jnp.concatenate([best[0], nearness], 1), count)
        return (nearness, jnp.take_along_axis(places, order, 1)), None

    none = jnp.full((rows, count), -jnp.inf), jnp.zeros((rows, count), jnp.int32)
    starts = jnp.arange(len(blocks), dtype=jnp.int32) * columns
    return jax.lax.scan(take_in, none, (starts, blocks, norms))[0][1]


def _nearest_of(
    queries: np.ndarray, database: np.ndarray, candidates: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and places, as `nearest` returns them, of the nearest of `[n, candidates]`."""
    differences = database[candidates].astype(np.float64) - queries[:, None]
    distances = np.linalg.norm(differences, axis=-1).astype(np.float32)
    order = np.lexsort((candidates, distances))[:, :count]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(candidates, order, 1)
