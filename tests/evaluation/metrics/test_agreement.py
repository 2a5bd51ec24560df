"""Accuracies worked out by hand."""

import numpy as np
import pytest

from gans.evaluation.metrics.agreement import accuracy_by_class, class_accuracy

# What the classifier sees: 2, 0, 1, 1, 2.
LOGITS = np.float32([[0, 1, 9], [5, 4, 3], [-3, -1, -2], [0, 1, 0], [1, 2, 3]])
LABELS = np.array([2, 0, 0, 1, 1])


def test_the_share_of_right_ones():
    assert class_accuracy(LOGITS, LABELS) == pytest.approx(3 / 5)
    assert class_accuracy(LOGITS[:2], LABELS[:2]) == 1


def test_class_by_class_one_without_images_has_no_accuracy():
    found = accuracy_by_class(LOGITS, LABELS, 4)
    np.testing.assert_array_equal(found, [1 / 2, 1 / 2, 1, np.nan])
    assert found.dtype == np.float64


def test_labels_must_be_of_these_images_and_classes():
    with pytest.raises(ValueError, match="5 images need as many labels"):
        class_accuracy(LOGITS, LABELS[:4])
    with pytest.raises(ValueError, match="as many labels"):
        accuracy_by_class(LOGITS, LABELS[:, None], 3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        accuracy_by_class(LOGITS, LABELS, 2)
    with pytest.raises(ValueError, match="from 0 to 2"):
        accuracy_by_class(LOGITS, LABELS - 1, 3)
