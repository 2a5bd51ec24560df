"""Features that cannot be judged are refused in a sentence."""

import numpy as np
import pytest

from gans.evaluation.metrics.features import check, check_pair


def test_features_pass_as_they_came():
    features = np.ones((3, 2), np.float16)
    assert check(features, 3) is features


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(4), r"\[images, dimensions\], not of shape \(4,\)"),
        (np.ones((1, 4)), "1 images are too few; the least is 2"),
        (np.float32([[1, np.nan], [0, 0]]), "not finite"),
        (np.float32([[1, np.inf], [0, -np.inf]]), "not finite"),
    ],
)
def test_others_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        check(features, 2)


def test_sets_of_different_networks_are_not_compared():
    with pytest.raises(ValueError, match="of 3 and of 4 dimensions"):
        check_pair(np.ones((2, 3)), np.ones((2, 4)), 2)
