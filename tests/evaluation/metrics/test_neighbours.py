"""Nearest neighbours against all distances there are."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gans.evaluation.metrics import neighbours
from gans.evaluation.metrics.neighbours import nearest


def expected(queries, database, count):
    distances = cdist(np.float64(queries), np.float64(database))
    places = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(distances, places, 1), places


@pytest.mark.parametrize("count", [1, 6, 120])
def test_they_are_the_nearest_of_all(features, count):
    real, fake = features
    distances, places = nearest(fake, real, count)
    assert (distances.dtype, places.dtype) == (np.float32, np.int32)
    right_distances, right_places = expected(fake, real, count)
    np.testing.assert_array_equal(places, right_places)
    np.testing.assert_allclose(distances, right_distances, rtol=1e-6)


def test_in_blocks_they_are_the_same_and_one_program_finds_them(features, monkeypatch):
    real, fake = features
    at_once = nearest(fake, real, 9)
    monkeypatch.setattr(neighbours, "_AT_ONCE", 2000)
    monkeypatch.setattr(neighbours, "_QUERIES", 2000 // 7)  # blocks of 7 points, fewer than 9
    neighbours._candidates.clear_cache()
    for whole, blocked in zip(at_once, nearest(fake, real, 9), strict=True):
        np.testing.assert_array_equal(blocked, whole)
    assert neighbours._candidates._cache_size() == 1


def test_points_that_nearly_coincide_are_told_apart():
    random = np.random.default_rng(0)
    database = np.float32(random.normal(size=(100, 64)) * 10 + 100)
    step = 2.0**-14  # of what float32 can tell at 128; the squared distance is lost beside 128^2
    order = random.permutation(6)
    database[50:56] = np.round(database[50]) + step * order[:, None]
    query = database[50 + np.flatnonzero(order == 0)]
    distances, places = nearest(query, database, 6)
    np.testing.assert_array_equal(places[0], 50 + np.argsort(order))
    np.testing.assert_allclose(distances[0], np.arange(6) * step * 8, rtol=1e-6)


def test_of_equally_far_points_the_first_comes_first():
    database = np.float32([[3, 0], [0, 3], [0, 0], [0, 3], [1, 0]])
    distances, places = nearest(np.float32([[0, 0]]), database, 4)
    np.testing.assert_array_equal(places, [[2, 4, 0, 1]])
    np.testing.assert_array_equal(distances, [[0, 1, 3, 3]])


def test_pixels_are_points_too():
    pixels = np.uint8([[0, 0], [255, 0], [250, 0]])
    distances, places = nearest(pixels, pixels, 2)
    np.testing.assert_array_equal(places, [[0, 2], [1, 2], [2, 1]])
    np.testing.assert_array_equal(distances, [[0, 250], [0, 5], [0, 5]])


def test_there_must_be_as_many_points(features):
    with pytest.raises(ValueError, match="no 121 nearest of 120 points"):
        nearest(features[1], features[0], 121)
