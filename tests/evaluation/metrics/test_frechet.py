"""The Frechet distance against torch-fidelity, SciPy and closed forms."""

import functools
import operator

import numpy as np
import pytest
import scipy.linalg

from gans.evaluation.metrics.frechet import Moments, distance

EYE = np.eye(3)


def gaussian(mean, covariance, count=1000):
    return Moments(count, np.float64(mean), np.float64(covariance) * (count - 1))


def test_moments_are_numpys(features):
    real, _ = features
    moments = Moments.of(real)
    assert moments.count == 120
    assert moments.mean.dtype == moments.scatter.dtype == moments.covariance.dtype == np.float64
    np.testing.assert_allclose(moments.mean, np.mean(np.float64(real), 0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(real, rowvar=False), rtol=1e-9)


@pytest.mark.parametrize("sizes", [(1,) * 120, (7, 1, 51, 61), (119, 1)])
def test_moments_of_parts_add_up_to_those_of_all(features, sizes):
    # So far from 0 that a sum of squares would have no correct digit left.
    everything = np.float64(features[0]) + 1e8
    parts = np.split(everything, np.cumsum(sizes)[:-1])
    added = functools.reduce(operator.add, map(Moments.of, parts))
    at_once = Moments.of(everything)
    assert added.count == 120
    np.testing.assert_allclose(added.mean, at_once.mean, rtol=1e-14)
    np.testing.assert_allclose(added.scatter, at_once.scatter, rtol=1e-6, atol=1e-5)


def test_the_distance_is_torch_fidelitys(features, torch_fidelity):
    statistics = [
        {"mu": np.mean(np.float64(x), 0), "sigma": np.cov(x, rowvar=False)} for x in features
    ]
    expected = torch_fidelity.metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    found = distance(*map(Moments.of, features))
    assert found == pytest.approx(expected[torch_fidelity.KEY_METRIC_FID], rel=1e-5)
    assert found > 0.1


def test_the_distance_is_that_by_a_matrix_root(features):
    a, b = map(Moments.of, features)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
    expected = np.sum(np.square(a.mean - b.mean))
    expected += np.trace(a.covariance + b.covariance - 2 * root)
    assert distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert distance(b, a) == pytest.approx(expected, rel=1e-5)


def test_by_hand():
    assert distance(gaussian([0, 0, 0], EYE), gaussian([3, 0, 4], EYE)) == pytest.approx(25)
    # Three times (3 - 2)^2.
    assert distance(gaussian([1] * 3, 4 * EYE), gaussian([1] * 3, 9 * EYE)) == pytest.approx(3)
    a, b = gaussian([0] * 3, np.diag([1, 4, 9])), gaussian([0, 2, 0], np.diag([16, 4, 1]))
    assert distance(a, b) == pytest.approx(4 + 9 + 0 + 4)


def test_singular_covariances_are_exact():
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.normal(size=(60, 60)))[0]
    variances = random.uniform(1, 4, (2, 60))
    variances[0, :30] = variances[1, 20:50] = 0
    a, b = (gaussian(np.zeros(60), rotation * v @ rotation.T) for v in variances)
    expected = np.sum(np.square(np.diff(np.sqrt(variances), axis=0)))
    assert distance(a, b) == pytest.approx(expected, rel=1e-12)
    # All on one line: of u u^T and C the root's trace is (u^T C u)^(1/2).
    line, c = random.normal(size=60), rotation * random.uniform(1, 4, 60) @ rotation.T
    expected = line @ line + np.trace(c) - 2 * np.sqrt(line @ c @ line)
    found = distance(gaussian(np.zeros(60), np.outer(line, line)), gaussian(np.zeros(60), c))
    assert found == pytest.approx(expected, rel=1e-12)
    # No variance at all, as of a generator that has collapsed.
    dead = gaussian(np.zeros(60), np.zeros((60, 60)))
    assert distance(dead, b) == pytest.approx(np.sum(variances[1]), rel=1e-12)
    assert distance(dead, dead) == 0


def test_fewer_images_than_dimensions_are_exact():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 300)), random.normal(size=(13, 300)) * 1.3 + 0.1
    shift, (x_, y_) = x.mean(0) - y.mean(0), ((z - z.mean(0)) / len(z) ** 0.5 for z in (x, y))
    x_, y_ = x_ * (20 / 19) ** 0.5, y_ * (13 / 12) ** 0.5
    roots = np.linalg.svd(x_ @ y_.T, compute_uv=False)
    expected = shift @ shift + np.sum(x_ * x_) + np.sum(y_ * y_) - 2 * np.sum(roots)
    assert distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [2, 20, 120])
def test_a_set_is_at_no_distance_from_itself(features, count):
    moments = Moments.of(features[0][:count])
    shuffled = Moments.of(features[0][:count][::-1])
    scale = np.trace(moments.covariance)
    assert distance(moments, moments) == pytest.approx(0, abs=1e-12 * scale)
    assert distance(moments, shuffled) == pytest.approx(0, abs=1e-12 * scale)


def test_the_distance_grows_with_noise(features):
    real, _ = features
    noise = np.random.default_rng(0).normal(size=real.shape)
    found = [distance(Moments.of(real), Moments.of(real + s * noise)) for s in (0, 0.5, 1, 2)]
    assert found == sorted(found) and found[1] > 0.1


def test_what_has_no_distance_is_refused(features):
    real = Moments.of(features[0])
    with pytest.raises(ValueError, match="at least 2 images"):
        distance(real, Moments.of(features[1][:1]))
    narrow = Moments.of(features[1][:, :7])
    with pytest.raises(ValueError, match="of 24 and of 7 dimensions"):
        distance(real, narrow)
    with pytest.raises(ValueError, match="of 24 and of 7 dimensions"):
        real + narrow
    with pytest.raises(ValueError, match="0 images are too few"):
        Moments.of(features[0][:0])
