"""Precision, recall, density and coverage against their authors' code."""

import numpy as np
import prdc as authors
import pytest

from gans.evaluation.metrics import manifold
from gans.evaluation.metrics.manifold import prdc


def points(*values):
    return np.float32(values)[:, None]


@pytest.mark.parametrize("k", [1, 5])
def test_they_are_the_authors(features, k):
    real, fake = features
    expected = authors.compute_prdc(real, fake, k)
    found = prdc(real, fake, k)
    assert found == pytest.approx(expected, abs=1e-9)
    assert all(0 < value < 1 for value in found.values())
    assert prdc(fake, real, k) == pytest.approx(authors.compute_prdc(fake, real, k), abs=1e-9)


def test_copies_are_as_the_authors_count_them(features):
    real, fake = features
    # All real images learned by heart, and some real ones there twice.
    assert prdc(real, real.copy()) == pytest.approx(
        {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    )
    assert authors.compute_prdc(real, real.copy(), 5) == pytest.approx(prdc(real, real.copy()))
    mixed, twice = np.concatenate([real[:50], fake]), np.concatenate([real, real[:20]])
    assert prdc(twice, mixed, 2) == pytest.approx(authors.compute_prdc(twice, mixed, 2))


def test_by_hand():
    # Radii of the real ones 1, 1, 2, 7 and of the fake ones 0.75, 0.75, 7.5.
    real, fake = points(0, 1, 3, 10), points(1.75, 2.5, 10)
    assert prdc(real, fake, k=1) == pytest.approx(
        {
            "precision": 1,
            "recall": 1 / 2,  # 3 and 10; 1 is on the surface of the ball of 1.75
            "density": (2 + 1 + 1) / 3,  # 1.75 is in the balls of 1 and of 3
            "coverage": 3 / 4,  # all but 0
        }
    )


def test_sets_far_apart_share_nothing(features):
    real, fake = features
    assert set(prdc(real, fake + 1000).values()) == {0}


def test_it_does_not_matter_where_the_sets_are_nor_in_what_order(features):
    real, fake = (np.round(x * 256) / 256 for x in features)  # so that the shift is exact
    found = prdc(real, fake)
    assert prdc(real[::-1], fake[::-1]) == pytest.approx(found, abs=1e-9)
    assert prdc(real + 1024, fake + 1024) == pytest.approx(found, abs=1e-9)


def test_in_parts_they_are_the_same(features, monkeypatch):
    found = prdc(*features)
    monkeypatch.setattr(manifold, "_AT_ONCE", 700)
    assert prdc(*features) == found


def test_noise_leaves_the_real_and_a_lost_half_is_not_covered(features):
    real, _ = features
    noise = np.random.default_rng(0).normal(size=real.shape)
    found = [prdc(real, np.float32(real + s * noise)) for s in (0.1, 1, 3)]
    for name in ("precision", "density", "coverage"):
        values = [each[name] for each in found]
        assert values == sorted(values, reverse=True) and values[0] > values[-1]
    half = real[np.argsort(real[:, 0])[:60]]
    found = prdc(real, half)
    assert found["precision"] == 1 and found["coverage"] < 0.9


def test_there_must_be_more_images_than_neighbours(features):
    real, fake = features
    with pytest.raises(ValueError, match="5 images are too few; the least is 6"):
        prdc(real, fake[:5])
    with pytest.raises(ValueError, match="no 0-th nearest"):
        prdc(real, fake, k=0)
