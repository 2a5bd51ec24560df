"""The Vendi score of sets whose diversity is known."""

import numpy as np
import pytest

from gans.evaluation.metrics import diversity
from gans.evaluation.metrics.diversity import vendi


def test_orthogonal_images_count_as_many_as_they_are():
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    assert vendi(np.float32(rotation[:5])) == pytest.approx(5, rel=1e-5)
    assert vendi(np.float32(rotation)) == pytest.approx(12, rel=1e-5)


def test_images_alike_count_as_one_however_strong():
    image = np.random.default_rng(0).normal(size=7)
    assert vendi(np.tile(image, (9, 1))) == pytest.approx(1)
    assert vendi(np.outer(np.arange(1, 10), image)) == pytest.approx(1)
    assert vendi(image[None]) == pytest.approx(1)


def test_groups_count_by_their_entropy():
    groups = np.eye(4)[[0, 0, 0, 1]]
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert vendi(groups) == pytest.approx(expected)
    # Two images at 60 degrees: eigenvalues (1 +- 1/2) / 2.
    assert vendi([[1, 0], [0.5, 0.75**0.5]]) == pytest.approx(expected)


def test_it_is_that_by_the_kernel_matrix(features):
    real, _ = features
    directions = np.float64(real) / np.linalg.norm(real, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(directions @ directions.T / len(real))
    values = values[values > 1e-12]
    assert vendi(real) == pytest.approx(np.exp(-np.sum(values * np.log(values))), rel=1e-6)


def test_neither_order_nor_parts_matter(features, monkeypatch):
    real, _ = features
    found = vendi(real)
    assert vendi(real[::-1]) == pytest.approx(found, rel=1e-9)
    monkeypatch.setattr(diversity, "_AT_ONCE", 24 * 7)
    assert vendi(real) == pytest.approx(found, rel=1e-9)


def test_an_image_without_features_has_no_direction():
    with pytest.raises(ValueError, match="all 0"):
        vendi(np.float32([[1, 2], [0, 0]]))
