"""The Inception Score: how sure a classifier is of each image, and how varied its answers are."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp

from gans.evaluation.metrics.features import check


def score(logits: np.ndarray, splits: int = 10, seed: int = 2020) -> tuple[float, float]:
    """Mean and deviation over parts of the images of `exp(E KL(p(y|x) || p(y)))`, 1 to K each.

    Salimans et al. 2016, arXiv:1606.03498, section 4. The images are shuffled as torch-fidelity
    does, so that the numbers are comparable.

    Args:
      logits: `[N, K]`, of K classes.
      splits: how many parts; each has its own p(y).
      seed: of the shuffling.

    Raises:
      ValueError: there are fewer images than parts, or the logits are not finite.
    """
    if splits < 1:
        raise ValueError(f"Images cannot be divided into {splits} parts.")
    logits = check(logits, splits)
    logits = logits[np.random.RandomState(seed).permutation(len(logits))]
    conditional = log_softmax(logits.astype(np.float64), axis=1)
    bounds = np.arange(splits + 1) * len(logits) // splits
    parts = (conditional[start:end] for start, end in zip(bounds, bounds[1:], strict=False))
    scores = [np.exp(_mean_divergence(part)) for part in parts]
    return float(np.mean(scores)), float(np.std(scores))


def _mean_divergence(conditional: np.ndarray) -> float:
    """The mean of `KL(p(y|x) || p(y))` over images, of `log p(y|x)` `[N, K]`."""
    # By logarithms throughout: of a class that no image shows, p(y) may be too small a number.
    marginal = logsumexp(conditional, axis=0) - np.log(len(conditional))
    return np.mean(np.sum(np.exp(conditional) * (conditional - marginal), axis=1))
