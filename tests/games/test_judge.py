"""Losses and accuracy of a discriminator's logits."""

import jax.numpy as jnp
import pytest

from gans.games.judge import judge
from gans.losses import adversarial

LOSSES = sorted(k for k, x in vars(adversarial).items() if isinstance(x, adversarial.Adversarial))

# Logits that are judged, and how many of the six are called right if they are all
# of real images, or all of generated ones.
LOGITS = jnp.array([-2.0, -0.1, 0.2, 0.4, 0.6, 3.0])[:, None]
RIGHT = {
    "non_saturating": (4, 2),
    "minimax": (4, 2),
    # Halfway between its targets 0 and 1.
    "least_squares": (2, 4),
    "hinge": (4, 2),
    "wasserstein": (4, 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_accuracy_counts_logits_on_the_right_side(name):
    def net(images):
        return images, net

    for real, right in zip((True, False), RIGHT[name], strict=True):
        report, _ = judge(net, LOGITS, adversarial=getattr(adversarial, name), real=real)
        assert float(report["accuracy"]) == pytest.approx(right / 6)


def test_a_logit_between_the_answers_is_not_right():
    def net(images):
        return images, net

    for real in (True, False):
        report, _ = judge(net, jnp.zeros((3, 1)), adversarial=adversarial.hinge, real=real)
        assert float(report["accuracy"]) == 0.0
