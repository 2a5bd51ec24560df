"""Whether a classifier sees in generated images the classes they were made for."""

from __future__ import annotations

import numpy as np

from gans.evaluation.metrics.features import check


def class_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images `[N, K]` whose largest logit is of their label, `[N]` integers.

    Raises:
      ValueError: there are no images, or not as many labels.
    """
    return float(np.mean(_is_right(logits, labels)))


def accuracy_by_class(logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """`class_accuracy` of each class's images alone, float64 `[classes]`; NaN where it has none.

    Raises:
      ValueError: there are no images, not as many labels, or labels of other classes.
    """
    is_right = _is_right(logits, labels)
    labels = np.asarray(labels)
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"Labels must be from 0 to {classes - 1}.")
    counts = np.bincount(labels, minlength=classes)
    right = np.bincount(labels, weights=is_right, minlength=classes)
    return np.divide(right, counts, out=np.full(classes, np.nan), where=counts > 0)


def _is_right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool `[N]`."""
    logits = check(logits, 1)
    if np.shape(labels) != (len(logits),):
        raise ValueError(f"{len(logits)} images need as many labels, not {np.shape(labels)}.")
    return np.argmax(logits, axis=1) == labels
