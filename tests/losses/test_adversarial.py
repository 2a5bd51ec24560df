"""Adversarial losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.losses import adversarial

LOSSES = sorted(k for k, x in vars(adversarial).items() if isinstance(x, adversarial.Adversarial))

# log(1 + e^x) at -2, 0 and 2.
SOFT_MINUS_2, SOFT_0, SOFT_2 = 0.12692801, 0.69314718, 2.12692801
# 1 / (1 + e^-x) at -2 and 2.
SIGMOID_MINUS_2, SIGMOID_2 = 0.11920292, 0.88079708

LOGITS = jnp.array([-2.0, 0.0, 2.0])

# name: losses of the discriminator on real and on generated images, and of the generator.
VALUES = {
    "non_saturating": (
        [SOFT_2, SOFT_0, SOFT_MINUS_2],
        [SOFT_MINUS_2, SOFT_0, SOFT_2],
        [SOFT_2, SOFT_0, SOFT_MINUS_2],
    ),
    "minimax": (
        [SOFT_2, SOFT_0, SOFT_MINUS_2],
        [SOFT_MINUS_2, SOFT_0, SOFT_2],
        [-SOFT_MINUS_2, -SOFT_0, -SOFT_2],
    ),
    "least_squares": ([9.0, 1.0, 1.0], [4.0, 0.0, 4.0], [9.0, 1.0, 1.0]),
    "hinge": ([3.0, 1.0, 0.0], [0.0, 1.0, 3.0], [2.0, 0.0, -2.0]),
    "wasserstein": ([2.0, 0.0, -2.0], [-2.0, 0.0, 2.0], [2.0, 0.0, -2.0]),
}

# The derivatives of the above by the logit.
GRADIENTS = {
    "non_saturating": (
        [-SIGMOID_2, -0.5, -SIGMOID_MINUS_2],
        [SIGMOID_MINUS_2, 0.5, SIGMOID_2],
        [-SIGMOID_2, -0.5, -SIGMOID_MINUS_2],
    ),
    "minimax": (
        [-SIGMOID_2, -0.5, -SIGMOID_MINUS_2],
        [SIGMOID_MINUS_2, 0.5, SIGMOID_2],
        [-SIGMOID_MINUS_2, -0.5, -SIGMOID_2],
    ),
    "least_squares": ([-6.0, -2.0, 2.0], [-4.0, 0.0, 4.0], [-6.0, -2.0, 2.0]),
    "hinge": ([-1.0, -1.0, 0.0], [0.0, 1.0, 1.0], [-1.0, -1.0, -1.0]),
    "wasserstein": ([-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]),
}


def sides(name):
    """The three functions of one loss, in the order of the tables."""
    loss = getattr(adversarial, name)
    return (
        lambda x: loss.discriminator(x, True),
        lambda x: loss.discriminator(x, False),
        loss.generator,
    )


def test_the_tables_here_cover_every_loss():
    assert sorted(VALUES) == sorted(GRADIENTS) == LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_values_are_those_of_the_formula(name):
    for side, expected in zip(sides(name), VALUES[name], strict=True):
        np.testing.assert_allclose(side(LOGITS), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_formula(name):
    for side, expected in zip(sides(name), GRADIENTS[name], strict=True):
        gradient = jax.vmap(jax.grad(side))(LOGITS)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


def test_minimax_and_non_saturating_share_the_discriminator():
    assert adversarial.minimax.discriminator is adversarial.non_saturating.discriminator
    assert adversarial.minimax.generator is not adversarial.non_saturating.generator


def test_minimax_saturates_where_the_discriminator_is_sure_and_non_saturating_does_not():
    def slope(name):
        return float(jax.grad(getattr(adversarial, name).generator)(-100.0))

    assert slope("minimax") == pytest.approx(0.0, abs=1e-30)
    assert slope("non_saturating") == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["non_saturating", "minimax"])
def test_cross_entropy_is_exact_for_logits_of_plus_and_minus_100(name):
    far = jnp.array([-100.0, 100.0])
    real, fake, generator = sides(name)
    np.testing.assert_allclose(real(far), [100.0, 0.0], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(fake(far), [0.0, 100.0], rtol=1e-6, atol=1e-30)
    expected = {"non_saturating": [100.0, 0.0], "minimax": [0.0, -100.0]}[name]
    np.testing.assert_allclose(generator(far), expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite_for_large_logits(name):
    far = jnp.array([-100.0, 100.0])
    for side in sides(name):
        assert np.isfinite(side(far)).all()
        assert np.isfinite(jax.vmap(jax.grad(side))(far)).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(), (3, 1), (2, 5, 7, 1)])
def test_losses_have_the_shape_of_the_logits(name, shape):
    # A PatchGAN gives a map of logits; each is judged on its own.
    logits = jnp.full(shape, 2.0)
    for side, expected in zip(sides(name), VALUES[name], strict=True):
        np.testing.assert_allclose(side(logits), np.full(shape, expected[2]), rtol=1e-6)
