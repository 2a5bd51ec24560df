"""The game whose discriminator finds the class, on networks of one or two parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.core.state import create_state
from gans.core.update import update
from gans.errors import UserError
from gans.games import auxiliary
from gans.losses import adversarial

RATE = 0.1
WEIGHTS = {
    "real": 0.5,
    "class_real": 0.25,
    "fake": 2.0,
    "class_fake": 0.75,
    "adversarial": 3.0,
    "class_made": 1.5,
}
IMAGES = np.array([0.5, -1.0, 2.0, 0.25])
LABELS = np.array([0, 1, 0, 0])
BATCH = {
    "image": np.float32(IMAGES).reshape(4, 1, 1, 1),
    "label": np.eye(2, dtype=np.float32)[LABELS],
}


class Generator(nn.Module):
    """`w * z`, and the number of the class."""

    @nn.compact
    def __call__(self, z, label, *, train):
        w = self.param("w", nn.initializers.constant(0.7), ())
        return (w * z[:, 0] + label[:, 1]).reshape(-1, 1, 1, 1)


class Discriminator(nn.Module):
    """The logit `a * x`, and `b * x` and `-b * x` for the two classes."""

    classes: int = 2

    @nn.compact
    def __call__(self, image, *, train):
        a = self.param("a", nn.initializers.constant(0.4), ())
        b = self.param("b", nn.initializers.constant(-0.3), ())
        x = image.reshape(-1, 1)
        signs = jnp.resize(jnp.array([1.0, -1.0]), self.classes)
        return a * x, b * x * signs


def play(discriminator):
    game = auxiliary.two_step(adversarial=adversarial.least_squares, latent_dim=1)
    state = create_state(
        jax.random.key(0),
        game,
        BATCH,
        nets={"generator": Generator(), "discriminator": discriminator},
        optimizers={name: optax.sgd(RATE) for name in ("generator", "discriminator")},
        weights=WEIGHTS,
    )
    noise = game.draw(jax.random.fold_in(state.key, 0), BATCH)
    after, metrics = update(state, BATCH, game=game)
    return after, jax.device_get(metrics), np.asarray(noise["latent"], np.float64)[:, 0]


def class_term(x, b):
    """Mean of -log softmax over the logits (b x, -b x) at the label."""
    sign = np.where(LABELS == 0, 1.0, -1.0)
    return np.mean(np.log1p(np.exp(-2 * sign * b * x)))


def slope(function, at, step=1e-6):
    return (function(at + step) - function(at - step)) / (2 * step)


def test_a_round_of_moves_is_that_worked_out_by_hand():
    after, metrics, z = play(Discriminator())
    a, b, w = 0.4, -0.3, 0.7
    x = IMAGES
    assert metrics["d_real/real"] == pytest.approx(np.mean((a * x - 1) ** 2), rel=1e-5)
    assert metrics["d_real/class_real"] == pytest.approx(class_term(x, b), rel=1e-5)
    right = np.where(LABELS == 0, b * x > 0, b * x < 0)
    assert metrics["d_real/class_accuracy"] == pytest.approx(right.mean())
    a, b = (
        a - RATE * 0.5 * slope(lambda a: np.mean((a * x - 1) ** 2), a),
        b - RATE * 0.25 * slope(lambda b: class_term(x, b), b),
    )
    fake = w * z + LABELS
    assert metrics["d_fake/fake"] == pytest.approx(np.mean((a * fake) ** 2), rel=1e-5)
    assert metrics["d_fake/class_fake"] == pytest.approx(class_term(fake, b), rel=1e-5)
    a, b = (
        a - RATE * 2.0 * slope(lambda a: np.mean((a * fake) ** 2), a),
        b - RATE * 0.75 * slope(lambda b: class_term(fake, b), b),
    )
    assert after.nets["discriminator"].params["a"] == pytest.approx(a, rel=1e-5)
    assert after.nets["discriminator"].params["b"] == pytest.approx(b, rel=1e-5)

    def generator_loss(w):
        made = w * z + LABELS
        return 3.0 * np.mean((a * made - 1) ** 2) + 1.5 * class_term(made, b)

    assert metrics["generator/loss"] == pytest.approx(generator_loss(w), rel=1e-5)
    moved = w - RATE * slope(generator_loss, w)
    assert after.nets["generator"].params["w"] == pytest.approx(moved, rel=1e-5)


def test_a_discriminator_of_other_classes_than_the_data_is_refused():
    with pytest.raises(UserError, match=r"tells 3 classes, and the data has 2.*classes to 2"):
        play(Discriminator(classes=3))
