"""The Inception Score against torch-fidelity and numbers worked out by hand."""

import numpy as np
import pytest
import torch

from gans.evaluation.metrics.inception_score import score


def sure(labels, classes):
    return 1000 * np.eye(classes, dtype=np.float32)[labels]


def test_it_is_torch_fidelitys(torch_fidelity):
    logits = np.float32(np.random.default_rng(0).normal(size=(203, 11)) * 3)
    expected = torch_fidelity.metric_isc.isc_features_to_metric(
        torch.from_numpy(logits), splits=10, rng_seed=2020
    )
    mean, deviation = score(logits)
    assert mean == pytest.approx(expected[torch_fidelity.KEY_METRIC_ISC_MEAN], rel=1e-5)
    assert deviation == pytest.approx(expected[torch_fidelity.KEY_METRIC_ISC_STD], rel=1e-5)
    assert deviation > 0.01


def test_sure_and_varied_is_the_number_of_classes():
    assert score(sure(np.arange(40) % 8, 8), splits=1) == (pytest.approx(8), 0)


def test_all_of_one_kind_is_one():
    assert score(sure(np.full(40, 3), 8)) == (pytest.approx(1), pytest.approx(0))
    unsure = np.tile(np.float32([0, 1, 2]), (40, 1))
    assert score(unsure) == (pytest.approx(1), pytest.approx(0))


def test_by_hand():
    # p(y|x) is (3/4, 1/4) and (1/4, 3/4), p(y) (1/2, 1/2).
    logits = np.log(np.float64([[3, 1], [1, 3]]))
    expected = np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert score(logits, splits=1) == (pytest.approx(expected, rel=1e-9), 0)


def test_images_in_order_of_class_are_mixed_before_they_are_divided():
    mean, _ = score(sure(np.repeat(np.arange(5), 100), 5), splits=5)
    assert mean > 4.9


def test_there_must_be_an_image_for_each_part():
    with pytest.raises(ValueError, match="9 images are too few; the least is 10"):
        score(np.zeros((9, 3)))
    with pytest.raises(ValueError, match="into 0 parts"):
        score(np.zeros((9, 3)), splits=0)
